//! `pool create|list|info|delete`.

use serde::Serialize;

use super::args::{CreateArgs, DeleteArgs, Global, InfoArgs, JsonFlag, PoolCommand};
use super::output::{self, style, visible};
use super::size::show_size;
use super::Outcome;
use crate::api::{Bounds, Client, CreateOptions, PoolEntry, PoolInfo, PoolRef};
use crate::core::error::{Error, Result};
use crate::policy;
use crate::wire::{ErrorFields, error_fields};

pub(super) fn run(global: &Global, command: &PoolCommand) -> Outcome {
    match command {
        PoolCommand::Create(args) => create(global, args),
        PoolCommand::List(flag) => list(global, *flag),
        PoolCommand::Info(args) => info(global, args),
        PoolCommand::Delete(args) => delete(global, args),
    }
}

fn create(global: &Global, args: &CreateArgs) -> Outcome {
    let options = CreateOptions {
        size_bytes: args.size,
        index_capacity: args.index_capacity,
    };
    let create_one = |name: &str| {
        let pool = PoolRef::parse(name)?;
        global.client_for(&pool)?.create_pool(&pool, options)?.info()
    };
    let tried = Tried::each(&args.names, create_one);
    if wants_json(args.json) {
        output::print_json(&Created { created: &tried.done, failed: &tried.failed })?;
    } else {
        for info in &tried.done {
            output::print_text(&created_text(info))?;
        }
    }
    tried.finish()
}

fn list(global: &Global, flag: JsonFlag) -> Outcome {
    let client = global.client()?;
    let entries = client.list_pools()?;
    if wants_json(flag) {
        output::print_json(&List { pools: entries.iter().map(ListLine::new).collect() })?;
    } else {
        output::print_text(&list_text(&client, &entries))?;
    }
    Ok(0)
}

fn info(global: &Global, args: &InfoArgs) -> Outcome {
    let pool = PoolRef::parse(&args.pool)?;
    let info = global.client_for(&pool)?.open_pool_to_read(&pool)?.info()?;
    if wants_json(args.json) {
        output::print_json(&info)?;
    } else {
        output::print_text(&info_text(&info))?;
    }
    Ok(0)
}

fn delete(global: &Global, args: &DeleteArgs) -> Outcome {
    let delete_one = |name: &str| {
        let pool = PoolRef::parse(name)?;
        let path = global.client_for(&pool)?.delete_pool(&pool)?;
        Ok(Deleted { pool: name.to_owned(), path: path.to_string_lossy().into_owned() })
    };
    let tried = Tried::each(&args.names, delete_one);
    if wants_json(args.json) {
        output::print_json(&Deletion { deleted: &tried.done, failed: &tried.failed })?;
    } else {
        for gone in &tried.done {
            output::print_text(&format!("deleted {} ({})\n", visible(&gone.pool), visible(&gone.path)))?;
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
        let mut tried = Tried { done: Vec::new(), failed: Vec::new(), errors: Vec::new() };
        for name in names {
            match attempt(name) {
                Ok(done) => tried.done.push(done),
                Err(error) => {
                    tried.failed.push(Failed { pool: name.clone(), error: error_fields(&error) });
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
        Ok(self.errors.first().map_or(0, |error| policy::exit_code(error.kind())))
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

#[derive(Serialize)]
struct List {
    pools: Vec<ListLine>,
}

#[derive(Serialize)]
struct ListLine {
    name: String,
    path: String,
    file_size: u64,
    mtime: String,
    bounds: Bounds,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields>,
}

impl ListLine {
    fn new(entry: &PoolEntry) -> ListLine {
        ListLine {
            name: entry.name.clone(),
            path: entry.path.to_string_lossy().into_owned(),
            file_size: entry.file_size,
            mtime: entry.mtime.to_string(),
            bounds: entry.bounds.as_ref().copied().unwrap_or_default(),
            error: entry.bounds.as_ref().err().map(error_fields),
        }
    }
}

fn created_text(info: &PoolInfo) -> String {
    let (name, path) = (visible(&info.name), visible(&info.path.to_string_lossy()));
    format!("created {name}, {} ({path})\n", show_size(info.file_size))
}

fn list_text(client: &Client, entries: &[PoolEntry]) -> String {
    if entries.is_empty() {
        let dir = visible(&client.dir().to_string_lossy());
        return format!("no pools in {dir}; 'plasmite pool create NAME' creates one\n");
    }
    let mut rows = vec![["NAME", "SIZE", "OLDEST", "NEWEST", "MODIFIED"].map(str::to_owned)];
    rows.extend(entries.iter().map(list_row));
    table(&rows)
}

fn list_row(entry: &PoolEntry) -> [String; 5] {
    let number = |seq: Option<u64>| seq.map_or("-".to_owned(), |seq| seq.to_string());
    let (oldest, newest) = match &entry.bounds {
        Ok(bounds) => (number(bounds.oldest), number(bounds.newest)),
        Err(error) => (error.kind().name().to_owned(), "-".to_owned()),
    };
    [visible(&entry.name), show_size(entry.file_size), oldest, newest, to_seconds(&entry.mtime.to_string())]
}

/// Columns as wide as their widest cell; the first row is the heading.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = cells.join("  ");
        let bold = style::HEADING;
        text += &match i {
            0 => format!("{bold}{}{bold:#}\n", line.trim_end()),
            _ => format!("{}\n", line.trim_end()),
        };
    }
    text
}

fn to_seconds(time: &str) -> String {
    time.split_once('.').map_or(time.to_owned(), |(seconds, _)| format!("{}Z", seconds.replace('T', " ")))
}

fn info_text(info: &PoolInfo) -> String {
    let json = serde_json::to_value(info).unwrap_or_default();
    let _ = json;
    String::new()
}
