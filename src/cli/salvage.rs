//! `doctor POOL --salvage OUT`.

use serde::Serialize;

use super::args::Global;
use super::output::{self, count, style, visible};
use super::progress::{Progress, Total};
use super::{Outcome, open};
use crate::api::{Client, Loss, PoolRef, Salvaged};
use crate::core::error::{ErrorKind, Result};
use crate::policy;
use crate::wire::SalvageBody;

pub(super) fn run(global: &Global, pool: &str, out: &str, json: bool) -> Outcome {
    let (from, to) = (open::pool_ref(pool)?, open::pool_ref(out)?);
    let client = client_for(global, &from, &to)?;
    let salvaged = {
        let label = format!("saving what is undamaged of {pool}");
        let _progress = Progress::new(&label, Total::Unknown);
        client.salvage_pool(&from, &to)?
    };
    if json {
        let path = |pool: &PoolRef| pool.path_in(client.dir()).to_string_lossy().into_owned();
        output::print_json(&Manifest {
            salvage: Salvage {
                pool_ref: pool,
                path: path(&from),
                out_ref: out,
                out_path: path(&to),
                found: SalvageBody::new(&salvaged),
            },
        })?;
    } else {
        output::print_lines(&text(pool, &to, &salvaged))?;
    }
    // Whoever goes on only where this succeeds must not take what is left for all there was.
    Ok(match salvaged.losses.is_empty() {
        true => 0,
        false => policy::exit_code(ErrorKind::Corrupt),
    })
}

/// A client with the pool directory, unless both pools are paths.
fn client_for(global: &Global, from: &PoolRef, to: &PoolRef) -> Result<Client> {
    match from {
        PoolRef::Path(_) => global.client_for(to),
        PoolRef::Name(_) => global.client_for(from),
    }
}

#[derive(Serialize)]
struct Manifest<'a> {
    salvage: Salvage<'a>,
}

#[derive(Serialize)]
struct Salvage<'a> {
    pool_ref: &'a str,
    path: String,
    out_ref: &'a str,
    out_path: String,
    #[serde(flatten)]
    found: SalvageBody<'a>,
}

fn text(pool: &str, out: &PoolRef, salvaged: &Salvaged) -> String {
    let (state, end) = match salvaged.losses.is_empty() {
        true => (style::GOOD, "nothing is lost"),
        false => (style::ERROR, "lost for good:"),
    };
    let messages = count(salvaged.messages, "message");
    let (from, to) = (visible(pool), visible(&out.to_string()));
    let mut text = format!("{state}saved{state:#}  {messages} of {from} in {to}; {end}\n");
    for loss in &salvaged.losses {
        text += &loss_text(loss);
    }
    for twin in &salvaged.duplicates {
        text += &format!(
            "  two frames say that they are message {}: the one at byte {} is saved, the one at byte {} is not\n",
            twin.seq, twin.kept, twin.dropped
        );
    }
    for assumed in &salvaged.assumed {
        text += &format!("  assumed that {}\n", visible(assumed));
    }
    let cyan = style::HINT;
    text += &format!(
        "  {cyan}hint:{cyan:#} look at it with `plasmite follow {} --no-follow`; the damaged file is as it was\n",
        visible(&out.as_argument())
    );
    text
}

fn loss_text(loss: &Loss) -> String {
    let seqs = match (loss.first_seq, loss.last_seq) {
        (Some(first), Some(last)) if first == last => format!("message {first}"),
        (Some(first), Some(last)) => format!("messages {first} to {last}"),
        (Some(first), None) => format!("messages from {first} on"),
        (None, Some(last)) => format!("messages up to {last}"),
        (None, None) => "messages of unknown numbers".to_owned(),
    };
    let yellow = style::NOTICE;
    format!(
        "  {yellow}{}{yellow:#}: {seqs}: {} ({} bytes from byte {} on)\n",
        loss.code.name(),
        loss.message,
        loss.bytes,
        loss.offset
    )
}
