//! Tails and events: where they start and end, and what they tell of what is missing.

use std::fmt::Write;

use crate::support::{Connection, Server};

fn follow(server: &Server, path: &str) -> Connection {
    let mut connection = server.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    let (status, head) = connection.head();
    assert_eq!(status, 200, "{head}");
    connection
}

#[test]
fn a_tail_starts_and_ends_where_it_was_asked_to() {
    let server = Server::start(&[]);
    server.create("chat");
    for n in 1..=5 {
        server.append("chat", &n.to_string());
    }
    let seqs = |query: &str| -> Vec<u64> {
        let answer = server.get(&format!("/v0/pools/chat/tail?timeout_ms=0&{query}"));
        answer
            .lines()
            .iter()
            .map(|line| line["seq"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(seqs(""), [1, 2, 3, 4, 5]);
    assert_eq!(seqs("since_seq=0&max=2"), [1, 2]);
    assert_eq!(seqs("since_seq=4"), [4, 5]);
    assert!(seqs("since_seq=9").is_empty());
    assert_eq!(seqs("last=2"), [4, 5]);
    assert!(seqs("last=0").is_empty());
    assert_eq!(seqs("since=1h"), [1, 2, 3, 4, 5]);
    assert!(seqs("until=1h").is_empty());
    assert!(seqs("tag=none").is_empty());
}

#[test]
fn a_message_reaches_those_who_wait_for_it() {
    let server = Server::start(&[]);
    server.create("chat");
    let mut tails: Vec<_> = (0..5)
        .map(|_| follow(&server, "/v0/pools/chat/tail?max=2"))
        .collect();
    server.append("chat", "1");
    for tail in &mut tails {
        assert!(tail.chunk().unwrap().contains(r#""data":1}"#));
    }
    server.append("chat", "2");
    for tail in &mut tails {
        assert!(tail.chunk().unwrap().contains(r#""data":2}"#));
        assert_eq!(tail.chunk(), None);
    }
}

/// Guards against a filter that ends a stream's turn for good, or its search.
#[test]
fn what_no_filter_lets_through_keeps_nothing_from_coming() {
    let server = Server::start(&[]);
    server.create("chat");
    let messages = vec![r#"{"data":0}"#; 700].join(",");
    let batch = format!(r#"{{"messages":[{messages},{{"data":1,"tags":["t"]}}]}}"#);
    server.post("/v0/pools/chat/append_batch", &batch);
    let mut tail = follow(&server, "/v0/pools/chat/tail?tag=t&max=2");
    assert!(tail.chunk().unwrap().contains(r#""seq":701,"#));
    server.post("/v0/pools/chat/append_batch", &batch);
    assert!(tail.chunk().unwrap().contains(r#""seq":1402,"#));
    let caught_up = server.get("/v0/pools/chat/tail?tag=none&timeout_ms=0&notices=true");
    assert_eq!(caught_up.body, "{\"next_seq\":1403,\"end\":\"timeout\"}\n");
}

/// A pool that was lapped, and the first seq that is still there.
fn lapped(server: &Server) -> u64 {
    server.post("/v0/pools", r#"{"pool":"small","size_bytes":65536}"#);
    for round in 0..20 {
        let mut messages = String::new();
        for n in 0..10 {
            let comma = if n == 0 { "" } else { "," };
            let data = "x".repeat(800);
            write!(messages, r#"{comma}{{"data":"{round}{data}"}}"#).unwrap();
        }
        let body = format!(r#"{{"messages":[{messages}]}}"#);
        assert_eq!(
            server.post("/v0/pools/small/append_batch", &body).status,
            200
        );
    }
    let info = server.get("/v0/pools/small/info").json();
    info["pool"]["bounds"]["oldest"].as_u64().unwrap()
}

#[test]
fn what_is_missing_is_told_as_the_policy_says() {
    let server = Server::start(&[]);
    let oldest = lapped(&server);
    assert!(oldest > 1);
    let tail = |query: &str| server.get(&format!("/v0/pools/small/tail?timeout_ms=0&{query}"));
    let error = tail("since_seq=1&gap_policy=error&tag=none");
    assert_eq!((error.status, error.kind().as_str()), (410, "RetentionGap"));
    assert_eq!(error.json()["error"]["seq"], 1);
    assert_eq!(tail("since_seq=1&max=1").lines()[0]["seq"], oldest);
    let told = tail("since_seq=1&notices=true").lines();
    assert_eq!(
        told[0]["gap"],
        serde_json::json!({"first": 1, "last": oldest - 1})
    );
    assert_eq!(told[1]["seq"], oldest);
    assert_eq!(told.last().unwrap()["next_seq"], 201);
    let events = server
        .get("/v0/ui/pools/small/events?timeout_ms=0&since_seq=1&max=1")
        .body;
    assert!(
        events.starts_with(&format!(
            "id: {0}\nevent: gap\ndata: {{\"first\":1,\"last\":{0}}}\n\n",
            oldest - 1
        )),
        "{events}"
    );
}

#[test]
fn events_go_on_after_the_last_one_that_was_seen() {
    let server = Server::start(&[]);
    server.create("chat");
    for n in 1..=3 {
        server.append("chat", &n.to_string());
    }
    let path = "/v0/ui/pools/chat/events?timeout_ms=0";
    let resumed = server.ask("GET", path, &["last-event-id: 2"], "");
    assert!(resumed.head.contains("content-type: text/event-stream"));
    assert!(
        resumed.body.starts_with("id: 3\ndata: {\"seq\":3,"),
        "{}",
        resumed.body
    );
    assert!(resumed.body.ends_with("\"data\":3}\n\n"));
}

/// Guards against a stream that waits for ever on a pool that is gone, and against one that takes others with it.
#[test]
fn a_pool_that_goes_away_ends_its_own_streams_with_an_error() {
    let server = Server::start(&[]);
    for pool in ["deleted", "removed", "cut", "other"] {
        server.create(pool);
        server.append(pool, "1");
    }
    let open = |pool: &str| {
        let mut tail = follow(&server, &format!("/v0/pools/{pool}/tail"));
        assert!(tail.chunk().unwrap().contains(r#""seq":1,"#));
        tail
    };
    let mut tails = ["deleted", "removed", "cut", "other"].map(open);
    server.ask("DELETE", "/v0/pools/deleted", &[], "");
    std::fs::remove_file(server.pool_file("removed")).unwrap();
    let cut = std::fs::OpenOptions::new()
        .write(true)
        .open(server.pool_file("cut"))
        .unwrap();
    cut.set_len(8192).unwrap();
    for (tail, kind) in tails.iter_mut().zip(["NotFound", "NotFound", "Corrupt"]) {
        let last = tail.chunk().unwrap();
        assert!(
            last.starts_with(&format!(r#"{{"error":{{"kind":"{kind}","#)),
            "{last}"
        );
        assert_eq!(tail.chunk(), None);
    }
    server.append("other", "2");
    assert!(tails[3].chunk().unwrap().contains(r#""seq":2,"#));
}

#[test]
fn a_server_that_is_asked_to_end_ends_its_streams_properly() {
    let server = Server::start(&[]);
    server.create("chat");
    server.append("chat", "1");
    let mut tail = follow(&server, "/v0/pools/chat/tail?notices=true");
    assert!(tail.chunk().unwrap().contains(r#""seq":1,"#));
    server.signal(15);
    assert_eq!(tail.chunk().unwrap(), "{\"next_seq\":2}\n");
    assert_eq!(tail.chunk(), None);
    assert_eq!(server.end().0, Some(0));
}

/// Guards against an acknowledgement of what a killed server takes with it.
#[test]
fn what_was_acknowledged_outlives_a_killed_server() {
    let server = Server::start(&[]);
    server.create("chat");
    for n in 1..=1000 {
        server.append("chat", &n.to_string());
    }
    server.signal(9);
    let (code, dir) = server.end();
    assert_eq!(code, None);
    let server = Server::start_in(dir, &[]);
    let tail = server.get("/v0/pools/chat/tail?timeout_ms=0").lines();
    let data: Vec<_> = tail
        .iter()
        .map(|line| line["data"].as_u64().unwrap())
        .collect();
    assert_eq!(data, (1..=1000).collect::<Vec<_>>());
}
