//! Creation and deletion of pool files. A name appears whole or not at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::mapped::MappedFile;
use super::os_error::os_error;
use super::sys;
use crate::core::error::{Error, ErrorKind, Result};
use crate::core::memory::Memory;

/// How much of the pool's name goes into a temporary name, in bytes; the limit for a whole name is 255.
const NAME_IN_TEMPORARY: usize = 200;

/// Creates a file of `size` bytes, all allocated, lets `init` fill it, makes it durable, and only then names it `path`.
///
/// The umask decides who may use it. Until `init` has returned the file has no name, so `init` must not
/// [`check`](Memory::check) it.
///
/// # Errors
///
/// `AlreadyExists`; `NotFound` if there is no such directory; `Permission`; `Io`, for a full disk as well; what `init`
/// returns. After an error there is nothing new under that name, with one exception that its message states.
pub fn create(
    path: &Path,
    size: u64,
    init: impl FnOnce(&MappedFile) -> Result<()>,
) -> Result<MappedFile> {
    let directory = Directory::of(path)?;
    // Only saves work: the link at the end is what decides.
    if path.symlink_metadata().is_ok() {
        return Err(already_exists(path));
    }

    let draft = Draft::new(&directory, path)?;
    let mapped = fill(&draft, path, size, init)?;
    draft.publish(path)?;
    drop(draft);
    mapped.remember_place(path)?;
    directory.sync().map_err(|e| name_not_durable(path, e))?;
    Ok(mapped)
}

/// Removes the name `path`, for good.
///
/// # Errors
///
/// `NotFound`; `Permission`; `Usage` for a directory; `Io`.
pub fn delete(path: &Path) -> Result<()> {
    let directory = Directory::of(path)?;
    std::fs::remove_file(path).map_err(|e| os_error("delete", path, e))?;
    directory
        .sync()
        .map_err(|e| os_error("make durable the deletion of", path, e))
}

/// `N` bytes that nobody can guess, from the operating system.
///
/// # Errors
///
/// `Io` if the system has no such source.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    sys::fill_random(&mut bytes).map_err(|e| {
        Error::new(ErrorKind::Io, "the operating system gave no random bytes")
            .hint("check that /dev/urandom can be read")
            .caused_by(e)
    })?;
    Ok(bytes)
}

/// Everything that a pool file needs before it may have its name.
fn fill(
    draft: &Draft,
    path: &Path,
    size: u64,
    init: impl FnOnce(&MappedFile) -> Result<()>,
) -> Result<MappedFile> {
    let file = draft.file.try_clone().map_err(|e| cannot_create(path, e))?;
    allocate(&file, size).map_err(|e| cannot_create(path, e))?;
    let mapped = MappedFile::map(file, true, path, size)?;
    init(&mapped)?;
    mapped.persist(0..mapped.words())?;
    draft.file.sync_all().map_err(|e| cannot_create(path, e))?;
    Ok(mapped)
}

#[cold]
fn name_not_durable(path: &Path, cause: io::Error) -> Error {
    let message = format!(
        "{} was created, but its name may not survive a power loss",
        path.display()
    );
    Error::new(ErrorKind::Io, message)
        .hint("check the disk; the pool itself can be used")
        .path(path)
        .caused_by(cause)
}

#[cold]
fn already_exists(path: &Path) -> Error {
    cannot_create(path, io::ErrorKind::AlreadyExists.into())
}

#[cold]
fn cannot_create(path: &Path, cause: io::Error) -> Error {
    os_error("create", path, cause)
}

/// The directory that a pool's name is in.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    file: File,
}

impl Directory {
    pub(super) fn of(pool: &Path) -> Result<Directory> {
        let path = match pool.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = sys::open_directory(path).map_err(|e| no_directory(path, e))?;
        Ok(Directory {
            path: path.to_owned(),
            file,
        })
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        sys::sync_directory(&self.file)
    }
}

#[cold]
fn no_directory(path: &Path, cause: io::Error) -> Error {
    let error = os_error("open the directory", path, cause);
    match error.kind() {
        ErrorKind::NotFound => error.hint("check the path, or create that directory first"),
        _ => error,
    }
}

