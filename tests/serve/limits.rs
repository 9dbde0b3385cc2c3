//! What is too much, and that it is told.

use crate::support::Server;

#[test]
fn tails_beyond_the_limit_are_refused_and_those_that_go_make_room() {
    let server = Server::start(&["--max-tail-concurrency", "2"]);
    server.create("chat");
    let tail = "GET /v0/pools/chat/tail HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut open = [server.send(tail), server.send(tail)];
    for tail in &mut open {
        assert_eq!(tail.head().0, 200);
    }
    let refused = server.get("/v0/pools/chat/tail");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "Busy"));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert_eq!(server.get("/healthz").status, 200);
    drop(open);
    // The places come back without any message, and without any help of the clock.
    while server.get("/v0/pools/chat/tail?timeout_ms=0").status != 200 {
        std::thread::yield_now();
    }
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_healthz_still_answers() {
    let server = Server::start(&["--max-connections", "2"]);
    server.create("chat");
    let tail = "GET /v0/pools/chat/tail HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut open = [server.send(tail), server.send(tail)];
    for tail in &mut open {
        assert_eq!(tail.head().0, 200);
    }
    let refused = server.get("/v0/pools");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "Busy"));
    assert!(refused.head.contains("plasmite-version: 0"));
    assert_eq!(server.get("/healthz").status, 200);
    // Many that say nothing do not keep out one that does.
    let idle: Vec<_> = (0..300).map(|_| server.send("")).collect();
    assert_eq!(server.get("/healthz").status, 200);
    drop(idle);
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let server = Server::start(&["--header-timeout", "300ms"]);
    for start in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
        // Comes to an end, or this test does not.
        server.send(start).rest();
    }
    let mut two = server.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(String::from_utf8_lossy(&two.rest()).contains("{\"ok\":true}"));
}

#[test]
fn a_body_that_does_not_come_is_refused() {
    let server = Server::start(&["--body-timeout", "200ms"]);
    server.create("chat");
    let half = "POST /v0/pools/chat/append HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20\r\nconnection: close\r\n\r\n";
    let mut connection = server.send(half);
    connection.write("{\"data\":");
    let answer = connection.answer();
    assert_eq!((answer.status, answer.kind().as_str()), (408, "Usage"));
    assert!(server.dir().exists());
}
