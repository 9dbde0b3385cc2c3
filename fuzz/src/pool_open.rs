//! Any bytes as a pool.
//!
//! Promised: opening in any way, reading, searching, appending, verifying and deleting end with a result or with an
//! error that says what to do, and never with a panic or not at all; a message that is handed out is what the ring
//! holds, and verifies; what was appended is read back, or an error is said; a pool that is reported whole is readable.
//!
//! Damage here may be made up to pass every checksum, so what a message says is not compared with what was once
//! appended: `pool_flip` does that.

use plasmite::core::layout::{
    ANCHORED, BOOT as BOOT_WORD, CHECKPOINTS, DELETED, FLUSHED, GENERATION, HEADER_SIZE, INTENT,
    LAST, NEWEST_HOLE, OLDEST, SEQ_FLOOR, SLOT_SIZE,
};

use crate::base::{self, BASES, BOOT, Base, SIZE};
use crate::drive::{self, Wish};
use crate::input::Input;
use crate::reference;

/// Checks one input: which pool, under which boot, what to ask for, and what is overwritten with what.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let which = usize::from(input.u8());
    let boot = BOOT + u64::from(input.u8() % 3 == 2);
    let mut wish = wish(&mut input);
    let Some(base) = BASES.get(which % (BASES.len() + 1)) else {
        let bytes = input.rest();
        return drive::everything(bytes, bytes.len() as u64, boot, &wish, &|_, _| {});
    };
    let mut damaged = Damaged {
        bytes: base.bytes.clone(),
        base,
        forged: false,
    };
    while !input.is_empty() {
        damaged.damage(&mut input);
    }
    wish.forged = damaged.forged;
    drive::everything(&damaged.bytes, SIZE, boot, &wish, &|_, _| {});
}

fn wish(input: &mut Input<'_>) -> Wish {
    let [seq, number] = [input.u16(), input.u16()].map(u64::from);
    let length = usize::from(input.u16());
    Wish {
        seqs: vec![1, seq % 1024, u64::MAX],
        numbers: vec![number % 8, number, u64::MAX],
        lengths: vec![1, length % 40_000, length % 100],
        now: 5_000,
        forged: true,
    }
}

/// A pool, and what it was.
struct Damaged<'a> {
    bytes: Vec<u8>,
    base: &'a Base,
    /// Whether a frame was given a checksum that it did not have.
    forged: bool,
}

