//! What was measured, and on what: figures without these say nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine and the source of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    /// The type of the file system that holds the data of the run.
    pub(crate) file_system: String,
    /// The commit of the source, and whether it was changed since.
    pub(crate) commit: String,
}

impl Machine {
    /// As it is now, with the data in `data_dir` and the source in `source_dir`.
    pub(crate) fn describe(data_dir: &Path, source_dir: &Path) -> Machine {
        Machine {
            cpu: field("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field("/proc/meminfo", "MemTotal").map_or_else(unknown, in_gib),
            kernel: read_line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            file_system: file_system(data_dir).unwrap_or_else(unknown),
            commit: commit(source_dir).unwrap_or_else(unknown),
        }
    }

    /// One line for a terminal.
    pub(crate) fn line(&self) -> String {
        format!(
            "{}, {} cores, {}, Linux {}, {}, commit {}",
            self.cpu, self.cores, self.memory, self.kernel, self.file_system, self.commit
        )
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value behind `NAME :` in a file of the kernel.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn in_gib(kib: String) -> String {
    let number = kib.split_whitespace().next();
    match number.and_then(|number| number.parse::<f64>().ok()) {
        Some(kib) => format!("{:.1} GiB of memory", kib / f64::from(1 << 20)),
        None => kib,
    }
}

/// The type of the mount with the longest path that leads to `dir`.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(at, _)| dir.starts_with(at))
        // Of two mounts at one place, the later one is on top.
        .max_by_key(|(at, _)| at.len())
        .map(|(_, kind)| kind.to_owned())
}

fn commit(source_dir: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(source_dir)
            .args(args)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    // What a run itself writes is no change of what it measures.
    let changes = git(&["status", "--porcelain", "--", ".", ":!docs/performance*"])?;
    Some(if changes.is_empty() {
        head
    } else {
        format!("{head} with changes")
    })
}
