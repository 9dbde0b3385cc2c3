//! What a person sees at the end of a run.

use std::collections::BTreeMap;

use anstream::println;
use anstyle::{AnsiColor, Style};

use super::Report;
use crate::matrix::Cell;
use crate::pattern::short;
use crate::suite::{CaseReport, Verdict};
use crate::surface::Kind;

const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const FAINT: Style = Style::new().dimmed();

/// Prints a summary of the matrix, what failed, and one line that says it all.
///
/// What failed comes late, where the end of a log still has it.
pub(crate) fn print(report: &Report, whole: bool) {
    if whole {
        print_matrix(report);
        for problem in &report.problems {
            println!("{BAD}problem{BAD:#} {problem}");
        }
    }
    for case in report.cases.iter().filter(|case| case.is_bad()) {
        explain(case);
    }
    let bad = report.cases.iter().filter(|case| case.is_bad()).count();
    let live = report.cases.iter().filter(|case| case.live).count();
    let runs: usize = report
        .cases
        .iter()
        .map(|case| {
            case.surfaces
                .values()
                .filter(|verdict| verdict.outcome().is_some())
                .count()
        })
        .sum();
    let differences = report
        .cases
        .iter()
        .filter(|case| case.difference.is_some())
        .count();
    println!(
        "{} cases ({live} with a live follower or several processes), {runs} runs on {} in {:.0} s: \
         {bad} bad, {differences} parity differences, {} problems",
        report.cases.len(),
        report.surfaces.join(", "),
        report.seconds,
        report.problems.len(),
    );
    match report.is_good() {
        true => println!("{GOOD}conformance holds{GOOD:#}"),
        false => println!("{BAD}conformance does not hold{BAD:#}"),
    }
}

/// Clauses by document and surface: how many are shown, not applicable, pending, blank.
fn print_matrix(report: &Report) {
    println!(
        "\n{:<12}{}",
        "clauses",
        columns()
            .map(|name| format!("{name:>22}"))
            .collect::<String>()
    );
    let mut documents: Vec<&str> = report
        .matrix
        .rows
        .iter()
        .map(|row| row.clause.spec)
        .collect();
    documents.dedup();
    for document in documents {
        let rows = || {
            report
                .matrix
                .rows
                .iter()
                .filter(move |row| row.clause.spec == document)
        };
        let cells = columns().map(|name| counted(rows().filter_map(|row| row.cells.get(name))));
        println!(
            "{document:<12}{}",
            cells.map(|text| format!("{text:>22}")).collect::<String>()
        );
    }
    println!(
        "{FAINT}{:<12}shown / not applicable / pending, and ! blank or failed{FAINT:#}",
        ""
    );
    println!(
        "\n{:<12}{}",
        "error kinds",
        columns()
            .map(|name| format!("{name:>22}"))
            .collect::<String>()
    );
    for row in &report.kinds {
        let cells = columns().map(|name| match row.cells.get(name) {
            Some(Cell::Cases { count }) => format!("{count} cases"),
            Some(Cell::NotApplicable { .. }) => "n/a".into(),
            Some(Cell::Pending { .. }) => "pending".into(),
            _ => "!".into(),
        });
        println!(
            "{:<12}{}",
            row.kind,
            cells.map(|text| format!("{text:>22}")).collect::<String>()
        );
    }
    let mut topics: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for case in &report.cases {
        let count = topics
            .entry(case.name.split('/').next().unwrap_or_default())
            .or_default();
        count.0 += 1;
        count.1 += usize::from(case.live);
    }
    let topics = topics
        .iter()
        .map(|(topic, (all, live))| format!("{topic} {all} ({live})"));
    println!(
        "\ntopics, with cases that are live: {}\n",
        topics.collect::<Vec<_>>().join(", ")
    );
}

fn columns() -> impl Iterator<Item = &'static str> {
    Kind::OWN.into_iter().map(Kind::name)
}

fn counted<'a>(cells: impl Iterator<Item = &'a Cell>) -> String {
    let mut counts = [0; 4];
    for cell in cells {
        let i = match cell {
            Cell::Cases { .. } => 0,
            Cell::NotApplicable { .. } => 1,
            Cell::Pending { .. } => 2,
            Cell::Failed | Cell::Blank => 3,
        };
        counts[i] += 1;
    }
    let [shown, not, pending, bad] = counts;
    let bad = if bad > 0 {
        format!(" !{bad}")
    } else {
        String::new()
    };
    format!("{shown} / {not} / {pending}{bad}")
}

fn explain(case: &CaseReport) {
    println!("\n{BAD}{}{BAD:#}  {}", case.name, case.title);
    for (surface, verdict) in &case.surfaces {
        match verdict {
            Verdict::Failed(outcome) => {
                let Some(failure) = &outcome.failure else {
                    continue;
                };
                println!("  {surface}: step {}: {}", failure.step, failure.why);
                println!("    request   {}", short(&failure.request));
                println!("    expected  {}", short(&failure.expected));
                println!("    observed  {}", short(&failure.observed));
                println!("    clauses   {}", case.clauses.join(" "));
                println!(
                    "    alone     make conformance CASE={} ARGS=\"--surface {surface}\"",
                    case.name
                );
            }
            Verdict::ReasonGone { reason } => {
                println!("  {surface}: passes, though it is said: {reason}")
            }
            _ => {}
        }
    }
    if let Some(difference) = &case.difference {
        let [one, other] = difference.surfaces;
        println!("  {one} and {other} differ at step {}", difference.step);
        println!("    {one:<10}  {}", short(&difference.observed[0]));
        println!("    {other:<10}  {}", short(&difference.observed[1]));
        println!("    clauses     {}", case.clauses.join(" "));
        println!("    alone       make conformance CASE={}", case.name);
    }
}
