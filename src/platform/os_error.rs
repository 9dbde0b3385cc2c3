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
        Some(libc::EROFS) => (
            ErrorKind::Permission,
            "the file system is mounted read-only: use another directory, or mount it for writing",
        ),
        Some(libc::EACCES | libc::EPERM) => (
            ErrorKind::Permission,
            "check who owns the file and its directory, and their permissions",
        ),
        Some(libc::ENAMETOOLONG) => (ErrorKind::Usage, "use a shorter name"),
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => (ErrorKind::Usage, "name a pool file"),
        Some(libc::ENOSPC | libc::EDQUOT) => (
            ErrorKind::Io,
            "free some space, or ask for a smaller pool with --size",
        ),
        Some(libc::EFBIG) => (
            ErrorKind::Io,
            "ask for a smaller pool with --size, or raise the limit that `ulimit -f` shows",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
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
