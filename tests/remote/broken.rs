//! Connections that break, servers that go away, and what is repeated then. [REMOTE-3] to [REMOTE-8]

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{
    Fake, Place, Server, answer, cut_stream, envelope, read_head, seq, whole_stream,
};

const POOL: &str = "00000000-0000-0000-0000-000000000001";
const OTHER: &str = "00000000-0000-0000-0000-000000000002";
const APPENDED: &str = r#"{"message":{"seq":1,"time":"2026-11-24T00:27:44.105076723Z","meta":{"tags":[]},"data":1},"durability":"fast"}"#;
const NOT_ALLOWED: &str = r#"{"error":{"kind":"Permission","message":"m","hint":"h"}}"#;

#[test]
fn follow_goes_on_after_a_restart_and_tells_what_is_gone() {
    let place = Place::new();
    let server = place.serve();
    place.run("pool create p --size 64K").ok();
    place.pipe("feed p -q", "1\n2\n3\n").ok();
    let mut follow = place.spawn(&format!("follow {}/p --from 1", server.url));
    let seen: Vec<u64> = (0..3).map(|_| seq(&follow.line())).collect();
    assert_eq!(seen, [1, 2, 3]);
    let address = server.kill();
    place
        .pipe(
            "feed p -q",
            format!("\"{}\"\n", "x".repeat(8000)).repeat(10),
        )
        .ok();
    let info = place.run("pool info p").json();
    let oldest = info["bounds"]["oldest"].as_u64().unwrap();
    assert!(oldest > 4, "{info}");
    let _server = place.serve_with(|options| options.bind = address);
    let seen: Vec<u64> = (oldest..=13).map(|_| seq(&follow.line())).collect();
    assert_eq!(seen, (oldest..=13).collect::<Vec<_>>());
    let run = follow.interrupt();
    assert_eq!(run.drops(), [(4, oldest - 1)]);
    assert_eq!(run.out, "");
}

#[test]
fn follow_ends_with_the_gap_that_it_was_told_to_end_with() {
    let place = Place::new();
    let server = place.serve();
    place.run("pool create p --size 64K").ok();
    place.pipe("feed p -q", "1\n").ok();
    let mut follow = place.spawn(&format!("follow {}/p --from 1 --gap error", server.url));
    assert_eq!(seq(&follow.line()), 1);
    let address = server.kill();
    place
        .pipe(
            "feed p -q",
            format!("\"{}\"\n", "x".repeat(8000)).repeat(10),
        )
        .ok();
    let _server = place.serve_with(|options| options.bind = address);
    assert_eq!(follow.finish().fails(9, "RetentionGap")["seq"], 2);
}

#[test]
fn what_came_after_follow_began_comes_also_over_a_restart() {
    let place = Place::new();
    let server = place.serve();
    place.pipe("feed p --create -q", "1\n2\n").ok();
    // Nothing is delivered before the connection is lost, so only what was asked for tells what is new.
    let mut newest = String::new();
    ask(&server, "notices=true&last=0&timeout_ms=0")
        .read_to_string(&mut newest)
        .unwrap();
    let head = read_head(&mut ask(&server, "notices=true&since_seq=3&tag=t"));
    let fake = Fake::answering(vec![newest, head]);
    server.kill();
    let mut follow = place.spawn(&format!("follow {} --tag t", fake.url));
    for query in ["last=0", "since_seq=3"] {
        let asked = fake.requests.recv().unwrap();
        assert!(asked.contains(query), "{asked}");
    }
    place.run("feed p 3 -q --tag t").ok();
    let _server = place.serve_with(|options| options.bind = fake.address);
    assert_eq!(seq(&follow.line()), 3);
    assert_eq!(follow.interrupt().err, "");
}

/// The answer to a tail of `p`.
fn ask(server: &Server, query: &str) -> BufReader<TcpStream> {
    let address = server.address;
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /v0/pools/p/tail?{query} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    BufReader::new(stream)
}

