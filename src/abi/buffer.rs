//! Bytes that are handed to the caller, and taken back.

use std::ptr;

/// Bytes that the library has allocated. One byte of zero follows them, so that text can be printed.
///
/// Free it with `plsm_buf_free`, which also resets it. A call that fills a buffer does not look at what is in it.
#[repr(C)]
pub struct plsm_buf_t {
    /// The bytes, or null.
    pub data: *mut u8,
    /// How many there are, without the zero behind them.
    pub len: usize,
}

impl plsm_buf_t {
    pub(super) const EMPTY: plsm_buf_t = plsm_buf_t {
        data: ptr::null_mut(),
        len: 0,
    };

    /// Gives `bytes` away.
    pub(super) fn holding(mut bytes: Vec<u8>) -> plsm_buf_t {
        let len = bytes.len();
        bytes.push(0);
        let data = Box::into_raw(bytes.into_boxed_slice()).cast();
        plsm_buf_t { data, len }
    }

    /// Takes the bytes back, and leaves an empty buffer.
    ///
    /// # Safety
    ///
    /// The buffer is empty, or as [`holding`](plsm_buf_t::holding) made it.
    pub(super) unsafe fn reset(&mut self) {
        let buffer = std::mem::replace(self, plsm_buf_t::EMPTY);
        if !buffer.data.is_null() {
            let bytes = ptr::slice_from_raw_parts_mut(buffer.data, buffer.len + 1);
            // SAFETY: the caller vouches that these are the pointer and the length of a box that was given away.
            drop(unsafe { Box::from_raw(bytes) });
        }
    }
}
