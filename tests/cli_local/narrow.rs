//! What people see on a narrow terminal.

use unicode_width::UnicodeWidthStr;

use crate::help;
use crate::support::Place;
use crate::terminal::{Terminal, screen};

const NARROW: u16 = 40;

/// What a command shows in the end on a terminal of so many columns, none of which wraps a line here.
#[track_caller]
fn shown(place: &Place, columns: u16, line: &str) -> Vec<String> {
    let (_, written) = Terminal::run(place, columns, line).finish();
    let lines = screen(&written);
    assert!(!lines.is_empty(), "{line} shows nothing");
    lines
}

/// Pools whose names, tags and data are long and wide.
fn place() -> Place {
    let place = Place::with_numbers(3);
    place
        .args(&["pool", "create", "漢字かな漢字かな", "with a blank"])
        .ok();
    for tags in [
        &["short"][..],
        &["a-tag-that-is-rather-long", "漢字漢字漢字漢字漢字"],
    ] {
        for data in [
            "{\"n\":1}",
            "{\"level\":\"error\",\"what\":\"something\"}",
            "{\"what\":\"漢字漢字漢字漢字漢字\"}",
            "{\"level\":\"error\",\"what\":\"something went wrong, and this says at length what it was\"}",
        ] {
            let tags = tags.iter().flat_map(|tag| ["--tag", tag]);
            let args: Vec<_> = ["feed", "p", data, "-q"].into_iter().chain(tags).collect();
            place.args(&args).ok();
        }
    }
    place
}

#[test]
fn nothing_is_wider_than_a_terminal_of_40_columns() {
    let place = place();
    let commands = [
        "pool list",
        "pool list --dir /tmp/there-is-no-such-directory-at-all",
        "pool info p",
        "pool info 漢字かな漢字かな",
        "pool create new 'and another that is new'",
        "pool delete new 'and another that is new'",
        "pool export p an-archive-with-a-rather-long-name --force",
        "pool import copy-of-p an-archive-with-a-rather-long-name; PLS pool delete copy-of-p",
        "pool resize p --size 2M",
        "pool resize p --size 64K --drop-oldest",
        "feed p 1",
        "feed p 1 --durability flush",
        "fetch p 4",
        "follow p --no-follow",
        "follow p --no-follow --data-only",
        "tap p -- echo hello",
        "doctor p",
        "doctor --all",
    ];
    for flags in ["--color never", "--color always"] {
        for command in commands {
            let lines = shown(&place, NARROW, &format!("PLS {command} {flags}"));
            for line in &lines {
                let fits = line.width() <= NARROW.into() || is_one_piece(line);
                assert!(fits, "{command}: {line:?}\n{}", lines.join("\n"));
            }
        }
    }
}

#[test]
fn damage_is_told_on_a_terminal_of_40_columns() {
    let place = place();
    let path = place.file("p.plasmite");
    let mut bytes = std::fs::read(&path).expect("the pool");
    let at = bytes
        .windows(9)
        .position(|it| it == b"something")
        .expect("a message");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("the pool");
    let lines = shown(&place, NARROW, "PLS doctor p");
    assert!(lines[0].starts_with("corrupt  p: "), "{lines:?}");
    let commands = lines
        .iter()
        .filter(|line| line.contains("`plasmite follow p --no-follow"));
    assert_eq!(commands.count(), 2, "commands stay whole: {lines:#?}");
    for line in &lines {
        assert!(
            line.width() <= NARROW.into() || is_one_piece(line),
            "{line}"
        );
    }
}

#[test]
fn help_fits_a_terminal_of_40_columns() {
    for command in help::commands() {
        for line in shown(&Place::new(), NARROW, &format!("PLS {command} --help")) {
            assert!(line.width() <= NARROW.into(), "{command}: {line:?}");
        }
    }
}

#[test]
fn columns_line_up_behind_wide_characters() {
    let place = place();
    let lines = shown(&place, 100, "PLS pool list");
    let columns = |line: &str| {
        let at = line.find("1M").expect("a size");
        line[..at].width()
    };
    let first = columns(&lines[1]);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(
        lines[1..].iter().all(|line| columns(line) == first),
        "{lines:#?}"
    );
    assert_eq!(lines[0].find("SIZE"), Some(first), "{lines:#?}");
}

#[test]
fn a_table_that_does_not_fit_becomes_blocks() {
    let place = Place::with_numbers(3);
    let wide = shown(&place, 60, "PLS pool list");
    assert_eq!(wide.len(), 2, "{wide:#?}");
    let narrow = shown(&place, NARROW, "PLS pool list");
    assert_eq!(
        narrow[..4],
        ["p", "  size      1M", "  oldest    1", "  newest    3"]
    );
}

#[test]
fn the_shell_may_know_the_width_of_a_terminal_that_does_not() {
    let place = Place::with_numbers(3);
    let lines = shown(&place, 0, "COLUMNS=40 PLS pool list");
    assert_eq!(lines[0], "p", "{lines:#?}");
    let lines = shown(&place, 0, "COLUMNS=60 PLS pool list");
    assert!(lines[0].starts_with("NAME  SIZE"), "{lines:#?}");
}

#[test]
fn in_a_pipe_nothing_is_broken() {
    let place = place();
    let mut command = place.command(crate::support::PLASMITE);
    let output = command
        .args(["follow", "p", "--no-follow", "--format", "pretty"])
        .env("COLUMNS", "20")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.lines()
            .any(|line| line.ends_with("  {\"level\": \"error\", \"what\": \"something\"}")),
        "{text}"
    );
}

/// Whether the line is one word, one command between backticks, or one member of a message's data, behind its indentation.
fn is_one_piece(line: &str) -> bool {
    let line = line.trim_start();
    let is_command = line.starts_with('`') && line.matches('`').count() == 2;
    let is_member = line.starts_with('"');
    !line.contains(' ') || is_command || is_member
}
