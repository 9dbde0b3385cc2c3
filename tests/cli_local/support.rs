//! What the tests of local pools look for in what commands did.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use crate::commands::{PLASMITE, Place, Run};

/// What `numbers` is when no message was printed.
pub(crate) const NONE: [u64; 0] = [];
/// The program under its short name.
pub(crate) const PLS: &str = env!("CARGO_BIN_EXE_pls");

impl Place {
    /// The data of all messages of `p`.
    pub(crate) fn data(&self) -> Vec<Value> {
        let run = self.run("follow p --no-follow --data-only");
        let lines = run.out.lines().map(serde_json::from_str::<Value>);
        lines.map(|data| data.expect("JSON")).collect()
    }

    /// With a pool `p` that holds `{"n":1}` to `{"n":count}`.
    pub(crate) fn with_numbers(count: u64) -> Place {
        let place = Place::new();
        place.run("pool create p").ok();
        let lines: String = (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        place.pipe("feed p -q", lines).ok();
        place
    }

    pub(crate) fn args(&self, args: &[&str]) -> Run {
        self.program(PLASMITE, args, "")
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
        Run::of(output)
    }
}

/// The exit code of a command that should end by itself. One that does not is ended after a minute.
pub(crate) fn code_at_its_own_end(child: &mut Child) -> Option<i32> {
    let patience = Instant::now() + Duration::from_secs(60);
    let status = loop {
        match child.try_wait().expect("it can be asked") {
            None if Instant::now() < patience => thread::sleep(Duration::from_millis(20)),
            status => break status,
        }
    };
    child.kill().ok();
    status.and_then(|status| status.code())
}

impl Run {
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
