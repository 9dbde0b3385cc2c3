//! Which clause is shown on which surface, and why not where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::clause::{Clause, Level};
use crate::suite::{CaseReport, Verdict};
use crate::surface::Kind;

/// Documents of which a clause may be pending on every surface.
const MAY_PEND: [&str; 2] = ["protocol", "crash"];

/// `coverage/FAMILY.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    surfaces: Option<Vec<String>>,
    reason: Option<String>,
    #[serde(default)]
    elsewhere: Vec<String>,
    #[serde(default)]
    clauses: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    surfaces: Option<Vec<String>>,
    reason: Option<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    elsewhere: Vec<String>,
    negative: Option<String>,
    pending: Option<String>,
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        More(Vec<String>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(one) => vec![one],
        Either::More(more) => more,
    })
}

/// What is known of one clause on one surface.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "cell", rename_all = "kebab-case")]
pub(crate) enum Cell {
    /// So many cases that passed.
    Cases {
        count: usize,
    },
    /// A case names it, and failed.
    Failed,
    NotApplicable {
        reason: String,
    },
    Pending {
        reason: String,
    },
    Blank,
}

/// A line of the matrix.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) clause: Clause,
    pub(crate) cells: BTreeMap<&'static str, Cell>,
    pub(crate) cases: Vec<String>,
    /// The checks outside the suite that hold it.
    pub(crate) elsewhere: Vec<String>,
}

/// The matrix, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Matrix {
    pub(crate) rows: Vec<Row>,
    pub(crate) problems: Vec<String>,
}

/// Every error kind, with the number of cases that met it on each surface.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KindRow {
    pub(crate) kind: &'static str,
    pub(crate) cells: BTreeMap<&'static str, Cell>,
}

/// Puts the matrix together for the surfaces that were run.
pub(crate) fn build(
    home: &Path,
    clauses: &[Clause],
    cases: &[Case],
    reports: &[CaseReport],
) -> Result<Matrix> {
    let families = read_coverage(home)?;
    let mut problems = stray_names(clauses, cases, &families);
    let mut rows = Vec::new();
    for clause in clauses {
        let family = families.get(clause.family());
        let entry = family.and_then(|family| family.clauses.get(&clause.id));
        let naming: Vec<&CaseReport> = reports
            .iter()
            .filter(|report| report.clauses.contains(&clause.id))
            .collect();
        let elsewhere = entry
            .map(|entry| entry.elsewhere.clone())
            .unwrap_or_default();
        let elsewhere = match family {
            Some(family) if elsewhere.is_empty() => family.elsewhere.clone(),
            _ => elsewhere,
        };
        let row = Row {
            cells: Kind::OWN
                .into_iter()
                .map(|kind| {
                    (
                        kind.name(),
                        cell(
                            kind,
                            clause,
                            family,
                            entry,
                            &naming,
                            cases,
                            !elsewhere.is_empty(),
                        ),
                    )
                })
                .collect(),
            cases: naming.iter().map(|report| report.name.clone()).collect(),
            elsewhere,
            clause: clause.clone(),
        };
        judge(&row, entry, &naming, home, &mut problems);
        rows.push(row);
    }
    Ok(Matrix { rows, problems })
}

fn read_coverage(home: &Path) -> Result<BTreeMap<String, Family>> {
    let mut families = BTreeMap::new();
    for entry in fs::read_dir(home.join("coverage"))? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == "kinds" {
            continue;
        }
        let text = fs::read(&path)?;
        let family =
            serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))?;
        families.insert(name, family);
    }
    Ok(families)
}

fn stray_names(
    clauses: &[Clause],
    cases: &[Case],
    families: &BTreeMap<String, Family>,
) -> Vec<String> {
    let known: BTreeSet<&str> = clauses.iter().map(|clause| clause.id.as_str()).collect();
    let in_cases = cases.iter().flat_map(|case| {
        case.clauses
            .iter()
            .map(move |id| (id, format!("the case {}", case.name)))
    });
    let in_families = families.iter().flat_map(|(name, family)| {
        family
            .clauses
            .keys()
            .map(move |id| (id, format!("coverage/{name}.json")))
    });
    in_cases
        .chain(in_families)
        .filter(|(id, _)| !known.contains(id.as_str()))
        .map(|(id, place)| format!("{place} names {id}, and there is no such clause"))
        .collect()
}

