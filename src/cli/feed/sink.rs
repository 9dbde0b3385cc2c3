//! The pool that messages are appended to, on this machine or on a server.

use crate::api::{Batch, CreateOptions, Durability, Pool, Receipt};
use crate::cli::args::Global;
use crate::cli::open::{self, Target};
use crate::cli::remote::Flags as RemoteFlags;
use crate::core::error::{Error, ErrorKind, Result};
#[cfg(feature = "remote")]
use crate::remote::blocking::RemotePool;

/// A batch is appended at the latest when it takes this much of the ring, so that other writers get their turn,
pub(in crate::cli) const BATCH_BYTES: u64 = 1024 * 1024;
/// or this much of a request: half of what a server takes unless told otherwise.
#[cfg(feature = "remote")]
const REQUEST_BYTES: u64 = 512 * 1024;
/// The longest record that is sent to a pool of which nothing may be known.
#[cfg(feature = "remote")]
const MOST_UNKNOWN: u64 = 64 * 1024 * 1024;

/// The pool that messages go to, and what it takes.
pub(in crate::cli) enum Sink {
    Local(Pool),
    #[cfg(feature = "remote")]
    Remote {
        pool: RemotePool,
        /// The most that the pool takes at once, as far as that is known.
        max_batch_bytes: u64,
    },
}

impl Sink {
    /// Opens the pool to append to it, and creates it with the options of `create` if it is missing.
    #[cfg_attr(
        not(feature = "remote"),
        expect(
            unused_variables,
            reason = "there are no servers to reach without the client"
        )
    )]
    pub(in crate::cli) fn open(
        global: &Global,
        pool: &str,
        create: Option<CreateOptions>,
        remote: &RemoteFlags,
    ) -> Result<Sink> {
        match open::target(pool)? {
            Target::Local(pool) => {
                let client = global.client_for(&pool)?;
                let opened = match create {
                    Some(options) => {
                        open::or_create(&client, &pool, options, |pool| client.open_pool(pool))
                    }
                    None => client.open_pool(&pool),
                };
                opened.map(Sink::Local)
            }
            #[cfg(feature = "remote")]
            Target::Remote(url) => {
                let client = crate::cli::remote::client(remote, &url)?;
                let pool = client.pool_of(&url)?;
                let info = open::remote_or_create(&client, &pool, create)?;
                let max_batch_bytes = info.map_or(MOST_UNKNOWN, |info| info.ring_size / 2);
                Ok(Sink::Remote {
                    pool,
                    max_batch_bytes,
                })
            }
        }
    }

    pub(in crate::cli) fn append_batch(
        &self,
        batch: &Batch,
        durability: Durability,
    ) -> Result<Receipt> {
        match self {
            Sink::Local(pool) => pool.append_batch(batch, durability),
            #[cfg(feature = "remote")]
            Sink::Remote { pool, .. } => pool.append_batch(batch, durability),
        }
    }

    /// The largest message or batch that goes in.
    pub(in crate::cli) fn max_batch_bytes(&self) -> u64 {
        match self {
            Sink::Local(pool) => pool.max_batch_bytes(),
            #[cfg(feature = "remote")]
            Sink::Remote {
                max_batch_bytes, ..
            } => *max_batch_bytes,
        }
    }

    /// What a batch should take at most.
    pub(super) fn batch_bytes(&self) -> u64 {
        let most = match self {
            Sink::Local(_) => BATCH_BYTES,
            #[cfg(feature = "remote")]
            Sink::Remote { .. } => REQUEST_BYTES,
        };
        self.max_batch_bytes().min(most)
    }

    /// Whether an append that failed like this may be repeated. [REMOTE-7]
    pub(super) fn may_repeat(&self, error: &Error) -> bool {
        match self {
            Sink::Local(_) => error.kind() == ErrorKind::Busy,
            #[cfg(feature = "remote")]
            Sink::Remote { .. } => crate::remote::was_not_taken(error),
        }
    }

    /// The seq of the newest message.
    pub(in crate::cli) fn newest(&self) -> Result<Option<u64>> {
        match self {
            Sink::Local(pool) => Ok(pool.bounds()?.newest),
            #[cfg(feature = "remote")]
            Sink::Remote { pool, .. } => Ok(pool.info()?.bounds.newest),
        }
    }
}

/// Appends batches to a pool.
pub(in crate::cli) trait Appender {
    /// Appends all messages of the batch, or none.
    fn append(&self, batch: &Batch, durability: Durability) -> Result<Receipt>;

    /// The pool.
    fn sink(&self) -> &Sink;
}

impl Appender for Sink {
    fn append(&self, batch: &Batch, durability: Durability) -> Result<Receipt> {
        self.append_batch(batch, durability)
    }

    fn sink(&self) -> &Sink {
        self
    }
}
