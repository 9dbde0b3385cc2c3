//! A writer's death before any one of its stores.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plasmite::Result;
use plasmite::core::memory::Memory;

/// A memory as seen by a process that is killed before its store number `last_breath`, counted from 0.
///
/// Nothing that the process does from there on reaches the memory, and then its lock is released, just as the kernel
/// does it. To unwind instead would come to the same, but would poison loom's mutex.
pub struct Dying<M> {
    memory: M,
    last_breath: Option<u64>,
    stores: AtomicU64,
    stored: Mutex<BTreeSet<u64>>,
}

impl<M> Dying<M> {
    /// `None` lives on.
    pub fn new(memory: M, last_breath: Option<u64>) -> Dying<M> {
        Dying {
            memory,
            last_breath,
            stores: AtomicU64::new(0),
            stored: Mutex::default(),
        }
    }

    /// Whether a store has been lost.
    pub fn is_dead(&self) -> bool {
        self.last_breath
            .is_some_and(|last| self.stores.load(Relaxed) > last)
    }

    /// The words that the process has stored.
    pub(crate) fn stored(&self) -> Vec<u64> {
        self.words_stored().iter().copied().collect()
    }

    fn words_stored(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a store, and says whether it is still made.
    pub(crate) fn lives_on(&self) -> bool {
        self.stores.fetch_add(1, Relaxed);
        !self.is_dead()
    }

    /// How many stores the process has made, or would have made if it had lived on.
    pub fn stores(&self) -> u64 {
        self.stores.load(Relaxed)
    }
}

impl<M: Memory> Memory for Dying<M> {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    #[track_caller]
    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.memory.load(word, order)
    }

    fn load_exclusive(&self, word: u64) -> u64 {
        self.memory.load_exclusive(word)
    }

    #[track_caller]
    fn store(&self, word: u64, value: u64, order: Ordering) {
        if self.lives_on() {
            self.words_stored().insert(word);
            self.memory.store(word, value, order);
        }
    }

    #[track_caller]
    fn fence(&self, order: Ordering) {
        if !self.is_dead() {
            self.memory.fence(order);
        }
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.memory.persist(words)
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.memory.check(now)
    }

    fn poisoned(&self) -> bool {
        self.memory.poisoned()
    }
}
