//! Calls that append and fetch.

use std::ffi::{c_char, c_int};

use super::argument::{self, Out, row, tags_of_message};
use super::buffer::plsm_buf_t;
use super::error::{answer, plsm_error_t};
use super::stream::envelope;
use super::{PLSM_DURABILITY_FAST, PLSM_DURABILITY_FLUSH, POOLS, plsm_pool_t};
use crate::{Batch, Durability, Timestamp};

/// A message of a batch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct plsm_entry_t {
    /// The data: one JSON value as UTF-8 text.
    pub json: *const u8,
    /// How many bytes `json` has.
    pub len: usize,
    /// So many pointers to text, each a tag. May be null if `tag_count` is 0.
    pub tags: *const *const c_char,
    /// How many tags there are.
    pub tag_count: usize,
    /// The message's seq, if the batch is stamped; else 0.
    pub seq: u64,
    /// The message's time in nanoseconds since 1970, if the batch is stamped; else 0.
    pub time_ns: u64,
}

/// What was appended: the messages `first_seq` to `last_seq`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct plsm_receipt_t {
    /// The seq of the first message.
    pub first_seq: u64,
    /// The seq of the last message.
    pub last_seq: u64,
    /// The time of the last message, in nanoseconds since 1970.
    pub time_ns: u64,
    /// `PLSM_DURABILITY_FAST` or `PLSM_DURABILITY_FLUSH`: what was reached.
    pub durability: u32,
    /// Zero.
    pub reserved: u32,
}

/// Appends a message: `json` is one JSON value as UTF-8 text of `len` bytes. Gives the message's envelope, as one JSON
/// object. Free it with `plsm_buf_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_append_json(
    pool: *const plsm_pool_t,
    json: *const u8,
    len: usize,
    tags: *const *const c_char,
    tag_count: usize,
    durability: u32,
    out_message: *mut plsm_buf_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    let call = || unsafe {
        let out = Out::new(out_message, "buffer for the message", plsm_buf_t::EMPTY)?;
        let pool = POOLS.get(pool)?;
        let mut batch = Batch::new();
        let data = row(json, len, "data")?;
        batch.push_json(data, &tags_of_message(tags, tag_count)?)?;
        let receipt = pool.append_batch(&batch, argument::durability(durability)?)?;
        let mut text = Vec::new();
        batch.write_envelope(0, &receipt, &mut text);
        out.set(plsm_buf_t::holding(text));
        Ok(0)
    };
    // SAFETY: as for this function.
    unsafe { answer(err, call) }
}

/// Appends all of these messages, in order, or none: they become visible together. If any of them has a seq or a time,
/// all need both, and keep them.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_append_batch(
    pool: *const plsm_pool_t,
    entries: *const plsm_entry_t,
    entry_count: usize,
    durability: u32,
    out_receipt: *mut plsm_receipt_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    let call = || unsafe {
        let out = Out::new(
            out_receipt,
            "place for the receipt",
            plsm_receipt_t::default(),
        )?;
        let pool = POOLS.get(pool)?;
        let durability = argument::durability(durability)?;
        let entries = row(entries, entry_count, "entries")?;
        let mut batch = Batch::new();
        for entry in entries {
            let data = row(entry.json, entry.len, "data")?;
            batch.push_json(data, &tags_of_message(entry.tags, entry.tag_count)?)?;
        }
        let receipt = match stamps(entries) {
            None => pool.append_batch(&batch, durability)?,
            Some(stamps) => pool.append_batch_at(&batch, &stamps, durability)?,
        };
        out.set(plsm_receipt_t {
            first_seq: receipt.first_seq,
            last_seq: receipt.last_seq,
            time_ns: receipt.time.as_nanos(),
            durability: match receipt.durability {
                Durability::Fast => PLSM_DURABILITY_FAST,
                Durability::Flush => PLSM_DURABILITY_FLUSH,
            },
            reserved: 0,
        });
        Ok(0)
    };
    // SAFETY: as for this function.
    unsafe { answer(err, call) }
}

/// Makes everything that was appended so far survive loss of power.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_flush(
    pool: *const plsm_pool_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    let call = || {
        POOLS.get(pool)?.flush()?;
        Ok(0)
    };
    // SAFETY: as for this function.
    unsafe { answer(err, call) }
}

/// Gives the message `seq`, as its envelope. Free it with `plsm_buf_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_get_json(
    pool: *const plsm_pool_t,
    seq: u64,
    out_message: *mut plsm_buf_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    let call = || unsafe {
        let out = Out::new(out_message, "buffer for the message", plsm_buf_t::EMPTY)?;
        out.set(envelope(&POOLS.get(pool)?.get(seq)?));
        Ok(0)
    };
    // SAFETY: as for this function.
    unsafe { answer(err, call) }
}

/// The stamps of a batch, if any of its messages has one.
fn stamps(entries: &[plsm_entry_t]) -> Option<Vec<(u64, Timestamp)>> {
    let stamp = |entry: &plsm_entry_t| (entry.seq, Timestamp::from_nanos(entry.time_ns));
    let stamped = entries
        .iter()
        .any(|entry| entry.seq != 0 || entry.time_ns != 0);
    stamped.then(|| entries.iter().map(stamp).collect())
}
