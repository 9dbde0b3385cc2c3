//! The C ABI: `include/plasmite.h`, by `spec/abi/v0`. It translates arguments, maps errors and catches panics, and does
//! nothing else.
//!
//! Reading order: `handle`, `argument`, `error`, `buffer`; then the calls: `pools`, `messages`, `stream` and
//! `follow`, and what frees, here.
//!
//! Every call is memory-safe for any handle, null or not. What else it is given has to be what the header says.

mod argument;
pub mod buffer;
pub mod error;
pub mod follow;
mod handle;
pub mod messages;
pub mod pools;
pub mod stream;

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use serde::Serialize;

use argument::is_null;
use buffer::plsm_buf_t;
use error::{OwnedError, answer, give, plsm_error_t};
use handle::Table;
use stream::Stream;

use crate::wire::error_body;
use crate::{Client, Error, ErrorKind, Pool, Result};

/// A directory of pools. Any number of threads may use it at once.
#[expect(non_camel_case_types, reason = "the name in C")]
pub struct plsm_client_t {
    _opaque: (),
}

/// An open pool. Any number of threads may use it at once.
#[expect(non_camel_case_types, reason = "the name in C")]
pub struct plsm_pool_t {
    _opaque: (),
}

/// A place in a pool that is read on from. Threads that use it at once take turns.
#[expect(non_camel_case_types, reason = "the name in C")]
pub struct plsm_stream_t {
    _opaque: (),
}

/// Something inside the library went wrong; the message says what.
pub const PLSM_ERROR_INTERNAL: i32 = 1;
/// The call was not used as it may be.
pub const PLSM_ERROR_USAGE: i32 = 2;
/// There is no such pool or message, or no longer.
pub const PLSM_ERROR_NOT_FOUND: i32 = 3;
/// There is a pool of that name already.
pub const PLSM_ERROR_ALREADY_EXISTS: i32 = 4;
/// The writer lock was not had in time.
pub const PLSM_ERROR_BUSY: i32 = 5;
/// The system does not allow it.
pub const PLSM_ERROR_PERMISSION: i32 = 6;
/// The pool is damaged.
pub const PLSM_ERROR_CORRUPT: i32 = 7;
/// The system failed, a full disk among other things.
pub const PLSM_ERROR_IO: i32 = 8;
/// Messages are missing that were to be read.
pub const PLSM_ERROR_RETENTION_GAP: i32 = 9;

/// Survives the end of the process, not loss of power.
pub const PLSM_DURABILITY_FAST: u32 = 0;
/// Survives loss of power.
pub const PLSM_DURABILITY_FLUSH: u32 = 1;

/// Pass over what is missing.
pub const PLSM_GAP_CONTINUE: u32 = 0;
/// Fail with `PLSM_ERROR_RETENTION_GAP` where something is missing.
pub const PLSM_GAP_ERROR: u32 = 1;

static CLIENTS: Table<Client> = Table::new("client");
static POOLS: Table<Pool> = Table::new("pool");
static STREAMS: Table<Stream> = Table::new("stream");

/// The version of the library, as text that is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn plsm_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Makes reading and writing a pool whose file is cut meanwhile fail with `PLSM_ERROR_CORRUPT`, where the system would
/// end the process by SIGBUS. Takes that signal over for the whole process and hands on what is not about a pool; no
/// other call touches signals. More calls than one change nothing.
///
/// # Safety
///
/// `err` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_install_sigbus_guard(err: *mut *mut plsm_error_t) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            crate::install_sigbus_guard()?;
            Ok(0)
        })
    }
}

/// Frees a client. What was opened through it stays open. Null, and what is no open client, are passed over.
#[unsafe(no_mangle)]
pub extern "C" fn plsm_client_free(client: *mut plsm_client_t) {
    release(|| drop(CLIENTS.remove(client)));
}

/// Frees a pool. What was opened through it stays open. Null, and what is no open pool, are passed over.
#[unsafe(no_mangle)]
pub extern "C" fn plsm_pool_free(pool: *mut plsm_pool_t) {
    release(|| drop(POOLS.remove(pool)));
}

/// Frees a stream. A thread that waits on it gets the end. Null, and what is no open stream, are passed over.
#[unsafe(no_mangle)]
pub extern "C" fn plsm_stream_free(stream: *mut plsm_stream_t) {
    release(|| {
        if let Some(stream) = STREAMS.remove(stream) {
            stream.cancel();
        }
    });
}

/// Frees what is in a buffer, and resets it. Null, and an empty buffer, are passed over.
///
/// # Safety
///
/// `buffer` is null, or holds what a call of this library put there, or is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_buf_free(buffer: *mut plsm_buf_t) {
    if !buffer.is_null() {
        // SAFETY: it is not null, and the caller vouches for the rest.
        release(|| unsafe { (*buffer).reset() });
    }
}

/// Frees an error. Null is passed over.
///
/// # Safety
///
/// `error` is null, or an error of this library that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_error_free(error: *mut plsm_error_t) {
    if !error.is_null() {
        // SAFETY: every error of this library is the public part of such a box.
        release(|| drop(unsafe { Box::from_raw(error.cast::<OwnedError>()) }));
    }
}

/// What to do about an error, as text that lives as long as the error; null if there is nothing to say.
///
/// # Safety
///
/// `error` is null, or an error of this library that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_error_hint(error: *const plsm_error_t) -> *const c_char {
    // SAFETY: every error of this library is the public part of such a box.
    match unsafe { error.cast::<OwnedError>().as_ref() } {
        Some(error) => error.hint(),
        None => ptr::null(),
    }
}

/// An error as the JSON object that every other surface of Plasmite reports: `{"error":{"kind":...}}`. Free it with
/// `plsm_buf_free`.
///
/// # Safety
///
/// `error` is null, or an error of this library that was not freed; `out_json` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_error_json(
    error: *const plsm_error_t,
    out_json: *mut plsm_buf_t,
) -> c_int {
    // SAFETY: as for this function; every error of this library is the public part of such a box.
    unsafe {
        give(
            ptr::null_mut(),
            out_json,
            "buffer for the error",
            plsm_buf_t::EMPTY,
            || {
                let error = error.cast::<OwnedError>().as_ref();
                json(&error_body(error.ok_or_else(|| is_null("error"))?.error()))
            },
        )
    }
}

fn json(value: &impl Serialize) -> Result<plsm_buf_t> {
    let text = serde_json::to_vec(value);
    let text =
        text.map_err(|e| Error::new(ErrorKind::Internal, "no JSON came of it").caused_by(e))?;
    Ok(plsm_buf_t::holding(text))
}

/// Frees something. That panics only for a bug, which must not leave the library.
fn release(free: impl FnOnce()) {
    // What is left of it leaks, at worst.
    let _ = catch_unwind(AssertUnwindSafe(free));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::abi_code;

    #[test]
    fn the_header_has_the_number_of_every_kind() {
        let numbers = [
            PLSM_ERROR_INTERNAL,
            PLSM_ERROR_USAGE,
            PLSM_ERROR_NOT_FOUND,
            PLSM_ERROR_ALREADY_EXISTS,
            PLSM_ERROR_BUSY,
            PLSM_ERROR_PERMISSION,
            PLSM_ERROR_CORRUPT,
            PLSM_ERROR_IO,
            PLSM_ERROR_RETENTION_GAP,
        ];
        assert_eq!(ErrorKind::ALL.map(abi_code), numbers);
    }
}
