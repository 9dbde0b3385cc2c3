//! Runs of the core that are recorded: what was in a pool, what was done to it, and what anybody may ever read from it.

use std::collections::{BTreeMap, BTreeSet};

use plasmite::core::append::When;
use plasmite::core::frame::Entry;
use plasmite::core::geometry::Geometry;
use plasmite::core::header::Header;
use plasmite::core::heap::{HeapLock, NoBell};
use plasmite::core::layout::{MIN_FILE_SIZE, WORD};
use plasmite::core::memory::{LockWait, Memory};
use plasmite::core::pool::{Pool, Recovery};
use plasmite::core::read::Frame;

use crate::random::Random;
use crate::recorder::{Event, Meanwhile, Recorder};

/// The boot of the pools of all runs; a recovery makes it one more.
pub(crate) const BOOT: u64 = 7;
const NOW: u64 = 1000;
/// Half of the file is index, so that the ring is as small as it can be.
const LARGEST_INDEX: u64 = 2048;

/// A recorded run.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    /// The boot in which it ran.
    pub(crate) boot: u64,
    pub(crate) header: Header,
    /// All words before the first event, all of them on the medium.
    pub(crate) before: Vec<u64>,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: BTreeMap<u64, Written>,
    /// The seqs with which a batch ends, and 0.
    pub(crate) batch_ends: BTreeSet<u64>,
}

/// A message, and where it went.
#[derive(Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) position: u64,
    pub(crate) text: Text,
}

/// Tags and data.
pub(crate) type Text = (String, String);

/// Flushed after each message: so few words are ever in doubt that each subset of them can be tried.
pub(crate) fn one_by_one() -> Run {
    let mut recording = Recording::begin("one by one", 0, |n| 300 + n * 7 % 400);
    for size in [0, 1, 9, 14, 0, 3, 10, 0] {
        recording.append(&[size]);
        recording.flush();
    }
    recording.finish()
}

/// Appends of several sizes, batches and flushes, around the ring's end.
pub(crate) fn mixed() -> Run {
    let mut recording = Recording::begin("mixed", LARGEST_INDEX, |n| 500 + n * 7 % 400);
    for sizes in [&[1][..], &[30, 2, 9], &[0], &[1500]] {
        recording.append(sizes);
    }
    recording.flush();
    for n in 0..12 {
        recording.append(&[n * 97 % 700]);
    }
    recording.append(&[100, 0, 200, 1]);
    recording.flush();
    recording.append(&[8, 8]);
    let run = recording.finish();
    assert!(run.wraps(), "no frame lies around the ring's end");
    run
}

/// What was flushed, far from the last checkpoint and close to it, and then a lap that nobody flushes over all of it.
pub(crate) fn lapped() -> Run {
    let mut recording = Recording::begin("lapped", LARGEST_INDEX, |n| 900 + n * 31 % 300);
    recording.append(&[7000, 3]);
    recording.flush();
    recording.append(&[3000]);
    recording.append(&[3000, 3]);
    recording.flush();
    recording.append(&[1200]);
    recording.append(&[400, 2000]);
    for n in 0..16 {
        recording.append(&[2000 - n * 40]);
    }
    recording.flush();
    recording.append(&[5]);
    recording.finish()
}

/// Frames of almost half the ring: after two of them nothing else is left.
pub(crate) fn huge() -> Run {
    let mut recording = Recording::begin("huge", LARGEST_INDEX, |n| 600 + n * 13 % 500);
    let most = recording.pool.geometry().max_batch() as usize - 100;
    recording.append(&[most]);
    recording.append(&[most - 800]);
    recording.append(&[most - 90]);
    recording.append(&[2]);
    recording.flush();
    recording.append(&[most]);
    recording.finish()
}

