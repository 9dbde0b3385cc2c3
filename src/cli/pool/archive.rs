//! `pool export|import`.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::wants_json;
use crate::api::{Bounds, Dropped, Exported, ImportOptions, Imported, Pool, PoolInfo};
use crate::cli::args::{Global, JsonFlag, whole_number};
use crate::cli::output::{self, visible};
use crate::cli::progress::{Progress, Total};
use crate::cli::signals::{self, Work};
use crate::cli::size::{parse_size, show_size};
use crate::cli::{Outcome, Stop, open};
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::usual_permissions;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A pool's name, or its path
    pool: String,
    /// Where the archive goes; without it, or with '-', to standard output
    file: Option<PathBuf>,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    json: JsonFlag,
}

pub(crate) const EXPORT_NOTES: &str = "\
An archive is JSON Lines: a header, each message as `follow --jsonl` prints it,
and checksums over all of it. FILE is there once it is complete.
Writers may go on meanwhile; what they append later is not in it.

Examples:
  plasmite pool export chat chat.jsonl
  plasmite pool export chat | gzip > chat.jsonl.gz
  jq -c 'select(.seq)' chat.jsonl                    the messages alone";

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The name of the new pool, or its path
    #[arg(value_name = "NAME")]
    name: String,
    /// The archive; without it, or with '-', from standard input
    file: Option<PathBuf>,
    /// Size of the new file: bytes, or with K, M or G [default: that of the exported pool]
    #[arg(long, value_name = "S", value_parser = parse_size, allow_hyphen_values = true)]
    size: Option<u64>,
    /// Slots of the index that finds messages by number; 0 for none [default: as in the exported pool]
    #[arg(long, value_name = "N", value_parser = whole_number, allow_hyphen_values = true)]
    index_capacity: Option<u64>,
    /// If not all messages fit, leave out the oldest
    #[arg(long)]
    drop_oldest: bool,
    #[command(flatten)]
    json: JsonFlag,
}

pub(crate) const IMPORT_NOTES: &str = "\
Numbers, times, tags and data stay as they were. The pool is there once the
archive was read to its end and found unaltered.

Examples:
  plasmite pool import chat chat.jsonl
  plasmite pool import chat-2 chat.jsonl --size 64M
  gunzip -c chat.jsonl.gz | plasmite pool import chat";

pub(super) fn export(global: &Global, args: &ExportArgs) -> Outcome {
    let pool = open::pool_ref(&args.pool)?;
    let pool = global.client_for(&pool)?.open_pool_to_read(&pool)?;
    let exported = match file_of(args.file.as_deref()) {
        None => to_stdout(&pool, &args.pool),
        Some(path) => to_file(&pool, path, args),
    };
    match exported {
        // What was asked for is the end, and no error.
        Err(Stop::Failed(_)) if signals::requested() => Ok(0),
        exported => exported.map(|()| 0),
    }
}

fn to_stdout(pool: &Pool, name: &str) -> Result<(), Stop> {
    let mut stdout = Stdout { stop: None };
    match (write(pool, name, &mut stdout), stdout.stop) {
        (Err(_), Some(stop)) => Err(stop),
        (exported, _) => Ok(exported.map(|_| ())?),
    }
}

fn to_file(pool: &Pool, path: &Path, args: &ExportArgs) -> Result<(), Stop> {
    let draft = Draft::new(path, args.force)?;
    let exported = write(pool, &args.pool, &mut Interruptible(draft.file.as_file()))
        .map_err(|error| error.path(path))?;
    draft.publish()?;
    if wants_json(args.json) {
        output::print_json(&ExportResult::new(&args.pool, path, &exported))
    } else {
        output::print_lines(&exported_text(&args.pool, path, &exported))
    }
}

fn write(pool: &Pool, name: &str, out: &mut impl Write) -> Result<Exported> {
    let total = Total::Messages(pool.info()?.metrics.message_count);
    let progress = Progress::new(&format!("exporting {name}"), total);
    pool.export(out, |done| progress.advance(done))
}

