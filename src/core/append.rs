//! Performs a plan: the only code that stores frames into the ring.
//!
//! The writer lock is held from the plan to the bell. Names in capitals mark the two ends of each synchronisation;
//! the other ends are in `pool`, `header` and `read`.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::error::{Error, ErrorKind, Result};
use super::frame::{Entry, FrameHeader, HEADER_WORDS, STATE_WORD, section_len};
use super::geometry::padded;
use super::header::Control;
use super::layout::{FRAME_HEADER_SIZE, INTENT, LAST, NEWEST_HOLE, OLDEST, WORD};
use super::memory::{Bell, LockWait, Memory, WriterLock};
use super::plan::{Before, Plan, Stamps, claim, plan_append};
use super::pool::Pool;
use super::wait::ring_if_heard;

/// So many reclaimed frames are walked before the first one that stays is looked for.
const WALK: u32 = 4;
/// How far that is looked for, in bytes. Longer frames are few to a batch, and walked.
const LOOK: u64 = 4096;

/// What was appended: the seqs `first_seq ..= last_seq`, and the newest time among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The seq of the first message.
    pub first_seq: u64,
    /// The seq of the last message.
    pub last_seq: u64,
    /// The time of the last message; with [`When::Now`], of all of them.
    pub time: u64,
}

/// Which seqs and times the messages get.
#[derive(Clone, Copy, Debug)]
pub enum When<'a, C> {
    /// The next seqs, and the time that this clock tells once the lock is held, in nanoseconds since the Unix epoch.
    Now(C),
    /// These pairs of seq and time.
    Given(&'a [(u64, u64)]),
}

