//! Which message each seq is, as far as receipts and readers tell.

use std::collections::HashMap;

use plasmite::core::layout::FRAME_HEADER_SIZE;

use super::{Findings, Law, Rule};
use crate::actor::Life;
use crate::message::most_frame_bytes;
use crate::record::{Part, Record};
use crate::writer::MOST_PARTS;

/// All that is known of a pool's messages.
pub(super) struct Book<'h> {
    pub(super) appends: Vec<Append<'h>>,
    by_name: HashMap<(u32, u32), usize>,
    /// What is at each seq; nothing is at 0.
    seqs: Vec<Option<Known>>,
    /// How many messages were begun, and so the highest seq that there can be.
    most: u64,
    /// For each seq, how many bytes of ring there are before it at most.
    starts: Vec<u64>,
    /// For each seq, how many bytes of ring there are before it at least.
    least_starts: Vec<u64>,
    /// Moments of receipts, and the highest seq acknowledged up to each.
    acknowledged: Vec<(u64, u64)>,
    /// Moments at which appends were begun, and the highest seq of those begun up to each.
    begun: Vec<(u64, u64)>,
    /// Moments at which appends were begun whose seqs, if they got any, nobody knows, and how many messages these are
    /// up to each.
    unplaced: Vec<(u64, u64)>,
}

/// A batch that somebody began to append.
pub(super) struct Append<'h> {
    pub(super) writer: u32,
    pub(super) batch: u32,
    pub(super) began: u64,
    pub(super) parts: &'h [Part],
    pub(super) outcome: Outcome,
    /// The seq of its first message, once that is known.
    pub(super) first: Option<u64>,
}

/// What its writer knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has a receipt.
    Acknowledged {
        at: u64,
        time: u64,
        clock: Option<u64>,
    },
    /// It was told that nothing was appended.
    Refused,
    /// It died before it knew, or was told of a failure that leaves it open.
    Open,
}

/// A message at its seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The number of its append in the book.
    pub(super) append: usize,
    pub(super) part: u8,
    pub(super) time: Option<u64>,
}

