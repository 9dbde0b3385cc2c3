//! `duplex` by URL.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Running, seq};

/// A `duplex` that is known to follow, since the message that it sent is the pool's `newest`.
fn talker(place: &Place, line: &str, newest: u64) -> Running {
    let mut talker = place.spawn(line);
    talker.type_line("{\"hello\":true}");
    wait_for(place, newest);
    talker
}

fn wait_for(place: &Place, newest: u64) {
    // The pool may not be there yet.
    let newest_now = || {
        let info = serde_json::from_str::<Value>(&place.run("pool info p").out).ok()?;
        info["bounds"]["newest"].as_u64()
    };
    while newest_now() < Some(newest) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_talk_one_by_url_and_one_beside_the_pool() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    let mut far = talker(&place, &format!("duplex {url} --create"), 1);
    let mut near = talker(&place, "duplex p", 2);
    assert_eq!(seq(&far.line()), 2);
    for n in 1..=20 {
        far.type_line("1");
        assert_eq!(seq(&near.line()), 2 * n + 1);
        near.type_line("2");
        assert_eq!(seq(&far.line()), 2 * n + 2);
    }
    for run in [far.finish(), near.finish()] {
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(0), "", "")
        );
    }
}

#[test]
fn own_messages_are_told_from_others_that_are_the_same() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    let mut far = talker(&place, &format!("duplex {url} --create"), 1);
    let mut others = Vec::new();
    let mut stranger = place.spawn("feed p");
    for _ in 0..300 {
        far.type_line("1");
        stranger.type_line("1");
        others.push(seq(&stranger.line()));
    }
    let run = far.finish();
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(run.seqs(), others);
    assert_eq!(place.run("pool info p").json()["bounds"]["newest"], 601);
}

#[test]
fn it_begins_where_it_was_told_to_and_prints_all_there_is_before_it_ends() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    place
        .pipe(&format!("feed {url} --create -q"), "1\n2\n3\n")
        .ok();
    let shows = |flags: &str, input: &str| {
        let run = place.pipe(&format!("duplex {url} {flags}"), input);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{flags}");
        run.seqs()
    };
    assert_eq!(shows("", ""), [0; 0]);
    assert_eq!(shows("-n 0", ""), [0; 0]);
    assert_eq!(shows("-n 2", ""), [2, 3]);
    assert_eq!(shows("--since 1h", ""), [1, 2, 3]);
    assert_eq!(shows("--since 2500-01-01T00:00:00Z", "4"), [0; 0]);
    assert_eq!(shows("-n 2", "5"), [3, 4], "the newest when it starts");
    assert_eq!(shows("--echo-self", "6\n7"), [6, 7]);
    let late = place.pipe(&format!("duplex {url} --timeout 50ms -n 1"), "8");
    assert_eq!((late.code, late.seqs()), (Some(124), vec![7]));
    let none = format!("duplex {}/none", server.url);
    place.run(&none).fails(3, "NotFound");
}

#[test]
fn a_lost_server_ends_the_stream_that_is_sent_there() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    let mut far = talker(&place, &format!("duplex {url} --create"), 1);
    server.kill();
    far.type_line("2");
    let input = far.child.stdin.take();
    let error = far.finish().fails(8, "Io");
    assert!(!error["message"].as_str().unwrap().is_empty());
    drop(input);
}

#[test]
fn a_signal_ends_both_halves() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    let far = talker(&place, &format!("duplex {url} --create"), 1);
    let run = far.interrupt();
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(130), "", "")
    );
}
