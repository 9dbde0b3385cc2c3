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
/// So many laps a sample is taken to be from the first one, when it has to tell the dimensions by itself.
const LAPS: u64 = 1 << 20;

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

/// The dimensions that put the most frames where they are.
fn guess(memory: &impl Memory, raw: &RawHeader, file_size: u64) -> Option<Geometry> {
    let samples = sample(memory);
    let claimed = |offset| raw.word(offset);
    let sizes = [
        file_size,
        claimed(FILE_SIZE),
        claimed(RING_OFFSET).saturating_add(claimed(RING_SIZE)),
    ];
    let slots = [
        Some(claimed(INDEX_CAPACITY)),
        None,
        Some(claimed(RING_OFFSET).saturating_sub(HEADER_SIZE) / SLOT_SIZE),
        Some(0),
    ];
    let likely = sizes
        .iter()
        .flat_map(|&size| slots.map(|slots| Geometry::for_file(size, slots).ok()));
    let usual = (MIN_FILE_SIZE.ilog2()..i64::BITS - 1)
        .filter_map(|log| Geometry::for_file(1 << log, None).ok());
    let told = sizes.iter().flat_map(|&size| told_by(&samples, size));
    // The file may have been longer.
    let alone = wraps(&samples).chain(one_run(&samples, file_size));
    let fit = |g: &Geometry| samples.iter().filter(|sample| sample.fits(g)).count();
    let mut best: Option<(usize, Geometry)> = None;
    for geometry in likely.flatten().chain(usual).chain(told).chain(alone) {
        let fitting = fit(&geometry);
        if fitting > best.map_or(0, |(most, _)| most) {
            best = Some((fitting, geometry));
        }
    }
    best.map(|(_, geometry)| geometry)
}

/// The dimensions of a file of this size in which both the first and the last sample stand where they should.
fn told_by(samples: &[Sample], file_size: u64) -> impl Iterator<Item = Geometry> + '_ {
    let whole = file_size / WORD * WORD;
    let fits_last = |g: &Geometry| samples.last().is_some_and(|sample| sample.fits(g));
    let tell = move |sample: &Sample, lap: u64| {
        // The sample's position is `lap` rings, and its distance from the ring's offset, whose end is the file's.
        let ring_offset = u128::from(sample.offset) + u128::from(lap) * u128::from(whole);
        let ring_offset = ring_offset.checked_sub(u128::from(sample.header.position))?;
        let ring_offset = u64::try_from(ring_offset / u128::from(lap + 1)).ok()?;
        let slots = ring_offset.checked_sub(HEADER_SIZE)? / SLOT_SIZE;
        let geometry = Geometry::for_file(file_size, Some(slots)).ok()?;
        sample.fits(&geometry).then_some(geometry)
    };
    samples.first().into_iter().flat_map(move |sample| {
        let furthest = sample.header.position / (whole / 4).max(WORD) + 1;
        (1..=furthest.min(LAPS))
            .filter_map(move |lap| tell(sample, lap))
            .filter(fits_last)
    })
}

/// The dimensions that frames tell by themselves: where those of one lap follow on those of another, the distance
/// between position and offset changes by the size of the ring.
fn wraps(samples: &[Sample]) -> impl Iterator<Item = Geometry> + '_ {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let changes = pairs.filter_map(|(sample, next)| {
        let ring_size = sample.distance().abs_diff(next.distance());
        (ring_size != 0).then_some((ring_size, sample.distance()))
    });
    changes.filter_map(|(ring_size, distance)| {
        let ring_size = i128::try_from(ring_size).ok()?;
        let header = i128::from(HEADER_SIZE);
        let ring_offset = header + (-distance - header).rem_euclid(ring_size);
        of_ring(ring_offset, ring_size)
    })
}

/// Small dimensions for frames that are all of one lap. More than one ring would do for them, and which one it was makes
/// no difference to where they are.
fn one_run(samples: &[Sample], file_size: u64) -> impl Iterator<Item = Geometry> + '_ {
    let least = i128::from(file_size.max(MIN_FILE_SIZE));
    let (header, slot) = (i128::from(HEADER_SIZE), i128::from(SLOT_SIZE));
    samples.first().into_iter().flat_map(move |sample| {
        let distance = sample.distance();
        let most = distance / (least - header) + 1;
        (1..=most.clamp(1, LAPS.into()))
            .rev()
            .flat_map(move |laps| {
                // From where on the file is long enough, with a whole number of slots.
                let long_enough = (least * laps - distance).div_euclid(laps + 1) + 1;
                let slots = (long_enough - header + slot - 1).max(0) / slot;
                let offsets = (0..64.min(laps + 1)).map(move |more| header + (slots + more) * slot);
                let even = offsets.filter(move |ring_offset| (distance + ring_offset) % laps == 0);
                even.filter_map(move |ring_offset| {
                    of_ring(ring_offset, (distance + ring_offset) / laps)
                })
            })
    })
}

/// The dimensions with a ring of this size at this offset, if a pool can have them.
fn of_ring(ring_offset: i128, ring_size: i128) -> Option<Geometry> {
    let slots = u64::try_from(ring_offset).ok()?.checked_sub(HEADER_SIZE)? / SLOT_SIZE;
    let file_size = u64::try_from(ring_offset + ring_size).ok()?;
    let geometry = Geometry::for_file(file_size, Some(slots)).ok()?;
    let is_it = i128::from(geometry.ring_offset) == ring_offset
        && i128::from(geometry.ring_size) == ring_size;
    is_it.then_some(geometry)
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

    fn fits(&self, g: &Geometry) -> bool {
        g.is_position(self.header.position)
            && g.offset_at(self.header.position) == self.offset
            && self.header.size() <= g.max_batch()
    }
}