fn cell(
    kind: Kind,
    clause: &Clause,
    family: Option<&Family>,
    entry: Option<&Entry>,
    naming: &[&CaseReport],
    cases: &[Case],
    elsewhere: bool,
) -> Cell {
    let passed = naming
        .iter()
        .filter(|report| report.passed_on(kind.name()))
        .count();
    if passed > 0 {
        return Cell::Cases { count: passed };
    }
    let failed = naming
        .iter()
        .any(|report| matches!(report.surfaces.get(kind.name()), Some(Verdict::Failed(_))));
    if failed {
        return Cell::Failed;
    }
    let listed = entry.and_then(|entry| {
        entry
            .surfaces
            .as_ref()
            .map(|surfaces| (surfaces, &entry.reason))
    });
    let listed = listed.or_else(|| {
        family.and_then(|family| family.surfaces.as_ref().map(|all| (all, &family.reason)))
    });
    if let Some((surfaces, reason)) = listed
        && !surfaces
            .iter()
            .any(|name| name == kind.name() || kind == Kind::Abi && name == "api")
    {
        return Cell::NotApplicable {
            reason: reason
                .clone()
                .unwrap_or_else(|| "no reason is given".into()),
        };
    }
    if let Some(pending) = entry.and_then(|entry| entry.pending.clone()) {
        return Cell::Pending { reason: pending };
    }
    if elsewhere {
        let reason = entry.and_then(|entry| entry.reason.clone());
        return Cell::NotApplicable {
            reason: reason.unwrap_or_else(|| "no surface can show it".into()),
        };
    }
    let reasons = naming
        .iter()
        .filter_map(|report| match report.surfaces.get(kind.name()) {
            Some(Verdict::NotApplicable { reason } | Verdict::FailedAsExpected { reason }) => {
                Some(reason.clone())
            }
            _ => None,
        });
    let lacking = cases
        .iter()
        .filter(|case| case.clauses.contains(&clause.id))
        .filter_map(|case| {
            let needs = case.needs.iter().cloned().chain(case.implied_needs());
            let mut lacking = needs.filter(|word| !kind.can().contains(&word.as_str()));
            let word = lacking.next()?;
            Some(format!(
                "needs `{word}`, which {} does not have",
                kind.name()
            ))
        });
    match reasons.chain(lacking).next() {
        Some(reason) => Cell::NotApplicable { reason },
        None => Cell::Blank,
    }
}

/// What a line of the matrix lacks.
fn judge(
    row: &Row,
    entry: Option<&Entry>,
    naming: &[&CaseReport],
    home: &Path,
    problems: &mut Vec<String>,
) {
    let id = &row.clause.id;
    let blanks: Vec<&str> = row
        .cells
        .iter()
        .filter(|(_, cell)| matches!(cell, Cell::Blank))
        .map(|(name, _)| *name)
        .collect();
    if !blanks.is_empty() {
        problems.push(format!("{id} has no case on {}", blanks.join(", ")));
    }
    for check in &row.elsewhere {
        if !exists(home, check) {
            problems.push(format!("{id} is held by {check}, which is not there"));
        }
    }
    let pending = |cell: &Cell| matches!(cell, Cell::Pending { .. });
    let is_pending = row.cells.values().any(pending);
    if is_pending && !MAY_PEND.contains(&row.clause.spec) {
        problems.push(format!("{id} must not be pending"));
    }
    let shown = row
        .cells
        .values()
        .any(|cell| matches!(cell, Cell::Cases { .. } | Cell::Failed));
    if !shown && !is_pending && row.elsewhere.is_empty() && blanks.is_empty() {
        problems.push(format!(
            "{id} is shown nowhere, and no check elsewhere is named"
        ));
    }
    let denied = naming.iter().any(|report| report.negative.contains(id));
    let excused = entry.is_some_and(|entry| entry.negative.is_some());
    if shown && row.clause.level == Level::Must && !denied && !excused {
        problems.push(format!("{id} has no case that goes to its wrong side"));
    }
    if denied && excused {
        problems.push(format!(
            "{id} is said to have no wrong side, and a case goes there"
        ));
    }
}

/// `tests/serve/routes.rs::name` is a function of that file; a name without `::` is a file.
fn exists(home: &Path, check: &str) -> bool {
    let root = home.parent().unwrap_or(home);
    let (file, function) = check
        .split_once("::")
        .map_or((check, None), |(file, name)| (file, Some(name)));
    let Ok(text) = fs::read_to_string(root.join(file)) else {
        return root.join(file).exists() && function.is_none();
    };
    function.is_none_or(|name| {
        let name = name.rsplit("::").next().unwrap_or(name);
        text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"))
    })
}

/// Which kinds of errors the cases met where; `coverage/kinds.json` says which a surface cannot produce.
pub(crate) fn kinds(
    home: &Path,
    reports: &[CaseReport],
    problems: &mut Vec<String>,
) -> Result<Vec<KindRow>> {
    let text = fs::read(home.join("coverage/kinds.json")).context("coverage/kinds.json")?;
    let reasons: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&text)?;
    let mut rows = Vec::new();
    for (kind, ..) in crate::surface::CODES {
        let mut cells = BTreeMap::new();
        for surface in Kind::OWN {
            let count = reports
                .iter()
                .filter(|report| meets(report, surface.name(), kind))
                .count();
            let reason = reasons
                .get(kind)
                .and_then(|all| all.get(surface.name()).or_else(|| all.get("*")));
            let cell = match (count, reason) {
                (0, Some(reason)) => Cell::NotApplicable {
                    reason: reason.clone(),
                },
                (0, None) => {
                    problems.push(format!(
                        "no case meets an error of kind {kind} on {}",
                        surface.name()
                    ));
                    Cell::Blank
                }
                (count, _) => Cell::Cases { count },
            };
            cells.insert(surface.name(), cell);
        }
        rows.push(KindRow { kind, cells });
    }
    Ok(rows)
}

fn meets(report: &CaseReport, surface: &str, kind: &str) -> bool {
    let Some(Verdict::Passed(outcome)) = report.surfaces.get(surface) else {
        return false;
    };
    outcome.steps.iter().any(|step| {
        let error = step
            .observed
            .get("error")
            .or_else(|| step.observed.pointer("/ok/json/error"));
        let in_stderr = step
            .observed
            .pointer("/ok/stderr")
            .and_then(serde_json::Value::as_str);
        error.is_some_and(|error| error["kind"] == kind)
            || in_stderr
                .is_some_and(|text| text.contains(&format!("{{\"error\":{{\"kind\":\"{kind}\"")))
    })
}
