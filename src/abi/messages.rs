//! Calls that append and fetch.

use std::ffi::{c_char, c_int};

use super::argument::{self, row, tags};
use super::buffer::plsm_buf_t;
use super::error::{answer, give, plsm_error_t};
use super::stream::envelope;
use super::{PLSM_DURABILITY_FAST, PLSM_DURABILITY_FLUSH, POOLS, plsm_pool_t};
use crate::{Batch, Durability, Receipt, Result, Tags, Timestamp};

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
    unsafe {
        give(
            err,
            out_message,
            "buffer for the message",
            plsm_buf_t::EMPTY,
            || {
                let pool = POOLS.get(pool)?;
                let mut batch = Batch::new();
                push(&mut batch, (json, len), (tags, tag_count))?;
                let receipt = pool.append_batch(&batch, argument::durability(durability)?)?;
                let mut text = Vec::new();
                batch.write_envelope(&receipt, &mut text);
                Ok(plsm_buf_t::holding(text))
            },
        )
    }
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
    unsafe {
        give(
            err,
            out_receipt,
            "place for the receipt",
            plsm_receipt_t::default(),
            || {
                let pool = POOLS.get(pool)?;
                let durability = argument::durability(durability)?;
                let entries = row(entries, entry_count, "entries")?;
                let mut batch = Batch::new();
                for entry in entries {
                    push(
                        &mut batch,
                        (entry.json, entry.len),
                        (entry.tags, entry.tag_count),
                    )?;
                }
                let receipt = match stamps(entries) {
                    None => pool.append_batch(&batch, durability)?,
                    Some(stamps) => pool.append_batch_at(&batch, &stamps, durability)?,
                };
                Ok(plsm_receipt_t::of(&receipt))
            },
        )
    }
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
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            POOLS.get(pool)?.flush()?;
            Ok(0)
        })
    }
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
    unsafe {
        give(
            err,
            out_message,
            "buffer for the message",
            plsm_buf_t::EMPTY,
            || Ok(envelope(&POOLS.get(pool)?.get(seq)?)),
        )
    }
}

impl plsm_receipt_t {
    fn of(receipt: &Receipt) -> plsm_receipt_t {
        plsm_receipt_t {
            first_seq: receipt.first_seq,
            last_seq: receipt.last_seq,
            time_ns: receipt.time.as_nanos(),
            durability: match receipt.durability {
                Durability::Fast => PLSM_DURABILITY_FAST,
                Durability::Flush => PLSM_DURABILITY_FLUSH,
            },
            reserved: 0,
        }
    }
}

/// Adds a message to a batch: its data, and its tags, each by the first and how many there are.
///
/// # Safety
///
/// The data is as for `argument::row`, the tags are as for `argument::tags`.
unsafe fn push(
    batch: &mut Batch,
    data: (*const u8, usize),
    given_tags: (*const *const c_char, usize),
) -> Result<()> {
    // SAFETY: as for this function.
    let (data, tags) = unsafe {
        (
            row(data.0, data.1, "data")?,
            tags(given_tags.0, given_tags.1)?,
        )
    };
    batch.push_json(data, &Tags::new(tags))
}

/// The stamps of a batch, if any of its messages has one.
fn stamps(entries: &[plsm_entry_t]) -> Option<Vec<(u64, Timestamp)>> {
    let stamp = |entry: &plsm_entry_t| (entry.seq, Timestamp::from_nanos(entry.time_ns));
    let stamped = entries
        .iter()
        .any(|entry| entry.seq != 0 || entry.time_ns != 0);
    stamped.then(|| entries.iter().map(stamp).collect())
}
