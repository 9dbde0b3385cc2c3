//! Copies frames out, re-validates, and checks: the only code that loads from the ring.
//!
//! Readers take no lock and make no system call. A copy counts only if, after it was made, no writer had begun to
//! overwrite its place, and its checksums match.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::error::{Error, Result};
use super::frame::{Entry, FrameHeader, HEADER_WORDS, NotAFrame};
use super::geometry::padded;
use super::layout::{FRAME_HEADER_SIZE, MARK, WORD};
use super::memory::Memory;
use super::pool::{Pool, corrupt};

/// A reader's own copy of a frame. One buffer serves any number of frames, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    header: Option<FrameHeader>,
    /// The CRC of that header.
    crc: u32,
    /// At least as long as the payload; longer after a larger one, to be filled without being cleared.
    payload: Vec<u8>,
}

impl Frame {
    /// The header, if a frame has been read into this buffer.
    pub fn header(&self) -> Option<&FrameHeader> {
        self.header.as_ref()
    }

    /// The header's CRC, to which the next frame links.
    pub(super) fn header_crc(&self) -> u32 {
        self.crc
    }

    /// The tag section: a compact JSON array of strings, or nothing for no tags.
    pub fn tags(&self) -> &[u8] {
        let len = self.header.map_or(0, |h| h.tags_len as usize);
        &self.payload[..len]
    }

    /// Both sections, to be stored once more.
    pub fn entry(&self) -> Entry<'_> {
        Entry::new(self.tags(), self.data())
    }

    /// Room for a payload, whatever is in it.
    fn make_room(&mut self, size: usize) -> &mut [u8] {
        self.header = None;
        if self.payload.len() < size {
            self.payload.resize(size, 0);
        }
        &mut self.payload[..size]
    }

    /// The data: compact JSON text.
    pub fn data(&self) -> &[u8] {
        let Some(header) = self.header else {
            return &[];
        };
        let start = padded(u64::from(header.tags_len)) as usize;
        &self.payload[start..start + header.data_len as usize]
    }
}

impl<M: Memory> Pool<M> {
    /// Copies the frame at `position` into `frame`; `false` if a writer has begun to overwrite it.
    ///
    /// `last` is a position that was seen published: nothing beyond that frame is looked at.
    pub(super) fn read_frame(&self, position: u64, last: u64, frame: &mut Frame) -> Result<bool> {
        frame.header = None;
        let g = self.geometry();
        let run = g.run_at(position);
        let Some((header, crc)) = self.decode_shared(position, run.0, last)? else {
            return Ok(false);
        };
        let payload = frame.make_room(header.payload_size() as usize);
        self.copy_out(g.run_after(run, FRAME_HEADER_SIZE), payload);
        if !self.is_intact(position)? {
            return Ok(false);
        }
        if crc32c::crc32c(payload) != header.payload_crc {
            return Err(self
                .damaged(position, "the payload's checksum does not match")
                .seq(header.seq));
        }
        self.check_poison()?;
        (frame.header, frame.crc) = (Some(header), crc);
        Ok(true)
    }

    /// Whether the payload behind a header matches it, on a pool whose writers are held off. If so, `frame` holds it.
    pub(super) fn payload_matches(&self, header: &FrameHeader, frame: &mut Frame) -> bool {
        let size = header.payload_size() as usize;
        let payload = frame.make_room(size);
        let run = self.geometry().run_at(header.position + FRAME_HEADER_SIZE);
        self.copy_out(run, payload);
        let matches = crc32c::crc32c(payload) == header.payload_crc;
        (frame.header, frame.crc) = (matches.then_some(*header), header.crc());
        matches
    }

    /// The header at `position`; `None` if a writer has begun to overwrite it.
    pub(super) fn read_header(&self, position: u64, last: u64) -> Result<Option<FrameHeader>> {
        match self.decode_shared(position, self.geometry().word_at(position), last)? {
            Some((header, _)) if self.is_intact(position)? => {
                self.check_poison()?;
                Ok(Some(header))
            }
            _ => Ok(None),
        }
    }

    /// Decodes the header at `position`, which begins at `word`, and bounds its length by the ring's size and by what is
    /// committed, so that the length may be used. What it says still has to be re-validated.
    fn decode_shared(
        &self,
        position: u64,
        word: u64,
        last: u64,
    ) -> Result<Option<(FrameHeader, u32)>> {
        match FrameHeader::decode_with_crc(&self.header_words(word), position) {
            Ok((header, crc)) if self.is_bounded(&header, last) => Ok(Some((header, crc))),
            found => {
                if !self.is_intact(position)? {
                    return Ok(None);
                }
                self.check_poison()?;
                Err(match found {
                    Ok(_) => self.damaged(position, "the frame's length is out of bounds"),
                    Err(why) => self.bad_frame(position, why),
                })
            }
        }
    }

    /// Whether a frame may have this length: at most half the ring, and not beyond what is committed.
    pub(super) fn is_bounded(&self, header: &FrameHeader, last: u64) -> bool {
        header.size() <= self.geometry().max_batch()
            && (header.position == last || header.end() <= last)
    }

    /// The header at `position` while the lock is held, so that it cannot move.
    pub(super) fn header_exclusive(&self, position: u64) -> Result<FrameHeader, NotAFrame> {
        let places: [u64; HEADER_WORDS] = self.geometry().words_at(position);
        let words = places.map(|word| self.memory.load_exclusive(word));
        FrameHeader::decode(&words, position)
    }

    /// The first header in `positions` that verifies, of a frame that may be as long as it says; see `is_bounded`.
    pub(super) fn resync(&self, positions: Range<u64>, last: u64) -> Option<FrameHeader> {
        let g = self.geometry();
        let mut at = positions.start;
        let mut word = g.word_at(at);
        while at < positions.end {
            // Almost every word fails this, so the header is not even loaded.
            if self.memory.load(word, Relaxed) == at
                && self.has_mark(at)
                && let Ok(header) = FrameHeader::decode(&self.header_words(word), at)
                && self.is_bounded(&header, last)
            {
                return Some(header);
            }
            at += WORD;
            word = g.word_after(word);
        }
        None
    }

    fn has_mark(&self, position: u64) -> bool {
        let state = self.memory.load(
            self.geometry().word_at(position + FRAME_HEADER_SIZE - WORD),
            Relaxed,
        );
        state.to_le_bytes()[7] == MARK
    }

    /// The words of a header as they are just now, whatever they are.
    fn header_words(&self, word: u64) -> [u64; HEADER_WORDS] {
        let places: [u64; HEADER_WORDS] = self.geometry().words_from(word);
        places.map(|word| self.memory.load(word, Relaxed))
    }

    /// Copies out of the ring, in two pieces where what is copied wraps around its end.
    fn copy_out(&self, (word, to_wrap): (u64, u64), into: &mut [u8]) {
        let (first, rest) = into.split_at_mut(to_wrap.min(into.len() as u64) as usize);
        self.memory.copy_out(word, first);
        if !rest.is_empty() {
            self.memory.copy_out(self.geometry().ring_word(), rest);
        }
    }

    pub(super) fn bad_frame(&self, position: u64, why: NotAFrame) -> Error {
        self.damaged(position, why.describe())
    }

    pub(super) fn damaged(&self, position: u64, what: &'static str) -> Error {
        corrupt(what, self.geometry().offset_at(position))
    }
}
