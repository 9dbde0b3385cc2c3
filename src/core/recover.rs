//! Rebuilds a pool that was left by power loss or an OS crash, from its frames alone.
//!
//! No control word is trusted then: any subset of what was stored may have reached the disk. Frames vouch for
//! themselves, by their checksums and by the links between them.
//!
//! | checkpoint | older checkpoint | frame at `last` | any batch end | what is kept                              |
//! |------------|------------------|-----------------|---------------|-------------------------------------------|
//! | verifies   | -                | -               | -             | the run that holds the newest checkpoint  |
//! | no         | verifies         | -               | -             | the run that holds the older checkpoint   |
//! | no         | no               | verifies        | -             | the run that holds the frame at `last`    |
//! | no         | no               | no              | yes           | the run that reaches the highest position |
//! | no         | no               | no              | no            | nothing: `Corrupt`, and nothing is stored |
//!
//! A *run* is a sequence of frames, each right behind the one before, linked to it, with the next seq (or a flagged
//! hole) and a time that is not earlier. What is kept of a run ends at its last whole batch.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::checkpoint::Checkpoint;
use super::error::{Error, ErrorKind, Result};
use super::frame::FrameHeader;
use super::header::Control;
use super::layout::{
    ANCHORED, BOOT, CHECKPOINT_COUNT, FLUSHED, FRAME_HEADER_SIZE, GENERATION, HEADER_SIZE, INTENT,
    LAST, NEWEST_HOLE, OLDEST, SEQ_FLOOR, WORD,
};
use super::memory::Memory;
use super::pool::Pool;
use super::read::Frame;
use super::summed;

/// The farthest that an index slot may be ahead of the newest frame and still count as evidence of its seq: more
/// than can be written between two write-backs of the page cache. Beyond it, the slot is noise.
const FARTHEST_EVIDENCE: u64 = 1 << 44;

/// Linked, contiguous frames.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: FrameHeader,
    last: FrameHeader,
    /// The last frame that ends a batch.
    batch_end: Option<FrameHeader>,
}

/// What the frames say.
struct Survey {
    runs: Vec<Run>,
    /// The highest seq in any header that verifies, whether its payload does or not.
    highest_seq: u64,
}

/// What a recovery keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The control words to be.
    pub control: Control,
    /// The seq of the newest message that is kept.
    pub newest_seq: u64,
    /// The highest seq that the file holds any evidence of.
    pub seq_floor: u64,
    /// Which row of the table applied.
    pub anchor: Anchor,
    /// The checkpoint slot that chose the anchor, if one did.
    anchor_slot: Option<usize>,
}

/// What names the run that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The newest checkpoint.
    Checkpoint,
    /// The older checkpoint.
    OlderCheckpoint,
    /// The frame at `last`.
    Last,
    /// The highest position.
    Highest,
}

/// The inputs of the table.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    checkpoint: bool,
    older_checkpoint: bool,
    last: bool,
    batch_end: bool,
}

/// A row of the table; `None` in a condition matches both.
struct Row {
    checkpoint: Option<bool>,
    older_checkpoint: Option<bool>,
    last: Option<bool>,
    batch_end: Option<bool>,
    keep: Option<Anchor>,
}

const NO: Option<bool> = Some(false);
const YES: Option<bool> = Some(true);
const ANY: Option<bool> = None;

const TABLE: [Row; 5] = [
    row(YES, ANY, ANY, ANY, Some(Anchor::Checkpoint)),
    row(NO, YES, ANY, ANY, Some(Anchor::OlderCheckpoint)),
    row(NO, NO, YES, ANY, Some(Anchor::Last)),
    row(NO, NO, NO, YES, Some(Anchor::Highest)),
    row(NO, NO, NO, NO, None),
];

const fn row(
    checkpoint: Option<bool>,
    older_checkpoint: Option<bool>,
    last: Option<bool>,
    batch_end: Option<bool>,
    keep: Option<Anchor>,
) -> Row {
    Row {
        checkpoint,
        older_checkpoint,
        last,
        batch_end,
        keep,
    }
}

