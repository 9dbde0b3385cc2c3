//! `pool create|list|info|delete`, and in files of their own what moves whole pools.

mod archive;
mod resize;

use clap::Subcommand;
use serde::Serialize;

use archive::{ExportArgs, ImportArgs};
use resize::ResizeArgs;

use crate::api::{CreateOptions, PoolEntry, PoolInfo, Timestamp};
use crate::cli::args::{
    CREATE_EXAMPLES, CreateArgs, DeleteArgs, Global, InfoArgs, JsonFlag, ListArgs,
};
use crate::cli::open::Target;
use crate::cli::output::{self, visible};
use crate::cli::signals::Work;
use crate::cli::size::show_size;
use crate::cli::{Outcome, layout, open};
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;
use crate::policy;
use crate::wire::{ErrorFields, PoolList, error_fields};

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// Create pools
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the pools in the pool directory, or of a server
    #[command(
        after_help = "Examples:\n  plasmite pool list\n  plasmite pool list http://127.0.0.1:9700"
    )]
    List(ListArgs),
    /// Describe a pool: size, bounds, how full it is, how old its messages are
    #[command(
        after_help = "Examples:\n  plasmite pool info chat\n  plasmite pool info chat --json | jq .bounds"
    )]
    Info(InfoArgs),
    /// Delete pools and all that is in them
    #[command(after_help = "Example:\n  plasmite pool delete chat metrics")]
    Delete(DeleteArgs),
    /// Write all messages of a pool to an archive
    #[command(after_help = archive::EXPORT_NOTES)]
    Export(ExportArgs),
    /// Make a pool out of an archive
    #[command(after_help = archive::IMPORT_NOTES)]
    Import(ImportArgs),
    /// Give a pool another size, with all its messages
    #[command(after_help = resize::NOTES)]
    Resize(ResizeArgs),
}

pub(super) fn run(global: &Global, command: &PoolCommand, work: &mut Work) -> Outcome {
    match command {
        PoolCommand::Create(args) => create(global, args),
        PoolCommand::List(args) => list(global, args),
        PoolCommand::Info(args) => info(global, args),
        PoolCommand::Delete(args) => delete(global, args),
        PoolCommand::Export(args) => archive::export(global, args),
        PoolCommand::Import(args) => archive::import(global, args, work),
        PoolCommand::Resize(args) => resize::run(global, args, work),
    }
}

fn create(global: &Global, args: &CreateArgs) -> Outcome {
    let options = CreateOptions {
        size_bytes: args.size,
        index_capacity: args.index_capacity,
    };
    let create_one = |name: &str| match open::target(name)? {
        Target::Local(pool) => global
            .client_for(&pool)?
            .create_pool(&pool, options)?
            .info(),
        #[cfg(feature = "remote")]
        Target::Remote(url) => {
            let client = crate::cli::remote::client(&args.remote, &url)?;
            client.create_pool(client.pool_of(&url)?.name(), options)
        }
    };
    let tried = Tried::each(&args.names, create_one);
    if wants_json(args.json) {
        output::print_json(&Created {
            created: &tried.done,
            failed: &tried.failed,
        })?;
    } else {
        for info in &tried.done {
            output::print_lines(&created_text(info))?;
        }
    }
    tried.finish()
}

fn list(global: &Global, args: &ListArgs) -> Outcome {
    let (place, entries) = match &args.server {
        None => {
            let client = global.client()?;
            let place = client.dir().to_string_lossy().into_owned();
            (place, client.list_pools()?)
        }
        Some(server) => list_server(args, server)?,
    };
    if wants_json(args.json) {
        output::print_json(&PoolList::new(&entries))?;
    } else {
        output::print_text(&list_text(&place, &entries))?;
    }
    Ok(0)
}

#[cfg(feature = "remote")]
fn list_server(args: &ListArgs, server: &str) -> Result<(String, Vec<PoolEntry>)> {
    let url = crate::cli::remote::RemoteRef::parse(server)?;
    if url.pool().is_some() {
        return Err(no_server(server));
    }
    let client = crate::cli::remote::client(&args.remote, &url)?;
    Ok((url.to_string(), client.list_pools()?))
}

