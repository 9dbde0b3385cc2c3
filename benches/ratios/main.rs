//! Measures the product against what the machine charges for the same work with nothing around it.
//!
//! Machines differ, and so do two minutes on one machine. So each row measures its floor and the product in turns
//! and keeps the best of each: noise meets both alike, and only their ratio is judged.
//!
//! `cargo bench --bench ratios --features internals -- [--no-fail] [--quick] [--docs] [NAME]...` prints a table, writes
//! `target/bench/report.json` with plots and a page beside it, and fails if a bar is missed. With names, only rows
//! that contain one of them are measured; the names of curves that grow all begin with `growth`.

mod api;
mod cli;
mod contend;
mod disk;
mod floor;
mod flush;
mod growth;
mod http;
mod machine;
mod page;
mod plot;
mod records;
mod report;
mod settings;
mod shared;
mod timing;
mod wake;

use std::env;
use std::process::ExitCode;

use report::Report;
use settings::{Result, Settings};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    // The other processes of a row are this program again.
    let done = match args.next().as_deref() {
        Some(wake::ROLE) => wake::play(args).map(|()| true),
        Some(contend::ROLE) => contend::play(args).map(|()| true),
        Some(http::ROLE) => http::play().map(|()| true),
        _ => bench(),
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
    flush::run(&settings, &mut report)?;
    disk::run(&settings, &mut report)?;
    wake::run(&settings, &mut report)?;
    contend::run(&settings, &mut report)?;
    cli::run(&settings, &mut report)?;
    http::run(&settings, &mut report)?;
    growth::run(&settings, &mut report)?;
    report.finish(&settings)
}
