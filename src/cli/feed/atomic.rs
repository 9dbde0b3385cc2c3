//! `feed --atomic`: the whole input as one batch.

use super::{Feeder, Input, Manner, READ_BYTES, Sink, in_record, open_sink};
use crate::api::Tags;
use crate::cli::args::{FeedArgs, Global, OnBadRecord, StreamFormat};
use crate::cli::ingest::{Ingest, Record};
use crate::cli::signals::{self, Work};
use crate::cli::{Outcome, Stop};
use crate::core::error::{Error, ErrorKind, Result};

/// Whether the flags go together: records that are passed over would leave a part of the input out.
pub(super) fn check(args: &FeedArgs) -> Result<()> {
    match args.errors {
        OnBadRecord::Stop => Ok(()),
        OnBadRecord::Skip => Err(Error::new(
            ErrorKind::Usage,
            "--atomic appends all of the input or nothing, and -e skip would leave bad records out",
        )
        .hint("leave out one of --atomic and -e skip; see `plasmite feed --help`")),
    }
}

pub(super) fn run(
    global: &Global,
    args: &FeedArgs,
    form: StreamFormat,
    work: &mut Work,
) -> Outcome {
    let mut input = Input::open(args.file.as_deref())?;
    let pool = open_sink(global, args)?;
    let mut feeder = Feeder::new(Manner::of(args, form), Tags::new(&args.tags), work);
    let limit = usize::try_from(pool.max_batch_bytes()).unwrap_or(usize::MAX);
    let mut ingest = Ingest::new(args.input, limit);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = feeder.work.pause(|| input.read(&mut buffer))?;
        match count {
            0 => ingest.finish(),
            _ => ingest.push(&buffer[..count]),
        }
        while let Some(record) = ingest.next() {
            feeder.gather(&record, &pool)?;
        }
        if count == 0 {
            break;
        }
    }
    if !signals::requested() {
        feeder.append_whole(&pool)?;
    }
    Ok(0)
}

impl Feeder<'_> {
    /// Puts a record into the batch, unless it is bad or makes the batch too large for the pool.
    fn gather(&mut self, record: &Record<'_>, pool: &Sink) -> Result<()> {
        let pushed = match &record.text {
            Ok(text) => self
                .batch
                .push_json(text, &self.tags)
                .map_err(|error| in_record(&error, record)),
            Err(error) => Err(in_record(error, record)),
        };
        let checked = pushed.and_then(|()| match pool.max_batch_bytes() {
            most if self.batch.frame_bytes() > most => Err(too_large(record, most)),
            _ => Ok(()),
        });
        checked.map_err(|error| self.in_file(error))
    }

    /// Appends the batch and prints its receipts. On a server it is one request, which is never cut into smaller ones.
    fn append_whole(&mut self, pool: &Sink) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let receipt = self.append_patiently(pool)?;
        self.print_if_asked(receipt)
    }
}

fn too_large(record: &Record<'_>, most: u64) -> Error {
    let line = record.place.line;
    let message = format!(
        "line {line}: with this record the input takes more than {most} bytes of the pool, half of its ring, and cannot be appended at once"
    );
    Error::new(ErrorKind::Usage, message)
        .hint("feed it in parts, without --atomic, or to a larger pool")
        .offset(record.place.offset)
}
