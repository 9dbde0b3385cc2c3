//! A surface behind the adapter protocol: a process that answers JSON Lines.

use std::io::{BufRead, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Kind, PATIENCE, Place, Request, Surface, answer};
use crate::lines::Lines;
use crate::process::unprivileged;

/// The process and its two streams; its standard error is that of this process.
pub(crate) struct Adapter {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines,
    last_id: u64,
}

impl Adapter {
    /// Somebody else's program, given as a command line for the shell.
    pub(crate) fn start(command: &str) -> Result<Adapter> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec {command}"));
        Adapter::run(shell).with_context(|| format!("cannot start the adapter `{command}`"))
    }

    /// This program, as an actor of a surface of its own.
    pub(crate) fn own(kind: Kind, place: &Place) -> Result<Adapter> {
        let program = std::env::current_exe()?;
        let program = place
            .program
            .with_file_name(program.file_name().unwrap_or_default());
        let mut command = unprivileged(program, place.unprivileged);
        command
            .args(["adapter", kind.name(), "--dir"])
            .arg(&place.dir);
        if let Some(url) = &place.url {
            command.args(["--url", url]);
        }
        if let Some(token) = &place.token {
            command.args(["--token", token]);
        }
        Adapter::run(command)
    }

    /// The shared library, in a process of its own.
    pub(crate) fn abi(place: &Place) -> Result<Adapter> {
        let mut command = unprivileged("python3", place.unprivileged);
        command.arg(&place.abi.adapter).arg(&place.abi.library);
        let mut adapter = Adapter::run(command)?;
        let reset = json!({"op": "reset", "dir": place.pools()});
        let told = adapter.ask(reset.as_object().context("an object")?)?;
        anyhow::ensure!(
            told.get("ok").is_some(),
            "the library cannot be used: {told}"
        );
        Ok(adapter)
    }

    fn run(mut command: Command) -> Result<Adapter> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = Lines::of(child.stdout.take().context("no stdout")?);
        Ok(Adapter {
            child,
            stdin,
            stdout,
            last_id: 0,
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Value> {
        self.last_id += 1;
        let mut request = request.clone();
        request.insert("id".into(), self.last_id.into());
        let mut line = serde_json::to_string(&request)?;
        line.push('\n');
        self.stdin.write_all(line.as_bytes())?;
        self.stdin.flush()?;
        let line = self.stdout.next(PATIENCE * 2);
        let line = line
            .ok()
            .context("no answer came")?
            .context("the adapter ended")?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
        anyhow::ensure!(
            answer["id"] == self.last_id,
            "an answer to another request: {line}"
        );
        Ok(answer)
    }
}

impl Surface for Adapter {
    fn call(&mut self, request: &Request) -> Value {
        self.ask(request)
            .unwrap_or_else(|error| answer::broken(format!("{error:#}")))
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The other side: answers each line of `requests` with one of `answers`.
pub(crate) fn answer_lines(
    surface: &mut dyn Surface,
    requests: impl BufRead,
    mut answers: impl Write,
) -> Result<()> {
    for line in requests.lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let request = request.as_object().context("a request is an object")?;
        let mut answer = surface.call(request);
        answer["id"] = request.get("id").cloned().unwrap_or(json!(null));
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}
