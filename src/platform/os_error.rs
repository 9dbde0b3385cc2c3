//! Turns what the operating system says into errors of the crate.

use std::io;
use std::path::Path;

use super::sys;
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
    use io::ErrorKind as Cause;
    match cause.kind() {
        Cause::NotFound | Cause::NotADirectory => (
            ErrorKind::NotFound,
            "check the name, or create it with `plasmite pool create`",
        ),
        Cause::AlreadyExists => (
            ErrorKind::AlreadyExists,
            "choose another name, or delete the existing pool first",
        ),
        Cause::ReadOnlyFilesystem => (
            ErrorKind::Permission,
            "the file system is mounted read-only: use another directory, or mount it for writing",
        ),
        Cause::PermissionDenied => (
            ErrorKind::Permission,
            "check who owns the file and its directory, and their permissions",
        ),
        Cause::InvalidFilename => (ErrorKind::Usage, "use a shorter name"),
        Cause::StorageFull | Cause::QuotaExceeded => (
            ErrorKind::Io,
            "free some space, or ask for a smaller pool with --size",
        ),
        Cause::FileTooLarge => (
            ErrorKind::Io,
            "ask for a smaller pool with --size, or raise the limit that `ulimit -f` shows",
        ),
        Cause::OutOfMemory => (
            ErrorKind::Io,
            "free some memory or address space, or use a smaller pool",
        ),
        Cause::InvalidInput if cause.raw_os_error().is_none() => {
            (ErrorKind::Usage, "name a pool file without NUL bytes")
        }
        // What the platform says of itself, and not of a file system.
        Cause::Unsupported if cause.raw_os_error().is_none() => {
            (ErrorKind::Usage, sys::UNSUPPORTED_HINT)
        }
        _ if sys::is_no_file(cause) => (ErrorKind::Usage, "name a pool file"),
        _ if sys::has_too_many_files(cause) => (
            ErrorKind::Io,
            "close other files, or raise the limit with `ulimit -n`",
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_a_person_can_do_about_it_differs() {
        let hints = [libc::EROFS, libc::EACCES, libc::ENOSPC, libc::EFBIG].map(|code| {
            let error = os_error("create", Path::new("x"), io::Error::from_raw_os_error(code));
            (error.kind(), error.hint_text().unwrap_or("none").to_owned())
        });
        let expected = [
            (ErrorKind::Permission, "read-only"),
            (ErrorKind::Permission, "permissions"),
            (ErrorKind::Io, "space"),
            (ErrorKind::Io, "ulimit -f"),
        ];
        for ((kind, hint), (expected, word)) in hints.into_iter().zip(expected) {
            assert_eq!(kind, expected, "{hint}");
            assert!(hint.contains(word), "{hint}");
        }
    }
}
