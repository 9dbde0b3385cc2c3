//! The flush checkpoint: the newest frame that is known to survive power loss.

use std::sync::atomic::Ordering::Relaxed;

use super::error::Result;
use super::frame::{FrameHeader, pair};
use super::layout::{CHECKPOINTS, HEADER_SIZE, WORD};
use super::memory::{LockWait, Memory, WriterLock};
use super::pool::Pool;

/// A frame that was flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its position.
    pub position: u64,
    /// Its seq.
    pub seq: u64,
}

impl Checkpoint {
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

    /// The newest checkpoint, and the slot that the next one goes to: never the one that holds the newest.
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

impl<M: Memory> Pool<M> {
    /// Stores a checkpoint of the newest frame in a pool that nobody else knows of yet. Whoever gives it its name has
    /// made all of it durable by then.
    pub fn vouch_for_draft(&self) -> Result<()> {
        let newest = self.newest()?;
        let (_, slot) = Checkpoint::newest(&self.memory);
        Checkpoint {
            position: newest.position,
            seq: newest.seq,
        }
        .store(&self.memory, slot);
        Ok(())
    }

    /// Makes everything up to the newest committed frame survive power loss, and says so in the file.
    ///
    /// All frames since the last checkpoint are synced, not only the newest: an acknowledged message must not sit
    /// behind a hole. The lock is held only to store the checkpoint, never across a sync.
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
        loop {
            let (found, _) = Checkpoint::newest(&self.memory);
            let found_position = found.map_or(0, |checkpoint| checkpoint.position);
            if found_position >= newest.position {
                return self.sync_checkpoint(found_position);
            }
            self.persist_ring(found_position, newest.end())?;
            // The slot that stays has to be durable before the other one is touched.
            self.sync_checkpoint(found_position)?;
            let _guard = lock.acquire(wait)?;
            let (now, slot) = Checkpoint::newest(&self.memory);
            if now == found {
                Checkpoint {
                    position: newest.position,
                    seq: newest.seq,
                }
                .store(&self.memory, slot);
            }
        }
    }

    /// Makes the checkpoint at `position` durable, unless this handle knows that it is.
    fn sync_checkpoint(&self, position: u64) -> Result<()> {
        if self.synced_checkpoint.load(Relaxed) == position {
            return Ok(());
        }
        self.memory.persist(0..HEADER_SIZE / WORD)?;
        self.synced_checkpoint.store(position, Relaxed);
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
