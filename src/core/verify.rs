//! Judges a pool: the single checker behind `doctor`, the tests and the torture run.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;

use super::error::{Error, ErrorKind, Result};
use super::frame::FrameHeader;
use super::header::Control;
use super::layout::{
    ANCHORED, BOOT, CHECKPOINT_COUNT, CHECKPOINTS, DELETED, FLUSHED, GENERATION, HEADER_SIZE,
    IMMUTABLE_SIZE, INTENT, LAST, NEWEST_HOLE, OLDEST, SEQ_FLOOR, WAKE_WORD, WORD,
};
use super::memory::Memory;
use super::pool::Pool;
use super::read::Frame;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssueCode {
    /// The header cannot be used, or bytes of it that are reserved are not zero.
    Header,
    /// A control word contradicts the others or the frames.
    Control,
    /// A frame header, or the link, seq or time in it, is wrong.
    Frame,
    /// A payload does not match its checksum, or is not JSON.
    Payload,
    /// An index slot names the wrong place. Reads go around it.
    IndexHint,
    /// The newest message is later than the clock: new messages repeat its time until the clock has caught up.
    ClockBehind,
}

impl IssueCode {
    /// The code's name in a report.
    pub fn name(self) -> &'static str {
        match self {
            IssueCode::Header => "header",
            IssueCode::Control => "control",
            IssueCode::Frame => "frame",
            IssueCode::Payload => "payload",
            IssueCode::IndexHint => "index_hint",
            IssueCode::ClockBehind => "clock_behind",
        }
    }

    /// Whether data is damaged, as opposed to something that every reader copes with.
    pub fn is_damage(self) -> bool {
        !matches!(self, IssueCode::IndexHint | IssueCode::ClockBehind)
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// What kind of thing.
    pub code: IssueCode,
    /// What is wrong, for people.
    pub message: String,
    /// The message concerned, where that is known.
    pub seq: Option<u64>,
    /// The byte offset in the file, where that is known.
    pub offset: Option<u64>,
}

/// What a check of a whole pool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many messages verified.
    pub messages: u64,
    /// The newest message up to which nothing is damaged, counted from the oldest; `None` if there is none.
    pub last_good_seq: Option<u64>,
    /// The seqs of the messages that verified, in order: each range from one of them to another with nothing wrong
    /// between.
    pub sound: Vec<RangeInclusive<u64>>,
    /// Everything that is wrong.
    pub issues: Vec<Issue>,
    /// What to do about a file that does not open as a pool at all.
    pub hint: Option<String>,
}

impl Report {
    /// The report on a pool that does not open.
    pub(crate) fn of_unusable(error: &Error) -> Report {
        Report {
            issues: vec![issue_from(IssueCode::Header, error)],
            hint: error.hint_text().map(str::to_owned),
            ..Report::default()
        }
    }

    /// Whether anything is damaged.
    pub fn is_corrupt(&self) -> bool {
        self.issues.iter().any(|issue| issue.code.is_damage())
    }

    fn note_sound(&mut self, seq: u64, is_in_range: bool) {
        self.messages += 1;
        match self.sound.last_mut().filter(|_| is_in_range) {
            Some(range) => *range = *range.start()..=seq,
            None => self.sound.push(seq..=seq),
        }
    }

    fn note(&mut self, issue: Issue) {
        self.issues.push(issue);
    }
}

impl<M: Memory> Pool<M> {
    /// Checks everything: control words, every retained frame, the index. Takes no lock; writers may go on.
    ///
    /// `clock` tells the time in nanoseconds since the Unix epoch. It is asked after the newest message has been looked
    /// at: one that is appended meanwhile is not ahead of the clock. Damage is in the report; an error means that the
    /// check itself could not be made.
    pub fn verify(&self, clock: impl FnOnce() -> u64) -> Result<Report> {
        let mut report = Report::default();
        self.verify_reserved(&mut report);
        if let Err(error) = self.check_deleted()
            && error.kind() == ErrorKind::Corrupt
        {
            report.note(issue_from(IssueCode::Control, &error));
        }
        let control = match self
            .control()
            .and_then(|control| self.verify_control(control))
        {
            Ok(control) => control,
            Err(error) => {
                report.note(issue_from(IssueCode::Control, &error));
                return self.unless_gone(report);
            }
        };
        self.verify_frames(&control, &mut report)?;
        self.verify_index(&mut report);
        self.verify_clock(clock, &mut report);
        self.unless_gone(report)
    }

