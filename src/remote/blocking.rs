//! The client for programs without async: the same, each call of which waits.
//!
//! Not to be used on a thread that runs async tasks, where waiting is a panic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::{RemoteOptions, RemoteRef};
use crate::api::{
    Batch, Canceller, CreateOptions, Durability, EndReason, Message, Next, PoolEntry, PoolInfo,
    Receipt, Tags, TailOptions,
};
use crate::{Error, ErrorKind, Result};

/// How long a read waits before it looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// As [`remote::RemoteClient`](super::RemoteClient), over a runtime of its own.
#[derive(Clone, Debug)]
pub struct RemoteClient {
    inner: super::RemoteClient,
    runtime: Arc<Runtime>,
}

/// As [`remote::RemotePool`](super::RemotePool).
#[derive(Clone, Debug)]
pub struct RemotePool {
    inner: super::RemotePool,
    runtime: Arc<Runtime>,
}

/// As [`remote::RemoteTail`](super::RemoteTail).
#[derive(Debug)]
pub struct RemoteTail {
    inner: super::RemoteTail,
    runtime: Arc<Runtime>,
    canceller: Canceller,
}

impl RemoteClient {
    /// A client for the server that `reference` names. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// As [`remote::RemoteClient::new`](super::RemoteClient::new), and `Io` if the system has no room for a runtime.
    pub fn new(reference: &RemoteRef, options: &RemoteOptions) -> Result<RemoteClient> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Io, "cannot set up what waits for the network")
                    .hint("check the limits on open files and threads")
                    .caused_by(cause)
            })?;
        Ok(RemoteClient {
            inner: super::RemoteClient::new(reference, options)?,
            runtime: Arc::new(runtime),
        })
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        self.inner.server()
    }

    /// The pool of this name, whether or not it is there.
    ///
    /// # Errors
    ///
    /// As [`remote::RemoteClient::pool`](super::RemoteClient::pool).
    pub fn pool(&self, name: &str) -> Result<RemotePool> {
        self.inner.pool(name).map(|pool| self.own(pool))
    }

    /// The pool that `reference` names, whether or not it is there.
    ///
    /// # Errors
    ///
    /// As [`remote::RemoteClient::pool_of`](super::RemoteClient::pool_of).
    pub fn pool_of(&self, reference: &RemoteRef) -> Result<RemotePool> {
        self.inner.pool_of(reference).map(|pool| self.own(pool))
    }

    /// Makes a pool.
    ///
    /// # Errors
    ///
    /// As [`remote::RemoteClient::create_pool`](super::RemoteClient::create_pool).
    pub fn create_pool(&self, name: &str, options: CreateOptions) -> Result<PoolInfo> {
        wait(&self.runtime, self.inner.create_pool(name, options))
    }

    /// All pools that may be read, by name.
    ///
    /// # Errors
    ///
    /// As [`remote::RemoteClient::list_pools`](super::RemoteClient::list_pools).
    pub fn list_pools(&self) -> Result<Vec<PoolEntry>> {
        wait(&self.runtime, self.inner.list_pools())
    }

    fn own(&self, inner: super::RemotePool) -> RemotePool {
        RemotePool {
            inner,
            runtime: Arc::clone(&self.runtime),
        }
    }
}

impl RemotePool {
    /// The pool's name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The pool's URL.
    pub fn url(&self) -> String {
        self.inner.url()
    }

    /// What there is to know about the pool.
    ///
    /// # Errors
    ///
    /// As [`remote::RemotePool::info`](super::RemotePool::info).
    pub fn info(&self) -> Result<PoolInfo> {
        wait(&self.runtime, self.inner.info())
    }

    /// Deletes the pool.
    ///
    /// # Errors
    ///
    /// As [`remote::RemotePool::delete`](super::RemotePool::delete).
    pub fn delete(&self) -> Result<()> {
        wait(&self.runtime, self.inner.delete())
    }

    /// Appends one message whose data is this JSON text.
    ///
    /// # Errors
    ///
    /// As [`remote::RemotePool::append_json`](super::RemotePool::append_json).
    pub fn append_json(&self, data: &[u8], tags: &Tags, durability: Durability) -> Result<Receipt> {
        wait(
            &self.runtime,
            self.inner.append_json(data, tags, durability),
        )
    }

    /// Appends all messages of the batch, or none.
    ///
    /// # Errors
    ///
    /// As [`remote::RemotePool::append_batch`](super::RemotePool::append_batch).
    pub fn append_batch(&self, batch: &Batch, durability: Durability) -> Result<Receipt> {
        wait(&self.runtime, self.inner.append_batch(batch, durability))
    }

    /// The message with this seq.
    ///
    /// # Errors
    ///
    /// As [`remote::RemotePool::get`](super::RemotePool::get).
    pub fn get(&self, seq: u64) -> Result<Message> {
        wait(&self.runtime, self.inner.get(seq))
    }

    /// Follows the pool, from where the options say. The tail reconnects by itself.
    ///
    /// # Errors
    ///
    /// As [`remote::RemotePool::tail`](super::RemotePool::tail).
    pub fn tail(&self, options: TailOptions) -> Result<RemoteTail> {
        Ok(RemoteTail {
            inner: wait(&self.runtime, self.inner.tail(options))?,
            runtime: Arc::clone(&self.runtime),
            canceller: Canceller::default(),
        })
    }
}

impl RemoteTail {
    /// Waits for the next message, and puts it into `into`.
    ///
    /// # Errors
    ///
    /// As [`remote::RemoteTail::read`](super::RemoteTail::read).
    pub fn read(&mut self, into: &mut Message) -> Result<Next> {
        loop {
            match self.read_before(Instant::now() + LOOK, into)? {
                Next::Idle => {}
                next => return Ok(next),
            }
        }
    }

    /// As [`read`](RemoteTail::read), but waits no longer than to `deadline`; one in the past asks what there is now.
    ///
    /// # Errors
    ///
    /// As [`read`](RemoteTail::read).
    pub fn read_before(&mut self, deadline: Instant, into: &mut Message) -> Result<Next> {
        loop {
            if self.canceller.is_cancelled() {
                return Ok(Next::End(EndReason::Cancelled));
            }
            let look = deadline.min(Instant::now() + LOOK);
            match self.runtime.block_on(self.inner.read_before(look, into))? {
                Next::Idle if look < deadline => {}
                next => return Ok(next),
            }
        }
    }

    /// Ends this tail from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The seq to resume from, once it is known: a tail that starts there continues this one.
    pub fn next_seq(&self) -> Option<u64> {
        self.inner.next_seq()
    }
}

/// Runs a request. Nothing ran since the one before, so first the runtime learns which connections were closed
/// meanwhile: a request that is sent on one of those may or may not have been taken.
fn wait<T>(runtime: &Runtime, request: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(async {
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        request.await
    })
}
