//! `follow --replay`. The messages are hours apart, so that no machine is slow enough to see the end of a pause.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use plasmite::{Batch, Client, CreateOptions, Durability, PoolRef, Tags, Timestamp};

use crate::signals::send;
use crate::support::{PLASMITE, Place, code_at_its_own_end};

const HOUR: u64 = 3_600_000_000_000;

/// A pool `p` that holds `{"n":1}` and so on, each so long after the first. All of them are ahead of the clock, since no
/// message can be older than its pool.
fn film(after: &[u64], tags: &[&[&str]]) -> Place {
    let first = Timestamp::now().as_nanos() + HOUR;
    let place = Place::new();
    let name = PoolRef::named("p").expect("a name");
    let options = CreateOptions {
        size_bytes: Some(64 << 10),
        ..CreateOptions::default()
    };
    let pool = Client::new(place.path()).create_pool(&name, options);
    let mut batch = Batch::new();
    let mut stamps = Vec::new();
    for (seq, after) in (1..).zip([0].iter().chain(after)) {
        let tags = tags.get(stamps.len()).copied().unwrap_or_default();
        let data = format!("{{\"n\":{seq}}}");
        batch
            .push_json(data.as_bytes(), &Tags::new(tags))
            .expect("JSON");
        stamps.push((seq, Timestamp::from_nanos(first + after)));
    }
    pool.and_then(|pool| pool.append_batch_at(&batch, &stamps, Durability::Fast))
        .expect("a pool with messages");
    place
}

/// The time of a message.
fn time(place: &Place, seq: u64) -> String {
    let time = &place.run(&format!("fetch p {seq}")).json()["time"];
    time.as_str().expect("a time").to_owned()
}

#[test]
fn a_pause_is_as_long_as_it_was() {
    let place = film(&[0, HOUR, 2 * HOUR], &[]);
    for (flags, shown) in [
        ("--replay 1", 2),
        ("--replay 0.5 -n 2", 1),
        ("--replay 1000 --no-follow", 2),
        ("--replay 1 --from 3", 1),
        ("--replay 1 --since TIME", 1),
        ("--replay 1 --where true --data-only", 2),
        ("--replay 0.000000000000000001", 2),
    ] {
        let flags = flags.replace("TIME", &time(&place, 3));
        let run = place.run(&format!("follow p {flags} --timeout 50ms"));
        assert_eq!(
            (run.code, run.err.as_str(), run.out.lines().count()),
            (Some(124), "", shown),
            "{flags}"
        );
    }
}

#[test]
fn at_full_speed_and_at_any_that_is_fast_enough_all_come() {
    let place = film(&[0, HOUR, 2 * HOUR], &[]);
    for speed in ["max", "0", "0.0", "9999999999999", "9999999999999.5"] {
        let shows = |flags: &str| {
            let line = format!("follow p --replay {speed} {flags}");
            place.run(&line).numbers()
        };
        assert_eq!(shows("--no-follow"), [1, 2, 3, 4], "{speed}");
        assert_eq!(shows("--no-follow -n 2"), [3, 4], "{speed}");
        assert_eq!(shows("--from 2 --one"), [2], "{speed}");
        assert_eq!(shows("--one"), [1], "from the oldest on");
        let until = format!("--until {}", time(&place, 4));
        assert_eq!(shows(&until), [1, 2, 3], "{speed}");
    }
}

#[test]
fn what_passes_no_filter_is_not_paused_for() {
    let place = film(&[HOUR, HOUR + 1, 2 * HOUR], &[&[], &["a"], &["a"], &["b"]]);
    for filter in ["--tag a", "--where .data.n==(2,3)"] {
        let run = place.run(&format!("follow p --replay 1 --no-follow {filter}"));
        assert_eq!(run.numbers(), [2, 3], "{filter}");
    }
    let first = place.run("follow p --replay 1 --one --tag b").numbers();
    assert_eq!(first, [4], "the first comes at once");
}

#[test]
fn it_goes_on_with_what_comes() {
    let place = film(&[HOUR], &[]);
    let mut follow = place.spawn("follow p --replay 9999999999999");
    assert!(follow.line().ends_with("{\"n\":1}}\n"));
    assert!(follow.line().ends_with("{\"n\":2}}\n"));
    place.run("feed p {\"n\":3} -q").ok();
    assert!(follow.line().ends_with("{\"n\":3}}\n"));
}

#[test]
fn a_signal_ends_a_pause() {
    let place = film(&[HOUR], &[]);
    for flags in ["", "--where true", "--no-follow"] {
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let mut follow = place.spawn(&format!("follow p --replay 1 {flags}"));
            assert!(follow.line().ends_with("{\"n\":1}}\n"));
            send(signal, &follow.child);
            let run = follow.finish();
            assert_eq!(
                (run.code, run.out.as_str(), run.err.as_str()),
                (Some(code), "", ""),
                "{flags}"
            );
        }
    }
}

#[test]
fn it_notices_in_a_pause_that_nobody_reads() {
    let place = film(&[HOUR], &[]);
    let mut follow = place
        .command(PLASMITE)
        .args(["follow", "p", "--replay", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut out = BufReader::new(follow.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("a line");
    drop(out);
    assert_eq!(code_at_its_own_end(&mut follow), Some(0));
    let run = follow.wait_with_output().expect("it ended");
    assert!(run.stderr.is_empty());
}

#[test]
fn what_is_overwritten_in_a_pause_is_missing() {
    for (flags, code) in [("--no-follow", 0), ("--gap error", 9)] {
        let place = film(&[HOUR], &[]);
        // Read to the newest there is now, which lies behind what is overwritten.
        let last: String = "0\n".repeat(3);
        place.pipe("feed p -q", last).ok();
        let mut follow = place.spawn(&format!("follow p --replay 7200 {flags}"));
        // It is written out once the second is waited for.
        assert!(follow.line().ends_with("{\"n\":1}}\n"));
        send("-STOP", &follow.child);
        let many: String = (0..2_000).map(|n| format!("\"{n:0100}\"\n")).collect();
        place.pipe("feed p -q", many).ok();
        let oldest = &place.run("pool info p").json()["bounds"]["oldest"];
        send("-CONT", &follow.child);
        assert!(follow.line().ends_with("{\"n\":2}}\n"), "as it was read");
        let run = follow.finish();
        assert_eq!(run.code, Some(code), "{run:?}");
        let told: serde_json::Value = serde_json::from_str(&run.err).expect("one line");
        match code {
            0 => assert_eq!(told["notice"]["missing"]["first"], 3, "{told}, {oldest}"),
            _ => assert_eq!(told["error"]["seq"], 3, "{told}"),
        }
    }
}

#[test]
fn a_speed_is_a_plain_number_or_max() {
    let place = film(&[], &[]);
    for speed in ["fast", "-1", "1e3", "inf", "1x", "", "5s"] {
        let error = place
            .args(&["follow", "p", "--replay", speed])
            .fails(2, "Usage");
        let message = error["message"].as_str().expect("a message");
        assert!(
            speed.is_empty() || message.contains("0.5") && message.contains("max"),
            "{error}"
        );
    }
}
