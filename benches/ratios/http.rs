//! The server, against one of the same make that does nothing: an empty handler, and a stream of constant bytes.

use std::convert::Infallible;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::routing::{get, post};
use plasmite::{Durability, Pool};
use serde_json::Value;

use crate::api::{batches, create_pool, retained};
use crate::cli::plasmite;
use crate::records::Records;
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};
use crate::timing::{best_of, per_operation};

const ONE: &str = "HTTP append, 1 client";
const MANY: &str = "HTTP append, 32 clients";
const TAIL: &str = "HTTP tail of a full pool";

/// The first argument of the server that does nothing.
pub(crate) const ROLE: &str = "--serve-nothing";

const POOL: &str = "http";
/// What a chunk of the product holds; the constant ones are as long.
const CHUNK: usize = 64 * 1024;
const ROUNDS: u64 = 5;
/// What a tail has to reach where it does not reach half of its floor, in MB/s.
const TAIL_LEAST: f64 = 300.0;
const TOO_LONG: Duration = Duration::from_secs(20);

/// Measures the rows of the server.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[ONE, MANY, TAIL]) {
        return Ok(());
    }
    let pool = create_pool(settings, POOL, settings.amount(256 << 20, 32 << 20))?;
    let product = Server::start(plasmite(settings).args(["serve", "--bind", "127.0.0.1:0"]))?;
    let nothing = Server::start(Command::new(env::current_exe()?).arg(ROLE))?;
    for (name, clients) in [(ONE, 1), (MANY, 32)] {
        if settings.wants(&[name]) {
            append(settings, report, name, clients, [&nothing, &product])?;
        }
    }
    if settings.wants(&[TAIL]) {
        tail(report, &pool, [&nothing, &product])?;
    }
    drop(product);
    Ok(std::fs::remove_file(pool.path())?)
}

/// Appends over connections that are kept, each client after its last answer.
fn append(
    settings: &Settings,
    report: &mut Report,
    name: &str,
    clients: u64,
    [nothing, product]: [&Server; 2],
) -> Result<()> {
    let each = settings.amount(8000, 800) / clients.min(8);
    let time = |server: &Server| {
        let mut ready = (0..clients)
            .map(|_| Appender::connect(server))
            .collect::<Result<Vec<_>>>()?;
        per_operation(each * clients, || append_together(&mut ready, each))
    };
    let best = best_of(ROUNDS, || time(nothing), || time(product))?;
    let rates = best.map(|nanos| 1e6 / nanos);
    report.add(Row::new(name, "k/s", rates).bar(Bar::RatioAtLeast(0.5)));
    Ok(())
}

fn append_together(clients: &mut [Appender], each: u64) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(move || client.append(each).map_err(|e| e.to_string())))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(())
    })
}

/// One client's connection, and what it sends.
struct Appender {
    stream: TcpStream,
    requests: Vec<Vec<u8>>,
    answer: Vec<u8>,
}

impl Appender {
    fn connect(server: &Server) -> Result<Appender> {
        let request = |record: Vec<u8>| {
            let data = String::from_utf8(record)?;
            let body = format!("{{\"data\":{data}}}");
            let head = format!(
                "POST /v0/pools/{POOL}/append HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                server.address,
                body.len()
            );
            Ok((head + &body).into_bytes())
        };
        let records = Records::new().take(64)?;
        Ok(Appender {
            stream: server.connect()?,
            requests: records.into_iter().map(request).collect::<Result<_>>()?,
            answer: vec![0; 8192],
        })
    }

    fn append(&mut self, count: u64) -> Result<()> {
        for nth in 0..count as usize {
            self.stream
                .write_all(&self.requests[nth % self.requests.len()])?;
            self.read_answer()?;
        }
        Ok(())
    }

    /// Reads one answer to its end, and looks at its status.
    fn read_answer(&mut self) -> Result<()> {
        let mut length = 0;
        loop {
            let count = self.stream.read(&mut self.answer[length..])?;
            if count == 0 {
                return Err("the server hung up, or its answer is too long".into());
            }
            length += count;
            let answer = &self.answer[..length];
            if let Some(head) = memchr::memmem::find(answer, b"\r\n\r\n") {
                let (head, body) = answer.split_at(head + 4);
                if body.len() >= content_length(head)? {
                    return is_ok(head);
                }
            }
        }
    }
}

