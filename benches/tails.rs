//! A thousand tails on one server: what each is told, how late, and what that costs the server.
//!
//! Messages of 300 bytes are appended at two rates. Every tail has to get every message, in order; at 50 a second the
//! 99th percentile of delays is held against a bar, since this is about people who look at a screen. Clients and
//! server share the machine, so the figures are those of both.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plasmite::{Client, CreateOptions, Durability, Pool, PoolRef, Tags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TAILS: usize = 1000;
const MESSAGE_BYTES: usize = 300;
const RUN: Duration = Duration::from_secs(20);
const SLOW: u64 = 50;
const FAST: u64 = 500;
/// The bars of the slow rate.
const P99: Duration = Duration::from_millis(250);
const PRIVATE_KIB: u64 = 256 * 1024;
const THREADS: u64 = 32;

fn main() -> ExitCode {
    // Cargo passes flags of its own harness, such as `--bench`.
    let mut is_kept = true;
    for rate in [SLOW, FAST] {
        let figures = run(rate);
        is_kept &= figures.report(rate);
    }
    match is_kept {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct Figures {
    complete: usize,
    delays: Vec<Duration>,
    private_kib: u64,
    threads: u64,
}

impl Figures {
    /// Prints the figures, and says whether the bars were kept.
    fn report(&self, rate: u64) -> bool {
        let at = |share: f64| self.delays[((self.delays.len() - 1) as f64 * share) as usize];
        let (median, p99, worst) = (at(0.5), at(0.99), at(1.0));
        println!(
            "{TAILS} tails, {rate} messages/s of {MESSAGE_BYTES} B for {} s: {}/{TAILS} complete and in order",
            RUN.as_secs(),
            self.complete,
        );
        println!(
            "  delay     median {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
            ms(median),
            ms(p99),
            ms(worst)
        );
        println!(
            "  server    {} MiB private, {} threads",
            self.private_kib / 1024,
            self.threads
        );
        let is_kept = self.complete == TAILS
            && (rate > SLOW || p99 <= P99)
            && self.private_kib < PRIVATE_KIB
            && self.threads < THREADS;
        println!("  bars      {}", if is_kept { "kept" } else { "NOT KEPT" });
        is_kept
    }
}

fn ms(delay: Duration) -> f64 {
    delay.as_secs_f64() * 1e3
}

fn run(rate: u64) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let options = CreateOptions {
        size_bytes: Some(64 << 20),
        ..CreateOptions::default()
    };
    let pool = Client::new(dir.path()).create_pool(&PoolRef::parse("p").unwrap(), options);
    let pool = pool.unwrap();
    let (mut server, address) = serve(dir.path());
    let count = rate * RUN.as_secs();
    let started = Instant::now();
    let ready = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let writer = {
        let (ready, pid) = (Arc::clone(&ready), server.id());
        std::thread::spawn(move || {
            while ready.load(Ordering::Acquire) < TAILS {
                std::thread::sleep(Duration::from_millis(10));
            }
            write(&pool, rate, count - 1, started);
            // Every tail is still open: it waits for the last message.
            let cost = cost(pid);
            write(&pool, rate, 1, started);
            cost
        })
    };
    let tails = runtime.block_on(async {
        let tails: Vec<_> = (0..TAILS)
            .map(|_| tokio::spawn(follow(address.clone(), count, started, Arc::clone(&ready))))
            .collect();
        let mut done = Vec::new();
        for tail in tails {
            done.push(tail.await.unwrap());
        }
        done
    });
    let (private_kib, threads) = writer.join().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let complete = tails.iter().filter(|tail| tail.is_complete).count();
    let mut delays: Vec<Duration> = tails.into_iter().flat_map(|tail| tail.delays).collect();
    delays.sort_unstable();
    Figures {
        complete,
        delays,
        private_kib,
        threads,
    }
}

fn serve(dir: &std::path::Path) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_plasmite"))
        .args(["serve", "--bind", "127.0.0.1:0"])
        .args([
            "--max-tail-concurrency",
            "1100",
            "--max-connections",
            "1200",
        ])
        .args(["--max-tail-timeout-ms", "0"])
        .env("PLASMITE_DIR", dir)
        .env("PLASMITE_LOG", "off")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = told["listening"].as_str().unwrap();
    (server, url.trim_start_matches("http://").to_owned())
}

/// Appends at an even rate; each message says when it was sent.
fn write(pool: &Pool, rate: u64, count: u64, started: Instant) {
    let begun = Instant::now();
    for nth in 0..count {
        let due = begun + Duration::from_nanos(nth * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = started.elapsed().as_nanos();
        let mut text = format!("{{\"sent\":{sent},\"pad\":\"");
        text.extend(std::iter::repeat_n('x', MESSAGE_BYTES - text.len() - 2));
        text.push_str("\"}");
        pool.append_json(text.as_bytes(), &Tags::none(), Durability::Fast)
            .unwrap();
    }
}

/// What one tail was told.
struct Told {
    is_complete: bool,
    delays: Vec<Duration>,
}

async fn follow(address: String, count: u64, started: Instant, ready: Arc<AtomicUsize>) -> Told {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    // To a client of HTTP/1.0 the body comes as it is, without chunks to take apart.
    let request = format!("GET /v0/pools/p/tail?max={count} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Told {
        is_complete: false,
        delays: Vec::with_capacity(count as usize),
    };
    let mut text = Vec::new();
    let mut has_head = false;
    loop {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            told.is_complete = told.delays.len() as u64 == count;
            return told;
        }
        let now = started.elapsed();
        if !has_head {
            let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            assert!(
                text.starts_with(b"HTTP/1.0 200"),
                "{}",
                String::from_utf8_lossy(&text)
            );
            text.drain(..end + 4);
            has_head = true;
            ready.fetch_add(1, Ordering::AcqRel);
        }
        let whole = text
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in text[..whole].split_inclusive(|&byte| byte == b'\n') {
            let line = std::str::from_utf8(line).unwrap();
            if number(line, "{\"seq\":") != told.delays.len() as u64 + 1 {
                return told;
            }
            let sent = Duration::from_nanos(number(line, "\"sent\":"));
            told.delays.push(now.saturating_sub(sent));
        }
        text.drain(..whole);
    }
}

/// The number behind `name`; 0 if there is none.
fn number(line: &str, name: &str) -> u64 {
    let rest = line.split_once(name).map_or("", |(_, rest)| rest);
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(0)
}

/// The private memory and the threads of a process.
fn cost(pid: u32) -> (u64, u64) {
    let field = |file: &str, names: &[&str]| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let lines = text
            .lines()
            .filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum()
    };
    (
        field("smaps_rollup", &["Private_Clean:", "Private_Dirty:"]),
        field("status", &["Threads:"]),
    )
}
