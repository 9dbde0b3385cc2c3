//! The line on the terminal that says how far long work has come.
//!
//! No test here knows how long anything takes. What has to last is more work than any machine does in half a second, and
//! is ended as soon as the line was seen; what has to be over by then is compared with a command that has shown its line.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use fs2::FileExt;

use crate::support::Place;
use crate::terminal::{Terminal, screen};

/// The key that sends SIGINT.
const CTRL_C: &str = "\x03";

/// A pool, and a file of so many messages to feed to it.
fn place_with_file(line: &str, count: usize) -> Place {
    let place = Place::new();
    place.run("pool create p").ok();
    std::fs::write(place.file("in.jsonl"), line.repeat(count)).expect("a file");
    place
}

#[test]
fn feeding_a_file_shows_how_far_it_is() {
    let place = place_with_file("1\n", 20_000_000);
    let mut terminal = Terminal::run(&place, 100, "PLS feed p -f in.jsonl > receipts");
    // More than one percent, so that what is left is told as well.
    terminal.wait_until(|text| text.contains(" left\x1b[K"));
    terminal.press(CTRL_C);
    let (status, written) = terminal.finish();
    assert_eq!(status.code(), Some(130), "{written}");
    let last = written
        .rsplit('\r')
        .find(|line| line.contains(" left"))
        .expect("a line");
    let parts: Vec<_> = last.trim_end_matches("\x1b[K").split(", ").collect();
    assert!(
        parts[0].starts_with("feeding in.jsonl: ") && parts[0].ends_with("% of 38.1M"),
        "{last}"
    );
    assert!(
        parts[1].ends_with(" messages") && parts[2].ends_with("/s"),
        "{last}"
    );
    assert!(
        screen(&written)
            .iter()
            .all(|line| !line.contains("feeding")),
        "{written}"
    );
}

#[test]
fn a_narrow_terminal_gets_a_line_that_fits() {
    let place = place_with_file("1\n", 20_000_000);
    let mut terminal = Terminal::run(&place, 40, "PLS feed p -f in.jsonl > receipts");
    terminal.wait_until(|text| text.contains("% of 38.1M"));
    terminal.press(CTRL_C);
    let (_, written) = terminal.finish();
    for line in written.split('\r').filter(|line| line.contains("feeding")) {
        assert!(line.trim_end_matches("\x1b[K").len() < 40, "{line}");
    }
}

#[test]
fn checking_pools_shows_how_long_it_takes() {
    let place = Place::new();
    place.run("pool create p --size 8M").ok();
    place.pipe("feed p -q", "[1,2,3]\n".repeat(150_000)).ok();
    for n in 0..2_000 {
        let link = place.file(&format!("p{n}.plasmite"));
        std::os::unix::fs::symlink(place.file("p.plasmite"), link).expect("a link");
    }
    for command in ["PLS doctor --all", "PLS doctor --all --json > reports"] {
        let mut terminal = Terminal::run(&place, 200, command);
        terminal.wait_until(|text| {
            text.contains("checking the pools in ") && text.contains(" s\x1b[K")
        });
        terminal.press(CTRL_C);
        let (status, written) = terminal.finish();
        assert_eq!(status.code(), Some(130), "{written}");
        assert!(
            screen(&written)
                .iter()
                .all(|line| !line.contains("checking")),
            "{written}"
        );
    }
}

#[test]
fn exporting_a_pool_shows_how_far_it_is() {
    let place = Place::with_numbers(3);
    place.pipe("feed p -q", "[1,2,3]\n".repeat(5_000)).ok();
    // More than a pipe holds, and nobody reads it.
    let line = "mkfifo archive; exec 3<>archive; PLS pool export p > archive";
    let mut terminal = Terminal::run(&place, 100, line);
    terminal
        .wait_until(|text| text.contains("exporting p: ") && text.contains("% of 5003 messages"));
    terminal.press(CTRL_C);
    let (status, written) = terminal.finish();
    assert_eq!(status.code(), Some(130), "{written}");
    assert!(screen(&written).is_empty(), "{written:?}");
}

