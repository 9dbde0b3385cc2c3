//! JUnit XML: a suite for each surface, a test for each case.

use std::time::Duration;

use anyhow::Result;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use crate::suite::Verdict;

pub(crate) fn render(report: &Report) -> Result<String> {
    let mut all = quick_junit::Report::new("conformance");
    for surface in &report.surfaces {
        let mut suite = TestSuite::new(*surface);
        for case in &report.cases {
            let Some(verdict) = case.surfaces.get(surface) else {
                continue;
            };
            let mut test = TestCase::new(case.name.as_str(), status(verdict));
            test.set_classname(case.clauses.join(" "));
            test.set_time(Duration::from_millis(
                verdict.outcome().map_or(0, |outcome| outcome.millis),
            ));
            suite.add_test_case(test);
        }
        all.add_test_suite(suite);
    }
    all.add_test_suite(parity(report));
    Ok(all.to_string()?)
}

fn status(verdict: &Verdict) -> TestCaseStatus {
    let failed = |message: String| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(message);
        status
    };
    match verdict {
        Verdict::Passed(_) => TestCaseStatus::success(),
        Verdict::Failed(outcome) => {
            let failure = outcome.failure.as_ref();
            failed(
                failure
                    .map(|failure| format!("step {}: {}", failure.step, failure.why))
                    .unwrap_or_default(),
            )
        }
        Verdict::ReasonGone { reason } => failed(format!("passes, though it is said: {reason}")),
        Verdict::NotApplicable { reason } | Verdict::FailedAsExpected { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
    }
}

/// That the surfaces show the same, and that the matrix is whole.
fn parity(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("parity");
    for case in report.cases.iter().filter(|case| case.surfaces.len() > 1) {
        let mut status = TestCaseStatus::success();
        if let Some(difference) = &case.difference {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(format!(
                "{} differ at step {}",
                difference.surfaces.join(" and "),
                difference.step
            ));
        }
        suite.add_test_case(TestCase::new(case.name.as_str(), status));
    }
    for problem in &report.problems {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(problem.as_str());
        suite.add_test_case(TestCase::new(problem.as_str(), status));
    }
    suite
}
