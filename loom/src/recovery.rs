//! The first openers after a boot: one recovers, the other finds it done.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use plasmite::core::cursor::Cursor;
use plasmite::core::header::Header;
use plasmite::core::heap::HeapLock;
use plasmite::core::layout::{BOOT, INTENT, LAST, NEWEST_HOLE, OLDEST, WORD};
use plasmite::core::memory::{LockWait, Memory, WriterLock};
use plasmite::core::pool::{Pool, Recovery};
use plasmite::core::read::Frame;

use crate::dying::Dying;
use crate::memory::{LoomLock, LoomMemory, stored_by_appends};
use crate::scene::{
    Batch, Committed, Event, append, drain, drain_counted, header, heap, image_of, next_after,
    prepared,
};
use crate::search::{Tally, search, spawn};

/// The boot in which the pool was written, and the one in which it is opened.
const BEFORE: u64 = 1;
const NOW: u64 = 2;

/// A pool of an earlier boot, of whose control words an older state has survived, and who opens it.
#[derive(Clone, Copy)]
pub struct FirstOpeners {
    /// What the report calls it.
    pub name: &'static str,
    /// The ring's size in words.
    pub ring: u64,
    /// What the pool holds.
    pub before: &'static [Batch],
    /// How many of these the control words on the medium know of.
    pub known: usize,
    /// What the first opener appends once it has the pool.
    pub append: Batch,
    /// How many preemptions there are in one interleaving.
    pub preemptions: usize,
}

struct Staged {
    scene: FirstOpeners,
    header: Header,
    image: Arc<[u64]>,
    stored: Vec<u64>,
    before: Committed,
}

impl FirstOpeners {
    /// Searches the whole model. Panics if any interleaving is wrong.
    pub fn check(self) {
        let tally = Arc::new(Tally::default());
        let staged = Arc::new(Staged::new(self));
        {
            let tally = Arc::clone(&tally);
            search(self.preemptions, move || staged.play(&tally));
        }
        tally.report(self.name, self.preemptions);
        tally.assert_lapped();
    }
}

impl Staged {
    fn new(scene: FirstOpeners) -> Staged {
        let header = header(scene.ring, 0);
        let (pool, before) = prepared(header, scene.before);
        let (known, _) = prepared(header, &scene.before[..scene.known]);
        for word in [OLDEST, INTENT, NEWEST_HOLE].map(|offset| offset / WORD) {
            let stale = known.memory().load(word, Relaxed);
            pool.memory().store(word, stale, Relaxed);
        }
        // Not even a position: whoever goes by it before the recovery fails.
        pool.memory().store(LAST / WORD, 1, Relaxed);
        pool.memory().store(BOOT / WORD, BEFORE, Relaxed);
        let image = image_of(pool.memory());
        let memory = Dying::new(heap(&image), None);
        let recovered = open(
            memory,
            header,
            Recovery::Write(&HeapLock::default(), LockWait::Forever),
        );
        let stored = recovered.memory().stored();
        Staged {
            scene,
            header,
            image,
            stored,
            before,
        }
    }

    fn play(self: &Arc<Self>, tally: &Arc<Tally>) {
        tally.count(&tally.iterations);
        let shared = stored_by_appends(&self.header.geometry).chain(self.stored.iter().copied());
        let memory = LoomMemory::new(Arc::clone(&self.image), shared);
        let lock = LoomLock::new();
        let first = {
            let (staged, memory, lock) = (Arc::clone(self), memory.clone(), lock.clone());
            spawn(move || staged.recover_and_append(memory, &lock))
        };
        let second = {
            let (staged, memory, tally) = (Arc::clone(self), memory.clone(), Arc::clone(tally));
            spawn(move || staged.open_and_read(memory, &lock, &tally))
        };
        let mut committed = self.before.clone();
        committed.extend(first.join().expect("the first opener does not fail"));
        let seen = second.join().expect("the second opener does not fail");
        self.judge(&seen, &committed, &memory.settled());
        tally.note_stores(&memory);
    }

    fn recover_and_append(&self, memory: LoomMemory, lock: &LoomLock) -> Committed {
        let mut committed = Committed::new();
        let pool = open(
            memory,
            self.header,
            Recovery::Write(lock, LockWait::Forever),
        );
        append(&pool, lock, self.scene.append, 0, &mut committed);
        committed
    }

    fn open_and_read(&self, memory: LoomMemory, lock: &LoomLock, tally: &Tally) -> Vec<Event> {
        let pool = open(
            memory,
            self.header,
            Recovery::Write(lock, LockWait::Forever),
        );
        let mut cursor = Cursor::at_seq(&pool, 1).expect("the pool is whole");
        drain_counted(&pool, &mut cursor, tally)
    }

    /// Panics unless the second opener found all that was there before, or lost it to the append alone.
    fn judge(&self, seen: &[Event], committed: &Committed, image: &[u64]) {
        let pool = Pool::attach(heap(image), self.header);
        let mut oldest = Cursor::oldest(&pool).expect("the pool is whole");
        let first_retained = oldest.next_seq();
        drain(&pool, &mut oldest, &mut Frame::default());
        let newest = committed.keys().next_back().copied().unwrap_or(0);
        assert_eq!(oldest.next_seq(), newest + 1, "not all is there");
        let next = next_after(seen, 1, committed, first_retained);
        let before = self.before.keys().next_back().copied().unwrap_or(0);
        assert!(next > before, "not all that was there was read");
    }
}

fn open<M: Memory, L: WriterLock>(memory: M, header: Header, recovery: Recovery<'_, L>) -> Pool<M> {
    Pool::attach(memory, header)
        .enter(NOW, recovery)
        .expect("the pool can be recovered")
}
