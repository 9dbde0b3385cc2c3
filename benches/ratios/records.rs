//! Log records as services write them: about one kilobyte of JSON, each a little different.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

/// How long a record is as compact JSON, in bytes.
const LENGTHS: RangeInclusive<usize> = 1000..=1048;

const LEVELS: [&str; 5] = ["debug", "info", "info", "warn", "error"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const PATHS: [&str; 5] = [
    "/api/v2/orders",
    "/api/v2/orders/search?q=a%20b&page=3",
    "/healthz",
    "/api/v2/customers",
    "/static/app.js",
];
const STATUSES: [u16; 6] = [200, 200, 201, 304, 404, 503];
const WORDS: [&str; 16] = [
    "upstream",
    "answered",
    "after",
    "retry",
    "\"orders-7\"",
    "cache",
    "miss",
    "for",
    "key",
    "C:\\data\\orders",
    "pool",
    "exhausted,",
    "waited",
    "17",
    "ms",
    "queue\n",
];

#[derive(Serialize)]
struct LogRecord {
    timestamp: String,
    level: &'static str,
    logger: &'static str,
    message: String,
    service: Service,
    request: Request,
    user: Option<User>,
    trace_id: String,
    span_id: String,
    sampled: bool,
    labels: [&'static str; 3],
    timings_ms: [f64; 4],
}

#[derive(Serialize)]
struct Service {
    name: &'static str,
    version: &'static str,
    host: String,
    pid: u64,
    thread: String,
}

#[derive(Serialize)]
struct Request {
    id: String,
    method: &'static str,
    path: &'static str,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    remote: String,
    agent: &'static str,
}

#[derive(Serialize)]
struct User {
    id: u64,
    roles: [&'static str; 2],
    beta: bool,
    score: f64,
}

/// How a program spaces its JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spacing {
    /// Not at all.
    Compact,
    /// A space after each comma and colon, as Python's `json.dumps` does.
    Dumps,
}

/// Makes records, the same ones in every run.
pub(crate) struct Records {
    state: u64,
}

impl Records {
    pub(crate) fn new() -> Records {
        Records { state: 0 }
    }

    /// So many records as compact JSON.
    pub(crate) fn take(mut self, count: usize) -> io::Result<Vec<Vec<u8>>> {
        (0..count)
            .map(|_| {
                self.next()
                    .and_then(|record| json(&record, Spacing::Compact))
            })
            .collect()
    }

    /// How long so many records are as compact JSON.
    pub(crate) fn lengths(mut self, count: usize) -> io::Result<Vec<usize>> {
        (0..count)
            .map(|_| Ok(json(&self.next()?, Spacing::Compact)?.len()))
            .collect()
    }

    /// Writes so many records to a file, one a line.
    pub(crate) fn write_lines(
        mut self,
        path: &Path,
        count: u64,
        spacing: Spacing,
    ) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for _ in 0..count {
            file.write_all(&json(&self.next()?, spacing)?)?;
            file.write_all(b"\n")?;
        }
        // On the disk before anything is timed, so that nobody pays for it later.
        file.into_inner()?.sync_all()
    }

    /// A record of a length within [`LENGTHS`], reached by the length of its message.
    fn next(&mut self) -> io::Result<LogRecord> {
        let mut record = self.without_message();
        let wanted =
            LENGTHS.start() + self.below(1 + (LENGTHS.end() - LENGTHS.start()) as u64) as usize;
        let missing = wanted - json(&record, Spacing::Compact)?.len();
        record.message = self.message(missing)?;
        debug_assert!(LENGTHS.contains(&json(&record, Spacing::Compact)?.len()));
        Ok(record)
    }

    fn without_message(&mut self) -> LogRecord {
        LogRecord {
            timestamp: format!(
                "2026-11-24T{:02}:27:{:02}.{:06}Z",
                self.below(24),
                self.below(60),
                self.below(1_000_000)
            ),
            level: self.pick(&LEVELS),
            logger: "com.example.orders.http.AccessLog",
            message: String::new(),
            service: Service {
                name: "orders",
                version: "4.11.0-rc.2+b7781",
                host: format!(
                    "ip-10-0-{}-{}.eu-central-1.compute.internal",
                    self.below(256),
                    self.below(256)
                ),
                pid: self.below(4_194_304),
                thread: format!("worker-{}", self.below(64)),
            },
            request: Request {
                id: format!("{:016x}-{:04x}", self.random(), self.below(65_536)),
                method: self.pick(&METHODS),
                path: self.pick(&PATHS),
                status: self.pick(&STATUSES),
                bytes_in: self.below(4096),
                bytes_out: self.below(1_000_000),
                duration_ms: self.millis(),
                remote: format!(
                    "203.0.113.{}:{}",
                    self.below(256),
                    1024 + self.below(60_000)
                ),
                agent: "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
            },
            user: (self.below(4) > 0).then(|| User {
                id: self.below(10_000_000),
                roles: ["buyer", "beta-tester"],
                beta: self.below(2) == 0,
                score: -self.millis(),
            }),
            trace_id: format!("{:016x}{:016x}", self.random(), self.random()),
            span_id: format!("{:016x}", self.random()),
            sampled: self.below(2) == 0,
            labels: ["http", "edge", "région-ouest"],
            timings_ms: [self.millis(), self.millis(), 0.0, self.millis()],
        }
    }

    /// Text that takes `length` bytes in JSON, its escapes included.
    fn message(&mut self, length: usize) -> io::Result<String> {
        let mut text = String::new();
        let mut left = length;
        loop {
            let word = self.pick(&WORDS);
            let size = serde_json::to_string(word)?.len() - 2 + 1;
            if size > left {
                break;
            }
            text.push_str(word);
            text.push(' ');
            left -= size;
        }
        text.extend(std::iter::repeat_n('.', left));
        Ok(text)
    }

    fn millis(&mut self) -> f64 {
        self.below(1_000_000) as f64 / 1000.0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn json(record: &LogRecord, spacing: Spacing) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(1280);
    match spacing {
        Spacing::Compact => {
            record.serialize(&mut Serializer::with_formatter(&mut text, CompactFormatter))?
        }
        Spacing::Dumps => {
            record.serialize(&mut Serializer::with_formatter(&mut text, DumpsFormatter))?
        }
    }
    Ok(text)
}

struct DumpsFormatter;

impl Formatter for DumpsFormatter {
    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        separate(writer, first)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        separate(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn separate<W: ?Sized + Write>(writer: &mut W, first: bool) -> io::Result<()> {
    if first {
        Ok(())
    } else {
        writer.write_all(b", ")
    }
}
