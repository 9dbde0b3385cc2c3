//! All cases on all surfaces, several at a time, and what the surfaces' traces say about each other.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use serde_json::Value;

use crate::case::Case;
use crate::observe::agree;
use crate::runner::{Outcome, Target, run};
use crate::surface::Kind;

/// What came of a case on one surface.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Passed(Outcome),
    Failed(Outcome),
    /// Known to fail there, and did.
    FailedAsExpected {
        reason: String,
    },
    /// The case makes no sense there, and does not pass.
    NotApplicable {
        reason: String,
    },
    /// A skip or an expected failure that passes.
    ReasonGone {
        reason: String,
    },
}

impl Verdict {
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Verdict::Failed(_) | Verdict::ReasonGone { .. })
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self {
            Verdict::Passed(outcome) | Verdict::Failed(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// Two surfaces that both passed and did not show the same.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) surfaces: [&'static str; 2],
    pub(crate) step: String,
    pub(crate) observed: [Value; 2],
}

/// A case and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) clauses: Vec<String>,
    pub(crate) negative: Vec<String>,
    pub(crate) live: bool,
    pub(crate) surfaces: BTreeMap<&'static str, Verdict>,
    pub(crate) difference: Option<Difference>,
}

impl CaseReport {
    pub(crate) fn is_bad(&self) -> bool {
        self.difference.is_some() || self.surfaces.values().any(Verdict::is_bad)
    }

    pub(crate) fn passed_on(&self, surface: &str) -> bool {
        matches!(self.surfaces.get(surface), Some(Verdict::Passed(_)))
    }
}

/// Runs every case on every target, `workers` at a time, and tells `progress` after each.
pub(crate) fn run_all(
    cases: &[Case],
    targets: &[Target],
    workers: usize,
    progress: &(dyn Fn(usize, usize, &CaseReport) + Sync),
) -> Vec<CaseReport> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = run_case(case, targets);
                    progress(
                        done.fetch_add(1, Ordering::Relaxed) + 1,
                        cases.len(),
                        &report,
                    );
                    reports
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(report);
                }
            });
        }
    });
    let mut reports = reports
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    reports
}

fn run_case(case: &Case, targets: &[Target]) -> CaseReport {
    let mut surfaces = BTreeMap::new();
    for target in targets {
        if let Some(verdict) = judge(case, target) {
            surfaces.insert(target.kind.name(), verdict);
        }
    }
    CaseReport {
        name: case.name.clone(),
        title: case.title.clone(),
        clauses: case.clauses.clone(),
        negative: case.negative.clone(),
        live: case.is_live(),
        difference: difference(&surfaces),
        surfaces,
    }
}

/// Runs a case where it has something to say; nothing where it needs what the surface does not have.
fn judge(case: &Case, target: &Target) -> Option<Verdict> {
    if !applies(case, target) {
        return None;
    }
    let name = target.kind.name();
    let outcome = run(case, target);
    let failed = outcome.failure.is_some();
    let reason = case.not.get(name);
    let known = case.expect_failure.get(name);
    Some(match (reason, known, failed) {
        (None, None, false) => Verdict::Passed(outcome),
        (None, None, true) => Verdict::Failed(outcome),
        (Some(reason), _, true) => Verdict::NotApplicable {
            reason: reason.clone(),
        },
        (None, Some(reason), true) => Verdict::FailedAsExpected {
            reason: reason.clone(),
        },
        (Some(reason), _, false) | (None, Some(reason), false) => Verdict::ReasonGone {
            reason: reason.clone(),
        },
    })
}

/// Whether the surface has what the case is about.
pub(crate) fn applies(case: &Case, target: &Target) -> bool {
    let named = case.surfaces.is_empty()
        || case.surfaces.iter().any(|name| *name == target.kind.name())
        || target.kind == Kind::Adapter && case.surfaces.iter().any(|name| name == "api");
    let able = case
        .needs
        .iter()
        .chain(&case.implied_needs())
        .all(|word| target.can(word));
    let own_server = target.url.is_none() || !case.wants_own_server();
    named && able && own_server
}

fn difference(surfaces: &BTreeMap<&'static str, Verdict>) -> Option<Difference> {
    let mut passed = surfaces.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::Passed(outcome) => Some((*name, &outcome.trace)),
        _ => None,
    });
    let (first, one) = passed.next()?;
    passed.find_map(|(second, other)| {
        let longest = one.len().max(other.len());
        let differs = (0..longest).find(|i| match (one.get(*i), other.get(*i)) {
            (Some((a_step, a)), Some((b_step, b))) => a_step != b_step || !agree(a, b),
            _ => true,
        })?;
        let at = |trace: &[(String, Value)]| trace.get(differs).cloned().unwrap_or_default();
        let ((step, a), (_, b)) = (at(one), at(other));
        Some(Difference {
            surfaces: [first, second],
            step,
            observed: [a, b],
        })
    })
}
