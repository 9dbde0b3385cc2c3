//! Servers, real ones and fakes, and what commands that are run against them did.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use plasmite::ErrorKind;
use plasmite::serve::{self, ServeOptions};
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) use crate::commands::{Place, Run, Running};

/// A server in this process.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Place {
    /// A server for the pools here, with what `change` makes of the default options.
    pub(crate) fn serve_with(&self, change: impl FnOnce(&mut ServeOptions)) -> Server {
        let mut options = ServeOptions::new(self.path());
        options.bind = SocketAddr::from(([127, 0, 0, 1], 0));
        change(&mut options);
        Server::start(options)
    }

    pub(crate) fn serve(&self) -> Server {
        self.serve_with(|_| {})
    }
}

/// Listens where it is asked to. While a server is down, a connection to somewhere else may be given its port.
async fn bind(options: ServeOptions) -> serve::Bound {
    loop {
        match serve::bind(options.clone()).await {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            bound => return bound.unwrap(),
        }
    }
}

impl Server {
    fn start(options: ServeOptions) -> Server {
        let (told, url) = mpsc::channel();
        let (kill, killed) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let bound = bind(options).await;
                told.send(bound.url()).unwrap();
                tokio::select! {
                    () = bound.run(std::future::pending()) => {}
                    _ = killed => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(5));
        });
        let url: String = url.recv().unwrap();
        let (_, address) = url.split_once("://").unwrap();
        Server {
            address: address.parse().unwrap(),
            url,
            kill: Some(kill),
            thread: Some(thread),
        }
    }

    /// Ends at once; connections are cut.
    pub(crate) fn kill(mut self) -> SocketAddr {
        self.end();
        self.address
    }

    fn end(&mut self) {
        if let Some(kill) = self.kill.take() {
            kill.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl Run {
    /// The error of a command that failed with this code and kind.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, kind: &str) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        let line = self.err.lines().last().unwrap_or_default();
        let error = serde_json::from_str::<Value>(line).unwrap()["error"].clone();
        assert_eq!(error["kind"], kind, "{error}");
        assert!(
            error["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
            "{error}"
        );
        error
    }

    /// The seqs of what was printed.
    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.out.lines().map(seq).collect()
    }

    /// The notices about missing messages: first and last.
    pub(crate) fn drops(&self) -> Vec<(u64, u64)> {
        let notices = self
            .err
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        notices
            .map(|notice| {
                let missing = &notice["notice"]["missing"];
                (
                    missing["first"].as_u64().unwrap(),
                    missing["last"].as_u64().unwrap(),
                )
            })
            .collect()
    }
}

pub(crate) fn seq(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["seq"]
        .as_u64()
        .unwrap()
}

impl Running {
    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn interrupt(self) -> Run {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().unwrap();
        self.finish()
    }
}

/// A server that gives the same answers, in order, one to a connection, and hands on the heads of the requests.
pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) requests: mpsc::Receiver<String>,
}

impl Fake {
    pub(crate) fn answering(answers: Vec<String>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/p");
        let (told, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                let request = read_request(&mut stream);
                stream.write_all(answer.as_bytes()).ok();
                told.send(request).ok();
            }
        });
        Fake {
            url,
            address,
            requests,
        }
    }

    /// The first line of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let heads = self.requests.try_iter();
        heads
            .map(|head| head.lines().next().unwrap_or_default().to_owned())
            .collect()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader);
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok();
    head
}

/// All up to the body, or to the end.
pub(crate) fn read_head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    head
}

/// An answer as a server of pools gives it, after which the connection ends.
pub(crate) fn answer(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nplasmite-version: 0\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The beginning of a stream that is cut off behind this.
pub(crate) fn cut_stream(pool: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nplasmite-version: 0\r\nplasmite-pool: {pool}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    )
}

/// A stream that comes to its own end.
pub(crate) fn whole_stream(pool: &str, body: &str) -> String {
    cut_stream(pool, body) + "0\r\n\r\n"
}

pub(crate) fn envelope(seq: u64) -> String {
    format!(
        "{{\"seq\":{seq},\"time\":\"2026-11-24T00:27:44.105076723Z\",\"meta\":{{\"tags\":[]}},\"data\":null}}\n"
    )
}