#[cfg(not(feature = "remote"))]
fn list_server(_: &ListArgs, server: &str) -> Result<(String, Vec<PoolEntry>)> {
    Err(no_server(server))
}

fn no_server(text: &str) -> Error {
    let message = format!("`{}` is not a server whose pools can be listed", echo(text));
    Error::new(ErrorKind::Usage, message)
        .hint("give no more than http://HOST:PORT, or another pool directory with --dir")
}

fn info(global: &Global, args: &InfoArgs) -> Outcome {
    let info = match open::target(&args.pool)? {
        Target::Local(pool) => global.client_for(&pool)?.open_pool_to_read(&pool)?.info()?,
        #[cfg(feature = "remote")]
        Target::Remote(url) => crate::cli::remote::client(&args.remote, &url)?
            .pool_of(&url)?
            .info()?,
    };
    if wants_json(args.json) {
        output::print_json(&info)?;
    } else {
        output::print_text(&info_text(&info))?;
    }
    Ok(0)
}

fn delete(global: &Global, args: &DeleteArgs) -> Outcome {
    let delete_one = |name: &str| {
        let path = match open::target(name)? {
            Target::Local(pool) => {
                let path = global.client_for(&pool)?.delete_pool(&pool)?;
                path.to_string_lossy().into_owned()
            }
            #[cfg(feature = "remote")]
            Target::Remote(url) => {
                let pool = crate::cli::remote::client(&args.remote, &url)?.pool_of(&url)?;
                pool.delete()?;
                pool.url()
            }
        };
        Ok(Deleted {
            pool: name.to_owned(),
            path,
        })
    };
    let tried = Tried::each(&args.names, delete_one);
    if wants_json(args.json) {
        output::print_json(&Deletion {
            deleted: &tried.done,
            failed: &tried.failed,
        })?;
    } else {
        for gone in &tried.done {
            output::print_lines(&format!(
                "deleted {} ({})\n",
                visible(&gone.pool),
                visible(&gone.path)
            ))?;
        }
    }
    tried.finish()
}

fn wants_json(flag: JsonFlag) -> bool {
    flag.json || !output::stdout_is_terminal()
}

/// What came of trying the same on each of several pools.
struct Tried<T> {
    done: Vec<T>,
    failed: Vec<Failed>,
    errors: Vec<Error>,
}

#[derive(Serialize)]
struct Failed {
    pool: String,
    error: ErrorFields,
}

impl<T> Tried<T> {
    /// Tries all, in order, whatever becomes of those before.
    fn each(names: &[String], attempt: impl Fn(&str) -> Result<T>) -> Tried<T> {
        let mut tried = Tried {
            done: Vec::new(),
            failed: Vec::new(),
            errors: Vec::new(),
        };
        for name in names {
            match attempt(name) {
                Ok(done) => tried.done.push(done),
                Err(error) => {
                    tried.failed.push(Failed {
                        pool: name.clone(),
                        error: error_fields(&error),
                    });
                    tried.errors.push(error);
                }
            }
        }
        tried
    }

    /// Reports the failures after the result; the first determines the exit code.
    fn finish(self) -> Outcome {
        output::flush()?;
        self.errors.iter().for_each(output::report);
        Ok(self
            .errors
            .first()
            .map_or(0, |error| policy::exit_code(error.kind())))
    }
}

#[derive(Serialize)]
struct Created<'a> {
    created: &'a [PoolInfo],
    failed: &'a [Failed],
}

#[derive(Serialize)]
struct Deletion<'a> {
    deleted: &'a [Deleted],
    failed: &'a [Failed],
}

#[derive(Serialize)]
struct Deleted {
    pool: String,
    path: String,
}

fn created_text(info: &PoolInfo) -> String {
    let (name, path) = (visible(&info.name), visible(&info.path.to_string_lossy()));
    format!("created {name}, {} ({path})\n", show_size(info.file_size))
}