impl<M: Memory> Pool<M> {
    /// Appends all of `entries`, in order, or none.
    pub fn append<'e, L, B, E, C>(
        &self,
        lock: &L,
        bell: &B,
        wait: LockWait,
        entries: E,
        when: When<'_, C>,
    ) -> Result<Appended>
    where
        L: WriterLock,
        B: Bell,
        E: ExactSizeIterator<Item = Entry<'e>> + Clone,
        C: FnOnce() -> u64,
    {
        let size = total_size(entries.clone())?;
        let _guard = lock.acquire(wait)?;
        let (now, stamps) = match when {
            When::Now(clock) => {
                let now = clock();
                (Some(now), Stamps::Next(now))
            }
            When::Given(given) => (None, Stamps::Given(given)),
        };
        self.check_deleted()?;
        self.memory.check(now)?;
        let plan = self.plan(size, entries.len(), stamps)?;
        self.keep_anchor(plan.oldest)?;
        self.perform(&plan, entries)?;
        ring_if_heard(&self.memory, bell);
        Ok(Appended {
            first_seq: plan.stamp(0).seq,
            last_seq: plan.last_stamp().seq,
            time: plan.last_stamp().time,
        })
    }

    /// Appends a message under these stamps to a pool that nobody else knows of yet: there is no lock to take, no file
    /// that could be gone, and nobody to wake.
    pub fn append_to_draft(&self, entry: Entry<'_>, seq: u64, time: u64) -> Result<()> {
        let entries = std::iter::once(entry);
        let stamps = [(seq, time)];
        let plan = self.plan(total_size(entries.clone())?, 1, Stamps::Given(&stamps))?;
        self.perform(&plan, entries)
    }

    fn plan<'s>(&self, size: u64, count: usize, stamps: Stamps<'s>) -> Result<Plan<'s>> {
        let before = self.before()?;
        let claim = claim(self.geometry(), &before, size)?;
        let survivor = self.survivor(&before, claim.floor);
        plan_append(&before, claim, survivor, count, stamps)
    }

    fn before(&self) -> Result<Before> {
        let control = Control::load_exclusive(&self.memory);
        control.check(self.geometry())?;
        let newest = self
            .header_exclusive(control.last)
            .map_err(|why| self.bad_frame(control.last, why))?;
        Ok(Before {
            control,
            newest,
            seq_floor: self.seq_floor(),
        })
    }

    /// The first frame at or after `floor`. A damaged header on the way is passed over: an append never fails
    /// because of an old frame.
    ///
    /// A large batch reclaims many small frames. Each step from one to the next waits for its header to come from
    /// memory, so after a few of them the frame is looked for where it has to be, which it is told by its header alone.
    fn survivor(&self, before: &Before, floor: u64) -> u64 {
        let last = before.control.last;
        let mut position = before.control.oldest;
        let mut steps = 0;
        while position < floor {
            if steps == WALK
                && let Some(frame) = self.resync(floor..last.min(floor + LOOK), last)
            {
                return frame.position;
            }
            steps += 1;
            position = match self.header_exclusive(position) {
                Ok(frame) if frame.end() <= last => frame.end(),
                _ => self
                    .resync(position + WORD..last, last)
                    .map_or(last, |frame| frame.position),
            };
        }
        position
    }

    fn perform<'e>(
        &self,
        plan: &Plan<'_>,
        entries: impl ExactSizeIterator<Item = Entry<'e>> + Clone,
    ) -> Result<()> {
        let claim = plan.claim;
        self.memory.store(OLDEST / WORD, plan.oldest, Release); // RECLAIM
        self.memory.store(INTENT / WORD, claim.intent, Release); // CLAIM
        self.memory.fence(Release); // OVERWRITE
        let mut link = plan.link;
        let mut position = claim.start;
        let mut last = position;
        let mut newest_hole = None;
        let count = entries.len();
        for (i, entry) in entries.clone().enumerate() {
            let stamp = plan.stamp(i);
            let header = FrameHeader {
                position,
                seq: stamp.seq,
                time: stamp.time,
                tags_len: section_len(entry.tags)?,
                data_len: section_len(entry.data)?,
                payload_crc: entry.crc(),
                link,
                hole: stamp.hole,
                more: i + 1 < count,
            };
            if stamp.hole {
                newest_hole = Some(position);
            }
            link = self.store_frame(&header, &entry);
            last = position;
            position = header.end();
        }
        if let Some(hole) = newest_hole {
            self.memory.store(NEWEST_HOLE / WORD, hole, Relaxed);
        }
        self.store_hints(plan, entries);
        self.check_poison()?;
        self.memory.store(LAST / WORD, last, Release); // PUBLISH
        self.check_poison()
    }

    /// Stores one frame, first in state Writing, and returns its header CRC.
    fn store_frame(&self, header: &FrameHeader, entry: &Entry<'_>) -> u32 {
        let encoded = header.encode();
        let g = self.geometry();
        let run = g.run_at(header.position);
        let places: [u64; HEADER_WORDS] = g.words_from(run.0);
        for (place, word) in places.into_iter().zip(encoded.words) {
            self.memory.store(place, word, Relaxed);
        }
        let tags = g.run_after(run, FRAME_HEADER_SIZE);
        self.copy_in(tags, entry.tags);
        let data = g.run_after(tags, padded(entry.tags.len() as u64));
        self.copy_in(data, entry.data);
        self.memory
            .store(places[STATE_WORD as usize], encoded.committed, Relaxed);
        encoded.crc
    }

    /// Copies a section in, in two pieces where it wraps around the ring's end.
    fn copy_in(&self, (word, to_wrap): (u64, u64), bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (first, rest) = bytes.split_at(to_wrap.min(bytes.len() as u64) as usize);
        self.memory.copy_in(word, first);
        if !rest.is_empty() {
            self.memory.copy_in(self.geometry().ring_word(), rest);
        }
    }

    fn store_hints<'e>(&self, plan: &Plan<'_>, entries: impl Iterator<Item = Entry<'e>>) {
        if self.geometry().index_capacity == 0 {
            return;
        }
        let mut position = plan.claim.start;
        for (i, entry) in entries.enumerate() {
            self.store_hint(plan.stamp(i).seq, position);
            position += entry.frame_size();
        }
    }
}

fn total_size<'e>(mut entries: impl ExactSizeIterator<Item = Entry<'e>>) -> Result<u64> {
    if entries.len() == 0 {
        return Err(Error::new(
            ErrorKind::Usage,
            "a batch of no messages cannot be appended",
        )
        .hint("append at least one message"));
    }
    entries.try_fold(0u64, |sum, entry| {
        section_len(entry.tags)?;
        section_len(entry.data)?;
        Ok(sum.saturating_add(entry.frame_size()))
    })
}