pub(super) fn import(global: &Global, args: &ImportArgs, work: &mut Work) -> Outcome {
    let pool = open::pool_ref(&args.name)?;
    let client = global.client_for(&pool)?;
    let input = open_input(args.file.as_deref())?;
    let options = ImportOptions {
        size_bytes: args.size,
        index_capacity: args.index_capacity,
        drop_oldest: args.drop_oldest,
    };
    // A signal may end it at any moment: there is no pool before all is done.
    let imported = work.pause(|| {
        let progress = Progress::new(&format!("importing {}", args.name), input.total);
        let read = Cell::new(0);
        let archive = Counted {
            input: input.reader,
            read: &read,
        };
        client.import_pool(&pool, archive, options, |done| {
            progress.advance(read.get());
            progress.count(done);
        })
    });
    let (pool, imported) = imported.map_err(|error| of_input(error, args.file.as_deref()))?;
    let info = pool.info()?;
    if wants_json(args.json) {
        output::print_json(&ImportResult::new(&args.name, &info, &imported))?;
    } else {
        output::print_lines(&imported_text(&args.name, &info, &imported))?;
    }
    Ok(0)
}

/// The file that is meant; none for standard input or output.
fn file_of(file: Option<&Path>) -> Option<&Path> {
    file.filter(|path| path.as_os_str() != "-")
}

/// Where an archive comes from.
struct Input {
    reader: Box<dyn Read>,
    total: Total,
}

fn open_input(file: Option<&Path>) -> Result<Input> {
    match file {
        None if io::stdin().is_terminal() => Err(Error::new(
            ErrorKind::Usage,
            "there is no archive: no file was named, and standard input is a terminal",
        )
        .hint("name a file that `plasmite pool export` wrote, or pipe one in")),
        file => match file_of(file) {
            None => Ok(Input {
                reader: Box::new(io::stdin().lock()),
                total: Total::Unknown,
            }),
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Input {
                    total: total_of(&file),
                    reader: Box::new(file),
                }),
                Err(cause) => Err(file_error("the archive cannot be opened", path, cause)),
            },
        },
    }
}

/// What there is to read, unless it is a stream.
fn total_of(file: &File) -> Total {
    match file.metadata() {
        Ok(found) if found.is_file() => Total::Bytes(found.len()),
        _ => Total::Unknown,
    }
}

/// A reader that counts the bytes that were read.
struct Counted<'a> {
    input: Box<dyn Read>,
    read: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// Adds the archive's name to an error that is about it.
fn of_input(error: Error, file: Option<&Path>) -> Error {
    match file_of(file) {
        Some(path) if error.offset_value().is_some() || error.kind() == ErrorKind::Io => {
            error.path(path)
        }
        _ => error,
    }
}

/// Standard output, which takes whole lines. Why it stopped to is kept, since that may be no failure.
struct Stdout {
    stop: Option<Stop>,
}

impl Write for Stdout {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        refuse_if_ending()?;
        match output::print(|out| out.extend_from_slice(lines)) {
            Ok(()) => Ok(lines.len()),
            Err(stop) => {
                self.stop = Some(stop);
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that takes no more once a signal asked for the end, so that what is half done is tidied away.
struct Interruptible<'a>(&'a File);

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        refuse_if_ending()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn refuse_if_ending() -> io::Result<()> {
    match signals::requested() {
        true => Err(io::Error::other("a signal asked for the end")),
        false => Ok(()),
    }
}

/// A file on its way to its name, and away if it does not get there. [EXPORT-8]
struct Draft<'a> {
    file: NamedTempFile,
    directory: PathBuf,
    path: &'a Path,
    overwrites: bool,
}

impl Draft<'_> {
    fn new(path: &Path, overwrites: bool) -> Result<Draft<'_>> {
        match path.symlink_metadata() {
            Ok(_) if !overwrites => return Err(taken(path)),
            Ok(found) if !found.is_file() => {
                let message = format!("{} is no regular file", path.display());
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint("name another file, or let the archive go to standard output")
                    .path(path));
            }
            _ => {}
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".plasmite-export-")
            .suffix(".tmp")
            .permissions(usual_permissions())
            .tempfile_in(directory)
            .map_err(|cause| file_error("no file can be made for the archive", path, cause))?;
        Ok(Draft {
            file,
            directory: directory.to_owned(),
            path,
            overwrites,
        })
    }

    /// Gives the file its name, once all of it is on the disk.
    fn publish(self) -> Result<()> {
        let path = self.path;
        let unwritten = |cause| file_error("the archive cannot be written", path, cause);
        self.file.as_file().sync_all().map_err(unwritten)?;
        let named = match self.overwrites {
            true => self.file.persist(path),
            false => self.file.persist_noclobber(path),
        };
        match named {
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(taken(path));
            }
            named => named.map_err(|failed| unwritten(failed.error))?,
        };
        // Some file systems have no such thing as syncing a directory, and need none.
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .ok();
        Ok(())
    }
}

