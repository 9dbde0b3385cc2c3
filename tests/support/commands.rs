//! Runs commands in a pool directory of their own. Shared by the suites that look at what commands do.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The program under its long name.
pub(crate) const PLASMITE: &str = env!("CARGO_BIN_EXE_plasmite");
/// Ends a command that hangs, far beyond what any takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An empty pool directory.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Place { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Runs a command line, split at blanks.
    pub(crate) fn run(&self, line: &str) -> Run {
        self.pipe(line, "")
    }

    /// As `run`, with this on standard input.
    pub(crate) fn pipe(&self, line: &str, input: impl AsRef<[u8]>) -> Run {
        let args: Vec<_> = line.split_whitespace().collect();
        self.program(PLASMITE, &args, input)
    }

    pub(crate) fn program(&self, program: &str, args: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut command = assert_cmd::Command::from_std(self.command(program));
        let output = command
            .args(args)
            .write_stdin(input.as_ref())
            .timeout(PATIENCE)
            .output()
            .expect("the program runs");
        Run::of(output)
    }

    /// A command with standard input and output piped, to talk to while it runs.
    pub(crate) fn spawn(&self, line: &str) -> Running {
        self.spawn_args(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn spawn_args(&self, args: &[&str]) -> Running {
        let mut command = self.command(PLASMITE);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Running { child, out }
    }

    /// A command whose output owes nothing to the environment of the test.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PLASMITE_DIR", self.path())
            .env_remove("PLASMITE_TOKEN_FILE")
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .env("COLUMNS", "100");
        command
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("errors are UTF-8"),
        }
    }

    /// The output of a command that succeeded and complained about nothing.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            (self.code, self.err.as_str()),
            (Some(0), ""),
            "{}",
            self.out
        );
        self.out
    }

    /// The output of a command that succeeded, as one JSON value.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("one line of JSON")
    }
}

/// A command that runs beside the test, and ends with it.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) out: BufReader<ChildStdout>,
}

impl Running {
    /// The next line it prints; waits for it.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("output is readable");
        line
    }

    /// Waits for its end; what was read by lines is not in the output.
    pub(crate) fn finish(mut self) -> Run {
        drop(self.child.stdin.take());
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("output is UTF-8");
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut err).expect("errors are UTF-8");
        let status = self.child.wait().expect("it ends");
        Run {
            code: status.code(),
            out,
            err,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