/// Flushes, and others at work in the middle of them: who appends a little, who laps what is being flushed, who flushes
/// as well. Then nobody flushes for a lap.
pub(crate) fn beside() -> Run {
    let mut recording = Recording::begin("beside", LARGEST_INDEX, |n| 900 + n * 31 % 300);
    let actions: [fn(&Pool<&Recorder>); 4] = [
        |other| append_large(other, 1),
        |other| append_large(other, 9),
        |other| {
            append_large(other, 1);
            flush(other);
        },
        |other| {
            append_large(other, 5);
            flush(other);
            append_large(other, 3);
        },
    ];
    let header = recording.run.header;
    for act in actions {
        for (after, is_covered) in [(0, false), (0, true), (1, false), (1, true)] {
            recording.append(&[7000, 20]);
            recording.pool.memory().disturb(Meanwhile {
                after,
                is_covered,
                act: Box::new(move |memory| act(&Pool::attach(memory, header))),
            });
            recording.flush();
            recording.learn();
            recording.append(&[5000, 3]);
            recording.flush();
            for _ in 0..9 {
                recording.append(&[2900]);
            }
        }
    }
    recording.finish()
}

/// Appends messages that take 3000 bytes each of a ring.
fn append_large(pool: &Pool<&Recorder>, count: u64) {
    for _ in 0..count {
        let newest = pool.newest().unwrap().seq;
        let (_, last) = append(pool, &[message(newest + 1, 2900)]);
        pool.memory().note(Event::Acknowledged(last));
    }
}

fn flush(pool: &Pool<&Recorder>) {
    let newest = pool.newest().unwrap().seq;
    pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
    pool.memory().note(Event::Flushed(newest));
}

/// What goes on after a recovery that found much of a run gone.
pub(crate) fn second_life(of: &Run, torn: &[u64]) -> Run {
    let memory = Recorder::of(torn);
    let pool = open(memory, of.boot + 1);
    let kept = kept(&pool);
    let mut run = of.clone();
    run.name = "second life";
    run.boot = of.boot + 1;
    run.messages.retain(|seq, _| kept.contains(seq));
    run.batch_ends
        .retain(|seq| kept.last().is_none_or(|last| seq <= last));
    let mut recording = Recording { run, pool };
    recording.start(kept.last().copied().unwrap_or(0));
    recording.append(&[40]);
    recording.append(&[3, 700]);
    recording.flush();
    for n in 0..10 {
        recording.append(&[n * 131 % 900]);
    }
    recording.finish()
}

impl Run {
    /// Whether both ends of the ring were stored to.
    fn wraps(&self) -> bool {
        let g = self.header.geometry;
        let stored = |wanted: u64| {
            let is_it =
                |event: &Event| matches!(event, Event::Stored { word, .. } if *word == wanted);
            self.events.iter().any(is_it)
        };
        stored(g.ring_word()) && stored(g.ring_word() + g.ring_words() - 1)
    }
}

/// A run that goes on.
struct Recording {
    run: Run,
    pool: Pool<Recorder>,
}

impl Recording {
    /// A pool that has gone once around and is all on the medium. What is recorded then goes around the ring's end.
    fn begin(name: &'static str, index_capacity: u64, size: fn(usize) -> usize) -> Recording {
        let header = Header {
            uuid: [9; 16],
            created: 1,
            geometry: Geometry::for_file(MIN_FILE_SIZE, Some(index_capacity)).unwrap(),
        };
        let memory = Recorder::of(&vec![0; (MIN_FILE_SIZE / WORD) as usize]);
        Pool::format(&memory, &header, BOOT);
        let run = Run {
            name,
            boot: BOOT,
            header,
            before: Vec::new(),
            events: Vec::new(),
            messages: BTreeMap::new(),
            batch_ends: BTreeSet::from([0]),
        };
        let pool = open(memory, BOOT);
        let mut recording = Recording { run, pool };
        let end = |recording: &Recording| recording.pool.newest().unwrap().end();
        let ring = header.geometry.ring_size;
        let mut n = 0;
        while end(&recording) < 2 * ring
            || header.geometry.bytes_to_wrap(end(&recording)) > 100 + 2 * size(n) as u64
        {
            recording.append(&[size(n)]);
            n += 1;
        }
        recording.flush();
        let newest = recording.pool.newest().unwrap().seq;
        recording.start(newest);
        recording
    }

