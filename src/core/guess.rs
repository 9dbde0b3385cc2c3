//! What a pool's dimensions are where its header does not tell: they are tried against the frames.
//!
//! A frame says its own position, and that fits its place in the file for few dimensions only.

use std::sync::atomic::Ordering::Relaxed;

use super::error::Result;
use super::frame::{FrameHeader, HEADER_WORDS, STATE_WORD};
use super::geometry::Geometry;
use super::header::{Header, RawHeader};
use super::layout::{
    FILE_SIZE, HEADER_SIZE, INDEX_CAPACITY, MARK, MIN_FILE_SIZE, RING_OFFSET, RING_SIZE, SLOT_SIZE,
    WORD,
};
use super::memory::Memory;

/// So many frames are tried; more make nothing surer.
const SAMPLES: usize = 4096;
/// So many rings are tried against the frames, each a word longer than the one before.
const RINGS: usize = 1 << 24;

/// What pool it is, as far as that is known.
pub(super) struct Identity {
    pub(super) header: Header,
    /// Whether the header says so itself.
    pub(super) is_sound: bool,
    /// What was taken for granted.
    pub(super) assumed: Vec<String>,
}

/// A frame header that verifies, and the offset in the file at which it stands.
struct Sample {
    offset: u64,
    header: FrameHeader,
}

/// What pool is in `memory`, a file of `file_size` bytes; `Corrupt` if neither header nor frames tell.
pub(super) fn identify(memory: &impl Memory, file_size: u64) -> Result<Identity> {
    let raw = RawHeader::read(memory)?;
    match raw.check_any_size() {
        Ok(header) => Ok(Identity {
            assumed: match header.geometry.file_size == file_size {
                true => Vec::new(),
                false => vec![format!(
                    "the file had {} bytes, as its header says, and not the {file_size} that it has",
                    header.geometry.file_size
                )],
            },
            is_sound: true,
            header,
        }),
        Err(error) if raw.is_of_another_version() => Err(error),
        Err(error) => {
            let geometry = guess(memory, &raw, file_size).ok_or(error)?;
            Ok(Identity {
                header: Header {
                    uuid: [0; 16],
                    created: 0,
                    geometry,
                },
                is_sound: false,
                assumed: vec![format!(
                    "the pool had a file of {} bytes and {} index slots: its header is damaged, and its frames stand where these dimensions put them",
                    geometry.file_size, geometry.index_capacity
                )],
            })
        }
    }
}

/// The dimensions that put the most frames where they are; of several such, the first that is tried.
fn guess(memory: &impl Memory, raw: &RawHeader, file_size: u64) -> Option<Geometry> {
    let samples = sample(memory);
    let claimed = |offset| raw.word(offset);
    let sizes = [
        file_size,
        claimed(FILE_SIZE),
        claimed(RING_OFFSET).saturating_add(claimed(RING_SIZE)),
    ];
    let slots = [Some(claimed(INDEX_CAPACITY)), None, Some(0)];
    let likely = sizes
        .iter()
        .flat_map(|&size| slots.map(|slots| Geometry::for_file(size, slots).ok()));
    // The file may have been longer, and a power of two.
    let usual = (0..i64::BITS).map(|log| Geometry::for_file(1 << log, None).ok());
    // Last, for it takes long.
    let told = std::iter::once_with(|| told_by(&samples, file_size)).flatten();
    let fit = |g: &Geometry| samples.iter().filter(|sample| sample.fits(g)).count();
    let mut best: Option<(usize, Geometry)> = None;
    for geometry in likely
        .chain(usual)
        .flatten()
        .chain(wraps(&samples))
        .chain(told)
    {
        let fitting = fit(&geometry);
        if fitting > best.map_or(0, |(most, _)| most) {
            best = Some((fitting, geometry));
        }
        if fitting == samples.len() {
            break;
        }
    }
    best.map(|(_, geometry)| geometry)
}

/// The smallest dimensions of a file that is at least this long in which both the first and the last sample stand where
/// they should.
///
/// For frames that are all of one lap more than one ring would do, and which one it was makes no difference to where they
/// are.
fn told_by(samples: &[Sample], file_size: u64) -> Option<Geometry> {
    let (first, last) = (samples.first()?, samples.last()?);
    let least = file_size.max(MIN_FILE_SIZE);
    // An index takes half of the file at most, and a ring is a whole number of words.
    let words = least / (2 * WORD)..u64::MAX;
    words
        .take(RINGS)
        .filter_map(|words| first.of_ring(words * WORD))
        .find(|g| g.file_size >= least && first.fits(g) && last.fits(g))
}

/// The dimensions that tell themselves: where frames of one lap stand beside those of another, the distance between
/// position and offset changes by the size of the ring.
fn wraps(samples: &[Sample]) -> impl Iterator<Item = Geometry> + '_ {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    pairs.filter_map(|(sample, next)| {
        let ring_size = sample.distance().abs_diff(next.distance());
        sample.of_ring(ring_size.try_into().ok()?)
    })
}

/// The first frame headers that verify, at whatever position they say they are.
fn sample(memory: &impl Memory) -> Vec<Sample> {
    let words = memory.words();
    let starts = HEADER_SIZE / WORD..words.saturating_sub(HEADER_WORDS as u64 - 1);
    let at = |first: u64| {
        let tail = memory.load(first + STATE_WORD, Relaxed);
        if tail.to_le_bytes()[7] != MARK {
            return None;
        }
        let mut header = [0; HEADER_WORDS];
        for (word, i) in header.iter_mut().zip(first..) {
            *word = memory.load(i, Relaxed);
        }
        let header = FrameHeader::decode(&header, header[0]).ok()?;
        Some(Sample {
            offset: first * WORD,
            header,
        })
    };
    starts.filter_map(at).take(SAMPLES).collect()
}

impl Sample {
    /// How far its position is ahead of its offset: some rings, less the offset of the ring.
    fn distance(&self) -> i128 {
        i128::from(self.header.position) - i128::from(self.offset)
    }

    /// The dimensions with a ring of this size in which it stands where it should, if there are any; else any others.
    fn of_ring(&self, ring_size: u64) -> Option<Geometry> {
        let into_ring = self.header.position.checked_rem(ring_size)?;
        let ring_offset = self.offset.checked_sub(into_ring)?;
        let slots = ring_offset.checked_sub(HEADER_SIZE)? / SLOT_SIZE;
        Geometry::for_file(ring_offset.checked_add(ring_size)?, Some(slots)).ok()
    }

    fn fits(&self, g: &Geometry) -> bool {
        g.is_position(self.header.position)
            && g.offset_at(self.header.position) == self.offset
            && self.header.size() <= g.max_batch()
    }
}
