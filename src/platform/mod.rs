//! The platform: files, mappings, locks, wake-ups and signals. It knows nothing of messages.
//!
//! It implements the traits of [`core::memory`](crate::core::memory) over memmap2, fs2 and libc. Offsets come from the
//! caller, so no layout is known here.
//!
//! Unix only. Linux is complete; other Unix systems poll where Linux sleeps on a futex, and without a boot id
//! [`boot::boot_word`] says `None`, so that pools are not opened for writing there. Windows still lacks all of it:
//! `LockFileEx` for the lock, `SetEndOfFile` and a link into place for creation, a structured exception for the guard.
//!
//! Reading order: [`mapped`], [`sigbus`], [`lock`], [`futex`], [`create`], then the small ones.

pub mod boot;
pub mod clock;
pub mod create;
pub mod fork;
pub mod futex;
pub mod lock;
pub mod mapped;
pub mod sigbus;

mod os_error;
mod place;

#[cfg(test)]
mod spawned;
#[cfg(all(test, target_os = "linux"))]
mod witness;
