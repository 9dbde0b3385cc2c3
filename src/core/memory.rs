//! The contract with the platform: words that several parties share, the writers' lock, and a bell.
//!
//! The protocol is written once, over these traits. A mapped file, loom's atomics and a recorder that enumerates
//! crash states all implement them, so what is proved is what ships.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::error::Result;

/// A run of little-endian 64-bit words that other processes may read and write at the same time.
///
/// Implementations never lend a slice: shared bytes are only ever loaded, stored and copied, word by word.
/// Word indices count from the start of the file. An index beyond [`words`](Memory::words) is a bug of the caller
/// and panics.
pub trait Memory {
    /// How many words there are.
    fn words(&self) -> u64;

    /// Loads one word.
    fn load(&self, word: u64, order: Ordering) -> u64;

    /// Loads one word that no other party can be storing, because the caller holds the writer lock.
    fn load_exclusive(&self, word: u64) -> u64 {
        self.load(word, Ordering::Relaxed)
    }

    /// Stores one word.
    fn store(&self, word: u64, value: u64, order: Ordering);

    /// A memory fence.
    fn fence(&self, order: Ordering);

    /// Copies words out, Relaxed, in ascending order. The length of `into` is a multiple of 8.
    fn copy_out(&self, word: u64, into: &mut [u8]) {
        for (i, bytes) in (word..).zip(into.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&self.load(i, Ordering::Relaxed).to_le_bytes());
        }
    }

    /// Copies bytes in, Relaxed, in ascending order; the last word is filled up with zero bytes.
    fn copy_in(&self, word: u64, from: &[u8]) {
        for (i, bytes) in (word..).zip(from.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            self.store(i, u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    /// Makes these words survive power loss, and returns when they do.
    fn persist(&self, words: Range<u64>) -> Result<()>;

    /// `NotFound` if the file behind this memory is gone from where it was opened, `Corrupt` if its size is not what it was.
    ///
    /// `now` is in nanoseconds since the Unix epoch and lets an implementation limit how often it asks the
    /// operating system; `None` asks at once.
    fn check(&self, now: Option<u64>) -> Result<()>;

    /// Whether any access so far may have gone to, or come from, bytes that are not the file's.
    fn poisoned(&self) -> bool;
}

/// How long to wait for the writer lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// At most this long, then `Busy`. Zero tries once.
    AtMost(Duration),
    /// As long as it takes.
    #[cfg_attr(
        not(any(test, feature = "internals")),
        expect(
            dead_code,
            reason = "the interfaces all bound their waiting; the harnesses need not"
        )
    )]
    Forever,
}

/// The lock that makes one writer, among all threads of all processes, the only one.
pub trait WriterLock {
    /// Releases the lock when dropped.
    type Guard<'a>
    where
        Self: 'a;

    /// Takes the lock, or fails with `Busy` once `wait` is over.
    fn acquire(&self, wait: LockWait) -> Result<Self::Guard<'_>>;
}

/// The wake-up channel of a pool: a 32-bit word to sleep on, and a flag that says whether anybody may be asleep.
///
/// It stands outside [`Memory`] because the kernel's futex is 32 bits wide and the two widths must never mix.
/// Nothing depends on it but latency: [`sleep`](Bell::sleep) may return early, late (at its bound), or at once. In which
/// order word and flag are used is the core's business; see `wait.rs`.
pub trait Bell {
    /// The wake word's present value.
    fn word(&self, order: Ordering) -> u32;
    /// Changes the wake word.
    fn advance_word(&self, order: Ordering);
    /// Whether somebody may be asleep. Relaxed.
    fn flag(&self) -> bool;
    /// Says whether somebody may be asleep. Relaxed.
    fn set_flag(&self, raised: bool);
    /// Wakes everybody who sleeps.
    fn wake_all(&self);
    /// Sleeps until woken, or at most for `bound`; returns at once when the word is no longer `seen`.
    fn sleep(&self, seen: u32, bound: Duration);
}
