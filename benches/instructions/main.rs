//! How many instructions the hot paths take, as callgrind counts them: a gate that does not depend on the load of a
//! machine, where times would.
//!
//! Each path is run by this program again, under `valgrind --tool=callgrind`, which counts only while `measured` is on
//! the stack. The counts per message are compared with `benches/instructions/counts.json`. Above the tolerance is a
//! failure; below it a word, since the file should then be renewed. System calls count for nothing: what the kernel
//! does is not seen.
//!
//! `make instructions` compares, `make instructions ARGS=--renew` writes the file anew.

mod counts;
mod paths;

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use counts::{Build, Counts, Verdict};
use paths::PATHS;

/// Whatever goes wrong ends the run with its message.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The first argument of a run under callgrind; the second is the path.
const ROLE: &str = "--count";
/// The environment of such a run: nothing that libraries might look at, so that counts do not depend on it.
const KEPT: [&str; 2] = ["PATH", "HOME"];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some(ROLE) => paths::run(args.get(1).map_or("", String::as_str)).map(|()| true),
        _ if !args.iter().any(|arg| arg == "--bench") => {
            println!("benchmarks run under `cargo bench`, where they are optimised");
            Ok(true)
        }
        _ => gate(&args),
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

/// Counts, and compares or renews; whether all is within the tolerance.
fn gate(args: &[String]) -> Result<bool> {
    let known = ["--bench", "--renew"];
    if let Some(arg) = args.iter().find(|arg| !known.contains(&&arg[..])) {
        return Err(format!("there is no option {arg}; use --renew").into());
    }
    if !has_valgrind()? {
        println!("left out: there is no valgrind on PATH; `make setup` installs it");
        return Ok(true);
    }
    let build = Build::this();
    let is_renewal = args.iter().any(|arg| arg == "--renew");
    if !is_renewal {
        let kept = Counts::read()?;
        if !build.is_comparable(&kept.build) {
            println!(
                "left out: the counts are of {}, and this is {}; other processors take other code",
                kept.build.processor, build.processor
            );
            return Ok(true);
        }
        return compare(&kept, &build);
    }
    let mut counts = Counts::new(build);
    for path in PATHS {
        let count = count(path.name)?;
        println!("{:<40} {count:>9} instructions a message", path.name);
        counts.set(path.name, count);
    }
    counts.write()?;
    println!("\nwritten to {}", Counts::path().display());
    Ok(true)
}

fn compare(kept: &Counts, build: &Build) -> Result<bool> {
    let is_judged = kept.build.compiler == build.compiler;
    if !is_judged {
        println!(
            "not judged: the counts are of {}, and this is {}",
            kept.build.compiler, build.compiler
        );
    }
    println!(
        "{:<40} {:>9} {:>9} {:>8}",
        "instructions a message", "now", "kept", "change"
    );
    let mut is_good = true;
    for path in PATHS {
        let now = count(path.name)?;
        let verdict = kept.judge(path.name, now);
        let (before, change) = match verdict.change() {
            Some(change) => (
                kept.get(path.name).to_string(),
                format!("{:+.1}%", change * 100.0),
            ),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!(
            "{:<40} {now:>9} {before:>9} {change:>8}  {}",
            path.name,
            verdict.word()
        );
        is_good &= !matches!(verdict, Verdict::Worse(_) | Verdict::Unknown);
    }
    if !is_good {
        println!(
            "\nIf that is meant: `make instructions ARGS=--renew`, and say in the commit what it buys."
        );
    }
    Ok(is_good || !is_judged)
}

fn has_valgrind() -> Result<bool> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) => Ok(output.status.success()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Runs one path under callgrind, and returns its instructions per message.
fn count(path: &str) -> Result<u64> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("callgrind.out");
    let kept = KEPT
        .iter()
        .filter_map(|name| Some((name, env::var_os(name)?)));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={}", paths::MEASURED))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe()?)
        .args([ROLE, path])
        .env_clear()
        .envs(kept)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{path} failed under callgrind: {said}").into());
    }
    let total = total(&out)?;
    if total == 0 {
        return Err(format!("callgrind saw nothing of {path}").into());
    }
    Ok(total.div_ceil(paths::MESSAGES))
}

/// The instructions that callgrind's file sums up to.
fn total(out: &Path) -> Result<u64> {
    let text = fs::read_to_string(out)?;
    let sums = text.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("totals:")
            .or(line.strip_prefix("summary:"))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    sums.max()
        .ok_or_else(|| "callgrind's file has no sum".into())
}
