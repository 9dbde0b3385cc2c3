//! Positions, offsets and capacities: pure arithmetic over one pool's dimensions.
//!
//! A *position* is an absolute `u64` that only grows; its place in the ring is `position % ring_size`.

use super::error::{Error, ErrorKind, Result};
use super::layout::{
    DEFAULT_BYTES_PER_SLOT, FRAME_HEADER_SIZE, HEADER_SIZE, MIN_FILE_SIZE, SLOT_SIZE, WORD,
};

/// The dimensions of a pool, all in bytes but `index_capacity`, which counts slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The whole file.
    pub file_size: u64,
    /// Where the index begins.
    pub index_offset: u64,
    /// How many slots the index has.
    pub index_capacity: u64,
    /// Where the ring begins.
    pub ring_offset: u64,
    /// The ring; a multiple of 8.
    pub ring_size: u64,
}

impl Geometry {
    /// The dimensions of a new pool of `file_size` bytes; without `index_capacity`, the default number of slots.
    pub fn for_file(file_size: u64, index_capacity: Option<u64>) -> Result<Geometry> {
        if file_size < MIN_FILE_SIZE {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("a pool of {file_size} bytes is too small; the smallest is {MIN_FILE_SIZE} bytes (64K)"),
            )
            .hint("ask for a size of 64K or more"));
        }
        if file_size > i64::MAX as u64 {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("a pool of {file_size} bytes is larger than any file can be"),
            )
            .hint("ask for a smaller size"));
        }
        let index_capacity = match index_capacity {
            None if cfg!(feature = "no-index") => 0,
            None => file_size / DEFAULT_BYTES_PER_SLOT,
            Some(slots) if slots > file_size / 2 / SLOT_SIZE => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!(
                        "an index of {slots} slots takes more than half of a file of {file_size} bytes; at most {} slots fit",
                        file_size / 2 / SLOT_SIZE
                    ),
                )
                .hint("ask for fewer slots or a larger pool; 0 slots means no index"));
            }
            Some(slots) => slots,
        };
        let ring_offset = HEADER_SIZE + index_capacity * SLOT_SIZE;
        Ok(Geometry {
            file_size,
            index_offset: HEADER_SIZE,
            index_capacity,
            ring_offset,
            ring_size: (file_size - ring_offset) / WORD * WORD,
        })
    }

    /// The most bytes that one frame, or all frames of one batch, may take: half the ring.
    pub fn max_batch(&self) -> u64 {
        self.ring_size / 2 / WORD * WORD
    }

    /// Where positions start. The genesis frame is there.
    pub fn first_position(&self) -> u64 {
        self.ring_size
    }

    /// How many words the ring has.
    pub fn ring_words(&self) -> u64 {
        self.ring_size / WORD
    }

    /// The word at which the ring begins.
    pub fn ring_word(&self) -> u64 {
        self.ring_offset / WORD
    }

    /// The word at which `position` is.
    pub fn word_at(&self, position: u64) -> u64 {
        self.ring_word() + position % self.ring_size / WORD
    }

    /// The words from `position` on: behind the ring's last comes its first.
    ///
    /// A position is divided by the ring's size only once, which takes as long as to copy some of them.
    pub fn words_at<const N: usize>(&self, position: u64) -> [u64; N] {
        self.words_from(self.word_at(position))
    }

    /// The words from one of the ring on.
    pub fn words_from<const N: usize>(&self, word: u64) -> [u64; N] {
        let mut next = word;
        [(); N].map(|()| {
            let word = next;
            next = self.word_after(word);
            word
        })
    }

    /// The word of the ring that follows another one.
    pub fn word_after(&self, word: u64) -> u64 {
        match word + 1 - self.ring_word() {
            after if after == self.ring_words() => self.ring_word(),
            _ => word + 1,
        }
    }

    /// The byte offset in the file at which `position` is.
    pub fn offset_at(&self, position: u64) -> u64 {
        self.ring_offset + position % self.ring_size
    }

    /// How many bytes follow `position` before the ring's end, at which a frame wraps.
    pub fn bytes_to_wrap(&self, position: u64) -> u64 {
        self.ring_size - position % self.ring_size
    }

    /// The word at which `position` is, and how many bytes follow before the ring's end.
    pub fn run_at(&self, position: u64) -> (u64, u64) {
        let offset = position % self.ring_size;
        (self.ring_word() + offset / WORD, self.ring_size - offset)
    }

    /// The place `bytes`, whole words and less than the ring holds, after one that [`run_at`](Geometry::run_at) tells.
    pub fn run_after(&self, (word, to_wrap): (u64, u64), bytes: u64) -> (u64, u64) {
        match to_wrap.checked_sub(bytes) {
            Some(rest) if rest > 0 => (word + bytes / WORD, rest),
            _ => {
                let offset = bytes - to_wrap;
                (self.ring_word() + offset / WORD, self.ring_size - offset)
            }
        }
    }

    /// The first word of the index slot for `seq`, if there is an index.
    pub fn slot_word(&self, seq: u64) -> Option<u64> {
        let slot = seq.checked_rem(self.index_capacity)?;
        Some((self.index_offset + slot * SLOT_SIZE) / WORD)
    }

    /// Whether `position` can be that of a frame: aligned, and not before the first.
    pub fn is_position(&self, position: u64) -> bool {
        position.is_multiple_of(WORD) && position >= self.first_position()
    }
}

