//! Durability: which frames are known to survive power loss, and the checkpoints by which a recovery finds them.
//!
//! The *anchor* is the checkpoint that is known to be on the medium. What was flushed after it is found from it, since a
//! recovery goes on from there to the first break. So it may be old; but its frame must not be overwritten before
//! another checkpoint is on the medium, while a flushed frame that is not overwritten depends on it.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::error::{Error, ErrorKind, Result};
use super::frame::{FrameHeader, pair};
use super::layout::{
    ANCHORED, CHECKPOINT_COUNT, CHECKPOINTS, FLUSHED, HEADER_SIZE, LAST, OLDEST, WORD,
};
use super::memory::{LockWait, Memory, WriterLock};
use super::pool::Pool;
use super::summed;

const HEADER: Range<u64> = 0..HEADER_SIZE / WORD;

/// A frame that was flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its position.
    pub position: u64,
    /// Its seq.
    pub seq: u64,
}

impl Checkpoint {
    fn of(frame: &FrameHeader) -> Checkpoint {
        Checkpoint {
            position: frame.position,
            seq: frame.seq,
        }
    }

    /// Stores this into one of the two slots. A slot that is torn by power loss fails its CRC, and the other stands.
    pub(super) fn store(self, memory: &impl Memory, slot: usize) {
        let word = CHECKPOINTS[slot] / WORD;
        memory.store(word, self.position, Relaxed);
        memory.store(word + 1, self.seq, Relaxed);
        memory.store(word + 2, pair(self.crc(), 0), Relaxed);
    }

    /// Both slots as they are, `None` where the CRC does not match.
    pub(super) fn load_all(memory: &impl Memory) -> [Option<Checkpoint>; 2] {
        CHECKPOINTS.map(|offset| {
            let [position, seq, crc] = [0, 1, 2].map(|i| memory.load(offset / WORD + i, Relaxed));
            let found = Checkpoint { position, seq };
            (pair(found.crc(), 0) == crc && position != 0).then_some(found)
        })
    }

    /// The newest checkpoint, and the slot that does not hold it.
    pub(super) fn newest(memory: &impl Memory) -> (Option<Checkpoint>, usize) {
        match Checkpoint::load_all(memory) {
            [None, None] => (None, 0),
            [Some(a), None] => (Some(a), 1),
            [None, Some(b)] => (Some(b), 0),
            [Some(a), Some(b)] if a.position >= b.position => (Some(a), 1),
            [Some(_), Some(b)] => (Some(b), 0),
        }
    }

    fn crc(self) -> u32 {
        crc32c::crc32c_append(
            crc32c::crc32c(&self.position.to_le_bytes()),
            &self.seq.to_le_bytes(),
        )
    }
}

/// What the file vouches for at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vouched {
    /// The newest checkpoint present, and the slot that does not hold it.
    newest: (Option<Checkpoint>, usize),
    /// The checkpoint that is known to be on the medium, and the slot that does not hold it.
    anchor: Option<(Checkpoint, usize)>,
    /// How often a checkpoint has been stored.
    count: u64,
}

impl Vouched {
    fn load(memory: &impl Memory) -> Vouched {
        let anchored = memory.load(ANCHORED / WORD, Relaxed);
        let anchor = (0..)
            .zip(Checkpoint::load_all(memory))
            .find_map(|(slot, found)| {
                let anchor = found.filter(|found| found.position == anchored)?;
                Some((anchor, 1 - slot))
            });
        Vouched {
            newest: Checkpoint::newest(memory),
            anchor,
            count: memory.load(CHECKPOINT_COUNT / WORD, Relaxed),
        }
    }

    /// The newest checkpoint, if it has to be on the medium before a frame at `position` can be vouched for, and nobody
    /// knows whether it is.
    fn in_doubt(&self, position: u64) -> Option<Checkpoint> {
        let anchor = self.anchor.map(|(anchor, _)| anchor);
        let newest = self.newest.0?;
        let is_needed = anchor.is_none() || newest.position >= position;
        (anchor != Some(newest) && is_needed).then_some(newest)
    }