impl<'h> Book<'h> {
    /// Writes the book, and finds what contradicts itself meanwhile.
    pub(super) fn of(law: &Law, lives: &'h [Life], findings: &mut Findings) -> Book<'h> {
        let mut book = Book {
            appends: Vec::new(),
            by_name: HashMap::new(),
            seqs: vec![None],
            most: lives
                .iter()
                .map(|life| messages_begun(life, law.pool))
                .sum(),
            starts: Vec::new(),
            least_starts: Vec::new(),
            acknowledged: Vec::new(),
            begun: Vec::new(),
            unplaced: Vec::new(),
        };
        for life in lives {
            for record in records_of(life, law.pool) {
                book.enter_append(life.number, record, findings);
            }
        }
        for life in lives {
            for record in records_of(life, law.pool) {
                book.enter_read(record, findings);
            }
        }
        book.measure();
        book
    }

    fn enter_append(&mut self, writer: u32, record: &'h Record, findings: &mut Findings) {
        match record {
            Record::Begun { at, batch, parts } => {
                self.by_name.insert((writer, *batch), self.appends.len());
                let (outcome, first) = (Outcome::Open, None);
                self.appends.push(Append {
                    writer,
                    batch: *batch,
                    began: *at,
                    parts,
                    outcome,
                    first,
                });
            }
            Record::Appended {
                at,
                first,
                last,
                time,
                clock,
            } => {
                let Some(append) = self.appends.last_mut() else {
                    return;
                };
                append.outcome = Outcome::Acknowledged {
                    at: *at,
                    time: *time,
                    clock: *clock,
                };
                let (number, count) = (
                    self.appends.len() - 1,
                    last.wrapping_sub(*first).wrapping_add(1),
                );
                let parts = self.appends[number].parts.len() as u64;
                findings.unless(count == parts, Rule::Once, || {
                    format!("a receipt for {first} to {last} came for {parts} messages")
                });
                self.place(number, *first, Some(*time), findings);
            }
            Record::Refused { kind, seq, .. } => {
                let Some(append) = self.appends.last_mut() else {
                    return;
                };
                append.outcome = match (kind.as_str(), seq) {
                    ("Busy" | "NotFound" | "Usage" | "Permission", None) => Outcome::Refused,
                    _ => Outcome::Open,
                };
            }
            _ => {}
        }
    }

    fn enter_read(&mut self, record: &Record, findings: &mut Findings) {
        let Record::Read {
            at,
            seq,
            writer,
            batch,
            part,
            digest,
            time,
            ..
        } = *record
        else {
            return;
        };
        let name = || format!("message {seq}, which says it is {writer}'s part {part} of {batch},");
        let Some(&number) = self.by_name.get(&(writer, batch)) else {
            return findings.add(Rule::Content, format!("{} was never begun", name()));
        };
        let append = &self.appends[number];
        let (first, known) = (seq.checked_sub(part.into()), append.first);
        let is_same = append
            .parts
            .get(usize::from(part))
            .is_some_and(|part| part.digest == digest);
        findings.unless(append.began <= at, Rule::Unfounded, || {
            format!("{} was read before it was begun", name())
        });
        findings.unless(append.outcome != Outcome::Refused, Rule::Refused, || {
            format!("{} was refused", name())
        });
        match first {
            _ if !is_same => findings.add(
                Rule::Content,
                format!("{} is not what was appended", name()),
            ),
            None => findings.add(Rule::Whole, format!("{} has no room for its batch", name())),
            Some(first) if known.is_some_and(|known| known != first) => {
                findings.add(Rule::Once, format!("{} belongs to {known:?} on", name()));
            }
            Some(first) => {
                self.place(number, first, None, findings);
                self.enter_time(number, seq, time, findings);
            }
        }
    }

    fn enter_time(&mut self, number: usize, seq: u64, time: u64, findings: &mut Findings) {
        let known = self.seqs.get_mut(seq as usize).and_then(Option::as_mut);
        if let Some(known) = known.filter(|known| known.append == number) {
            let before = known.time.replace(time);
            let is_same = before.is_none_or(|before| before == time);
            findings.unless(is_same, Rule::Time, || {
                format!("{seq} is of {time}, and was of {before:?}")
            });
        }
    }

    /// Enters that a batch begins at a seq.
    fn place(&mut self, number: usize, first: u64, time: Option<u64>, findings: &mut Findings) {
        let append = &mut self.appends[number];
        if append.first.replace(first) == Some(first) {
            return;
        }
        let (writer, batch, parts) = (append.writer, append.batch, append.parts.len() as u64);
        let end = first.saturating_add(parts);
        if end > self.most + 1 {
            append.first = None;
            let text = format!(
                "{first} is of {writer}'s batch {batch}, and {} messages were begun",
                self.most
            );
            return findings.add(Rule::Nobody, text);
        }
        if self.seqs.len() < end as usize {
            self.seqs.resize(end as usize, None);
        }
        for (part, seq) in (0..).zip(first..end) {
            let known = Known {
                append: number,
                part,
                time,
            };
            if let Some(other) = self.seqs[seq as usize].replace(known) {
                let other = &self.appends[other.append];
                findings.add(
                    Rule::OneSeq,
                    format!(
                        "{seq} is of {writer}'s batch {batch}, and of {}'s {}",
                        other.writer, other.batch
                    ),
                );
            }
        }
    }

    /// Works out where in the ring messages are, and what was there when.
    fn measure(&mut self) {
        let (mut most, mut least) = (0, 0);
        for seq in 0..=self.seqs.len() as u64 {
            self.starts.push(most);
            self.least_starts.push(least);
            let bytes = self.at(seq).map(|known| self.part(known).bytes);
            most += bytes.unwrap_or(most_frame_bytes());
            least += bytes.unwrap_or(0);
        }
        let mut acknowledged = Vec::new();
        let mut begun = Vec::new();
        for append in &self.appends {
            let parts = append.parts.len() as u64;
            let Some(first) = append.first else {
                if append.outcome == Outcome::Open {
                    self.unplaced.push((append.began, parts));
                }
                continue;
            };
            let last = first + parts - 1;
            begun.push((append.began, last));
            if let Outcome::Acknowledged { at, .. } = append.outcome {
                acknowledged.push((at, last));
            }
        }
        self.acknowledged = up_to_each(acknowledged, u64::max);
        self.begun = up_to_each(begun, u64::max);
        self.unplaced = up_to_each(std::mem::take(&mut self.unplaced), |a, b| a + b);
    }

    pub(super) fn at(&self, seq: u64) -> Option<&Known> {
        self.seqs.get(usize::try_from(seq).ok()?)?.as_ref()
    }

    pub(super) fn time_at(&self, seq: u64) -> Option<u64> {
        self.at(seq)?.time
    }

    fn part(&self, known: &Known) -> Part {
        self.appends[known.append].parts[usize::from(known.part)]
    }

    /// The highest seq that anybody has told of.
    pub(super) fn newest(&self) -> u64 {
        self.seqs.len() as u64 - 1
    }

    /// Whether the message ends its batch, as far as it is known.
    pub(super) fn ends_batch(&self, seq: u64) -> bool {
        self.at(seq).is_none_or(|known| {
            usize::from(known.part) + 1 == self.appends[known.append].parts.len()
        })
    }

    /// The highest seq acknowledged before a moment.
    pub(super) fn acknowledged_before(&self, at: u64) -> u64 {
        value_before(&self.acknowledged, at)
    }

    /// The highest seq that may have been there at a moment.
    pub(super) fn begun_by(&self, at: u64) -> u64 {
        let mut seq = value_before(&self.begun, at + 1);
        // Whoever wrote what nobody has seen may have begun it by then.
        while seq < self.newest() && self.at(seq + 1).is_none() {
            seq += 1;
        }
        // Those at the very end, which are known by nothing at all.
        if seq == self.newest() {
            seq + value_before(&self.unplaced, at + 1)
        } else {
            seq
        }
    }

    /// Whether writers may have begun to overwrite a seq by some moment. A writer that dies claims no more than one
    /// batch beyond what is there.
    pub(super) fn is_lapped(&self, law: &Law, seq: u64, at: u64) -> bool {
        if seq == 0 || seq > self.newest() {
            return seq == 0;
        }
        let begun = self.begun_by(at);
        let end = self.starts[(begun.min(self.newest()) + 1) as usize];
        let unseen = begun.saturating_sub(self.newest()) + MOST_PARTS;
        end + unseen * most_frame_bytes() - self.starts[seq as usize] > law.ring
    }

    /// Where in the ring a message begins, and ends for the first time if it wraps, if the sizes of all before it are known.
    pub(super) fn place_in(&self, ring: u64, seq: u64) -> Option<(u64, u64)> {
        let (most, start) = (
            self.starts.get(seq as usize)?,
            *self.least_starts.get(seq as usize)?,
        );
        // Nothing is known of what is at seq 0, and it is as long as the header of a frame.
        let begins = (FRAME_HEADER_SIZE + start) % ring;
        let bytes = self.part(self.at(seq)?).bytes;
        (*most == start + self.starts[1]).then_some((begins, ring.min(begins + bytes)))
    }

    /// How many messages were begun whose seqs, if they got any, nobody knows.
    pub(super) fn unplaced(&self) -> u64 {
        self.unplaced.last().map_or(0, |(_, messages)| *messages)
    }

    /// How many messages there are whose writers do not know what became of them.
    pub(super) fn open(&self) -> u64 {
        let open = self
            .appends
            .iter()
            .filter(|append| append.outcome == Outcome::Open);
        open.map(|append| append.parts.len() as u64).sum()
    }

    /// How often the ring was filled, at least.
    pub(super) fn laps(&self, law: &Law) -> u64 {
        self.least_starts.last().map_or(0, |bytes| bytes / law.ring)
    }
}

/// The records of a process that are about this pool.
pub(super) fn records_of(life: &Life, pool: u128) -> impl Iterator<Item = &Record> {
    // Who never opened a pool failed with the one that it was started for.
    let mut about = life.pool;
    life.records.iter().filter(move |record| {
        if let Record::Opened { pool } = record {
            about = *pool;
        }
        about == pool
    })
}

fn messages_begun(life: &Life, pool: u128) -> u64 {
    let begun = records_of(life, pool).map(|record| match record {
        Record::Begun { parts, .. } => parts.len() as u64,
        _ => 0,
    });
    begun.sum()
}

/// For each moment what its value and all before it come to.
fn up_to_each(mut moments: Vec<(u64, u64)>, add: fn(u64, u64) -> u64) -> Vec<(u64, u64)> {
    moments.sort_unstable();
    let mut sum = 0;
    for (_, value) in &mut moments {
        sum = add(sum, *value);
        *value = sum;
    }
    moments
}

fn value_before(moments: &[(u64, u64)], at: u64) -> u64 {
    let count = moments.partition_point(|(moment, _)| *moment < at);
    count.checked_sub(1).map_or(0, |last| moments[last].1)
}
