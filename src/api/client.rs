//! The pools of one directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use super::draft::Draft;
use super::message::Timestamp;
use super::pool::{Bounds, Pool, ReadOnly, Shared};
use super::pool_ref::{PoolRef, is_pool_file, name_of};
use crate::core::geometry::Geometry;
use crate::core::header::NOT_A_POOL_HINT;
use crate::core::layout::{DEFAULT_FILE_SIZE, HEADER_SIZE, MIN_FILE_SIZE, WAITER_FLAG, WAKE_WORD};
use crate::core::memory::LockWait;
use crate::core::pool::{self as core_pool, Pool as CorePool, Recovery};
use crate::core::verify::Report;
use crate::platform::boot::{boot_word, network_file_system};
use crate::platform::clock::now_nanos;
use crate::platform::create::{create, delete};
use crate::platform::fork::fork_count;
use crate::platform::futex::FutexBell;
use crate::platform::lock::FileLock;
use crate::platform::mapped::{Access, MappedFile};
use crate::platform::replace::discard_left_over;
use crate::{Error, ErrorKind, Result};

/// How long opening, deleting and resizing wait for the writer lock.
pub(super) const LOCK_WAIT: LockWait = LockWait::AtMost(Duration::from_secs(5));

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

/// A file of the directory that is named as a pool is.
pub(crate) struct PoolFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file_size: u64,
    mtime: Timestamp,
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
        self.create_at(pool, &path, options)
            .map_err(|error| error.path(&path))
    }

    fn create_at(&self, pool: &PoolRef, path: &Path, options: CreateOptions) -> Result<Pool> {
        let size = options.size_bytes.unwrap_or(DEFAULT_FILE_SIZE);
        let geometry = Geometry::for_file(size, options.index_capacity)?;
        self.create_filled(pool, path, geometry, now_nanos(), |_| Ok(()))
    }

    /// Makes a pool whose messages `fill` puts in before it has its name. None of them may be earlier than `created`. If
    /// `fill` fails there is no pool.
    pub(super) fn create_filled(
        &self,
        pool: &PoolRef,
        path: &Path,
        geometry: Geometry,
        created: u64,
        fill: impl FnOnce(&Draft) -> Result<()>,
    ) -> Result<Pool> {
        if path.parent() == Some(&self.dir) {
            fs::create_dir_all(&self.dir).map_err(|cause| from_io("created", &self.dir, cause))?;
        }
        let file = create(path, geometry.file_size, |file| {
            refuse_unfit(file)?;
            let draft = Draft::format(file, geometry, created)?;
            fill(&draft)?;
            draft.finish()
        })
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => already_exists(pool, path),
            _ => error,
        })?;
        open_file(file, pool, path, LOCK_WAIT)
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
            self.map(pool, &path, access)
                .and_then(|file| open_file(file, pool, &path, wait))
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

    /// Maps a file that is to be a pool. Whoever asked for it learns what it is instead.
    pub(super) fn map(&self, pool: &PoolRef, path: &Path, access: Access) -> Result<MappedFile> {
        MappedFile::open(path, access, HEADER_SIZE).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => too_short(path, error),
            ErrorKind::NotFound if self.dir.is_file() && path.parent() == Some(&self.dir) => {
                from_io("read", &self.dir, io::ErrorKind::NotADirectory.into())
            }
            ErrorKind::NotFound => no_such_pool(pool, path),
            _ => error,
        })
    }

    /// All pools of the directory, by name. A pool that cannot be read is listed with the reason; a directory that
    /// does not exist holds none.
    ///
    /// # Errors
    ///
    /// `Usage` if the directory is none; `Permission` or `Io` if it cannot be read.
    pub fn list_pools(&self) -> Result<Vec<PoolEntry>> {
        let entries = self.pool_files()?.into_iter().filter_map(|file| {
            let bounds = self.look_at(&file, Pool::bounds)?;
            Some(PoolEntry {
                name: file.name,
                path: file.path,
                file_size: file.file_size,
                mtime: file.mtime,
                bounds,
            })
        });
        Ok(entries.collect())
    }

    /// The files of all pools of the directory, in the order of [`list_pools`](Client::list_pools), and none opened.
    pub(crate) fn pool_files(&self) -> Result<Vec<PoolFile>> {
        let unreadable = |cause| from_io("read", &self.dir, cause);
        let entries = match fs::read_dir(&self.dir) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if is_pool_file(&path) {
                files.extend(PoolFile::at(path));
            }
        }
        files.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        Ok(files)
    }

    /// What `look` tells of the pool in a file, or why it cannot; nothing if the pool is gone.
    pub(crate) fn look_at<T>(
        &self,
        file: &PoolFile,
        look: impl Fn(&Pool) -> Result<T>,
    ) -> Option<Result<T>> {
        let pool = PoolRef::Path(file.path.clone());
        unless_gone(&pool, &file.path, || look(&self.open_pool_to_read(&pool)?))
    }

    /// Deletes a pool, also a damaged one, and says where it was. Handles that are open to it fail from then on.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Permission`; `Busy` if a writer keeps the lock; `Corrupt` or `Usage` for a file that is not a pool
    /// of a format that this program understands; `Usage` for a symbolic link, and for a pool that has other names.
    pub fn delete_pool(&self, pool: &PoolRef) -> Result<PathBuf> {
        let path = pool.path_in(&self.dir);
        self.delete_at(pool, &path)
            .map_err(|error| error.path(&path))?;
        Ok(path)
    }

    fn delete_at(&self, pool: &PoolRef, path: &Path) -> Result<()> {
        refuse_link(path, "delete")?;
        let file = self.map(pool, path, Access::ReadWrite)?;
        refuse_other_names(&file, path)?;
        let lock = FileLock::new(file.file().clone());
        let bell = FutexBell::new(&file, WAKE_WORD, WAITER_FLAG);
        core_pool::delete(&file, &lock, &bell, LOCK_WAIT, || {
            // Under the lock nobody else deletes this file; what has the name now may still be another.
            match fs::symlink_metadata(path) {
                Ok(_) if file.is_at(path) => {
                    discard_left_over(&file, path)?;
                    delete(path)
                }
                Ok(_) => Err(replaced("delete")),
                Err(_) => Err(no_such_pool(pool, path)),
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
        match self.verify_at(pool, &path) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Report::of_unusable(&error)),
            outcome => outcome.map_err(|error| error.path(&path)),
        }
    }

    /// Checks every pool that [`list_pools`](Client::list_pools) lists, in the same order, but for those that are gone by
    /// the time that their turn comes.
    ///
    /// # Errors
    ///
    /// As [`list_pools`](Client::list_pools); for each pool, as [`verify_pool`](Client::verify_pool).
    pub fn verify_pools(&self) -> Result<Vec<(PoolEntry, Result<Report>)>> {
        let checked = self.list_pools()?.into_iter().filter_map(|entry| {
            let pool = PoolRef::Path(entry.path.clone());
            let report = unless_gone(&pool, &entry.path, || self.verify_pool(&pool))?;
            Some((entry, report))
        });
        Ok(checked.collect())
    }

    fn verify_at(&self, pool: &PoolRef, path: &Path) -> Result<Report> {
        let file = self.map(pool, path, Access::Either)?;
        refuse_left_over(&file, pool)?;
        let boot = boot_word(file.file())?.unwrap_or(0);
        let size = file.size();
        CorePool::open_to_verify(file, size, boot)?.verify(now_nanos)
    }
}

