//! The one error type of the crate, and the stable kinds behind it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong, in terms that do not change between releases.
///
/// Exit codes, HTTP statuses and C ABI codes are derived from the kind in one table, `policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A condition that this program should have ruled out.
    Internal,
    /// The request itself cannot be honoured: bad arguments, bad JSON, a message that is too large.
    Usage,
    /// No such pool or message.
    NotFound,
    /// The pool to be created is already there.
    AlreadyExists,
    /// The writer lock was not had within the bound.
    Busy,
    /// The operating system or a credential does not allow it.
    Permission,
    /// The pool's bytes contradict themselves.
    Corrupt,
    /// The operating system failed to read, write or sync.
    Io,
    /// Messages that were asked for have been overwritten.
    RetentionGap,
}

impl ErrorKind {
    /// Every kind, in the order of its codes.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Internal,
        ErrorKind::Usage,
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::Busy,
        ErrorKind::Permission,
        ErrorKind::Corrupt,
        ErrorKind::Io,
        ErrorKind::RetentionGap,
    ];

    /// The kind's name, as it appears in every error body.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Internal => "Internal",
            ErrorKind::Usage => "Usage",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::AlreadyExists => "AlreadyExists",
            ErrorKind::Busy => "Busy",
            ErrorKind::Permission => "Permission",
            ErrorKind::Corrupt => "Corrupt",
            ErrorKind::Io => "Io",
            ErrorKind::RetentionGap => "RetentionGap",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened, to what, and what to do next.
///
/// The kind is stable; the message and the hint are for people and may be reworded.
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    path: Option<PathBuf>,
    seq: Option<u64>,
    offset: Option<u64>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what happened to what, as a sentence without its full stop.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            path: None,
            seq: None,
            offset: None,
            source: None,
        }))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the file, unless one is named already.
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Error {
        self.0.path.get_or_insert_with(|| path.into());
        self
    }

    /// Names the message.
    #[must_use]
    pub fn seq(mut self, seq: u64) -> Error {
        self.0.seq = Some(seq);
        self
    }

    /// Names the place: a byte offset in the pool file, or in the input for malformed JSON.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Error {
        self.0.offset = Some(offset);
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// The stable kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened to what.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The file concerned, where there is one.
    pub fn path_ref(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The message concerned, where there is one.
    pub fn seq_value(&self) -> Option<u64> {
        self.0.seq
    }

    /// The byte offset concerned, where there is one.
    pub fn offset_value(&self) -> Option<u64> {
        self.0.offset
    }

    /// The chain of causes below this error, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(self.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_shown_by_its_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.to_string(), kind.name());
        }
    }

    #[test]
    fn an_error_shows_programmers_all_that_is_known() {
        let error = Error::new(ErrorKind::Io, "cannot sync")
            .hint("look at the disk")
            .seq(99);
        let shown = format!("{error:?}");
        for part in ["Io", "cannot sync", "look at the disk", "99"] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
