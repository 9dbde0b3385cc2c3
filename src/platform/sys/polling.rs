//! Where no futex is known to work between processes: sleepers look again every few milliseconds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::platform::futex::POLL_INTERVAL;

pub(crate) fn wake_all(_word: &AtomicU32) {}

pub(crate) fn sleep_on(word: &AtomicU32, seen: u32, bound: Duration) {
    if word.load(Ordering::Relaxed) == seen {
        std::thread::sleep(bound.min(POLL_INTERVAL));
    }
}
