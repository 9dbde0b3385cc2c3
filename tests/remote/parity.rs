//! What a remote pool gives is what a local one gives. [REMOTE-1] [REMOTE-2]

use plasmite::{Batch, Client, CreateOptions, Durability, PoolRef, Tags, Timestamp};
use serde_json::Value;

use crate::support::Place;

/// Data and tags that a client which decodes them would spell anew.
const ODD: [&str; 6] = [
    r#"{"b":1.50e+02,"a":0.10,"a":"\u00fc ü \/ \ud83d\ude00"}"#,
    "123456789012345678901234567890",
    "null",
    "-0.0",
    r#"[[],{},"",true]"#,
    r#"{"seq":7,"gap":{"first":1,"last":2},"next_seq":3,"error":{}}"#,
];

#[test]
fn messages_are_the_same_to_the_byte() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    place.run(&format!("pool create {url}")).ok();
    let receipts = place.pipe(&format!("feed {url} --tag a/b --tag ü"), ODD.join("\n"));
    assert_eq!(receipts.ok().lines().count(), ODD.len());
    let local = place.run("follow p --no-follow").ok();
    assert_eq!(place.run(&format!("follow {url} --no-follow")).ok(), local);
    let data = place
        .run(&format!("follow {url} --no-follow --data-only"))
        .ok();
    assert_eq!(data.lines().collect::<Vec<_>>(), ODD);
    let fetched: String = (1..=ODD.len())
        .map(|seq| place.run(&format!("fetch {url} {seq}")).ok())
        .collect();
    assert_eq!(fetched, local);
}

#[test]
fn receipts_are_those_of_a_local_pool() {
    let place = Place::new();
    let server = place.serve();
    let receipt = place
        .run(&format!(
            "feed {}/p 1 --tag t --durability flush --create --create-size 128K",
            server.url
        ))
        .json();
    let message = place.run("fetch p 1").json();
    assert_eq!(receipt["durability"], "flush");
    for member in ["seq", "time", "meta"] {
        assert_eq!(receipt[member], message[member]);
    }
    assert_eq!(place.run("pool info p").json()["file_size"], 128 << 10);
}

#[test]
fn errors_come_back_as_their_own() {
    let place = Place::new();
    let server = place.serve();
    let url = &server.url;
    place.run("pool create p --size 64K").ok();
    let large = format!("\"{}\"", "x".repeat(200_000));
    for (line, input, code, kind) in [
        ("fetch P 1", "", 3, "NotFound"),
        ("fetch NONE 1", "", 3, "NotFound"),
        ("pool info NONE", "", 3, "NotFound"),
        ("follow NONE", "", 3, "NotFound"),
        ("feed NONE 1", "", 3, "NotFound"),
        ("feed NONE", "", 3, "NotFound"),
        ("pool create P", "", 4, "AlreadyExists"),
        ("pool create NONE --size 1K", "", 2, "Usage"),
        ("pool delete NONE", "", 3, "NotFound"),
        ("feed P {", "", 2, "Usage"),
        ("feed P", "1\n{\n", 2, "Usage"),
        ("feed P", large.as_str(), 2, "Usage"),
    ] {
        let on = |p: &str, none: &str| line.replace('P', p).replace("NONE", none);
        let local = place.pipe(&on("p", "none"), input).fails(code, kind);
        let line = on(&format!("{url}/p"), &format!("{url}/none"));
        let remote = place.pipe(&line, input).fails(code, kind);
        assert_eq!(remote["message"], local["message"], "{line}");
        assert_eq!(remote["seq"], local["seq"], "{line}");
    }
}

#[test]
fn pools_are_listed_described_and_deleted() {
    let place = Place::new();
    let server = place.serve();
    let url = &server.url;
    place
        .run(&format!("pool create {url}/b {url}/v0/pools/a"))
        .ok();
    std::fs::write(place.file("broken.plasmite"), [0; 8192]).unwrap();
    let list = place.run(&format!("pool list {url}")).json();
    let names: Vec<_> = list["pools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pool| pool["name"].clone())
        .collect();
    assert_eq!(names, ["a", "b", "broken"]);
    assert_eq!(list["pools"][2]["error"]["kind"], "Corrupt");
    let (remote, local) = (
        place.run(&format!("pool info {url}/a")).json(),
        place.run("pool info a").json(),
    );
    assert_eq!(
        (&remote["uuid"], &remote["path"]),
        (&local["uuid"], &local["path"])
    );
    let gone = place.run(&format!("pool delete {url}/a {url}/b")).json();
    assert_eq!(gone["deleted"].as_array().unwrap().len(), 2);
    place.run("pool info a").fails(3, "NotFound");
    place.run(&format!("pool list {url}/a")).fails(2, "Usage");
}

#[test]
fn a_bad_record_costs_itself_alone() {
    let place = Place::new();
    let server = place.serve_with(|options| options.limits.body_bytes = 1000);
    let url = format!("{}/p", server.url);
    let long = format!("\"{}\"", "x".repeat(2000));
    let input = format!("1\n2\n{long}\n4\nnope\n6\n");
    let run = place.pipe(&format!("feed {url} --create -e skip"), &input);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.seqs(), [1, 2, 3, 4]);
    let errors: Vec<_> = run.err.lines().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].contains("line 3") && errors[1].contains("line 5"),
        "{errors:?}"
    );
    assert_eq!(
        place.run("follow p --no-follow --data-only").ok(),
        "1\n2\n4\n6\n"
    );
}

