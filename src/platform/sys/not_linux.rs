//! What Unix systems beside Linux have in common: no file without a name, and random bytes from a device.

use std::fs::File;
use std::io;
use std::path::Path;

/// No file is without a name.
pub(crate) fn open_unnamed(_directory: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// There is none that could be given one.
pub(crate) fn name_unnamed(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// As fs2 does it: by `F_PREALLOCATE` on macOS.
pub(crate) fn reserve(file: &File, size: u64) -> io::Result<()> {
    fs2::FileExt::allocate(file, size)
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    io::Read::read_exact(&mut File::open("/dev/urandom")?, bytes)
}

/// Pages are made ready one by one.
pub(crate) fn populate(_map: &memmap2::MmapRaw, _offset: usize, _length: usize) {}