    /// A report on bytes that are no longer the file's would be worthless.
    fn unless_gone(&self, report: Report) -> Result<Report> {
        self.check_poison()?;
        match self.check_deleted() {
            Err(gone) if gone.kind() == ErrorKind::NotFound => Err(gone),
            _ => Ok(report),
        }
    }

    fn verify_control(&self, control: Control) -> Result<Control> {
        self.newest()?;
        match self.is_intact(control.last)? {
            true => Ok(control),
            // Lapped while looking: the words have moved on, which they can do only if they are in order.
            false => self.control(),
        }
    }

    fn verify_reserved(&self, report: &mut Report) {
        let [a, b] = CHECKPOINTS;
        let checkpoint = |at: u64| [at, at + WORD, at + 2 * WORD];
        let single = [
            INTENT,
            LAST,
            OLDEST,
            DELETED,
            BOOT,
            GENERATION,
            SEQ_FLOOR,
            SEQ_FLOOR + WORD,
            WAKE_WORD,
            NEWEST_HOLE,
            ANCHORED,
            FLUSHED,
            FLUSHED + WORD,
            CHECKPOINT_COUNT,
        ];
        let used: Vec<u64> = [&single[..], &checkpoint(a), &checkpoint(b)].concat();
        for offset in (IMMUTABLE_SIZE..HEADER_SIZE).step_by(WORD as usize) {
            if !used.contains(&offset) && self.memory.load(offset / WORD, Relaxed) != 0 {
                report.note(Issue {
                    code: IssueCode::Header,
                    message: "reserved bytes of the header are not zero".to_owned(),
                    seq: None,
                    offset: Some(offset),
                });
            }
        }
    }

    fn verify_frames(&self, control: &Control, report: &mut Report) -> Result<()> {
        let mut frame = Frame::default();
        let mut walk = Walk::default();
        let mut newest_hole = None;
        let mut position = control.oldest;
        while position <= control.last {
            match self.read_frame(position, control.last, &mut frame) {
                Ok(true) => {
                    let Some(header) = frame.header() else {
                        continue;
                    };
                    self.judge(&mut walk, header, &frame, report);
                    newest_hole = header.hole.then_some(*header).or(newest_hole);
                    position = header.end();
                }
                // Overwritten while we were looking: it is nobody's concern any more.
                Ok(false) => {
                    position = self.control()?.oldest.max(position + WORD);
                    walk.before = None;
                    walk.is_in_range = false;
                }
                Err(damage) => {
                    self.check_poison()?;
                    let seq = damage
                        .seq_value()
                        .or(walk.before.map(|before| before.seq + 1));
                    report.note(Issue {
                        seq,
                        ..issue_from(code_of(&damage), &damage)
                    });
                    walk = Walk {
                        damaged: true,
                        ..Walk::default()
                    };
                    let end = control.last.saturating_add(WORD);
                    let next = self.resync(position + WORD..end, control.last);
                    position = next.map_or(end, |next| next.position);
                }
            }
        }
        // Asked last: a writer stores the word before a frame that it has to name can be read.
        if let Some(header) = newest_hole.filter(|hole| self.newest_hole() < hole.position) {
            report.note(Issue {
                offset: Some(NEWEST_HOLE),
                ..self.issue_at(
                    IssueCode::Control,
                    "the control word `newest_hole` is below a frame before which seqs are missing, so messages are counted wrongly",
                    &header,
                )
            });
        }
        Ok(())
    }

    fn judge(&self, walk: &mut Walk, header: &FrameHeader, frame: &Frame, report: &mut Report) {
        if let Some(what) = walk
            .before
            .as_ref()
            .and_then(|before| break_between(before, header))
        {
            walk.damaged = true;
            walk.is_in_range = false;
            report.note(self.issue_at(IssueCode::Frame, what, header));
        }
        if header.seq != 0 {
            if let Some(what) = bad_text(frame) {
                walk.damaged = true;
                walk.is_in_range = false;
                report.note(self.issue_at(IssueCode::Payload, what, header));
            } else {
                report.note_sound(header.seq, walk.is_in_range);
                walk.is_in_range = true;
                if !walk.damaged {
                    report.last_good_seq = Some(header.seq);
                }
            }
        }
        walk.before = Some(*header);
    }

    fn issue_at(&self, code: IssueCode, what: &str, header: &FrameHeader) -> Issue {
        Issue {
            code,
            message: what.to_owned(),
            seq: Some(header.seq),
            offset: Some(self.geometry().offset_at(header.position)),
        }
    }

