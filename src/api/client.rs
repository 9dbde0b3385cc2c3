//! The pools of one directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use super::message::Timestamp;
use super::pool::{Bounds, Pool, ReadOnly, Shared};
use super::pool_ref::{PoolRef, is_pool_file, name_of};
use crate::core::geometry::Geometry;
use crate::core::header::Header;
use crate::core::layout::{DEFAULT_FILE_SIZE, HEADER_SIZE, WAITER_FLAG, WAKE_WORD};
use crate::core::memory::LockWait;
use crate::core::pool::{self as core_pool, Pool as CorePool, Recovery};
use crate::core::verify::Report;
use crate::platform::boot::{boot_word, network_file_system};
use crate::platform::clock::now_nanos;
use crate::platform::create::{create, delete, random_bytes};
use crate::platform::fork::fork_count;
use crate::platform::futex::FutexBell;
use crate::platform::lock::FileLock;
use crate::platform::mapped::{Access, MappedFile};
use crate::{Error, ErrorKind, Result};

/// How long opening and deleting wait for the writer lock.
const LOCK_WAIT: LockWait = LockWait::AtMost(Duration::from_secs(5));

/// The pools of one directory. Holds nothing open.
#[derive(Clone, Debug)]
pub struct Client {
    dir: PathBuf,
}

/// How to make a pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateOptions {
    /// The size of the file in bytes, at least 64 KiB; without it, 1 MiB.
    pub size_bytes: Option<u64>,
    /// How many index slots, at most half the file's worth; without it, one for every 512 bytes. 0 means no index.
    pub index_capacity: Option<u64>,
}

/// One pool of a listing.
#[derive(Debug)]
pub struct PoolEntry {
    /// The pool's name.
    pub name: String,
    /// Where its file is.
    pub path: PathBuf,
    /// The size of its file in bytes.
    pub file_size: u64,
    /// When its file was last modified, as the file system tells it.
    pub mtime: Timestamp,
    /// Its oldest and newest seq, or why they cannot be told.
    pub bounds: Result<Bounds>,
}

impl Client {
    /// A client for the pools in `dir`, which is created when the first pool is.
    pub fn new(dir: impl Into<PathBuf>) -> Client {
        Client { dir: dir.into() }
    }

    /// The directory in which names are looked up.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a pool. It appears under its name whole, or not at all.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken, and what has it stays as it is; `Usage` for an impossible size;
    /// `Permission`; `Io`, also when the disk is full.
    pub fn create_pool(&self, pool: &PoolRef, options: CreateOptions) -> Result<Pool> {
        let path = pool.path_in(&self.dir);
        self.create_at(&path, options)
            .map_err(|error| error.path(&path))
    }

    fn create_at(&self, path: &Path, options: CreateOptions) -> Result<Pool> {
        let size = options.size_bytes.unwrap_or(DEFAULT_FILE_SIZE);
        let geometry = Geometry::for_file(size, options.index_capacity)?;
        if path.parent() == Some(&self.dir) {
            fs::create_dir_all(&self.dir)
                .map_err(|cause| from_io("the pool directory cannot be created", cause))?;
        }
        let header = Header {
            uuid: random_uuid()?,
            created: now_nanos(),
            geometry,
        };
        let file = create(path, size, |file| {
            refuse_unfit(file)?;
            let boot = boot_word(file.file())?.unwrap_or(0);
            CorePool::format(file, &header, boot);
            Ok(())
        })?;
        open_file(file, path, LOCK_WAIT)
    }

    /// Opens a pool to read and write.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Permission`; `Corrupt` if the file is not a whole pool of a format that this program understands;
    /// `Usage` if it is not a file, or lies on a network file system; `Busy` if it has to be recovered and another
    /// process holds its lock; `Io`.
    pub fn open_pool(&self, pool: &PoolRef) -> Result<Pool> {
        let opened = self.open(pool, Access::ReadWrite)?;
        opened.check_writable()?;
        Ok(opened)
    }

    /// Opens a pool to read. Where the file may be written too, readers are woken rather than having to poll.
    ///
    /// # Errors
    ///
    /// As [`open_pool`](Client::open_pool), but a pool that may not be written opens all the same.
    pub fn open_pool_to_read(&self, pool: &PoolRef) -> Result<Pool> {
        self.open(pool, Access::Either)
    }

    fn open(&self, pool: &PoolRef, access: Access) -> Result<Pool> {
        let path = pool.path_in(&self.dir);
        let open_as = |access, wait| {
            MappedFile::open(&path, access, HEADER_SIZE)
                .and_then(|file| open_file(file, &path, wait))
                .map_err(|error| error.path(&path))
        };
        if access != Access::Either {
            return open_as(access, LOCK_WAIT);
        }
        match open_as(access, LockWait::AtMost(Duration::ZERO)) {
            // Somebody is recovering the pool, or stopped while at it. A reader waits for nobody.
            Err(error) if error.kind() == ErrorKind::Busy => open_as(Access::ReadOnly, LOCK_WAIT),
            opened => opened,
        }
    }

