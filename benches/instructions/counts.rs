//! The counts that are kept, and how a new one compares.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Result;

/// By how much a count may differ: other versions of the C library and of dependencies take a little more or less.
const TOLERANCE: f64 = 0.03;

/// What decides on the code that runs.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Build {
    /// Architecture, and the extensions that libraries choose code by.
    pub(crate) processor: String,
    pub(crate) compiler: String,
}

impl Build {
    /// This program on this machine.
    pub(crate) fn this() -> Build {
        let compiler = Command::new("rustc").arg("--version").output();
        Build {
            processor: processor(),
            compiler: compiler.map_or_else(
                |_| "an unknown compiler".to_owned(),
                |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            ),
        }
    }

    /// Whether counts of one say something about the other.
    pub(crate) fn is_comparable(&self, other: &Build) -> bool {
        self.processor == other.processor
    }
}

#[cfg(target_arch = "x86_64")]
fn processor() -> String {
    let extensions = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx2", is_x86_feature_detected!("avx2")),
    ];
    let mut text = "x86_64".to_owned();
    for (name, _) in extensions.iter().filter(|(_, there)| *there) {
        text.push('+');
        text.push_str(name);
    }
    text
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> String {
    std::env::consts::ARCH.to_owned()
}

/// Instructions per message, by path.
#[derive(Deserialize, Serialize)]
pub(crate) struct Counts {
    pub(crate) build: Build,
    counts: BTreeMap<String, u64>,
}

/// What a new count is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// There is nothing to compare with.
    Unknown,
    Same(f64),
    Better(f64),
    Worse(f64),
}

impl Verdict {
    /// By which share the count has changed.
    pub(crate) fn change(self) -> Option<f64> {
        match self {
            Verdict::Unknown => None,
            Verdict::Same(change) | Verdict::Better(change) | Verdict::Worse(change) => {
                Some(change)
            }
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Unknown => "NOT KEPT YET",
            Verdict::Same(_) => "",
            Verdict::Better(_) => "better: renew the counts, so that it stays so",
            Verdict::Worse(_) => "WORSE",
        }
    }
}

impl Counts {
    pub(crate) fn new(build: Build) -> Counts {
        Counts {
            build,
            counts: BTreeMap::new(),
        }
    }

    /// Where they are kept.
    pub(crate) fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/counts.json")
    }

    pub(crate) fn read() -> Result<Counts> {
        let path = Counts::path();
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(crate) fn write(&self) -> Result<()> {
        fs::write(Counts::path(), serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    pub(crate) fn set(&mut self, path: &str, count: u64) {
        self.counts.insert(path.to_owned(), count);
    }

    /// 0 if there is none.
    pub(crate) fn get(&self, path: &str) -> u64 {
        self.counts.get(path).copied().unwrap_or(0)
    }

    pub(crate) fn judge(&self, path: &str, now: u64) -> Verdict {
        let kept = self.get(path);
        if kept == 0 {
            return Verdict::Unknown;
        }
        match now as f64 / kept as f64 - 1.0 {
            change if change > TOLERANCE => Verdict::Worse(change),
            change if change < -TOLERANCE => Verdict::Better(change),
            change => Verdict::Same(change),
        }
    }
}
