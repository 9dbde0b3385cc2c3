//! Two writer processes lap a small pool while four reader processes read it, and writers are killed all the time.
//!
//! Guards against a read that returns the bytes of another message, against a `kill -9` after which a pool reads as
//! corrupt, and against whatever else only shows when everything happens at once.
//!
//! `PLASMITE_TORTURE_SECONDS=60` says how long it goes on; a run that did too little in that time to mean anything fails. Without it the
//! run is short, and goes on until it has done a little.

mod board;
mod message;
mod reader;
mod report;
mod run;
mod writer;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["writer", path, number] => {
            writer::run(Path::new(path), number.parse().unwrap_or_default());
            ExitCode::SUCCESS
        }
        ["reader", path, kind] => {
            reader::run(kind, Path::new(path));
            ExitCode::SUCCESS
        }
        // As cargo calls tests that have a harness.
        [.., "--list"] => {
            println!("torture: test");
            ExitCode::SUCCESS
        }
        _ if is_filtered_out(&words) => ExitCode::SUCCESS,
        _ => run::run(),
    }
}

/// Whether names were given, and none of them is in ours.
fn is_filtered_out(arguments: &[&str]) -> bool {
    let mut names = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .peekable();
    names.peek().is_some() && !names.any(|name| "torture".contains(name))
}
