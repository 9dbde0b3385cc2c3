//! Whether a pool that was left by a crash is what the specification promises.

use std::fmt::Debug;

use plasmite::ErrorKind;
use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::frame::{FrameHeader, HEADER_WORDS};
use plasmite::core::layout::{BOOT as BOOT_WORD, GENERATION, WORD};
use plasmite::core::memory::Memory;
use plasmite::core::pool::Pool;
use plasmite::core::read::Frame;
use plasmite::core::recover::Anchor;

use crate::medium::Promise;
use crate::recorder::{Event, Recorder};
use crate::run::{Run, Text, append, message, try_open};

const NOW: u64 = 1000;

/// Judges what a process that died left: nothing to repair, and all that was acknowledged. [CRASH-1] [CRASH-2]
pub(crate) fn death(run: &Run, image: &[u64], promise: Promise, moment: &dyn Debug) {
    let recovered = image[(BOOT_WORD / WORD) as usize] != run.boot;
    let before = image[(GENERATION / WORD) as usize];
    let pool = try_open(Recorder::of(image), run.boot).unwrap();
    if !recovered {
        let generation = pool.generation();
        assert_eq!(generation, before, "{moment:?}: recovered for no reason");
    }
    let state = State {
        run,
        image,
        moment,
        promised: promised(run, promise.acknowledged, promise.floor),
    };
    let newest = state.check(&pool);
    state.check_appends(&pool, newest);
}

/// Judges what is made of a medium after a loss of power, and returns what its recovery stored and synced, and which
/// row of the recovery's table chose. [CRASH-3] to [CRASH-10]
pub(crate) fn power_loss(
    run: &Run,
    image: &[u64],
    promise: Promise,
    moment: &dyn Debug,
) -> (Vec<Event>, Option<Anchor>) {
    let memory = Recorder::of(image);
    let anchor = Pool::attach(&memory, run.header).examine().ok();
    let state = State {
        run,
        image,
        moment,
        promised: promised(run, promise.flushed, promise.floor),
    };
    let pool = match try_open(&memory, run.boot + 1) {
        Ok(pool) => pool,
        Err(refused) => {
            state.check_refusal(&refused, &memory);
            return (Vec::new(), None);
        }
    };
    let before = image[(GENERATION / WORD) as usize];
    assert!(pool.generation() > before, "{moment:?}: {before} still");
    let recovery = memory.take_log();
    let newest = state.check(&pool);
    // A process that died has published none of what it left behind; a medium may have.
    let highest = state.highest_trace(newest).unwrap_or(newest);
    state.check_appends(&pool, highest);
    (recovery, anchor.map(|kept| kept.anchor))
}

/// The oldest and the newest message that have to be there.
fn promised(run: &Run, up_to: u64, floor: u64) -> Option<(u64, u64)> {
    let mut there = run
        .messages
        .range(..=up_to)
        .filter(|(_, written)| written.position >= floor)
        .map(|(seq, _)| *seq);
    let first = there.next()?;
    Some((first, there.next_back().unwrap_or(first)))
}

struct State<'s> {
    run: &'s Run,
    image: &'s [u64],
    moment: &'s dyn Debug,
    promised: Option<(u64, u64)>,
}

impl State<'_> {
    /// All that was promised is there; all that is there is as it was appended, and batches are whole. Returns the newest seq.
    fn check(&self, pool: &Pool<impl Memory>) -> u64 {
        let Self { run, moment, .. } = self;
        let report = pool.verify(|| NOW).unwrap();
        assert!(!report.is_corrupt(), "{moment:?}: {report:?}");
        let there = self.read(pool);
        let newest = there.last().copied().unwrap_or(0);
        if let Some((first, last)) = self.promised {
            let oldest = there.first().copied().unwrap_or(u64::MAX);
            assert!(
                oldest <= first && newest >= last,
                "{moment:?}: {oldest} to {newest} are there of {first} to {last}"
            );
        }
        assert!(
            run.batch_ends.contains(&newest),
            "{moment:?}: half a batch, up to {newest}"
        );
        newest
    }

    /// Reads everything: one run of messages, each as it was appended.
    fn read(&self, pool: &Pool<impl Memory>) -> Vec<u64> {
        let Self { run, moment, .. } = self;
        let mut cursor = Cursor::oldest(pool).unwrap();
        let mut frame = Frame::default();
        let mut there: Vec<u64> = Vec::new();
        loop {
            match cursor.next(pool, &mut frame).unwrap() {
                Step::Message => {}
                Step::Empty => break,
                Step::Lapped { first, missed } => {
                    let missing = run.messages.range(first..first + missed);
                    assert_eq!(missing.count(), 0, "{moment:?}: lost after {first}");
                    continue;
                }
            }
            let seq = frame.header().unwrap().seq;
            let written = run.messages.get(&seq).map(|written| &written.text);
            assert_eq!(
                written,
                Some(&text(&frame)),
                "{moment:?}: {seq} is no message"
            );
            if let Some(before) = there.last() {
                let between = run.messages.range(before + 1..seq);
                assert!(*before < seq, "{moment:?}: {seq} behind {before}");
                assert_eq!(between.count(), 0, "{moment:?}: lost before {seq}");
            }
            there.push(seq);
        }
        there
    }

    /// The next append succeeds, and gives out no number up to `highest`. [CRASH-7]
    fn check_appends(&self, pool: &Pool<impl Memory>, highest: u64) {
        let moment = self.moment;
        let more = [message(highest, 40), message(highest, 900)];
        let (first, last) = append(pool, &more);
        assert!(
            first > highest,
            "{moment:?}: {first} is given out once more"
        );
        let mut frame = Frame::default();
        pool.get(last, &mut frame).unwrap();
        assert_eq!(text(&frame), more[1], "{moment:?}");
        let report = pool.verify(|| NOW).unwrap();
        assert!(
            !report.is_corrupt(),
            "{moment:?}, and an append: {report:?}"
        );
    }

    /// The highest seq above `newest` of a message whose header is on the medium.
    fn highest_trace(&self, newest: u64) -> Option<u64> {
        let traces = self.run.messages.range(newest + 1..);
        traces
            .filter(|(seq, written)| self.has_trace(**seq, written.position))
            .map(|(seq, _)| *seq)
            .next_back()
    }

    /// Whether the header of a message is on the medium.
    fn has_trace(&self, seq: u64, position: u64) -> bool {
        let g = self.run.header.geometry;
        let mut words = [0; HEADER_WORDS];
        for (at, word) in (position..).step_by(WORD as usize).zip(&mut words) {
            *word = self.image[g.word_at(at) as usize];
        }
        FrameHeader::decode(&words, position).is_ok_and(|header| header.seq == seq)
    }

    /// A pool of which nothing verifies held nothing that was promised, and stays as it is. [CRASH-10]
    fn check_refusal(&self, refused: &plasmite::Error, memory: &Recorder) {
        let moment = self.moment;
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{moment:?}: {refused}");
        assert_eq!(self.promised, None, "{moment:?}: {refused}");
        assert!(memory.take_log().is_empty(), "{moment:?}: {refused}");
    }
}

fn text(frame: &Frame) -> Text {
    [frame.tags(), frame.data()]
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .into()
}