#[test]
fn a_line_that_is_typed_is_sent_at_once() {
    let place = Place::new();
    let server = place.serve();
    let mut feed = place.spawn(&format!("feed {}/p --create", server.url));
    for seq in 1..=3 {
        feed.type_line("{}");
        assert_eq!(crate::support::seq(&feed.line()), seq);
    }
    assert_eq!(feed.finish().code, Some(0));
}

#[test]
fn follow_starts_and_ends_where_it_is_told() {
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    let numbers: String = (1..=9).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    place
        .pipe(&format!("feed {url} --create -q"), &numbers)
        .ok();
    place
        .run(&format!("feed {url} {{\"n\":10}} --tag t -q"))
        .ok();
    for flags in [
        "--no-follow",
        "--no-follow -n 3",
        "--no-follow --from 8",
        "--from 4 --one",
        "-n 2 --one",
        "--no-follow --since 1h",
        "--since 1h --until 0s",
        "--no-follow --tag t",
        "--no-follow --where .data.n>7",
        "--no-follow -n 0",
        "--no-follow --since 2500-01-01T00:00:00Z",
    ] {
        let (remote, local) = (
            place.run(&format!("follow {url} {flags}")),
            place.run(&format!("follow p {flags}")),
        );
        assert_eq!(remote.ok(), local.ok(), "{flags}");
    }
    assert_eq!(
        place.run(&format!("follow {url} --timeout 1ms")).code,
        Some(124)
    );
    let mut follow = place.spawn(&format!("follow {url} --create -n 1"));
    assert_eq!(crate::support::seq(&follow.line()), 10);
    place.run("feed p 11 -q").ok();
    assert_eq!(crate::support::seq(&follow.line()), 11);
    assert_eq!(follow.interrupt().code, Some(130));
}

#[test]
fn a_limit_on_streams_ends_no_follow() {
    let place = Place::new();
    let server = place
        .serve_with(|options| options.limits.tail_timeout = std::time::Duration::from_millis(20));
    let url = format!("{}/p", server.url);
    place.run(&format!("feed {url} 1 --create -q")).ok();
    let mut follow = place.spawn(&format!("follow {url} -n 1"));
    assert_eq!(crate::support::seq(&follow.line()), 1);
    for seq in 2..=20 {
        place.run("feed p 1 -q").ok();
        assert_eq!(crate::support::seq(&follow.line()), seq);
    }
    let run = follow.interrupt();
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
}

#[test]
fn an_atomic_feed_is_one_request_or_nothing() {
    let place = Place::new();
    let server = place.serve_with(|options| options.limits.body_bytes = 10_000);
    let url = format!("{}/p", server.url);
    let feed = format!("feed {url} --create --atomic");
    place.pipe(&feed, "1\n2\nnope\n").fails(2, "Usage");
    // More than one request may hold: it is not cut into several.
    place
        .pipe(&feed, "\"0123456789\"\n".repeat(700))
        .fails(2, "Usage");
    let most = place.pipe(&feed, "1\n".repeat(1 << 20)).fails(2, "Usage");
    assert!(
        most["message"]
            .as_str()
            .unwrap()
            .contains("half of its ring"),
        "{most}"
    );
    assert_eq!(
        place.run("pool info p").json()["bounds"],
        serde_json::json!({})
    );
    let run = place.pipe(&feed, "1\n".repeat(300));
    let times = run.out.lines().map(|line| {
        let receipt: Value = serde_json::from_str(line).unwrap();
        receipt["time"].clone()
    });
    let mut times: Vec<_> = times.collect();
    assert_eq!(times.len(), 300);
    times.dedup();
    assert_eq!(times.len(), 1, "one batch has one time");
}

#[test]
fn a_replay_keeps_pauses_by_url_as_well() {
    const HOUR: u64 = 3_600_000_000_000;
    let place = Place::new();
    let server = place.serve();
    let url = format!("{}/p", server.url);
    let pool = Client::new(place.path())
        .create_pool(&PoolRef::named("p").unwrap(), CreateOptions::default())
        .unwrap();
    let now = Timestamp::now().as_nanos();
    for seq in 1..=3 {
        let mut batch = Batch::new();
        batch.push_json(b"1", &Tags::none()).unwrap();
        let stamps = [(seq, Timestamp::from_nanos(now + seq * HOUR))];
        pool.append_batch_at(&batch, &stamps, Durability::Fast)
            .unwrap();
    }
    for speed in ["max", "9999999999999"] {
        let run = place.run(&format!("follow {url} --replay {speed} --no-follow"));
        assert_eq!(run.seqs(), [1, 2, 3], "{speed}");
    }
    for flags in ["", "--no-follow", "-n 3", "--from 1"] {
        let run = place.run(&format!("follow {url} --replay 1 --timeout 50ms {flags}"));
        assert_eq!((run.code, run.seqs()), (Some(124), vec![1]), "{flags}");
    }
    let mut follow = place.spawn(&format!("follow {url} --replay 1"));
    assert_eq!(crate::support::seq(&follow.line()), 1);
    let run = follow.interrupt();
    assert_eq!((run.code, run.out.as_str()), (Some(130), ""));
}
