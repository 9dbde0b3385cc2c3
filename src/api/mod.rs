//! The public Rust surface: [`Client`], [`Pool`], [`Tail`], [`Message`].

mod batch;
mod client;
mod draft;
mod message;
mod pool;
mod pool_ref;
mod salvage;
mod tail;

pub use batch::{Batch, Tags};
#[cfg(feature = "serve")]
pub(crate) use client::PoolFile;
pub use client::{Client, CreateOptions, PoolEntry};
pub use message::{Message, Timestamp};
pub use pool::{Age, Bounds, Durability, Metrics, Pool, PoolInfo, Receipt, Utilization};
pub use pool_ref::PoolRef;
pub use salvage::Salvaged;
pub use tail::{Canceller, EndReason, Gap, GapPolicy, Next, Start, Tail, TailOptions};

pub use crate::core::salvage::{Duplicate, Loss};
pub use crate::core::verify::{Issue, IssueCode, Report};
