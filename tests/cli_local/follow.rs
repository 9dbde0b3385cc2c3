//! `follow`, without filters in jq.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{NONE, PLASMITE, Place, code_at_its_own_end};

#[test]
fn it_starts_where_it_was_told_to() {
    let place = Place::with_numbers(5);
    let shows = |flags: &str| {
        place
            .run(&format!("follow p {flags} --no-follow"))
            .numbers()
    };
    assert_eq!(shows(""), [1, 2, 3, 4, 5]);
    assert_eq!(shows("-n 2"), [4, 5]);
    assert_eq!(shows("--tail 9"), [1, 2, 3, 4, 5]);
    assert_eq!(shows("-n 0"), NONE);
    assert_eq!(shows("--from 4"), [4, 5]);
    assert_eq!(shows("--from 0"), [1, 2, 3, 4, 5]);
    assert_eq!(shows("--since 1h"), [1, 2, 3, 4, 5]);
    assert_eq!(shows("--since 0s"), NONE);
    assert_eq!(shows("--since 2020-01-01T00:00:00+01:00"), [1, 2, 3, 4, 5]);
    assert_eq!(shows("--until 1h"), NONE);
    assert_eq!(shows("--no-notify"), [1, 2, 3, 4, 5]);
}

#[test]
fn since_is_inclusive_and_until_is_not() {
    let place = Place::with_numbers(0);
    for n in 1..=3 {
        place.run(&format!("feed p {{\"n\":{n}}} -q")).ok();
    }
    let time = place.run("fetch p 2").json()["time"]
        .as_str()
        .expect("a time")
        .to_owned();
    let shows = |flag: &str| {
        place
            .run(&format!("follow p --no-follow {flag} {time}"))
            .numbers()
    };
    assert_eq!(shows("--since"), [2, 3]);
    assert_eq!(shows("--until"), [1]);
    assert_eq!(
        place
            .run(&format!("follow p -n 3 --until {time}"))
            .numbers(),
        [1]
    );
}

#[test]
fn a_time_out_of_reach_is_before_or_after_everything() {
    let place = Place::with_numbers(2);
    let shows = |flags: &str| {
        place
            .run(&format!("follow p {flags} --no-follow"))
            .numbers()
    };
    for late in [
        "2554-07-22T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
    ] {
        assert_eq!(shows(&format!("--since {late}")), NONE);
        assert_eq!(shows(&format!("--until {late}")), [1, 2]);
    }
    for early in [
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "99999999999999999999d",
    ] {
        assert_eq!(shows(&format!("--since {early}")), [1, 2]);
        assert_eq!(shows(&format!("--until {early}")), NONE);
    }
}

#[test]
fn what_is_appended_before_a_start_in_the_future_is_not_shown() {
    let place = Place::with_numbers(2);
    let mut follow = place.spawn("follow p --since 2500-01-01T00:00:00Z --timeout 1s");
    crate::signals::wait_for_handlers(&follow.child);
    place.run("feed p {\"n\":3} -q").ok();
    assert_eq!(follow.line(), "");
    assert_eq!(follow.finish().code, Some(124));
}

#[test]
fn it_waits_for_what_comes() {
    let place = Place::with_numbers(2);
    let mut follow = place.spawn("follow p -n 1");
    assert!(follow.line().ends_with("{\"n\":2}}\n"));
    place.run("feed p {\"n\":3} -q").ok();
    assert!(follow.line().ends_with("{\"n\":3}}\n"));
    let mut later = place.spawn("follow p --from 5 --one --no-notify");
    place.run("feed p {\"n\":4} -q").ok();
    place.run("feed p {\"n\":5} -q").ok();
    assert!(later.line().starts_with("{\"seq\":5,"));
    later.finish().ok();
}

#[test]
fn without_a_start_only_new_messages_count() {
    let place = Place::with_numbers(2);
    let mut follow = place.spawn("follow p");
    // It may not have started yet, so go on until it shows something.
    let feeder = thread::scope(|scope| {
        let line = scope.spawn(|| follow.line());
        let mut n = 2;
        while !line.is_finished() {
            n += 1;
            place.run(&format!("feed p {{\"n\":{n}}} -q")).ok();
        }
        line.join().expect("a line")
    });
    let message: serde_json::Value = serde_json::from_str(&feeder).expect("an envelope");
    assert!(
        message["seq"].as_u64().is_some_and(|seq| seq > 2),
        "{message}"
    );
}

#[test]
fn tags_are_all_needed() {
    let place = Place::with_numbers(0);
    for (n, tags) in [
        (1, "--tag a"),
        (2, "--tag a --tag b"),
        (3, "--tag b --tag c --tag a"),
        (4, ""),
    ] {
        place.run(&format!("feed p {{\"n\":{n}}} {tags} -q")).ok();
    }
    let shows = |flags: &str| {
        place
            .run(&format!("follow p --no-follow {flags}"))
            .numbers()
    };
    assert_eq!(shows("--tag a"), [1, 2, 3]);
    assert_eq!(shows("--tag a --tag b"), [2, 3]);
    assert_eq!(shows("--tag A"), NONE);
    assert_eq!(shows("--tag a --one"), [1]);
    assert_eq!(shows("-n 2 --tag a"), [3]);
}

