//! Sleeps until something may have been appended. Wrong in either direction it costs time, never a message.

use std::sync::atomic::Ordering::SeqCst;
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
    /// No wake-up is lost: the flag is raised before `last` is looked at again, and a writer publishes `last` before
    /// it looks at the flag. With a fence between on both sides, at least one of them sees the other.
    pub fn wait(&self, bell: &impl Bell, seen: Seen, bound: Duration) -> Result<()> {
        let word = bell.word();
        bell.raise_flag();
        self.memory.fence(SeqCst); // BELL
        if self.last()? == seen.0 {
            bell.wait(word, bound.min(LONGEST_SLEEP));
        }
        self.check_deleted()
    }
}
