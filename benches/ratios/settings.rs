//! What a run is asked to do, and where.

use std::env;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Whatever goes wrong ends the run with its message.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FLAGS: [&str; 4] = ["--bench", "--no-fail", "--quick", "--docs"];

/// The options of a run.
pub(crate) struct Settings {
    /// Whether cargo runs this as a benchmark rather than as one of all targets of a test.
    pub(crate) is_bench: bool,
    /// A missed bar is shown, and fails nothing.
    pub(crate) no_fail: bool,
    /// A glance: little data and few rounds, good for no conclusion.
    pub(crate) quick: bool,
    /// The page and its plots go to `docs` as well.
    pub(crate) docs: bool,
    names: Vec<String>,
    /// Pools and input of this run, gone when it ends.
    data: TempDir,
}

impl Settings {
    /// From the arguments, and from the environment:
    /// `BENCH_NO_FAIL=1` is `--no-fail`, and `BENCH_DIR` says where the data goes.
    pub(crate) fn from_args() -> Result<Settings> {
        let args: Vec<String> = env::args().skip(1).collect();
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        let is_flag = |arg: &&String| arg.starts_with('-');
        if let Some(flag) = args
            .iter()
            .filter(is_flag)
            .find(|arg| !FLAGS.contains(&&arg[..]))
        {
            return Err(
                format!("there is no option {flag}; use --no-fail, --quick or --docs").into(),
            );
        }
        let names: Vec<String> = args.iter().filter(|arg| !is_flag(arg)).cloned().collect();
        if has("--docs") && (has("--quick") || !names.is_empty()) {
            return Err("--docs is for a whole run: leave out --quick and names of rows".into());
        }
        let parent = env::var_os("BENCH_DIR").map_or_else(report_dir, PathBuf::from);
        std::fs::create_dir_all(&parent)?;
        Ok(Settings {
            is_bench: has("--bench"),
            no_fail: has("--no-fail") || env::var_os("BENCH_NO_FAIL").is_some_and(|v| v == "1"),
            quick: has("--quick"),
            docs: has("--docs"),
            names,
            data: tempfile::Builder::new()
                .prefix("data-")
                .tempdir_in(parent)?,
        })
    }

    /// Whether any of these rows is wanted.
    pub(crate) fn wants(&self, rows: &[&str]) -> bool {
        self.names.is_empty()
            || rows
                .iter()
                .any(|row| self.names.iter().any(|name| row.contains(name.as_str())))
    }

    /// As [`wants`](Settings::wants), for curves: what they take minutes for is not done because of a part of their name.
    pub(crate) fn wants_growth(&self, rows: &[&str]) -> bool {
        let is_asked_for = |name: &String| name.starts_with("growth");
        self.names.is_empty() || self.names.iter().any(is_asked_for) && self.wants(rows)
    }

    /// Where the run keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// How much of something there is to do.
    pub(crate) fn amount(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}

/// Where the report goes.
pub(crate) fn report_dir() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| source_dir().join("target"), PathBuf::from);
    target.join("bench")
}

/// Where the source is.
pub(crate) fn source_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
