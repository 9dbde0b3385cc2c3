//! `feed POOL`.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::args::{FeedArgs, Global, OnBadRecord, StreamFormat};
use super::ingest::{Ingest, Place, Record};
use super::open::Target;
use super::output::{self, style};
use super::progress::{Progress, Total};
use super::signals::{self, Work};
use super::{Outcome, Stop, open};
use crate::api::{Batch, CreateOptions, Durability, Pool, Receipt, Tags};
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;
#[cfg(feature = "remote")]
use crate::remote::blocking::RemotePool;
use crate::wire::ReceiptWriter;

/// How much input is read at once, and so the most that one read can make wait.
const READ_BYTES: usize = 256 * 1024;
/// A batch is appended at the latest when it has this many messages, so that other writers get their turn,
pub(super) const BATCH_MESSAGES: usize = 256;
/// or takes this much of the ring.
pub(super) const BATCH_BYTES: u64 = 1024 * 1024;
/// or this much of a request: half of what a server takes unless told otherwise.
#[cfg(feature = "remote")]
const REQUEST_BYTES: u64 = 512 * 1024;
/// The longest record that is sent to a pool of which nothing may be known.
#[cfg(feature = "remote")]
const MOST_UNKNOWN: u64 = 64 * 1024 * 1024;
/// More than a message takes in the ring beside its own text and tags.
const MESSAGE_OVERHEAD: u64 = 256;
/// What `--retry-delay` is when it is not given.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Exit code when records were skipped, as was asked for.
const SKIPPED: u8 = 1;

pub(super) fn run(global: &Global, args: &FeedArgs, work: &mut Work) -> Outcome {
    let form = args.format.resolve(output::stdout_is_terminal())?;
    match &args.data {
        Some(data) => feed_value(global, args, form, data.as_encoded_bytes(), work),
        None => feed_stream(global, args, form, work),
    }
}

fn feed_value(
    global: &Global,
    args: &FeedArgs,
    form: StreamFormat,
    data: &[u8],
    work: &mut Work,
) -> Outcome {
    let mut feeder = Feeder::new(args, form, work);
    // Bad data is refused before anything is created for it.
    let pushed = feeder.batch.push_json(data, &feeder.tags);
    pushed.map_err(|error| {
        let error = reworded(&error, lower_case_start(error.message()));
        match data.first().is_some_and(u8::is_ascii_alphabetic) {
            true => error.hint(
                "plain text needs JSON's quotes within those of the shell, as in '\"hello\"'",
            ),
            false => error,
        }
    })?;
    let pool = Sink::open(global, args)?;
    feeder.append(&pool)?;
    Ok(0)
}

fn feed_stream(global: &Global, args: &FeedArgs, form: StreamFormat, work: &mut Work) -> Outcome {
    let mut input = open_input(args.file.as_deref())?;
    let pool = Sink::open(global, args)?;
    let mut feeder = Feeder::new(args, form, work);
    let limit = usize::try_from(pool.max_batch_bytes()).unwrap_or(usize::MAX);
    let mut ingest = Ingest::new(args.input, limit);
    let mut buffer = vec![0; READ_BYTES];
    let progress = match args.quiet {
        true => Progress::none(),
        false => input.progress(),
    };
    let mut done = 0;
    while !signals::requested() {
        output::flush()?;
        let count = feeder.work.pause(|| input.read(&mut buffer))?;
        match count {
            0 => ingest.finish(),
            _ => ingest.push(&buffer[..count]),
        }
        feeder.take(&mut ingest, &pool)?;
        done += count as u64;
        progress.advance(done);
        progress.count(feeder.appended);
        if count == 0 {
            break;
        }
    }
    Ok(if feeder.has_skipped { SKIPPED } else { 0 })
}

/// Where messages go.
enum Sink {
    Local(Pool),
    #[cfg(feature = "remote")]
    Remote {
        pool: RemotePool,
        /// The most that the pool takes at once, as far as that is known.
        max_batch_bytes: u64,
    },
}

