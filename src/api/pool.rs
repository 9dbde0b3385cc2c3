//! A handle to an open pool.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::batch::{Batch, Tags};
use super::message::{Message, Timestamp};
use super::tail::{Tail, TailOptions};
use crate::core::append::When;
use crate::core::layout::FORMAT_VERSION;
use crate::core::memory::{LockWait, Memory};
use crate::core::pool::Pool as CorePool;
use crate::core::verify::Report;
use crate::platform::clock::now_nanos;
use crate::platform::fork::fork_count;
use crate::platform::futex::FutexBell;
use crate::platform::lock::FileLock;
use crate::platform::mapped::MappedFile;
use crate::{Error, ErrorKind, Result};

/// How long a writer waits for the lock unless told otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// From so many bytes on, it pays to have the pages of a batch made ready together: eight pages, on most systems.
const MANY_PAGES: u64 = 8 * 4096;

/// What an append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The end of the process: the message is in the kernel's page cache. Power loss may take it.
    #[default]
    Fast,
    /// Power loss: the append returns once the message is on the disk.
    Flush,
}

impl Durability {
    /// `fast` or `flush`.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Fast => "fast",
            Durability::Flush => "flush",
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Durability> {
        match text {
            "fast" => Ok(Durability::Fast),
            "flush" => Ok(Durability::Flush),
            _ => Err(
                Error::new(ErrorKind::Usage, format!("`{text}` is not a durability"))
                    .hint("use fast or flush"),
            ),
        }
    }
}

/// What was appended: the seqs `first_seq ..= last_seq`, in the order of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The seq of the first message.
    pub first_seq: u64,
    /// The seq of the last message.
    pub last_seq: u64,
    /// The time of the last message; without explicit times, of all of them.
    pub time: Timestamp,
    /// What the append survives by now.
    pub durability: Durability,
}

/// The oldest and the newest retained seq; both `None` for an empty pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The oldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// The newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<u64>,
}

/// What there is to know about a pool. Sizes and offsets are in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the names are those of the JSON form, which `spec/v0` defines"
)]
pub struct PoolInfo {
    pub name: String,
    pub path: PathBuf,
    pub file_size: u64,
    pub index_offset: u64,
    pub index_capacity: u64,
    pub index_size_bytes: u64,
    pub ring_offset: u64,
    pub ring_size: u64,
    pub bounds: Bounds,
    pub metrics: Metrics,
    #[serde(default)]
    pub uuid: String,
    #[serde(default)]
    pub format_version: u32,
    #[serde(default)]
    pub generation: u64,
    #[serde(default)]
    pub created: Timestamp,
}

/// How full a pool is, and how old its messages are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the names are those of the JSON form, which `spec/v0` defines"
)]
pub struct Metrics {
    pub message_count: u64,
    pub seq_span: u64,
    pub utilization: Utilization,
    pub age: Age,
}

/// How much of the ring retained messages take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the names are those of the JSON form, which `spec/v0` defines"
)]
pub struct Utilization {
    pub used_bytes: u64,
    pub free_bytes: u64,
    pub used_percent: f64,
}

/// The times of the oldest and the newest message, and how long ago they were.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the names are those of the JSON form, which `spec/v0` defines"
)]
pub struct Age {
    pub oldest_time: Option<Timestamp>,
    pub newest_time: Option<Timestamp>,
    pub oldest_age_ms: Option<u64>,
    pub newest_age_ms: Option<u64>,
    /// How far the clock is behind the newest message; while it is, new messages repeat that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_behind_ms: Option<u64>,
}

/// An open pool. Clones are cheap and share one descriptor and one mutex; threads may share a handle.
#[derive(Clone)]
pub struct Pool {
    pub(super) shared: Arc<Shared>,
    lock_wait: LockWait,
}

/// What all clones of a handle share.
pub(super) struct Shared {
    pub(super) core: CorePool<MappedFile>,
    pub(super) bell: FutexBell,
    pub(super) lock: FileLock,
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Why this handle may not write, if it may not.
    pub(super) read_only: Option<ReadOnly>,
    pub(super) forks: u64,
    /// Set once a sync has failed: what the disk holds is then unknown until the pool is opened anew.
    pub(super) sync_failed: AtomicBool,
}

