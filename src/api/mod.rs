//! The public Rust surface: [`Client`], [`Pool`], [`Tail`], [`Message`].

mod archive;
mod batch;
mod client;
mod draft;
mod fill;
mod message;
mod pool;
mod pool_ref;
mod resize;
mod salvage;
mod tail;
mod walk;

pub use archive::{Exported, ImportOptions, Imported};
pub use batch::{Batch, Tags};
#[cfg(feature = "serve")]
pub(crate) use client::PoolFile;
pub use client::{Client, CreateOptions, PoolEntry};
pub use fill::Dropped;
pub use message::{Message, Timestamp};
pub use pool::{Age, Bounds, Durability, Metrics, Pool, PoolInfo, Receipt, Utilization};
pub use pool_ref::PoolRef;
pub use resize::{Dimensions, ResizeOptions, Resized};
pub use salvage::Salvaged;
pub use tail::{Canceller, EndReason, Gap, GapPolicy, Next, Start, Tail, TailOptions};

pub use crate::core::salvage::{Duplicate, Loss};
pub use crate::core::verify::{Issue, IssueCode, Report};