impl Sink {
    fn open(global: &Global, args: &FeedArgs) -> Result<Sink> {
        let options = CreateOptions {
            size_bytes: args.create_size,
            ..CreateOptions::default()
        };
        match open::target(&args.pool)? {
            Target::Local(pool) => {
                let client = global.client_for(&pool)?;
                let opened = match args.create {
                    true => open::or_create(&client, &pool, options, |pool| client.open_pool(pool)),
                    false => client.open_pool(&pool),
                };
                opened.map(Sink::Local)
            }
            #[cfg(feature = "remote")]
            Target::Remote(url) => {
                let client = super::remote::client(&args.remote, &url)?;
                let pool = client.pool_of(&url)?;
                let options = args.create.then_some(options);
                let info = open::remote_or_create(&client, &pool, options)?;
                let max_batch_bytes = info.map_or(MOST_UNKNOWN, |info| info.ring_size / 2);
                Ok(Sink::Remote {
                    pool,
                    max_batch_bytes,
                })
            }
        }
    }

    fn append_batch(&self, batch: &Batch, durability: Durability) -> Result<Receipt> {
        match self {
            Sink::Local(pool) => pool.append_batch(batch, durability),
            #[cfg(feature = "remote")]
            Sink::Remote { pool, .. } => pool.append_batch(batch, durability),
        }
    }

    /// The largest message or batch that goes in.
    fn max_batch_bytes(&self) -> u64 {
        match self {
            Sink::Local(pool) => pool.max_batch_bytes(),
            #[cfg(feature = "remote")]
            Sink::Remote {
                max_batch_bytes, ..
            } => *max_batch_bytes,
        }
    }

    /// What a batch should take at most.
    fn batch_bytes(&self) -> u64 {
        let most = match self {
            Sink::Local(_) => BATCH_BYTES,
            #[cfg(feature = "remote")]
            Sink::Remote { .. } => REQUEST_BYTES,
        };
        self.max_batch_bytes().min(most)
    }

    /// Whether an append that failed like this may be repeated. [REMOTE-7]
    fn may_repeat(&self, error: &Error) -> bool {
        match self {
            Sink::Local(_) => error.kind() == ErrorKind::Busy,
            #[cfg(feature = "remote")]
            Sink::Remote { .. } => crate::remote::was_not_taken(error),
        }
    }
}

/// Where records are read from, what to call it, and how much there is, where it is a file.
struct Input {
    reader: Box<dyn Read>,
    path: Option<PathBuf>,
    size: Option<u64>,
}

fn open_input(file: Option<&Path>) -> Result<Input> {
    let stdin = |path| Input {
        reader: Box::new(io::stdin().lock()),
        path,
        size: None,
    };
    match file {
        None if io::stdin().is_terminal() => {
            Err(Error::new(ErrorKind::Usage, "there is no message: none was given, and standard input is a terminal")
                .hint("give one JSON value after the pool, name a file with --file, or type messages with --file -"))
        }
        None => Ok(stdin(None)),
        Some(path) if path.as_os_str() == "-" => Ok(stdin(None)),
        Some(path) => match File::open(path) {
            Ok(file) => {
                let size = file.metadata().ok().filter(Metadata::is_file).map(|it| it.len());
                Ok(Input { reader: Box::new(file), path: Some(path.to_owned()), size })
            }
            Err(cause) => Err(input_error(cause, Some(path))),
        },
    }
}

impl Input {
    /// How far a file has been read. Of a stream there is no telling.
    fn progress(&self) -> Progress {
        match (&self.path, self.size) {
            (Some(path), Some(size)) => {
                Progress::new(&format!("feeding {}", path.display()), Total::Bytes(size))
            }
            _ => Progress::none(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(into) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|cause| input_error(cause, self.path.as_deref())),
            }
        }
    }
}

fn input_error(cause: io::Error, path: Option<&Path>) -> Error {
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "check the path given with --file"),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Permission,
            "ask for the right to read it, or name another file",
        ),
        _ => (
            ErrorKind::Io,
            "check that it is a file or stream that can be read",
        ),
    };
    let name = path.map_or("standard input".to_owned(), |path| {
        echo(&path.to_string_lossy())
    });
    let error = Error::new(kind, format!("cannot read the input from {name}"))
        .hint(hint)
        .caused_by(cause);
    match path {
        Some(path) => error.path(path),
        None => error,
    }
}

