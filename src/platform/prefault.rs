//! Which parts of a mapping are made ready whole, for whoever stores to one after the other.
//!
//! Each page that a process stores to for the first time costs it a page fault, which a writer of a full ring pays while
//! it holds the writers' lock. The system makes several pages ready together for much less.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The words of a part: sixteen pages, on most systems.
const PART: usize = (64 << 10) / 8;
/// How many parts are entered, since the opening or the last sync, before any is made ready: who stores little, or syncs
/// what little it stored, makes no more pages dirty than it has to.
const PATIENCE: u32 = 2;
const NOWHERE: usize = usize::MAX;

/// What one process has done to a mapping. Threads may race here: what they lose is time at most.
pub(super) struct Prefault {
    words: usize,
    /// The part that was stored to last.
    current: AtomicUsize,
    /// How many parts were entered, up to [`PATIENCE`].
    entered: AtomicU32,
    /// A bit for each part, set once it has been made ready.
    ready: OnceLock<Box<[AtomicU64]>>,
}

impl Prefault {
    /// Of a mapping of so many words.
    pub(super) fn new(words: usize) -> Prefault {
        Prefault {
            words,
            current: AtomicUsize::new(NOWHERE),
            entered: AtomicU32::new(0),
            ready: OnceLock::new(),
        }
    }

    /// Whether a store of `count` words from `word` on, all of them in the mapping, ends in the part of the last one.
    #[inline]
    pub(super) fn goes_on(&self, word: usize, count: usize) -> bool {
        last_part(word, count) == self.current.load(Relaxed)
    }

    /// Goes to the part where that store ends, and tells which words to make ready for it.
    pub(super) fn enter(&self, word: usize, count: usize) -> Option<Range<usize>> {
        let last = last_part(word, count);
        self.current.store(last, Relaxed);
        let entered = self.entered.load(Relaxed);
        if entered < PATIENCE {
            self.entered.store(entered + 1, Relaxed);
            return None;
        }
        let mut unready = (word / PART..=last).filter(|&part| self.mark(part));
        let first = unready.next()?;
        let last = unready.last().unwrap_or(first);
        Some(first * PART..self.words.min((last + 1) * PART))
    }

    /// These words have been made ready.
    pub(super) fn note(&self, words: Range<usize>) {
        for part in words.start / PART..words.end.div_ceil(PART) {
            self.mark(part);
        }
    }

    /// What has been stored is clean again.
    pub(super) fn forget(&self) {
        self.current.store(NOWHERE, Relaxed);
        self.entered.store(0, Relaxed);
    }

    /// Whether that part was not ready before.
    fn mark(&self, part: usize) -> bool {
        let bit = 1 << (part % 64);
        let bits = &self.ready()[part / 64];
        bits.load(Relaxed) & bit == 0 && bits.fetch_or(bit, Relaxed) & bit == 0
    }

    fn ready(&self) -> &[AtomicU64] {
        self.ready.get_or_init(|| {
            let bits = self.words.div_ceil(PART).div_ceil(64);
            (0..bits).map(|_| AtomicU64::new(0)).collect()
        })
    }
}

#[inline]
fn last_part(word: usize, count: usize) -> usize {
    (word + count).saturating_sub(1) / PART
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: usize = 200;

    fn patient() -> Prefault {
        let prefault = Prefault::new(PARTS * PART - 5);
        for part in 0..PATIENCE as usize {
            assert_eq!(prefault.enter(part * PART, 8), None);
        }
        prefault
    }

    #[test]
    fn each_part_is_made_ready_once() {
        let prefault = patient();
        for part in [7, 3, 64, 63] {
            let whole = part * PART..(part + 1) * PART;
            assert_eq!(prefault.enter(part * PART + 100, 8), Some(whole));
            assert_eq!(prefault.enter(part * PART, 8), None);
        }
    }

    #[test]
    fn a_store_goes_on_where_the_last_one_ended() {
        let prefault = patient();
        assert!(!prefault.goes_on(9 * PART - 1, 2));
        prefault.enter(9 * PART - 1, 2);
        assert!(prefault.goes_on(9 * PART + 1, 1));
        assert!(prefault.goes_on(10 * PART - 1, 1));
        assert!(!prefault.goes_on(10 * PART - 1, 2));
    }

    #[test]
    fn a_store_over_several_parts_has_all_of_them_made_ready() {
        let prefault = patient();
        assert_eq!(prefault.enter(5 * PART + 1, 8), Some(5 * PART..6 * PART));
        assert_eq!(
            prefault.enter(5 * PART + 9, 3 * PART),
            Some(6 * PART..9 * PART)
        );
        let end = PARTS * PART - 5;
        assert_eq!(prefault.enter(end - 1, 1), Some((PARTS - 1) * PART..end));
    }

    #[test]
    fn who_stores_little_or_syncs_it_has_nothing_made_ready() {
        let prefault = patient();
        assert!(prefault.enter(20 * PART, 8).is_some());
        prefault.forget();
        for part in 30..30 + PATIENCE as usize {
            assert!(!prefault.goes_on(part * PART, 8));
            assert_eq!(prefault.enter(part * PART, 8), None);
        }
        assert!(prefault.enter(40 * PART, 8).is_some());
    }

    #[test]
    fn what_was_made_ready_otherwise_is_left_alone() {
        let prefault = patient();
        prefault.note(10 * PART + 3..12 * PART + 1);
        assert_eq!(prefault.enter(10 * PART, 8), None);
        assert_eq!(prefault.enter(12 * PART + 9, 8), None);
        assert!(prefault.enter(13 * PART, 8).is_some());
    }
}
