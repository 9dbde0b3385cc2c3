//! What a run leaves: a matrix on the terminal, JSON, JUnit XML, and a page.

mod html;
mod junit;
mod terminal;

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::matrix::{KindRow, Matrix};
use crate::suite::CaseReport;

pub(crate) use terminal::print;

/// All that is known after a run.
#[derive(Serialize)]
pub(crate) struct Report {
    /// What was run against, in words.
    pub(crate) target: String,
    /// When it began.
    pub(crate) time: String,
    pub(crate) seconds: f64,
    pub(crate) surfaces: Vec<&'static str>,
    pub(crate) cases: Vec<CaseReport>,
    pub(crate) matrix: Matrix,
    pub(crate) kinds: Vec<KindRow>,
    /// What is wrong beyond cases that fail.
    pub(crate) problems: Vec<String>,
}

impl Report {
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty() && !self.cases.iter().any(CaseReport::is_bad)
    }
}

/// Writes `report.json`, `junit.xml` and `index.html` into a directory.
pub(crate) fn write(report: &Report, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("report.json"), serde_json::to_vec(report)?)?;
    fs::write(dir.join("junit.xml"), junit::render(report)?)?;
    fs::write(dir.join("index.html"), html::render(report))?;
    Ok(())
}
