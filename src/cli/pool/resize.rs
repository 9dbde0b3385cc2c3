//! `pool resize`.

use clap::Args;
use serde::Serialize;

use super::archive::{DroppedFields, messages_text};
use super::wants_json;
use crate::api::{Bounds, Client, Dimensions, PoolRef, ResizeOptions, Resized};
use crate::cli::args::{Global, JsonFlag, whole_number};
use crate::cli::output::{self, visible};
use crate::cli::progress::{Progress, Total};
use crate::cli::signals::Work;
use crate::cli::size::{parse_size, show_size};
use crate::cli::{Outcome, open};
use crate::core::error::Result;

#[derive(Debug, Args)]
pub(crate) struct ResizeArgs {
    /// A pool's name, or its path
    pool: String,
    /// The new size of the file: bytes, or with K, M or G (1024-based); at least 64K
    #[arg(long, value_name = "S", value_parser = parse_size, allow_hyphen_values = true)]
    size: Option<u64>,
    /// Slots of the index that finds messages by number; 0 for none [default: one for each 512 bytes, if there is one]
    #[arg(long, value_name = "N", value_parser = whole_number, allow_hyphen_values = true)]
    index_capacity: Option<u64>,
    /// If not all messages fit, let go of the oldest
    #[arg(long)]
    drop_oldest: bool,
    #[command(flatten)]
    json: JsonFlag,
}

pub(crate) const NOTES: &str = "\
Messages keep their numbers, times, tags and data. Writers may go on; at the very end they wait
for a moment. Then whoever has the pool open, to write or to follow, gets the error NotFound and
has to open it again. Until it is done, the disk holds both the old file and the new one.

Examples:
  plasmite pool resize chat --size 8M
  plasmite pool resize chat --size 64K --drop-oldest";

pub(super) fn run(global: &Global, args: &ResizeArgs, work: &mut Work) -> Outcome {
    let pool = open::pool_ref(&args.pool)?;
    let client = global.client_for(&pool)?;
    // A signal may end it at any moment: the pool is whole before and after.
    let resized = work.pause(|| resize(&client, &pool, args))?;
    let path = pool.path_in(client.dir()).to_string_lossy().into_owned();
    if wants_json(args.json) {
        output::print_json(&ResizeResult::new(&args.pool, path, &resized))?;
    } else {
        output::print_lines(&text(&args.pool, &path, &resized))?;
    }
    Ok(0)
}

fn resize(client: &Client, pool: &PoolRef, args: &ResizeArgs) -> Result<Resized> {
    let options = ResizeOptions {
        size_bytes: args.size,
        index_capacity: args.index_capacity,
        drop_oldest: args.drop_oldest,
    };
    let info = client.open_pool_to_read(pool)?.info()?;
    let total = Total::Messages(info.metrics.message_count);
    let progress = Progress::new(&format!("resizing {}", args.pool), total);
    client.resize_pool(pool, options, |done| progress.advance(done))
}

#[derive(Serialize)]
struct ResizeResult<'a> {
    pool: &'a str,
    path: String,
    before: Dimensions,
    after: Dimensions,
    messages: u64,
    bounds: Bounds,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<DroppedFields>,
}

impl<'a> ResizeResult<'a> {
    fn new(pool: &'a str, path: String, resized: &Resized) -> ResizeResult<'a> {
        ResizeResult {
            pool,
            path,
            before: resized.before,
            after: resized.after,
            messages: resized.messages,
            bounds: resized.bounds,
            dropped: resized.dropped.map(DroppedFields::from),
        }
    }
}

fn text(pool: &str, path: &str, resized: &Resized) -> String {
    let mut text = format!(
        "resized {} from {} to {}, with {} ({})\n",
        visible(pool),
        show_size(resized.before.file_size),
        show_size(resized.after.file_size),
        messages_text(resized.messages, resized.bounds),
        visible(path)
    );
    if let Some(dropped) = resized.dropped {
        text += &format!(
            "let go of the oldest {} ({} to {}), which did not fit\n",
            dropped.messages, dropped.first, dropped.last
        );
    }
    text
}
