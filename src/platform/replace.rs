//! Puts one file in the place of another. Whoever looks at the name finds the one or the other, and each is whole.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::create::{Directory, Draft, allocate};
use super::lock::FileLock;
use super::mapped::MappedFile;
use super::os_error::os_error;
use super::sys;
use crate::core::error::{Error, ErrorKind, Result};
use crate::core::memory::{LockWait, Memory, WriterLock};

/// A file that is to take the place of another, and goes away if it does not.
pub struct Successor {
    directory: Directory,
    draft: Draft,
    mapped: MappedFile,
    path: PathBuf,
    /// The name that it has for the moment between having none and having the right one.
    staging: PathBuf,
}

impl Successor {
    /// A file of `size` bytes, all allocated, for the place of `old` at `path`. Whoever may use the one may use the other.
    ///
    /// # Errors
    ///
    /// `Permission` if the new file cannot be given to the owner of the old one, or none can be made there; `Io`, for a
    /// full disk as well.
    pub fn of(old: &MappedFile, path: &Path, size: u64) -> Result<Successor> {
        let unmade = |e| os_error("make a new file in the place of", path, e);
        let directory = Directory::of(path)?;
        let draft = Draft::new(&directory, path)?;
        // Before there is anything in it, since it may have a temporary name.
        sys::share_as(&draft.file, old.file()).map_err(|e| not_given(path, e))?;
        allocate(&draft.file, size).map_err(unmade)?;
        let file = draft.file.try_clone().map_err(unmade)?;
        let mapped = MappedFile::map(file, true, path, size)?;
        Ok(Successor {
            staging: staging(old, path),
            directory,
            draft,
            mapped,
            path: path.to_owned(),
        })
    }

    /// The new file.
    pub fn file(&self) -> &MappedFile {
        &self.mapped
    }

    /// Makes what is in it by now survive power loss.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn persist(&self) -> Result<()> {
        self.mapped.persist(0..self.mapped.words())?;
        let synced = self.draft.file.sync_all();
        synced.map_err(|e| os_error("sync the successor of", &self.path, e))
    }

    /// Takes the old file's name. The caller has held the writers' lock of the old file since `locked`, and goes on to hold
    /// it. Whether the name is durable comes as the result in the result: by then it is taken.
    ///
    /// # Errors
    ///
    /// What the system says; the old file then has its name still.
    pub fn take_over(self, locked: Instant) -> Result<Result<()>> {
        self.persist()?;
        // Nobody appends to the new file while power loss may still bring the old one back.
        let lock = FileLock::new(self.mapped.file().clone());
        let _until_durable = lock.acquire(LockWait::AtMost(Duration::ZERO))?;
        // From here on this process may be killed. Writers that get the lock after it have to see that the name is gone.
        MappedFile::outlast_answers(locked);
        discard(&self.staging)
            .and_then(|()| self.draft.publish_over(&self.path, &self.staging))
            .map_err(|e| os_error("replace", &self.path, e))?;
        let synced = self.directory.sync();
        Ok(synced.map_err(|e| not_durable(&self.path, e)))
    }
}

/// Removes what somebody left who was killed while a successor of `old` took over. The caller holds the writers' lock of
/// `old`, so nobody else is at it.
///
/// # Errors
///
/// What the system says.
pub fn discard_left_over(old: &MappedFile, path: &Path) -> Result<()> {
    let staging = staging(old, path);
    discard(&staging).map_err(|e| os_error("remove", &staging, e))
}

