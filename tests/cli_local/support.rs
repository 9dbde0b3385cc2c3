//! Runs commands in a pool directory of their own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// What `numbers` is when no message was printed.
pub(crate) const NONE: [u64; 0] = [];
/// The program under its long name.
pub(crate) const PLASMITE: &str = env!("CARGO_BIN_EXE_plasmite");
/// The program under its short name.
pub(crate) const PLS: &str = env!("CARGO_BIN_EXE_pls");
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

    /// With a pool `p` that holds `{"n":1}` to `{"n":count}`.
    pub(crate) fn with_numbers(count: u64) -> Place {
        let place = Place::new();
        place.run("pool create p").ok();
        let lines: String = (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        place.pipe("feed p -q", lines).ok();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Runs a command line, split at blanks.
    pub(crate) fn run(&self, line: &str) -> Run {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn args(&self, args: &[&str]) -> Run {
        self.program(PLASMITE, args, "")
    }

    /// As `run`, with this on standard input.
    pub(crate) fn pipe(&self, line: &str, input: impl Into<Vec<u8>>) -> Run {
        self.program(
            PLASMITE,
            &line.split_whitespace().collect::<Vec<_>>(),
            input,
        )
    }

    pub(crate) fn program(&self, program: &str, args: &[&str], input: impl Into<Vec<u8>>) -> Run {
        let mut command = assert_cmd::Command::from_std(self.command(program));
        let output = command
            .args(args)
            .write_stdin(input)
            .timeout(PATIENCE)
            .output()
            .expect("the program runs");
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("errors are UTF-8"),
        }
    }

    /// As `run`, as a user to whom permissions apply and who may look at the directory but not change it: as this one,
    /// unless that is root. The directory is left to be changed by nobody.
    pub(crate) fn unprivileged(&self, line: &str) -> Run {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        use std::os::unix::process::CommandExt;
        const NOBODY: u32 = 65_534;
        let mut mode = self.path().metadata().expect("a directory").permissions();
        if mode.mode() & 0o700 != 0 {
            mode.set_mode(0o555);
            std::fs::set_permissions(self.path(), mode).expect("permissions");
        }
        let is_root = Path::new("/proc/self")
            .metadata()
            .is_ok_and(|it| it.uid() == 0);
        let run = |program: &str| {
            let mut command = self.command(program);
            if is_root {
                command.uid(NOBODY).gid(NOBODY).current_dir("/");
            }
            let args = line.split_whitespace();
            command.args(args).stdin(Stdio::null()).output()
        };
        let output = run(PLASMITE).unwrap_or_else(|_| {
            // The program is where only root may go.
            let bin = tempfile::tempdir().expect("a temporary directory");
            let everybody = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bin.path(), everybody).expect("permissions");
            let copy = bin.path().join("plasmite");
            // By another process: a file that a thread of this one had open to write could not be run for a while.
            let copied = Command::new("cp").arg(PLASMITE).arg(&copy).status();
            assert!(copied.is_ok_and(|status| status.success()));
            run(copy.to_str().expect("UTF-8")).expect("the program runs")
        });
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("errors are UTF-8"),
        }
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

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PLASMITE_DIR", self.path())
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .env("COLUMNS", "100");
        command
    }
}

impl Run {
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

    /// The error of a command that failed with this code and kind, and printed nothing.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, kind: &str) -> Value {
        assert_eq!(self.out, "");
        let errors = self.errors(code);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0]["kind"], kind, "{errors:?}");
        errors[0].clone()
    }

    /// The errors of a command that exited with this code. Each has the parts that every error has.
    #[track_caller]
    pub(crate) fn errors(&self, code: i32) -> Vec<Value> {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines = self
            .err
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("errors are JSON Lines"));
        let errors: Vec<_> = lines.map(|line| line["error"].clone()).collect();
        for error in &errors {
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|message| !message.is_empty()),
                "{error}"
            );
            let hint = error["hint"].as_str();
            assert!(
                hint.is_some_and(|hint| !hint.is_empty() && !hint.ends_with('.')),
                "{error}"
            );
        }
        errors
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON Lines"))
            .collect()
    }

    /// The member `data.n` of each message printed.
    #[track_caller]
    pub(crate) fn numbers(self) -> Vec<u64> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.lines()
            .iter()
            .map(|line| line["data"]["n"].as_u64().expect("a number"))
            .collect()
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

    /// Waits for its end.
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
