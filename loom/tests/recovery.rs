//! After a boot the pool is recovered once, and nobody takes what was there before for the pool.
//!
//! The bug that this guards against: an opener that sees the pool recovered, and reads control words of before.

use plasmite_loom::recovery::FirstOpeners;

const OPENERS: FirstOpeners = FirstOpeners {
    name: "recovery",
    ring: 28,
    before: &[&[1], &[1], &[1]],
    known: 1,
    append: &[4],
    preemptions: 1,
};

/// Two may write: whoever has the lock first recovers, the other waits, and finds all of it done.
#[test]
fn an_opener_finds_a_recovery_done_or_does_it() {
    OPENERS.check();
}
