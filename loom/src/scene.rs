//! A scene of writers and a reader, and the judgement of what the reader saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use plasmite::ErrorKind;
use plasmite::core::append::When;
use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::frame::Entry;
use plasmite::core::geometry::Geometry;
use plasmite::core::header::Header;
use plasmite::core::heap::{HeapLock, HeapMemory, NoBell};
use plasmite::core::layout::{HEADER_SIZE, SLOT_SIZE, WORD};
use plasmite::core::memory::{Bell, LockWait, Memory, WriterLock};
use plasmite::core::pool::Pool;
use plasmite::core::read::Frame;

use crate::dying::Dying;
use crate::memory::{LoomLock, LoomMemory, stored_by_appends};
use crate::search::{Tally, search, spawn};

/// What was acknowledged, by seq.
pub(crate) type Committed = BTreeMap<u64, Message>;

#[derive(Clone)]
pub(crate) struct Message {
    data: Vec<u8>,
    /// More messages of the same batch follow.
    more: bool,
}

/// One batch: for each of its messages, how many words of data it has.
pub type Batch = &'static [usize];

/// What one process appends, one batch after the other.
pub type Writer = &'static [Batch];

/// What the reader does while the writers write.
#[derive(Clone, Copy)]
pub enum Reader {
    /// Follows from the message `from` on, for so many steps.
    Follow {
        /// The first seq that it wants.
        from: u64,
        /// How often it looks.
        steps: usize,
    },
    /// Fetches these messages by seq.
    Fetch(&'static [u64]),
}

/// A small pool, what is in it, and who does what with it.
#[derive(Clone, Copy)]
pub struct Scene {
    /// What the report calls it.
    pub name: &'static str,
    /// The ring's size in words.
    pub ring: u64,
    /// How many slots the index has.
    pub index: u64,
    /// What the pool holds before anybody is there.
    pub before: &'static [Batch],
    /// The writers, of which the first one may die.
    pub writers: &'static [Writer],
    /// Whether the writers contend for the lock. If not, each begins when the one before it is dead or done.
    pub at_once: bool,
    /// The live reader.
    pub reader: Reader,
    /// How many preemptions there are in one interleaving.
    ///
    /// The reader stores nothing, so whatever it sees it also sees, as older values of the same words, when the
    /// writers were done before it began. Loom offers it all of those values without a single preemption; each
    /// further one mostly finds the same again.
    pub preemptions: usize,
}

impl Scene {
    /// Searches the whole scene with the first writer not killed, and killed before each of its stores.
    ///
    /// Panics if any interleaving is wrong, or if all of them together do not show a message, an end and a lap.
    pub fn check(self) {
        let tally = Arc::new(Tally::default());
        for death in [None]
            .into_iter()
            .chain((0..self.stores_of_first()).map(Some))
        {
            let tally = Arc::clone(&tally);
            let scene = Arc::new(Staged::new(self, death));
            search(self.preemptions, move || scene.play(&tally));
        }
        tally.report(self.name, self.preemptions);
        tally.assert_lapped();
    }

    fn stores_of_first(&self) -> u64 {
        let staged = Staged::new(*self, None);
        let memory = Dying::new(heap(&staged.image), None);
        let pool = Pool::attach(memory, staged.header);
        let mut committed = Committed::new();
        for batch in self.writers[0] {
            append(&pool, &HeapLock::default(), batch, 0, &mut committed);
        }
        pool.memory().stores()
    }
}

/// A scene with everything that is the same in all of its interleavings.
struct Staged {
    scene: Scene,
    death: Option<u64>,
    header: Header,
    image: Arc<[u64]>,
    committed: Committed,
    cursor: Cursor,
}

impl Staged {
    fn new(scene: Scene, death: Option<u64>) -> Staged {
        let header = header(scene.ring, scene.index);
        let (pool, committed) = prepared(header, scene.before);
        let from = match scene.reader {
            Reader::Follow { from, .. } => from,
            Reader::Fetch(seqs) => seqs[0],
        };
        Staged {
            cursor: Cursor::at_seq(&pool, from).expect("the scene's pool is whole"),
            image: image_of(pool.memory()),
            scene,
            death,
            header,
            committed,
        }
    }

