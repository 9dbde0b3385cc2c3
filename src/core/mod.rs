//! The pool: every storage rule, and nothing else. No async, no network, no clock, no environment.
//!
//! # What always holds
//!
//! 1. A file is `header | index | ring`; every offset is in [`layout`], stated once.
//! 2. `last` names a verified frame. It is the one word that commits: from that frame come the newest seq, the newest
//!    time and the place of the next frame. All zeros is `Corrupt`, never "empty".
//! 3. `oldest <= last < intent` and `intent - oldest <= ring_size`. `intent` never goes down, also not after a writer
//!    died beyond it.
//! 4. From plan to bell one writer holds the lock. A process that dies at any store leaves nothing to repair.
//! 5. A reader takes no lock and makes no system call. What it copied counts only if no writer had begun to overwrite
//!    it by then and both checksums match.
//! 6. A frame, and a batch in total, is at most half the ring: the newest frame survives whatever is begun next.
//! 7. Seqs grow; where one is skipped the frame behind it says so. Times never decrease.
//! 8. The index is a hint. A wake-up is a hint. Neither is needed for a right answer.
//! 9. After an OS crash no control word is trusted until a recovery has rebuilt them from the frames.
//!
//! # Reading order
//!
//! [`layout`], [`geometry`], [`frame`], [`header`] and `summed` say what the bytes are. [`memory`] is the contract with the
//! platform. [`plan`] and [`append`] write, [`read`] and [`cursor`] read, [`index`] finds, [`wait`] sleeps.
//! [`checkpoint`] makes durable, [`recover`] rebuilds, [`verify`] judges, [`salvage`]
//! saves what can be saved, put together from `piece`s, by `guess` also without a header. [`pool`] ties them together.

// A clock, the environment, files: what clippy.toml lists is banned here and nowhere else.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod append;
pub mod checkpoint;
pub mod cursor;
pub mod error;
pub mod frame;
pub mod geometry;
mod guess;
pub mod header;
#[cfg(any(test, feature = "internals"))]
pub mod heap;
pub mod index;
pub mod json;
pub mod layout;
pub mod memory;
mod piece;
pub mod plan;
pub mod pool;
pub mod read;
pub mod recover;
pub mod salvage;
mod summed;
pub mod verify;
pub mod wait;

#[cfg(test)]
mod tests;
