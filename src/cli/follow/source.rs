//! The pool that messages come from, on this machine or on a server.

use std::time::Instant;

use crate::api::{Canceller, CreateOptions, Message, Next, Pool, PoolRef, Tail, TailOptions};
use crate::cli::args::Global;
use crate::cli::open::{self, Target};
use crate::cli::remote::Flags as RemoteFlags;
use crate::core::error::Result;
#[cfg(feature = "remote")]
use crate::remote::blocking::{RemotePool, RemoteTail};

/// A pool that may be followed.
pub(in crate::cli) enum Origin {
    Local(Pool),
    #[cfg(feature = "remote")]
    Remote(RemotePool),
}

/// A place in such a pool.
pub(in crate::cli) enum Source {
    Local(Box<Tail>),
    #[cfg(feature = "remote")]
    Remote(Box<RemoteTail>),
}

impl Origin {
    /// Opens the pool to read it, and creates it if it is missing and `create` says so.
    #[cfg_attr(
        not(feature = "remote"),
        expect(
            unused_variables,
            reason = "there are no servers to reach without the client"
        )
    )]
    pub(super) fn open(
        global: &Global,
        pool: &str,
        create: bool,
        remote: &RemoteFlags,
    ) -> Result<Origin> {
        match open::target(pool)? {
            Target::Local(pool) => open_local(global, &pool, create).map(Origin::Local),
            #[cfg(feature = "remote")]
            Target::Remote(url) => {
                let client = crate::cli::remote::client(remote, &url)?;
                let pool = client.pool_of(&url)?;
                if create {
                    open::remote_or_create(&client, &pool, Some(CreateOptions::default()))?;
                }
                Ok(Origin::Remote(pool))
            }
        }
    }

    pub(in crate::cli) fn tail(&self, options: TailOptions) -> Result<Source> {
        Ok(match self {
            Origin::Local(pool) => Source::Local(Box::new(pool.tail(options)?)),
            #[cfg(feature = "remote")]
            Origin::Remote(pool) => Source::Remote(Box::new(pool.tail(options)?)),
        })
    }
}

fn open_local(global: &Global, pool: &PoolRef, create: bool) -> Result<Pool> {
    let client = global.client_for(pool)?;
    let open = |pool: &PoolRef| client.open_pool_to_read(pool);
    match create {
        true => open::or_create(&client, pool, CreateOptions::default(), open),
        false => open(pool),
    }
}

impl Source {
    pub(in crate::cli) fn read_before(
        &mut self,
        deadline: Instant,
        into: &mut Message,
    ) -> Result<Next> {
        match self {
            Source::Local(tail) => tail.read_before(deadline, into),
            #[cfg(feature = "remote")]
            Source::Remote(tail) => tail.read_before(deadline, into),
        }
    }

    pub(in crate::cli) fn canceller(&self) -> Canceller {
        match self {
            Source::Local(tail) => tail.canceller(),
            #[cfg(feature = "remote")]
            Source::Remote(tail) => tail.canceller(),
        }
    }

    /// The seq to resume from. A server tells it with the first thing that it sends, unless it was told the seq to
    /// begin with; until then it is 1.
    pub(in crate::cli) fn next_seq(&self) -> u64 {
        match self {
            Source::Local(tail) => tail.next_seq(),
            #[cfg(feature = "remote")]
            Source::Remote(tail) => tail.next_seq().unwrap_or(1),
        }
    }
}