    fn verify_index(&self, report: &mut Report) {
        let g = *self.geometry();
        if cfg!(feature = "noisy-index") {
            return; // There is nothing but noise, on purpose.
        }
        let Ok(Some((oldest, newest))) = self.bounds() else {
            return;
        };
        let mut wrong = 0;
        let mut first = None;
        for slot in 0..g.index_capacity {
            let Some(word) = g.slot_word(slot) else {
                return;
            };
            let load = || [word, word + 1].map(|word| self.memory.load(word, Relaxed));
            let [seq, position] = load();
            if !self.is_plausible_hint(slot, seq, position, &oldest, &newest)
                // A writer may have been storing it: only a slot that stays as it is is wrong.
                && load() == [seq, position]
            {
                wrong += 1;
                first.get_or_insert((seq, word * WORD));
            }
        }
        if let Some((seq, offset)) = first {
            report.note(Issue {
                code: IssueCode::IndexHint,
                message: match wrong {
                    1 => "1 index slot names the wrong place; reads of its message take the longer way".to_owned(),
                    _ => format!("{wrong} index slots name the wrong place; reads of their messages take the longer way"),
                },
                seq: Some(seq),
                offset: Some(offset),
            });
        }
    }

    /// Whether a slot is empty, stale, or right.
    fn is_plausible_hint(
        &self,
        slot: u64,
        seq: u64,
        position: u64,
        oldest: &FrameHeader,
        newest: &FrameHeader,
    ) -> bool {
        let g = self.geometry();
        if seq == 0 && position == 0 {
            return true;
        }
        if seq % g.index_capacity != slot {
            return false;
        }
        if seq < oldest.seq {
            return position < oldest.position;
        }
        if seq > newest.seq {
            // Written since, or by a writer that died, perhaps with only half of the slot stored: whoever publishes
            // that seq stores the slot anew.
            return self.memory.load(INTENT / WORD, Relaxed) > position;
        }
        if position < oldest.position {
            return false;
        }
        match g
            .is_position(position)
            .then(|| self.read_header(position, newest.position))
        {
            Some(Ok(Some(header))) => header.seq == seq,
            // It may have been overwritten since.
            _ => self
                .control()
                .is_ok_and(|control| control.oldest > position),
        }
    }

    fn verify_clock(&self, clock: impl FnOnce() -> u64, report: &mut Report) {
        if let Ok(newest) = self.newest()
            && newest.time > clock()
        {
            report.note(Issue {
                code: IssueCode::ClockBehind,
                message: "the newest message is later than the clock; new messages repeat its time until the clock has caught up".to_owned(),
                seq: Some(newest.seq),
                offset: None,
            });
        }
    }
}

/// What a walk over the frames remembers.
#[derive(Default)]
struct Walk {
    before: Option<FrameHeader>,
    /// Whether anything was wrong so far.
    damaged: bool,
    /// Whether a sound message belongs to the last range of those.
    is_in_range: bool,
}

fn break_between(before: &FrameHeader, next: &FrameHeader) -> Option<&'static str> {
    if next.link != before.crc() {
        Some("the frame is not linked to the one before it")
    } else if next.seq != before.seq + 1 && !(next.hole && next.seq > before.seq) {
        Some("seqs are missing before the frame, and it does not say so")
    } else if next.time < before.time {
        Some("the frame is earlier than the one before it")
    } else {
        None
    }
}

/// What is wrong with the text in a frame whose checksums are right.
pub(super) fn bad_text(frame: &Frame) -> Option<&'static str> {
    let mut scratch = Vec::new();
    let is_json =
        |text: &[u8], scratch: &mut Vec<u8>| super::json::compact_into(text, scratch).is_ok();
    if !is_json(frame.data(), &mut scratch) {
        return Some("the data is not JSON");
    }
    let tags = frame.tags();
    (!tags.is_empty() && serde_json::from_slice::<Vec<std::borrow::Cow<'_, str>>>(tags).is_err())
        .then_some("the tags are not a JSON array of strings")
}

fn code_of(damage: &Error) -> IssueCode {
    if damage.seq_value().is_some() {
        IssueCode::Payload
    } else {
        IssueCode::Frame
    }
}

fn issue_from(code: IssueCode, error: &Error) -> Issue {
    debug_assert_eq!(error.kind(), ErrorKind::Corrupt);
    Issue {
        code,
        message: error.message().to_owned(),
        seq: error.seq_value(),
        offset: error.offset_value(),
    }
}
