//! What a message takes on the disk beyond its JSON text.

use std::fs;

use plasmite::{Durability, Message, Next, Pool, Start, TailOptions};

use crate::api::{batches, create_pool};
use crate::records::Records;
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};

const FRAME: &str = "bytes on disk beyond the JSON text, frames";
const ALL: &str = "bytes on disk beyond the JSON text, whole file";

const POOL_SIZE: u64 = 16 << 20;
const MOST: f64 = 64.0;

/// Measures a pool that is full. The bar is for frames, which are what a message costs. Header and index are of a size
/// that the file has from the start, whatever is put into it, and that whoever creates it may choose; with them, and what
/// no message fits into, it is the whole file, which is shown and not judged.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[FRAME, ALL]) {
        return Ok(());
    }
    let pool = create_pool(settings, "disk", POOL_SIZE)?;
    let batches = batches(&Records::new().take(1024)?, 256)?;
    for _ in 0..2 * POOL_SIZE / (1 << 20) {
        for batch in &batches {
            pool.append_batch(batch, Durability::Fast)?;
        }
    }
    let info = pool.info()?;
    let (count, text) = retained_text(&pool)?;
    for (name, bytes) in [
        (FRAME, info.metrics.utilization.used_bytes),
        (ALL, info.file_size),
    ] {
        let extra = (bytes - text) as f64 / count as f64;
        let row = Row::alone(name, "B/message", extra);
        report.add(match name {
            FRAME => row.bar(Bar::ValueAtMost(MOST)),
            _ => row,
        });
    }
    Ok(fs::remove_file(pool.path())?)
}

/// How many messages there are, and the bytes of their JSON text.
fn retained_text(pool: &Pool) -> Result<(u64, u64)> {
    let mut tail = pool.tail(TailOptions {
        start: Start::Oldest,
        follow: false,
        ..TailOptions::default()
    })?;
    let mut message = Message::default();
    let (mut count, mut text) = (0, 0);
    while let Next::Message = tail.read(&mut message)? {
        count += 1;
        text += message.data_json().len() as u64;
    }
    Ok((count, text))
}
