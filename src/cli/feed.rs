//! `feed POOL`.

mod atomic;
mod fault;
mod input;
mod sink;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::args::{FeedArgs, Global, OnBadRecord, StreamFormat};
use super::ingest::{Format, Ingest};
use super::output::{self, style};
use super::progress::Progress;
use super::signals::{self, Work};
use super::{Outcome, Stop};
use crate::api::{Batch, Durability, Receipt, Tags};
use crate::core::error::{Error, ErrorKind, Result};
use crate::wire::ReceiptWriter;
pub(super) use fault::lower_case_start;
use fault::{in_record, reworded};
pub(super) use input::Input;
pub(super) use sink::{Appender, BATCH_BYTES, Sink};

/// How much input is read at once, and so the most that one read can make wait.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// A batch is appended at the latest when it has this many messages, so that other writers get their turn.
pub(super) const BATCH_MESSAGES: usize = 256;
/// More than a message takes in the ring beside its own text and tags.
const MESSAGE_OVERHEAD: u64 = 256;
/// What `--retry-delay` is when it is not given.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Exit code when records were skipped, as was asked for.
const SKIPPED: u8 = 1;

pub(super) fn run(global: &Global, args: &FeedArgs, work: &mut Work) -> Outcome {
    let form = args.format.resolve(output::stdout_is_terminal())?;
    if args.atomic {
        atomic::check(args)?;
    }
    match &args.data {
        // One message is appended whole in any case.
        Some(data) => feed_value(global, args, form, data.as_encoded_bytes(), work),
        None if args.atomic => atomic::run(global, args, form, work),
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
    let mut feeder = Feeder::new(Manner::of(args, form), Tags::new(&args.tags), work);
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
    let pool = open_sink(global, args)?;
    feeder.append(&pool)?;
    Ok(0)
}

fn feed_stream(global: &Global, args: &FeedArgs, form: StreamFormat, work: &mut Work) -> Outcome {
    let mut input = Input::open(args.file.as_deref())?;
    let pool = open_sink(global, args)?;
    let mut feeder = Feeder::new(Manner::of(args, form), Tags::new(&args.tags), work);
    feeder.feed_all(&mut input, args.input, &pool)?;
    Ok(if feeder.has_skipped { SKIPPED } else { 0 })
}

fn open_sink(global: &Global, args: &FeedArgs) -> Result<Sink> {
    Sink::open(global, &args.pool, args.create.options(), &args.remote)
}

/// How messages are appended, and what becomes of bad records and of receipts.
pub(super) struct Manner {
    errors: OnBadRecord,
    durability: Durability,
    retry: u32,
    retry_delay: Duration,
    /// The file that records are read from, to be named by errors.
    path: Option<PathBuf>,
    /// How receipts are printed, if they are.
    receipts: Option<StreamFormat>,
}

impl Manner {
    /// Stops at a bad record, and prints nothing.
    pub(super) fn quiet() -> Manner {
        Manner {
            errors: OnBadRecord::Stop,
            durability: Durability::Fast,
            retry: 0,
            retry_delay: RETRY_DELAY,
            path: None,
            receipts: None,
        }
    }

    fn of(args: &FeedArgs, form: StreamFormat) -> Manner {
        let path = args.file.clone().filter(|path| path.as_os_str() != "-");
        Manner {
            errors: args.errors,
            durability: args.durability,
            retry: args.retry,
            retry_delay: args.retry_delay.unwrap_or(RETRY_DELAY),
            path,
            receipts: (!args.quiet).then_some(form),
        }
    }
}

/// Gathers messages into batches, appends these, and prints receipts.
pub(super) struct Feeder<'a> {
    manner: Manner,
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
    pub(super) fn new(manner: Manner, tags: Tags, work: &'a mut Work) -> Feeder<'a> {
        Feeder {
            manner,
            work,
            tags,
            batch: Batch::new(),
            lines: Vec::new(),
            appended: 0,
            has_skipped: false,
        }
    }

    /// Appends all records of `input`, each as soon as it is complete.
    pub(super) fn feed_all(
        &mut self,
        input: &mut Input,
        format: Format,
        pool: &impl Appender,
    ) -> Result<(), Stop> {
        let limit = usize::try_from(pool.sink().max_batch_bytes()).unwrap_or(usize::MAX);
        let mut ingest = Ingest::new(format, limit);
        let mut buffer = vec![0; READ_BYTES];
        let progress = match self.manner.receipts {
            Some(_) => input.progress(),
            None => Progress::none(),
        };
        let mut done = 0;
        while !signals::requested() {
            self.show_receipts()?;
            let count = self.work.pause(|| input.read(&mut buffer))?;
            match count {
                0 => ingest.finish(),
                _ => ingest.push(&buffer[..count]),
            }
            self.take(&mut ingest, pool)?;
            done += count as u64;
            progress.advance(done);
            progress.count(self.appended);
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Writes out the receipts so far.
    fn show_receipts(&self) -> Result<(), Stop> {
        match self.manner.receipts {
            Some(_) => output::flush(),
            None => Ok(()),
        }
    }

    /// Appends every record that is complete.
    fn take(&mut self, ingest: &mut Ingest, pool: &impl Appender) -> Result<(), Stop> {
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
    fn add(&mut self, text: &[u8], line: u64, pool: &impl Appender) -> Result<Result<()>, Stop> {
        let needed = text.len() as u64 + self.tags.as_json().len() as u64 + MESSAGE_OVERHEAD;
        if self.batch.frame_bytes() + needed > pool.sink().batch_bytes() {
            self.append(pool)?;
        }
        if let Err(error) = self.batch.push_json(text, &self.tags) {
            return Ok(Err(error));
        }
        self.lines.push(line);
        if self.batch.frame_bytes() > pool.sink().batch_bytes() {
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
    fn refuse(&mut self, error: Error, pool: &impl Appender) -> Result<(), Stop> {
        self.append(pool)?;
        let error = self.in_file(error);
        if self.manner.errors == OnBadRecord::Stop {
            return Err(error.into());
        }
        self.show_receipts()?;
        output::report(&error);
        self.has_skipped = true;
        Ok(())
    }

    /// Names the file, if the records are from one.
    fn in_file(&self, error: Error) -> Error {
        match &self.manner.path {
            Some(path) => error.path(path),
            None => error,
        }
    }

    /// Appends the batch under one lock and prints its receipts.
    fn append(&mut self, pool: &impl Appender) -> Result<(), Stop> {
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
        self.print_if_asked(receipt)
    }

    /// A server took nothing of the batch, for one of its messages or because there are too many of them for one
    /// request. On its own each message shows which it was.
    #[cfg(feature = "remote")]
    fn append_one_by_one(&mut self, pool: &impl Appender, error: Error) -> Result<(), Stop> {
        if let Sink::Local(_) = pool.sink() {
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
    fn append_one_by_one(&mut self, _: &impl Appender, error: Error) -> Result<(), Stop> {
        Err(error.into())
    }

    /// Appends the batch, again and again while other writers keep the pool busy, as far as `--retry` allows.
    fn append_patiently(&mut self, pool: &impl Appender) -> Result<Receipt> {
        let Manner {
            durability,
            retry_delay: delay,
            ..
        } = self.manner;
        for _ in 0..self.manner.retry {
            match pool.append(&self.batch, durability) {
                Err(error) if pool.sink().may_repeat(&error) => {
                    self.work.pause(|| thread::sleep(delay))
                }
                other => return other,
            }
        }
        pool.append(&self.batch, durability)
    }

    fn print_if_asked(&self, receipt: Receipt) -> Result<(), Stop> {
        match self.manner.receipts {
            Some(form) => self.print(receipt, form),
            None => Ok(()),
        }
    }

    fn print(&self, receipt: Receipt, form: StreamFormat) -> Result<(), Stop> {
        let seqs = receipt.first_seq..=receipt.last_seq;
        let time = receipt.time.to_string();
        match form {
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