/// Gathers messages into batches, appends these, and prints receipts.
struct Feeder<'a> {
    args: &'a FeedArgs,
    form: StreamFormat,
    work: &'a mut Work,
    tags: Tags,
    batch: Batch,
    /// The line on which each message of the batch starts in the input.
    lines: Vec<u64>,
    /// How many messages are in the pool by now.
    appended: u64,
    has_skipped: bool,
}

impl<'a> Feeder<'a> {
    fn new(args: &'a FeedArgs, form: StreamFormat, work: &'a mut Work) -> Feeder<'a> {
        Feeder {
            args,
            form,
            work,
            tags: Tags::new(&args.tags),
            batch: Batch::new(),
            lines: Vec::new(),
            appended: 0,
            has_skipped: false,
        }
    }

    /// Appends every record that is complete.
    fn take(&mut self, ingest: &mut Ingest, pool: &Sink) -> Result<(), Stop> {
        while let Some(record) = ingest.next() {
            let taken = match &record.text {
                Ok(text) => self
                    .add(text, record.place.line, pool)?
                    .map_err(|error| in_record(&error, &record)),
                Err(error) => Err(in_record(error, &record)),
            };
            if let Err(error) = taken {
                self.refuse(error, pool)?;
            }
        }
        self.append(pool)
    }

    /// Puts a record into the batch. The inner error is the record's own fault.
    fn add(&mut self, text: &[u8], line: u64, pool: &Sink) -> Result<Result<()>, Stop> {
        let needed = text.len() as u64 + self.tags.as_json().len() as u64 + MESSAGE_OVERHEAD;
        if self.batch.frame_bytes() + needed > pool.batch_bytes() {
            self.append(pool)?;
        }
        if let Err(error) = self.batch.push_json(text, &self.tags) {
            return Ok(Err(error));
        }
        self.lines.push(line);
        if self.batch.frame_bytes() > pool.batch_bytes() {
            // Only a message that is alone in the batch gets here; if it is too large, whoever refuses it says so.
            let refused = self.append(pool);
            self.batch.clear();
            self.lines.clear();
            return match refused {
                Err(Stop::Failed(error)) if error.kind() == ErrorKind::Usage => Ok(Err(error)),
                other => other.map(Ok),
            };
        }
        if self.batch.len() >= BATCH_MESSAGES {
            self.append(pool)?;
        }
        Ok(Ok(()))
    }

    /// Deals with a bad record, after all that came before it is in the pool and has its receipts.
    fn refuse(&mut self, error: Error, pool: &Sink) -> Result<(), Stop> {
        self.append(pool)?;
        let error = match &self.args.file {
            Some(path) if path.as_os_str() != "-" => error.path(path),
            _ => error,
        };
        if self.args.errors == OnBadRecord::Stop {
            return Err(error.into());
        }
        output::flush()?;
        output::report(&error);
        self.has_skipped = true;
        Ok(())
    }

    /// Appends the batch under one lock and prints its receipts.
    fn append(&mut self, pool: &Sink) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let receipt = match self.append_patiently(pool) {
            Err(error) if error.kind() == ErrorKind::Usage && self.batch.len() > 1 => {
                return self.append_one_by_one(pool, error);
            }
            receipt => receipt?,
        };
        self.appended += self.batch.len() as u64;
        self.batch.clear();
        self.lines.clear();
        if self.args.quiet {
            Ok(())
        } else {
            self.print(receipt)
        }
    }

    /// A server took nothing of the batch, for one of its messages or because there are too many of them for one
    /// request. On its own each message shows which it was.
    #[cfg(feature = "remote")]
    fn append_one_by_one(&mut self, pool: &Sink, error: Error) -> Result<(), Stop> {
        if let Sink::Local(_) = pool {
            return Err(error.into());
        }
        let whole = std::mem::take(&mut self.batch);
        let lines = std::mem::take(&mut self.lines);
        for ((_, data), line) in whole.texts().zip(lines) {
            self.batch.push_json(data.as_bytes(), &self.tags)?;
            match self.append(pool) {
                Err(Stop::Failed(error)) if error.kind() == ErrorKind::Usage => {
                    self.batch.clear();
                    let message = format!("line {line}: {}", lower_case_start(error.message()));
                    self.refuse(reworded(&error, message), pool)?;
                }
                appended => appended?,
            }
        }
        Ok(())
    }

    #[cfg(not(feature = "remote"))]
    fn append_one_by_one(&mut self, _: &Sink, error: Error) -> Result<(), Stop> {
        Err(error.into())
    }

    /// Appends the batch, again and again while other writers keep the pool busy, as far as `--retry` allows.
    fn append_patiently(&mut self, pool: &Sink) -> Result<Receipt> {
        let delay = self.args.retry_delay.unwrap_or(RETRY_DELAY);
        for _ in 0..self.args.retry {
            match pool.append_batch(&self.batch, self.args.durability) {
                Err(error) if pool.may_repeat(&error) => self.work.pause(|| thread::sleep(delay)),
                other => return other,
            }
        }
        pool.append_batch(&self.batch, self.args.durability)
    }

    fn print(&self, receipt: Receipt) -> Result<(), Stop> {
        let seqs = receipt.first_seq..=receipt.last_seq;
        let time = receipt.time.to_string();
        match self.form {
            StreamFormat::Jsonl => {
                let receipts =
                    ReceiptWriter::new(&time, self.tags.as_json(), receipt.durability.name());
                output::print(|out| seqs.for_each(|seq| receipts.write(seq, out)))
            }
            StreamFormat::Pretty => {
                let (bold, dim) = (style::HEADING, style::DIM);
                let note = match receipt.durability {
                    Durability::Fast => "",
                    Durability::Flush => "  on disk",
                };
                let line = |seq| format!("{bold}{seq}{bold:#}  {dim}{time}{dim:#}{note}\n");
                output::print_lines(&seqs.map(line).collect::<String>())
            }
        }
    }
}

