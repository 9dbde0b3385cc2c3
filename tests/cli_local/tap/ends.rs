//! How a command that is tapped ends: by itself, by a signal, with something left behind.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{is_whole_line, signal, wait_until, wait_until_gone};
use crate::signals::send;
use crate::support::{PLASMITE, Place};

#[test]
fn the_exit_code_is_that_of_the_command() {
    let place = Place::new();
    for code in [0, 1, 2, 9, 124, 130, 255] {
        let run = place.tap("", &format!("exit {code}"));
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(code), "", "")
        );
        assert_eq!(place.ending()["code"], code);
        assert_eq!(place.ending()["signal"], Value::Null);
    }
    for (name, code) in [
        ("KILL", 137),
        ("TERM", 143),
        ("INT", 130),
        ("SEGV", 139),
        ("USR1", 138),
    ] {
        let run = place.tap("", &format!("echo last; kill -{name} $$; sleep 60"));
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(code), "last\n", "")
        );
        assert_eq!(place.ending()["signal"], format!("SIG{name}"));
        assert_eq!(place.ending()["code"], Value::Null);
    }
    let run = place.tap("", "kill -40 $$; sleep 60");
    assert_eq!(
        (run.code, place.ending()["signal"].as_str()),
        (Some(168), Some("SIG40"))
    );
}

#[test]
fn the_exit_code_is_known_where_the_end_of_children_is_ignored() {
    let place = Place::new();
    let ignoring = place
        .command("env")
        .args(["--ignore-signal=CHLD", PLASMITE, "tap", "p", "--create"])
        .args(["--", "sh", "-c", "exit 7"])
        .output()
        .expect("env, of coreutils");
    assert_eq!(ignoring.status.code(), Some(7), "{ignoring:?}");
    assert_eq!(place.ending()["code"], 7);
}

#[test]
fn signals_are_sent_on_and_what_comes_after_them_is_recorded() {
    let place = Place::new();
    let mut tap = place.spawn_tap(
        "",
        "trap 'echo term; sleep 0.1; echo later' TERM; trap 'echo int; exit 5' INT; \
         echo ready; while :; do sleep 0.02; done",
    );
    assert_eq!(tap.line(), "ready\n");
    for _ in 0..2 {
        send("-TERM", &tap.child);
        assert_eq!(
            (tap.line().as_str(), tap.line().as_str()),
            ("term\n", "later\n")
        );
    }
    send("-INT", &tap.child);
    let run = tap.finish();
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(5), "int\n", "")
    );
    assert_eq!(
        place.taped(),
        ["ready", "term", "later", "term", "later", "int"]
    );
    assert_eq!(place.ending()["code"], 5);
}

#[test]
fn a_signal_ends_what_does_not_care_for_it() {
    let place = Place::new();
    for (signal, name, code) in [("-TERM", "SIGTERM", 143), ("-INT", "SIGINT", 130)] {
        let mut tap = place.spawn_tap("", "echo ready; exec sleep 1000");
        assert_eq!(tap.line(), "ready\n");
        send(signal, &tap.child);
        let run = tap.finish();
        assert_eq!((run.code, run.err.as_str()), (Some(code), ""));
        assert_eq!(place.ending()["signal"], name);
    }
}

#[test]
fn what_the_command_leaves_behind_is_not_waited_for() {
    let place = Place::new();
    let run = place.tap("", "sleep 1000 & echo $!; exit 4");
    assert!(signal("-KILL", &run.out), "it goes on");
    assert_eq!(run.code, Some(4));
    assert_eq!(
        serde_json::from_str::<Value>(&run.err).expect("a notice"),
        json!({"notice": {"kind": "left-open", "streams": ["stdout", "stderr"]}})
    );
    assert_eq!(place.ending()["incomplete"], true);
    assert_eq!(place.ending()["code"], 4);
    // With its output elsewhere it is no matter of tap's.
    let run = place.tap("", "sleep 1000 > /dev/null 2>&1 & echo $!");
    assert!(signal("-KILL", &run.out), "it goes on");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(place.ending()["incomplete"], Value::Null);
}

const CHATTERBOX: &str = "(while :; do echo x; sleep 0.05; done) & echo $! > $PLASMITE_DIR/left; \
                          echo $$ > $PLASMITE_DIR/own; exit 6";

