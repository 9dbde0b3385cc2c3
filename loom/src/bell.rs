//! A bell that loom hears.

use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use loom::sync::atomic::AtomicU32;
use loom::sync::{Condvar, Mutex, MutexGuard};
use plasmite::core::memory::Bell;

use crate::sites::weakened;

/// A wake word, a flag, and a queue of sleepers as the kernel keeps it.
///
/// Nobody's bound is ever over by itself: who is not woken sleeps for ever, which loom reports as a deadlock. So a
/// model that completes has lost no wake-up. [`time_passes`](LoomBell::time_passes) stands for the bounds.
#[derive(Clone)]
pub struct LoomBell(Arc<Inner>);

struct Inner {
    word: AtomicU32,
    flag: AtomicU32,
    /// Whether everybody's bound is over.
    queue: Mutex<bool>,
    woken: Condvar,
}

impl LoomBell {
    /// Inside a model: a bell that has never been rung.
    pub fn new() -> LoomBell {
        LoomBell(Arc::new(Inner {
            word: AtomicU32::new(0),
            flag: AtomicU32::new(0),
            queue: Mutex::new(false),
            woken: Condvar::new(),
        }))
    }

    /// From now on every sleep ends at once, and all that have begun.
    pub fn time_passes(&self) {
        *self.queue() = true;
        self.wake_all();
    }

    /// Whether time has passed.
    pub fn is_over(&self) -> bool {
        *self.queue()
    }

    fn queue(&self) -> MutexGuard<'_, bool> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LoomBell {
    fn default() -> LoomBell {
        LoomBell::new()
    }
}

impl Bell for LoomBell {
    #[track_caller]
    fn word(&self, order: Ordering) -> u32 {
        self.0.word.load(weakened(order))
    }

    #[track_caller]
    fn advance_word(&self, order: Ordering) {
        self.0.word.fetch_add(1, weakened(order));
    }

    fn flag(&self) -> bool {
        self.0.flag.load(Relaxed) != 0
    }

    fn set_flag(&self, raised: bool) {
        self.0.flag.store(u32::from(raised), Relaxed);
    }

    fn wake_all(&self) {
        let _queue = self.queue();
        self.0.woken.notify_all();
    }

    /// The kernel, too, compares the word while it holds the queue.
    fn sleep(&self, seen: u32, _bound: Duration) {
        let queue = self.queue();
        if !*queue && self.0.word.load(Relaxed) == seen {
            drop(self.0.woken.wait(queue));
        }
    }
}