fn discard(staging: &Path) -> io::Result<()> {
    match std::fs::remove_file(staging) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The same for all who replace one file, who keep each other out by its lock, and another for every other file.
fn staging(old: &MappedFile, path: &Path) -> PathBuf {
    path.with_file_name(format!(".plasmite-{}.tmp", old.identity().inode))
}

#[cold]
fn not_given(path: &Path, cause: io::Error) -> Error {
    if cause.kind() != io::ErrorKind::PermissionDenied {
        return os_error("make a new file in the place of", path, cause);
    }
    let message = format!(
        "{} belongs to another user or group, to whom a new file cannot be given",
        path.display()
    );
    Error::new(ErrorKind::Permission, message)
        .hint("do this as the user that the pool belongs to, or as root")
        .path(path)
        .caused_by(cause)
}

#[cold]
fn not_durable(path: &Path, cause: io::Error) -> Error {
    let message = format!(
        "{} was replaced, but power loss may bring back the file from before",
        path.display()
    );
    Error::new(ErrorKind::Io, message)
        .hint("check the disk; the pool itself can be used")
        .path(path)
        .caused_by(cause)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::platform::clock::now_nanos;
    use crate::platform::create::create;
    use crate::platform::mapped::Access;
    #[cfg(target_os = "linux")]
    use crate::platform::witness::{self, Asked};

    const SIZE: u64 = 100_000;

    fn old_file(directory: &tempfile::TempDir) -> (PathBuf, MappedFile) {
        let path = directory.path().join("pool");
        let old = create(&path, SIZE, |_| Ok(())).unwrap();
        (path, old)
    }

    fn entries(directory: &tempfile::TempDir) -> Vec<String> {
        let entries = directory.path().read_dir().unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_successor_takes_over_the_name_and_the_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = old_file(&directory);
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, mode).unwrap();
        let successor = Successor::of(&old, &path, 2 * SIZE).unwrap();
        successor.file().store(1, 7, Ordering::Relaxed);
        assert!(old.is_at(&path));
        successor.take_over(Instant::now()).unwrap().unwrap();
        let found = path.metadata().unwrap();
        assert_eq!((found.size(), found.mode() & 0o777), (2 * SIZE, 0o640));
        assert!(found.blocks() * 512 >= 2 * SIZE);
        let now = MappedFile::open(&path, Access::ReadOnly, SIZE).unwrap();
        assert_eq!(now.load(1, Ordering::Relaxed), 7);
        assert_eq!(old.check(None).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(entries(&directory), ["pool"]);
    }

    #[test]
    fn a_successor_that_is_dropped_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = old_file(&directory);
        drop(Successor::of(&old, &path, SIZE).unwrap());
        old.check(None).unwrap();
        assert_eq!(entries(&directory), ["pool"]);
    }

    /// SWAP-5, SWAP-6
    #[test]
    #[cfg(target_os = "linux")]
    fn a_successor_is_durable_before_it_has_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = old_file(&directory);
        let successor = Successor::of(&old, &path, SIZE).unwrap();
        witness::asked();
        successor.take_over(Instant::now()).unwrap().unwrap();
        let inode = path.metadata().unwrap().ino();
        let asked = [
            Asked::SyncMapping {
                bytes: SIZE as usize,
            },
            Asked::Sync { inode },
            Asked::Lock { inode },
            Asked::Link,
            Asked::Rename,
            Asked::Sync {
                inode: directory.path().metadata().unwrap().ino(),
            },
            Asked::Unlock { inode },
        ];
        assert_eq!(witness::asked(), asked);
    }

    /// SWAP-3: however little time has passed in between.
    #[test]
    fn a_writer_that_looked_a_moment_ago_looks_again() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let (path, old) = old_file(&directory);
            let successor = Successor::of(&old, &path, SIZE).unwrap();
            old.check(Some(now_nanos())).unwrap();
            successor.take_over(Instant::now()).unwrap().unwrap();
            let error = old.check(Some(now_nanos())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn what_a_killed_one_left_is_removed_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = old_file(&directory);
        let staging = staging(&old, &path);
        std::fs::write(&staging, "left over").unwrap();
        let successor = Successor::of(&old, &path, SIZE).unwrap();
        successor.take_over(Instant::now()).unwrap().unwrap();
        assert_eq!(entries(&directory), ["pool"]);
        std::fs::write(&staging, "left over").unwrap();
        discard_left_over(&old, &path).unwrap();
        discard_left_over(&old, &path).unwrap();
        assert_eq!(entries(&directory), ["pool"]);
    }

    #[test]
    fn a_temporary_name_serves_where_files_cannot_be_nameless() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = old_file(&directory);
        let mut successor = Successor::of(&old, &path, SIZE).unwrap();
        successor.draft = Draft::named(&successor.directory, &path).unwrap();
        assert_eq!(entries(&directory).len(), 2);
        successor.take_over(Instant::now()).unwrap().unwrap();
        assert_eq!(entries(&directory), ["pool"]);
        assert!(!old.is_at(&path));
    }
}