#[test]
fn what_the_command_leaves_behind_is_not_listened_to_for_ever() {
    let place = Place::new();
    let run = place.tap("-q", CHATTERBOX);
    signal("-KILL", &place.wait_for_file("left", is_whole_line));
    assert_eq!(run.code, Some(6));
    assert!(run.err.contains("left-open"), "{}", run.err);
    assert!(place.taped().len() > 1);
    assert_eq!(place.ending()["incomplete"], true);
}

#[test]
fn a_signal_after_the_end_of_the_command_ends_the_wait() {
    let place = Place::new();
    // Nothing reads what tap prints, so that no end of its streams could end it.
    let mut tap = place.spawn_tap(
        "",
        &CHATTERBOX.replace("echo x; sleep 0.05", "echo xxxxxxxxxx"),
    );
    wait_until_gone(&place.wait_for_file("own", is_whole_line));
    let mut code = None;
    wait_until("it ends", || {
        signal("-TERM", &tap.child.id().to_string());
        code = tap.child.try_wait().expect("it runs");
        code.is_some()
    });
    assert_eq!(code.and_then(|status| status.code()), Some(6));
    signal("-KILL", &place.wait_for_file("left", is_whole_line));
    assert_eq!(place.ending()["incomplete"], true);
}

#[test]
fn a_reader_that_takes_its_time_misses_nothing() {
    let place = Place::new();
    // More than one pipe holds, and less than two.
    let mut tap = place.spawn_tap(
        "",
        "echo $$ > $PLASMITE_DIR/own; exec head -c 125000 /dev/zero",
    );
    wait_until_gone(&place.wait_for_file("own", is_whole_line));
    // Longer than what others hold open would be listened to, whether they say something or not.
    thread::sleep(Duration::from_millis(10_500));
    let mut bytes = Vec::new();
    tap.out.read_to_end(&mut bytes).expect("output");
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(
        (bytes.len(), place.rebuilt("stdout").len()),
        (125_000, 125_000)
    );
    assert_eq!(place.ending()["incomplete"], Value::Null);
}

/// Ctrl-C on a terminal whose foreground group has tap and, if `apart` is empty, the command.
///
/// Tap is stopped meanwhile, so that nothing of what it does with the signal can fall together with the terminal's own.
#[cfg(target_os = "linux")]
fn interrupts_of_one_key(apart: &str) -> usize {
    let place = Place::new();
    let script = "trap 'echo int >> $PLASMITE_DIR/seen' INT; trap 'echo term >> $PLASMITE_DIR/seen; exit' TERM; \
                  echo $PPID > $PLASMITE_DIR/tap; while :; do sleep 0.02; done";
    fs::write(place.file("script"), script).expect("a file");
    let file = place.file("script");
    let line = format!(
        "trap : INT; {PLASMITE} tap p --create -- {apart} sh {}; true",
        file.display()
    );
    let mut terminal = place.command("script");
    terminal.args(["-qec", &line, "/dev/null"]);
    terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut terminal = terminal.spawn().expect("script, of util-linux");
    let tap = place.wait_for_file("tap", is_whole_line);
    assert!(signal("-STOP", &tap));
    let of_tap =
        |file: &str| fs::read_to_string(format!("/proc/{}/{file}", tap.trim())).expect("proc");
    wait_until("tap is stopped", || of_tap("stat").contains(") T "));
    let mut keys = terminal.stdin.take().expect("piped");
    keys.write_all(b"\x03").expect("a key");
    if apart.is_empty() {
        place.wait_for_file("seen", is_whole_line);
    } else {
        wait_until("the signal is there", || {
            let status = of_tap("status");
            let pending = status
                .lines()
                .find_map(|line| line.strip_prefix("ShdPnd:\t"));
            u64::from_str_radix(pending.expect("a mask"), 16).is_ok_and(|mask| mask & 2 != 0)
        });
    }
    // Of signals that came, the one with the lower number is dealt with first: this shows that the other one was.
    assert!(signal("-TERM", &tap));
    assert!(signal("-CONT", &tap));
    let seen = place.wait_for_file("seen", |seen| seen.contains("term"));
    drop(keys);
    terminal.wait().expect("it ends");
    assert_eq!(place.ending()["code"], 0);
    seen.matches("int").count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_on_the_terminal_reaches_the_command_once() {
    assert_eq!(interrupts_of_one_key(""), 1);
    // In a session of its own, the terminal does not reach it.
    assert_eq!(interrupts_of_one_key("setsid"), 1);
}
