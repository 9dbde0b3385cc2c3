//! Errors as the caller sees them, and the one way out of every call.

use std::any::Any;
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::argument::Out;
use crate::platform::bytes_of_path;
use crate::policy::abi_code;
use crate::{Error, ErrorKind, Result};

/// What went wrong. Free it with `plsm_error_free`.
#[repr(C)]
pub struct plsm_error_t {
    /// One of the `PLSM_ERROR_` numbers.
    pub kind: i32,
    /// What happened to what, as text for people. Never null.
    pub message: *mut c_char,
    /// The file or directory that it is about, or null.
    pub path: *mut c_char,
    /// The seq that it is about, if `has_seq` is 1.
    pub seq: u64,
    /// The place in the file, in bytes, if `has_offset` is 1.
    pub offset: u64,
    /// Whether `seq` is known.
    pub has_seq: u8,
    /// Whether `offset` is known.
    pub has_offset: u8,
}

/// An error with what the public part of it has no room for.
#[repr(C)]
pub(super) struct OwnedError {
    /// Comes first, so that a pointer to it is one to the whole.
    public: plsm_error_t,
    hint: Option<CString>,
    error: Error,
}

impl OwnedError {
    fn new(error: Error) -> OwnedError {
        let path = error.path_ref().map(bytes_of_path);
        OwnedError {
            public: plsm_error_t {
                kind: abi_code(error.kind()),
                message: c_string(error.message().as_bytes()).into_raw(),
                path: path.map_or(ptr::null_mut(), |path| c_string(&path).into_raw()),
                seq: error.seq_value().unwrap_or(0),
                offset: error.offset_value().unwrap_or(0),
                has_seq: error.seq_value().is_some().into(),
                has_offset: error.offset_value().is_some().into(),
            },
            hint: error.hint_text().map(|hint| c_string(hint.as_bytes())),
            error,
        }
    }

    pub(super) fn hint(&self) -> *const c_char {
        self.hint.as_ref().map_or(ptr::null(), |hint| hint.as_ptr())
    }

    pub(super) fn error(&self) -> &Error {
        &self.error
    }
}

impl Drop for OwnedError {
    fn drop(&mut self) {
        for text in [self.public.message, self.public.path] {
            if !text.is_null() {
                // SAFETY: both come from `CString::into_raw` in `new`, and nobody else frees them.
                drop(unsafe { CString::from_raw(text) });
            }
        }
    }
}

/// Text without the zero bytes in it, which C could not tell from its end.
fn c_string(bytes: &[u8]) -> CString {
    let bytes: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

/// What every call comes to: its number, or -1 and an error. A panic on the way is an error, too.
///
/// # Safety
///
/// `err` is null or may be written to.
pub(super) unsafe fn answer(
    err: *mut *mut plsm_error_t,
    call: impl FnOnce() -> Result<c_int>,
) -> c_int {
    let outcome =
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    let (status, error) = match outcome {
        Ok(status) => (status, ptr::null_mut()),
        Err(_) if err.is_null() => return -1,
        Err(error) => (-1, Box::into_raw(Box::new(OwnedError::new(error))).cast()),
    };
    if !err.is_null() {
        // SAFETY: it is not null, and the caller vouches for the rest.
        unsafe { err.write(error) };
    }
    status
}

/// As [`answer`], for a call that gives a value: it goes to `out`, which is `empty` unless the call succeeds.
///
/// # Safety
///
/// `err` and `out` are null or may be written to.
pub(super) unsafe fn give<T>(
    err: *mut *mut plsm_error_t,
    out: *mut T,
    what: &str,
    empty: T,
    call: impl FnOnce() -> Result<T>,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            let out = Out::new(out, what, empty)?;
            out.set(call()?);
            Ok(0)
        })
    }
}

#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    Error::new(ErrorKind::Internal, format!("the library panicked: {text}"))
        .hint("this is a bug of plasmite; please report it")
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn call(body: impl FnOnce() -> Result<c_int>) -> (c_int, *mut plsm_error_t) {
        let mut err = ptr::dangling_mut();
        // SAFETY: `err` is a live value to write to.
        let status = unsafe { answer(&mut err, body) };
        (status, err)
    }

    fn take(err: *mut plsm_error_t) -> Box<OwnedError> {
        // SAFETY: `answer` made it so, and each test takes it once.
        unsafe { Box::from_raw(err.cast()) }
    }

    #[test]
    fn a_panic_is_internal_and_goes_no_further() {
        let (status, err) = call(|| panic!("by {}", "design"));
        let error = take(err);
        assert_eq!((status, error.public.kind), (-1, 1));
        // SAFETY: the message lives as long as the error.
        let message = unsafe { CStr::from_ptr(error.public.message) };
        assert_eq!(message.to_str().unwrap(), "the library panicked: by design");
        // SAFETY: null is a place that is not wanted.
        assert_eq!(unsafe { answer(ptr::null_mut(), || panic!("again")) }, -1);
    }

    #[test]
    fn what_succeeds_leaves_no_error() {
        let (status, err) = call(|| Ok(7));
        assert_eq!((status, err), (7, ptr::null_mut()));
    }

    #[test]
    fn an_error_keeps_all_that_is_known_of_it() {
        let (_, err) = call(|| {
            Err(Error::new(ErrorKind::Corrupt, "cut\0short")
                .hint("look")
                .path("/a/b")
                .seq(3)
                .offset(4096))
        });
        let error = take(err);
        // SAFETY: these live as long as the error.
        let text = |at: *const c_char| unsafe { CStr::from_ptr(at) }.to_str().unwrap();
        let public = &error.public;
        assert_eq!(public.kind, 7);
        assert_eq!(
            [public.message, public.path].map(|at| text(at)),
            ["cutshort", "/a/b"]
        );
        assert_eq!(text(error.hint()), "look");
        assert_eq!((public.seq, public.has_seq), (3, 1));
        assert_eq!((public.offset, public.has_offset), (4096, 1));
    }
}
