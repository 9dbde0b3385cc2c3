//! One page that holds everything, in itself.

mod cases;
mod matrix;
mod shown;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use regex::Regex;
use serde_json::Value;

use super::Report;
use crate::observe::agree;
use crate::runner::Failure;
use crate::suite::{CaseReport, Difference, Verdict};
use cases::Story;
use shown::{MOST, Shown};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What a browser of a phone opens without complaint. A page that would be longer shows less of each observation.
const LONGEST: usize = 7 << 20;

/// Of so many problems the page shows all at once.
const PROBLEMS: usize = 40;

static CLAUSE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[A-Z]+-[0-9]+\b").expect("a fixed expression"));

pub(crate) fn render(report: &Report) -> String {
    let stories: Vec<Story> = report.cases.iter().map(Story::of).collect();
    let mut limit = MOST;
    loop {
        let text = page(report, &stories, limit).into_string();
        if text.len() <= LONGEST || limit <= 64 {
            return text;
        }
        limit /= 2;
    }
}

fn page(report: &Report, stories: &[Story], limit: usize) -> Markup {
    let whole = !report.matrix.rows.is_empty();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (mark(report)) " Plasmite conformance" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the results" }
                header { h1 { "Plasmite conformance" } (headline(report, whole)) }
                nav aria-label="Sections" {
                    ul {
                        @if !report.is_good() { li { a href="#wrong" { "What is wrong" } } }
                        @if whole { li { a href="#matrix" { "Clauses" } } li { a href="#kinds" { "Error kinds" } } }
                        li { a href="#cases" { "Cases" } }
                    }
                }
                form hidden role="search" {
                    label for="find" { "Find clauses and cases " output #found {} }
                    input #find type="search" autocomplete="off" placeholder="MSG-7, or words of a title";
                }
                main #main {
                    @if !report.is_good() { section #wrong { h2 { "What is wrong" } (wrong(report, limit)) } }
                    @if whole {
                        section #matrix { h2 { "Clauses and surfaces" } (matrix::render(report)) }
                        section #kinds { h2 { "Error kinds" } (matrix::kinds(report)) }
                    }
                    section #cases { h2 { "Cases" } (cases::render(stories, limit, whole)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn mark(report: &Report) -> &'static str {
    if report.is_good() { "✓" } else { "✗" }
}

/// What was run, when, and the verdict in words.
fn headline(report: &Report, whole: bool) -> Markup {
    let bad = report.cases.iter().filter(|case| case.is_bad()).count();
    let live = report.cases.iter().filter(|case| case.live).count();
    let differences = report
        .cases
        .iter()
        .filter(|case| case.difference.is_some())
        .count();
    let verdicts = || report.cases.iter().flat_map(|case| case.surfaces.values());
    let runs = verdicts()
        .filter(|verdict| verdict.outcome().is_some())
        .count();
    let verdict = match (report.is_good(), whole) {
        (true, true) => "Conformance holds",
        (true, false) => "Every case that was run holds",
        (false, true) => "Conformance does not hold",
        (false, false) => "Not every case that was run holds",
    };
    let facts = [
        ("Run against", report.target.clone()),
        ("Started", when(&report.time)),
        ("Took", format!("{:.0} s", report.seconds)),
        ("Surfaces", report.surfaces.join(", ")),
        ("Cases", format!("{}, {live} live", report.cases.len())),
        ("Runs", runs.to_string()),
        ("Bad cases", bad.to_string()),
        ("Parity differences", differences.to_string()),
        ("Problems", report.problems.len().to_string()),
    ];
    html! {
        p class={ "verdict " (if report.is_good() { "good" } else { "bad" }) } { (mark(report)) " " (verdict) }
        dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        p {
            small {
                "A run is one case on one surface. A live case has a follower or several processes. "
                @if !whole { "Only a part of the suite was run, so nothing is said about clauses as a whole." }
            }
        }
    }
}

/// A time of RFC 3339, to the second.
fn when(time: &str) -> String {
    let second = time.split('.').next().unwrap_or(time).trim_end_matches('Z');
    format!("{} UTC", second.replace('T', " "))
}

fn wrong(report: &Report, limit: usize) -> Markup {
    let known: BTreeSet<&str> = report
        .matrix
        .rows
        .iter()
        .map(|row| row.clause.id.as_str())
        .collect();
    let problems = html! {
        ul { @for problem in &report.problems { li { (with_links(problem, &known)) } } }
    };
    html! {
        @for case in report.cases.iter().filter(|case| case.is_bad()) { (bad_case(report, case, limit)) }
        @if !report.problems.is_empty() {
            h3 { "Problems beyond cases" }
            @if report.problems.len() > PROBLEMS {
                details { summary { (counted(report.problems.len(), "problem")) } (problems) }
            } @else {
                (problems)
            }
        }
    }
}

fn bad_case(report: &Report, case: &CaseReport, limit: usize) -> Markup {
    html! {
        article.wrong id={ "bad-" (case.name) } {
            h3 { "✗ " (case.title) " " (link_case(&case.name)) }
            p { "Clauses: " (link_clauses(&case.clauses, !report.matrix.rows.is_empty())) }
            @for (names, failure) in failures(case) {
                h4 { "Failed on " (names.join(", ")) @if failure.step != "0" { " at step " (failure.step) } }
                p { (failure.why) }
                @if !failure.request.is_null() {
                    p.label { "asked" }
                    (Shown::of(&failure.request).render(limit))
                    div.sides {
                        div { p.label { "expected" } (Shown::of(&failure.expected).render(limit)) }
                        div {
                            p.label { "observed on " (names[0]) }
                            @if failure.observed.is_null() {
                                p { "Nothing that could be compared." }
                            } @else {
                                (Shown::of(&failure.observed).render(limit))
                            }
                        }
                    }
                }
                (alone(report, case, &names))
            }
            @for (name, verdict) in &case.surfaces {
                @if let Verdict::ReasonGone { reason } = verdict {
                    h4 { "Passes on " (name) ", though it is said not to" }
                    p { "The reason that is no reason any more: " (reason) }
                    (alone(report, case, &[name]))
                }
            }
            @if let Some(difference) = &case.difference { (sides(report, case, difference, limit)) }
        }
    }
}

/// Failures with the surfaces on which they are the same.
fn failures(case: &CaseReport) -> Vec<(Vec<&'static str>, &Failure)> {
    let mut all: Vec<(Vec<&'static str>, &Failure)> = Vec::new();
    for (name, verdict) in &case.surfaces {
        let Verdict::Failed(outcome) = verdict else {
            continue;
        };
        let Some(failure) = &outcome.failure else {
            continue;
        };
        match all
            .iter_mut()
            .find(|(_, other)| other.step == failure.step && other.why == failure.why)
        {
            Some((names, _)) => names.push(name),
            None => all.push((vec![name], failure)),
        }
    }
    all
}

fn sides(report: &Report, case: &CaseReport, difference: &Difference, limit: usize) -> Markup {
    let [one, other] = &difference.observed;
    let place = first_difference("", one, other);
    html! {
        h4 { (difference.surfaces.join(" and ")) " differ at step " (difference.step) }
        @if let Some((place, one, other)) = place {
            p { "First at " code { @if place.is_empty() { "the whole" } @else { (place) } } ":" }
            div.sides { @for (name, value) in difference.surfaces.iter().zip([one, other]) { div { p.label { (name) } (Shown::of(value).render(limit)) } } }
            p { "In all, without times, paths, UUIDs and wording:" }
        }
        div.sides { @for (name, value) in difference.surfaces.iter().zip([one, other]) { div { p.label { (name) } (Shown::of(value).render(limit)) } } }
        (alone(report, case, &difference.surfaces))
    }
}

/// The innermost place at which two values do not agree, as a JSON pointer, and what is there.
fn first_difference<'a>(
    place: &str,
    one: &'a Value,
    other: &'a Value,
) -> Option<(String, &'a Value, &'a Value)> {
    if agree(one, other) {
        return None;
    }
    let inner = match (one, other) {
        (Value::Object(a), Value::Object(b)) => a
            .keys()
            .chain(b.keys().filter(|key| !a.contains_key(*key)))
            .map(|key| (key.clone(), a.get(key), b.get(key)))
            // What an end is called may differ: only `agree` on the whole object knows.
            .find(|(key, a, b)| match (a, b) {
                (Some(a), Some(b)) => {
                    !(key == "end" && (*a == "..." || *b == "...") || agree(a, b))
                }
                _ => true,
            }),
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len()))
            .map(|i| (i.to_string(), a.get(i), b.get(i)))
            .find(|(_, a, b)| match (a, b) {
                (Some(a), Some(b)) => !agree(a, b),
                _ => true,
            }),
        _ => None,
    };
    match inner {
        Some((key, Some(a), Some(b))) => first_difference(&format!("{place}/{key}"), a, b),
        // One of them has nothing there: what stands around it says more.
        _ => Some((place.to_owned(), one, other)),
    }
}

