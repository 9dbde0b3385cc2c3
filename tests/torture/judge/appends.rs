//! Judges seqs and times, whoever told of them.

use super::book::{Append, Book, Outcome};
use super::{Findings, Law, Rule};

pub(super) fn judge(law: &Law, book: &Book<'_>, findings: &mut Findings) {
    judge_order(book, findings);
    judge_seqs(book, findings);
    judge_times(book, findings);
    judge_clocks(book, findings);
    judge_void(law, book, findings);
    judge_cut(law, book, findings);
}

fn judge_order(book: &Book<'_>, findings: &mut Findings) {
    for append in &book.appends {
        let Some(first) = append.first else { continue };
        let before = book.acknowledged_before(append.began);
        findings.unless(first > before, Rule::Order, || {
            format!(
                "{} got seq {first}, and {before} was acknowledged before",
                name(append)
            )
        });
    }
}

fn judge_seqs(book: &Book<'_>, findings: &mut Findings) {
    let unknown = (1..=book.newest())
        .filter(|seq| book.at(*seq).is_none())
        .count() as u64;
    let unplaced = book.unplaced();
    findings.unless(unknown <= unplaced, Rule::Nobody, || {
        format!("{unknown} seqs are of nobody, with {unplaced} messages left open")
    });
}

fn judge_times(book: &Book<'_>, findings: &mut Findings) {
    let mut before = (0, 0);
    for seq in 1..=book.newest() {
        let Some(time) = book.time_at(seq) else {
            continue;
        };
        let (earlier, earlier_time) = before;
        findings.unless(time >= earlier_time, Rule::Time, || {
            format!("{seq} is of {time}, and {earlier} of {earlier_time}")
        });
        let is_same_batch = |a: u64, b: u64| match (book.at(a), book.at(b)) {
            (Some(a), Some(b)) => a.append == b.append,
            _ => false,
        };
        findings.unless(
            time == earlier_time || !is_same_batch(earlier, seq),
            Rule::Time,
            || format!("{earlier} and {seq} are of one batch, and not of one time"),
        );
        before = (seq, time);
    }
}

fn judge_clocks(book: &Book<'_>, findings: &mut Findings) {
    for append in &book.appends {
        let (
            Some(first),
            Outcome::Acknowledged {
                time,
                clock: Some(clock),
                ..
            },
        ) = (append.first, append.outcome)
        else {
            continue;
        };
        let holds = match book.time_at(first - 1) {
            Some(before) => time == before.max(clock),
            None => time >= clock,
        };
        findings.unless(holds, Rule::Clock, || {
            let before = book.time_at(first - 1);
            format!("{first} is of {time} by a clock at {clock}, after {before:?}")
        });
    }
}

fn judge_void(law: &Law, book: &Book<'_>, findings: &mut Findings) {
    let Some(void) = law.void else { return };
    for append in &book.appends {
        let is_acknowledged = matches!(append.outcome, Outcome::Acknowledged { .. });
        findings.unless(!is_acknowledged || append.began <= void, Rule::Void, || {
            let late = append.began - void;
            format!(
                "{} was acknowledged, and begun {late} ns too late for that",
                name(append)
            )
        });
    }
}

fn judge_cut(law: &Law, book: &Book<'_>, findings: &mut Findings) {
    let Some(cut) = law.cut else { return };
    for append in &book.appends {
        let is_acknowledged = matches!(append.outcome, Outcome::Acknowledged { .. });
        let Some(first) = append
            .first
            .filter(|_| is_acknowledged && append.began > cut.done)
        else {
            continue;
        };
        for seq in first..first + append.parts.len() as u64 {
            let place = book.place_in(law.ring, seq);
            let is_there = place.is_none_or(|(_, end)| end <= cut.ring_left);
            findings.unless(is_there, Rule::Void, || {
                let left = cut.ring_left;
                format!(
                    "{} was acknowledged at {place:?}, and {left} bytes of ring were left",
                    name(append)
                )
            });
        }
    }
}

fn name(append: &Append<'_>) -> String {
    format!("batch {} of {}", append.batch, append.writer)
}
