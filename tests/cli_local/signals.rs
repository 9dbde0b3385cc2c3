//! SIGINT and SIGTERM.

use std::io::Write;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use crate::support::Place;

/// Sends a signal to a process that has had the time to set its handlers up.
pub(crate) fn send(signal: &str, child: &Child) {
    wait_for_handlers(child);
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
}

pub(crate) fn wait_for_handlers(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    let handles_signals = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = text
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:\t"))
            .unwrap_or_default();
        u64::from_str_radix(caught, 16)
            .is_ok_and(|mask| mask & (1 << 14) != 0 && mask & (1 << 1) != 0)
    };
    while !handles_signals() {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_waiting_follower_ends_with_the_signals_code() {
    let place = Place::with_numbers(1);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut follow = place.spawn("follow p -n 1");
        follow.line();
        send(signal, &follow.child);
        let run = follow.finish();
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(code), "", "")
        );
    }
}

#[test]
fn a_feed_that_waits_for_input_ends_with_the_signals_code() {
    let place = Place::with_numbers(0);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut feed = place.spawn("feed p");
        // Taken out, since waiting closes it, and it is to stay open until the command has ended.
        let mut input = feed.child.stdin.take().expect("piped");
        input.write_all(b"{\"n\":1}\n{\"n\":").expect("it reads");
        feed.line();
        send(signal, &feed.child);
        let status = feed.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code));
    }
    assert_eq!(place.run("follow p --no-follow").numbers(), [1, 1]);
}

#[test]
fn a_busy_feed_has_printed_a_receipt_for_all_that_it_appended() {
    let place = Place::with_numbers(0);
    let mut feed = place.spawn("feed p");
    let mut input = feed.child.stdin.take().expect("piped");
    let writer = thread::spawn(move || {
        while input
            .write_all(b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n")
            .is_ok()
        {}
    });
    let mut receipts = feed.line();
    send("-TERM", &feed.child);
    let run = feed.finish();
    writer.join().expect("it stops when nobody reads");
    assert_eq!((run.code, run.err.as_str()), (Some(143), ""));
    receipts += &run.out;
    assert!(receipts.ends_with("}\n"), "no part of a line");
    let last: serde_json::Value =
        serde_json::from_str(receipts.lines().last().expect("a receipt")).expect("JSON");
    assert_eq!(
        place.run("pool info p").json()["bounds"]["newest"],
        last["seq"]
    );
}

#[test]
fn a_follower_whose_reader_is_stuck_ends_all_the_same() {
    let place = Place::with_numbers(5_000);
    let mut follow = place.spawn("follow p -n 5000");
    send("-TERM", &follow.child);
    assert_eq!(follow.child.wait().expect("it ends").code(), Some(143));
}
