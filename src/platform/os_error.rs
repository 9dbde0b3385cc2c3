//! Turns what the operating system says into errors of the crate.

use std::io;
use std::path::Path;

use crate::core::error::{Error, ErrorKind};

/// The error for a failed call: `action` is what was being done, such as "open".
#[cold]
pub(super) fn os_error(action: &str, path: &Path, cause: io::Error) -> Error {
    let (kind, hint) = judge(&cause);
    let message = format!("cannot {action} {}: {}", path.display(), plain(&cause));
    Error::new(kind, message)
        .hint(hint)
        .path(path)
        .caused_by(cause)
}

/// The kind of an operating system error, and what a person can do about it.
fn judge(cause: &io::Error) -> (ErrorKind, &'static str) {
    match cause.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => (
            ErrorKind::NotFound,
            "check the name, or create it with `plasmite pool create`",
        ),
        Some(libc::EEXIST) => (
            ErrorKind::AlreadyExists,
            "choose another name, or delete the existing pool first",
        ),
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => (
            ErrorKind::Permission,
            "check who owns the file and its directory, and their permissions",
        ),
        Some(libc::ENAMETOOLONG) => (ErrorKind::Usage, "use a shorter name"),
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => (ErrorKind::Usage, "name a pool file"),
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => (
            ErrorKind::Io,
            "free some space, or ask for a smaller pool with --size",
        ),
        Some(libc::EMFILE | libc::ENFILE) => (
            ErrorKind::Io,
            "close other files, or raise the limit with `ulimit -n`",
        ),
        Some(libc::ENOMEM) => (
            ErrorKind::Io,
            "free some memory or address space, or use a smaller pool",
        ),
        None if cause.kind() == io::ErrorKind::InvalidInput => {
            (ErrorKind::Usage, "name a pool file without NUL bytes")
        }
        _ => (
            ErrorKind::Io,
            "check the disk and the system log, then try again",
        ),
    }
}

/// The system's words without Rust's "(os error 2)".
fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
