//! Crash states by enumeration: a memory that logs what the core as shipped stores and persists.
//!
//! The bug that this guards against: a writer dies between two stores and leaves a pool that reads as corrupt, that
//! has lost an acknowledged message, or that shows half of a batch.
//!
//! - Death of a process: the state after every store of the log, without exception.
//! - Power loss: each 8-byte unit that was not persisted holds any one of the values it had since it was. These states
//!   are sampled, with a fixed seed; enumerating them needs a plan of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use plasmite::Result;
use plasmite::core::append::When;
use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::frame::Entry;
use plasmite::core::geometry::Geometry;
use plasmite::core::header::Header;
use plasmite::core::heap::{HeapLock, HeapMemory, NoBell};
use plasmite::core::layout::MIN_FILE_SIZE;
use plasmite::core::memory::{LockWait, Memory};
use plasmite::core::pool::{Pool, Recovery};
use plasmite::core::read::Frame;

const BOOT: u64 = 7;
const NEXT_BOOT: u64 = 8;
const NOW: u64 = 1000;
/// Half of the file is index, so that the ring is as small as it can be.
const INDEX_CAPACITY: u64 = 2048;

#[test]
fn a_process_may_die_after_any_store() {
    let run = record();
    let mut crash = Crash::new(&run);
    let mut states = 0;
    loop {
        let pool = open(&crash.now, BOOT);
        assert_eq!(pool.generation(), 0, "{crash:?}: recovered for no reason");
        assert!(oldest_seq(&pool) <= crash.reclaimed_to(), "{crash:?}: lost");
        crash.check(&pool, crash.acknowledged);
        states += 1;
        if !crash.advance() {
            break;
        }
    }
    println!("process death: {states} states, after every store of the run; failures = 0");
    assert!(states > 1000, "the run stored too little");
}

#[test]
fn power_may_fail_after_any_store() {
    const SAMPLES: usize = 2;
    let run = record();
    let mut crash = Crash::new(&run);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut states = 0;
    loop {
        let oldest = oldest_seq(&open(&crash.now, BOOT));
        assert!(oldest <= crash.flushed, "the run laps what it flushed");
        for _ in 0..SAMPLES {
            let pool = open(&crash.torn(&mut random), NEXT_BOOT);
            assert_eq!(pool.generation(), 1, "{crash:?}");
            assert!(
                oldest_seq(&pool) <= oldest,
                "{crash:?}: flushed messages are gone"
            );
            crash.check(&pool, crash.flushed);
            states += 1;
        }
        if !crash.advance() {
            break;
        }
    }
    println!("power loss: {states} states, sampled with a fixed seed; failures = 0");
    assert!(states > 1000, "the run stored too little");
}

/// What happened, in order.
enum Event {
    Stored {
        word: u64,
        value: u64,
    },
    Persisted(Range<u64>),
    /// The writer was told that everything up to this seq is there; from `oldest` on, it is.
    Acknowledged {
        newest: u64,
        oldest: u64,
    },
    /// The writer was told that everything up to this seq survives power loss.
    Flushed(u64),
}

/// A pool as it was, what was done to it then, and what anybody may ever read from it.
struct Run {
    before: Vec<u64>,
    events: Vec<Event>,
    /// By seq: tags and data.
    messages: BTreeMap<u64, (String, String)>,
    batch_ends: BTreeSet<u64>,
}

/// Appends of several sizes, batches and flushes, on a full pool, around the ring's end.
fn record() -> Run {
    let pool = create();
    let mut run = Run {
        before: Vec::new(),
        events: Vec::new(),
        messages: BTreeMap::new(),
        batch_ends: BTreeSet::from([0]),
    };
    // Full, and so close to the ring's end that what is recorded goes around it.
    let to_wrap = || {
        header()
            .geometry
            .bytes_to_wrap(pool.newest().unwrap().end())
    };
    for n in (0..).take_while(|n| *n < 60 || to_wrap() > 1000) {
        run.append(&pool, &[500 + n * 7 % 400]);
    }
    let filled = run.messages.len() as u64;
    run.flush(&pool);
    run.before = pool.memory().image();
    pool.memory().log().clear();
    run.acknowledge(&pool, filled);
    pool.memory().log().push(Event::Flushed(filled));

    for sizes in [&[1][..], &[30, 2, 9], &[0], &[1500]] {
        run.append(&pool, sizes);
    }
    run.flush(&pool);
    for n in 0..12 {
        run.append(&pool, &[n * 97 % 700]);
    }
    run.append(&pool, &[100, 0, 200, 1]);
    run.flush(&pool);
    run.append(&pool, &[8, 8]);
    run.events = std::mem::take(&mut *pool.memory().log());
    assert!(run.wraps(), "no frame lies around the ring's end");
    run
}

