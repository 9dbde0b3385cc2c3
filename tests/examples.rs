//! Every example that help and the README show, run as it stands there.
//!
//! Guards against an example that was right once. They are found in the help of every command that help lists, so a new
//! command's are among them. Each runs in a place where it has to succeed: the pools that it names are there, files
//! hold what they are said to hold, a server answers. What follows for ever is ended by a signal once it has printed
//! something.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

#[path = "support/help.rs"]
mod help;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use help::{listed_commands, without_remark};
use rustix::process::{Pid, Signal, kill_process_group};

/// What is not run as it stands: how it begins, what is run in its place if anything is, and why.
const EXCEPTIONS: &[(&str, Option<&str>, &str)] = &[
    (
        "source <(plasmite completion zsh)",
        None,
        "for another shell; tests/cli_local/completion.rs runs that, where it is installed",
    ),
    (
        "plasmite completion fish | source",
        None,
        "for another shell; tests/cli_local/completion.rs runs that, where it is installed",
    ),
    (
        "plasmite serve",
        Some("plasmite serve --bind 127.0.0.1:0"),
        "its port may be taken",
    ),
];

/// The port that examples name.
const PORT: &str = "9700";
/// Ends a command that hangs, far beyond what any takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_example_of_help_runs() {
    let place = Place::new();
    let help_of = |command: &str| place.output(&format!("plasmite {command} --help"));
    let commands = listed_commands(help_of);
    let help = commands.iter().map(|command| help_of(command));
    let examples: Vec<_> = help.flat_map(|help| help::examples(&help)).collect();
    assert!(
        examples.len() > 20,
        "the examples were not found: {examples:#?}"
    );
    run_all(&place, &examples);
    for (line, ..) in EXCEPTIONS {
        assert!(
            examples.iter().any(|it| it == line),
            "no help says `{line}` any more"
        );
    }
}

