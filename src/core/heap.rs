//! A [`Memory`] of this process alone: for tests, and for images of pools that are examined away from their file.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use super::error::Result;
use super::layout::WORD;
use super::memory::{Bell, LockWait, Memory, WriterLock};

/// Words on the heap. Nothing survives, so persisting them is a no-op.
pub struct HeapMemory(Box<[AtomicU64]>);

impl HeapMemory {
    /// So many zero bytes, rounded up to whole words.
    pub fn new(bytes: u64) -> HeapMemory {
        HeapMemory(
            (0..bytes.div_ceil(WORD))
                .map(|_| AtomicU64::new(0))
                .collect(),
        )
    }

    /// A copy of a file's bytes; an incomplete last word is filled up with zero bytes.
    pub fn from_bytes(bytes: &[u8]) -> HeapMemory {
        let memory = HeapMemory::new(bytes.len() as u64);
        memory.copy_in(0, bytes);
        memory
    }

    /// The bytes as they are now.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.len() * WORD as usize];
        self.copy_out(0, &mut bytes);
        bytes
    }
}

impl Memory for HeapMemory {
    fn words(&self) -> u64 {
        self.0.len() as u64
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.0[word as usize].load(order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.0[word as usize].store(value, order);
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }

    fn persist(&self, _words: Range<u64>) -> Result<()> {
        Ok(())
    }

    fn check(&self, _now: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn poisoned(&self) -> bool {
        false
    }
}

/// A [`WriterLock`] among the threads of this process.
#[derive(Default)]
pub struct HeapLock(Mutex<()>);

impl WriterLock for HeapLock {
    type Guard<'a> = std::sync::MutexGuard<'a, ()>;

    fn acquire(&self, _wait: LockWait) -> Result<Self::Guard<'_>> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// A [`Bell`] that nobody hears.
#[derive(Clone, Copy, Default)]
pub struct NoBell;

impl Bell for NoBell {
    fn word(&self, _order: Ordering) -> u32 {
        0
    }

    fn advance_word(&self, _order: Ordering) {}

    fn flag(&self) -> bool {
        false
    }

    fn set_flag(&self, _raised: bool) {}

    fn wake_all(&self) {}

    fn sleep(&self, _seen: u32, _bound: Duration) {}
}
