//! What the documents say, done: their commands run, their JSON parses, and what they name is there.
//!
//! Guards against a README that once was true. Its Rust, and that of the API's spec, are doc tests; see `src/lib.rs`.
#![cfg(feature = "cli")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const DOCUMENTS: [&str; 13] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/verification.md",
    "conformance/README.md",
    "spec/v0/SPEC.md",
    "spec/api/v0/SPEC.md",
    "spec/remote/v0/SPEC.md",
    "spec/abi/v0/SPEC.md",
    "spec/format/SPEC.md",
    "spec/protocol/SPEC.md",
    "spec/crash/SPEC.md",
];

/// Lines of the README that run as something else here: the line, what is run, and why.
const INSTEAD: [(&str, &str, &str); 3] = [
    (
        "cargo install --path .",
        "plasmite version",
        "an optimised build takes minutes, and the program is on the path already",
    ),
    (
        "plasmite serve",
        "plasmite serve check --bind 127.0.0.1:0",
        "it serves for ever; tests/serve does the rest",
    ),
    (
        "plasmite follow build --where '.data.reason == \"compiler-artifact\"' --data-only",
        "plasmite follow build --where '.data.reason == \"compiler-artifact\"' --data-only --no-follow | grep core",
        "it follows for ever, from another terminal",
    ),
];

/// Stands in for cargo, so that no test builds: `make demo` does that. Two messages of the form that a build prints.
const CARGO: &str = r#"#!/bin/sh
[ "$*" = "test" ] && exec echo 'test result: ok'
[ "$*" = "build --message-format json" ] || exit 1
echo '{"reason":"compiler-artifact","target":{"name":"core"}}'
echo '{"reason":"build-finished","success":true}'
"#;

/// Ends a command that hangs, far beyond what any takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_command_of_the_readme_runs() {
    let text = read("README.md");
    let commands = commands(&text);
    for (line, ..) in INSTEAD {
        assert!(
            commands.iter().any(|(command, _)| command == line),
            "the README no longer says `{line}`"
        );
    }
    let place = Place::new();
    for (line, _) in commands {
        let instead = INSTEAD.iter().find(|(from, ..)| *from == line);
        let (code, out) = place.shell(instead.map_or(&line, |(_, to, _)| to));
        assert_eq!(code, Some(0), "{line}: {out}");
    }
    let (_, fed) = place.shell("plasmite follow build --no-follow --data-only");
    assert_eq!(fed.lines().count(), 2, "{fed}");
}

#[test]
fn every_session_of_the_spec_runs_as_it_is_shown() {
    let text = read("spec/v0/SPEC.md");
    let place = Place::new();
    let commands = commands(&text);
    assert!(commands.len() > 20, "the sessions were not found");
    for (line, shown) in commands {
        let (_, out) = place.shell(&line);
        assert_eq!(out, shown, "$ {line}");
    }
}

/// An id that two clauses have names neither.
#[test]
fn every_clause_has_an_id_of_its_own() {
    let mut seen = BTreeSet::new();
    for id in clause_ids() {
        assert!(seen.insert(id.clone()), "{id} is there twice");
    }
    assert!(seen.len() > 400, "only {} clauses were found", seen.len());
}

#[test]
fn the_account_of_what_is_checked_names_every_family_of_clauses() {
    let text = read("docs/verification.md");
    let promises = text.split("\n## ").nth(2).unwrap();
    let rows = promises.lines().filter(|line| line.starts_with("| "));
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(str::split_whitespace)
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))
        .collect();
    let ids = clause_ids();
    let families: BTreeSet<&str> = ids.iter().map(|id| id.split('-').next().unwrap()).collect();
    assert_eq!(named, families);
}

#[test]
fn every_json_example_parses() {
    let mut count = 0;
    for name in documents() {
        for line in blocks(&read(&name), "json")
            .iter()
            .flat_map(|block| block.lines())
        {
            assert!(
                serde_json::from_str::<Value>(line).is_ok(),
                "{name}: {line}"
            );
            count += 1;
        }
    }
    assert!(count >= 2, "the examples were not found");
}

#[test]
fn what_the_documents_name_is_there() {
    let makefile = read("Makefile");
    let is_target = |name: &str| makefile.contains(&format!("\n{name}:"));
    for name in documents() {
        let text = read(&name);
        for quoted in text.split('`').skip(1).step_by(2) {
            if let Some(call) = quoted.strip_prefix("make ") {
                let target = call.split(' ').next().unwrap();
                assert!(is_target(target), "{name}: there is no target `{target}`");
            }
            if is_path(quoted) {
                assert!(root().join(quoted).exists(), "{name}: there is no {quoted}");
            }
        }
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = root().join(&name).parent().unwrap().join(link);
            assert!(
                link.starts_with("http") || path.exists(),
                "{name}: nothing is at {link}"
            );
        }
    }
}

/// All documents, each decision among them.
fn documents() -> Vec<String> {
    let decisions = fs::read_dir(root().join("docs/decisions")).unwrap();
    let decisions = decisions.map(|file| file.unwrap().file_name().into_string().unwrap());
    let decisions = decisions.map(|name| format!("docs/decisions/{name}"));
    DOCUMENTS
        .into_iter()
        .map(str::to_owned)
        .chain(decisions)
        .collect()
}

/// The ids of all clauses, in the order of the documents.
fn clause_ids() -> Vec<String> {
    let specs = DOCUMENTS
        .into_iter()
        .filter(|name| name.starts_with("spec/"));
    let ids = specs.flat_map(|name| {
        let text = read(name);
        let ids = text.lines().filter_map(|line| {
            let (id, _) = line.strip_prefix("**[")?.split_once("]**")?;
            Some(id.to_owned())
        });
        ids.collect::<Vec<_>>()
    });
    ids.collect()
}

/// Whether this is the name of a file or directory of the project, and not a pattern or something else with a slash.
fn is_path(quoted: &str) -> bool {
    const TOP: [&str; 9] = [
        "src", "tests", "spec", "docs", "loom", "benches", "scripts", "fuzz", ".ci",
    ];
    quoted
        .split_once('/')
        .is_some_and(|(first, _)| TOP.contains(&first))
        && !quoted.contains([' ', '*', '{'])
}

/// The commands of all `console` blocks, each with the output that is shown below it.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = vec![];
    for line in blocks(text, "console")
        .iter()
        .flat_map(|block| block.lines())
    {
        match line.strip_prefix("$ ") {
            Some(command) => {
                let command = command.split("  # ").next().unwrap().trim_end();
                commands.push((command.to_owned(), String::new()));
            }
            None => {
                let (_, shown) = commands.last_mut().expect("output below a command");
                shown.push_str(line);
                shown.push('\n');
            }
        }
    }
    commands
}

/// What is fenced as `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    let ends = |rest: &str| rest.split("\n```").next().unwrap().to_owned();
    text.split(&fence).skip(1).map(ends).collect()
}

/// An empty working directory, an empty pool directory, and the programs on the path.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "work", "pools"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let cargo = dir.path().join("bin/cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Place { dir }
    }

    /// Runs one line, and gives its exit code and standard output.
    fn shell(&self, line: &str) -> (Option<i32>, String) {
        let programs = Path::new(env!("CARGO_BIN_EXE_plasmite")).parent().unwrap();
        let mut path = vec![self.dir.path().join("bin"), programs.to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(self.dir.path().join("work"))
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("PLASMITE_DIR", self.dir.path().join("pools"))
            .stdin(Stdio::null());
        let output = assert_cmd::Command::from_std(command)
            .timeout(PATIENCE)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}
