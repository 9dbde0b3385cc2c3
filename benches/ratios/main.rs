//! Measures the product against what the machine charges for the same work with nothing around it.
//!
//! Machines differ, and so do two minutes on one machine. So each row measures its floor and the product in turns
//! and keeps the best of each: noise meets both alike, and only their ratio is judged.
//!
//! `cargo bench --bench ratios -- [--no-fail] [--quick] [NAME]...` prints a table, writes
//! `target/bench/report.json`, and fails if a ratio is over its bar. With names, only rows that contain one of them
//! are measured.

mod api;
mod cli;
mod floor;
mod records;
mod report;
mod settings;
mod timing;
mod wake;

use std::process::ExitCode;

use report::Report;
use settings::{Result, Settings};

fn main() -> ExitCode {
    let done = match wake::listener_from_args() {
        Some(listener) => listener.listen().map(|()| true),
        None => bench(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the rows; whether every bar was kept, or does not count.
fn bench() -> Result<bool> {
    let settings = Settings::from_args()?;
    if !settings.is_bench {
        println!("benchmarks run under `cargo bench`, where they are optimised");
        return Ok(true);
    }
    let mut report = Report::new(&settings);
    api::run(&settings, &mut report)?;
    wake::run(&settings, &mut report)?;
    cli::run(&settings, &mut report)?;
    report.finish(&settings)
}
