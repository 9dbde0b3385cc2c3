//! Bounded, persistent rings of JSON messages that many processes share through one file.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod core;

pub use crate::core::error::{Error, ErrorKind, Result};
