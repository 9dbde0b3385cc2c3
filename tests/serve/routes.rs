//! Every route, its answer, and what it refuses.

use crate::support::Server;

#[test]
fn a_message_goes_in_and_comes_out_to_the_byte() {
    let server = Server::start(&[]);
    server.create("chat");
    let body = r#"{"data": { "b": 1.50e+02, "a": 10000000000000000000000000, "a": "\ud800" } , "tags":["x","x"]}"#;
    let appended = server.post("/v0/pools/chat/append", body);
    assert_eq!(appended.status, 200, "{appended:?}");
    let data = r#""meta":{"tags":["x","x"]},"data":{"b":1.50e+02,"a":10000000000000000000000000,"a":"\ud800"}}"#;
    assert!(appended.body.contains(data), "{}", appended.body);
    assert!(appended.body.ends_with(r#","durability":"fast"}"#));
    let fetched = server.get("/v0/pools/chat/messages/1");
    assert!(fetched.body.contains(data), "{}", fetched.body);
    let tail = server.get("/v0/pools/chat/tail?timeout_ms=0");
    assert!(tail.head.contains("content-type: application/jsonl"));
    assert!(tail.body.ends_with(&format!("{data}\n")), "{}", tail.body);
}

#[test]
fn every_answer_says_which_protocol_and_which_request_it_is() {
    let server = Server::start(&[]);
    for (method, path) in [("GET", "/healthz"), ("GET", "/nope"), ("PUT", "/v0/pools")] {
        let answer = server.ask(method, path, &["x-request-id: mine-1"], "");
        assert!(
            answer.head.contains("plasmite-version: 0\r\n"),
            "{answer:?}"
        );
        assert!(
            answer.head.contains("x-request-id: mine-1\r\n"),
            "{answer:?}"
        );
    }
    let answer = server.ask("GET", "/healthz", &["x-request-id: not mine"], "");
    assert!(answer.head.contains("x-request-id: ") && !answer.head.contains("not mine"));
}

/// Guards against a number that repeats, or that starts anew with the server.
#[test]
fn a_request_that_brings_no_id_is_given_one_of_its_own() {
    let ids = || {
        let server = Server::start(&[]);
        let id = || {
            let head = server.get("/healthz").head;
            let (_, id) = head.split_once("x-request-id: ").unwrap();
            id.lines().next().unwrap().to_owned()
        };
        [id(), id(), id()]
    };
    let mut all: Vec<String> = [ids(), ids()].concat();
    let is_id = |id: &String| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(all.iter().all(is_id), "{all:?}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6, "{all:?}");
}

/// Guards against a refusal that answers HEAD with a body, which the next answer on the connection would be taken for.
#[test]
fn an_answer_to_head_has_no_body_whoever_gives_it() {
    let server = Server::start(&["--token", "secret"]);
    for (path, host) in [
        ("/healthz", "localhost"),
        ("/v0/pools", "localhost"),
        ("/healthz", "a.b"),
    ] {
        let host = format!("host: {host}");
        let [head, get] = ["HEAD", "GET"].map(|method| server.ask(method, path, &[&host], ""));
        assert_eq!(
            (head.status, head.body.as_str()),
            (get.status, ""),
            "{path}"
        );
        let length = format!("content-length: {}\r\n", get.body.len());
        assert!(head.head.contains(&length), "{head:?}");
    }
}

#[test]
fn a_batch_goes_in_as_a_whole_or_not_at_all() {
    let server = Server::start(&[]);
    server.create("chat");
    let bad = r#"{"messages":[{"data":1},{"data":2,"tags":[3]}]}"#;
    let refused = server.post("/v0/pools/chat/append_batch", bad);
    assert_eq!((refused.status, refused.kind().as_str()), (400, "Usage"));
    assert!(
        refused.body.contains("messages[1].tags"),
        "{}",
        refused.body
    );
    let good = r#"{"messages":[{"data":1},{"data":2,"tags":["t"]}],"durability":"flush"}"#;
    let done = server.post("/v0/pools/chat/append_batch", good).json();
    assert_eq!(done["durability"], "flush");
    assert_eq!(done["messages"][0]["seq"], 1);
    assert_eq!(done["messages"][1]["meta"]["tags"][0], "t");
}

/// Guards against an array of a message's members that is taken for the message.
#[test]
fn a_message_of_a_batch_is_an_object() {
    let server = Server::start(&[]);
    server.create("chat");
    let batch = "/v0/pools/chat/append_batch";
    let refused = server.post(batch, r#"{"messages":[{"data":1},[2,null]]}"#);
    assert_eq!((refused.status, refused.kind().as_str()), (400, "Usage"));
    let accepted = server.post(batch, r#"{"messages":[{"data":1}]}"#);
    assert_eq!(accepted.json()["messages"][0]["seq"], 1);
}

#[test]
fn bodies_that_are_not_what_a_route_takes_are_refused() {
    let server = Server::start(&["--max-body-bytes", "1K"]);
    server.create("chat");
    let append = "/v0/pools/chat/append";
    for body in [
        "",
        "nope",
        "[]",
        "{}",
        r#"{"data":1"#,
        r#"{"data":1} 2"#,
        r#"{"data":1,"extra":2}"#,
        r#"{"data":1,"data":2}"#,
        r#"{"data":1,"tags":"t"}"#,
        r#"{"data":1,"durability":"slow"}"#,
        r#"{"data":[1}"#,
        r#"[1,["t"],"fast"]"#,
    ] {
        let answer = server.post(append, body);
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (400, "Usage"),
            "{body}"
        );
    }
    let form = server.ask(
        "POST",
        append,
        &["content-type: text/plain"],
        r#"{"data":1}"#,
    );
    assert_eq!((form.status, form.kind().as_str()), (415, "Usage"));
    let large = server.post(append, &format!(r#"{{"data":"{}"}}"#, "x".repeat(2000)));
    assert_eq!((large.status, large.kind().as_str()), (413, "Usage"));
    let announced = "POST /v0/pools/chat/append HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999\r\nconnection: close\r\n\r\n";
    assert_eq!(server.send(announced).answer().status, 413);
    let chunked = format!(
        "POST {append} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n800\r\n{}\r\n",
        "x".repeat(0x800)
    );
    assert_eq!(server.send(&chunked).answer().status, 413);
    let info = server.get("/v0/pools/chat/info").json();
    assert_eq!(info["pool"]["bounds"], serde_json::json!({}));
}

#[test]
fn queries_and_paths_that_cannot_be_are_refused() {
    let server = Server::start(&[]);
    server.create("chat");
    for query in [
        "since_seq=-1",
        "since_seq=18446744073709551616",
        "since_seq=+1",
        "since_seq=",
        "max=1&max=2",
        "bogus=1",
        "gap_policy=maybe",
        "since_seq=1&last=1",
        "since=yesterday",
        "timeout_ms=30001",
    ] {
        let answer = server.get(&format!("/v0/pools/chat/tail?{query}"));
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (400, "Usage"),
            "{query}"
        );
    }
    let long = "x".repeat(201);
    for name in ["a%2Fb", "..", "a%00b", "a%5Cb", &long] {
        let answer = server.get(&format!("/v0/pools/{name}/info"));
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (400, "Usage"),
            "{name}"
        );
    }
    for seq in ["-1", "x", "18446744073709551616"] {
        let answer = server.get(&format!("/v0/pools/chat/messages/{seq}"));
        assert_eq!(answer.status, 400, "{seq}");
    }
}

#[test]
fn kinds_come_with_their_status() {
    let server = Server::start(&[]);
    server.create("chat");
    let again = server.post("/v0/pools", r#"{"pool":"chat"}"#);
    assert_eq!(
        (again.status, again.kind().as_str()),
        (409, "AlreadyExists")
    );
    let missing = server.get("/v0/pools/chat/messages/7");
    assert_eq!((missing.status, missing.kind().as_str()), (404, "NotFound"));
    assert_eq!(missing.json()["error"]["seq"], 7);
    let none = server.get("/v0/pools/nobody/info");
    assert_eq!((none.status, none.kind().as_str()), (404, "NotFound"));
    let method = server.ask("DELETE", "/healthz", &[], "");
    assert_eq!((method.status, method.kind().as_str()), (405, "Usage"));
    assert!(method.head.contains("allow: get"), "{}", method.head);
    std::fs::write(server.pool_file("broken"), vec![0; 65536]).unwrap();
    let corrupt = server.get("/v0/pools/broken/info");
    assert_eq!((corrupt.status, corrupt.kind().as_str()), (500, "Corrupt"));
    let list = server.get("/v0/pools").json();
    assert_eq!(list["pools"][0]["error"]["kind"], "Corrupt");
    assert_eq!(list["pools"][1]["name"], "chat");
}

/// Guards against a server that goes on with a file that nobody else sees any more.
#[test]
fn a_pool_that_was_replaced_is_the_new_one() {
    let server = Server::start(&[]);
    server.create("chat");
    server.append("chat", "1");
    std::fs::remove_file(server.pool_file("chat")).unwrap();
    assert_eq!(server.get("/v0/pools/chat/messages/1").status, 404);
    server.create("chat");
    assert!(server.append("chat", "2").body.contains(r#""seq":1,"#));
    let deleted = server.ask("DELETE", "/v0/pools/chat", &[], "");
    assert_eq!(
        (deleted.status, deleted.body.as_str()),
        (200, r#"{"ok":true}"#)
    );
    assert_eq!(server.ask("DELETE", "/v0/pools/chat", &[], "").status, 404);
}

#[test]
fn the_description_has_every_route() {
    let server = Server::start(&[]);
    let described = server.get("/v0/openapi.json").json();
    let spec = include_str!("../../spec/remote/v0/SPEC.md");
    let routes = spec
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut count = 0;
    for (route, _) in routes {
        let Some((method, path)) = route.split_once(' ') else {
            continue;
        };
        let operation = &described["paths"][path][method.to_ascii_lowercase()];
        assert!(operation["responses"]["200"].is_object(), "{route}");
        count += 1;
    }
    assert_eq!(count, 14);
}

#[test]
fn metrics_count_what_was_asked_and_show_the_pools() {
    let server = Server::start(&[]);
    server.create("chat");
    server.append("chat", "[1,2]");
    server.get("/nope");
    let text = server.get("/metrics").body;
    for line in [
        "plasmite_appends_total 1\n",
        "plasmite_appended_bytes_total 5\n",
        r#"plasmite_requests_total{route="none",method="GET",status="404"} 1"#,
        r#"plasmite_pool_newest_seq{pool="chat"} 1"#,
        "plasmite_open_tails 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
