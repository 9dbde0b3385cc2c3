//! What is too much, and that it is told.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};

use rustix::process::{Resource, getrlimit};

use crate::support::{PATIENCE, Server};

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
    // The connection that created the pool counts until the server has seen its end.
    let _open = [(); 2].map(|()| {
        loop {
            let mut connection = server.send(tail);
            if connection.head().0 == 200 {
                return connection;
            }
        }
    });
    let refused = server.get("/v0/pools");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "Busy"));
    assert!(refused.head.contains("plasmite-version: 0"));
    assert_eq!(server.get("/healthz").status, 200);
    // Many that say nothing do not keep out one that does.
    let idle: Vec<_> = (0..300).map(|_| server.send("")).collect();
    assert_eq!(server.get("/healthz").status, 200);
    drop(idle);
}

/// Guards against a pool that each of many who ask at once opens for itself, which is too much for storage.
#[test]
fn many_that_ask_at_once_for_a_pool_open_it_once() {
    let server = Server::start(&["--max-storage-concurrency", "1"]);
    server.create("model");
    // A copy has to be recovered, for which whoever opens it to write waits for its lock.
    let copy = server.pool_file("chat");
    std::fs::copy(server.pool_file("model"), &copy).unwrap();
    let holder = File::open(&copy).unwrap();
    fs2::FileExt::lock_exclusive(&holder).unwrap();
    let append = "POST /v0/pools/chat/append HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{\"data\":1}";
    let _opens = server.send(append);
    while server.times_open("chat") == 0 {
        std::thread::yield_now();
    }
    let tail = "GET /v0/pools/chat/tail HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut open: Vec<_> = (0..50).map(|_| server.send(tail)).collect();
    assert_eq!(server.get("/healthz").status, 200);
    fs2::FileExt::unlock(&holder).unwrap();
    let statuses: Vec<_> = open.iter_mut().map(|tail| tail.head().0).collect();
    assert_eq!(statuses, [200; 50]);
    assert_eq!(server.times_open("chat"), 1);
}

/// Guards against a server that those keep busy who open connections and leave them.
#[test]
fn ten_thousand_connections_that_say_nothing_do_not_keep_out_one_that_does() {
    // None of them ends by itself, and the server may not have a descriptor for each.
    let server = Server::start_with_files("-n 2048", &["--header-timeout", "1h"]);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A system that lets this process have fewer tries fewer: each is a descriptor here, too.
    let count = most.saturating_sub(500).min(10_000);
    let address: SocketAddr = server.address().parse().unwrap();
    let connect = |_| TcpStream::connect_timeout(&address, PATIENCE).ok();
    let idle: Vec<TcpStream> = (0..count).map_while(connect).collect();
    assert!(!idle.is_empty());
    assert_eq!(server.get("/healthz").status, 200);
    drop(idle);
    while server.get("/v0/pools").status != 200 {
        std::thread::yield_now();
    }
}

/// [QUOTA-7]
#[test]
fn a_server_takes_all_descriptors_that_it_may_have() {
    let server = Server::start_with_files("-Sn 64", &[]);
    let limits = server.limits();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut words = line.unwrap().split_whitespace().skip(3);
    let (soft, hard) = (words.next().unwrap(), words.next().unwrap());
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
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
