//! Unix systems that nobody has looked at closely: what POSIX has, and no more.

use std::fs::File;
use std::io;
use std::path::Path;

/// None is known, so pools are not opened for writing.
pub(crate) fn boot_id() -> io::Result<Option<String>> {
    Ok(None)
}

pub(crate) fn network_file_system(_file: &File) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// `msync` is taken at its word.
pub(crate) fn flush_drive(_file: &File) -> io::Result<()> {
    Ok(())
}

/// No file is without a name.
pub(crate) fn open_unnamed(_directory: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// There is none that could be given one.
pub(crate) fn name_unnamed(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn reserve(file: &File, size: u64) -> io::Result<()> {
    fs2::FileExt::allocate(file, size)
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    io::Read::read_exact(&mut File::open("/dev/urandom")?, bytes)
}