    /// Begins to record: all that there is has been flushed.
    fn start(&mut self, newest: u64) {
        self.run.before = self.pool.memory().image();
        self.pool.memory().take_log();
        self.pool.memory().note(Event::Acknowledged(newest));
        self.pool.memory().note(Event::Flushed(newest));
    }

    fn append(&mut self, sizes: &[usize]) {
        let newest = self.pool.newest().unwrap().seq;
        let batch: Vec<Text> = (newest + 1..)
            .zip(sizes)
            .map(|(n, size)| message(n, *size))
            .collect();
        let (_, last) = append(&self.pool, &batch);
        self.learn();
        self.pool.memory().note(Event::Acknowledged(last));
    }

    /// Takes in what was appended, by whomever.
    fn learn(&mut self) {
        let mut frame = Frame::default();
        for seq in kept(&self.pool) {
            self.pool.get(seq, &mut frame).unwrap();
            let header = *frame.header().unwrap();
            if !header.more {
                self.run.batch_ends.insert(seq);
            }
            let text = [frame.tags(), frame.data()].map(|part| String::from_utf8(part.to_vec()));
            let [tags, data] = text.map(Result::unwrap);
            let written = Written {
                position: header.position,
                text: (tags, data),
            };
            let known = self.run.messages.entry(seq).or_insert(written.clone());
            assert!(*known == written, "message {seq} has changed");
        }
    }

    fn flush(&self) {
        let newest = self.pool.newest().unwrap().seq;
        self.pool
            .flush(&HeapLock::default(), LockWait::Forever)
            .unwrap();
        self.pool.memory().note(Event::Flushed(newest));
    }

    fn finish(mut self) -> Run {
        self.run.events = self.pool.memory().take_log();
        self.run
    }
}

/// A run of which a random part of what it had not flushed is lost.
pub(crate) fn torn(run: &Run, random: &mut Random) -> Vec<u64> {
    let mut image = run.before.clone();
    for event in &run.events {
        match event {
            Event::Stored { word, value } if random.below(200) > 0 => {
                image[*word as usize] = *value;
            }
            _ => {}
        }
    }
    image
}

/// Opens a pool as a writer of this boot does, which recovers it if it was left by another.
fn open<M: Memory>(memory: M, boot: u64) -> Pool<M> {
    try_open(memory, boot).unwrap()
}

/// The same, for a pool that may have nothing in it that verifies.
pub(crate) fn try_open<M: Memory>(memory: M, boot: u64) -> plasmite::Result<Pool<M>> {
    let lock = HeapLock::default();
    let recovery = Recovery::Write(&lock, LockWait::Forever);
    Pool::open(memory, MIN_FILE_SIZE, boot, recovery)
}

/// Appends a batch, and returns its first seq and its last.
pub(crate) fn append(pool: &Pool<impl Memory>, batch: &[Text]) -> (u64, u64) {
    let entries = batch
        .iter()
        .map(|(tags, data)| Entry::new(tags.as_bytes(), data.as_bytes()));
    let lock = HeapLock::default();
    let when = When::Now(|| NOW);
    let appended = pool
        .append(&lock, &NoBell, LockWait::Forever, entries, when)
        .unwrap();
    (appended.first_seq, appended.last_seq)
}

/// Tags and data that name their message, with about `size` bytes. Small ones have no tags.
pub(crate) fn message(n: u64, size: usize) -> Text {
    let tags = match size {
        0..20 => String::new(),
        _ => format!("[\"t{n}\"]"),
    };
    (tags, format!("\"{n}{}\"", "x".repeat(size)))
}

/// The seqs of all messages there are.
fn kept(pool: &Pool<impl Memory>) -> Vec<u64> {
    let bounds = pool.bounds().unwrap();
    bounds.map_or_else(Vec::new, |(oldest, newest)| {
        (oldest.seq..=newest.seq).collect()
    })
}
