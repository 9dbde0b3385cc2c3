//! The page of a run: the machine, the table, the plots.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::report::{Report, Row, digits};

/// What the page is called.
pub(crate) const FILE: &str = "performance.md";
/// Where its plots are.
pub(crate) const PLOTS: &str = "performance";

/// What no benchmark can tell. Its first line is for whoever changes it.
const WHAT_DOMINATED: &str = include_str!("../../docs/what-dominated.md");

const HEAD: &str = "\
<!-- Written by `make bench ARGS=--docs`; not by hand. -->
# Performance

Each figure stands beside its floor: what the machine charges for the same work with nothing around it, measured in \
turns with the product in one run. Figures depend on the machine and ratios much less, so ratios are what is judged. \
Messages are 1 KB of JSON unless said.
";

const COLUMNS: &str = "\
| what | product | floor | unit | ratio | bar | |
|---|--:|--:|---|--:|---|---|
";

const PEER_HEAD: &str = "
## Peers

Message in, durable to the same degree, message out. A ratio is the product's time over the peer's, so below 1 the \
product is ahead.

| what | peer | product | peer | unit | ratio | |
|---|---|--:|--:|---|--:|---|
";

/// What the run of the peers left, if there was one.
#[derive(Default, Deserialize)]
pub(crate) struct Peers {
    #[serde(default)]
    command: String,
    #[serde(default)]
    commit: String,
    rows: Vec<PeerRow>,
    #[serde(default)]
    left_out: Vec<String>,
}

#[derive(Deserialize)]
struct PeerRow {
    operation: String,
    peer: String,
    product: f64,
    value: f64,
    unit: String,
    ratio: f64,
    ok: bool,
}

impl Peers {
    /// From the directory of reports; none if there is no report, or one of another form.
    pub(crate) fn read(dir: &Path) -> Peers {
        fs::read(dir.join("peers.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }
}

/// The page as Markdown.
pub(crate) fn render(report: &Report, peers: &Peers) -> String {
    let mut page = String::from(HEAD);
    let mut line = |text: String| {
        page.push_str(&text);
        page.push('\n');
    };
    line(String::new());
    machine(report).for_each(&mut line);
    line("\n## Against the floor\n".to_owned());
    line(COLUMNS.trim_end().to_owned());
    report.rows.iter().map(table_row).for_each(&mut line);
    if !report.figures.is_empty() {
        line("\n## Growth\n".to_owned());
        line(
            "Solid lines are the product, dashed ones the floor. All scales are logarithmic."
                .to_owned(),
        );
    }
    for figure in &report.figures {
        line(format!(
            "\n![{}]({PLOTS}/{})",
            figure.title,
            figure.file_name()
        ));
    }
    if !peers.rows.is_empty() {
        page.push_str(&peer_section(peers));
    }
    let (_, written_by_hand) = WHAT_DOMINATED.split_once('\n').unwrap_or_default();
    page + "\n" + written_by_hand
}

fn machine(report: &Report) -> impl Iterator<Item = String> {
    let machine = &report.machine;
    let facts = [
        (
            "CPU",
            format!(
                "{}, {} cores, {}",
                machine.cpu, machine.cores, machine.memory
            ),
        ),
        ("kernel", format!("Linux {}", machine.kernel)),
        ("file system", machine.file_system.clone()),
        ("commit", machine.commit.clone()),
        ("command", format!("`{}`", report.command)),
    ];
    let head = ["| | |".to_owned(), "|---|---|".to_owned()];
    let warning = report
        .quick
        .then(|| "\nA glance with little data: good for no conclusion.".to_owned());
    let rows = facts
        .into_iter()
        .map(|(name, value)| format!("| {name} | {value} |"));
    head.into_iter().chain(rows).chain(warning)
}

fn table_row(row: &Row) -> String {
    let number = |value: Option<f64>, unit: &str| {
        value.map_or_else(String::new, |value| format!("{value:.2}{unit}"))
    };
    let mut verdict = if row.ok {
        String::new()
    } else {
        "**missed**".to_owned()
    };
    if let Some(note) = &row.note {
        if !verdict.is_empty() {
            verdict.push_str("; ");
        }
        verdict.push_str(note);
    }
    format!(
        "| {} | {} | {} | {} | {} | {} | {verdict} |",
        row.name.replace('|', "\\|"),
        digits(row.value),
        row.floor.map_or_else(String::new, digits),
        row.unit,
        number(row.ratio, "x"),
        row.bar_text(),
    )
}

fn peer_section(peers: &Peers) -> String {
    let mut text = PEER_HEAD.to_owned();
    for row in &peers.rows {
        let verdict = if row.ok { "" } else { "**behind**" };
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "| {} | {} | {:.2} | {:.2} | {} | {:.2}x | {verdict} |",
            row.operation, row.peer, row.product, row.value, row.unit, row.ratio
        );
    }
    for word in &peers.left_out {
        _ = writeln!(text, "\nLeft out: {word}");
    }
    _ = writeln!(
        text,
        "\nMeasured by `{}` at commit {}.",
        peers.command, peers.commit
    );
    text
}