fn is_ok(head: &[u8]) -> Result<()> {
    if head.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(format!("the server answers {}", String::from_utf8_lossy(head)).into())
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let name = b"content-length: ";
    let at = memchr::memmem::find(head, name).ok_or("an answer does not say how long it is")?;
    let digits = head[at + name.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}

/// One client reads all that a full pool holds.
fn tail(report: &mut Report, pool: &Pool, [nothing, product]: [&Server; 2]) -> Result<()> {
    let records = Records::new().take(1024)?;
    let batches = batches(&records, 256)?;
    for batch in batches
        .iter()
        .cycle()
        .take(pool.info()?.file_size as usize / (200 << 10))
    {
        pool.append_batch(batch, Durability::Fast)?;
    }
    let (oldest, count) = retained(pool)?;
    let all = format!("/v0/pools/{POOL}/tail?since_seq={oldest}&max={count}");
    let bytes = read_stream(product, &all)?;
    // No message is missing: an envelope is longer than its data, and no data is shorter than this.
    if bytes < count * 1000 {
        return Err(format!("a tail of {count} messages had {bytes} bytes").into());
    }
    let constant = format!("/constant/{bytes}");
    let time = |server: &Server, path: &str| {
        per_operation(bytes, || {
            let read = read_stream(server, path)?;
            // The length of chunks, which frame the body, may differ a little.
            if read.abs_diff(bytes) > bytes / 100 {
                return Err(format!("a stream of {bytes} bytes had {read}").into());
            }
            Ok(())
        })
    };
    let best = best_of(ROUNDS, || time(nothing, &constant), || time(product, &all))?;
    let row = Row::new(TAIL, "MB/s", best.map(|nanos| 1e3 / nanos));
    report.add(
        row.bar(Bar::RatioAtLeast(0.5))
            .bar(Bar::ValueAtLeast(TAIL_LEAST)),
    );
    Ok(())
}

/// Reads an answer until the connection ends, and counts its bytes.
fn read_stream(server: &Server, path: &str) -> Result<u64> {
    let mut stream = server.connect()?;
    let host = &server.address;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut buffer = vec![0; 4 * CHUNK];
    let first = stream.read(&mut buffer)?;
    is_ok(&buffer[..first.min(512)])?;
    let mut bytes = first as u64;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts it, and reads from its first line where it listens.
    fn start(command: &mut Command) -> Result<Server> {
        let mut child = command
            .env("PLASMITE_LOG", "off")
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("the server has no output")?;
        let mut server = Server {
            child,
            address: String::new(),
        };
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line)
            .map_err(|_| format!("the server does not say where it listens, but {line:?}"))?;
        let url = told["listening"].as_str().unwrap_or_default();
        url.trim_start_matches("http://")
            .clone_into(&mut server.address);
        Ok(server)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TOO_LONG))?;
        Ok(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Plays the server that does nothing, until it is killed.
pub(crate) fn play() -> Result<()> {
    let router = Router::new()
        .route("/v0/pools/{pool}/append", post(async || ""))
        .route("/constant/{bytes}", get(constant));
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("{{\"listening\":\"http://{}\"}}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(
                    hyper_util::rt::TokioExecutor::new(),
                );
                let stream = hyper_util::rt::TokioIo::new(stream);
                // A client that goes away is no concern of this server.
                builder.serve_connection(stream, service).await.ok();
            });
        }
    })
}

/// So many bytes, all of them from one chunk.
async fn constant(Path(bytes): Path<u64>) -> Body {
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    Body::from_stream(futures_util::stream::unfold(bytes, move |left| {
        let length = left.min(CHUNK as u64);
        let piece = chunk.slice(..length as usize);
        async move { (length > 0).then_some((Ok::<_, Infallible>(piece), left - length)) }
    }))
}
