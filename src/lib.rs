//! Bounded, persistent rings of JSON messages that many processes share through one file.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod core;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod platform;
#[cfg(not(feature = "internals"))]
#[expect(
    unreachable_pub,
    reason = "the feature `internals` opens the same items"
)]
mod platform;

pub use crate::core::error::{Error, ErrorKind, Result};
