//! A memory that tells what is about to happen to it.

use std::ops::Range;
use std::sync::atomic::Ordering;

use plasmite::Result;
use plasmite::core::memory::Memory;

/// An access that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The load of a word.
    Load(u64),
    /// The store of a word.
    Store(u64),
    /// A fence.
    Fence(Ordering),
}

impl Access {
    /// Whether only a writer does this.
    pub(crate) fn is_writers(self) -> bool {
        !matches!(self, Access::Load(_) | Access::Fence(Ordering::Acquire))
    }
}

/// Passes every access on, word by word, after it has told `before` of it.
pub(crate) struct Watched<M, F> {
    memory: M,
    before: F,
}

impl<M: Memory, F: Fn(Access)> Watched<M, F> {
    /// Watches `memory`.
    pub(crate) fn new(memory: M, before: F) -> Watched<M, F> {
        Watched { memory, before }
    }
}

impl<M: Memory, F: Fn(Access)> Memory for Watched<M, F> {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        (self.before)(Access::Load(word));
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        (self.before)(Access::Store(word));
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        (self.before)(Access::Fence(order));
        self.memory.fence(order);
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