    /// Whether a checkpoint at `position` may be stored: it is newer than all, and the one that stays is no less than
    /// what has to stay.
    fn is_behind(&self, position: u64) -> bool {
        match self.newest.0 {
            Some(newest) => self.anchor.is_some() && newest.position < position,
            None => true,
        }
    }

    /// The slot that the next checkpoint goes to: never the one that holds the anchor.
    fn free_slot(&self) -> usize {
        self.anchor.map_or(self.newest.1, |(_, slot)| slot)
    }
}

impl<M: Memory> Pool<M> {
    /// Stores a checkpoint of the newest frame in a pool that nobody else knows of yet. Whoever gives it its name has
    /// made all of it durable by then.
    pub fn vouch_for_draft(&self) -> Result<()> {
        let newest = self.newest()?;
        let (found, slot) = Checkpoint::newest(&self.memory);
        let checkpoint = Checkpoint::of(&newest);
        if found != Some(checkpoint) {
            checkpoint.store(&self.memory, slot);
        }
        Ok(())
    }

    /// Makes everything up to the newest committed frame survive power loss.
    ///
    /// All frames since the anchor are synced, not only the newest: an acknowledged message must not sit behind a hole.
    /// Recovery finds them from the anchor on, so the file need not name each of them: that takes a second sync, and is
    /// done once in a quarter of a lap. The lock is held only to store a few words, never across a sync.
    pub fn flush<L: WriterLock>(&self, lock: &L, wait: LockWait) -> Result<()> {
        let newest = self.newest()?;
        self.flush_frame(&newest, lock, wait)
            .map_err(|error| error.seq(newest.seq))?;
        self.check_poison()
    }

    fn flush_frame<L: WriterLock>(
        &self,
        newest: &FrameHeader,
        lock: &L,
        wait: LockWait,
    ) -> Result<()> {
        while self.flushed() < newest.position {
            self.check_last(self.memory.load(LAST / WORD, Relaxed), newest.position)?;
            let seen = Vouched::load(&self.memory);
            let in_doubt = seen.in_doubt(newest.position);
            match in_doubt {
                Some(_) => self.memory.persist(HEADER)?,
                None => {
                    let from = seen.anchor.map_or(0, |(anchor, _)| anchor.position);
                    self.persist_ring(from, newest.end())?;
                }
            }
            let _guard = lock.acquire(wait)?;
            let now = Vouched::load(&self.memory);
            match in_doubt {
                // Otherwise somebody has stored another meanwhile, which may not be on the medium.
                Some(checkpoint) if now == seen => self.set_anchor(checkpoint.position),
                Some(_) => {}
                None => self.note_flushed(newest, &now),
            }
        }
        Ok(())
    }

    /// Up to where frames are known to be on the medium.
    fn flushed(&self) -> u64 {
        let flushed = summed::load(&self.memory, FLUSHED);
        match flushed <= self.memory.load(LAST / WORD, Relaxed) {
            true => flushed,
            // Damage, or words that were seen out of order.
            false => 0,
        }
    }

    /// Everything from the anchor to this frame is on the medium: says so, or stores a checkpoint of it where the anchor
    /// is gone or may soon be. The caller holds the lock.
    fn note_flushed(&self, newest: &FrameHeader, now: &Vouched) {
        let oldest = self.memory.load_exclusive(OLDEST / WORD);
        let near = self.geometry().ring_size / 4;
        let stands = |anchor: &Checkpoint| {
            anchor.position >= oldest && newest.position.saturating_sub(anchor.position) <= near
        };
        match now.anchor {
            Some((anchor, _)) if stands(&anchor) => {
                self.raise_flushed(newest.position.max(anchor.position));
            }
            _ if now.is_behind(newest.position) => self.store_checkpoint(newest, now),
            // Another flush has stored one that is as good.
            _ => {}
        }
    }

    /// Stores a checkpoint of this frame. It is counted first: whoever has synced what was there before, and finds the
    /// same there again, can tell.
    fn store_checkpoint(&self, frame: &FrameHeader, now: &Vouched) {
        let count = now.count.wrapping_add(1);
        self.memory.store(CHECKPOINT_COUNT / WORD, count, Relaxed);
        Checkpoint::of(frame).store(&self.memory, now.free_slot());
    }

