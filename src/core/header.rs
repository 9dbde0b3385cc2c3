//! The pool header: bytes that nobody vouches for become a [`Header`], or an error that says why not.

use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::error::{Error, ErrorKind, Result};
use super::frame::{pair, split};
use super::geometry::Geometry;
use super::layout::{
    CREATED, ENDIAN_MARK, ENDIANNESS, FILE_SIZE, FORMAT_VERSION, HEADER_SIZE, IMMUTABLE_CRC,
    IMMUTABLE_SIZE, INDEX_CAPACITY, INDEX_OFFSET, INTENT, LAST, MAGIC, MAGIC_VERSION,
    MIN_FILE_SIZE, OLDEST, RING_OFFSET, RING_SIZE, SLOT_SIZE, UUID, WORD,
};
use super::memory::Memory;

/// What a pool file is like, for who named another file.
pub const NOT_A_POOL_HINT: &str = "check the name; a pool file begins with PLSM and has at least 65536 bytes, and `plasmite pool create` makes one under a name that is free";

const IMMUTABLE_WORDS: usize = (IMMUTABLE_SIZE / WORD) as usize;
const CRC_WORD: usize = (IMMUTABLE_CRC / WORD) as usize;

/// The immutable part of a pool, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tells this pool from any other, also one of the same name.
    pub uuid: [u8; 16],
    /// Nanoseconds since the Unix epoch.
    pub created: u64,
    /// The pool's dimensions.
    pub geometry: Geometry,
}

/// The immutable part as it was read. Its one way out is [`check`](RawHeader::check).
pub struct RawHeader([u64; IMMUTABLE_WORDS]);

impl RawHeader {
    /// Reads the header from a memory that may be anything, if it is large enough to have one.
    pub fn read(memory: &impl Memory) -> Result<RawHeader> {
        if memory.words() * WORD < HEADER_SIZE {
            return Err(foreign("it is shorter than a header"));
        }
        let mut words = [0; IMMUTABLE_WORDS];
        for (i, word) in (0..).zip(&mut words) {
            *word = memory.load(i, Relaxed);
        }
        Ok(RawHeader(words))
    }

    /// The word at this offset, whatever it is.
    pub(super) fn word(&self, offset: u64) -> u64 {
        self.0[(offset / WORD) as usize]
    }

    /// `Corrupt` unless the file says that it is a pool of this format version.
    pub fn check_version(&self) -> Result<()> {
        let (magic, version) = split(self.word(MAGIC_VERSION));
        if magic.to_le_bytes() != MAGIC {
            let first = self.word(MAGIC_VERSION).to_le_bytes();
            return Err(foreign(format!(
                "it begins with \"{}\" and not with \"PLSM\"",
                first.escape_ascii()
            )));
        }
        if version != FORMAT_VERSION {
            return Err(unknown_version(version));
        }
        Ok(())
    }

    /// The header, if it is one of this format version, undamaged, and for a file of `file_size` bytes.
    pub fn check(self, file_size: u64) -> Result<Header> {
        let header = self.check_any_size()?;
        if header.geometry.file_size != file_size {
            return Err(damaged(
                format!(
                    "the file has {file_size} bytes where its header says {}",
                    header.geometry.file_size
                ),
                FILE_SIZE,
            )
            .hint("the file was truncated or grown by another program; restore it from a copy"));
        }
        Ok(header)
    }

    /// Whether these are the undamaged bytes of another format version.
    pub(super) fn is_of_another_version(&self) -> bool {
        let (magic, version) = split(self.word(MAGIC_VERSION));
        magic.to_le_bytes() == MAGIC && version != FORMAT_VERSION && self.is_whole()
    }

    fn is_whole(&self) -> bool {
        pair(immutable_crc(&self.0), 0) == self.word(IMMUTABLE_CRC)
    }

