//! What a run is asked to do, and where.

use std::cell::Cell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::peer::Result;

const FLAGS: [&str; 2] = ["--no-fail", "--quick"];

/// The options of a run.
pub(crate) struct Settings {
    pub(crate) no_fail: bool,
    quick: bool,
    names: Vec<String>,
    data: TempDir,
    dirs: Cell<u32>,
}

impl Settings {
    /// From the arguments; `BENCH_DIR` says where the data goes.
    pub(crate) fn from_args() -> Result<Settings> {
        let args: Vec<String> = env::args().skip(1).collect();
        let (flags, names): (Vec<String>, Vec<String>) =
            args.into_iter().partition(|arg| arg.starts_with('-'));
        if let Some(flag) = flags.iter().find(|flag| !FLAGS.contains(&&flag[..])) {
            return Err(format!("there is no option {flag}; use --no-fail or --quick").into());
        }
        let has = |name: &str| flags.iter().any(|flag| flag == name);
        let parent = env::var_os("BENCH_DIR").map_or_else(report_dir, PathBuf::from);
        fs::create_dir_all(&parent)?;
        Ok(Settings {
            no_fail: has("--no-fail"),
            quick: has("--quick"),
            names,
            data: tempfile::Builder::new()
                .prefix("peers-")
                .tempdir_in(parent)?,
            dirs: Cell::new(0),
        })
    }

    /// Whether this operation is wanted.
    pub(crate) fn wants(&self, operation: &str) -> bool {
        self.names.is_empty()
            || self
                .names
                .iter()
                .any(|name| operation.contains(name.as_str()))
    }

    /// How much of something there is to do.
    pub(crate) fn amount(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick.min(full) } else { full }
    }

    /// Where the run keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// An empty directory.
    pub(crate) fn new_dir(&self) -> Result<PathBuf> {
        self.dirs.set(self.dirs.get() + 1);
        let dir = self.data.path().join(self.dirs.get().to_string());
        fs::create_dir(&dir)?;
        Ok(dir)
    }
}

/// Where the report goes: beside that of the benchmarks against floors.
pub(crate) fn report_dir() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| source_dir().join("target"), PathBuf::from);
    target.join("bench")
}

/// Where the source of the product is.
pub(crate) fn source_dir() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
