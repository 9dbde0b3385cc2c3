//! Every case, with what each surface showed at each of its steps.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use maud::{Markup, html};
use regex::Regex;
use serde_json::Value;

use super::shown::Shown;
use super::{counted, link_clauses};
use crate::observe::{agree, trace};
use crate::runner::Done;
use crate::suite::{CaseReport, Verdict};

/// Of a case with more steps, as many of the first and of the last are shown.
const FIRST: usize = 30;
const LAST: usize = 5;

static PLACES: LazyLock<[(Regex, &str); 2]> = LazyLock::new(|| {
    let regex = |text| Regex::new(text).expect("a fixed expression");
    [
        (regex(r#"/[^"\s:]*conformance-[A-Za-z0-9]{6}\b"#), "{dir}"),
        (
            regex(r"https?://(127\.0\.0\.1|localhost|\[::1\]):[0-9]+"),
            "{url}",
        ),
    ]
});

/// A case, ready to be written in any length.
pub(super) struct Story<'a> {
    case: &'a CaseReport,
    steps: Vec<Told>,
    left_out: usize,
}

struct Told {
    place: String,
    what: String,
    /// The requests and the observations, each with the surfaces that have it in common.
    requests: Vec<(Vec<&'static str>, Shown)>,
    observed: Vec<(Vec<&'static str>, Shown)>,
}

impl<'a> Story<'a> {
    pub(super) fn of(case: &'a CaseReport) -> Story<'a> {
        let outcomes = || {
            case.surfaces
                .iter()
                .filter_map(|(name, verdict)| Some((*name, verdict.outcome()?)))
        };
        let places: Vec<&str> = outcomes()
            .map(|(_, outcome)| {
                outcome
                    .steps
                    .iter()
                    .map(|done| done.step.as_str())
                    .collect()
            })
            .max_by_key(Vec::len)
            .unwrap_or_default();
        let steps: Vec<(&str, HashMap<&str, &Done>)> = outcomes()
            .map(|(name, outcome)| {
                (
                    name,
                    outcome
                        .steps
                        .iter()
                        .map(|done| (done.step.as_str(), done))
                        .collect(),
                )
            })
            .collect::<Vec<_>>();
        let left_out = places.len().saturating_sub(FIRST + LAST);
        let is_shown = |i: &usize| left_out == 0 || *i < FIRST || *i >= FIRST + left_out;
        let told = places
            .iter()
            .enumerate()
            .filter(|(i, _)| is_shown(i))
            .map(|(_, place)| {
                let done = steps
                    .iter()
                    .filter_map(|(name, all)| Some((*name, *all.get(place)?)));
                tell(place, &done.collect::<Vec<_>>())
            });
        Story {
            case,
            steps: told.collect(),
            left_out,
        }
    }

    fn render(&self, limit: usize, linked: bool) -> Markup {
        let case = self.case;
        html! {
            details.case id={ "case-" (case.name) } data-find={ (case.name) " " (case.title) " " (case.clauses.join(" ")) } {
                summary {
                    @if case.is_bad() { strong.bad { "✗ bad" } } @else { span.good { "✓" } }
                    " " (case.title) " "
                    code { (case.name) }
                    @if case.live { " " small { "live" } }
                }
                p {
                    "Clauses: " (link_clauses(&case.clauses, linked))
                    @if !case.negative.is_empty() { "; to the wrong side of " (link_clauses(&case.negative, linked)) }
                }
                @if case.is_bad() { p { a href={ "#bad-" (case.name) } { "What is wrong" } } }
                (verdicts(case))
                ol.steps {
                    @for (i, step) in self.steps.iter().enumerate() {
                        @if i == FIRST && self.left_out > 0 { li.cut { "… " (counted(self.left_out, "step")) " more, in " code { "report.json" } } }
                        li { (step.render(limit)) }
                    }
                }
            }
        }
    }
}

fn tell(place: &str, done: &[(&'static str, &Done)]) -> Told {
    let mut requests: Vec<(Vec<&'static str>, Value)> = Vec::new();
    let mut observed: Vec<(Vec<&'static str>, Value, &Value)> = Vec::new();
    for (name, done) in done {
        let request = without_places(&done.request);
        let known = trace(&request);
        match requests.iter_mut().find(|(_, other)| trace(other) == known) {
            Some((names, _)) => names.push(name),
            None => requests.push((vec![name], request)),
        }
        let compared = compared(&done.observed);
        match observed
            .iter_mut()
            .find(|(_, other, _)| agree(other, &compared))
        {
            Some((names, ..)) => names.push(name),
            None => observed.push((vec![name], compared, &done.observed)),
        }
    }
    let what = done
        .first()
        .and_then(|(_, done)| done.request.get("do"))
        .and_then(Value::as_str);
    Told {
        place: place.to_owned(),
        what: what.unwrap_or_default().to_owned(),
        requests: requests
            .into_iter()
            .map(|(names, request)| (names, Shown::of(&without_do(request))))
            .collect(),
        observed: observed
            .into_iter()
            .map(|(names, _, observed)| (names, Shown::of(observed)))
            .collect(),
    }
}

/// What surfaces have in common, as the runner compares it.
fn compared(observed: &Value) -> Value {
    let mut compared = trace(observed);
    if let Some(ok) = compared.get_mut("ok").and_then(Value::as_object_mut) {
        ok.remove("fields");
    }
    compared
}

/// A request as it stands in the case: the directory and the server of this run have no names there.
fn without_places(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            for (place, name) in PLACES.iter() {
                text = place.replace_all(&text, *name).into_owned();
            }
            text.into()
        }
        Value::Array(items) => items.iter().map(without_places).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), without_places(value)))
            .collect(),
        other => other.clone(),
    }
}

fn without_do(mut request: Value) -> Value {
    if let Some(members) = request.as_object_mut() {
        members.remove("do");
    }
    request
}

impl Told {
    fn render(&self, limit: usize) -> Markup {
        html! {
            p.step { b { "Step " (self.place) } " " code { (self.what) } }
            @match self.requests.as_slice() {
                [(_, shown)] if shown.is_short() => (shown.render(limit)),
                requests => (parts(requests, "asked", limit)),
            }
            (parts(&self.observed, "observed", limit))
        }
    }
}

/// Once where all surfaces have it in common, and else for each set of them.
fn parts(all: &[(Vec<&'static str>, Shown)], word: &str, limit: usize) -> Markup {
    html! {
        @for (names, shown) in all {
            @let label = match (all.len(), names.len()) {
                (1, 1) => format!("{word} on {}", names[0]),
                (1, many) => format!("{word} on all {many}"),
                _ => format!("{word} on {}", names.join(", ")),
            };
            @if shown.is_short() {
                p.label { (label) }
                (shown.render(limit))
            } @else {
                details.part { summary { (label) ", " (shown.size()) } (shown.render(limit)) }
            }
        }
    }
}

fn verdicts(case: &CaseReport) -> Markup {
    let passed: Vec<String> = case
        .surfaces
        .iter()
        .filter_map(|(name, verdict)| match verdict {
            Verdict::Passed(outcome) => Some(format!("{name} ({} ms)", outcome.millis)),
            _ => None,
        })
        .collect();
    html! {
        ul {
            @if !passed.is_empty() { li { "✓ passed on " (passed.join(", ")) } }
            @for (name, verdict) in &case.surfaces {
                @match verdict {
                    Verdict::Passed(_) => {},
                    Verdict::Failed(outcome) => li.bad {
                        "✗ failed on " (name)
                        @if let Some(failure) = &outcome.failure { " at step " (failure.step) }
                    },
                    Verdict::FailedAsExpected { reason } => li { "fails on " (name) ", as is known: " (reason) },
                    Verdict::NotApplicable { reason } => li { "n/a on " (name) ": " (reason) },
                    Verdict::ReasonGone { reason } => li.bad { "✗ passes on " (name) ", though it is said: " (reason) },
                }
            }
            @if case.surfaces.is_empty() { li { "No surface of this run has what it needs." } }
        }
    }
}

pub(super) fn render(stories: &[Story], limit: usize, linked: bool) -> Markup {
    let mut topics: BTreeMap<&str, Vec<&Story>> = BTreeMap::new();
    for story in stories {
        topics
            .entry(story.case.name.split('/').next().unwrap_or_default())
            .or_default()
            .push(story);
    }
    html! {
        p {
            "Surfaces whose answers agree, once times, paths, UUIDs and wording are left out, are shown together, in the words of the first. "
            code { "{dir}" } " and " code { "{url}" } " in a request are the directory and the server of the case."
        }
        @for (topic, stories) in topics {
            @let bad = stories.iter().filter(|story| story.case.is_bad()).count();
            @let live = stories.iter().filter(|story| story.case.live).count();
            details.topic {
                summary {
                    h3 { (topic) }
                    " " (counted(stories.len(), "case"))
                    @if live > 0 { ", " (live) " live" }
                    @if bad > 0 { ", " strong.bad { "✗ " (bad) " bad" } }
                }
                @for story in stories { (story.render(limit, linked)) }
            }
        }
    }
}