#[test]
fn importing_an_archive_shows_how_far_it_is() {
    let place = Place::with_numbers(3);
    let few = place.run("pool export p").ok();
    std::fs::write(place.file("few"), &few).expect("a file");
    let lines: Vec<_> = few.lines().collect();
    let mut large = format!("{}\n", lines[0]);
    for seq in 1..1_000_000 {
        large += &lines[1].replacen("\"seq\":1,", &format!("\"seq\":{seq},"), 1);
        large.push('\n');
    }
    std::fs::write(place.file("large"), large).expect("a file");
    // What is piped in is of a length that nobody knows.
    let pipe = place.file("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let is_interrupted = |mut terminal: Terminal, total: &str| {
        terminal.wait_until(|text| text.contains("importing q: ") && text.contains(total));
        terminal.press(CTRL_C);
        let (status, written) = terminal.finish();
        assert_eq!(status.code(), Some(130), "{written}");
        assert!(!written.contains("error"), "{written}");
        assert!(!place.file("q.plasmite").exists());
    };
    is_interrupted(
        Terminal::run(&place, 100, "PLS pool import q large"),
        "% of ",
    );
    let terminal = Terminal::run(&place, 100, "PLS pool import q < pipe");
    let mut few = std::fs::File::options()
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    writeln!(few, "{}", lines[..3].join("\n")).expect("it reads");
    is_interrupted(terminal, "2 messages");
}

#[test]
fn resizing_a_pool_shows_how_far_it_is() {
    let place = Place::with_numbers(3);
    let holder = std::fs::File::open(place.file("p.plasmite")).expect("the pool");
    FileExt::lock_exclusive(&holder).expect("the lock");
    let mut terminal = Terminal::run(&place, 100, "PLS pool resize p --size 2M");
    terminal.wait_until(|text| text.contains("resizing p: 100% of 3 messages"));
    terminal.press(CTRL_C);
    let (_, written) = terminal.finish();
    assert!(
        screen(&written)
            .iter()
            .all(|line| !line.contains("resizing")),
        "{written}"
    );
    assert_eq!(holder.metadata().expect("the pool").len(), 1 << 20);
}

#[test]
fn errors_and_receipts_are_not_garbled_by_the_line() {
    let place = place_with_file("1\nnot json\n", 5_000_000);
    // The terminal itself neither shows the key nor drops what it has not shown yet.
    let line = "stty -echo noflsh; PLS feed p -e skip -f in.jsonl --color never";
    let mut terminal = Terminal::run(&place, 200, line);
    // Some errors and receipts after the line was drawn.
    terminal.wait_until(|text| {
        let after = text.split_once(" of 52.5M").map(|(_, after)| after);
        after.is_some_and(|after| after.matches("\nerror: line ").count() > 100)
    });
    terminal.press(CTRL_C);
    let (_, written) = terminal.finish();
    let mut lines = screen(&written);
    // The key may end the program amidst its last line.
    if !written.ends_with('\n') {
        lines.pop();
    }
    for line in &lines {
        let is_receipt = line.split_once("  ").is_some_and(|(seq, time)| {
            seq.bytes().all(|byte| byte.is_ascii_digit())
                && time.starts_with("20")
                && time.ends_with('Z')
        });
        let is_ours = is_receipt || line.starts_with("error: line ") || line.starts_with("hint: ");
        assert!(is_ours, "{line:?}");
    }
}

#[test]
fn there_is_no_progress_in_a_pipe_on_a_dumb_terminal_or_when_quiet() {
    let place = place_with_file("1\n", 10);
    let holder = std::fs::File::open(place.file("p.plasmite")).expect("the pool");
    FileExt::lock_exclusive(&holder).expect("the lock");
    // All of them wait for the lock. The last to start shows its line, so the others have had the time to do the same.
    let feed = "PLS feed p -f in.jsonl --retry 1000 > /dev/null";
    let mut silent = vec![];
    for line in [
        format!("{feed} -q"),
        format!("TERM=dumb {feed}"),
        format!("{feed} 2> err"),
    ] {
        let line = format!("echo begun; {line}; echo ended");
        let mut terminal = Terminal::run(&place, 100, &line);
        terminal.wait_until(|text| text.contains("begun"));
        silent.push(terminal);
    }
    let mut shown = Terminal::run(&place, 100, feed);
    shown.wait_until(|text| text.contains("feeding in.jsonl: 0% of 20 B"));
    FileExt::unlock(&holder).expect("unlocked");
    for terminal in silent {
        let (status, written) = terminal.finish();
        assert_eq!(
            (status.code(), status.signal()),
            (Some(0), None),
            "{written}"
        );
        assert_eq!(written, "begun\r\nended\r\n");
    }
    let (_, written) = shown.finish();
    assert!(screen(&written).is_empty(), "{written:?}");
    assert_eq!(std::fs::read(place.file("err")).expect("a file"), b"");
}
