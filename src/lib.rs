//! Bounded, persistent rings of JSON messages that many processes share through one file.

pub mod core;

pub use crate::core::error::{Error, ErrorKind, Result};
