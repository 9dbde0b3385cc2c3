//! Windows, where pools are not supported yet. What is here shows that nothing else has to change: it compiles, and each
//! part that is missing says so when it is used, which every pool does before anything is written.
//!
//! To be written, in this order: which file it is (`GetFileInformationByHandle`); creation (`SetEndOfFile`, a name by
//! `CreateHardLink`, which is refused where one is there); the boot (a time of boot would do that does not move with
//! the clock); a fault in a page that the file no longer has (a vectored handler for `EXCEPTION_IN_PAGE_ERROR`). A file
//! that is mapped cannot be cut here, and a name of an open file goes away late: `tests/faults` has to be read again.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::{Found, Judge};

/// What there is to do where pools are not supported.
pub(crate) const UNSUPPORTED_HINT: &str =
    "use Linux or macOS, or reach the pools of such a machine by URL";

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "pools are not supported on Windows",
    ))
}

pub(crate) fn found(_file: &File) -> io::Result<Found> {
    unsupported()
}

pub(crate) fn found_at(_path: &Path) -> io::Result<Found> {
    unsupported()
}

/// Opening waits for nobody here.
pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

pub(crate) fn open_directory(_path: &Path) -> io::Result<File> {
    unsupported()
}

pub(crate) fn sync_directory(_directory: &File) -> io::Result<()> {
    unsupported()
}

pub(crate) fn share_as(_file: &File, _other: &File) -> io::Result<()> {
    unsupported()
}

/// The system sets none.
pub(crate) fn size_limit() -> u64 {
    u64::MAX
}

pub(crate) fn cannot_reserve(_error: &io::Error) -> bool {
    false
}

pub(crate) fn is_no_file(_error: &io::Error) -> bool {
    false
}

pub(crate) fn has_too_many_files(_error: &io::Error) -> bool {
    false
}

/// There are no forks, so none is missed.
pub(crate) fn on_fork_in_child(_count: extern "C" fn()) -> bool {
    true
}

/// Programs in C hand paths over in UTF-8 here.
pub(crate) fn path_of_bytes(bytes: &[u8]) -> Option<Cow<'_, Path>> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(Cow::Borrowed(Path::new(text)))
}

pub(crate) fn bytes_of_path(path: &Path) -> Cow<'_, [u8]> {
    match path.to_string_lossy() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

pub(crate) fn boot_id() -> io::Result<Option<String>> {
    unsupported()
}

pub(crate) fn network_file_system(_file: &File) -> io::Result<Option<&'static str>> {
    unsupported()
}

/// `FlushViewOfFile` leaves it with the drive; memmap2 calls `FlushFileBuffers` behind it.
pub(crate) fn flush_drive(_file: &File) -> io::Result<()> {
    Ok(())
}

/// No file is without a name.
pub(crate) fn open_unnamed(_directory: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// There is none that could be given one.
pub(crate) fn name_unnamed(_file: &File, _path: &Path) -> io::Result<()> {
    unsupported()
}

pub(crate) fn reserve(_file: &File, _size: u64) -> io::Result<()> {
    unsupported()
}

pub(crate) fn fill_random(_bytes: &mut [u8]) -> io::Result<()> {
    unsupported()
}

pub(crate) fn catch_faults(_judge: Judge) -> io::Result<()> {
    unsupported()
}

/// Pages are made ready one by one.
pub(crate) fn populate(_map: &memmap2::MmapRaw, _offset: usize, _length: usize) {}
