//! Sleepers, what wakes them, and the deletion that ends them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plasmite::ErrorKind;
use plasmite::core::cursor::Cursor;
use plasmite::core::header::Header;
use plasmite::core::heap::HeapLock;
use plasmite::core::layout::{DELETED, WORD};
use plasmite::core::memory::{Bell, LockWait, Memory};
use plasmite::core::pool::{self, Pool};
use plasmite::core::read::Frame;
use plasmite::core::wait::Seen;

use crate::bell::LoomBell;
use crate::dying::Dying;
use crate::memory::{LoomLock, LoomMemory, stored_by_appends};
use crate::scene::{
    Batch, Committed, Event, Writer, drain, drain_counted, header, heap, image_of, next_after,
    prepared, try_append,
};
use crate::search::{Tally, search, spawn};

/// Waiters that follow a small pool, asleep whenever they have read all, while a writer appends.
#[derive(Clone, Copy)]
pub struct Waiting {
    /// What the report calls it.
    pub name: &'static str,
    /// The ring's size in words.
    pub ring: u64,
    /// What the pool holds before anybody is there.
    pub before: &'static [Batch],
    /// What the writer appends.
    pub appends: Writer,
    /// How many wait.
    pub waiters: usize,
    /// Whether they also read, from the first message on. If not, they wait for no more than to see the newest frame.
    pub read: bool,
    /// How it ends.
    pub end: End,
    /// How many preemptions there are in one interleaving.
    pub preemptions: usize,
}

/// What comes of the writer and the pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The writer appends all. No sleeper's bound is ever over, so each has to be woken.
    Appended,
    /// The writer is killed before each of its stores to the pool and the bell. The sleepers' bounds end their sleep.
    Killed,
    /// Another process deletes the pool. No sleeper's bound is ever over.
    Deleted,
}

struct Staged {
    scene: Waiting,
    death: Option<u64>,
    header: Header,
    image: Arc<[u64]>,
    before: Committed,
    /// What is newest in the end.
    newest: Seen,
}

impl Waiting {
    /// Searches the whole model. Panics if any interleaving is wrong, loom itself if anybody sleeps for ever.
    pub fn check(self) {
        let tally = Arc::new(Tally::default());
        let header = header(self.ring, 0);
        let (pool, before) = prepared(header, self.before);
        let image = image_of(pool.memory());
        let (stores, newest) = self.rehearse(header, &image);
        let deaths = if self.end == End::Killed { stores } else { 0 };
        for death in [None].into_iter().chain((0..deaths).map(Some)) {
            let tally = Arc::clone(&tally);
            let staged = Arc::new(Staged {
                scene: self,
                death,
                header,
                image: Arc::clone(&image),
                before: before.clone(),
                newest,
            });
            search(self.preemptions, move || staged.play(&tally));
        }
        tally.report(self.name, self.preemptions);
        if self.read {
            tally.assert_lapped();
        }
    }

    /// How many stores the writer makes to the pool and, with everybody asleep, to the bell; and what is newest then.
    fn rehearse(&self, header: Header, image: &[u64]) -> (u64, Seen) {
        let pool = Pool::attach(Dying::new(heap(image), None), header);
        let bell = DyingBell {
            bell: &AllAsleep,
            process: pool.memory(),
        };
        for batch in self.appends {
            let lock = HeapLock::default();
            try_append(&pool, &lock, &bell, batch, 0, &mut Committed::new())
                .expect("nothing is in the way");
        }
        let newest = pool.seen().expect("the pool is whole");
        (pool.memory().stores(), newest)
    }
}

impl Staged {
    fn play(self: &Arc<Self>, tally: &Arc<Tally>) {
        tally.count(&tally.iterations);
        let shared = stored_by_appends(&self.header.geometry).chain([DELETED / WORD]);
        let memory = LoomMemory::new(Arc::clone(&self.image), shared);
        let (lock, bell) = (LoomLock::new(), LoomBell::new());
        let waiters: Vec<_> = (0..self.scene.waiters)
            .map(|_| {
                let (staged, memory, bell) = (Arc::clone(self), memory.clone(), bell.clone());
                let tally = Arc::clone(tally);
                spawn(move || match staged.scene.read {
                    true => staged.follow(memory, &bell, &tally),
                    false => staged.watch(memory, &bell, &tally),
                })
            })
            .collect();
        let deleter = (self.scene.end == End::Deleted).then(|| {
            let (staged, memory) = (Arc::clone(self), memory.clone());
            let (lock, bell) = (lock.clone(), bell.clone());
            spawn(move || staged.delete(&memory, &lock, &bell))
        });
        let writer = {
            let (staged, memory) = (Arc::clone(self), memory.clone());
            let (lock, bell) = (lock.clone(), bell.clone());
            spawn(move || staged.write(memory, &lock, &bell))
        };
        let mut committed = self.before.clone();
        committed.extend(writer.join().expect("the writer does not fail"));
        if self.scene.end == End::Killed {
            bell.time_passes();
        }
        if let Some(deleter) = deleter {
            deleter.join().expect("a deletion does not fail");
        }
        let seen: Vec<_> = waiters
            .into_iter()
            .map(|waiter| waiter.join().expect("waiters do not fail"))
            .collect();
        self.judge(&seen, &committed, &memory.settled());
        tally.note_stores(&memory);
    }