fn list_text(place: &str, entries: &[PoolEntry]) -> String {
    if entries.is_empty() {
        let place = visible(place);
        let line = format!("no pools in {place}; `plasmite pool create NAME` creates one");
        return layout::wrap(&line, layout::stdout_width()) + "\n";
    }
    let rows: Vec<_> = entries.iter().map(list_row).collect();
    let heading = ["NAME", "SIZE", "OLDEST", "NEWEST", "MODIFIED"];
    layout::table(heading, &rows, layout::stdout_width())
}

fn list_row(entry: &PoolEntry) -> [String; 5] {
    let number = |seq: Option<u64>| seq.map_or("-".to_owned(), |seq| seq.to_string());
    let (oldest, newest) = match &entry.bounds {
        Ok(bounds) => (number(bounds.oldest), number(bounds.newest)),
        Err(error) => (error.kind().name().to_owned(), "-".to_owned()),
    };
    [
        visible(&entry.name),
        show_size(entry.file_size),
        oldest,
        newest,
        to_seconds(&entry.mtime.to_string()),
    ]
}

fn to_seconds(time: &str) -> String {
    time.split_once('.')
        .map_or(time.to_owned(), |(seconds, _)| {
            format!("{}Z", seconds.replace('T', " "))
        })
}

fn info_text(info: &PoolInfo) -> String {
    let metrics = &info.metrics;
    let index = match info.index_capacity {
        0 => "none".to_owned(),
        capacity => format!("{capacity} slots, {}", show_size(info.index_size_bytes)),
    };
    let used = &metrics.utilization;
    let mut lines = vec![
        ("path", visible(&info.path.to_string_lossy())),
        ("size", show_size(info.file_size)),
        ("messages", messages_text(info)),
        (
            "oldest",
            moment_text(metrics.age.oldest_time, metrics.age.oldest_age_ms),
        ),
        (
            "newest",
            moment_text(metrics.age.newest_time, metrics.age.newest_age_ms),
        ),
        (
            "used",
            format!(
                "{} of {} ({}%)",
                show_size(used.used_bytes),
                show_size(info.ring_size),
                used.used_percent
            ),
        ),
        ("index", index),
        ("created", info.created.to_string()),
        (
            "format",
            format!("version {}, uuid {}", info.format_version, info.uuid),
        ),
        ("recovered", recovered_text(info.generation)),
    ];
    if let Some(behind) = metrics.age.clock_behind_ms {
        lines.push((
            "clock",
            format!(
                "{} behind the newest message, whose time new ones repeat",
                age_text(behind)
            ),
        ));
    }
    layout::facts(&visible(&info.name), &lines, layout::stdout_width())
}

fn recovered_text(generation: u64) -> String {
    match generation {
        0 => "never needed".to_owned(),
        1 => "once, after a crash of the system".to_owned(),
        times => format!("{times} times, after crashes of the system"),
    }
}

fn messages_text(info: &PoolInfo) -> String {
    match (info.bounds.oldest, info.bounds.newest) {
        (Some(oldest), Some(newest)) => {
            format!("{} ({oldest} to {newest})", info.metrics.message_count)
        }
        _ => "none".to_owned(),
    }
}

fn moment_text(time: Option<Timestamp>, age_ms: Option<u64>) -> String {
    match (time, age_ms) {
        (Some(time), Some(age)) => format!("{time}, {} ago", age_text(age)),
        _ => "-".to_owned(),
    }
}

/// An age in the largest unit of which it holds at least two, so that it is never far off.
fn age_text(ms: u64) -> String {
    match ms {
        0..2_000 => format!("{ms} ms"),
        2_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let shown = [0, 1_999, 2_000, 125_000, 7_200_000, 200_000_000].map(age_text);
        assert_eq!(shown, ["0 ms", "1999 ms", "2 s", "2 min", "2 h", "2 days"]);
    }
}
