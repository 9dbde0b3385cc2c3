//! What has been done so far.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::judge::{Finding, Rule, Verdict};
use crate::record::Record;

/// How many findings are told in full.
const TOLD: usize = 20;

/// Counts, and what was found to be wrong.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// How many pools met their end, or the end of their time.
    pub(crate) pools: u64,
    /// Messages that a writer has a receipt for.
    pub(crate) acknowledged: u64,
    /// Messages whose writers do not know what became of them.
    pub(crate) unacknowledged: u64,
    /// Appends that were refused because somebody else had the lock.
    pub(crate) busy: u64,
    pub(crate) reads: u64,
    /// Reads while a writer was stopped that had the lock.
    pub(crate) beside: u64,
    pub(crate) gaps: u64,
    /// Messages in these gaps.
    pub(crate) missed: u64,
    pub(crate) laps: u64,
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    /// Stops of writers that had the lock.
    pub(crate) holders: u64,
    pub(crate) truncations: u64,
    pub(crate) deletions: u64,
    pub(crate) replacements: u64,
    /// Pools that could not be made because the disk was full.
    pub(crate) full: u64,
    /// Receipts with a clock that is behind the one before.
    pub(crate) clock_steps: u64,
    /// Errors of the kind that what was done to a pool has to bring.
    pub(crate) due_errors: u64,
    /// Rules broken, but for the next.
    pub(crate) wrong: u64,
    /// Reports of damage that nobody did.
    pub(crate) corrupt: u64,
    pub(crate) findings: Vec<String>,
}

impl Tally {
    /// Counts what a process did.
    pub(crate) fn note(&mut self, record: &Record) {
        match record {
            Record::Appended { first, last, .. } => {
                self.acknowledged += last.wrapping_sub(*first) + 1
            }
            Record::Refused { kind, .. } if kind == "Busy" => self.busy += 1,
            Record::Refused { .. } | Record::Failed { .. } => self.due_errors += 1,
            Record::Read { .. } => self.reads += 1,
            Record::Gap { first, last, .. } => {
                self.gaps += 1;
                self.missed += last.saturating_sub(*first) + 1;
            }
            _ => {}
        }
    }

    /// Enters what a pool's history came to.
    pub(crate) fn enter(&mut self, verdict: Verdict) {
        self.pools += 1;
        self.laps += verdict.laps;
        self.unacknowledged += verdict.open;
        verdict
            .findings
            .iter()
            .for_each(|finding| self.find(finding));
    }

    /// Enters one thing that is wrong.
    pub(crate) fn find(&mut self, finding: &Finding) {
        match finding.rule {
            Rule::Corrupt => self.corrupt += 1,
            _ => self.wrong += 1,
        }
        if self.findings.len() < TOLD {
            self.findings.push(finding.to_string());
        }
    }

    /// Adds another.
    pub(crate) fn add(&mut self, other: Tally) {
        let theirs = other.counts();
        for (ours, (_, theirs)) in self.counts_mut().into_iter().zip(theirs) {
            *ours += theirs;
        }
        let room = TOLD.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
    }

    /// Everything that is counted, and what it is called.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 20] {
        let mut copy = self.clone();
        let counts = copy.counts_mut().map(|count| *count);
        let mut names = NAMES.iter().zip(counts);
        std::array::from_fn(|_| names.next().map_or(("", 0), |(name, count)| (*name, count)))
    }

    fn counts_mut(&mut self) -> [&mut u64; 20] {
        [
            &mut self.pools,
            &mut self.acknowledged,
            &mut self.unacknowledged,
            &mut self.busy,
            &mut self.reads,
            &mut self.beside,
            &mut self.gaps,
            &mut self.missed,
            &mut self.laps,
            &mut self.kills,
            &mut self.stops,
            &mut self.holders,
            &mut self.truncations,
            &mut self.deletions,
            &mut self.replacements,
            &mut self.full,
            &mut self.clock_steps,
            &mut self.due_errors,
            &mut self.wrong,
            &mut self.corrupt,
        ]
    }
}

const NAMES: [&str; 20] = [
    "pools",
    "acknowledged",
    "unacknowledged",
    "busy",
    "reads",
    "reads beside a stopped holder",
    "gaps",
    "missed",
    "laps",
    "kills",
    "stops",
    "stops with the lock",
    "truncations",
    "deletions",
    "replacements",
    "disk full",
    "clocks set back",
    "due errors",
    "wrong",
    "corrupt",
];

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        let told = counts
            .iter()
            .filter(|(name, count)| *count > 0 && !["wrong", "corrupt"].contains(name));
        let told: Vec<String> = told
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        write!(
            f,
            "{}; wrong = {}, corrupt = {}",
            told.join(", "),
            self.wrong,
            self.corrupt
        )
    }
}
