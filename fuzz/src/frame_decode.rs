//! Frame headers: decoded from any words at any position.
//!
//! Promised: no panic; the same verdict as the tables of `spec/format` give; what decodes encodes to the same words;
//! lengths agree with each other; up to five flipped bits never make another header of one.

use plasmite::core::frame::{FrameHeader, HEADER_WORDS, NotAFrame, STATE_WORD};

use crate::input::Input;
use crate::reference;

/// The most flipped bits of which the checksum sees every pattern, at the length of a header.
const MOST_FLIPS: u8 = 5;

/// Checks one input: how the words come about, the words, a position, and bits to flip.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.u8();
    let mut words: [u64; HEADER_WORDS] = std::array::from_fn(|_| input.u64());
    let position = match how & 0x10 {
        0 => words[0],
        _ => input.u64(),
    };
    match how % 4 {
        0 => {}
        1 => words = sealed(words),
        _ => {
            let header = header_of(&words);
            words = committed(&header);
            let writing = header.encode().words;
            let decoded = FrameHeader::decode(&words, header.position);
            assert_eq!(decoded, Ok(header), "what was encoded decodes otherwise");
            assert_eq!(
                FrameHeader::decode(&writing, header.position),
                Err(NotAFrame::State),
                "a frame that is being written is taken for a whole one"
            );
        }
    }
    let decoded = FrameHeader::decode(&words, position);
    agree_with_the_tables(&words, position, decoded);
    if let Ok(header) = decoded {
        is_consistent(&header, &words, position);
        flips_are_seen(&words, position, &mut input);
    }
}

fn agree_with_the_tables(
    words: &[u64; HEADER_WORDS],
    position: u64,
    decoded: Result<FrameHeader, NotAFrame>,
) {
    let found = reference::header(&bytes_of(words)).filter(|found| found.position == position);
    let decoded = decoded.ok().map(|header| reference::Header {
        position: header.position,
        seq: header.seq,
        time: header.time,
        tags_len: header.tags_len,
        data_len: header.data_len,
        payload_crc: header.payload_crc,
        link: header.link,
        flags: u8::from(header.hole) | u8::from(header.more) << 1,
    });
    assert_eq!(decoded, found, "not what the tables say of {words:x?}");
}

fn is_consistent(header: &FrameHeader, words: &[u64; HEADER_WORDS], position: u64) {
    assert_eq!(header.position, position);
    assert_eq!(committed(header), *words, "encodes to other words");
    assert_eq!(
        u64::from(header.crc()),
        words[STATE_WORD as usize] & 0xFFFF_FFFF
    );
    let padded = |len: u32| u64::from(len).next_multiple_of(8);
    let size = 48 + padded(header.tags_len) + padded(header.data_len);
    assert_eq!(header.size(), size);
    assert_eq!(header.payload_size(), size - 48);
    assert_eq!(header.end(), position.saturating_add(size));
}

/// Every single bit, and a few that the input picks.
fn flips_are_seen(words: &[u64; HEADER_WORDS], position: u64, input: &mut Input<'_>) {
    let bits = HEADER_WORDS * 64;
    for bit in 0..bits {
        let mut flipped = *words;
        flipped[bit / 64] ^= 1 << (bit % 64);
        let found = FrameHeader::decode(&flipped, position);
        assert!(found.is_err(), "bit {bit} was flipped: {found:?}");
    }
    let mut flipped = *words;
    for _ in 0..input.u8() % (MOST_FLIPS + 1) {
        let bit = usize::from(input.u16()) % bits;
        flipped[bit / 64] ^= 1 << (bit % 64);
    }
    if flipped != *words {
        let found = FrameHeader::decode(&flipped, position);
        assert!(found.is_err(), "{words:x?} became {flipped:x?}: {found:?}");
        let elsewhere = FrameHeader::decode(&flipped, flipped[0]);
        assert!(elsewhere.is_err(), "{words:x?} became {elsewhere:?}");
    }
}

fn committed(header: &FrameHeader) -> [u64; HEADER_WORDS] {
    let encoded = header.encode();
    let mut words = encoded.words;
    words[STATE_WORD as usize] = encoded.committed;
    words
}

/// The header of which these words say the fields.
fn header_of(words: &[u64; HEADER_WORDS]) -> FrameHeader {
    let [position, seq, time, lengths, crcs, flags] = *words;
    FrameHeader {
        position,
        seq: seq.min(u64::MAX - 1),
        time,
        tags_len: lengths as u32,
        data_len: (lengths >> 32) as u32,
        payload_crc: crcs as u32,
        link: (crcs >> 32) as u32,
        hole: flags & 1 != 0,
        more: flags & 2 != 0,
    }
}

/// The words with the checksum that belongs to them.
fn sealed(mut words: [u64; HEADER_WORDS]) -> [u64; HEADER_WORDS] {
    let state = &mut words[STATE_WORD as usize];
    *state |= 0xFF << 56;
    *state = *state >> 32 << 32;
    let crc = reference::seal(&bytes_of(&words));
    words[STATE_WORD as usize] |= u64::from(crc);
    words
}

fn bytes_of(words: &[u64; HEADER_WORDS]) -> [u8; reference::HEADER] {
    let mut bytes = [0; reference::HEADER];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
