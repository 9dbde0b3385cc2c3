//! The command line: the built program, one process for each command, with names of pools or with URLs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use serde_json::{Map, Value, json};

use super::answer::{self, Failure, broken};
use super::tail::{Asked, Start};
use super::{PATIENCE, Place, Request, Surface, data, members, number, text, texts, value, wanted};
use crate::lines::Lines;
use crate::process::{self, Running, unprivileged};

/// Longer data goes by standard input: the system takes no longer argument.
const LONGEST_ARGUMENT: usize = 100_000;

pub(crate) struct Cli {
    place: Place,
    remote: bool,
    tails: BTreeMap<String, Follower>,
    running: BTreeMap<String, Running>,
}

/// A `follow` that runs. Its standard error goes into the same pipe as its output, so that their order is seen.
struct Follower {
    child: Child,
    lines: Lines,
    asked: Asked,
    messages: u64,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command left.
struct Done {
    exit: Value,
    stdout: String,
    stderr: String,
}

impl Cli {
    pub(crate) fn new(place: Place, remote: bool) -> Cli {
        Cli {
            place,
            remote,
            tails: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    fn pool(&self, request: &Request) -> Result<String> {
        Ok(self.place.reference(self.remote, text(request, "pool")?))
    }

    /// The program as a case finds it: in the case's directory, with an environment that says nothing else.
    fn command(&self, program: &str) -> Command {
        let program = self.place.program.with_file_name(program);
        let mut command = unprivileged(program, self.place.unprivileged);
        command
            .current_dir(&self.place.dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.place.dir)
            .env("PLASMITE_DIR", self.place.pools())
            .env("PLASMITE_LOG", "off");
        if let Some(token) = self.place.token.as_ref().filter(|_| self.remote) {
            command.env("PLASMITE_TOKEN_FILE", self.place.dir.join("client.token"));
            debug_assert!(!token.is_empty());
        }
        command
    }

    fn program(&self) -> &str {
        self.place
            .program
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("plasmite")
    }

    fn run(&self, args: Vec<OsString>, stdin: &[u8]) -> Result<Done> {
        self.finish(self.command(self.program()), args, stdin)
    }

    fn finish(&self, mut command: Command, args: Vec<OsString>, stdin: &[u8]) -> Result<Done> {
        command.args(args);
        let mut command = assert_cmd::Command::from_std(command);
        let output = command.timeout(PATIENCE).write_stdin(stdin).output()?;
        Ok(Done {
            exit: process::shown(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// A command with one result in JSON.
    fn result(&self, args: &[&str]) -> Result<Value, Value> {
        let done = self
            .run(os(args), b"")
            .map_err(|error| broken(format!("{error:#}")))?;
        if done.exit != 0 {
            return Err(failure(&done.exit, &done.stderr));
        }
        serde_json::from_str(&done.stdout)
            .map_err(|_| broken(format!("no JSON: {:?}", done.stdout)))
    }

    fn do_it(&mut self, request: &Request) -> Result<Value, Value> {
        let op = text(request, "op").map_err(broken)?;
        let pool = self.pool(request);
        let pool = || pool.as_deref().map_err(broken);
        match op {
            "hello" => Ok(json!({"protocol": 1, "name": "plasmite", "can": []})),
            "reset" => {
                self.kill();
                Ok(json!({}))
            }
            "reopen" => Ok(json!({})),
            "create" => {
                let size = number(request, "size_bytes").map(|size| format!("--size={size}"));
                let slots =
                    number(request, "index_capacity").map(|n| format!("--index-capacity={n}"));
                let mut args = vec!["pool", "create", "--json"];
                args.extend(size.as_deref().into_iter().chain(slots.as_deref()));
                args.extend(["--", pool()?]);
                Ok(json!({"info": self.result(&args)?["created"][0]}))
            }
            "info" => Ok(json!({"info": self.result(&["pool", "info", "--json", "--", pool()?])?})),
            "list" => {
                let mut args = vec!["pool", "list", "--json"];
                args.extend(self.place.url.as_deref().filter(|_| self.remote));
                let mut listed = self.result(&args)?;
                for pool in listed["pools"].as_array_mut().into_iter().flatten() {
                    if let Some(pool) = pool.as_object_mut() {
                        pool.remove("mtime");
                    }
                }
                Ok(json!({"pools": listed["pools"]}))
            }
            "delete" => self
                .result(&["pool", "delete", "--json", "--", pool()?])
                .map(|_| json!({})),
            "append" => self.append(request, pool()?),
            "append_stream" => self.append_stream(request, pool()?),
            "get" => {
                let seq = number(request, "seq").unwrap_or_default().to_string();
                let args = ["fetch", "--json", "--", pool()?, &seq];
                let done = self
                    .run(os(&args), b"")
                    .map_err(|error| broken(format!("{error:#}")))?;
                if done.exit != 0 {
                    return Err(failure(&done.exit, &done.stderr));
                }
                Ok(json!({"message": done.stdout.trim_end_matches('\n')}))
            }
            "verify" => self.verify(pool()?),
            _ => Err(answer::unimplemented()),
        }
    }

    fn append(&self, request: &Request, pool: &str) -> Result<Value, Value> {
        let data = data(request).map_err(broken)?;
        let mut args = os(&["feed", "--jsonl"]);
        for tag in texts(request, "tags") {
            args.push(format!("--tag={tag}").into());
        }
        if let Some(durability) = request.get("durability").and_then(Value::as_str) {
            args.push(format!("--durability={durability}").into());
        }
        let inline = data.len() <= LONGEST_ARGUMENT && !data.contains(&0);
        let mut stdin = Vec::new();
        if inline {
            args.extend(os(&["--", pool]));
            args.push(OsString::from_vec(data));
        } else {
            args.extend(os(&["--in=json", "--", pool]));
            stdin = data;
        }
        let done = self
            .run(args, &stdin)
            .map_err(|error| broken(format!("{error:#}")))?;
        if done.exit != 0 {
            return Err(failure(&done.exit, &done.stderr));
        }
        Ok(json!({"receipt": receipt(&done.stdout)?}))
    }

    /// A record a line, as `feed` reads them from its standard input.
    fn append_stream(&self, request: &Request, pool: &str) -> Result<Value, Value> {
        let mut args = os(&["feed", "--jsonl", "--in=jsonl"]);
        for tag in texts(request, "tags") {
            args.push(format!("--tag={tag}").into());
        }
        args.extend(os(&["--", pool]));
        let stdin = texts(request, "records").join("\n");
        let done = self
            .run(args, stdin.as_bytes())
            .map_err(|error| broken(format!("{error:#}")))?;
        if done.exit != 0 {
            return Err(failure(&done.exit, &done.stderr));
        }
        let receipts: Result<Vec<Value>, Value> = done.stdout.lines().map(receipt).collect();
        Ok(json!({"receipts": receipts?}))
    }

    fn verify(&self, pool: &str) -> Result<Value, Value> {
        let done = self
            .run(os(&["doctor", "--json", "--", pool]), b"")
            .map_err(|error| broken(format!("{error:#}")))?;
        let Ok(reports) = serde_json::from_str::<Value>(&done.stdout) else {
            return Err(failure(&done.exit, &done.stderr));
        };
        let report = &reports["reports"][0];
        let corrupt = report["status"] == "corrupt";
        if done.exit != if corrupt { 7 } else { 0 } {
            return Err(broken(format!(
                "doctor exits with {} and says {report}",
                done.exit
            )));
        }
        let kept = ["status", "last_good_seq", "sound", "issue_count", "issues"];
        let kept = kept.map(|name| (name.to_owned(), report[name].clone()));
        Ok(json!({"report": Map::from_iter(kept)}))
    }

    fn follower(&self, request: &Request, follow: bool) -> Result<Follower, Failure> {
        let asked = Asked::read(request, follow)?;
        if asked.max.is_some_and(|max| max != 1) {
            return Err(Failure::Unimplemented);
        }
        let mut args = vec!["follow".to_owned(), "--jsonl".to_owned()];
        args.extend(flags(&asked));
        args.extend(["--".to_owned(), self.pool(request)?]);
        let (reader, writer) = std::io::pipe().context("no pipe")?;
        let mut command = self.command(self.program());
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("no pipe")?)
            .stderr(writer);
        let child = command.spawn().context("cannot start the program")?;
        Ok(Follower {
            child,
            lines: Lines::of(reader),
            asked,
            messages: 0,
        })
    }

    fn open_tail(&mut self, request: &Request) -> Result<Value, Failure> {
        let follower = self.follower(request, true)?;
        self.tails
            .insert(text(request, "tail")?.to_owned(), follower);
        Ok(answer::ok(json!({})))
    }

    fn tail(&mut self, request: &Request) -> Value {
        match self.follower(request, false) {
            Ok(mut follower) => follower.take((usize::MAX, None)),
            Err(failure) => answer::of(Err(failure)),
        }
    }

    fn read(&mut self, request: &Request) -> Value {
        let name = text(request, "tail").unwrap_or_default();
        let Some(follower) = self.tails.get_mut(name) else {
            return broken(format!("there is no tail {name}"));
        };
        follower.take(wanted(request))
    }

    fn raw(&mut self, request: &Request) -> Result<Value> {
        let program = request.get("program").and_then(Value::as_str);
        let mut command = self.command(program.unwrap_or(self.program()));
        for (name, value) in request
            .get("env")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            match value.as_str() {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let args = arguments(request)?;
        if let Some(name) = request.get("as").and_then(Value::as_str) {
            command.args(args);
            self.running
                .insert(name.to_owned(), Running::start(command)?);
            return Ok(json!({}));
        }
        let stdin = match request.get("stdin_base64").and_then(Value::as_str) {
            Some(text) => base64::engine::general_purpose::STANDARD.decode(text)?,
            None => request
                .get("stdin")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into(),
        };
        let done = self.finish(command, args, &stdin)?;
        Ok(json!({"exit": done.exit, "stdout": done.stdout, "stderr": done.stderr}))
    }

    fn running(&mut self, request: &Request, member: &str) -> Result<&mut Running> {
        let name = text(request, member)?;
        let running = self.running.get_mut(name);
        running.with_context(|| format!("no program runs as {name}"))
    }

    fn step(&mut self, request: &Request) -> Result<Value> {
        match text(request, "op")? {
            "cli" => self.raw(request),
            "write" => {
                let text = text(request, "text")?.to_owned();
                self.running(request, "to")?.write(&text)?;
                Ok(json!({}))
            }
            "eof" => {
                self.running(request, "to")?.close_stdin();
                Ok(json!({}))
            }
            "output" => {
                let stream = request
                    .get("stream")
                    .and_then(Value::as_str)
                    .unwrap_or("stdout");
                let count = number(request, "lines").unwrap_or(1) as usize;
                self.running(request, "from")?.output(count, stream)
            }
            "signal" => {
                let signal = text(request, "signal")?.to_owned();
                self.running(request, "to")?.signal(&signal)?;
                Ok(json!({}))
            }
            "exit" => self.running(request, "from")?.exit(),
            "close" => {
                let follower = self.tails.remove(text(request, "tail")?);
                let mut follower = follower.context("there is no such tail")?;
                process::signal(&follower.child, "TERM")?;
                let status = process::wait(&mut follower.child)?;
                let code = status.code();
                ensure!(
                    code.is_some(),
                    "a follower that was ended by SIGTERM shows {status}"
                );
                Ok(json!({}))
            }
            other => bail!("there is no step {other}"),
        }
    }
}

impl Surface for Cli {
    fn call(&mut self, request: &Request) -> Value {
        match text(request, "op").unwrap_or_default() {
            "tail" => self.tail(request),
            "read" => self.read(request),
            "open_tail" => self
                .open_tail(request)
                .unwrap_or_else(|failure| answer::of(Err(failure))),
            "cli" | "write" | "eof" | "output" | "signal" | "exit" | "close" => {
                match self.step(request) {
                    Ok(value) => answer::ok(value),
                    Err(error) => broken(format!("{error:#}")),
                }
            }
            _ => match self.do_it(request) {
                Ok(value) => answer::ok(value),
                Err(answer) => answer,
            },
        }
    }

    fn kill(&mut self) {
        self.tails.clear();
        self.running.clear();
    }
}

impl Follower {
    fn take(&mut self, (count, patience): (usize, Option<Duration>)) -> Value {
        let deadline = Instant::now() + patience.unwrap_or(PATIENCE);
        let mut items = Vec::new();
        let mut error = None;
        while items.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.next(left) {
                Ok(Some(line)) => line,
                Ok(None) => return self.end(items, error),
                Err(()) if patience.is_some() => break,
                Err(()) => {
                    return broken(format!(
                        "waited for {count} items, came {}: {items:?}",
                        items.len()
                    ));
                }
            };
            match item(&line) {
                Line::Item(item) => {
                    self.messages += u64::from(item.get("message").is_some());
                    items.push(item);
                }
                Line::Error(body) => error = Some(body),
                Line::Other => return broken(format!("a line that is none of `follow`: {line:?}")),
            }
        }
        answer::ok(json!({"items": items}))
    }

    fn end(&mut self, items: Vec<Value>, error: Option<Value>) -> Value {
        let status = match process::wait(&mut self.child) {
            Ok(status) => process::shown(status),
            Err(error) => return broken(format!("{error:#}")),
        };
        if let Some(error) = error {
            return json!({"error": error, "code": status, "items": items});
        }
        let end = match status.as_u64() {
            Some(0) if self.asked.max == Some(1) && self.messages == 1 => "max",
            Some(0)
                if self.asked.timeout_ms.is_some()
                    && self.asked.until.is_none()
                    && self.asked.follow =>
            {
                return broken("a timeout that shows exit 0");
            }
            Some(0) => self.asked.end(0),
            Some(124) if self.asked.timeout_ms.is_some() => "timeout",
            _ => return broken(format!("`follow` exits with {status} and without an error")),
        };
        answer::ok(json!({"items": items, "end": end}))
    }
}

fn flags(asked: &Asked) -> Vec<String> {
    let mut flags = Vec::new();
    match &asked.start {
        Start::Oldest if !asked.follow => {}
        // More than there are: all of them, and nothing before them is missed (GAP-8).
        Start::Oldest => flags.push(format!("--tail={}", u64::MAX)),
        Start::Newest if asked.follow => {}
        Start::Newest => flags.push("--tail=0".into()),
        Start::Seq(seq) => flags.push(format!("--from={seq}")),
        Start::Last(count) => flags.push(format!("--tail={count}")),
        Start::Time(time) => flags.push(format!("--since={time}")),
    }
    if !asked.follow {
        flags.push("--no-follow".into());
    }
    flags.extend(asked.until.iter().map(|time| format!("--until={time}")));
    flags.extend(asked.tags.iter().map(|tag| format!("--tag={tag}")));
    flags.extend(asked.timeout_ms.map(|ms| format!("--timeout={ms}ms")));
    flags.extend(asked.max.map(|_| "--one".into()));
    if asked.gap_is_error {
        flags.push("--gap=error".into());
    }
    flags
}

enum Line {
    Item(Value),
    Error(Value),
    Other,
}

fn item(line: &str) -> Line {
    let text = line.trim_end_matches('\n');
    let Some(members) = members(text) else {
        return Line::Other;
    };
    if members.contains_key("error") {
        return Line::Error(value(&members, "error"));
    }
    if members.contains_key("notice") {
        let notice = value(&members, "notice");
        let missing = &notice["missing"];
        let (first, last) = (missing["first"].as_u64(), missing["last"].as_u64());
        let count = first.zip(last).map(|(first, last)| last - first + 1);
        if notice["kind"] != "drop" || notice["count"].as_u64() != count {
            return Line::Other;
        }
        return Line::Item(json!({"gap": missing}));
    }
    if members.contains_key("seq") {
        return Line::Item(json!({"message": text}));
    }
    Line::Other
}

/// The error that a command wrote as its last line of standard error, with its exit code.
fn failure(exit: &Value, stderr: &str) -> Value {
    let last = stderr.lines().last().unwrap_or_default();
    match serde_json::from_str::<Value>(last) {
        Ok(body) if body["error"].is_object() => json!({"error": body["error"], "code": exit}),
        _ => broken(format!(
            "exit {exit} without an error on standard error: {stderr:?}"
        )),
    }
}

fn receipt(line: &str) -> Result<Value, Value> {
    let receipt: Value =
        serde_json::from_str(line).map_err(|_| broken(format!("not one receipt: {line:?}")))?;
    Ok(json!({
        "seq": receipt["seq"],
        "time": receipt["time"],
        "tags": receipt["meta"]["tags"],
        "durability": receipt["durability"],
    }))
}

fn os(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

/// Arguments are text, numbers, or bytes as `{"base64":"..."}`.
fn arguments(request: &Request) -> Result<Vec<OsString>> {
    let args = request
        .get("args")
        .and_then(Value::as_array)
        .context("no args")?;
    args.iter()
        .map(|arg| match arg {
            Value::String(text) => Ok(text.into()),
            Value::Number(number) => Ok(number.to_string().into()),
            Value::Object(member) => {
                let text = member
                    .get("base64")
                    .and_then(Value::as_str)
                    .context("no base64")?;
                Ok(OsString::from_vec(
                    base64::engine::general_purpose::STANDARD.decode(text)?,
                ))
            }
            other => bail!("an argument that is {other}"),
        })
        .collect()
}