    /// The checkpoint at this position is on the medium, and all frames up to its own. The caller holds the lock.
    fn set_anchor(&self, position: u64) {
        self.memory.store(ANCHORED / WORD, position, Relaxed);
        self.raise_flushed(position);
    }

    fn raise_flushed(&self, position: u64) {
        if self.flushed() < position {
            summed::store(&self.memory, FLUSHED, position);
        }
    }

    /// Before a writer takes the place of the anchor: if a frame that was flushed stays, it becomes the anchor first, so
    /// that a recovery still finds it. The caller holds the lock.
    ///
    /// This is the one sync that an append may wait for: at most once in a lap, and in none without a flush.
    pub(super) fn keep_anchor(&self, oldest_to_be: u64) -> Result<()> {
        let flushed = self.memory.load_exclusive(FLUSHED / WORD);
        match flushed >= oldest_to_be && self.memory.load_exclusive(ANCHORED / WORD) < oldest_to_be
        {
            true => self.move_anchor(),
            false => Ok(()),
        }
    }

    #[cold]
    fn move_anchor(&self) -> Result<()> {
        // No recovery goes by a frame that is damaged, and no writer fails because of it.
        let Ok(frame) = self.header_exclusive(self.flushed()) else {
            return Ok(());
        };
        self.store_checkpoint(&frame, &Vouched::load(&self.memory));
        self.memory.persist(HEADER).map_err(|cause| {
            Error::new(
                ErrorKind::Io,
                "what was flushed could not be kept from being overwritten, and nothing was appended",
            )
            .hint("check the disk, and open the pool anew")
            .caused_by(cause)
        })?;
        self.set_anchor(frame.position);
        Ok(())
    }

    /// Persists the ring between two positions, which may be laps apart.
    fn persist_ring(&self, from: u64, to: u64) -> Result<()> {
        let g = self.geometry();
        let ring = g.ring_word()..g.ring_word() + g.ring_words();
        if to - from.min(to) >= g.ring_size {
            return self.memory.persist(ring);
        }
        let (first, end) = (g.word_at(from), g.word_at(to));
        if first < end {
            return self.memory.persist(first..end);
        }
        self.memory.persist(first..ring.end)?;
        if end > ring.start {
            self.memory.persist(ring.start..end)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::heap::HeapMemory;

    #[test]
    fn the_newest_slot_is_never_the_next_one_to_be_stored() {
        let memory = HeapMemory::new(4096);
        let mut slots = Vec::new();
        for position in 1..=4 {
            let (newest, slot) = Checkpoint::newest(&memory);
            assert_eq!(
                newest.map(|c| c.position),
                (position > 1).then(|| position - 1)
            );
            Checkpoint {
                position,
                seq: position,
            }
            .store(&memory, slot);
            slots.push(slot);
        }
        assert_eq!(slots, [0, 1, 0, 1]);
    }

    /// Whoever comes second, or has less to vouch for, leaves what another flush has stored: its slot may be on its way to
    /// the medium.
    #[test]
    fn a_checkpoint_is_stored_only_over_one_that_is_no_longer_needed() {
        let at = |position| Checkpoint { position, seq: 1 };
        let vouched = |newest: Option<u64>, anchor: Option<u64>| Vouched {
            newest: (newest.map(at), 0),
            anchor: anchor.map(|position| (at(position), 1)),
            count: 0,
        };
        let may_be_at = |vouched: Vouched| [8, 16, 24].map(|position| vouched.is_behind(position));
        assert_eq!(may_be_at(vouched(None, None)), [true; 3]);
        assert_eq!(may_be_at(vouched(Some(16), None)), [false; 3]);
        for anchor in [8, 16] {
            let vouched = vouched(Some(16), Some(anchor));
            assert_eq!(may_be_at(vouched), [false, false, true]);
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let memory = HeapMemory::new(4096);
        Checkpoint {
            position: 8,
            seq: 1,
        }
        .store(&memory, 0);
        Checkpoint {
            position: 16,
            seq: 2,
        }
        .store(&memory, 1);
        memory.store(CHECKPOINTS[1] / WORD + 1, 3, Relaxed);
        assert_eq!(
            Checkpoint::newest(&memory),
            (
                Some(Checkpoint {
                    position: 8,
                    seq: 1
                }),
                1
            )
        );
    }
}
