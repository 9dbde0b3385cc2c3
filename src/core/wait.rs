//! Sleeps until something may have been appended. Wrong in either direction it costs time, never a message.

use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::time::Duration;

use super::error::Result;
use super::memory::{Bell, Memory};
use super::pool::Pool;

/// The longest that a sleeper goes without a look of its own.
pub const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// The newest frame at some moment, to tell later whether there has been another since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

impl<M: Memory> Pool<M> {
    /// What is newest now. Taken before a cursor is read to its end, it lets [`wait`](Pool::wait) miss nothing.
    pub fn seen(&self) -> Result<Seen> {
        self.last().map(Seen)
    }

    /// Sleeps until there may be a frame newer than `seen`, for at most `bound` and never beyond [`LONGEST_SLEEP`].
    ///
    /// No wake-up is lost: the flag is raised before `last` and the deletion mark are looked at again, and whoever
    /// stores one of these does so before it looks at the flag. With a fence between on both sides, at least one of them sees the other.
    pub fn wait(&self, bell: &impl Bell, seen: Seen, bound: Duration) -> Result<()> {
        // Whoever sees the word that a ring left raises its flag after that ring lowered it.
        let word = bell.word(Acquire); // WAKE
        bell.set_flag(true);
        self.memory.fence(SeqCst); // BELL
        self.check_deleted()?;
        if self.last()? == seen.0 {
            bell.sleep(word, bound.min(LONGEST_SLEEP));
            self.check_deleted()?;
        }
        Ok(())
    }
}

/// Wakes every sleeper, if there may be one. The caller has published what they wait for, and holds the writer lock.
pub(super) fn ring_if_heard(memory: &impl Memory, bell: &impl Bell) {
    memory.fence(SeqCst); // BELL
    if bell.flag() {
        ring(bell);
    }
}

/// Wakes every sleeper.
pub(crate) fn ring(bell: &impl Bell) {
    bell.set_flag(false);
    bell.advance_word(Release); // WAKE
    bell.wake_all();
}
