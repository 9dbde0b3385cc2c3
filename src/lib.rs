//! Bounded, persistent rings of JSON messages that many processes share through one file.
//!
//! A *pool* is one file. Any number of processes append to it and follow it at the same time, without a broker:
//! writers take turns, readers never wait for anybody. When the ring is full the oldest messages go, and a reader that
//! was too slow learns exactly which ones it missed.
//!
//! ```
//! use plasmite::{Client, CreateOptions, Durability, PoolRef, Start, TailOptions, Tags};
//!
//! # fn main() -> plasmite::Result<()> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! let client = Client::new(dir.path());
//! let pool = client.create_pool(&PoolRef::parse("chat")?, CreateOptions::default())?;
//!
//! let receipt = pool.append(&["hello", "world"], &Tags::new(["greeting"]), Durability::Fast)?;
//! assert_eq!(receipt.first_seq, 1);
//!
//! let retained = TailOptions { start: Start::Oldest, follow: false, ..TailOptions::default() };
//! for message in pool.tail(retained)? {
//!     let words: Vec<String> = message?.decode()?;
//!     assert_eq!(words, ["hello", "world"]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The default durability, [`Durability::Fast`], survives the end of the process but not power loss;
//! [`Durability::Flush`] survives both. What exactly is promised is in `spec/`.

#[doc(hidden)]
pub mod abi;
pub mod api;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod core;
#[cfg(not(feature = "internals"))]
#[expect(unreachable_pub, reason = "the same items are public with `internals`")]
mod core;
mod echo;
#[cfg(any(feature = "cli", feature = "serve"))]
mod moment;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod platform;
#[cfg(not(feature = "internals"))]
#[expect(unreachable_pub, reason = "the same items are public with `internals`")]
mod platform;
#[doc(hidden)]
pub mod policy;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "serve")]
#[doc(hidden)]
pub mod serve;
#[doc(hidden)]
pub mod wire;

pub use crate::api::{
    Age, Batch, Bounds, Canceller, Client, CreateOptions, Dimensions, Dropped, Duplicate,
    Durability, EndReason, Exported, Gap, GapPolicy, ImportOptions, Imported, Issue, IssueCode,
    Loss, Message, Metrics, Next, Pool, PoolEntry, PoolInfo, PoolRef, Receipt, Report,
    ResizeOptions, Resized, Salvaged, Start, Tags, Tail, TailOptions, Timestamp, Utilization,
};
pub use crate::core::error::{Error, ErrorKind, Result};
pub use crate::platform::sigbus::install_guard as install_sigbus_guard;

/// The Rust examples of the documents, compiled and run as they are printed there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../spec/api/v0/SPEC.md")]
pub struct Documents;
