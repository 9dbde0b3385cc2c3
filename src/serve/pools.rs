//! The pools that are open, each with at most one thread that waits for its next message.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use tokio::sync::{Semaphore, watch};

use super::answer::{Refusal, unexpected};
use crate::api::{Client, Pool, PoolRef};
use crate::{Error, ErrorKind, Result};

/// How long a waiter sleeps before it looks whether anybody still follows its pool.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// A pool that nobody asked for in this time, and nobody follows, is closed.
const KEPT_OPEN: Duration = Duration::from_secs(60);

/// The pools of one directory, opened as they are asked for.
pub(super) struct Pools {
    client: Client,
    open: Mutex<HashMap<String, Arc<OpenPool>>>,
    /// Held while a pool is opened, so that many who ask for it at once open it once. Names share these by hash.
    opening: [tokio::sync::Mutex<()>; 64],
    names: RandomState,
    /// How many requests may wait for storage at once. [QUOTA-5]
    storage: Arc<Semaphore>,
}

/// One open pool.
pub(super) struct OpenPool {
    /// The handle that all requests share.
    pub(super) pool: Pool,
    /// Its UUID, as a header has it.
    pub(super) uuid: HeaderValue,
    used: Mutex<Instant>,
    changes: watch::Sender<()>,
    has_waiter: Mutex<bool>,
}

impl Pools {
    pub(super) fn new(client: Client, storage_concurrency: usize) -> Pools {
        Pools {
            client,
            open: Mutex::default(),
            opening: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            names: RandomState::new(),
            storage: Arc::new(Semaphore::new(storage_concurrency)),
        }
    }

    /// Does work that may wait for a lock or a disk on a thread that may wait.
    pub(super) async fn on_storage<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(permit) = Arc::clone(&self.storage).try_acquire_owned() else {
            return Err(Refusal::overloaded(
                "too many requests are waiting for storage",
            ));
        };
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match done.await {
            Ok(outcome) => Ok(outcome?),
            Err(cause) => Err(unexpected("storage work did not come to its end", cause).into()),
        }
    }

    /// The pool of this name, to read. Looks whether the file is still the one that is open.
    pub(super) async fn to_read(&self, name: &PoolName) -> Result<Arc<OpenPool>, Refusal> {
        self.opened_or(name, Pool::check_there, Client::open_pool_to_read)
            .await
    }

    /// The pool of this name, to append to. Looks for its file as often as every writer has to, and no more.
    pub(super) async fn to_write(&self, name: &PoolName) -> Result<Arc<OpenPool>, Refusal> {
        self.opened_or(name, Pool::check_fit_to_write, Client::open_pool)
            .await
    }

    /// The open pool of this name if it will do, else one that is opened now.
    async fn opened_or(
        &self,
        name: &PoolName,
        check: fn(&Pool) -> Result<()>,
        open: fn(&Client, &PoolRef) -> Result<Pool>,
    ) -> Result<Arc<OpenPool>, Refusal> {
        let opened = || self.opened(name, check);
        if let Some(opened) = opened() {
            return Ok(opened);
        }
        let place = self.names.hash_one(&name.0) as usize % self.opening.len();
        let _turn = self.opening[place].lock().await;
        if let Some(opened) = opened() {
            return Ok(opened);
        }
        let (client, pool) = (self.client.clone(), name.reference());
        let pool = self.on_storage(move || open(&client, &pool)).await?;
        Ok(self.keep(name, pool))
    }

    /// The client for the directory.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Closes what is gone, and what nobody has used for a while.
    pub(super) fn sweep(&self) {
        self.open().retain(|_, open| {
            let idle = Arc::strong_count(open) == 1 && open.used().elapsed() > KEPT_OPEN;
            !idle && open.pool.check_there().is_ok()
        });
    }

    fn opened(&self, name: &PoolName, check: fn(&Pool) -> Result<()>) -> Option<Arc<OpenPool>> {
        let open = Arc::clone(self.open().get(&name.0)?);
        if check(&open.pool).is_err() {
            if open.pool.check_there().is_err() {
                self.forget(name);
            }
            return None;
        }
        *open.used() = Instant::now();
        Some(open)
    }

    /// Closes the pool for whoever asks next; who uses it now goes on.
    pub(super) fn forget(&self, name: &PoolName) {
        self.open().remove(&name.0);
    }

    fn keep(&self, name: &PoolName, pool: Pool) -> Arc<OpenPool> {
        let uuid = HeaderValue::try_from(pool.uuid_text());
        let opened = Arc::new(OpenPool {
            // Digits and hyphens, which any header takes.
            uuid: uuid.unwrap_or(HeaderValue::from_static("")),
            pool,
            used: Mutex::new(Instant::now()),
            changes: watch::Sender::new(()),
            has_waiter: Mutex::new(false),
        });
        self.open().insert(name.0.clone(), Arc::clone(&opened));
        opened
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<OpenPool>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenPool {
    /// Tells of changes: one thread per followed pool waits for them, however many follow. [STREAM-11]
    pub(super) fn changes(self: &Arc<Self>) -> Result<watch::Receiver<()>> {
        let receiver = self.changes.subscribe();
        let mut has_waiter = self.has_waiter();
        if !*has_waiter {
            let open = Arc::clone(self);
            std::thread::Builder::new()
                .name("pool-waiter".to_owned())
                .spawn(move || open.wait_while_followed())
                .map_err(|cause| {
                    Error::new(ErrorKind::Io, "cannot start a thread to wait for messages")
                        .hint("raise the limit on threads of the server")
                        .caused_by(cause)
                })?;
            *has_waiter = true;
        }
        Ok(receiver)
    }

    fn wait_while_followed(&self) {
        let mut before = None;
        loop {
            let seen = self.pool.seen();
            let is_over = seen.is_err();
            let seen = seen.ok();
            if seen != before || is_over {
                self.changes.send_replace(());
            }
            before = seen;
            {
                let mut has_waiter = self.has_waiter();
                if is_over || self.changes.receiver_count() == 0 {
                    *has_waiter = false;
                    return;
                }
            }
            if let Some(seen) = seen
                && self.pool.wait_for_newer(seen, LONGEST_WAIT).is_err()
            {
                before = None;
            }
        }
    }

    fn has_waiter(&self) -> MutexGuard<'_, bool> {
        self.has_waiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool name that was checked; HTTP takes no paths. [POOL-1]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoolName(String);

impl PoolName {
    pub(super) fn parse(text: &str) -> Result<PoolName> {
        let name = text.strip_suffix(".plasmite").unwrap_or(text);
        PoolRef::named(name)?;
        Ok(PoolName(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn reference(&self) -> PoolRef {
        PoolRef::Name(self.0.clone())
    }
}