impl Damaged<'_> {
    fn damage(&mut self, input: &mut Input<'_>) {
        match input.u8() % 12 {
            0 => self.overwrite(input),
            1 => self.control_word(input),
            2 => self.frame_field(input),
            3 => {
                let frame = self.frame(input);
                self.seal(frame);
            }
            4 => {
                let frame = self.frame(input);
                self.seal_payload(frame);
            }
            5 => self.checkpoint(input),
            6 => self.seq_floor(input),
            7 => self.slot(input),
            8 => self.copy(input),
            9 => self.zero(input),
            10 => self.forge(input),
            _ => self.flip(input),
        }
    }

    fn set(&mut self, offset: usize, bytes: &[u8]) {
        let end = (offset + bytes.len()).min(self.bytes.len());
        let room = end.saturating_sub(offset);
        if room > 0 {
            self.bytes[offset..end].copy_from_slice(&bytes[..room]);
        }
    }

    fn set_word(&mut self, offset: u64, value: u64) {
        self.set(offset as usize, &value.to_le_bytes());
    }

    fn word(&self, offset: u64) -> u64 {
        reference::word64(&self.bytes, offset as usize)
    }

    /// A number that has a chance to mean something.
    fn value(&self, input: &mut Input<'_>) -> u64 {
        let kind = input.u8();
        let near = i64::from(input.u16() as i16);
        let frame = self.frame(input);
        match kind % 8 {
            0 => u64::from(near as u16),
            1 => self.word(LAST).wrapping_add_signed(near * 8),
            2 => frame,
            3 => frame.wrapping_add_signed(near * 8),
            4 => u64::MAX.wrapping_add_signed(-near.abs()),
            5 => frame.wrapping_add_signed(near * self.base.geometry.ring_size as i64),
            6 => (1 << (near as u64 % 64)) - u64::from(near < 0),
            _ => input.u64(),
        }
    }

    /// The position of one of the pool's frames.
    fn frame(&self, input: &mut Input<'_>) -> u64 {
        let frames = &self.base.frames;
        // From the newest on, which is where most things happen.
        frames[frames.len() - 1 - usize::from(input.u8()) % frames.len()]
    }

    fn overwrite(&mut self, input: &mut Input<'_>) {
        let offset = usize::from(input.u16());
        let length = usize::from(input.u8());
        self.set(offset, input.bytes(length));
    }

    fn control_word(&mut self, input: &mut Input<'_>) {
        const WORDS: [u64; 9] = [
            INTENT,
            LAST,
            OLDEST,
            DELETED,
            BOOT_WORD,
            GENERATION,
            NEWEST_HOLE,
            ANCHORED,
            FLUSHED,
        ];
        let word = WORDS[usize::from(input.u8()) % WORDS.len()];
        let value = self.value(input);
        self.set_word(word, value);
    }

    fn frame_field(&mut self, input: &mut Input<'_>) {
        let position = self.frame(input);
        let field = input.u8();
        let value = self.value(input);
        // Half of the lengths are changed without the other half.
        match field % 10 {
            word @ 0..6 => self.set_word(self.at(position + 8 * u64::from(word)), value),
            6 => self.set(
                self.at(position + 24) as usize,
                &(value as u32).to_le_bytes(),
            ),
            7 => self.set(
                self.at(position + 24) as usize + 4,
                &(value as u32).to_le_bytes(),
            ),
            8 => self.set(self.at(position + 40) as usize + 5, &[value as u8]),
            _ => self.set_word(self.at(position + 48 + value % 64 * 8), value),
        }
        if field & 0x80 != 0 {
            self.seal(position);
        }
    }

    /// Where a position of the ring is in the file.
    fn at(&self, position: u64) -> u64 {
        self.base.geometry.offset_at(position)
    }

    /// Gives a frame header the checksum that belongs to it.
    fn seal(&mut self, position: u64) {
        self.forged = true;
        let header = base::frame_header(&self.bytes, &self.base.geometry, position);
        let at = self.at(position + 40) as usize;
        self.set(at, &reference::seal(&header).to_le_bytes());
    }

    /// Gives a payload, of the length that its header says, the checksum that belongs to it, and the header its.
    fn seal_payload(&mut self, position: u64) {
        let header = base::frame_header(&self.bytes, &self.base.geometry, position);
        let [tags, data] = [24, 28].map(|at| u64::from(reference::word32(&header, at)));
        let size = tags.next_multiple_of(8) + data.next_multiple_of(8);
        if size > self.base.geometry.ring_size {
            return;
        }
        let mut payload = Vec::with_capacity(size as usize);
        for at in (position + 48..position + 48 + size).step_by(8) {
            payload.extend_from_slice(&self.word(self.at(at)).to_le_bytes());
        }
        let at = self.at(position + 32) as usize;
        self.set(at, &reference::crc(&payload).to_le_bytes());
        self.seal(position);
    }

    fn checkpoint(&mut self, input: &mut Input<'_>) {
        let slot = CHECKPOINTS[usize::from(input.u8()) % CHECKPOINTS.len()];
        let position = self.value(input);
        let seq = self.value(input);
        self.set_word(slot, position);
        self.set_word(slot + 8, seq);
        self.seal_words(slot, 16);
    }

    fn seq_floor(&mut self, input: &mut Input<'_>) {
        let seq = self.value(input);
        self.set_word(SEQ_FLOOR, seq);
        self.seal_words(SEQ_FLOOR, 8);
    }

    /// Stores the checksum of so many bytes behind them.
    fn seal_words(&mut self, offset: u64, length: u64) {
        let (start, end) = (offset as usize, (offset + length) as usize);
        let crc = reference::crc(&self.bytes[start..end]);
        self.set_word(offset + length, u64::from(crc));
    }

    fn slot(&mut self, input: &mut Input<'_>) {
        let slots = self.base.geometry.index_capacity;
        let slot = u64::from(input.u16())
            .checked_rem(slots)
            .unwrap_or_default();
        let seq = self.value(input);
        let position = self.value(input);
        self.set_word(HEADER_SIZE + slot * SLOT_SIZE, seq);
        self.set_word(HEADER_SIZE + slot * SLOT_SIZE + 8, position);
    }

    fn copy(&mut self, input: &mut Input<'_>) {
        let [from, to, length] = [input.u16(), input.u16(), input.u16()].map(usize::from);
        let bytes = self.bytes[from..(from + length).min(self.bytes.len())].to_vec();
        self.set(to, &bytes);
    }

    fn zero(&mut self, input: &mut Input<'_>) {
        let [at, length] = [input.u16(), input.u16()].map(usize::from);
        let end = (at + length).min(self.bytes.len());
        self.bytes[at..end].fill(0);
    }

    /// A frame that verifies, at any position, of any seq, time, link and flags.
    fn forge(&mut self, input: &mut Input<'_>) {
        let position = self.value(input) / 8 * 8;
        let fields = [position, self.value(input), self.value(input)];
        let lengths = u64::from(input.u16() % 64) | u64::from(input.u16() % 512) << 32;
        if position > u64::MAX - 4096 {
            return;
        }
        let link = match input.u8() % 2 {
            0 => input.u32(),
            _ => {
                let before = self.frame(input);
                reference::word32(&self.bytes, self.at(before + 40) as usize)
            }
        };
        for (at, value) in (position..).step_by(8).zip(fields) {
            self.set_word(self.at(at), value);
        }
        self.set_word(self.at(position + 24), lengths);
        self.set_word(self.at(position + 32), u64::from(link) << 32);
        let flags = u64::from(input.u8() % 4);
        self.set_word(self.at(position + 40), 0xFF00_0002 << 32 | flags << 40);
        self.seal_payload(position);
    }

    fn flip(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.u16());
        self.bytes[at] ^= 1 << (input.u8() % 8);
    }
}
