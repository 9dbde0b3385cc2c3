//! What every error has to be.

use plasmite::{Error, ErrorKind};

/// Panics unless the error is of one of these kinds and says what happened and what to do.
pub(crate) fn check(error: &Error, kinds: &[ErrorKind]) {
    assert!(
        kinds.contains(&error.kind()),
        "{:?} is none of {kinds:?}: {error}",
        error.kind()
    );
    assert!(!error.message().trim().is_empty(), "no message: {error:?}");
    let hint = error.hint_text().unwrap_or_default();
    assert!(!hint.trim().is_empty(), "no hint (ERR-6): {error}");
}
