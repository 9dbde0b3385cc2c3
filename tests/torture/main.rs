//! Eight writers and eight readers lap a small pool, while somebody kills and stops them; and pools are cut, deleted,
//! replaced, put on a full disk and written by clocks that are set all the time.
//!
//! Guards against a read that returns the bytes of another message, against a `kill -9` after which a pool reads as
//! corrupt, against an append that is acknowledged and lost, and against whatever else only shows when everything
//! happens at once. All write down what they do; the whole history is judged afterwards, by a judge that is first shown
//! histories that break each of its rules.
//!
//! `PLASMITE_TORTURE_SECONDS=60` says how long it goes on; a run that did too little in that time to mean anything
//! fails. Without it the run is short, and goes on until it has done a little. `PLASMITE_TORTURE_SEED` has chance fall
//! as it did in the run that printed that number, as far as the system's own chance lets it.

mod actor;
mod chaos;
mod crew;
mod disk;
mod episode;
mod judge;
mod message;
mod random;
mod reader;
mod record;
mod run;
mod scene;
mod stage;
mod tally;
mod writer;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use episode::{Length, ON_SMALL_DISK};
use record::Log;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [role @ ("writer" | "reader"), kind, pool, log, number, seed] => {
            die_with_parent();
            give_way();
            plasmite::install_sigbus_guard().expect("a guard");
            let log = Log::open(Path::new(log)).expect("a log");
            let (pool, seed) = (Path::new(pool), parse(seed));
            match role {
                "writer" => writer::run(kind, pool, log, parse(number) as u32, seed),
                _ => reader::run(kind, pool, log, seed),
            }
            ExitCode::SUCCESS
        }
        [ON_SMALL_DISK, disk, logs, seed, time, most_time] => {
            let milliseconds = |text| Duration::from_millis(parse(text));
            let length = Length {
                time: milliseconds(time),
                most_time: milliseconds(most_time),
            };
            episode::run_here(Path::new(disk), Path::new(logs), parse(seed), length);
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

fn parse(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Nobody outlives the run, whoever ends it.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: this request takes a number and no pointer.
    unsafe {
        // Also those that are stopped.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(3);
    });
}

/// Sixteen who never rest would else keep whoever is to harm them from it.
fn give_way() {
    // SAFETY: `nice` has no preconditions. That it fails costs time and nothing else.
    unsafe { libc::nice(5) };
}

/// Whether names were given, and none of them is in ours.
fn is_filtered_out(arguments: &[&str]) -> bool {
    let mut names = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .peekable();
    names.peek().is_some() && !names.any(|name| "torture".contains(name))
}
