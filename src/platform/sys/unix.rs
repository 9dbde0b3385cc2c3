//! What all Unix systems have in common.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use super::Found;
use crate::platform::mapped::FileIdentity;

/// What there is to know of an open file.
pub(crate) fn found(file: &File) -> io::Result<Found> {
    file.metadata().map(|metadata| found_in(&metadata))
}

/// What there is to know of the file that has a name.
pub(crate) fn found_at(path: &Path) -> io::Result<Found> {
    std::fs::metadata(path).map(|metadata| found_in(&metadata))
}

fn found_in(metadata: &Metadata) -> Found {
    Found {
        identity: FileIdentity {
            device: metadata.dev(),
            inode: metadata.ino(),
        },
        names: metadata.nlink(),
        size: metadata.size(),
    }
}

/// Has files opened without a wait, not even for a FIFO that took the file's place a moment ago.
pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NONBLOCK)
}

/// Opens a directory, to make its names durable.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK)
        .open(path)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &File) -> io::Result<()> {
    match directory.sync_all() {
        // Some file systems have no such thing as syncing a directory, and need none.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        done => done,
    }
}

/// Gives a new file the owner, the group and the permissions of another.
pub(crate) fn share_as(file: &File, other: &File) -> io::Result<()> {
    let (is, wanted) = (file.metadata()?, other.metadata()?);
    let owner = (wanted.uid() != is.uid()).then(|| wanted.uid());
    let group = (wanted.gid() != is.gid()).then(|| wanted.gid());
    if owner.is_some() || group.is_some() {
        fchown(file, owner, group)?;
    }
    file.set_permissions(wanted.permissions())
}

/// The size of a file, in bytes, up to which the system lets this process write.
pub(crate) fn size_limit() -> u64 {
    // SAFETY: all-zero bytes are a valid `rlimit`.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `limit` is a live value to write to.
    match unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } {
        0 => in_bytes(limit.rlim_cur),
        _ => u64::MAX,
    }
}

/// Systems differ in the type of a limit. One that says there is none says so with a number that is none.
fn in_bytes(limit: impl TryInto<u64>) -> u64 {
    limit.try_into().unwrap_or(u64::MAX)
}

/// Whether space cannot be reserved on a file's file system at all, however much there is.
pub(crate) fn cannot_reserve(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS)
    )
}

/// Whether a name leads to something that cannot be opened as a file.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO)
    )
}

/// Whether this process, or the system, has as many files open as it may.
pub(crate) fn has_too_many_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Has `count` called in every child that is forked from now on. False if the system has no room to remember that.
pub(crate) fn on_fork_in_child(count: extern "C" fn()) -> bool {
    // SAFETY: `count` is a function of the signature asked for; it does nothing but add to a static atomic, which is
    // all that a child of a threaded process may do.
    let status = unsafe { libc::pthread_atfork(None, None, Some(count)) };
    status == 0
}

/// A path as a program in C hands it over; `None` if it cannot be one here.
pub(crate) fn path_of_bytes(bytes: &[u8]) -> Option<Cow<'_, Path>> {
    Some(Cow::Borrowed(Path::new(OsStr::from_bytes(bytes))))
}

/// A path as a program in C gets it.
pub(crate) fn bytes_of_path(path: &Path) -> Cow<'_, [u8]> {
    Cow::Borrowed(path.as_os_str().as_bytes())
}

/// Has files created for their owner alone.
#[cfg(feature = "serve")]
pub(crate) fn for_owner_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Whether others than its owner may use a file.
#[cfg(any(feature = "remote", feature = "serve"))]
pub(crate) fn is_for_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 != 0
}