impl PoolFile {
    /// Nothing of what is no file, and of one that went away since its name was read.
    fn at(path: PathBuf) -> Option<PoolFile> {
        let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let modified = found
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Some(PoolFile {
            name: name_of(&path),
            file_size: found.len(),
            mtime: Timestamp::from_nanos(modified.map_or(0, |time| time.as_nanos() as u64)),
            path,
        })
    }
}

/// What `look` finds at `path`; nothing if it finds no pool there. One that was replaced meanwhile is looked at once
/// more. What is reported as not found is only a file that a deletion has left: that others come and go under the same
/// name is no error, however often they do. [LIST-10]
fn unless_gone<T>(pool: &PoolRef, path: &Path, look: impl Fn() -> Result<T>) -> Option<Result<T>> {
    let is_gone = |found: &Result<T>| {
        found
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    let mut found = look();
    if is_gone(&found) {
        found = look();
    }
    if !is_gone(&found) {
        return Some(found);
    }
    let file = MappedFile::open(path, Access::Either, HEADER_SIZE).ok()?;
    refuse_left_over(&file, pool).err().map(Err)
}

/// Opens the pool in a mapped file, and recovers it where that is due and allowed, once its lock is had.
fn open_file(file: MappedFile, pool: &PoolRef, path: &Path, wait: LockWait) -> Result<Pool> {
    refuse_left_over(&file, pool)?;
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

/// Says of a pool whose deletion stopped half-way what can be done about it. What is no pool is not judged here.
fn refuse_left_over(file: &MappedFile, pool: &PoolRef) -> Result<()> {
    match core_pool::is_deleted(file) {
        Ok(true) => Err(Error::new(
            ErrorKind::NotFound,
            format!("the pool `{pool}` was deleted, but its file is still there"),
        )
        .hint(format!(
            "run `plasmite pool delete {}` again to remove it",
            pool.as_argument()
        ))),
        _ => Ok(()),
    }
}

/// A symbolic link is not the pool, wherever it leads. [DELETE-9, RESIZE-13]
pub(super) fn refuse_link(path: &Path, action: &str) -> Result<()> {
    let Ok(target) = fs::read_link(path) else {
        return Ok(());
    };
    let nearby = path.parent().unwrap_or(Path::new("")).join(target);
    let real = PoolRef::Path(nearby.canonicalize().unwrap_or(nearby));
    let message = format!("{} is a symbolic link to {real}", path.display());
    let link = if action == "delete" {
        ", and remove the link with `rm`"
    } else {
        ""
    };
    Err(Error::new(ErrorKind::Usage, message).hint(format!(
        "{action} the pool itself with `plasmite pool {action} {}`{link}",
        real.as_argument()
    )))
}

/// A mark of deletion counts under every name that a file has. A deletion therefore takes away the only one, or one
/// of a file that is marked already. [DELETE-10, RESIZE-13]
pub(super) fn refuse_other_names(file: &MappedFile, path: &Path) -> Result<()> {
    let inspect = |e| from_io("inspected", path, e);
    let names = file.names().map_err(inspect)?;
    if names > 1 && !core_pool::is_deleted(file).unwrap_or(false) {
        let real = PoolRef::Path(path.canonicalize().map_err(inspect)?);
        let message = format!(
            "{real} is one of {names} names of the same file, and the pool would live on under the others"
        );
        return Err(Error::new(ErrorKind::Usage, message).hint(format!(
            "find the other names with `find / -xdev -samefile {}`, and remove all but one with `rm`",
            real.as_argument()
        )));
    }
    Ok(())
}

pub(super) fn replaced(action: &str) -> Error {
    let message = format!("the pool was replaced before it could be {action}d");
    Error::new(ErrorKind::NotFound, message).hint(format!(
        "look at what has the name now, and {action} that if it is meant"
    ))
}

/// The error for a file that is not even as long as a header, in terms of what a person knows of pools.
fn too_short(path: &Path, error: Error) -> Error {
    let found = match fs::metadata(path).map(|found| found.len()) {
        Ok(0) => "it is empty".to_owned(),
        Ok(len) => format!("it has {len} bytes, and the smallest pool has {MIN_FILE_SIZE}"),
        Err(_) => return error,
    };
    let message = format!("this is not a pool file: {found}");
    Error::new(ErrorKind::Corrupt, message)
        .hint(NOT_A_POOL_HINT)
        .path(path)
}

fn no_such_pool(pool: &PoolRef, path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no pool `{pool}`"))
        .hint(format!(
            "create it with `plasmite pool create {}`, or see what `plasmite pool list` lists",
            pool.as_argument()
        ))
        .path(path)
}

pub(super) fn already_exists(pool: &PoolRef, path: &Path) -> Error {
    let argument = pool.as_argument();
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let (message, hint) = match is_file {
        true => (
            format!("the pool `{pool}` exists already"),
            format!(
                "use it, choose another name, or delete it first with `plasmite pool delete {argument}`"
            ),
        ),
        false => (
            format!("there is something already where the pool `{pool}` was to be"),
            "choose another name, or move what is there".to_owned(),
        ),
    };
    Error::new(ErrorKind::AlreadyExists, message)
        .hint(hint)
        .path(path)
}

/// The error for a directory, or a file, that cannot be `done` something to.
fn from_io(done: &'static str, path: &Path, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => ErrorKind::Usage,
        _ => ErrorKind::Io,
    };
    let message = match cause.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            format!("{} is no directory", path.display())
        }
        _ => format!("{} cannot be {done}", path.display()),
    };
    Error::new(kind, message)
        .hint("check the directory given by --dir or PLASMITE_DIR")
        .path(path)
        .caused_by(cause)
}
