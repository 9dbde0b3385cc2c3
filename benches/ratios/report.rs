//! The rows: on the terminal as they come, in a file at the end.

use std::fs;

use serde::Serialize;

use crate::settings::{Result, Settings, report_dir};
use crate::timing::Best;

/// One figure and its floor.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    floor: f64,
    ratio: f64,
    /// The highest ratio that is good enough; none yet where there is nothing to compare with.
    bar: Option<f64>,
    /// Whether the bar, if there is one, was kept.
    ok: bool,
}

/// What was measured, on what.
#[derive(Serialize)]
pub(crate) struct Report {
    version: &'static str,
    cpu: String,
    cores: usize,
    /// A glance, good for no conclusion.
    quick: bool,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report; prints the head of the table.
    pub(crate) fn new(settings: &Settings) -> Report {
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            quick: settings.quick,
            rows: Vec::new(),
        };
        println!(
            "{}, {} cores; each figure is the best of its turns",
            report.cpu, report.cores
        );
        println!(
            "{:<34} {:>10} {:>10} {:<11} {:>7} {:>6}",
            "", "product", "floor", "", "ratio", "bar"
        );
        report
    }

    /// Adds a row, and prints it.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        unit: &'static str,
        best: Best,
        bar: Option<f64>,
    ) {
        let ratio = best.product / best.floor;
        let row = Row {
            name,
            value: rounded(best.product),
            unit,
            floor: rounded(best.floor),
            ratio: rounded(ratio),
            bar,
            ok: bar.is_none_or(|bar| ratio <= bar),
        };
        println!(
            "{:<34} {:>10.1} {:>10.1} {:<11} {:>6.2}x {:>6}  {}",
            row.name,
            row.value,
            row.floor,
            row.unit,
            row.ratio,
            bar.map_or("-".to_owned(), |bar| format!("{bar:.1}x")),
            if row.ok { "" } else { "MISSED" },
        );
        self.rows.push(row);
    }

    /// Writes `report.json`, and says whether the run is good: all bars kept, unless they do not count.
    pub(crate) fn finish(self, settings: &Settings) -> Result<bool> {
        let path = report_dir().join("report.json");
        fs::create_dir_all(report_dir())?;
        fs::write(&path, serde_json::to_string_pretty(&self)? + "\n")?;
        println!("\nwritten to {}", path.display());
        let missed = self.rows.iter().filter(|row| !row.ok).count();
        if missed > 0 {
            println!("{missed} of {} rows are over their bar", self.rows.len());
        }
        Ok(missed == 0 || settings.no_fail)
    }
}

/// Three decimals: what comes after them is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn cpu() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
