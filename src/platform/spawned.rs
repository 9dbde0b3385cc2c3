//! Runs one test in a process of its own, for what a process survives only once.

use std::process::{Command, ExitStatus, Stdio};

const VARIABLE: &str = "PLASMITE_TEST_ARGUMENT";

/// What the test was spawned with; `None` in the process that has to do the spawning.
pub(super) fn argument() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Runs `test`, which is named by its full path in the crate, with `argument`.
pub(super) fn run(test: &str, argument: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(VARIABLE, argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}
