//! Calls on streams.

use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use super::argument::{Out, sized};
use super::buffer::plsm_buf_t;
use super::error::{answer, give, plsm_error_t};
use super::stream::{
    FIRST_SIZE, OutEvent, Stream, plsm_event_t, plsm_stream_options_t, tail_options,
};
use super::{POOLS, STREAMS, plsm_pool_t, plsm_stream_t};
use crate::Result;

/// Opens a stream of a pool's messages: from `since` on if `has_since` is 1, else from the oldest; at most `max` if `has_max`
/// is 1; for at most `timeout_ms` if `has_timeout` is 1. Free it with `plsm_stream_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_open(
    pool: *const plsm_pool_t,
    since: u64,
    has_since: u32,
    max: u64,
    has_max: u32,
    timeout_ms: u64,
    has_timeout: u32,
    out: *mut *mut plsm_stream_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    let options = plsm_stream_options_t {
        since_seq: since,
        has_since,
        max_messages: max,
        has_max,
        timeout_ms,
        has_timeout,
        ..plsm_stream_options_t::default()
    };
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the stream", ptr::null_mut(), || {
            open_stream(pool, &options)
        })
    }
}

/// As `plsm_stream_open`, with all options.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_open_ex(
    pool: *const plsm_pool_t,
    options: *const plsm_stream_options_t,
    out: *mut *mut plsm_stream_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the stream", ptr::null_mut(), || {
            open_stream(pool, &sized(options, FIRST_SIZE, "options of a stream")?)
        })
    }
}

/// Waits for the next message, passing over what is missing: 1 with its envelope in `out_message`, 0 at the end, -1 for an
/// error. Free the message with `plsm_buf_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_next(
    stream: *const plsm_stream_t,
    out_message: *mut plsm_buf_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            let out = Out::new(out_message, "buffer for the message", plsm_buf_t::EMPTY)?;
            let next = STREAMS.get(stream)?.next()?;
            let status = next.is_some().into();
            out.set(next.unwrap_or(plsm_buf_t::EMPTY));
            Ok(status)
        })
    }
}

/// Waits for what comes next, for at most `wait_ms` (`UINT64_MAX`: as long as it takes), and says of it what
/// `plsm_stream_next` does not: what is missing, and why the stream ended. `out_event->struct_size` is set by the caller.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_read(
    stream: *const plsm_stream_t,
    wait_ms: u64,
    out_event: *mut plsm_event_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            let mut out = OutEvent::new(out_event)?;
            let patience = (wait_ms != u64::MAX).then(|| Duration::from_millis(wait_ms));
            out.set(STREAMS.get(stream)?.read(patience)?);
            Ok(0)
        })
    }
}

/// The seq to begin another stream at that goes on where this one is.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_next_seq(
    stream: *const plsm_stream_t,
    out_seq: *mut u64,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out_seq, "place for the seq", 0, || {
            Ok(STREAMS.get(stream)?.next_seq())
        })
    }
}

/// Ends a stream from any thread. One that waits on it gets the end.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_stream_cancel(
    stream: *const plsm_stream_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            STREAMS.get(stream)?.cancel();
            Ok(0)
        })
    }
}

/// A handle of a stream with these options.
///
/// # Safety
///
/// Their tags are as for `argument::tags`.
unsafe fn open_stream(
    pool: *const plsm_pool_t,
    options: &plsm_stream_options_t,
) -> Result<*mut plsm_stream_t> {
    // SAFETY: as for this function.
    let options = unsafe { tail_options(options) }?;
    STREAMS.insert(Stream::open(&*POOLS.get(pool)?, options)?)
}