    /// All pools of the directory, by name. A pool that cannot be read is listed with the reason; a directory that
    /// does not exist holds none.
    ///
    /// # Errors
    ///
    /// `Permission` or `Io` if the directory cannot be read.
    pub fn list_pools(&self) -> Result<Vec<PoolEntry>> {
        let unreadable =
            |cause| from_io("the pool directory cannot be read", cause).path(&self.dir);
        let entries = match fs::read_dir(&self.dir) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut pools = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            // A pool that goes away between the listing and the look is not there.
            if let Some(found) = is_pool_file(&path)
                .then(|| fs::metadata(&path).ok())
                .flatten()
                && found.is_file()
            {
                pools.push(self.entry(path, &found));
            }
        }
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pools)
    }

    fn entry(&self, path: PathBuf, found: &fs::Metadata) -> PoolEntry {
        let modified = found
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let opened = self.open_pool_to_read(&PoolRef::Path(path.clone()));
        PoolEntry {
            name: name_of(&path),
            file_size: found.len(),
            mtime: Timestamp::from_nanos(modified.map_or(0, |time| time.as_nanos() as u64)),
            bounds: opened.and_then(|pool| pool.bounds()),
            path,
        }
    }

    /// Deletes a pool, also a damaged one, and says where it was. Handles that are open to it fail from then on.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Permission`; `Busy` if a writer keeps the lock; `Corrupt` or `Usage` for a file that is not a pool
    /// of a format that this program understands.
    pub fn delete_pool(&self, pool: &PoolRef) -> Result<PathBuf> {
        let path = pool.path_in(&self.dir);
        self.delete_at(&path).map_err(|error| error.path(&path))?;
        Ok(path)
    }

    fn delete_at(&self, path: &Path) -> Result<()> {
        let file = MappedFile::open(path, Access::ReadWrite, HEADER_SIZE)?;
        let lock = FileLock::new(file.file().clone());
        let bell = FutexBell::new(&file, WAKE_WORD, WAITER_FLAG);
        core_pool::delete(&file, &lock, &bell, LOCK_WAIT, || {
            // Under the lock nobody else deletes this file; what has the name now may still be another.
            if is_at(&file, path) {
                delete(path)
            } else {
                Err(replaced())
            }
        })
    }

    /// Checks a whole pool, also one that does not open.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Permission`, `Usage` or `Io` if there is nothing to check. Damage is in the report.
    pub fn verify_pool(&self, pool: &PoolRef) -> Result<Report> {
        let path = pool.path_in(&self.dir);
        match verify_at(&path) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Report::of_unusable(&error)),
            outcome => outcome.map_err(|error| error.path(&path)),
        }
    }
}

fn verify_at(path: &Path) -> Result<Report> {
    let file = MappedFile::open(path, Access::Either, HEADER_SIZE)?;
    let boot = boot_word(file.file())?.unwrap_or(0);
    let size = file.size();
    CorePool::open_to_verify(file, size, boot)?.verify(now_nanos)
}

/// Opens the pool in a mapped file, and recovers it where that is due and allowed, once its lock is had.
fn open_file(file: MappedFile, path: &Path, wait: LockWait) -> Result<Pool> {
    let boot = boot_word(file.file())?;
    let read_only = match (file.writable(), network_file_system(file.file())?, boot) {
        (false, ..) => Some(ReadOnly::Permission),
        (true, Some(kind), _) => Some(ReadOnly::Network(kind)),
        (true, None, None) => Some(ReadOnly::NoBootId),
        (true, None, Some(_)) => None,
    };
    let lock = FileLock::new(file.file().clone());
    let bell = FutexBell::new(&file, WAKE_WORD, WAITER_FLAG);
    let size = file.size();
    let recovery = match read_only {
        None => Recovery::Write(&lock, wait),
        Some(_) => Recovery::ReadOnly,
    };
    let core = CorePool::open(file, size, boot.unwrap_or(0), recovery)?;
    Ok(Pool::new(Shared {
        core,
        bell,
        lock,
        name: name_of(path),
        path: path.to_owned(),
        read_only,
        forks: fork_count(),
        sync_failed: AtomicBool::new(false),
    }))
}

/// A pool is not made where it could not be written.
fn refuse_unfit(file: &MappedFile) -> Result<()> {
    if let Some(kind) = network_file_system(file.file())? {
        return Err(ReadOnly::Network(kind).refusal());
    }
    if boot_word(file.file())?.is_none() {
        return Err(ReadOnly::NoBootId.refusal());
    }
    Ok(())
}

/// Whether the name still leads to this file.
fn is_at(file: &MappedFile, path: &Path) -> bool {
    let ours = file.identity();
    fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (ours.device, ours.inode))
}

/// A random UUID, version 4.
fn random_uuid() -> Result<[u8; 16]> {
    let mut uuid = random_bytes::<16>()?;
    uuid[6] = uuid[6] & 0x0F | 0x40;
    uuid[8] = uuid[8] & 0x3F | 0x80;
    Ok(uuid)
}

fn replaced() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the pool was replaced while it was being deleted",
    )
    .hint("look at what has the name now, and delete again if that is meant")
}

fn from_io(what: &'static str, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => ErrorKind::Usage,
        _ => ErrorKind::Io,
    };
    Error::new(kind, what)
        .hint("check the directory given by --dir or PLASMITE_DIR")
        .caused_by(cause)
}
