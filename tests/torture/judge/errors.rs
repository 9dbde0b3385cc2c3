//! Judges what failed, and how processes ended.

use super::book::records_of;
use super::{Findings, Law, Rule};
use crate::actor::{End, Life, Role};
use crate::reader::ONCE;
use crate::record::Record;

pub(super) fn judge(law: &Law, lives: &[Life], findings: &mut Findings) {
    for life in lives {
        for record in records_of(life, law.pool) {
            judge_record(law, life, record, findings);
        }
        if life.pool == law.pool {
            judge_end(life, findings);
        }
    }
}

fn judge_record(law: &Law, life: &Life, record: &Record, findings: &mut Findings) {
    let who = format!("{:?} {}", life.role, life.number);
    match record {
        Record::Damage { at, text } => {
            let is_due = law.damaged.is_some_and(|damaged| damaged <= *at);
            findings.unless(is_due, Rule::Corrupt, || format!("{who}: verify: {text}"));
        }
        Record::Odd { text } => findings.add(Rule::Odd, format!("{who}: {text}")),
        // That somebody else has the lock is always possible.
        Record::Refused { kind, .. } if kind == "Busy" => {}
        Record::Refused { at, kind, text, .. } | Record::Failed { at, kind, text } => {
            let text = || format!("{who}: {text}");
            let since = |moment: Option<u64>| moment.is_some_and(|moment| moment <= *at);
            match kind.as_str() {
                "Corrupt" => findings.unless(since(law.damaged), Rule::Corrupt, text),
                "NotFound" => findings.unless(since(law.removed), Rule::NotFound, text),
                _ => findings.add(Rule::Failed, format!("{kind}: {}", text())),
            }
        }
        _ => {}
    }
}

fn judge_end(life: &Life, findings: &mut Findings) {
    let has_failed = match life.records.last() {
        Some(Record::Failed { .. }) => true,
        Some(Record::Refused { kind, .. }) => kind != "Busy",
        _ => false,
    };
    let holds = match &life.end {
        End::Killed => true,
        End::Left => has_failed || life.role == Role::Reader(ONCE),
        End::Broke(_) | End::Stuck => false,
    };
    findings.unless(holds, Rule::Ended, || {
        format!(
            "{:?} {} ended: {:?}, after {:?}",
            life.role,
            life.number,
            life.end,
            life.records.last()
        )
    });
}