fn taken(path: &Path) -> Error {
    let message = format!("{} is already there", path.display());
    Error::new(ErrorKind::AlreadyExists, message)
        .hint("choose another name, or add --force to replace that file")
        .path(path)
}

fn file_error(what: &'static str, path: &Path, cause: io::Error) -> Error {
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "check the path"),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Permission,
            "check who may use that file and its directory",
        ),
        _ => (ErrorKind::Io, "check the file, and the disk that it is on"),
    };
    Error::new(kind, what)
        .hint(hint)
        .path(path)
        .caused_by(cause)
}

#[derive(Serialize)]
struct ExportResult<'a> {
    pool: &'a str,
    path: String,
    messages: u64,
    bounds: Bounds,
    bytes: u64,
}

impl<'a> ExportResult<'a> {
    fn new(pool: &'a str, path: &Path, exported: &Exported) -> ExportResult<'a> {
        ExportResult {
            pool,
            path: path.to_string_lossy().into_owned(),
            messages: exported.messages,
            bounds: exported.bounds,
            bytes: exported.bytes,
        }
    }
}

#[derive(Serialize)]
struct ImportResult<'a> {
    pool: &'a str,
    path: String,
    file_size: u64,
    index_capacity: u64,
    messages: u64,
    bounds: Bounds,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<DroppedFields>,
}

#[derive(Serialize)]
pub(super) struct DroppedFields {
    messages: u64,
    first: u64,
    last: u64,
}

impl From<Dropped> for DroppedFields {
    fn from(dropped: Dropped) -> DroppedFields {
        let Dropped {
            messages,
            first,
            last,
        } = dropped;
        DroppedFields {
            messages,
            first,
            last,
        }
    }
}

impl<'a> ImportResult<'a> {
    fn new(pool: &'a str, info: &PoolInfo, imported: &Imported) -> ImportResult<'a> {
        ImportResult {
            pool,
            path: info.path.to_string_lossy().into_owned(),
            file_size: info.file_size,
            index_capacity: info.index_capacity,
            messages: imported.messages,
            bounds: imported.bounds,
            dropped: imported.dropped.map(DroppedFields::from),
        }
    }
}

fn exported_text(pool: &str, path: &Path, exported: &Exported) -> String {
    format!(
        "exported {} of {} to {}, {}\n",
        messages_text(exported.messages, exported.bounds),
        visible(pool),
        visible(&path.to_string_lossy()),
        show_size(exported.bytes)
    )
}

fn imported_text(name: &str, info: &PoolInfo, imported: &Imported) -> String {
    let mut text = format!(
        "imported {} into {}, {} ({})\n",
        messages_text(imported.messages, imported.bounds),
        visible(name),
        show_size(info.file_size),
        visible(&info.path.to_string_lossy())
    );
    if let Some(dropped) = imported.dropped {
        text += &format!(
            "left out the oldest {} ({} to {}), which do not fit\n",
            dropped.messages, dropped.first, dropped.last
        );
    }
    text
}

pub(super) fn messages_text(messages: u64, bounds: Bounds) -> String {
    match (messages, bounds.oldest, bounds.newest) {
        (1, Some(seq), _) => format!("message {seq}"),
        (_, Some(oldest), Some(newest)) => format!("{messages} messages ({oldest} to {newest})"),
        _ => "no messages".to_owned(),
    }
}
