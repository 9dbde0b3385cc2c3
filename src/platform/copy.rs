//! Copies between words that other processes may access at the same time and bytes of this one.
//!
//! Each word is loaded or stored whole, Relaxed and in no order that anybody may rely on; see decision 18.

use std::sync::atomic::{AtomicU64, Ordering};

const WORD: usize = 8;
/// Words that one step moves, enough for the loop itself to cost nothing.
const STEP: usize = 8;
/// From so many bytes on, the processor's own loop is faster than ours.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LONG: usize = 512;

/// Loads as many words as `into` has room for; what is left of it behind the last whole word stays as it is.
///
/// # Safety
///
/// The words from `from` on, as many as `into` holds, are inside one live mapping and aligned.
#[inline]
pub(super) unsafe fn load(from: *mut u64, into: &mut [u8]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if into.len() >= LONG {
        // SAFETY: as the caller vouches.
        return unsafe { load_long(from, into) };
    }
    let mut next = from;
    let mut steps = into.chunks_exact_mut(STEP * WORD);
    for step in &mut steps {
        // SAFETY: the caller vouches for all words of `into`, and `next` moves on by as many as each step holds.
        next = unsafe { load_words(next, step) };
    }
    // SAFETY: as above, for the words that are left.
    unsafe { load_words(next, steps.into_remainder()) };
}

/// Stores these bytes; the last word is filled up with zero bytes.
///
/// # Safety
///
/// The words from `into` on, as many as `from` holds, one begun included, are inside one live, writable mapping and
/// aligned.
#[inline]
pub(super) unsafe fn store(into: *mut u64, from: &[u8]) {
    let mut next = into;
    let mut steps = from.chunks_exact(STEP * WORD);
    for step in &mut steps {
        // SAFETY: the caller vouches for all words of `from`, and `next` moves on by as many as each step holds.
        next = unsafe { store_words(next, step) };
    }
    let (whole, rest) = split_last_word(steps.remainder());
    // SAFETY: as above, for the words that are left.
    next = unsafe { store_words(next, whole) };
    if !rest.is_empty() {
        // SAFETY: as above, for the last word.
        unsafe { store_word(next, last_word(from, rest)) };
    }
}

/// The word that begins with `rest`, the end of `bytes`, and goes on with zero bytes.
///
/// It is made in a register. A load of bytes just written one by one waits until all stores before them are done, those
/// of the copy included.
#[inline]
fn last_word(bytes: &[u8], rest: &[u8]) -> u64 {
    let value = match bytes.last_chunk::<WORD>() {
        Some(last) => u64::from_le_bytes(*last) >> (8 * (WORD - rest.len())),
        None => rest
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    };
    value.to_le()
}

/// # Safety
///
/// As for [`load`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
unsafe fn load_long(from: *const u64, into: &mut [u8]) {
    // SAFETY: the caller vouches for as many words as `into` holds, and nobody else has `into`. An aligned word is read
    // whole, by whatever instruction. x86 lets no load pass another; what it says of string instructions is about their
    // stores. So these loads are as Relaxed ones would be, before an acquire fence too. The direction flag is clear on
    // entry to any `asm!`.
    unsafe {
        std::arch::asm!(
            "rep movsq",
            inout("rcx") into.len() / WORD => _,
            inout("rsi") from => _,
            inout("rdi") into.as_mut_ptr() => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Loads the whole words of `into`, and returns where the next one is.
///
/// # Safety
///
/// As for [`load`].
#[inline]
unsafe fn load_words(from: *mut u64, into: &mut [u8]) -> *mut u64 {
    let mut next = from;
    for bytes in into.chunks_exact_mut(WORD) {
        // SAFETY: the caller vouches for as many words as there are chunks; all parties access them as atomics.
        let value = unsafe { AtomicU64::from_ptr(next) }.load(Ordering::Relaxed);
        // Bytes in memory order are what the file holds, whatever the byte order of the machine.
        bytes.copy_from_slice(&value.to_ne_bytes());
        // SAFETY: at most one past the last word that the caller vouches for.
        next = unsafe { next.add(1) };
    }
    next
}

/// Stores the whole words of `from`, and returns where the next one is.
///
/// # Safety
///
/// As for [`store`].
#[inline]
unsafe fn store_words(into: *mut u64, from: &[u8]) -> *mut u64 {
    let mut next = into;
    for bytes in from.chunks_exact(WORD) {
        let mut value = [0; WORD];
        value.copy_from_slice(bytes);
        // SAFETY: the caller vouches for as many words as there are chunks.
        unsafe { store_word(next, u64::from_ne_bytes(value)) };
        // SAFETY: at most one past the last word that the caller vouches for.
        next = unsafe { next.add(1) };
    }
    next
}

/// # Safety
///
/// The word is inside a live, writable mapping and aligned.
#[inline]
unsafe fn store_word(into: *mut u64, value: u64) {
    // SAFETY: as the caller vouches; all parties access it as an atomic.
    unsafe { AtomicU64::from_ptr(into) }.store(value, Ordering::Relaxed);
}

/// Splits off the bytes that do not fill a word.
#[inline]
fn split_last_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len() / WORD * WORD)
}