/// The command that runs a case by itself.
fn alone(report: &Report, case: &CaseReport, surfaces: &[&'static str]) -> Markup {
    let own = report.target == "this project";
    let args: Vec<String> = surfaces
        .iter()
        .map(|name| format!("--surface {name}"))
        .collect();
    html! {
        p.label { "alone" @if !own { ", with the ARGS of this run" } }
        pre {
            code {
                "make conformance CASE=" (case.name)
                @if own { " ARGS=\"" (args.join(" ")) "\"" }
            }
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn link_case(name: &str) -> Markup {
    html! { a href={ "#case-" (name) } { code { (name) } } }
}

/// Clauses, which lead to their rows if there is a matrix.
fn link_clauses(ids: &[String], linked: bool) -> Markup {
    html! {
        @for (i, id) in ids.iter().enumerate() {
            @if i > 0 { ", " }
            @if linked { a href={ "#" (id) } { (id) } } @else { (id) }
        }
    }
}

/// A line in which each clause leads to its row.
fn with_links(text: &str, known: &BTreeSet<&str>) -> Markup {
    let mut end = 0;
    html! {
        @for found in CLAUSE.find_iter(text).filter(|found| known.contains(found.as_str())) {
            (text[std::mem::replace(&mut end, found.end())..found.start()])
            a href={ "#" (found.as_str()) } { (found.as_str()) }
        }
        (text[end..])
    }
}

/// Text of a specification, in which code stands between backticks.
fn prose(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn report(title: &str) -> Report {
        let case = CaseReport {
            name: "t/c".into(),
            title: title.into(),
            clauses: vec!["MSG-1".into()],
            negative: Vec::new(),
            live: false,
            surfaces: BTreeMap::new(),
            difference: Some(Difference {
                surfaces: ["cli", "api"],
                step: "1".into(),
                observed: [
                    json!({"ok": {"data": "<b>"}}),
                    json!({"ok": {"data": "</script>"}}),
                ],
            }),
        };
        Report {
            target: "this project".into(),
            time: "2026-11-26T03:09:11.5Z".into(),
            seconds: 1.0,
            surfaces: vec!["cli", "api"],
            cases: vec![case],
            matrix: Default::default(),
            kinds: Vec::new(),
            problems: vec!["<i>MSG-1".into()],
        }
    }

    #[test]
    fn nothing_of_a_run_becomes_html() {
        let page = render(&report("\"><b>x</b></script>"));
        assert!(!page.contains("<b>x") && !page.contains("<i>") && !page.contains("\"<b>"));
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(
            page.contains("First at <code>/ok/data</code>")
                && page.contains("2026-11-26 03:09:11 UTC")
        );
    }

    #[test]
    fn the_first_difference_is_the_innermost() {
        let (one, other) = (json!({"a": [1, {"b": 2}]}), json!({"a": [1, {"b": 3}]}));
        let (place, ..) = first_difference("", &one, &other).unwrap();
        assert_eq!(place, "/a/1/b");
        assert!(first_difference("", &json!({"end": "..."}), &json!({"end": "max"})).is_none());
    }
}
