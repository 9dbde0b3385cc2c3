//! What callers hand in, looked at before it is believed.

use std::borrow::Cow;
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::slice;

use crate::platform::path_of_bytes;
use crate::{Durability, Error, ErrorKind, GapPolicy, PoolRef, Result};

/// Somewhere that a result goes to. It is emptied first, so that a failed call leaves nothing in it.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `out` is null or may be written to.
    pub(super) unsafe fn new(out: *mut T, what: &str, empty: T) -> Result<Out<T>> {
        if out.is_null() {
            return Err(is_null(what));
        }
        // SAFETY: it is not null, and the caller vouches for the rest.
        unsafe { out.write(empty) };
        Ok(Out(out))
    }

    pub(super) fn set(self, value: T) {
        // SAFETY: `new` was told that it may be written to, and it is not used beyond the call.
        unsafe { self.0.write(value) };
    }
}

/// Text that ends in a zero byte.
///
/// # Safety
///
/// `text` is null or points to such text, which nobody changes during the call.
pub(super) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: as for this function.
    let bytes = unsafe { bytes_of_text(text, what) }?;
    str::from_utf8(bytes).map_err(|_| {
        Error::new(ErrorKind::Usage, format!("the {what} is not UTF-8"))
            .hint("pass text that is UTF-8")
    })
}

/// A path, which may be any bytes but zero.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn path<'a>(path: *const c_char, what: &str) -> Result<Cow<'a, Path>> {
    // SAFETY: as for this function.
    let bytes = unsafe { bytes_of_text(path, what) }?;
    match bytes {
        [] => Err(Error::new(ErrorKind::Usage, format!("the {what} is empty"))
            .hint("pass a directory; \".\" is the present one")),
        bytes => path_of_bytes(bytes).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("the {what} is not UTF-8"))
                .hint("pass a path in UTF-8")
        }),
    }
}

/// # Safety
///
/// As for [`text`].
unsafe fn bytes_of_text<'a>(text: *const c_char, what: &str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(is_null(what));
    }
    // SAFETY: it is not null, and the caller vouches for the rest.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn pool_ref(reference: *const c_char) -> Result<PoolRef> {
    // SAFETY: as for this function.
    PoolRef::parse(unsafe { text(reference, "pool reference") }?)
}

/// So many values in a row.
///
/// # Safety
///
/// `first` is null or points to so many values, which nobody changes during the call.
pub(super) unsafe fn row<'a, T>(first: *const T, count: usize, what: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(is_null(what));
    }
    if !first.is_aligned() || count > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(
            Error::new(ErrorKind::Usage, format!("the {what} cannot be there"))
                .hint("check the pointer and the count"),
        );
    }
    // SAFETY: it is aligned, not null and of a possible size, and the caller vouches for the rest.
    Ok(unsafe { slice::from_raw_parts(first, count) })
}

/// # Safety
///
/// As for [`row`], and each tag as for [`text`].
pub(super) unsafe fn tags(first: *const *const c_char, count: usize) -> Result<Vec<String>> {
    // SAFETY: as for this function.
    let row = unsafe { row(first, count, "array of tags") }?;
    row.iter()
        // SAFETY: as for this function.
        .map(|&tag| unsafe { text(tag, "tag") }.map(str::to_owned))
        .collect()
}

pub(super) fn durability(number: u32) -> Result<Durability> {
    match number {
        0 => Ok(Durability::Fast),
        1 => Ok(Durability::Flush),
        _ => Err(no_such("durability", number, "0 for fast or 1 for flush")),
    }
}

pub(super) fn gap_policy(number: u32) -> Result<GapPolicy> {
    match number {
        0 => Ok(GapPolicy::Continue),
        1 => Ok(GapPolicy::Error),
        _ => Err(no_such("gap policy", number, "0 to continue or 1 to fail")),
    }
}

/// Whether the flag of this name is set.
pub(super) fn flag(number: u32, name: &str) -> Result<bool> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(no_such(&format!("value of `{name}`"), number, "0 or 1")),
    }
}

fn no_such(what: &str, number: u32, instead: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{number} is no {what}")).hint(format!("pass {instead}"))
}

pub(super) fn is_null(what: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("the {what} is null"))
        .hint("only what the header says may be null, may be")
}

/// A structure of the caller's, which may be older or newer than this library: its first member is its size.
///
/// What the caller's has not, is zero. What the caller's has and this library does not know, has to be zero.
///
/// # Safety
///
/// `given` is null, or points to as many readable bytes as its first four say. `T` is made of plain numbers and
/// pointers, for which zero is a value, and begins with a `u32`.
pub(super) unsafe fn sized<T>(given: *const T, smallest: usize, what: &str) -> Result<T> {
    if given.is_null() {
        return Err(is_null(what));
    }
    // SAFETY: it is not null, and the caller vouches for the first four bytes.
    let size = unsafe { given.cast::<u32>().read_unaligned() } as usize;
    if size < smallest {
        let message = format!("the {what} say that they have {size} bytes, fewer than any version");
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("set `struct_size` to `sizeof` the structure"));
    }
    // SAFETY: the caller vouches for so many bytes.
    let bytes = unsafe { slice::from_raw_parts(given.cast::<u8>(), size) };
    let known = bytes.len().min(size_of::<T>());
    if bytes[known..].iter().any(|&byte| byte != 0) {
        let message = format!("the {what} ask for something that this library does not know");
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("use a library that is at least as new as the header"));
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is within both; zero is a value of every field that is not copied, as the caller vouches.
    unsafe {
        value
            .as_mut_ptr()
            .cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), known);
        Ok(value.assume_init())
    }
}