    /// One interleaving.
    fn play(self: &Arc<Self>, tally: &Arc<Tally>) {
        tally.count(&tally.iterations);
        let memory = LoomMemory::new(
            Arc::clone(&self.image),
            stored_by_appends(&self.header.geometry),
        );
        let lock = LoomLock::new();
        // Every party is a thread of its own: in the model's main thread loom would not search a reader's loads, and
        // a fence of one writer would stand for a missing one of its successor.
        let count = self.scene.writers.len();
        let at_once = if self.scene.at_once { count } else { 1 };
        let writers: Vec<_> = (0..at_once)
            .map(|writer| {
                let (staged, memory, lock) = (Arc::clone(self), memory.clone(), lock.clone());
                spawn(move || staged.write_in_turn(writer, &memory, &lock))
            })
            .collect();
        let reader = {
            let (staged, memory, tally) = (Arc::clone(self), memory.clone(), Arc::clone(tally));
            spawn(move || staged.read(memory, &tally))
        };
        let mut committed = self.committed.clone();
        for writer in writers {
            committed.extend(writer.join().expect("writers do not fail"));
        }
        let seen = reader.join().expect("readers do not fail");
        self.judge(seen, &committed, &memory.settled());
        tally.note_stores(&memory);
    }

    /// This writer and, where they do not contend, then its successors; and what they committed.
    fn write_in_turn(
        self: &Arc<Self>,
        writer: usize,
        memory: &LoomMemory,
        lock: &LoomLock,
    ) -> Committed {
        let mut committed = self.write(writer, memory, lock);
        let next = writer + 1;
        if !self.scene.at_once && next < self.scene.writers.len() {
            let (staged, memory, lock) = (Arc::clone(self), memory.clone(), lock.clone());
            let successor = spawn(move || staged.write_in_turn(next, &memory, &lock));
            committed.extend(successor.join().expect("writers do not fail"));
        }
        committed
    }

    fn write(&self, writer: usize, memory: &LoomMemory, lock: &LoomLock) -> Committed {
        let mut committed = Committed::new();
        let death = self.death.filter(|_| writer == 0);
        let pool = Pool::attach(Dying::new(memory.clone(), death), self.header);
        for (i, batch) in self.scene.writers[writer].iter().enumerate() {
            let mut acknowledged = Committed::new();
            append(&pool, lock, batch, writer * 10 + i, &mut acknowledged);
            if pool.memory().is_dead() {
                break;
            }
            committed.extend(acknowledged);
        }
        committed
    }

    fn read(&self, memory: LoomMemory, tally: &Tally) -> Seen {
        let pool = Pool::attach(memory, self.header);
        let mut seen = Seen {
            cursor: self.cursor,
            events: Vec::new(),
        };
        let mut frame = Frame::default();
        match self.scene.reader {
            Reader::Follow { steps, .. } => {
                for _ in 0..steps {
                    let event = follow(&pool, &mut seen.cursor, &mut frame);
                    event.count(tally);
                    seen.events.push(event);
                }
            }
            Reader::Fetch(seqs) => {
                for &seq in seqs {
                    let event = fetch(&pool, seq, self.newest_before(), &mut frame);
                    event.count(tally);
                    seen.events.push(event);
                }
            }
        }
        seen
    }

    fn newest_before(&self) -> u64 {
        self.committed.keys().next_back().copied().unwrap_or(0)
    }

