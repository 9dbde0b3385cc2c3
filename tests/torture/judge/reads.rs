//! Judges what each reader was given, and what it was not.

use super::book::{Book, records_of};
use super::{Findings, Law, Rule};
use crate::actor::Life;
use crate::record::{Begin, How, Record};

pub(super) fn judge(law: &Law, book: &Book<'_>, lives: &[Life], findings: &mut Findings) {
    for life in lives {
        let mut reader = Reader {
            law,
            book,
            who: format!("{:?} {}", life.role, life.number),
            findings,
            course: None,
        };
        for record in records_of(life, law.pool) {
            reader.judge(record);
        }
    }
}

struct Reader<'h, 'f> {
    law: &'h Law,
    book: &'h Book<'h>,
    who: String,
    findings: &'f mut Findings,
    course: Option<Course>,
}

/// Where a tail is.
struct Course {
    begin: Begin,
    next: u64,
    /// Whether the last that came was a message.
    after_message: bool,
}

impl Reader<'_, '_> {
    fn judge(&mut self, record: &Record) {
        match *record {
            Record::Opened { .. } => self.course = None,
            Record::Tail {
                asked,
                at,
                start,
                next,
            } => {
                self.judge_start(asked, at, start, next);
                self.course = Some(Course {
                    begin: start,
                    next,
                    after_message: false,
                });
            }
            Record::Read { at, seq, how, .. } => {
                self.judge_early(at, seq);
                if how == How::InTail {
                    self.judge_message(seq);
                }
            }
            Record::Gap { at, first, last } => self.judge_gap(at, first, last),
            Record::Nothing { asked, next } => self.judge_nothing(asked, next),
            Record::Bounds {
                asked,
                at,
                oldest,
                newest,
            } => self.judge_bounds(asked, at, oldest, newest),
            Record::Missing { asked, at, seq } => self.judge_missing(asked, at, seq),
            _ => {}
        }
    }

    fn find(&mut self, holds: bool, rule: Rule, text: impl FnOnce() -> String) {
        let who = &self.who;
        self.findings
            .unless(holds, rule, || format!("{who}: {}", text()));
    }

    /// What is missing and where things are means something only while nobody has damaged the pool.
    fn is_sound(&self, at: u64) -> bool {
        self.law.damaged.is_none_or(|damaged| at < damaged)
    }

    fn is_lapped(&self, seq: u64, at: u64) -> bool {
        !self.is_sound(at) || self.book.is_lapped(self.law, seq, at)
    }

    fn judge_start(&mut self, asked: u64, at: u64, start: Begin, next: u64) {
        if !self.is_sound(at) {
            return;
        }
        let (least, most) = (self.book.acknowledged_before(asked), self.book.begun_by(at));
        let begins_at_oldest = next == 1 || self.is_lapped(next - 1, at);
        let holds = match start {
            Begin::Oldest => begins_at_oldest,
            Begin::Newest => (least + 1..=most + 1).contains(&next),
            Begin::Seq(seq) => next == seq.max(1),
            Begin::Last(count) => {
                let due = |newest: u64| (newest + 1).saturating_sub(count).max(1);
                next <= due(most) && next >= due(least) || next > due(least) && begins_at_oldest
            }
            Begin::Since(time) => {
                let is_late_enough =
                    self.book.time_at(next).is_none_or(|found| found >= time) || next > least;
                let is_first = self
                    .book
                    .time_at(next - 1)
                    .is_none_or(|before| before < time);
                is_late_enough && (is_first || begins_at_oldest)
            }
        };
        self.find(holds, Rule::Start, || {
            format!("{start:?} began at {next}, with {least} acknowledged and {most} begun")
        });
    }

    fn judge_message(&mut self, seq: u64) {
        let Some(course) = &mut self.course else {
            return self.find(false, Rule::Course, || format!("{seq} came of no tail"));
        };
        let due = std::mem::replace(&mut course.next, seq + 1);
        course.after_message = true;
        let begin = course.begin;
        let may_pass = |seq: u64| match begin {
            // What comes after the start and is of an earlier time is passed over. [TAIL-4]
            Begin::Since(time) => self.book.time_at(seq).is_none_or(|found| found < time),
            _ => false,
        };
        let holds = due <= seq && (due..seq).all(may_pass);
        self.find(holds, Rule::Course, || {
            format!("{seq} came where {due} was due")
        });
        if let Begin::Since(time) = begin {
            let holds = self.book.time_at(seq).is_none_or(|found| found >= time);
            self.find(holds, Rule::Start, || {
                format!("{seq} is of before {time}, which was asked for")
            });
        }
    }

    fn judge_gap(&mut self, at: u64, first: u64, last: u64) {
        let due = self.course.as_ref().map_or(0, |course| course.next);
        if let Some(course) = &mut self.course {
            (course.next, course.after_message) = (last.saturating_add(1), false);
        }
        self.find(first == due && first <= last, Rule::Course, || {
            format!("a gap {first} to {last} came where {due} was due")
        });
        let holds = self.is_lapped(last, at);
        self.find(holds, Rule::Lapped, || {
            format!("a gap {first} to {last} takes what was there")
        });
    }

    fn judge_nothing(&mut self, asked: u64, next: u64) {
        let seen = self.book.acknowledged_before(asked);
        if self.is_sound(asked) {
            self.find(seen < next, Rule::Fresh, || {
                format!("there was nothing from {next} on, and {seen} was acknowledged before")
            });
        }
        let Some(course) = &self.course else { return };
        let (due, after_message) = (course.next, course.after_message);
        let may_pass = matches!(course.begin, Begin::Since(_));
        self.find(next == due || may_pass && next > due, Rule::Course, || {
            format!("a tail says that {next} is next, where {due} was due")
        });
        let holds = !after_message || next != due || self.book.ends_batch(next - 1);
        self.find(holds, Rule::Whole, || {
            format!("a batch ends at {}, in the middle", next - 1)
        });
    }

    fn judge_bounds(&mut self, asked: u64, at: u64, oldest: u64, newest: u64) {
        if !self.is_sound(at) {
            return;
        }
        let seen = self.book.acknowledged_before(asked);
        self.find(seen <= newest, Rule::Fresh, || {
            format!("{newest} was newest, and {seen} acknowledged before")
        });
        self.judge_early(at, newest);
        let holds = self.book.ends_batch(newest);
        self.find(holds, Rule::Whole, || {
            format!("a batch is there up to {newest}, its middle")
        });
        let holds = oldest <= 1 || self.is_lapped(oldest - 1, at);
        self.find(holds, Rule::Lapped, || {
            format!("{oldest} was oldest, with {newest} newest")
        });
    }

    fn judge_missing(&mut self, asked: u64, at: u64, seq: u64) {
        let seen = self.book.acknowledged_before(asked);
        // NotFound is also said of a pool that is gone.
        let is_gone = self.law.removed.is_some_and(|removed| removed <= at);
        let holds = seq > seen || is_gone || self.is_lapped(seq, at);
        self.find(holds, Rule::Lapped, || {
            format!("{seq} was not found, and {seen} acknowledged before")
        });
    }

    fn judge_early(&mut self, at: u64, seq: u64) {
        let begun = self.book.begun_by(at);
        self.find(seq <= begun, Rule::Early, || {
            format!("{seq} was seen, and {begun} begun by then")
        });
    }
}
