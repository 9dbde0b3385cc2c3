//! A whole pool in which up to eight bits are flipped.
//!
//! Promised: whatever is read is a message that was appended, under its seq, with its time and tags, byte for byte, or
//! it is an error. What is appended afterwards is read back, or an error is said.
//!
//! A checksum sees every pattern of up to five flipped bits in a header or a payload of these lengths. Of six to eight
//! it may miss one in four thousand million, which nobody has found by trying.

use std::collections::BTreeSet;

use plasmite::core::read::Frame;

use crate::base::{BASES, BOOT, Base, SIZE};
use crate::drive::{self, Wish};
use crate::input::Input;

/// Checks one input: which pool, under which boot, what to ask for and append, and the bits.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let base = &BASES[usize::from(input.u8()) % BASES.len()];
    let boot = BOOT + u64::from(input.u8() % 3 == 2);
    let seq = u64::from(input.u16());
    let length = usize::from(input.u16());
    let wish = Wish {
        seqs: vec![1, seq % 512, seq],
        numbers: vec![seq % 16, 1000 + seq * 2],
        lengths: vec![length % 300, length % 30_000],
        now: 100_000,
        forged: false,
    };
    let bits: BTreeSet<u64> = (0..1 + input.u8() % 8)
        .map(|_| bit(base, &mut input))
        .collect();
    let mut bytes = base.bytes.clone();
    for bit in &bits {
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
    drive::everything(&bytes, SIZE, boot, &wish, &|_, frame| {
        is_original(base, frame, &bits);
    });
}

/// A bit of the file: of the header page, of a frame, or of any place.
fn bit(base: &Base, input: &mut Input<'_>) -> u64 {
    let kind = input.u8();
    let at = u64::from(input.u32());
    let frame = base.frames[base.frames.len() - 1 - usize::from(kind >> 2) % base.frames.len()];
    let offset = |position: u64| base.offset(position) as u64 * 8;
    match kind % 4 {
        0 => at % (SIZE * 8),
        1 => 512 * 8 + at % (704 * 8),
        2 => offset(frame + at % 384 / 64 * 8) + at % 64,
        _ => offset(frame + 48 + at % 4096 / 64 * 8) + at % 64,
    }
}

fn is_original(base: &Base, frame: &Frame, bits: &BTreeSet<u64>) {
    let header = frame.header().expect("a message without a header");
    let original = base.messages.get(&header.seq);
    let original = original.unwrap_or_else(|| {
        panic!("seq {} was never appended; flipped: {bits:?}", header.seq);
    });
    let is_same = original.data == frame.data()
        && original.tags == frame.tags()
        && original.time == header.time;
    assert!(
        is_same,
        "message {} is not what was appended; flipped: {bits:?}",
        header.seq
    );
}