#[test]
fn every_command_of_the_readme_that_needs_a_server_runs() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = readme.split("\n```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("\n```").next().unwrap().lines());
    let examples: Vec<_> = lines.map(without_remark).collect();
    assert!(examples.len() >= 3, "{examples:#?}");
    run_all(&Place::new(), &examples);
}

/// Guards the guard: an example that fails is noticed, and one that ends while it should go on.
#[test]
fn a_wrong_example_is_noticed() {
    let place = Place::new();
    for wrong in [
        "plasmite fetch chat 99999",
        "plasmite follow nowhere",
        "plasmite no-such-command",
    ] {
        let failed = std::panic::catch_unwind(|| place.run(wrong)).is_err();
        assert!(failed, "{wrong}");
    }
}

fn run_all(place: &Place, examples: &[String]) {
    for example in examples {
        match EXCEPTIONS.iter().find(|(line, ..)| line == example) {
            Some((_, Some(instead), _)) => place.run(instead),
            Some((_, None, _)) => {}
            None => place.run(example),
        }
    }
}

/// Whether a command goes on until somebody ends it.
fn lasts(command: &str) -> bool {
    let ends = [
        "--no-follow",
        "--one",
        "--timeout",
        "--until",
        "serve init",
        "serve check",
    ];
    let goes_on = ["plasmite follow", "plasmite serve", "tail -f", "/tail?"];
    goes_on.iter().any(|it| command.contains(it)) && !ends.iter().any(|it| command.contains(it))
}

/// A directory to work in, pools with the names of the examples, a server over them, and programs on the path that
/// stand in for what would ask another machine, or is not on this one.
struct Place {
    dir: tempfile::TempDir,
    server: Child,
    port: String,
}

/// Stands in for curl: another machine's events are these, and what is on this one is asked for.
const CURL: &str = r#"#!/usr/bin/env python3
import sys, urllib.request
words = iter(sys.argv[1:])
headers, data, url = {}, None, None
for word in words:
    if word == "-H":
        name, value = next(words).split(": ")
        headers[name] = value
    elif word == "-d":
        data = next(words).encode()
    elif not word.startswith("-"):
        url = word
if url.startswith("https://example.com/"):
    print('data: {"from": "another machine"}\n')
else:
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
        for line in answer:
            print(line.decode(), flush=True)
"#;

/// Stands in for jq where it is not installed.
const JQ: &str = r#"#!/usr/bin/env python3
import json, sys
words = [word for word in sys.argv[1:] if not word.startswith("-")]
for line in open(words[1]) if len(words) > 1 else sys.stdin:
    value = json.loads(line)
    if words[0] == "select(.seq)":
        if "seq" in value:
            print(line, end="")
        continue
    for name in words[0].strip(".").split("."):
        value = value[name]
    print(json.dumps(value))
"#;

/// Pools that examples follow, which get messages as long as somebody does.
const FOLLOWED: [&str; 4] = ["build", "chat", "jobs", "logs"];
/// Such a message passes the filters of all examples.
const MESSAGE: &str = "'{\"level\":\"error\",\"kind\":\"exit\"}' --tag done --tag lifecycle";

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "work", "pools"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        program(&dir.path().join("bin/curl"), CURL);
        let mut server = shell(dir.path(), "exec plasmite serve --bind 127.0.0.1:0");
        let mut server = server.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let stderr = server.stderr.as_mut().unwrap();
        BufReader::new(stderr).read_line(&mut said).unwrap();
        let port = said
            .split("127.0.0.1:")
            .nth(1)
            .unwrap_or_else(|| panic!("{said}"));
        let port = port.chars().take_while(char::is_ascii_digit).collect();
        let place = Place { dir, server, port };
        place.prepare();
        place
    }

    /// Sees to it that what an example pipes to is there: a jq that knows paths.
    fn provide_jq(&self) {
        let is_there = |dir: PathBuf| dir.join("jq").is_file();
        if !std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(is_there) {
            program(&self.dir.path().join("bin/jq"), JQ);
        }
    }

    fn prepare(&self) {
        self.provide_jq();
        for name in ["app.jsonl", "today.jsonl"] {
            fs::write(self.work().join(name), "{\"from\": \"a file\"}\n").unwrap();
        }
        fs::write(self.work().join("Makefile"), "test:\n\t@echo tested\n").unwrap();
        program(&self.work().join("backup.sh"), "#!/bin/sh\necho saved\n");
        for pool in ["build", "events", "game", "jobs", "ledger", "logs"] {
            self.output(&format!("plasmite pool create {pool}"));
        }
    }

    /// Sees to it that a pool is there, with messages.
    fn provide(&self, pool: &str) {
        self.output(&format!("seq 50 | plasmite feed {pool} --create -q"));
    }

    /// Runs an example, which has to succeed, or to go on until it is ended.
    #[track_caller]
    fn run(&self, example: &str) {
        let words_after = |verb| example.split(' ').skip_while(move |it| *it != verb).skip(1);
        // What is to be created is there from an example before, and what is to be deleted may be gone.
        self.provide("chat");
        words_after("delete").for_each(|name| self.provide(name));
        for name in words_after("create").chain(words_after("import")) {
            fs::remove_file(self.pool_file(name)).ok();
        }
        let line = example.replace(&format!(":{PORT}"), &format!(":{}", self.port));
        let said = self.work().join("said");
        let output = fs::File::create(&said).unwrap();
        let mut running = shell(self.dir.path(), &line);
        running.stdout(output.try_clone().unwrap()).stderr(output);
        let mut running = running.process_group(0).spawn().unwrap();
        let status = self.follow_through(&mut running, &line, &said);
        let is_good = status.success() || lasts(&line) && was_ended(status);
        let said = fs::read_to_string(said).unwrap();
        assert!(is_good, "`{example}` ended with {status}: {said}");
    }

    /// Gives a command messages to follow until it ends; one that lasts is ended once it has shown what it is for.
    #[track_caller]
    fn follow_through(&self, running: &mut Child, line: &str, said: &Path) -> ExitStatus {
        let started = Instant::now();
        loop {
            let status = running.try_wait().unwrap();
            let has_shown = self.has_shown(line, said);
            match status {
                Some(status) if lasts(line) => {
                    panic!("`{line}` should go on, and ended with {status}")
                }
                Some(status) => return status,
                None if lasts(line) && has_shown => {
                    let group = Pid::from_child(running);
                    kill_process_group(group, Signal::INT).unwrap();
                    return running.wait().unwrap();
                }
                None if started.elapsed() > PATIENCE => {
                    kill_process_group(Pid::from_child(running), Signal::KILL).unwrap();
                    panic!("`{line}` hangs: {}", fs::read_to_string(said).unwrap());
                }
                None => {}
            }
            // A message that is being written is none that a salvage could save.
            if line.contains("--salvage") {
                continue;
            }
            for pool in FOLLOWED {
                // One that an example has deleted takes nothing, and nobody follows it.
                let feed = format!("plasmite feed {pool} {} -q", MESSAGE);
                shell(self.dir.path(), &feed)
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
            }
        }
    }

    /// Whether a command has printed something, or fed what it reads from a file that grows.
    fn has_shown(&self, line: &str, said: &Path) -> bool {
        let feeds = line.starts_with("tail -f");
        match feeds {
            true => self
                .output("plasmite follow logs --no-follow --data-only")
                .contains("a file"),
            false => said.metadata().unwrap().len() > 0,
        }
    }

    /// The output of a line that has to succeed.
    #[track_caller]
    fn output(&self, line: &str) -> String {
        let output = shell(self.dir.path(), line).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn pool_file(&self, name: &str) -> PathBuf {
        match name.strip_prefix("./") {
            Some(name) => self.work().join(name),
            None => self.dir.path().join(format!("pools/{name}.plasmite")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A shell that runs one line in a place, in which the programs under test are on the path.
fn shell(place: &Path, line: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_plasmite")).parent().unwrap();
    let mut path = vec![place.join("bin"), programs.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut shell = Command::new("bash");
    shell
        .args(["-c", line])
        .current_dir(place.join("work"))
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("PLASMITE_DIR", place.join("pools"))
        .env_remove("PLASMITE_TOKEN_FILE")
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    shell
}

/// Whether a shell, or what it ran, was ended by the signal that ends what lasts.
fn was_ended(status: ExitStatus) -> bool {
    status.code() == Some(130) || status.signal() == Some(Signal::INT.as_raw())
}
