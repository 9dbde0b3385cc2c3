//! A writer: appends until it is killed, and says after each append what it was acknowledged.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use plasmite::{Batch, Client, Durability, Pool, PoolRef, Result, Tags};

use crate::message::{Identity, mix};
use crate::report::Report;

/// Far beyond any wait for the lock that a busy machine could cause.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Ends only when killed, when nobody listens any more, or when an append fails.
pub(crate) fn run(path: &Path, writer: u32) {
    let mut out = std::io::stdout();
    let outcome = Writer::open(path, writer).and_then(|mut writer| {
        loop {
            let report = writer.append()?;
            // One write per receipt: a kill leaves whole lines.
            if writeln!(out, "{report}").is_err() {
                return Ok(());
            }
        }
    });
    if let Err(error) = outcome {
        let _ = writeln!(out, "{}", Report::of(&error));
    }
}

struct Writer {
    pool: Pool,
    writer: u32,
    count: u32,
    tags: Tags,
    batch: Batch,
    text: String,
}

impl Writer {
    fn open(path: &Path, writer: u32) -> Result<Writer> {
        let pool = Client::new("").open_pool(&PoolRef::Path(path.to_owned()))?;
        Ok(Writer {
            pool: pool.with_lock_timeout(LOCK_TIMEOUT),
            writer,
            count: 0,
            tags: Tags::none(),
            batch: Batch::new(),
            text: String::new(),
        })
    }

    fn append(&mut self) -> Result<Report> {
        let chance = mix(u64::from(self.writer) << 32 | u64::from(self.count));
        let parts = if chance.is_multiple_of(4) { 3 } else { 1 };
        let durability = if chance.is_multiple_of(1000) {
            Durability::Flush
        } else {
            Durability::Fast
        };
        let first = self.count;
        self.batch.clear();
        for part in 0..parts {
            self.push(part, parts)?;
        }
        let receipt = self.pool.append_batch(&self.batch, durability)?;
        Ok(Report::Appended {
            seq: receipt.first_seq,
            count: first,
            parts,
        })
    }

    fn push(&mut self, part: u8, parts: u8) -> Result<()> {
        let identity = Identity {
            writer: self.writer,
            count: self.count,
            part,
            parts,
        };
        if self.tags.is_empty() {
            self.tags = Tags::new([identity.tag()]);
        }
        identity.write_data(&mut self.text);
        self.count += 1;
        self.batch.push_json(self.text.as_bytes(), &self.tags)
    }
}