#[test]
fn output_takes_the_form_asked_for() {
    let place = Place::with_numbers(1);
    let line = place.run("fetch p 1").ok();
    for flags in [
        "",
        "--jsonl",
        "--json",
        "--format jsonl",
        "--jsonl --format jsonl",
    ] {
        assert_eq!(
            place.run(&format!("follow p --no-follow {flags}")).ok(),
            line
        );
    }
    assert_eq!(
        place.run("follow p --no-follow --data-only").ok(),
        "{\"n\":1}\n"
    );
    assert_eq!(
        place
            .run("follow p --no-follow --data-only --format pretty")
            .ok(),
        "{\"n\": 1}\n"
    );
}

#[test]
fn a_timeout_without_output_exits_with_124() {
    let place = Place::with_numbers(1);
    let quiet = place.run("follow p --timeout 50ms");
    assert_eq!(
        (quiet.code, quiet.out.as_str(), quiet.err.as_str()),
        (Some(124), "", "")
    );
    let after = place.run("follow p -n 1 --timeout 50ms");
    assert_eq!((after.code, after.out.lines().count()), (Some(124), 1));
    place.run("follow p --no-follow --timeout 1d").ok();
    place.run("follow p -n 1 --one --timeout 1d").ok();
}

#[test]
fn until_ends_a_follower_at_that_time() {
    let place = Place::with_numbers(1);
    let soon = jiff::Timestamp::now() + Duration::from_millis(300);
    assert_eq!(
        place
            .run(&format!("follow p -n 1 --until {soon}"))
            .numbers(),
        [1]
    );
}

#[test]
fn a_missing_pool_is_created_when_asked_for() {
    let place = Place::new();
    assert_eq!(place.run("follow p --create --no-follow").ok(), "");
    assert_eq!(place.run("pool info p").json()["file_size"], 1_048_576);
    let mut follow = place.spawn("follow q --create --one --from 1");
    place.run("feed q {\"n\":1} --create -q").ok();
    assert!(follow.line().ends_with("{\"n\":1}}\n"));
}

/// A small pool whose first messages are overwritten; returns the oldest seq that is left.
fn lapped() -> (Place, u64) {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let lines: String = (1..=2_000)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(100)))
        .collect();
    place.pipe("feed p -q", lines).ok();
    let oldest = place.run("pool info p").json()["bounds"]["oldest"]
        .as_u64()
        .expect("a seq");
    assert!(oldest > 3);
    (place, oldest)
}

#[test]
fn missing_messages_are_reported_by_their_exact_range() {
    let (place, oldest) = lapped();
    for flags in ["", "--tag none", "--where false"] {
        let run = place.run(&format!("follow p --from 2 --no-follow {flags}"));
        let notice: serde_json::Value = serde_json::from_str(&run.err).expect("one line of JSON");
        let missing = json!({"first": 2, "last": oldest - 1});
        assert_eq!(
            notice,
            json!({"notice": {"kind": "drop", "pool": "p", "missing": missing, "count": oldest - 2}})
        );
        assert_eq!(run.code, Some(0));
    }
    let quiet = place
        .run("follow p --from 2 --no-follow --quiet-drops")
        .ok();
    assert_eq!(quiet.lines().count() as u64, 2_001 - oldest);
}

#[test]
fn a_gap_may_be_an_error() {
    let (place, _) = lapped();
    for flags in ["", "--tag none", "--where false", "--quiet-drops"] {
        let error = place
            .run(&format!(
                "follow p --from 2 --gap error --no-follow {flags}"
            ))
            .fails(9, "RetentionGap");
        assert_eq!(error["seq"], 2);
    }
    for flags in ["-n 5000", "--since 1h", ""] {
        place
            .run(&format!("follow p {flags} --gap error --no-follow"))
            .ok();
    }
}

#[test]
fn it_notices_that_nobody_reads_while_nothing_comes_or_a_filter_runs() {
    let place = Place::with_numbers(1);
    for (flags, lines) in [
        ("", 1),
        ("--where true", 1),
        ("--no-notify", 1),
        ("--where last(repeat(1))", 0),
    ] {
        let mut command = place.command(PLASMITE);
        let mut follow = command
            .args(format!("follow p -n 1 {flags}").split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut out = BufReader::new(follow.stdout.take().expect("piped"));
        for _ in 0..lines {
            out.read_line(&mut String::new()).expect("a line");
        }
        drop(out);
        assert_eq!(code_at_its_own_end(&mut follow), Some(0), "{flags}");
        let run = follow.wait_with_output().expect("it ended");
        assert!(run.stderr.is_empty(), "{flags}");
    }
}

#[test]
fn a_pool_deleted_under_a_follower_is_not_found() {
    let place = Place::with_numbers(1);
    let mut follow = place.spawn("follow p -n 1");
    follow.line();
    place.run("pool delete p").ok();
    follow.finish().fails(3, "NotFound");
}

#[test]
fn a_pool_truncated_under_a_follower_is_corrupt() {
    let place = Place::with_numbers(1);
    let mut follow = place.spawn("follow p -n 1");
    follow.line();
    let file = std::fs::File::options()
        .write(true)
        .open(place.file("p.plasmite"))
        .expect("the pool");
    file.set_len(4096).expect("truncated");
    follow.finish().fails(7, "Corrupt");
}
