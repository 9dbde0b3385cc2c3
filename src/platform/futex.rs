//! The bell: a futex in the pool file where there is one, polling elsewhere.
//!
//! Nothing but latency depends on it. The wake word is an opaque counter that is only ever compared for equality, so it
//! has no byte order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::mapped::MappedFile;
#[cfg(not(feature = "no-wake"))]
use super::sys;
use crate::core::memory::Bell;

/// How long a wait lasts at most where nobody can be sure to be woken.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A wake word and a waiter flag in a mapped file.
///
/// Sleeping on a read-only mapping, which cannot raise the flag, or without futexes, ends after a few milliseconds.
#[cfg_attr(
    feature = "no-wake",
    expect(dead_code, reason = "there is nothing to ring")
)]
pub struct FutexBell {
    map: MappedFile,
    word: usize,
    flag: usize,
}

impl FutexBell {
    /// A bell over the 32-bit words at byte offsets `word` and `flag`.
    ///
    /// # Panics
    ///
    /// If an offset is outside the mapping or not a multiple of 4.
    pub fn new(map: &MappedFile, word: u64, flag: u64) -> FutexBell {
        let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let (word, flag) = (offset(word), offset(flag));
        map.word32(word);
        map.word32(flag);
        FutexBell {
            map: map.clone(),
            word,
            flag,
        }
    }
}

#[cfg(not(feature = "no-wake"))]
impl Bell for FutexBell {
    fn word(&self, order: Ordering) -> u32 {
        self.map.word32(self.word).load(order)
    }

    fn advance_word(&self, order: Ordering) {
        if self.map.writable() {
            self.map.word32(self.word).fetch_add(1, order);
        }
    }

    fn flag(&self) -> bool {
        self.map.word32(self.flag).load(Ordering::Relaxed) != 0
    }

    fn set_flag(&self, raised: bool) {
        if self.map.writable() {
            let flag = self.map.word32(self.flag);
            flag.store(u32::from(raised), Ordering::Relaxed);
        }
    }

    fn wake_all(&self) {
        if self.map.writable() {
            sys::wake_all(self.map.word32(self.word));
        }
    }

    fn sleep(&self, seen: u32, bound: Duration) {
        let bound = if self.map.writable() {
            bound
        } else {
            bound.min(POLL_INTERVAL)
        };
        sys::sleep_on(self.map.word32(self.word), seen, bound);
    }
}

#[cfg(feature = "no-wake")]
impl Bell for FutexBell {
    fn word(&self, _order: Ordering) -> u32 {
        0
    }

    fn advance_word(&self, _order: Ordering) {}

    fn flag(&self) -> bool {
        false
    }

    fn set_flag(&self, _raised: bool) {}

    fn wake_all(&self) {}

    fn sleep(&self, _seen: u32, bound: Duration) {
        std::thread::sleep(bound.min(POLL_INTERVAL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::wait::ring;
    use crate::platform::mapped::Access;

    const WORD: u64 = 1088;
    const FLAG: u64 = 1092;
    /// So long that a test which waits for it has failed.
    const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

    fn bells<const N: usize>(access: [Access; N]) -> [FutexBell; N] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        access.map(|access| {
            let map = MappedFile::open(file.path(), access, 4096).unwrap();
            FutexBell::new(&map, WORD, FLAG)
        })
    }

    #[test]
    #[cfg(not(feature = "no-wake"))]
    fn a_ring_wakes_every_sleeper_of_every_mapping() {
        let [ringer, a, b] = bells([Access::ReadWrite; 3]);
        let (asleep, sleepers) = std::sync::mpsc::channel();
        std::thread::scope(|s| {
            for bell in [&a, &a, &b, &b] {
                let asleep = asleep.clone();
                s.spawn(move || {
                    let seen = bell.word(Ordering::Acquire);
                    bell.set_flag(true);
                    asleep.send(()).unwrap();
                    while bell.word(Ordering::Acquire) == seen {
                        bell.sleep(seen, FOR_EVER);
                    }
                });
            }
            (0..4).for_each(|_| sleepers.recv().unwrap());
            // Long enough for some to be asleep; those that are not return for the changed word.
            std::thread::sleep(Duration::from_millis(20));
            assert!(ringer.flag());
            ring(&ringer);
        });
        assert!(!ringer.flag());
    }

    #[test]
    #[cfg(not(feature = "no-wake"))]
    fn a_word_that_has_changed_ends_the_wait_at_once() {
        let [bell] = bells([Access::ReadWrite]);
        let seen = bell.word(Ordering::Acquire);
        ring(&bell);
        assert_ne!(bell.word(Ordering::Acquire), seen);
        bell.sleep(seen, FOR_EVER);
    }

    #[test]
    fn a_wait_ends_at_its_bound() {
        let [bell] = bells([Access::ReadWrite]);
        bell.sleep(bell.word(Ordering::Acquire), Duration::from_millis(1));
    }

    #[test]
    fn a_read_only_bell_stores_nothing_and_never_sleeps_for_long() {
        let [bell, watcher] = bells([Access::ReadOnly, Access::ReadWrite]);
        bell.set_flag(true);
        ring(&bell);
        assert!(!watcher.flag());
        assert_eq!(watcher.word(Ordering::Acquire), 0);
        bell.sleep(bell.word(Ordering::Acquire), FOR_EVER);
    }

    #[test]
    #[cfg(feature = "no-wake")]
    fn without_wake_ups_nothing_is_stored_and_nobody_sleeps_for_long() {
        let [bell] = bells([Access::ReadWrite]);
        bell.set_flag(true);
        assert!(!bell.flag());
        ring(&bell);
        assert_eq!(bell.word(Ordering::Acquire), 0);
        bell.sleep(0, FOR_EVER);
    }

    #[test]
    #[should_panic(expected = "no 32-bit word")]
    fn an_offset_outside_the_file_panics() {
        let [bell] = bells([Access::ReadWrite]);
        FutexBell::new(&bell.map, 4096, FLAG);
    }
}