/// A file that has no name yet, or one that goes away with this value.
pub(super) struct Draft {
    pub(super) file: File,
    temporary: Option<PathBuf>,
}

impl Draft {
    pub(super) fn new(directory: &Directory, pool: &Path) -> Result<Draft> {
        match sys::open_unnamed(&directory.path) {
            Ok(Some(file)) => Ok(Draft {
                file,
                temporary: None,
            }),
            Ok(None) => Draft::named(directory, pool),
            Err(e) => Err(cannot_create(pool, e)),
        }
    }

    /// Under a temporary name that says which pool it was to become, and which process made it.
    pub(super) fn named(directory: &Directory, pool: &Path) -> Result<Draft> {
        let temporary = directory.path.join(temporary_name(pool)?);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|e| cannot_create(pool, e))?;
        Ok(Draft {
            file,
            temporary: Some(temporary),
        })
    }

    /// Gives the file its name, unless that is taken.
    fn publish(&self, path: &Path) -> Result<()> {
        let linked = match &self.temporary {
            Some(temporary) => std::fs::hard_link(temporary, path),
            None => sys::name_unnamed(&self.file, path),
        };
        linked.map_err(|e| cannot_create(path, e))
    }

    /// Gives the file the name `path` in place of what has that name now, by way of the name `staging` if it has none.
    pub(super) fn publish_over(&self, path: &Path, staging: &Path) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            return std::fs::rename(temporary, path);
        }
        sys::name_unnamed(&self.file, staging)?;
        std::fs::rename(staging, path).inspect_err(|_| {
            // What cannot be removed is found by whoever stages next.
            let _ = std::fs::remove_file(staging);
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What cannot be removed is a hidden file of no consequence.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

fn temporary_name(pool: &Path) -> Result<String> {
    let name = pool.file_name().unwrap_or_default().to_string_lossy();
    let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= NAME_IN_TEMPORARY;
    let name: String = name
        .char_indices()
        .take_while(fits)
        .map(|(_, c)| c)
        .collect();
    let random = u64::from_ne_bytes(random_bytes()?);
    Ok(format!(".{name}.{}-{random:016x}.tmp", std::process::id()))
}

/// Reserves the whole size, so that a full disk shows now and not in the middle of an append.
pub(super) fn allocate(file: &File, size: u64) -> io::Result<()> {
    if size > sys::size_limit() {
        // Asked beforehand: the system would answer with a signal that ends the process.
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    match sys::reserve(file, size) {
        Err(e) if sys::cannot_reserve(&e) => write_zeros(file, size),
        done => done,
    }
}

fn write_zeros(mut file: &File, size: u64) -> io::Result<()> {
    let copied = io::copy(&mut io::Read::take(io::repeat(0), size), &mut file)?;
    debug_assert_eq!(copied, size);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Barrier;
    use std::sync::atomic::Ordering;
    use std::thread;

    use super::*;
    use crate::platform::mapped::Access;
    use crate::platform::spawned;
    #[cfg(target_os = "linux")]
    use crate::platform::witness::{self, Asked};

    const SIZE: u64 = 100_000;

    fn entries(directory: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    fn store_seven(map: &MappedFile) -> Result<()> {
        map.store(1, 7, Ordering::Relaxed);
        Ok(())
    }

    #[test]
    fn a_created_file_is_whole_allocated_and_usable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        let map = create(&path, SIZE, store_seven).unwrap();
        map.check(None).unwrap();
        assert!(map.writable());

        let metadata = path.metadata().unwrap();
        assert_eq!((map.size(), metadata.size()), (SIZE, SIZE));
        assert!(
            metadata.blocks() * 512 >= SIZE,
            "only {} blocks",
            metadata.blocks()
        );
        assert_eq!(metadata.nlink(), 1);
        let again = MappedFile::open(&path, Access::ReadOnly, SIZE).unwrap();
        assert_eq!(again.load(1, Ordering::Relaxed), 7);
        assert_eq!(entries(directory.path()), ["pool"]);
    }

    /// A name that outlives a loss of power, before what it names does, would name garbage.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_is_durable_before_it_has_a_name_and_its_name_before_it_is_handed_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        witness::asked();
        create(&path, SIZE, store_seven).unwrap();
        let file = path.metadata().unwrap().ino();
        let directory = directory.path().metadata().unwrap().ino();
        let asked = [
            Asked::SyncMapping {
                bytes: SIZE as usize,
            },
            Asked::Sync { inode: file },
            Asked::Link,
            Asked::Sync { inode: directory },
        ];
        assert_eq!(witness::asked(), asked);
    }

    #[test]
    fn the_umask_decides_on_the_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        create(&path, SIZE, store_seven).unwrap();
        let other = directory.path().join("other");
        File::create(&other).unwrap();
        assert_eq!(
            path.metadata().unwrap().mode(),
            other.metadata().unwrap().mode()
        );
    }

    #[test]
    fn a_failing_init_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        let error = create(&path, SIZE, |_| Err(Error::new(ErrorKind::Usage, "no")));
        assert_eq!(error.err().unwrap().message(), "no");
        assert!(entries(directory.path()).is_empty());
    }

    #[test]
    fn a_taken_name_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        std::fs::write(&path, "mine").unwrap();
        let error = create(&path, SIZE, |_| panic!("init ran")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.hint_text().is_some());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn of_two_creators_one_wins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        let both_inside = Barrier::new(2);
        let attempt = |value: u64| {
            let init = |map: &MappedFile| {
                map.store(1, value, Ordering::Relaxed);
                both_inside.wait();
                Ok(())
            };
            create(&path, SIZE, init).map(|map| map.load(1, Ordering::Relaxed))
        };
        let (a, b) = thread::scope(|s| {
            let other = s.spawn(|| attempt(2));
            (attempt(1), other.join().unwrap())
        });
        let (winner, loser) = if a.is_ok() { (a, b) } else { (b, a) };
        assert_eq!(loser.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let map = MappedFile::open(&path, Access::ReadOnly, SIZE).unwrap();
        assert_eq!(map.load(1, Ordering::Relaxed), winner.unwrap());
        assert_eq!(entries(directory.path()), ["pool"]);
    }

    #[test]
    fn a_creator_that_dies_leaves_no_pool() {
        if let Some(path) = spawned::argument() {
            // SAFETY: `_exit` has no preconditions; leaving without any cleaning up is the point.
            let _ = create(Path::new(&path), SIZE, |_| unsafe { libc::_exit(9) });
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        let test = "platform::create::tests::a_creator_that_dies_leaves_no_pool";
        let status = spawned::run(test, path.to_str().unwrap());
        assert_eq!(status.code(), Some(9));
        assert!(!path.exists());
    }

    #[test]
    fn a_temporary_name_serves_where_files_cannot_be_nameless() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("x".repeat(255));
        let directory = Directory::of(&path).unwrap();
        let [first, second] = [(); 2].map(|()| Draft::named(&directory, &path).unwrap());
        assert_eq!(entries(at.path()).len(), 2);

        let map = fill(&first, &path, SIZE, store_seven).unwrap();
        first.publish(&path).unwrap();
        let error = second.publish(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        drop((first, second));
        assert_eq!(entries(at.path()), [path.file_name().unwrap()]);
        map.check(None).unwrap();
        let again = MappedFile::open(&path, Access::ReadOnly, SIZE).unwrap();
        assert_eq!(again.load(1, Ordering::Relaxed), 7);
    }

    #[test]
    fn a_missing_directory_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none/pool");
        let error = create(&path, SIZE, store_seven).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint_text().unwrap().contains("directory"));
    }

    #[test]
    fn what_does_not_fit_is_io_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        for size in [u64::MAX / 2, u64::MAX] {
            let error = create(&path, size, store_seven).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(
                error.hint_text().unwrap().contains("smaller pool"),
                "{error}"
            );
        }
        assert!(entries(directory.path()).is_empty());
    }

    #[test]
    fn zeros_are_written_where_space_cannot_be_reserved() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write_zeros(file.as_file(), SIZE).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), vec![0; SIZE as usize]);
    }

    #[test]
    fn deletion_removes_a_file_and_only_that() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool");
        create(&path, SIZE, store_seven).unwrap();
        delete(&path).unwrap();
        assert!(entries(directory.path()).is_empty());
        assert_eq!(delete(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(delete(directory.path()).is_err());
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
    }
}