impl Row {
    fn matches(&self, evidence: &Evidence) -> bool {
        let is = |condition: Option<bool>, found| condition.is_none_or(|wanted| wanted == found);
        is(self.checkpoint, evidence.checkpoint)
            && is(self.older_checkpoint, evidence.older_checkpoint)
            && is(self.last, evidence.last)
            && is(self.batch_end, evidence.batch_end)
    }
}

fn decide(evidence: &Evidence) -> Option<Anchor> {
    TABLE
        .iter()
        .find(|row| row.matches(evidence))
        .and_then(|row| row.keep)
}

impl<M: Memory> Pool<M> {
    /// Recovers the pool for this `boot`, unless somebody else has by now. The caller holds the writer lock.
    ///
    /// The boot word comes last, so an interrupted recovery simply runs again.
    pub(super) fn recover_unless_done(&self, boot: u64) -> Result<()> {
        if self.memory.load_exclusive(BOOT / WORD) == boot {
            return Ok(());
        }
        let survey = self.survey();
        let kept = self.keep(&survey)?;
        self.store_seq_floor(kept.seq_floor);
        self.memory.persist(0..HEADER_SIZE / WORD)?;
        self.erase_beyond(&survey, kept.control.intent);
        self.rebuild(&kept)?;
        self.memory.persist(0..HEADER_SIZE / WORD)?;
        self.check_poison()?;
        // Not synced: no later boot takes it for its own, whatever of it reaches the medium.
        self.memory.store(BOOT / WORD, boot, Release); // RECOVERED
        self.check_poison()
    }

    /// What a recovery would keep. Stores nothing.
    pub fn examine(&self) -> Result<Kept> {
        self.keep(&self.survey())
    }

    /// The highest seq that a recovery found evidence of; 0 if none.
    pub(super) fn seq_floor(&self) -> u64 {
        summed::load(&self.memory, SEQ_FLOOR)
    }

    /// Looks at every word of the ring.
    fn survey(&self) -> Survey {
        let g = *self.geometry();
        let mut survey = Survey {
            runs: Vec::new(),
            highest_seq: 0,
        };
        let mut frame = Frame::default();
        let mut offset = 0;
        while offset < g.ring_size {
            let position = self.memory.load((g.ring_offset + offset) / WORD, Relaxed);
            let is_here = g.is_position(position) && position % g.ring_size == offset;
            match is_here.then(|| self.header_exclusive(position)) {
                Some(Ok(header)) => {
                    survey.highest_seq = survey.highest_seq.max(header.seq);
                    match self.run_from(&header, &mut survey.highest_seq, &mut frame) {
                        Some(run) => {
                            offset += run.last.end() - run.first.position;
                            survey.runs.push(run);
                        }
                        None => offset += FRAME_HEADER_SIZE,
                    }
                }
                _ => offset += WORD,
            }
        }
        join_around_the_wrap(&mut survey.runs);
        survey
    }

    /// The run that begins with this frame and goes on to a break or to the ring's end, if the frame verifies.
    fn run_from(
        &self,
        first: &FrameHeader,
        highest_seq: &mut u64,
        frame: &mut Frame,
    ) -> Option<Run> {
        if !self.verifies(first, frame) {
            return None;
        }
        let mut run = Run {
            first: *first,
            last: *first,
            batch_end: None,
        };
        run.note_batch_end();
        while self.geometry().bytes_to_wrap(run.last.position) > run.last.size() {
            let Ok(next) = self.header_exclusive(run.last.end()) else {
                break;
            };
            *highest_seq = next.seq.max(*highest_seq);
            if !follows(&run.last, &next) || !self.verifies(&next, frame) {
                break;
            }
            run.last = next;
            run.note_batch_end();
        }
        Some(run)
    }

    /// Whether a frame's payload matches its header.
    fn verifies(&self, header: &FrameHeader, frame: &mut Frame) -> bool {
        header.size() <= self.geometry().max_batch() && self.payload_matches(header, frame)
    }