/// Guards against a follower that goes on in another pool, of which its next seq is a message as well.
#[test]
fn a_pool_that_was_created_again_ends_follow() {
    for (other, says) in [("p", "created again"), ("q", "deleted")] {
        let place = Place::new();
        let server = place.serve();
        place.pipe("feed p --create -q", "1\n2\n").ok();
        let mut follow = place.spawn(&format!("follow {}/p -n 1 --timeout 1m", server.url));
        assert_eq!(seq(&follow.line()), 2);
        let address = server.kill();
        place.run("pool delete p").ok();
        let feed = format!("feed {other} --create -q");
        place.pipe(&feed, "1\n2\n3\n").ok();
        let _server = place.serve_with(|options| options.bind = address);
        let end = follow.finish();
        assert_eq!(end.out, "");
        let error = end.fails(3, "NotFound");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
}

#[test]
fn a_line_that_was_cut_off_is_asked_for_again() {
    let whole = envelope(2);
    let cut = whole.split_at(20).0;
    let fake = Fake::answering(vec![
        cut_stream(POOL, &(envelope(1) + cut)),
        // What was delivered comes once more, as from a server that starts too early.
        cut_stream(
            POOL,
            &(envelope(1) + &envelope(2) + "{\"gap\":{\"first\":3,\"last\":4}}\n"),
        ),
        answer(503, "busy"),
        whole_stream(POOL, &(envelope(5) + "{\"next_seq\":6}\n")),
        whole_stream(OTHER, &envelope(1)),
    ]);
    let run = Place::new().run(&format!("follow {} --from 1", fake.url));
    assert_eq!(run.seqs(), [1, 2, 5], "{run:?}");
    assert!(
        run.err.contains(r#""missing":{"first":3,"last":4}"#),
        "{}",
        run.err
    );
    run.fails(3, "NotFound");
    let since: Vec<String> = fake
        .asked()
        .iter()
        .map(|line| {
            line.split("since_seq=")
                .nth(1)
                .unwrap()
                .split(['&', ' '])
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(since, ["1", "2", "5", "5", "6"]);
}

#[test]
fn a_stream_that_does_not_say_where_it_ends_was_cut_off() {
    // What HTTP takes for the end may be a proxy that gave up.
    let cut = "HTTP/1.1 200 OK\r\nplasmite-version: 0\r\nconnection: close\r\n\r\n".to_owned();
    let fake = Fake::answering(vec![
        cut + &envelope(1),
        whole_stream(POOL, &(envelope(2) + "{\"next_seq\":3}\n")),
    ]);
    let run = Place::new().run(&format!("follow {} --from 1 --no-follow", fake.url));
    assert_eq!((run.code, run.seqs()), (Some(0), vec![1, 2]), "{run:?}");
}

#[test]
fn what_cannot_pass_ends_follow() {
    let fake = Fake::answering(vec![
        cut_stream(POOL, &envelope(1)),
        answer(403, NOT_ALLOWED),
    ]);
    let run = Place::new().run(&format!("follow {} --from 1", fake.url));
    assert_eq!(run.seqs(), [1]);
    run.fails(6, "Permission");
}

#[test]
fn an_answer_that_does_not_come_may_mean_that_it_was_stored() {
    let place = Place::new();
    let lost =
        "HTTP/1.1 200 OK\r\nplasmite-version: 0\r\ncontent-length: 99\r\n\r\n{\"mess".to_owned();
    for cut in [
        String::new(),
        lost,
        answer(200, "{}"),
        "HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ] {
        // The first request looks whether the pool is there.
        let fake = Fake::answering(vec![answer(403, NOT_ALLOWED), cut, answer(200, APPENDED)]);
        let run = place.run(&format!("feed {} 1 --retry 3 --retry-delay 1ms", fake.url));
        let error = run.fails(8, "Io");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("may have been stored"),
            "{error}"
        );
        assert_eq!(fake.asked().len(), 2, "it was sent again");
    }
}

#[test]
fn what_cannot_have_been_stored_is_sent_again() {
    let place = Place::new();
    let busy = r#"{"error":{"kind":"Busy","message":"m","hint":"h"}}"#;
    let answers = || {
        vec![
            answer(403, NOT_ALLOWED),
            answer(423, busy),
            answer(503, busy),
            answer(200, APPENDED),
        ]
    };
    let fake = Fake::answering(answers());
    place
        .run(&format!("feed {} 1 --retry 2 --retry-delay 1ms", fake.url))
        .ok();
    let fake = Fake::answering(answers());
    place
        .run(&format!("feed {} 1 --retry 1 --retry-delay 1ms", fake.url))
        .fails(5, "Busy");
}

#[test]
fn feed_goes_on_once_a_server_that_refused_is_back() {
    let place = Place::new();
    let server = place.serve();
    let mut feed = place.spawn(&format!(
        "feed {}/p --create --retry 1000 --retry-delay 10ms",
        server.url
    ));
    feed.type_line("1");
    assert_eq!(seq(&feed.line()), 1);
    let address = server.kill();
    feed.type_line("2");
    let _server = place.serve_with(|options| options.bind = address);
    assert_eq!(seq(&feed.line()), 2);
    assert_eq!(feed.finish().code, Some(0));
    assert_eq!(place.run("follow p --no-follow --data-only").ok(), "1\n2\n");
}

#[test]
fn a_server_that_cannot_be_reached_is_io() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for line in [
        "feed U/p 1",
        "fetch U/p 1",
        "follow U/p",
        "pool create U/p",
        "pool info U/p",
        "pool list U",
        "pool delete U/p",
    ] {
        let line = line.replace('U', &format!("http://{free}"));
        let error = place.run(&line).fails(8, "Io");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("cannot be reached"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_server_of_pools_is_io() {
    let place = Place::new();
    for other in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        &answer(200, "{"),
        &answer(418, "no"),
    ] {
        let fake = Fake::answering(vec![other.to_owned()]);
        place.run(&format!("pool info {}", fake.url)).fails(8, "Io");
    }
}