    /// What was appended, or may have been before the writer's death. Once the pool is gone, it is gone.
    fn write(&self, memory: LoomMemory, lock: &LoomLock, bell: &LoomBell) -> Committed {
        let mut committed = Committed::new();
        let pool = Pool::attach(Dying::new(memory, self.death), self.header);
        let bell = DyingBell {
            bell,
            process: pool.memory(),
        };
        let mut gone = false;
        for (i, batch) in self.scene.appends.iter().enumerate() {
            match try_append(&pool, lock, &bell, batch, i, &mut committed) {
                Ok(()) => assert!(!gone, "an append to a pool that was gone before"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
                    assert!(self.scene.end == End::Deleted, "nobody has deleted it");
                    gone = true;
                }
            }
            if pool.memory().is_dead() {
                break;
            }
        }
        committed
    }

    fn delete(&self, memory: &LoomMemory, lock: &LoomLock, bell: &LoomBell) {
        pool::delete(memory, lock, bell, LockWait::Forever, || Ok(()))
            .expect("the deletion is not in anybody's way");
        let pool = Pool::attach(memory.clone(), self.header);
        let late = try_append(&pool, lock, bell, &[1], 9, &mut Committed::new());
        let kind = late.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::NotFound), "an append after the end");
    }

    /// Reads to the end and sleeps, over and over, until all is there, nothing more can come, or the pool is gone.
    fn follow(&self, memory: LoomMemory, bell: &LoomBell, tally: &Tally) -> Vec<Event> {
        let pool = Pool::attach(memory, self.header);
        let mut cursor = Cursor::at_seq(&pool, 1).expect("the pool is whole");
        let mut events = Vec::new();
        let newest = self.before.len() + self.scene.appends.iter().map(|b| b.len()).sum::<usize>();
        loop {
            let over = bell.is_over();
            let seen = pool.seen().expect("the pool is whole");
            events.extend(drain_counted(&pool, &mut cursor, tally));
            let all = cursor.next_seq() > newest as u64 && self.scene.end != End::Deleted;
            if over || all {
                return events;
            }
            if let Err(error) = pool.wait(bell, seen, Duration::MAX) {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
                assert!(self.scene.end == End::Deleted, "nobody has deleted it");
                return events;
            }
        }
    }

    /// Sleeps, over and over, until the newest frame is seen.
    fn watch(&self, memory: LoomMemory, bell: &LoomBell, tally: &Tally) -> Vec<Event> {
        let pool = Pool::attach(memory, self.header);
        loop {
            let seen = pool.seen().expect("the pool is whole");
            if seen == self.newest {
                tally.count(&tally.messages);
                return Vec::new();
            }
            tally.count(&tally.empty);
            pool.wait(bell, seen, Duration::MAX)
                .expect("nobody deletes it");
        }
    }

    /// Panics unless each waiter saw what was committed, in order; and, other than in a pool that went, all of it.
    fn judge(&self, seen: &[Vec<Event>], committed: &Committed, image: &[u64]) {
        let pool = Pool::attach(heap(image), self.header);
        let mut oldest = Cursor::oldest(&pool).expect("the pool is whole");
        let first_retained = oldest.next_seq();
        drain(&pool, &mut oldest, &mut Frame::default());
        for events in seen {
            let next = next_after(events, 1, committed, first_retained);
            if self.scene.read && self.scene.end != End::Deleted {
                assert_eq!(next, oldest.next_seq(), "a waiter was not told of all");
            }
        }
    }
}

/// The bell as a process hears it that dies.
struct DyingBell<'a, B, M> {
    bell: &'a B,
    process: &'a Dying<M>,
}

impl<B: Bell, M: Memory> Bell for DyingBell<'_, B, M> {
    #[track_caller]
    fn word(&self, order: Ordering) -> u32 {
        self.bell.word(order)
    }

    #[track_caller]
    fn advance_word(&self, order: Ordering) {
        if self.process.lives_on() {
            self.bell.advance_word(order);
        }
    }

    fn flag(&self) -> bool {
        self.bell.flag()
    }

    fn set_flag(&self, raised: bool) {
        if self.process.lives_on() {
            self.bell.set_flag(raised);
        }
    }

    fn wake_all(&self) {
        if self.process.lives_on() {
            self.bell.wake_all();
        }
    }

    fn sleep(&self, seen: u32, bound: Duration) {
        self.bell.sleep(seen, bound);
    }
}

/// A bell whose flag is always raised.
struct AllAsleep;

impl Bell for AllAsleep {
    fn word(&self, _order: Ordering) -> u32 {
        0
    }

    fn advance_word(&self, _order: Ordering) {}

    fn flag(&self) -> bool {
        true
    }

    fn set_flag(&self, _raised: bool) {}

    fn wake_all(&self) {}

    fn sleep(&self, _seen: u32, _bound: Duration) {}
}
