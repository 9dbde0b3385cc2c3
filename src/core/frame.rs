//! One frame header, in owned words: encoded, and decoded from bytes that nobody vouches for.

use super::error::{Error, ErrorKind, Result};
use super::geometry::frame_size;
use super::layout::{
    FLAG_HOLE, FLAG_MORE, FRAME_HEADER_SIZE, MARK, STATE_COMMITTED, STATE_WRITING, WORD,
};

/// Words in a frame header.
pub const HEADER_WORDS: usize = (FRAME_HEADER_SIZE / WORD) as usize;
/// The word of a frame header that holds its CRC, state, flags and mark.
pub const STATE_WORD: u64 = 5;

/// A frame header whose CRC has been checked (or that is about to be written).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The frame's own position.
    pub position: u64,
    /// The message's seq; 0 is the genesis frame.
    pub seq: u64,
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// Bytes of the tag section.
    pub tags_len: u32,
    /// Bytes of the data.
    pub data_len: u32,
    /// CRC-32C of both sections with their padding.
    pub payload_crc: u32,
    /// The header CRC of the frame before.
    pub link: u32,
    /// Seqs are missing between the frame before and this one.
    pub hole: bool,
    /// More frames of the same batch follow.
    pub more: bool,
}

/// Why bytes are not a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAFrame {
    /// The mark byte or a reserved bit is wrong.
    Mark,
    /// The header CRC does not match.
    Crc,
    /// The frame says that it is elsewhere: a leftover of another lap.
    Position,
    /// The frame was never completed.
    State,
    /// The frame has the one seq that no frame is given.
    Seq,
}

impl NotAFrame {
    /// What is wrong, for people.
    pub fn describe(self) -> &'static str {
        match self {
            NotAFrame::Mark => "no frame header is there",
            NotAFrame::Crc => "the frame header's checksum does not match",
            NotAFrame::Position => "the frame there belongs to another position",
            NotAFrame::State => "the frame there was never completed",
            NotAFrame::Seq => "the frame there has a seq that no message may have",
        }
    }
}

impl FrameHeader {
    /// The bytes that the whole frame takes in the ring.
    pub fn size(&self) -> u64 {
        frame_size(u64::from(self.tags_len), u64::from(self.data_len))
    }

    /// The position right after the frame.
    pub fn end(&self) -> u64 {
        self.position.saturating_add(self.size())
    }

    /// The bytes of both sections with their padding.
    pub fn payload_size(&self) -> u64 {
        self.size() - FRAME_HEADER_SIZE
    }

    /// The CRC that a frame after this one links to.
    pub fn crc(&self) -> u32 {
        header_crc(&self.words_without_crc(STATE_COMMITTED))
    }

    /// The header's words in state Writing and, last of them, the word that turns it into Committed.
    pub fn encode(&self) -> Encoded {
        let mut words = self.words_without_crc(STATE_WRITING);
        let committed = self.words_without_crc(STATE_COMMITTED);
        let crc = header_crc(&committed);
        words[STATE_WORD as usize] |= u64::from(crc);
        Encoded {
            words,
            committed: committed[STATE_WORD as usize] | u64::from(crc),
            crc,
        }
    }

    fn words_without_crc(&self, state: u8) -> [u64; HEADER_WORDS] {
        let flags = if self.hole { FLAG_HOLE } else { 0 } | if self.more { FLAG_MORE } else { 0 };
        [
            self.position,
            self.seq,
            self.time,
            pair(self.tags_len, self.data_len),
            pair(self.payload_crc, self.link),
            pair(0, u32::from_le_bytes([state, flags, 0, MARK])),
        ]
    }

    /// The header in `words`, if they are one for `position`, complete, and undamaged.
    pub fn decode(words: &[u64; HEADER_WORDS], position: u64) -> Result<FrameHeader, NotAFrame> {
        FrameHeader::decode_with_crc(words, position).map(|(header, _)| header)
    }