impl Run {
    fn append(&mut self, pool: &Pool<Recorder>, sizes: &[usize]) {
        let first = self.messages.len() as u64 + 1;
        let batch: Vec<(String, String)> = (first..)
            .zip(sizes)
            .map(|(n, size)| message(n, *size))
            .collect();
        let last = append(pool, &batch);
        assert_eq!(last, first + sizes.len() as u64 - 1);
        self.messages.extend((first..).zip(batch));
        self.batch_ends.insert(last);
        self.acknowledge(pool, last);
    }

    fn acknowledge(&self, pool: &Pool<Recorder>, newest: u64) {
        let oldest = oldest_seq(pool);
        pool.memory()
            .log()
            .push(Event::Acknowledged { newest, oldest });
    }

    fn flush(&self, pool: &Pool<Recorder>) {
        pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
        let newest = self.messages.len() as u64;
        pool.memory().log().push(Event::Flushed(newest));
    }

    /// Whether both ends of the ring were stored to.
    fn wraps(&self) -> bool {
        let g = header().geometry;
        let stored = |wanted: u64| {
            let is_it =
                |event: &Event| matches!(event, Event::Stored { word, .. } if *word == wanted);
            self.events.iter().any(is_it)
        };
        stored(g.ring_word()) && stored(g.ring_word() + g.ring_words() - 1)
    }
}

/// A moment of a run at which everything stops.
struct Crash<'r> {
    run: &'r Run,
    /// How many events have happened.
    at: usize,
    /// Every word as it is.
    now: Vec<u64>,
    /// The words that were stored since they were persisted, with all values that a disk may hold of them.
    unpersisted: BTreeMap<u64, Vec<u64>>,
    acknowledged: u64,
    flushed: u64,
}

impl std::fmt::Debug for Crash<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "event {} after seq {}", self.at, self.acknowledged)
    }
}