    fn keep(&self, survey: &Survey) -> Result<Kept> {
        let [a, b] = Checkpoint::load_all(&self.memory);
        let a_is_newest = a.map(|c| c.position) >= b.map(|c| c.position);
        let (newest, older) = if a_is_newest { (a, b) } else { (b, a) };
        let run_of = |checkpoint: Option<Checkpoint>| {
            checkpoint.and_then(|c| self.run_with(survey, c.position, Some(c.seq)))
        };
        let by_newest = run_of(newest);
        let by_older = run_of(older);
        let by_last = self.run_with(survey, self.memory.load(LAST / WORD, Relaxed), None);
        let by_height = survey
            .runs
            .iter()
            .filter(|run| run.batch_end.is_some())
            .max_by_key(|run| run.batch_end.map(|frame| frame.position));
        let evidence = Evidence {
            checkpoint: by_newest.is_some(),
            older_checkpoint: by_older.is_some(),
            last: by_last.is_some(),
            batch_end: by_height.is_some(),
        };
        let kept = decide(&evidence).and_then(|anchor| {
            let run = match anchor {
                Anchor::Checkpoint => by_newest,
                Anchor::OlderCheckpoint => by_older,
                Anchor::Last => by_last,
                Anchor::Highest => by_height,
            };
            run.and_then(|run| Some((anchor, run, run.batch_end?)))
        });
        let (anchor, run, end) = kept.ok_or_else(nothing_to_keep)?;
        Ok(Kept {
            control: Control {
                oldest: run.first.position,
                last: end.position,
                intent: end.end(),
            },
            newest_seq: end.seq,
            seq_floor: self.highest_evidence(survey, &end, [a, b]),
            anchor,
            anchor_slot: match anchor {
                Anchor::Checkpoint => Some(usize::from(!a_is_newest)),
                Anchor::OlderCheckpoint => Some(usize::from(a_is_newest)),
                Anchor::Last | Anchor::Highest => None,
            },
        })
    }

    /// The run that holds a frame at `position` that ends a batch, and has this seq if one is asked for.
    fn run_with<'s>(&self, survey: &'s Survey, position: u64, seq: Option<u64>) -> Option<&'s Run> {
        if !self.geometry().is_position(position) {
            return None;
        }
        let header = self.header_exclusive(position).ok()?;
        let is_it = !header.more && seq.is_none_or(|seq| seq == header.seq);
        let holds = |run: &&Run| (run.first.position..=run.last.position).contains(&position);
        survey.runs.iter().find(holds).filter(|_| is_it)
    }

    /// The highest seq that anything in the file speaks of. No seq that somebody may have seen is given out twice
    /// while there is a trace of it.
    fn highest_evidence(
        &self,
        survey: &Survey,
        newest: &FrameHeader,
        checkpoints: [Option<Checkpoint>; 2],
    ) -> u64 {
        let flushed = checkpoints
            .into_iter()
            .flatten()
            .map(|c| c.seq)
            .max()
            .unwrap_or(0);
        survey
            .highest_seq
            .max(flushed)
            .max(self.seq_floor())
            .max(self.highest_hint(newest))
    }

    /// The highest seq in any index slot that is plausible beside the newest frame.
    fn highest_hint(&self, newest: &FrameHeader) -> u64 {
        let g = self.geometry();
        (0..g.index_capacity)
            .filter_map(|slot| {
                let word = g.slot_word(slot)?;
                let [seq, position] = [word, word + 1].map(|word| self.memory.load_exclusive(word));
                let ahead = position.checked_sub(newest.position)?;
                let is_plausible = seq % g.index_capacity == slot
                    && g.is_position(position)
                    && ahead <= FARTHEST_EVIDENCE
                    && seq.checked_sub(newest.seq)? <= ahead / FRAME_HEADER_SIZE;
                is_plausible.then_some(seq)
            })
            .max()
            .unwrap_or(0)
    }

    pub(super) fn store_seq_floor(&self, seq: u64) {
        summed::store(&self.memory, SEQ_FLOOR, seq);
    }

    /// Takes away the positions of frames beyond `end`, so that no later recovery mistakes them for newer ones.
    fn erase_beyond(&self, survey: &Survey, end: u64) {
        let g = self.geometry();
        for run in survey.runs.iter().filter(|run| run.last.position >= end) {
            let mut position = run.first.position;
            while position <= run.last.position {
                let Ok(header) = self.header_exclusive(position) else {
                    break;
                };
                if position >= end {
                    self.memory.store(g.word_at(position), 0, Relaxed);
                }
                position = header.end();
            }
        }
    }

    /// Stores control words, checkpoint and index for what is kept, and persists them.
    fn rebuild(&self, kept: &Kept) -> Result<()> {
        let control = kept.control;
        // In any order: nobody takes them for the pool's before the boot word says so.
        self.memory.store(OLDEST / WORD, control.oldest, Relaxed);
        self.memory.store(INTENT / WORD, control.intent, Relaxed);
        self.memory.store(LAST / WORD, control.last, Relaxed);
        let generation = self.memory.load_exclusive(GENERATION / WORD);
        self.memory
            .store(GENERATION / WORD, generation.wrapping_add(1), Relaxed);
        // The slot that chose the anchor stays as it is until the other one is durable.
        let slot = 1 - kept.anchor_slot.unwrap_or(1);
        let checkpoint = Checkpoint {
            position: control.last,
            seq: kept.newest_seq,
        };
        checkpoint.store(&self.memory, slot);
        // What was known to be on the medium was known in another boot.
        for offset in [ANCHORED, FLUSHED, FLUSHED + WORD, CHECKPOINT_COUNT] {
            self.memory.store(offset / WORD, 0, Relaxed);
        }
        self.rebuild_hints(&control)?;
        self.memory.persist(0..self.memory.words())?;
        if Checkpoint::load_all(&self.memory)[1 - slot].is_some_and(|c| c.position > control.last) {
            checkpoint.store(&self.memory, 1 - slot);
        }
        Ok(())
    }

    /// Stores what the frames say in the index, and the newest hole among them.
    fn rebuild_hints(&self, control: &Control) -> Result<()> {
        let mut newest_hole = 0;
        let mut position = control.oldest;
        while position <= control.last {
            let header = self
                .header_exclusive(position)
                .map_err(|why| self.bad_frame(position, why))?;
            self.store_hint(header.seq, position);
            if header.hole {
                newest_hole = position;
            }
            position = header.end();
        }
        self.memory.store(NEWEST_HOLE / WORD, newest_hole, Relaxed);
        Ok(())
    }
}