    /// The header, if it is one of this format version and undamaged, whatever size the file has by now.
    pub(super) fn check_any_size(&self) -> Result<Header> {
        self.check_version()?;
        if !self.is_whole() {
            return Err(damaged(
                "the header's checksum does not match",
                IMMUTABLE_CRC,
            ));
        }
        if self.word(ENDIANNESS) != ENDIAN_MARK {
            return Err(damaged(
                "the header was written in another byte order",
                ENDIANNESS,
            ));
        }
        let header = self.parse();
        if !is_sound(&header.geometry) {
            return Err(damaged(
                "the dimensions in the header contradict each other",
                FILE_SIZE,
            ));
        }
        Ok(header)
    }

    fn parse(&self) -> Header {
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.word(UUID).to_le_bytes());
        uuid[8..].copy_from_slice(&self.word(UUID + WORD).to_le_bytes());
        Header {
            uuid,
            created: self.word(CREATED),
            geometry: Geometry {
                file_size: self.word(FILE_SIZE),
                index_offset: self.word(INDEX_OFFSET),
                index_capacity: self.word(INDEX_CAPACITY),
                ring_offset: self.word(RING_OFFSET),
                ring_size: self.word(RING_SIZE),
            },
        }
    }
}

impl Header {
    /// The words of the immutable part.
    pub fn encode(&self) -> [u64; IMMUTABLE_WORDS] {
        let mut words = [0; IMMUTABLE_WORDS];
        let mut set = |offset: u64, value| words[(offset / WORD) as usize] = value;
        let [a, b] = [&self.uuid[..8], &self.uuid[8..]].map(|half| {
            half.iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        });
        set(
            MAGIC_VERSION,
            pair(u32::from_le_bytes(MAGIC), FORMAT_VERSION),
        );
        set(ENDIANNESS, ENDIAN_MARK);
        set(UUID, a);
        set(UUID + WORD, b);
        set(CREATED, self.created);
        set(FILE_SIZE, self.geometry.file_size);
        set(INDEX_OFFSET, self.geometry.index_offset);
        set(INDEX_CAPACITY, self.geometry.index_capacity);
        set(RING_OFFSET, self.geometry.ring_offset);
        set(RING_SIZE, self.geometry.ring_size);
        words[CRC_WORD] = pair(immutable_crc(&words), 0);
        words
    }
}

fn is_sound(g: &Geometry) -> bool {
    let index_size = g.index_capacity.checked_mul(SLOT_SIZE);
    g.file_size >= MIN_FILE_SIZE
        && g.index_offset == HEADER_SIZE
        && index_size.is_some_and(|size| size <= g.file_size / 2)
        && g.ring_offset == HEADER_SIZE + g.index_capacity * SLOT_SIZE
        && g.ring_size == (g.file_size - g.ring_offset) / WORD * WORD
}

fn immutable_crc(words: &[u64; IMMUTABLE_WORDS]) -> u32 {
    words[..CRC_WORD].iter().fold(0, |crc, word| {
        crc32c::crc32c_append(crc, &word.to_le_bytes())
    })
}

fn foreign(what: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("this is not a pool file: {what}"),
    )
    .hint(NOT_A_POOL_HINT)
    .offset(0)
}

fn unknown_version(found: u32) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the pool has format version {found}; this program understands version {FORMAT_VERSION} only"),
    )
    .hint(if found > FORMAT_VERSION {
        "open it with the newer release of plasmite that wrote it, or upgrade this one"
    } else {
        "read it with the program that wrote it and feed the messages to a new pool"
    })
    .offset(MAGIC_VERSION + 4)
}

fn damaged(what: impl Into<String>, offset: u64) -> Error {
    Error::new(ErrorKind::Corrupt, what.into())
        .hint("restore the file from a copy, or delete the pool and create it anew")
        .offset(offset)
}

/// The control words that say what a pool holds, as one party saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The position of the oldest retained frame.
    pub oldest: u64,
    /// The position of the newest committed frame.
    pub last: u64,
    /// The end of all that a writer ever began to store.
    pub intent: u64,
}

impl Control {
    /// The control words as they are while no writer can move them.
    pub fn load_exclusive(memory: &impl Memory) -> Control {
        Control {
            oldest: memory.load_exclusive(OLDEST / WORD),
            last: memory.load_exclusive(LAST / WORD),
            intent: memory.load_exclusive(INTENT / WORD),
        }
    }