impl<'r> Crash<'r> {
    fn new(run: &'r Run) -> Crash<'r> {
        let mut crash = Crash {
            run,
            at: 0,
            now: run.before.clone(),
            unpersisted: BTreeMap::new(),
            acknowledged: 0,
            flushed: 0,
        };
        crash.pass_words();
        crash
    }

    /// Goes on to the state after the next store; `false` if there is none.
    fn advance(&mut self) -> bool {
        let Some(Event::Stored { word, value }) = self.run.events.get(self.at) else {
            return false;
        };
        let now = &mut self.now[*word as usize];
        self.unpersisted
            .entry(*word)
            .or_insert_with(|| vec![*now])
            .push(*value);
        *now = *value;
        self.at += 1;
        self.pass_words();
        true
    }

    /// Passes over what is not a store. A crash before a receipt is the state that must hold what it says, and so
    /// is judged by it.
    fn pass_words(&mut self) {
        while let Some(event) = self.run.events.get(self.at) {
            match event {
                Event::Stored { .. } => return,
                Event::Persisted(words) => self.unpersisted.retain(|word, _| !words.contains(word)),
                Event::Acknowledged { newest, .. } => self.acknowledged = *newest,
                Event::Flushed(seq) => self.flushed = *seq,
            }
            self.at += 1;
        }
    }

    /// The oldest seq that the append at work, if it had been done, would have left.
    fn reclaimed_to(&self) -> u64 {
        let later = self.run.events[self.at..].iter();
        let oldest = later.filter_map(|event| match event {
            Event::Acknowledged { oldest, .. } => Some(*oldest),
            _ => None,
        });
        oldest.min().unwrap_or(u64::MAX)
    }

    /// What the disk may hold if power fails now.
    fn torn(&self, random: &mut Random) -> Vec<u64> {
        let mut image = self.now.clone();
        // From almost nothing written back to almost all of it.
        let odds = random.below(5);
        for (word, values) in &self.unpersisted {
            let newest = values.len() as u64 - 1;
            let which = match random.below(4) < odds {
                true => newest,
                false => random.below(newest + 1),
            };
            image[*word as usize] = values[which as usize];
        }
        image
    }

    /// All up to `promised` is there, or was reclaimed; all that is there is as it was appended, batches are whole,
    /// and the pool goes on.
    fn check(&self, pool: &Pool<HeapMemory>, promised: u64) {
        let report = pool.verify(|| NOW).unwrap();
        assert!(!report.is_corrupt(), "{self:?}: {report:?}");
        let newest = self.check_messages(pool);
        assert!(newest >= promised, "{self:?}: {newest} is all there is");
        assert!(
            self.run.batch_ends.contains(&newest),
            "{self:?}: half a batch"
        );

        let more = [message(newest, 40), message(newest, 900)];
        let last = append(pool, &more);
        assert!(last > newest + 1);
        assert_eq!(get(pool, last), more[1], "{self:?}");
        let report = pool.verify(|| NOW).unwrap();
        assert!(!report.is_corrupt(), "{self:?}, and an append: {report:?}");
    }

    /// Reads everything, and returns the newest seq.
    fn check_messages(&self, pool: &Pool<HeapMemory>) -> u64 {
        let mut cursor = Cursor::oldest(pool).unwrap();
        let mut frame = Frame::default();
        let mut newest = None;
        while let Step::Message = cursor.next(pool, &mut frame).unwrap() {
            let seq = frame.header().unwrap().seq;
            assert_eq!(self.run.messages.get(&seq), Some(&text(&frame)), "{self:?}");
            assert!(newest.is_none_or(|newest| seq == newest + 1), "{self:?}");
            newest = Some(seq);
        }
        let newest = newest.unwrap();
        assert_eq!(get(pool, newest), self.run.messages[&newest], "{self:?}");
        newest
    }
}

fn header() -> Header {
    Header {
        uuid: [9; 16],
        created: 1,
        geometry: Geometry::for_file(MIN_FILE_SIZE, Some(INDEX_CAPACITY)).unwrap(),
    }
}

fn create() -> Pool<Recorder> {
    let memory = Recorder {
        memory: HeapMemory::new(MIN_FILE_SIZE),
        log: Mutex::default(),
    };
    Pool::format(&memory, &header(), BOOT);
    let recovery = Recovery::<HeapLock>::ReadOnly;
    Pool::open(memory, MIN_FILE_SIZE, BOOT, recovery).unwrap()
}

fn open(image: &[u64], boot: u64) -> Pool<HeapMemory> {
    let memory = HeapMemory::new(MIN_FILE_SIZE);
    for (word, value) in (0..).zip(image) {
        memory.store(word, *value, Ordering::Relaxed);
    }
    let lock = HeapLock::default();
    let recovery = Recovery::Write(&lock, LockWait::Forever);
    Pool::open(memory, MIN_FILE_SIZE, boot, recovery).unwrap()
}

/// Appends a batch and returns its last seq.
fn append(pool: &Pool<impl Memory>, batch: &[(String, String)]) -> u64 {
    let entries = batch.iter().map(|(tags, data)| Entry {
        tags: tags.as_bytes(),
        data: data.as_bytes(),
    });
    let lock = HeapLock::default();
    let when = When::Now(|| NOW);
    pool.append(&lock, &NoBell, LockWait::Forever, entries, when)
        .unwrap()
        .last_seq
}

/// Tags and data that name their message, about `size` bytes of them.
fn message(n: u64, size: usize) -> (String, String) {
    let tags = match n % 3 {
        0 => String::new(),
        _ => format!("[\"t{n}\"]"),
    };
    (tags, format!("\"{n}:{}\"", "x".repeat(size)))
}

fn get(pool: &Pool<impl Memory>, seq: u64) -> (String, String) {
    let mut frame = Frame::default();
    pool.get(seq, &mut frame).unwrap();
    text(&frame)
}

fn text(frame: &Frame) -> (String, String) {
    [frame.tags(), frame.data()]
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .into()
}

fn oldest_seq(pool: &Pool<impl Memory>) -> u64 {
    pool.bounds().unwrap().unwrap().0.seq
}

/// A memory that remembers what was done to it.
struct Recorder {
    memory: HeapMemory,
    log: Mutex<Vec<Event>>,
}

impl Recorder {
    fn log(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        self.log.lock().unwrap()
    }

    fn image(&self) -> Vec<u64> {
        (0..self.words())
            .map(|word| self.load(word, Ordering::Relaxed))
            .collect()
    }
}

impl Memory for Recorder {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.log().push(Event::Stored { word, value });
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.memory.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.log().push(Event::Persisted(words));
        Ok(())
    }

    fn check(&self, _now: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn poisoned(&self) -> bool {
        false
    }
}

/// Marsaglia's xorshift: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