    /// As [`decode`](FrameHeader::decode), with what [`crc`](FrameHeader::crc) would work out once more.
    pub fn decode_with_crc(
        words: &[u64; HEADER_WORDS],
        position: u64,
    ) -> Result<(FrameHeader, u32), NotAFrame> {
        let [own, seq, time, lengths, crcs, tail] = *words;
        let (crc, tail) = split(tail);
        let [state, flags, reserved, mark] = tail.to_le_bytes();
        if mark != MARK || reserved != 0 || flags & !(FLAG_HOLE | FLAG_MORE) != 0 {
            return Err(NotAFrame::Mark);
        }
        let mut summed = *words;
        summed[STATE_WORD as usize] =
            pair(0, u32::from_le_bytes([STATE_COMMITTED, flags, 0, mark]));
        if header_crc(&summed) != crc {
            return Err(NotAFrame::Crc);
        }
        if own != position {
            return Err(NotAFrame::Position);
        }
        if state != STATE_COMMITTED {
            return Err(NotAFrame::State);
        }
        // So that the next seq is always a number.
        if seq == u64::MAX {
            return Err(NotAFrame::Seq);
        }
        let (tags_len, data_len) = split(lengths);
        let (payload_crc, link) = split(crcs);
        let header = FrameHeader {
            position,
            seq,
            time,
            tags_len,
            data_len,
            payload_crc,
            link,
            hole: flags & FLAG_HOLE != 0,
            more: flags & FLAG_MORE != 0,
        };
        Ok((header, crc))
    }
}

/// A header ready to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    /// All words, in state Writing.
    pub words: [u64; HEADER_WORDS],
    /// The state word of the complete frame.
    pub committed: u64,
    /// The header CRC.
    pub crc: u32,
}

/// What is stored behind a frame header: the tag section and the data, each padded to whole words with zero bytes.
///
/// It is summed up before it is stored, so that no writer holds the lock for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// A compact JSON array of strings; empty bytes for no tags.
    pub tags: &'a [u8],
    /// Compact JSON text.
    pub data: &'a [u8],
    crc: u32,
}

impl<'a> Entry<'a> {
    /// These sections.
    pub fn new(tags: &'a [u8], data: &'a [u8]) -> Entry<'a> {
        let crc = sections_crc([tags, data]);
        Entry { tags, data, crc }
    }

    /// These sections, whose [`crc`](Entry::crc) was worked out before.
    pub fn with_crc(tags: &'a [u8], data: &'a [u8], crc: u32) -> Entry<'a> {
        debug_assert_eq!(crc, sections_crc([tags, data]), "the CRC is theirs");
        Entry { tags, data, crc }
    }

    /// The bytes that this takes in the ring, frame header included.
    pub fn frame_size(&self) -> u64 {
        frame_size(self.tags.len() as u64, self.data.len() as u64)
    }

    /// CRC-32C of both sections with their padding.
    pub fn crc(&self) -> u32 {
        self.crc
    }
}

fn sections_crc(sections: [&[u8]; 2]) -> u32 {
    sections.iter().fold(0, |crc, section| {
        let (words, rest) = section.as_chunks::<{ WORD as usize }>();
        let crc = crc32c::crc32c_append(crc, words.as_flattened());
        if rest.is_empty() {
            return crc;
        }
        let mut last = Aligned([0; WORD as usize]);
        last.0[..rest.len()].copy_from_slice(rest);
        crc32c::crc32c_append(crc, &last.0)
    })
}

/// Bytes of which the first is that of a whole word, so that a checksum need not take any of them on its own.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// A length that fits the header's field, or `Usage`.
pub fn section_len(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| {
        Error::new(
            ErrorKind::Usage,
            format!(
                "a message of {} bytes is larger than any pool can hold; the limit is 4 GiB",
                bytes.len()
            ),
        )
        .hint("split the message, or store the large part elsewhere and refer to it")
    })
}

/// CRC-32C of all header bytes but the CRC itself.
fn header_crc(words: &[u64; HEADER_WORDS]) -> u32 {
    let mut bytes = Aligned([0; FRAME_HEADER_SIZE as usize - 4]);
    for (chunk, word) in bytes.0.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let (_, tail) = split(words[STATE_WORD as usize]);
    bytes.0[40..].copy_from_slice(&tail.to_le_bytes());
    crc32c::crc32c(&bytes.0)
}

