//! Completion, by the shells themselves where they are there, and by what their scripts ask.

use std::path::Path;
use std::process::Command;

use crate::help;
use crate::support::{PLASMITE, PLS, Place};
use crate::terminal::{Terminal, programs};

/// Pools of which each has a beginning of its own.
fn place() -> Place {
    let place = Place::new();
    place
        .args(&["pool", "create", "chat", "logs", "with a blank", "漢字"])
        .ok();
    place.run("feed chat 1 -q").ok();
    place
}

/// What a script would be told for these words, of which the last is being typed.
fn asked(place: &Place, shell: &str, words: &[&str]) -> Vec<String> {
    let output = question(place, shell, words).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    assert!(output.status.success(), "{words:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.split('\n')
        .map(str::to_owned)
        .filter(|it| !it.is_empty())
        .collect()
}

fn question(place: &Place, shell: &str, words: &[&str]) -> Command {
    let mut command = place.command(PLASMITE);
    command
        .args([&["--"], words].concat())
        .current_dir(place.path())
        .env("PLASMITE_COMPLETE", shell)
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    command
}

/// Types lines on a terminal on which a shell runs, with what is needed for completion first.
fn typed(place: &Place, shell: &str, first: &str, lines: &[&str]) -> String {
    let mut terminal = Terminal::run(place, 100, shell);
    terminal.press(&format!("{first}\n"));
    for line in lines {
        terminal.press(&format!("{line}\n"));
    }
    terminal.press("exit\n");
    let (_, written) = terminal.finish();
    written
}

fn pools(place: &Place) -> Vec<String> {
    let list = place.run("pool list").json();
    let pools = list["pools"].as_array().expect("an array");
    let names = pools
        .iter()
        .map(|pool| pool["name"].as_str().expect("a name"));
    names.map(str::to_owned).collect()
}

/// Whether a shell is there; says so where it is not.
fn has(shell: &str) -> bool {
    let is_there = std::env::split_paths(&programs()).any(|dir| dir.join(shell).is_file());
    if !is_there {
        eprintln!("{shell} is not installed, and its completion goes untried");
    }
    is_there
}

const SOURCE: &str = "source <(plasmite completion ";

#[test]
fn bash_completes_commands_flags_values_and_pools() {
    let place = place();
    let lines = [
        "plasmite po\tdel\tlo\t",
        "pls pool delete wi\t",
        "pls fee\tcha\t2 --dura\tfl\t--q\t",
        "pls fol\tcha\t--no-f\t--data\t> shown",
    ];
    let written = typed(
        &place,
        "bash --norc --noprofile -i",
        &format!("{SOURCE}bash)"),
        &lines,
    );
    assert_eq!(pools(&place), ["chat", "漢字"], "{written}");
    let shown = std::fs::read_to_string(place.file("shown")).expect("a file");
    assert_eq!(shown, "1\n2\n", "{written}");
    assert!(
        !written.contains("error") && !written.contains("not found"),
        "{written}"
    );
}

#[test]
fn zsh_completes_commands_flags_values_and_pools() {
    if !has("zsh") {
        return;
    }
    let place = place();
    let first = format!("autoload -U compinit; compinit -u -D; {SOURCE}zsh)");
    let lines = [
        "plasmite po\tdel\tlo\t",
        "pls pool delete wi\t",
        "pls fee\tcha\t2 --dura\tfl\t--q\t",
        "pls fol\tcha\t--no-f\t--data\t> shown",
    ];
    let written = typed(&place, "zsh -f -i", &first, &lines);
    assert_eq!(pools(&place), ["chat", "漢字"], "{written}");
    let shown = std::fs::read_to_string(place.file("shown")).expect("a file");
    assert_eq!(shown, "1\n2\n", "{written}");
}

#[test]
fn fish_completes_commands_flags_values_and_pools() {
    if !has("fish") {
        return;
    }
    let place = place();
    let asked = |line: &str| {
        let script = format!("plasmite completion fish | source; complete -C '{line}'");
        let mut command = place.command("fish");
        command
            .args(["--no-config", "-c", &script])
            .env("PATH", programs());
        command.env("HOME", place.path()).current_dir(place.path());
        let output = command.output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let words = text
            .lines()
            .map(|line| line.split('\t').next().expect("a word").to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(asked("plasmite fo"), ["follow"]);
    assert_eq!(asked("pls pool delete w"), ["with a blank"]);
    assert_eq!(asked("pls feed chat --durability "), ["fast", "flush"]);
    assert_eq!(asked("pls feed 漢"), ["漢字"]);
}

#[test]
fn what_is_installed_completes_without_more_ado() {
    let place = place();
    let prefix = place.file("prefix");
    let mut install = place.command("bash");
    install
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-docs.sh"))
        .arg(&prefix)
        .env("PLASMITE", PLASMITE);
    let output = install.output().expect("bash");
    assert!(output.status.success(), "{output:?}");
    for file in [
        "man/man1/plasmite.1",
        "man/man1/pls.1",
        "man/man1/pls-pool-create.1",
        "bash-completion/completions/pls",
        "zsh/site-functions/_plasmite",
        "fish/vendor_completions.d/pls.fish",
    ] {
        assert!(prefix.join("share").join(file).is_file(), "{file}");
    }
    let bash = "source prefix/share/bash-completion/completions/pls";
    let written = typed(
        &place,
        "bash --norc --noprofile -i",
        bash,
        &["pls pool delete lo\t"],
    );
    assert_eq!(pools(&place), ["chat", "with a blank", "漢字"], "{written}");
    if has("zsh") {
        let zsh = "fpath=($PWD/prefix/share/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D";
        let written = typed(&place, "zsh -f -i", zsh, &["pls pool delete wi\t"]);
        assert_eq!(pools(&place), ["chat", "漢字"], "{written}");
    }
}

#[test]
fn pools_are_those_of_the_directory_that_is_meant() {
    let place = place();
    let other = place.file("other");
    let other = other.to_str().expect("UTF-8");
    place
        .args(&["pool", "create", "elsewhere", "--dir", other])
        .ok();
    for words in [
        &["plasmite", "--dir", other, "fetch", "e"][..],
        &["plasmite", "fetch", &format!("--dir={other}"), "e"],
        &["plasmite", "fetch", "--dir", "=", other, "e"],
    ] {
        // Bash hands a flag and its value over as three words, which only the look for the directory understands.
        if !words.contains(&"=") {
            assert_eq!(asked(&place, "bash", words), ["elsewhere"], "{words:?}");
        }
    }
    assert_eq!(asked(&place, "bash", &["plasmite", "fetch", "c"]), ["chat"]);
    let mut elsewhere = question(&place, "bash", &["plasmite", "fetch", "e"]);
    let output = elsewhere
        .env("PLASMITE_DIR", other)
        .output()
        .expect("it runs");
    assert_eq!(output.stdout, b"elsewhere");
    let mut at_home = question(&place, "bash", &["plasmite", "fetch", "h"]);
    place
        .args(&[
            "pool",
            "create",
            "home",
            "--dir",
            &format!("{}/.plasmite/pools", place.path().display()),
        ])
        .ok();
    let output = at_home
        .env("PLASMITE_DIR", "")
        .env("HOME", place.path())
        .output()
        .expect("it runs");
    assert_eq!(output.stdout, b"home");
}

#[test]
fn every_command_that_takes_a_pool_completes_its_name() {
    let place = place();
    let takes_pool = |command: &&String| {
        let help = place.run(&format!("{command} --help")).ok();
        let mut usage = help.lines().filter(|line| line.starts_with("Usage:"));
        usage.any(|line| line.contains("POOL"))
    };
    let commands = help::commands();
    let mut commands: Vec<_> = commands.iter().filter(takes_pool).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let delete = "pool delete".to_owned();
    commands.push(&delete);
    for command in commands {
        let mut words = vec!["plasmite"];
        words.extend(command.split(' '));
        words.push("l");
        assert_eq!(asked(&place, "fish", &words), ["logs"], "{command}");
    }
    // What is to be created is not there yet.
    assert!(asked(&place, "fish", &["pls", "pool", "create", "l"]).is_empty());
    let second = asked(&place, "fish", &["pls", "pool", "delete", "chat", "l"]);
    assert_eq!(second, ["logs"]);
}

#[test]
fn a_path_is_completed_to_a_pool_file() {
    let place = place();
    std::fs::create_dir(place.file("sub")).expect("a directory");
    std::fs::write(place.file("notes.txt"), "").expect("a file");
    let words = asked(&place, "fish", &["pls", "fetch", "./"]);
    assert!(
        words.iter().any(|word| word == "./chat.plasmite"),
        "{words:?}"
    );
    assert!(words.iter().any(|word| word == "./sub/"), "{words:?}");
    assert!(
        !words.iter().any(|word| word.contains("notes")),
        "{words:?}"
    );
    assert_eq!(
        asked(&place, "fish", &["pls", "fetch", "./lo"]),
        ["./logs.plasmite"]
    );
}

#[test]
fn completing_prints_no_error_and_creates_nothing() {
    let place = place();
    std::fs::write(place.file("damaged.plasmite"), "no pool").expect("a file");
    std::fs::write(place.file("-dash.plasmite"), "no pool").expect("a file");
    assert_eq!(asked(&place, "fish", &["pls", "fetch", "dam"]), ["damaged"]);
    assert!(
        !asked(&place, "fish", &["pls", "fetch", ""])
            .iter()
            .any(|word| word == "-dash")
    );
    let before = entries(&place);
    let missing = place.file("missing");
    let missing = missing.to_str().expect("UTF-8");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        for words in [
            &["plasmite", "--dir", missing, "feed", ""][..],
            &["plasmite", "--dir", "/dev/null", "feed", ""],
            &["plasmite", "nonsense", "more", "nonsense", ""],
            &["plasmite", "feed", "http://host/p"],
            &["plasmite", "feed", "--", ""],
            &["plasmite", "--dir"],
            &["plasmite", "pool", "delete", "'"],
            &["plasmite", ""],
            &["\u{202e}"],
        ] {
            asked(&place, shell, words);
        }
        let mut homeless = question(&place, shell, &["plasmite", "feed", ""]);
        homeless.env("PLASMITE_DIR", "").env("HOME", "");
        let output = homeless.output().expect("it runs");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    assert_eq!(entries(&place), before);
    // A variable that names no shell is none of ours.
    let output = question(&place, "1", &[""]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn the_script_is_the_same_under_both_names() {
    let place = place();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let [long, short] =
            [PLASMITE, PLS].map(|program| place.program(program, &["completion", shell], "").ok());
        assert_eq!(long, short);
    }
}

fn entries(place: &Place) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(place.path()).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    names
}