    /// Panics unless all that the reader saw was committed and in order, and all that is retained in the end is
    /// there, whole, and follows on what the reader saw.
    fn judge(&self, mut seen: Seen, committed: &Committed, image: &[u64]) {
        let pool = Pool::attach(heap(image), self.header);
        let mut frame = Frame::default();
        let mut oldest = Cursor::oldest(&pool).expect("the pool is whole");
        let retained = drain(&pool, &mut oldest, &mut frame);
        let newest = committed.keys().next_back().copied().unwrap_or(0);
        assert_eq!(
            oldest.next_seq(),
            newest + 1,
            "not all that was committed is there"
        );
        let first_retained = match retained.first() {
            Some(Event::Message { seq, .. }) => *seq,
            other => panic!("the oldest message cannot be read: {other:?}"),
        };
        if matches!(self.scene.reader, Reader::Follow { .. }) {
            seen.events
                .extend(drain(&pool, &mut seen.cursor, &mut frame));
        }
        for event in seen.events.iter().chain(&retained) {
            event.check(committed, first_retained);
        }
        if let Reader::Follow { from, .. } = self.scene.reader {
            let mut next = from;
            for event in &seen.events {
                next = event.advance(next, committed);
            }
            assert_eq!(next, newest + 1, "the reader does not get to the end");
        }
    }
}

struct Seen {
    cursor: Cursor,
    events: Vec<Event>,
}

#[derive(Debug)]
pub(crate) enum Event {
    Message { seq: u64, data: Vec<u8> },
    Empty,
    Lapped { first: u64, missed: u64 },
}

impl Event {
    pub(crate) fn count(&self, tally: &Tally) {
        tally.count(match self {
            Event::Message { .. } => &tally.messages,
            Event::Empty => &tally.empty,
            Event::Lapped { .. } => &tally.lapped,
        });
    }

    /// A message is the one that was committed under its seq; what was missed is gone for good.
    pub(crate) fn check(&self, committed: &Committed, first_retained: u64) {
        match self {
            Event::Message { seq, data } => {
                let expected = committed.get(seq).map(|message| &message.data);
                assert_eq!(expected, Some(data), "message {seq} is another");
            }
            Event::Lapped { first, missed } => {
                assert!(*missed > 0, "an empty gap");
                assert!(
                    first + missed <= first_retained,
                    "{self:?} is still retained"
                );
            }
            Event::Empty => {}
        }
    }

