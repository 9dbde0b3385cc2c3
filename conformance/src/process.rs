//! Processes that a case starts and leaves running.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::lines::Lines;

/// The user that nothing belongs to.
pub(crate) const NOBODY: u32 = 65534;

/// A process with its three streams, killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Running> {
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = pipes.spawn().context("cannot start the program")?;
        let stdin = child.stdin.take();
        let stdout = Lines::of(child.stdout.take().context("no stdout")?);
        let stderr = Lines::of(child.stderr.take().context("no stderr")?);
        Ok(Running {
            child,
            stdin,
            stdout,
            stderr,
        })
    }

    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .context("its standard input is closed")?;
        stdin.write_all(text.as_bytes())?;
        Ok(stdin.flush()?)
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn output(&mut self, count: usize, stream: &str) -> Result<Value> {
        let lines = if stream == "stderr" {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        match lines.take(count, PATIENCE) {
            Ok(taken) => Ok(json!({"lines": trimmed(&taken)})),
            Err(taken) => bail!(
                "waited for {count} lines of {stream}, came {}: {taken:?}",
                taken.len()
            ),
        }
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        signal(&self.child, name)
    }

    /// Waits for its end and takes what is left of its output.
    pub(crate) fn exit(&mut self) -> Result<Value> {
        let stdout = self.stdout.take(usize::MAX, PATIENCE);
        let stderr = self.stderr.take(usize::MAX, PATIENCE);
        let (Ok(stdout), Ok(stderr)) = (stdout, stderr) else {
            bail!("waited for its end, it goes on");
        };
        let exit = wait(&mut self.child)?;
        Ok(json!({"exit": shown(exit), "stdout": stdout.concat(), "stderr": stderr.concat()}))
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn trimmed(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line.trim_end_matches('\n'))
        .collect()
}

/// Sends a signal, named as `TERM` or `SIGTERM`, to a child that was not waited for.
pub(crate) fn signal(child: &Child, name: &str) -> Result<()> {
    let signal = match name.trim_start_matches("SIG") {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        "USR1" => Signal::USR1,
        other => bail!("signal {other} is not known here"),
    };
    let pid = Pid::from_child(child);
    Ok(kill_process(pid, signal)?)
}

/// Waits for a child's end, which is not to take long.
pub(crate) fn wait(child: &mut Child) -> Result<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            bail!("waited for its end, it goes on");
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The exit code, or the signal's name.
pub(crate) fn shown(status: ExitStatus) -> Value {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.into(),
        (None, Some(1)) => "SIGHUP".into(),
        (None, Some(2)) => "SIGINT".into(),
        (None, Some(7)) => "SIGBUS".into(),
        (None, Some(9)) => "SIGKILL".into(),
        (None, Some(11)) => "SIGSEGV".into(),
        (None, Some(13)) => "SIGPIPE".into(),
        (None, Some(10)) => "SIGUSR1".into(),
        (None, Some(15)) => "SIGTERM".into(),
        (None, signal) => format!("signal {signal:?}").into(),
    }
}

/// A command that starts as a user to whom permissions apply, if this one is root.
pub(crate) fn unprivileged(program: impl AsRef<OsStr>, unprivileged: bool) -> Command {
    let mut command = Command::new(program);
    if unprivileged && rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