/// `len` rounded up to whole words.
pub const fn padded(len: u64) -> u64 {
    len.div_ceil(WORD) * WORD
}

/// The bytes that a frame with these section lengths takes in the ring.
pub const fn frame_size(tags_len: u64, data_len: u64) -> u64 {
    FRAME_HEADER_SIZE + padded(tags_len) + padded(data_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "no-index"))]
    #[test]
    fn default_pool_has_an_index_slot_for_every_512_bytes() {
        let g = Geometry::for_file(1 << 20, None).unwrap();
        assert_eq!(g.index_capacity, 2048);
        assert_eq!(g.ring_offset, 4096 + 2048 * 16);
        assert_eq!(g.ring_size, (1 << 20) - g.ring_offset);
    }

    #[test]
    fn default_pool_is_a_mebibyte() {
        assert_eq!(crate::core::layout::DEFAULT_FILE_SIZE, 1 << 20);
    }

    #[test]
    fn ring_is_whole_words_for_any_file_size() {
        for extra in 0..16 {
            let g = Geometry::for_file(MIN_FILE_SIZE + extra, Some(0)).unwrap();
            assert_eq!(g.ring_size % WORD, 0);
            assert!(g.ring_offset + g.ring_size <= g.file_size);
        }
    }

    #[test]
    fn limits_are_usage_errors() {
        let kind = |size, slots| Geometry::for_file(size, slots).unwrap_err().kind();
        assert_eq!(kind(MIN_FILE_SIZE - 1, None), ErrorKind::Usage);
        assert_eq!(kind(u64::MAX, None), ErrorKind::Usage);
        assert_eq!(kind(MIN_FILE_SIZE, Some(2049)), ErrorKind::Usage);
        assert_eq!(kind(MIN_FILE_SIZE, Some(u64::MAX)), ErrorKind::Usage);
        assert!(Geometry::for_file(MIN_FILE_SIZE, Some(2048)).is_ok());
    }

    #[test]
    fn a_pool_may_be_as_large_as_any_file() {
        assert!(Geometry::for_file(i64::MAX as u64, Some(0)).is_ok());
        let error = Geometry::for_file(i64::MAX as u64 + 1, Some(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn positions_go_round_the_ring() {
        let g = Geometry::for_file(MIN_FILE_SIZE + 4, Some(10)).unwrap();
        assert_eq!((g.index_offset, g.ring_offset), (4096, 4256));
        assert_eq!((g.ring_size, g.ring_words()), (61_280, 7660));
        assert_eq!((g.ring_word(), g.max_batch()), (532, 30_640));
        assert_eq!(g.first_position(), 61_280);
        let places = [0, 8, 61_272].map(|ahead| {
            let at = 5 * g.ring_size + ahead;
            (g.word_at(at), g.offset_at(at), g.bytes_to_wrap(at))
        });
        assert_eq!(
            places,
            [(532, 4256, 61_280), (533, 4264, 61_272), (8191, 65_528, 8),]
        );
        let (word, to_wrap) = g.run_at(6 * g.ring_size - 8);
        assert_eq!((word, to_wrap), (8191, 8));
        for ahead in [0, 8, 40, 48, 56] {
            let before = g.run_at(6 * g.ring_size - 48);
            let after = g.run_at(6 * g.ring_size - 48 + ahead);
            assert_eq!(g.run_after(before, ahead), after);
        }
        let around = g.words_at(6 * g.ring_size - 16);
        assert_eq!(around, [8190, 8191, 532, 533]);
        let can_be = |position| g.is_position(position);
        assert_eq!(
            [61_280, 61_288, 61_284, 61_272, 0].map(can_be),
            [true, true, false, false, false]
        );
    }

    #[test]
    fn slots_are_taken_in_turn() {
        let g = Geometry::for_file(MIN_FILE_SIZE, Some(10)).unwrap();
        assert_eq!(
            [0, 9, 10, 25].map(|seq| g.slot_word(seq)),
            [Some(512), Some(530), Some(512), Some(522)]
        );
    }

    #[test]
    fn a_frame_takes_whole_words() {
        assert_eq!([0, 1, 8, 9].map(padded), [0, 8, 8, 16]);
        assert_eq!(frame_size(0, 0), 48);
        assert_eq!(frame_size(1, 9), 48 + 8 + 16);
    }

    #[test]
    fn no_index_means_no_slot() {
        let g = Geometry::for_file(MIN_FILE_SIZE, Some(0)).unwrap();
        assert_eq!(g.slot_word(7), None);
    }
}