    /// The seq that comes after this, where `next` is due.
    pub(crate) fn advance(&self, next: u64, committed: &Committed) -> u64 {
        match self {
            Event::Message { seq, .. } => {
                assert_eq!(*seq, next, "out of order");
                next + 1
            }
            Event::Lapped { first, missed } => {
                assert_eq!(*first, next, "the gap does not begin where the reader is");
                next + missed
            }
            Event::Empty => {
                let before = committed.get(&(next - 1));
                assert!(!before.is_some_and(|m| m.more), "half of a batch is there");
                next
            }
        }
    }
}

pub(crate) fn header(ring_words: u64, index_capacity: u64) -> Header {
    let ring_size = ring_words * WORD;
    let ring_offset = HEADER_SIZE + index_capacity * SLOT_SIZE;
    Header {
        uuid: [7; 16],
        created: 1,
        // Smaller than any pool that can be created: the protocol does not know.
        geometry: Geometry {
            file_size: ring_offset + ring_size,
            index_offset: HEADER_SIZE,
            index_capacity,
            ring_offset,
            ring_size,
        },
    }
}

pub(crate) fn heap(image: &[u64]) -> HeapMemory {
    let bytes: Vec<u8> = image.iter().flat_map(|word| word.to_le_bytes()).collect();
    HeapMemory::from_bytes(&bytes)
}

/// A pool with these batches in it, and what was acknowledged.
pub(crate) fn prepared(header: Header, before: &[Batch]) -> (Pool<HeapMemory>, Committed) {
    let memory = HeapMemory::new(header.geometry.file_size);
    Pool::format(&memory, &header, 1);
    let pool = Pool::attach(memory, header);
    let mut committed = Committed::new();
    for (i, batch) in before.iter().enumerate() {
        append(&pool, &HeapLock::default(), batch, 100 + i, &mut committed);
    }
    (pool, committed)
}

pub(crate) fn image_of(memory: &impl Memory) -> Arc<[u64]> {
    (0..memory.words())
        .map(|word| memory.load(word, Relaxed))
        .collect()
}

/// Appends with nobody to wake and nothing to fail for.
pub(crate) fn append(
    pool: &Pool<impl Memory>,
    lock: &impl WriterLock,
    batch: Batch,
    label: usize,
    committed: &mut Committed,
) {
    try_append(pool, lock, &NoBell, batch, label, committed)
        .expect("an append never fails for what others did");
}

/// Appends a batch whose data is unlike that of any other `label`, and notes what was acknowledged.
pub(crate) fn try_append(
    pool: &Pool<impl Memory>,
    lock: &impl WriterLock,
    bell: &impl Bell,
    batch: Batch,
    label: usize,
    committed: &mut Committed,
) -> plasmite::Result<()> {
    let data: Vec<Vec<u8>> = (0..)
        .zip(batch)
        .map(|(i, words)| data(label, i, *words))
        .collect();
    let entries = data.iter().map(|data| Entry::new(b"", data));
    let when = When::Now(|| 1000);
    let appended = pool.append(lock, bell, LockWait::Forever, entries, when)?;
    for (seq, data) in (appended.first_seq..).zip(data) {
        let more = seq < appended.last_seq;
        committed.insert(seq, Message { data, more });
    }
    Ok(())
}

fn data(label: usize, message: usize, words: usize) -> Vec<u8> {
    (0..words)
        .flat_map(|i| format!("{label:03}.{message}.{i:02}").into_bytes())
        .collect()
}

pub(crate) fn follow(pool: &Pool<impl Memory>, cursor: &mut Cursor, frame: &mut Frame) -> Event {
    match cursor.next(pool, frame).expect("nothing is corrupt") {
        Step::Message => message(frame),
        Step::Empty => Event::Empty,
        Step::Lapped { first, missed } => Event::Lapped { first, missed },
    }
}

/// A message that is not there has been overwritten, or is yet to come if it was not there before the scene.
fn fetch(pool: &Pool<impl Memory>, seq: u64, newest_before: u64, frame: &mut Frame) -> Event {
    match pool.get(seq, frame) {
        Ok(()) => message(frame),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            panic!("nothing is corrupt: {error:?}")
        }
        Err(_) if seq > newest_before => Event::Empty,
        Err(_) => Event::Lapped {
            first: seq,
            missed: 1,
        },
    }
}

fn message(frame: &Frame) -> Event {
    Event::Message {
        seq: frame.header().map_or(0, |header| header.seq),
        data: frame.data().to_vec(),
    }
}

/// Drains, and counts what came and the end.
pub(crate) fn drain_counted(
    pool: &Pool<impl Memory>,
    cursor: &mut Cursor,
    tally: &Tally,
) -> Vec<Event> {
    let events = drain(pool, cursor, &mut Frame::default());
    events.iter().for_each(|event| event.count(tally));
    Event::Empty.count(tally);
    events
}

/// The seq that comes after `events`, of which the first is due at `from`. Panics unless each of them is what was
/// committed, and in order.
pub(crate) fn next_after(
    events: &[Event],
    from: u64,
    committed: &Committed,
    first_retained: u64,
) -> u64 {
    events.iter().fold(from, |next, event| {
        event.check(committed, first_retained);
        event.advance(next, committed)
    })
}

pub(crate) fn drain(
    pool: &Pool<impl Memory>,
    cursor: &mut Cursor,
    frame: &mut Frame,
) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match follow(pool, cursor, frame) {
            Event::Empty => return events,
            event => events.push(event),
        }
    }
}
