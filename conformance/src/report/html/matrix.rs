//! Clauses, error kinds and surfaces.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{counted, link_case, prose};
use crate::clause::Level;
use crate::matrix::{Cell, Row};
use crate::report::Report;
use crate::surface::Kind;

pub(super) fn surfaces() -> impl Iterator<Item = &'static str> {
    Kind::OWN.into_iter().map(Kind::name)
}

/// The short text of a cell, the word of its style, and what it means.
fn symbol(cell: Option<&Cell>) -> (String, &'static str, String) {
    match cell {
        Some(Cell::Cases { count }) => (
            count.to_string(),
            "shown",
            format!("{} passed", counted(*count, "case")),
        ),
        Some(Cell::Failed) => ("✗".into(), "failed", "a case for it failed".into()),
        Some(Cell::NotApplicable { reason }) => {
            ("n/a".into(), "not", format!("not applicable: {reason}"))
        }
        Some(Cell::Pending { reason }) => {
            ("pending".into(), "pending", format!("pending: {reason}"))
        }
        Some(Cell::Blank) | None => (
            "blank".into(),
            "blank",
            "no case, and no reason for it".into(),
        ),
    }
}

fn is_bad(row: &Row) -> bool {
    row.cells
        .values()
        .any(|cell| matches!(cell, Cell::Failed | Cell::Blank))
}

/// Rows by something that they share, in the order of the specification.
fn grouped<'a>(rows: &[&'a Row], by: impl Fn(&Row) -> String) -> Vec<(String, Vec<&'a Row>)> {
    let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let name = by(row);
        match groups.iter_mut().find(|(other, _)| *other == name) {
            Some((_, group)) => group.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    groups
}

pub(super) fn render(report: &Report) -> Markup {
    let rows: Vec<&Row> = report.matrix.rows.iter().collect();
    let documents = grouped(&rows, |row| row.clause.spec.to_owned());
    html! {
        p {
            "A number says how many cases passed that show the clause there. "
            b { "n/a" } ": not applicable. "
            b { "pending" } ": still to be built. "
            b { "✗" } ": a case for it failed. "
            b { "blank" } ": no case and no reason. Every reason stands below the text of its clause."
        }
        (overview(&documents))
        @for (document, rows) in &documents {
            h3 id={ "spec-" (document) } { "spec/" (document) }
            @for (family, rows) in grouped(rows, |row| row.clause.family().to_owned()) {
                @let bad = rows.iter().filter(|row| is_bad(row)).count();
                details.family {
                    summary {
                        h4 { (family) }
                        " " (counted(rows.len(), "clause"))
                        @if bad > 0 { ", " strong.bad { "✗ " (bad) " with gaps or failures" } }
                    }
                    div.scroll {
                        table.clauses role="table" {
                            thead role="rowgroup" {
                                tr role="row" {
                                    th role="columnheader" scope="col" { "Clause" }
                                    @for name in surfaces() { th role="columnheader" scope="col" { (name) } }
                                }
                            }
                            tbody role="rowgroup" { @for row in rows { (line(row)) } }
                        }
                    }
                }
            }
        }
    }
}

/// How many clauses of each document are shown where.
fn overview(documents: &[(String, Vec<&Row>)]) -> Markup {
    let states = [
        ("shown", "shown"),
        ("n/a", "not"),
        ("pending", "pending"),
        ("✗", "failed"),
        ("blank", "blank"),
    ];
    html! {
        div.scroll tabindex="0" role="region" aria-label="Clauses by document" {
            table {
                thead {
                    tr {
                        th scope="col" { "Document" }
                        @for name in surfaces() { th scope="col" { (name) } }
                    }
                }
                tbody {
                    @for (document, rows) in documents {
                        tr {
                            th scope="row" { a href={ "#spec-" (document) } { (document) } br; small { (counted(rows.len(), "clause")) } }
                            @for name in surfaces() {
                                td {
                                    @for (word, class) in states {
                                        @let count = rows.iter().filter(|row| symbol(row.cells.get(name)).1 == class).count();
                                        @if count > 0 { div class={ "tally " (class) } { (count) " " (word) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn line(row: &Row) -> Markup {
    let clause = &row.clause;
    let id = &clause.id;
    let reasons = reasons(row);
    html! {
        tr id=(id) role="row" data-find=(id) {
            th role="rowheader" scope="row" {
                a.id href={ "#" (id) } { (id) }
                @if clause.level == Level::Should { " " small { "should" } }
                p { (prose(&clause.text)) }
                @if !row.elsewhere.is_empty() {
                    p.elsewhere { "Held by " @for (i, check) in row.elsewhere.iter().enumerate() { @if i > 0 { ", " } code { (check) } } }
                }
                @if !row.cases.is_empty() || !reasons.is_empty() {
                    details {
                        summary {
                            @if !row.cases.is_empty() { (counted(row.cases.len(), "case")) }
                            @if !row.cases.is_empty() && !reasons.is_empty() { ", " }
                            @if !reasons.is_empty() { (counted(reasons.len(), "reason")) }
                        }
                        ul id={ "cases-" (id) } {
                            @for case in &row.cases { li { (link_case(case)) } }
                            @for (reason, names) in &reasons { li { b { (names.join(", ")) } ": " (prose(reason)) } }
                        }
                    }
                }
            }
            @for name in surfaces() {
                @let (text, class, meaning) = symbol(row.cells.get(name));
                td role="cell" class=(class) title={ (name) ": " (meaning) } data-on=(name) {
                    @match row.cases.as_slice() {
                        [] => (text),
                        [case] if class == "shown" || class == "failed" => a href={ "#case-" (case) } { (text) },
                        _ => a href={ "#cases-" (id) } { (text) },
                    }
                }
            }
        }
    }
}

/// Why there is no case, with the surfaces that share the reason.
fn reasons(row: &Row) -> BTreeMap<String, Vec<&'static str>> {
    let mut reasons: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for name in surfaces() {
        let (_, class, meaning) = symbol(row.cells.get(name));
        if class != "shown" {
            reasons.entry(meaning).or_default().push(name);
        }
    }
    reasons
}

pub(super) fn kinds(report: &Report) -> Markup {
    let mut notes = BTreeSet::new();
    for row in &report.kinds {
        for name in surfaces() {
            let (_, class, meaning) = symbol(row.cells.get(name));
            if class != "shown" {
                notes.insert((row.kind, meaning));
            }
        }
    }
    html! {
        p { "How many cases met an error of each kind, on each surface." }
        div.scroll tabindex="0" role="region" aria-label="Error kinds by surface" {
            table {
                thead {
                    tr {
                        th scope="col" { "Kind" }
                        @for name in surfaces() { th scope="col" { (name) } }
                    }
                }
                tbody {
                    @for row in &report.kinds {
                        tr {
                            th scope="row" { (row.kind) }
                            @for name in surfaces() {
                                @let (text, class, meaning) = symbol(row.cells.get(name));
                                td class=(class) title=(meaning) { (text) }
                            }
                        }
                    }
                }
            }
        }
        @if !notes.is_empty() {
            details {
                summary { "Why there are none" }
                ul { @for (kind, meaning) in notes { li { b { (kind) } ": " (meaning) } } }
            }
        }
    }
}
