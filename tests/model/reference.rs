//! What a pool should hold: a list, with where each message lies, from which what is overwritten follows.

use std::ops::RangeInclusive;

use plasmite::Timestamp;

use crate::disk::Disk;

/// Bytes of a frame header, and the whole of the genesis frame.
pub(crate) const FRAME_HEADER: u64 = 48;

/// A message as it should be read. The genesis frame is one with seq 0, which nobody reads.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) tags: Vec<String>,
    pub(crate) data: String,
    pub(crate) position: u64,
    pub(crate) ends_batch: bool,
}

/// Where the ring is in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The entries that a crash left, by their place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// One pool from its creation on.
pub(crate) struct Reference {
    pub(crate) ring: Ring,
    /// All that was ever acknowledged and that no crash took. It begins with the genesis frame.
    history: Vec<Entry>,
    /// The first entry that is retained.
    oldest: usize,
    /// The last entry of the last flush, and the first one that was retained then.
    flushed: Run,
    /// What the next seq may be: one number but after a crash.
    next: RangeInclusive<u64>,
    /// The highest seq of which the last recovery has to have found a trace.
    traced: u64,
    /// The seq of the message that is damaged just now.
    pub(crate) damaged: Option<u64>,
    /// Whether the pool is gone. Who has it open may read on, up to the newest message.
    pub(crate) is_deleted: bool,
}

impl Entry {
    /// The bytes that the entry takes in the ring.
    pub(crate) fn size(&self) -> u64 {
        let padded = |len: usize| (len as u64).next_multiple_of(8);
        // No tags are stored as nothing.
        let tags = match self.tags.is_empty() {
            true => 0,
            false => self.tags_json().len(),
        };
        FRAME_HEADER + padded(tags) + padded(self.data.len())
    }

    pub(crate) fn tags_json(&self) -> String {
        serde_json::to_string(&self.tags).unwrap()
    }

    fn end(&self) -> u64 {
        self.position + self.size()
    }
}

impl Reference {
    /// An empty pool. Positions begin at the ring's size.
    pub(crate) fn new(ring: Ring, created: Timestamp) -> Reference {
        let genesis = Entry {
            seq: 0,
            time: created,
            tags: Vec::new(),
            data: String::new(),
            position: ring.size,
            ends_batch: true,
        };
        Reference {
            ring,
            history: vec![genesis],
            oldest: 0,
            flushed: Run { first: 0, last: 0 },
            next: 1..=1,
            traced: 0,
            damaged: None,
            is_deleted: false,
        }
    }

    /// The most that a batch may take.
    pub(crate) fn max_batch(&self) -> u64 {
        self.ring.size / 2 / 8 * 8
    }

    /// What may be read now, oldest first.
    pub(crate) fn retained(&self) -> &[Entry] {
        &self.history[self.oldest.max(1)..]
    }

    /// All messages, also those that were overwritten.
    pub(crate) fn messages(&self) -> &[Entry] {
        &self.history[1..]
    }

    /// The newest entry, or the genesis frame.
    pub(crate) fn newest(&self) -> &Entry {
        &self.history[self.history.len() - 1]
    }

    /// What the next seq may be.
    pub(crate) fn next(&self) -> RangeInclusive<u64> {
        self.next.clone()
    }

    /// The first message that may be read and has this seq or a higher one.
    pub(crate) fn at_or_after(&self, seq: u64) -> Option<&Entry> {
        let retained = self.retained();
        retained.get(retained.partition_point(|entry| entry.seq < seq))
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Entry> {
        self.at_or_after(seq).filter(|entry| entry.seq == seq)
    }

    /// Adds what was appended. Seqs and times are told by the caller, who has checked them; positions are not.
    ///
    /// The ring holds the newest entries that fit into it whole, no more and no fewer.
    pub(crate) fn append(&mut self, batch: Vec<Entry>) {
        for mut entry in batch {
            entry.position = self.newest().end();
            self.history.push(entry);
        }
        self.next = self.newest().seq + 1..=self.newest().seq + 1;
        let end = self.newest().end();
        while end - self.history[self.oldest].position > self.ring.size {
            self.oldest += 1;
        }
    }

    /// Everything is on the disk now.
    pub(crate) fn flush(&mut self) {
        self.flushed = Run {
            first: self.oldest,
            last: self.history.len() - 1,
        };
    }

    /// Whether what was flushed last has not been overwritten.
    pub(crate) fn holds_flushed(&self) -> bool {
        self.oldest <= self.flushed.last
    }

    /// What a recovery has to keep of the flushed message's run: all before it that is whole, and all after it up to
    /// the last batch that is. Nothing is said if the flushed message was overwritten.
    pub(crate) fn run_on(&self, disk: &Disk) -> Option<Run> {
        if !self.holds_flushed() {
            return None;
        }
        let anchor = self.flushed.last;
        let mut run = Run {
            first: anchor,
            last: anchor,
        };
        while run.first > self.flushed.first && self.is_whole(run.first - 1, disk) {
            run.first -= 1;
        }
        for at in anchor + 1..self.history.len() {
            if !self.is_whole(at, disk) {
                break;
            }
            if self.history[at].ends_batch {
                run.last = at;
            }
        }
        Some(run)
    }

    /// Whether all bytes of an entry that was retained now or at the flush are on the disk.
    fn is_whole(&self, at: usize, disk: &Disk) -> bool {
        let entry = &self.history[at];
        let whole = match at >= self.oldest {
            true => disk.now,
            false => disk.flushed,
        };
        disk.has(self.ring, whole, entry.position, entry.size())
    }

    /// The run between two seqs, which have to be those of messages, the second one the end of a batch.
    pub(crate) fn run_between(&self, oldest: Option<u64>, newest: Option<u64>) -> Run {
        let place = |seq| {
            let found = self.history.binary_search_by_key(&seq, |entry| entry.seq);
            found.unwrap_or_else(|_| panic!("{seq} was never given to a message, or lost before"))
        };
        let last = place(newest.unwrap_or(0));
        assert!(
            self.history[last].ends_batch,
            "{newest:?} is not all of its batch"
        );
        Run {
            first: place(oldest.unwrap_or(0)),
            last,
        }
    }

    /// Keeps this run only. A seq that the disk shows any trace of is not given again.
    pub(crate) fn cut(&mut self, run: Run, disk: &Disk) {
        let traced = self.history[self.oldest..]
            .iter()
            .filter(|entry| disk.has(self.ring, disk.now, entry.position, FRAME_HEADER))
            .map(|entry| entry.seq);
        self.traced = traced
            .chain([
                self.history[run.last].seq,
                self.history[self.flushed.last].seq,
                self.traced,
            ])
            .max()
            .unwrap();
        self.next = self.traced + 1..=*self.next.end();
        self.history.truncate(run.last + 1);
        self.oldest = run.first;
        self.flush();
    }
}
