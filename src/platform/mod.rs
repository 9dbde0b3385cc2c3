//! The platform: files, mappings, locks, wake-ups and signals. It knows nothing of messages.
//!
//! It implements the traits of [`core::memory`](crate::core::memory) over memmap2, fs2 and libc. Offsets come from the
//! caller, so no layout is known here.
//!
//! What systems do in ways of their own is in `sys`, with a table of it: Linux is complete and tested, macOS is written
//! and compiled, Windows is a list of what is missing.
//!
//! Reading order: [`mapped`], [`sigbus`], [`lock`], [`futex`], [`create`], [`replace`], then the small ones.

pub mod boot;
pub mod clock;
pub mod create;
pub mod fork;
pub mod futex;
pub mod lock;
pub mod mapped;
pub mod replace;
pub mod sigbus;

mod copy;
mod os_error;
mod place;
mod prefault;
mod sys;

#[cfg(feature = "serve")]
pub(crate) use sys::for_owner_alone;
#[cfg(any(feature = "remote", feature = "serve"))]
pub(crate) use sys::is_for_others;
#[cfg(feature = "cli")]
pub(crate) use sys::{
    ChildId, Ending, SIGTERM, await_either, bytes_in, ending_signal, endings, exit_on_abort,
    has_more_within, is_no_program, may_execute, private_memory, remember_children, signal_name,
    stdout_is_closed, user_id, usual_permissions, write_through,
};
#[cfg(all(feature = "cli", feature = "serve"))]
pub(crate) use sys::{Hangups, raise_file_limit};
pub(crate) use sys::{bytes_of_path, path_of_bytes};

#[cfg(test)]
mod spawned;
#[cfg(all(test, target_os = "linux"))]
mod witness;