impl Run {
    fn note_batch_end(&mut self) {
        if !self.last.more {
            self.batch_end = Some(self.last);
        }
    }
}

/// Whether `next` is the successor of `before`.
pub(super) fn follows(before: &FrameHeader, next: &FrameHeader) -> bool {
    next.position == before.end()
        && next.link == before.crc()
        && next.time >= before.time
        && (next.seq == before.seq + 1 || next.hole && next.seq > before.seq + 1)
}

/// A run that goes up to the ring's end may go on at its beginning.
fn join_around_the_wrap(runs: &mut Vec<Run>) {
    let Some(head) = runs.pop() else { return };
    match runs
        .iter()
        .position(|tail| follows(&head.last, &tail.first))
    {
        Some(i) => {
            let tail = runs[i];
            runs[i] = Run {
                first: head.first,
                last: tail.last,
                batch_end: tail.batch_end.or(head.batch_end),
            };
        }
        None => runs.push(head),
    }
}

fn nothing_to_keep() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the pool was left by a crash, and no frame in it verifies",
    )
    .hint("restore the file from a copy, or create the pool anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_row_matches_every_input() {
        let mut hits = [0; TABLE.len()];
        for bits in 0..16u8 {
            let is = |bit: u8| bits >> bit & 1 == 1;
            let evidence = Evidence {
                checkpoint: is(0),
                older_checkpoint: is(1),
                last: is(2),
                batch_end: is(3),
            };
            let matching: Vec<usize> = (0..TABLE.len())
                .filter(|&i| TABLE[i].matches(&evidence))
                .collect();
            assert_eq!(matching.len(), 1, "{evidence:?}");
            hits[matching[0]] += 1;
            assert_eq!(decide(&evidence), TABLE[matching[0]].keep);
        }
        assert_eq!(hits, [8, 4, 2, 1, 1]);
    }
}