    /// The control words in the order that makes them consistent for a reader while writers go on.
    ///
    /// `oldest` is read after `intent` and `last` after `oldest`, so `oldest <= last`; `intent` may lag behind.
    pub fn load_shared(memory: &impl Memory) -> Control {
        let intent = memory.load(INTENT / WORD, Acquire); // CLAIM
        let oldest = memory.load(OLDEST / WORD, Acquire); // RECLAIM
        let last = memory.load(LAST / WORD, Acquire); // PUBLISH
        Control {
            oldest,
            last,
            intent,
        }
    }

    /// `Corrupt` unless these words can be those of a pool of this geometry, seen with no writer at work.
    pub fn check(&self, geometry: &Geometry) -> Result<()> {
        let word = |what: &str, offset| {
            Err(damaged(
                format!("the control word `{what}` is out of bounds"),
                offset,
            ))
        };
        if !geometry.is_position(self.last) {
            return word("last", LAST);
        }
        if !geometry.is_position(self.oldest) || self.oldest > self.last {
            return word("oldest", OLDEST);
        }
        if !geometry.is_position(self.intent)
            || self.intent <= self.last
            || self.intent - self.oldest > geometry.ring_size
        {
            return word("intent", INTENT);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::heap::HeapMemory;

    fn header() -> Header {
        Header {
            uuid: *b"0123456789abcdef",
            created: 42,
            geometry: Geometry::for_file(1 << 20, None).unwrap(),
        }
    }

    #[test]
    fn round_trip() {
        let header = header();
        assert_eq!(RawHeader(header.encode()).check(1 << 20).unwrap(), header);
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let words = header().encode();
        // All of them take Miri minutes.
        let stride = if cfg!(miri) { 97 } else { 1 };
        for bit in (0..IMMUTABLE_WORDS * 64).step_by(stride) {
            let mut flipped = words;
            flipped[bit / 64] ^= 1 << (bit % 64);
            let error = RawHeader(flipped).check(1 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
            assert!(error.hint_text().is_some());
        }
    }

    #[test]
    fn every_other_version_is_named_with_what_to_do() {
        for version in [0, 1, 2, 3, 5, u32::MAX] {
            let mut words = header().encode();
            words[0] = pair(u32::from_le_bytes(MAGIC), version);
            let error = RawHeader(words).check(1 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains(&version.to_string()), "{error}");
            assert!(error.message().contains("version 4"), "{error}");
            assert!(error.hint_text().is_some());
        }
    }

    #[test]
    fn a_version_that_is_too_new_is_told_from_one_that_is_too_old() {
        let hint = |version| {
            let mut words = header().encode();
            words[0] = pair(u32::from_le_bytes(MAGIC), version);
            let error = RawHeader(words).check_version().unwrap_err();
            assert_eq!(error.offset_value(), Some(4));
            error.hint_text().unwrap().to_owned()
        };
        assert!(hint(FORMAT_VERSION + 1).contains("newer release"));
        assert!(hint(FORMAT_VERSION - 1).contains("the program that wrote it"));
    }

    #[test]
    fn what_is_no_pool_is_shown_as_it_begins() {
        let mut words = header().encode();
        words[0] = u64::from_le_bytes(*b"#!/bin/s");
        let error = RawHeader(words).check(1 << 20).unwrap_err();
        assert!(error.message().contains("#!/bin/s"), "{error}");
        assert_eq!(error.hint_text(), Some(NOT_A_POOL_HINT));
    }

    #[test]
    fn a_header_is_read_from_what_is_as_long_as_one() {
        let memory = HeapMemory::new(HEADER_SIZE);
        for (i, word) in (0..).zip(header().encode()) {
            memory.store(i, word, Relaxed);
        }
        let read = RawHeader::read(&memory).unwrap();
        assert_eq!(read.check(1 << 20).unwrap(), header());
        let shorter = HeapMemory::new(HEADER_SIZE - WORD);
        let error = RawHeader::read(&shorter).map(drop).unwrap_err();
        assert!(error.message().contains("shorter than a header"));
        assert_eq!(error.hint_text(), Some(NOT_A_POOL_HINT));
    }

    #[test]
    fn dimensions_that_contradict_each_other_are_corrupt() {
        let good = header().geometry;
        let check = |geometry: Geometry| {
            let words = Header {
                geometry,
                ..header()
            };
            RawHeader(words.encode()).check(geometry.file_size)
        };
        assert!(check(good).is_ok());
        // As many slots as there may be, the smallest file, and one that does not end with a whole word.
        for (size, slots) in [
            (1 << 20, 1 << 15),
            (MIN_FILE_SIZE, 0),
            (MIN_FILE_SIZE + 7, 3),
        ] {
            assert!(check(Geometry::for_file(size, Some(slots)).unwrap()).is_ok());
        }
        let small = Geometry {
            file_size: MIN_FILE_SIZE - WORD,
            index_capacity: 0,
            ring_offset: HEADER_SIZE,
            ring_size: MIN_FILE_SIZE - WORD - HEADER_SIZE,
            ..good
        };
        let half = (1 << 15) + 1;
        let mostly_index = Geometry {
            index_capacity: half,
            ring_offset: HEADER_SIZE + half * SLOT_SIZE,
            ring_size: good.file_size - HEADER_SIZE - half * SLOT_SIZE,
            ..good
        };
        let overflowing = Geometry {
            index_capacity: u64::MAX / 2,
            ..good
        };
        let mut bad = vec![small, mostly_index, overflowing];
        for by in [WORD, SLOT_SIZE] {
            bad.push(Geometry {
                index_offset: good.index_offset + by,
                ..good
            });
            bad.push(Geometry {
                index_offset: good.index_offset - by,
                ..good
            });
            bad.push(Geometry {
                ring_offset: good.ring_offset + by,
                ring_size: good.ring_size - by,
                ..good
            });
            bad.push(Geometry {
                ring_size: good.ring_size - by,
                ..good
            });
            bad.push(Geometry {
                ring_size: good.ring_size + by,
                ..good
            });
        }
        for geometry in bad {
            let error = check(geometry).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{geometry:?}");
            assert!(error.message().contains("contradict"), "{geometry:?}");
        }
    }

    #[test]
    fn control_words_may_take_the_whole_ring_and_no_more() {
        let g = header().geometry;
        let start = g.first_position();
        let full = Control {
            oldest: start + 8,
            last: start + g.ring_size - 48,
            intent: start + g.ring_size + 8,
        };
        assert!(full.check(&g).is_ok());
        let offset = |control: Control| control.check(&g).unwrap_err().offset_value();
        let (over, unaligned) = (full.intent + 8, full.intent - 4);
        let wrong = |intent| offset(Control { intent, ..full });
        assert_eq!([over, unaligned, full.last].map(wrong), [Some(INTENT); 3]);
        let wrong = |oldest| offset(Control { oldest, ..full });
        let behind = full.last + 8;
        assert_eq!([start - 8, start + 4, behind].map(wrong), [Some(OLDEST); 3]);
        let wrong = |last| offset(Control { last, ..full });
        assert_eq!([start - 8, full.last + 4].map(wrong), [Some(LAST); 2]);
    }

    #[test]
    fn a_file_of_another_size_is_corrupt() {
        for size in [0, 4096, (1 << 20) - 8, (1 << 20) + 8] {
            assert_eq!(
                RawHeader(header().encode()).check(size).unwrap_err().kind(),
                ErrorKind::Corrupt
            );
        }
    }

    #[test]
    fn control_words_out_of_order_are_corrupt() {
        let g = header().geometry;
        let start = g.first_position();
        let good = Control {
            oldest: start,
            last: start,
            intent: start + 48,
        };
        assert!(good.check(&g).is_ok());
        for bad in [
            Control {
                last: 0,
                oldest: 0,
                intent: 0,
            },
            Control {
                last: start + 1,
                ..good
            },
            Control {
                oldest: start + 8,
                ..good
            },
            Control { oldest: 8, ..good },
            Control {
                intent: start,
                ..good
            },
            Control {
                intent: start + g.ring_size + 8,
                ..good
            },
        ] {
            assert_eq!(
                bad.check(&g).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{bad:?}"
            );
        }
    }
}