/// Two `u32` as they lie in a word: the low one first.
pub(super) fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The low and the high half of a word.
pub(super) fn split(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::geometry::padded;

    const HEADER: FrameHeader = FrameHeader {
        position: 65_536,
        seq: 7,
        time: 1_700_000_000_000_000_001,
        tags_len: 5,
        data_len: 13,
        payload_crc: 0xDEAD_BEEF,
        link: 0x0BAD_CAFE,
        hole: true,
        more: false,
    };

    fn committed(header: &FrameHeader) -> [u64; HEADER_WORDS] {
        let encoded = header.encode();
        let mut words = encoded.words;
        words[STATE_WORD as usize] = encoded.committed;
        words
    }

    #[test]
    fn round_trip() {
        for (hole, more) in [(false, false), (true, false), (false, true), (true, true)] {
            let header = FrameHeader {
                hole,
                more,
                ..HEADER
            };
            assert_eq!(
                FrameHeader::decode(&committed(&header), header.position),
                Ok(header)
            );
        }
    }

    #[test]
    fn a_frame_in_state_writing_is_not_one() {
        assert_eq!(
            FrameHeader::decode(&HEADER.encode().words, HEADER.position),
            Err(NotAFrame::State)
        );
    }

    #[test]
    fn a_frame_of_another_lap_is_not_one() {
        assert_eq!(
            FrameHeader::decode(&committed(&HEADER), HEADER.position + 65_536),
            Err(NotAFrame::Position)
        );
    }

    /// Guards against a seq behind which there is none.
    #[test]
    fn a_frame_with_the_highest_number_as_its_seq_is_not_one() {
        let decode = |seq| {
            let header = FrameHeader { seq, ..HEADER };
            FrameHeader::decode(&committed(&header), HEADER.position)
        };
        assert_eq!(decode(u64::MAX), Err(NotAFrame::Seq));
        assert_eq!(decode(u64::MAX - 1).unwrap().seq, u64::MAX - 1);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let words = committed(&HEADER);
        for bit in 0..HEADER_WORDS * 64 {
            let mut flipped = words;
            flipped[bit / 64] ^= 1 << (bit % 64);
            assert!(
                FrameHeader::decode(&flipped, HEADER.position).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_header_is_told_apart() {
        let words = committed(&HEADER);
        let with = |shift: u32, bits: u64| {
            let mut words = words;
            words[STATE_WORD as usize] ^= bits << shift;
            FrameHeader::decode(&words, HEADER.position).unwrap_err()
        };
        assert_eq!([1, 0xFF].map(|bits| with(56, bits)), [NotAFrame::Mark; 2]);
        assert_eq!([1, 0x80].map(|bits| with(48, bits)), [NotAFrame::Mark; 2]);
        // The flags that there are lie under the checksum; the others are nobody's.
        assert_eq!([1, 2].map(|bits| with(40, bits)), [NotAFrame::Crc; 2]);
        assert_eq!([4, 0x80].map(|bits| with(40, bits)), [NotAFrame::Mark; 2]);
        assert_eq!([1, 0x80].map(|bits| with(32, bits)), [NotAFrame::State; 2]);
        assert_eq!([0, 31].map(|bit| with(bit, 1)), [NotAFrame::Crc; 2]);
        let all = [
            NotAFrame::Mark,
            NotAFrame::Crc,
            NotAFrame::Position,
            NotAFrame::State,
            NotAFrame::Seq,
        ];
        let words = [
            "no frame header",
            "checksum",
            "another position",
            "never completed",
            "no message may have",
        ];
        for (why, words) in all.into_iter().zip(words) {
            assert!(why.describe().contains(words), "{why:?}");
        }
    }

    #[test]
    fn payload_crc_covers_the_padding() {
        let entry = Entry::new(b"[\"a\"]", b"{\"k\":1}");
        assert_eq!(entry.crc(), crc32c::crc32c(b"[\"a\"]\0\0\0{\"k\":1}\0"));
        assert_eq!(entry.frame_size(), 48 + 8 + 8);
        let text = b"[1,2,3,4,5,6,7,8,9]";
        for (length, start) in (0..text.len()).flat_map(|length| [(length, 0), (length, 1)]) {
            let data = &text[start..(start + length).min(text.len())];
            let mut whole = data.to_vec();
            whole.resize(padded(data.len() as u64) as usize, 0);
            let entry = Entry::new(b"", data);
            assert_eq!(entry.crc(), crc32c::crc32c(&whole));
        }
    }
}