/// What is wrong with a record, told by its place in the whole input.
fn in_record(error: &Error, record: &Record<'_>) -> Error {
    let start = record.place;
    let fault = match (&record.text, error.offset_value()) {
        (Ok(text), Some(within)) if record.is_verbatim => Some(place_after(start, text, within)),
        _ => None,
    };
    let (message, place) = split_place(error.message());
    let place = match fault {
        Some(fault) if fault.line == start.line => format!(" at column {}", fault.column),
        Some(fault) => format!(" at line {}, column {}", fault.line, fault.column),
        None if record.is_verbatim => place.to_owned(),
        None => String::new(),
    };
    let message = format!("line {}: {}{place}", start.line, lower_case_start(message));
    reworded(error, message).offset(fault.unwrap_or(start).offset)
}

fn reworded(error: &Error, message: String) -> Error {
    let hint = error
        .hint_text()
        .unwrap_or("correct the record, or pass over bad ones with -e skip");
    let reworded = Error::new(error.kind(), message).hint(hint.to_owned());
    match error.offset_value() {
        Some(offset) => reworded.offset(offset),
        None => reworded,
    }
}

/// Where in the input the byte at `within` of a record's text is.
fn place_after(start: Place, text: &[u8], within: u64) -> Place {
    let offset = start.offset + within;
    let at = usize::try_from(within).map_or(text.len(), |at| at.min(text.len()));
    let before = String::from_utf8_lossy(&text[..at]);
    let lines = before.matches('\n').count() as u64;
    let (line, column) = match before.rsplit_once('\n') {
        Some((_, before)) => (start.line + lines, 1 + before.chars().count() as u64),
        None => (start.line, start.column + before.chars().count() as u64),
    };
    Place {
        line,
        column,
        offset,
    }
}

/// Takes the place within the record from the end of a message.
fn split_place(message: &str) -> (&str, &str) {
    let begin = message
        .rfind(" at line ")
        .or_else(|| message.rfind(" at column "));
    let is_place = |text: &str| {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        words.all(|word| {
            ["at", "line", "column"].contains(&word)
                || word.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    match begin {
        Some(begin) if is_place(&message[begin..]) => message.split_at(begin),
        _ => (message, ""),
    }
}

pub(super) fn lower_case_start(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        // An acronym keeps its capitals.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}
