//! Unix systems that nobody has looked at closely: what POSIX has, and no more.

use std::fs::File;
use std::io;

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
