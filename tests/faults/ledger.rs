//! A pool, and beside it what it should hold: everything that was committed, in order.

use std::path::Path;
use std::sync::atomic::Ordering;

use plasmite::core::append::When;
use plasmite::core::frame::Entry;
use plasmite::core::geometry::frame_size;
use plasmite::core::layout::{BOOT, HEADER_SIZE, WAITER_FLAG, WAKE_WORD, WORD};
use plasmite::core::memory::{LockWait, Memory};
use plasmite::core::pool::{Pool as CorePool, Recovery};
use plasmite::platform::boot::boot_word;
use plasmite::platform::clock::now_nanos;
use plasmite::platform::futex::FutexBell;
use plasmite::platform::lock::FileLock;
use plasmite::platform::mapped::{Access as Open, MappedFile};
use plasmite::{
    Client, CreateOptions, Durability, Message, Next, Pool, PoolRef, Start, Tags, TailOptions,
};

use crate::watched::{Access, Watched};

/// The name of the pool in its directory.
const NAME: &str = "ledger";

/// The pool and its books.
pub(crate) struct Ledger {
    client: Client,
    pool: Pool,
    /// The data of message `seq` is at `seq - 1`.
    committed: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Ledger {
    /// An empty pool of the smallest size.
    pub(crate) fn new() -> Ledger {
        let (directory, pool) = small_pool();
        Ledger {
            client: Client::new(directory.path()),
            pool,
            committed: Vec::new(),
            _directory: directory,
        }
    }

    /// A handle that has been open from the start.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How many messages were committed.
    pub(crate) fn newest(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Appends a message; it has to get the next seq.
    pub(crate) fn append(&mut self, data: String) {
        let receipt = self
            .pool
            .append_json(data.as_bytes(), &Tags::none(), Durability::Fast)
            .unwrap();
        self.committed.push(data);
        assert_eq!(receipt.first_seq, self.newest());
    }

    /// Enters what somebody else has appended.
    pub(crate) fn enter(&mut self, batch: Vec<String>) {
        self.committed.extend(batch);
    }

    /// Appends messages until the next one begins `distance` bytes before the ring's end.
    pub(crate) fn advance_to(&mut self, distance: u64) {
        const STEP: u64 = 1024;
        let core = open_watched(self.pool.path(), |_| {});
        let g = *core.geometry();
        loop {
            let end = core.newest().unwrap().end();
            let left = (g.bytes_to_wrap(end) + g.ring_size - distance) % g.ring_size;
            match left {
                0 => return,
                left if left >= 2 * STEP => self.append(text_in_frame(STEP)),
                // A rest too small for a frame is made larger first.
                left if left < frame_size(0, 8) => self.append(text_in_frame(STEP)),
                left => self.append(text_in_frame(left)),
            }
        }
    }

    /// Checks that every way of reading gives what was committed, whole and in order, up to `newest`. Returns the
    /// oldest seq that is retained.
    pub(crate) fn check(&self) -> u64 {
        let fresh = self.client.open_pool_to_read(&name()).unwrap();
        let oldest = self.check_through(&self.pool);
        assert_eq!(self.check_through(&fresh), oldest);
        let report = self.client.verify_pool(&name()).unwrap();
        assert!(report.issues.is_empty(), "{:?}", report.issues);
        assert_eq!(report.messages, self.retained(oldest));
        oldest
    }

    fn check_through(&self, pool: &Pool) -> u64 {
        let bounds = pool.bounds().unwrap();
        let info = pool.info().unwrap();
        assert_eq!(info.bounds, bounds);
        assert_eq!(bounds.newest.unwrap_or(0), self.newest());
        let oldest = bounds.oldest.unwrap_or(1);
        assert_eq!(info.metrics.message_count, self.retained(oldest));

        let mut message = Message::default();
        let mut tail = pool.tail(retained()).unwrap();
        for seq in oldest..=self.newest() {
            assert_eq!(tail.read(&mut message).unwrap(), Next::Message);
            self.assert_is(&message, seq);
            self.assert_is(&pool.get(seq).unwrap(), seq);
        }
        assert!(matches!(tail.read(&mut message).unwrap(), Next::End(_)));
        let issues = pool.verify().unwrap().issues;
        assert!(issues.is_empty(), "{issues:?}");
        oldest
    }

    fn assert_is(&self, message: &Message, seq: u64) {
        assert_eq!(message.seq(), seq);
        assert!(
            message.data_json() == self.committed[seq as usize - 1],
            "message {seq} is not what was appended"
        );
    }

    fn retained(&self, oldest: u64) -> u64 {
        self.newest() + 1 - oldest
    }
}

/// What a pool retains, and no more.
fn retained() -> TailOptions {
    TailOptions {
        start: Start::Oldest,
        follow: false,
        ..TailOptions::default()
    }
}

pub(crate) fn name() -> PoolRef {
    PoolRef::parse(NAME).unwrap()
}

/// A pool of the smallest size, in a directory of its own.
pub(crate) fn small_pool() -> (tempfile::TempDir, Pool) {
    let directory = tempfile::tempdir().unwrap();
    let options = CreateOptions {
        size_bytes: Some(64 * 1024),
        index_capacity: Some(64),
    };
    let client = Client::new(directory.path());
    let pool = client.create_pool(&name(), options).unwrap();
    (directory, pool)
}

/// JSON text whose frame takes so many bytes.
pub(crate) fn text_in_frame(bytes: u64) -> String {
    let text = format!(
        "\"{}\"",
        "x".repeat((bytes - frame_size(0, 0)) as usize - 2)
    );
    assert_eq!(frame_size(0, text.len() as u64), bytes);
    text
}

/// Opens a pool as the library does, over a memory that is watched.
pub(crate) fn open_watched<F: Fn(Access)>(
    path: &Path,
    before: F,
) -> CorePool<Watched<MappedFile, F>> {
    let file = MappedFile::open(path, Open::ReadWrite, HEADER_SIZE).unwrap();
    open_in(file, before)
}

/// Opens a pool to read it as a crash of the system left it, over a memory that is watched.
pub(crate) fn open_view_watched<F: Fn(Access)>(
    path: &Path,
    before: F,
) -> CorePool<Watched<MappedFile, F>> {
    let file = MappedFile::open(path, Open::ReadWrite, HEADER_SIZE).unwrap();
    let boot = boot_word(file.file()).unwrap().unwrap();
    file.store(BOOT / WORD, !boot, Ordering::Relaxed);
    let size = file.size();
    let recovery: Recovery<'_, FileLock> = Recovery::ReadOnly;
    CorePool::open(Watched::new(file, before), size, boot, recovery).unwrap()
}

/// Appends a batch as the library does, over a memory that is watched.
pub(crate) fn append_watched(path: &Path, batch: &[String], before: impl Fn(Access)) {
    let file = MappedFile::open(path, Open::ReadWrite, HEADER_SIZE).unwrap();
    let lock = FileLock::new(file.file().clone());
    let bell = FutexBell::new(&file, WAKE_WORD, WAITER_FLAG);
    let entries = batch.iter().map(|data| Entry::new(b"", data.as_bytes()));
    open_in(file, before)
        .append(
            &lock,
            &bell,
            LockWait::Forever,
            entries,
            When::Now(now_nanos),
        )
        .unwrap();
}

fn open_in<F: Fn(Access)>(file: MappedFile, before: F) -> CorePool<Watched<MappedFile, F>> {
    let boot = boot_word(file.file()).unwrap().unwrap();
    let lock = FileLock::new(file.file().clone());
    let size = file.size();
    let recovery = Recovery::Write(&lock, LockWait::Forever);
    CorePool::open(Watched::new(file, before), size, boot, recovery).unwrap()
}
