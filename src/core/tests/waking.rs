//! Who is woken, and a bell that notes it.

use super::*;
use crate::core::wait::ring_if_heard;

/// A bell that notes what is done to it.
#[derive(Default)]
pub(super) struct Bedside {
    pub(super) flag: Cell<bool>,
    pub(super) word: Cell<u32>,
    /// How often everybody was woken.
    pub(super) wakes: Cell<u32>,
    /// For how long somebody would have slept.
    pub(super) bound: Cell<Duration>,
}

impl Bell for Bedside {
    fn word(&self, _order: Ordering) -> u32 {
        self.word.get()
    }

    fn advance_word(&self, _order: Ordering) {
        self.word.set(self.word.get() + 1);
    }

    fn flag(&self) -> bool {
        self.flag.get()
    }

    fn set_flag(&self, raised: bool) {
        self.flag.set(raised);
    }

    fn wake_all(&self) {
        self.wakes.set(self.wakes.get() + 1);
    }

    fn sleep(&self, _seen: u32, bound: Duration) {
        self.bound.set(bound);
    }
}

#[test]
fn a_bell_is_rung_for_those_who_may_be_asleep_and_not_again() {
    let (memory, bell) = (HeapMemory::new(4096), Bedside::default());
    ring_if_heard(&memory, &bell);
    assert_eq!((bell.word.get(), bell.wakes.get()), (0, 0));
    bell.set_flag(true);
    for _ in 0..2 {
        ring_if_heard(&memory, &bell);
        let told = (bell.flag(), bell.word.get(), bell.wakes.get());
        assert_eq!(told, (false, 1, 1));
    }
}
