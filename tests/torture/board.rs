//! Adds up what the processes report, and compares it: a seq has one identity, whoever speaks of it.

use std::collections::HashMap;

use crate::reader::KINDS;
use crate::report::Report;

/// How many findings are told in full.
const TOLD: usize = 20;

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The writer process with this number.
    Writer(u32),
    /// The reader of this kind.
    Reader(usize),
}

/// The sums.
#[derive(Default)]
pub(crate) struct Board {
    /// For each seq, writer and count of its message; 0 where nobody has spoken of it yet.
    identities: Vec<u64>,
    /// For each writer, the count and the seq that its next receipt may not be below.
    receipts: HashMap<u32, (u32, u64)>,
    /// Messages that a writer holds a receipt for.
    pub(crate) acknowledged: u64,
    /// The highest seq in any receipt.
    pub(crate) newest: u64,
    /// Messages read, by kind of reader.
    pub(crate) read: [u64; KINDS.len()],
    /// Gaps that readers were told of.
    pub(crate) gaps: u64,
    /// Messages in these gaps.
    pub(crate) missed: u64,
    /// Writers killed.
    pub(crate) kills: u64,
    /// Reads of what must not be read.
    pub(crate) wrong: u64,
    /// Reports of a damaged pool.
    pub(crate) corrupt: u64,
    /// Anything else that should not have happened.
    pub(crate) failed: u64,
    /// The first findings of the last three kinds.
    pub(crate) findings: Vec<String>,
}

impl Board {
    /// Enters a report.
    pub(crate) fn enter(&mut self, from: Source, report: Report) {
        match (report, from) {
            (Report::Appended { seq, count, parts }, Source::Writer(writer)) => {
                self.enter_receipt(writer, seq, count, parts);
            }
            (Report::Read { seq, writer, count }, Source::Reader(kind)) => {
                self.read[kind] += 1;
                self.identify(from, seq, writer, count);
            }
            (Report::Gap { missed }, _) => {
                self.gaps += 1;
                self.missed += missed;
            }
            (Report::Wrong(what), _) => self.find_wrong(from, &what),
            (Report::Corrupt(what), _) => {
                self.corrupt += 1;
                self.find("corrupt", from, &what);
            }
            (Report::Failed(what), _) => self.find_failed(from, &what),
            (other, _) => self.find_failed(from, &format!("an odd report: {other}")),
        }
    }

    /// Enters that a seq has this identity, which everybody has to agree on.
    pub(crate) fn identify(&mut self, from: Source, seq: u64, writer: u32, count: u32) {
        let index = usize::try_from(seq).unwrap_or(usize::MAX);
        if index >= self.identities.len() {
            self.identities.resize(index + 1, 0);
        }
        let identity = u64::from(writer) << 32 | u64::from(count);
        match std::mem::replace(&mut self.identities[index], identity) {
            0 => {}
            known if known == identity => {}
            known => self.find_wrong(
                from,
                &format!(
                    "message {seq} is number {count} of {writer}, and was number {} of {}",
                    known & u64::from(u32::MAX),
                    known >> 32
                ),
            ),
        }
    }

    /// Enters a failure that was not reported but seen.
    pub(crate) fn find_failed(&mut self, from: Source, what: &str) {
        self.failed += 1;
        self.find("failed", from, what);
    }

    /// Enters a wrong read.
    pub(crate) fn find_wrong(&mut self, from: Source, what: &str) {
        self.wrong += 1;
        self.find("wrong", from, what);
    }

    fn enter_receipt(&mut self, writer: u32, seq: u64, count: u32, parts: u8) {
        let end = (count + u32::from(parts), seq + u64::from(parts));
        let (due_count, least_seq) = self.receipts.insert(writer, end).unwrap_or_default();
        if count != due_count || seq < least_seq {
            let what = format!("a receipt for seq {seq}, count {count}, came after {least_seq}");
            self.find_wrong(Source::Writer(writer), &what);
        }
        for part in 0..u32::from(parts) {
            let from = Source::Writer(writer);
            self.identify(from, seq + u64::from(part), writer, count + part);
        }
        self.acknowledged += u64::from(parts);
        self.newest = self.newest.max(end.1 - 1);
    }

    fn find(&mut self, what: &str, from: Source, text: &str) {
        if self.findings.len() < TOLD {
            let from = match from {
                Source::Writer(writer) => format!("writer {writer}"),
                Source::Reader(kind) => format!("reader `{}`", KINDS[kind]),
            };
            self.findings.push(format!("{what}, {from}: {text}"));
        }
    }
}