/// Why a handle may not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOnly {
    /// The file's permissions do not allow it.
    Permission,
    /// The file system is a network's, where neither the lock nor the mapping is shared.
    Network(&'static str),
    /// The system tells no boot id, so a crash could not be told from a restart.
    NoBootId,
}

impl ReadOnly {
    /// What a writer is told.
    pub(super) fn refusal(self) -> Error {
        match self {
            ReadOnly::Permission => Error::new(ErrorKind::Permission, "the pool may only be read")
                .hint("check who may write the pool's file"),
            ReadOnly::Network(kind) => Error::new(
                ErrorKind::Usage,
                format!("the pool is on a network file system ({kind}), where writers cannot keep out of each other's way"),
            )
            .hint("keep pools on a local file system"),
            ReadOnly::NoBootId => Error::new(
                ErrorKind::Usage,
                "the system tells no boot id, so a crash could not be told from a restart",
            )
            .hint("make /proc/sys/kernel/random/boot_id readable"),
        }
    }
}

impl Pool {
    pub(super) fn new(shared: Shared) -> Pool {
        Pool {
            shared: Arc::new(shared),
            lock_wait: LockWait::AtMost(LOCK_TIMEOUT),
        }
    }

    /// The same pool, with another bound on waiting for the writer lock. The default is 5 s; zero tries once.
    #[must_use]
    pub fn with_lock_timeout(&self, bound: Duration) -> Pool {
        Pool {
            shared: Arc::clone(&self.shared),
            lock_wait: LockWait::AtMost(bound),
        }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where the pool's file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Tells this pool from any other, also from an earlier or later one of the same name.
    pub fn uuid(&self) -> [u8; 16] {
        self.shared.core.header().uuid
    }

    /// The most that a batch may take, in bytes of the ring: half of it.
    pub fn max_batch_bytes(&self) -> u64 {
        self.shared.core.geometry().max_batch()
    }

    /// Appends one message whose data is this JSON text.
    ///
    /// # Errors
    ///
    /// As [`append_batch`](Pool::append_batch), and `Usage` if `data` is not JSON.
    pub fn append_json(&self, data: &[u8], tags: &Tags, durability: Durability) -> Result<Receipt> {
        let mut batch = Batch::new();
        batch.push_json(data, tags)?;
        self.append_batch(&batch, durability)
    }

    /// Appends one message with this value as data.
    ///
    /// # Errors
    ///
    /// As [`append_batch`](Pool::append_batch), and `Usage` if the value cannot be written as JSON.
    pub fn append<T: Serialize + ?Sized>(
        &self,
        data: &T,
        tags: &Tags,
        durability: Durability,
    ) -> Result<Receipt> {
        let mut batch = Batch::new();
        batch.push(data, tags)?;
        self.append_batch(&batch, durability)
    }

    /// Appends all messages of the batch, or none.
    ///
    /// # Errors
    ///
    /// `Usage` for an empty batch, for one of more than [`max_batch_bytes`](Pool::max_batch_bytes), and after a
    /// `fork`; `Busy` if the writer lock was not had in time; `Permission` on a handle that may only read;
    /// `NotFound` once the pool was deleted; `Corrupt` if its file is damaged; `Io` if the system fails. An `Io` error
    /// of a flush carries the seq: that message is visible, but not durable. One without a seq appended nothing.
    pub fn append_batch(&self, batch: &Batch, durability: Durability) -> Result<Receipt> {
        self.append_when(batch, When::Now(now_nanos), durability)
    }

    /// Appends messages under seqs and times of their own: for imports, where what was lost before stays lost.
    ///
    /// Seqs have to grow, above everything in the pool; times may repeat but not go back.
    ///
    /// # Errors
    ///
    /// As [`append_batch`](Pool::append_batch), and `Usage` for stamps that do not grow or do not match the batch.
    pub fn append_batch_at(
        &self,
        batch: &Batch,
        stamps: &[(u64, Timestamp)],
        durability: Durability,
    ) -> Result<Receipt> {
        let stamps: Vec<(u64, u64)> = stamps
            .iter()
            .map(|(seq, time)| (*seq, time.as_nanos()))
            .collect();
        self.append_when::<fn() -> u64>(batch, When::Given(&stamps), durability)
    }

    fn append_when<C: FnOnce() -> u64>(
        &self,
        batch: &Batch,
        when: When<'_, C>,
        durability: Durability,
    ) -> Result<Receipt> {
        self.check_writable()?;
        let Shared {
            core, lock, bell, ..
        } = &*self.shared;
        if durability == Durability::Flush && batch.frame_bytes() >= MANY_PAGES {
            self.expect_stores(batch.frame_bytes());
        }
        let appended = core
            .append(lock, bell, self.lock_wait, batch.entries(), when)
            .map_err(|error| self.named(self.noted(error)))?;
        if durability == Durability::Flush {
            self.sync()
                .map_err(|error| visible_not_durable(error, appended.last_seq))?;
        }
        Ok(Receipt {
            first_seq: appended.first_seq,
            last_seq: appended.last_seq,
            time: Timestamp::from_nanos(appended.time),
            durability,
        })
    }

    /// Whoever syncs each batch stores to pages that the last sync of a lap before has left protected: makes them ready
    /// all at once, and while the lock is free. What is wrong with the pool, the append will tell.
    #[cold]
    fn expect_stores(&self, bytes: u64) {
        let core = &self.shared.core;
        if let Ok(words) = core.next_words(bytes) {
            core.memory().expect_stores(words);
        }
    }

    /// Makes everything that has been appended so far survive power loss.
    ///
    /// # Errors
    ///
    /// `Io` if the system cannot sync; from then on until the pool is opened anew, because what reached the disk is
    /// unknown. Else as [`append_batch`](Pool::append_batch).
    pub fn flush(&self) -> Result<()> {
        self.check_writable()?;
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        if self.shared.sync_failed.load(Ordering::Relaxed) {
            return Err(self.named(
                Error::new(
                    ErrorKind::Io,
                    "an earlier sync failed, so what is on the disk is unknown",
                )
                .hint("open the pool anew, and check the disk"),
            ));
        }
        let synced = self.shared.core.flush(&self.shared.lock, self.lock_wait);
        synced.map_err(|error| self.named(self.noted(error)))
    }

    /// After a sync that failed nobody knows what is on the disk.
    fn noted(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Io {
            self.shared.sync_failed.store(true, Ordering::Relaxed);
        }
        error
    }

    /// The message with this seq.
    ///
    /// # Errors
    ///
    /// `NotFound` if it was overwritten, never used, or is yet to come; `Corrupt` if its frame is damaged.
    pub fn get(&self, seq: u64) -> Result<Message> {
        let mut message = Message::default();
        self.shared
            .core
            .check_deleted()
            .map_err(|error| self.named(error))?;
        self.shared
            .core
            .get(seq, message.frame_mut())
            .map_err(|error| self.named(error))?;
        Ok(message)
    }

    /// The seqs of the oldest and the newest retained message.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the pool is damaged, `NotFound` once it was deleted.
    pub fn bounds(&self) -> Result<Bounds> {
        self.check_there()?;
        let bounds = self
            .shared
            .core
            .bounds()
            .map_err(|error| self.named(error))?;
        Ok(Bounds {
            oldest: bounds.map(|(oldest, _)| oldest.seq),
            newest: bounds.map(|(_, newest)| newest.seq),
        })
    }

    /// What there is to know about the pool.
    ///
    /// # Errors
    ///
    /// As [`bounds`](Pool::bounds).
    pub fn info(&self) -> Result<PoolInfo> {
        self.check_there()?;
        self.describe().map_err(|error| self.named(error))
    }

    fn describe(&self) -> Result<PoolInfo> {
        let core = &self.shared.core;
        let g = core.geometry();
        let extent = core.extent()?;
        let bounds = extent.map(|extent| (extent.oldest, extent.newest));
        let used = extent.map_or(0, |extent| extent.bytes());
        let now = now_nanos();
        let millis = |nanos: u64| nanos / 1_000_000;
        let times = bounds.map(|(oldest, newest)| (oldest.time, newest.time));
        Ok(PoolInfo {
            name: self.shared.name.clone(),
            path: self.shared.path.clone(),
            file_size: g.file_size,
            index_offset: g.index_offset,
            index_capacity: g.index_capacity,
            index_size_bytes: g.ring_offset - g.index_offset,
            ring_offset: g.ring_offset,
            ring_size: g.ring_size,
            bounds: Bounds {
                oldest: bounds.map(|b| b.0.seq),
                newest: bounds.map(|b| b.1.seq),
            },
            metrics: Metrics {
                message_count: extent.map_or(0, |extent| extent.messages),
                seq_span: extent.map_or(0, |extent| extent.seq_span()),
                utilization: Utilization {
                    used_bytes: used,
                    free_bytes: g.ring_size - used,
                    used_percent: (used as f64 / g.ring_size as f64 * 10_000.0).round() / 100.0,
                },
                age: Age {
                    oldest_time: times.map(|t| Timestamp::from_nanos(t.0)),
                    newest_time: times.map(|t| Timestamp::from_nanos(t.1)),
                    oldest_age_ms: times.map(|t| millis(now.saturating_sub(t.0))),
                    newest_age_ms: times.map(|t| millis(now.saturating_sub(t.1))),
                    clock_behind_ms: times
                        .and_then(|t| t.1.checked_sub(now))
                        .filter(|n| *n > 0)
                        .map(millis),
                },
            },
            uuid: uuid_text(&core.header().uuid),
            format_version: FORMAT_VERSION,
            generation: core.generation(),
            created: Timestamp::from_nanos(core.header().created),
        })
    }

    /// Checks the whole pool. Takes no lock; writers may go on.
    ///
    /// # Errors
    ///
    /// `NotFound` once the pool was deleted. Damage is in the report.
    pub fn verify(&self) -> Result<Report> {
        self.check_there()?;
        self.shared
            .core
            .verify(now_nanos)
            .map_err(|error| self.named(error))
    }

    /// Follows the pool, from where the options say.
    ///
    /// # Errors
    ///
    /// As [`bounds`](Pool::bounds).
    pub fn tail(&self, options: TailOptions) -> Result<Tail> {
        self.check_there()?;
        Tail::open(self.clone(), options)
    }

    /// `NotFound` or `Corrupt` if the file is no longer what it was, asked of the system at once.
    pub(crate) fn check_there(&self) -> Result<()> {
        let core = &self.shared.core;
        core.check_deleted()
            .and_then(|()| core.memory().check(None))
            .map_err(|error| self.named(error))
    }

    /// As [`check_there`](Pool::check_there) for a handle that may append, but asks the system no more often than an
    /// append does.
    #[cfg(feature = "serve")]
    pub(crate) fn check_fit_to_write(&self) -> Result<()> {
        self.check_writable()?;
        let core = &self.shared.core;
        core.check_deleted()
            .and_then(|()| core.memory().check(Some(now_nanos())))
            .map_err(|error| self.named(error))
    }

    /// Appends a batch at durability `fast`, or fails with `Busy` if the lock is not free at this moment.
    #[cfg(feature = "serve")]
    pub(crate) fn append_batch_at_once(&self, batch: &Batch) -> Result<Receipt> {
        self.with_lock_timeout(Duration::ZERO)
            .append_batch(batch, Durability::Fast)
    }

    /// The UUID in its hyphenated form.
    #[cfg(feature = "serve")]
    pub(crate) fn uuid_text(&self) -> String {
        uuid_text(&self.shared.core.header().uuid)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.shared.forks != fork_count() {
            return Err(self.named(
                Error::new(ErrorKind::Usage, "the pool was opened before a fork, and its lock does not tell parent from child")
                    .hint("open the pool again in the child"),
            ));
        }
        match self.shared.read_only {
            None => Ok(()),
            Some(reason) => Err(self.named(reason.refusal())),
        }
    }

    /// Adds which pool it is.
    pub(super) fn named(&self, error: Error) -> Error {
        error.path(&self.shared.path)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

fn visible_not_durable(error: Error, seq: u64) -> Error {
    if error.kind() != ErrorKind::Io {
        return error.seq(seq);
    }
    let path = error.path_ref().map(Path::to_owned);
    let outer = Error::new(
        ErrorKind::Io,
        format!("message {seq} is visible, but may not survive power loss"),
    )
    .hint("do not append it again; open the pool anew, and check the disk")
    .seq(seq)
    .caused_by(error);
    match path {
        Some(path) => outer.path(path),
        None => outer,
    }
}

/// The usual form: 8-4-4-4-12 hexadecimal digits.
fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
