//! The product.

use std::path::Path;

use plasmite::{
    Batch, Client, CreateOptions, Durability, Message, Next, PoolRef, Start, Tags, Tail,
    TailOptions,
};

use crate::peer::{Peer, Result, Strength, TOGETHER};

/// A pool, written through one handle and read through another.
pub(crate) struct Pool {
    writer: plasmite::Pool,
    reader: plasmite::Pool,
    durability: Durability,
    each: Vec<Batch>,
    together: Vec<Batch>,
}

impl Pool {
    pub(crate) fn create(dir: &Path, strength: Strength) -> Result<Pool> {
        let client = Client::new(dir);
        let name = PoolRef::parse("pool")?;
        let options = CreateOptions {
            size_bytes: Some(16 << 20),
            ..CreateOptions::default()
        };
        Ok(Pool {
            writer: client.create_pool(&name, options)?,
            reader: client.open_pool_to_read(&name)?,
            durability: match strength {
                Strength::Process => Durability::Fast,
                Strength::Power => Durability::Flush,
            },
            each: Vec::new(),
            together: Vec::new(),
        })
    }

    /// Writes every page once: a ring is new once, and in use for long.
    fn go_round(&self) -> Result<()> {
        let ring = self.writer.info()?.ring_size;
        let mut bytes = 0;
        for batch in self.together.iter().cycle() {
            if bytes > ring {
                break;
            }
            self.writer.append_batch(batch, Durability::Fast)?;
            bytes += batch.frame_bytes();
        }
        Ok(self.writer.flush()?)
    }

    fn append(&self, batches: &[Batch]) -> Result<()> {
        for batch in batches {
            self.writer.append_batch(batch, self.durability)?;
        }
        Ok(())
    }

    fn tail(&self, start: Start) -> Result<Tail> {
        Ok(self.reader.tail(TailOptions {
            start,
            ..TailOptions::default()
        })?)
    }
}

impl Peer for Pool {
    fn name(&self) -> &'static str {
        "plasmite"
    }

    /// A ring needs none.
    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, records: &[Vec<u8>]) -> Result<()> {
        if self.each.is_empty() {
            self.each = batches(records, 1)?;
            self.together = batches(records, TOGETHER)?;
            self.go_round()?;
        }
        Ok(())
    }

    fn append_text(&mut self, records: &[Vec<u8>]) -> Result<()> {
        for record in records {
            self.writer
                .append_json(record, &Tags::none(), self.durability)?;
        }
        Ok(())
    }

    fn append_each(&mut self, _records: &[Vec<u8>]) -> Result<()> {
        self.append(&self.each)
    }

    fn append_together(&mut self, _records: &[Vec<u8>]) -> Result<()> {
        self.append(&self.together)
    }

    fn read(&mut self, count: usize) -> Result<u64> {
        let mut tail = self.tail(Start::Last(count as u64))?;
        let mut message = Message::default();
        let mut bytes = 0;
        for _ in 0..count {
            bytes += next(&mut tail, &mut message)?;
        }
        Ok(bytes)
    }

    fn hand_over(&mut self, _records: &[Vec<u8>]) -> Result<u64> {
        let mut tail = self.tail(Start::Newest)?;
        let mut message = Message::default();
        let mut bytes = 0;
        for batch in &self.each {
            self.writer.append_batch(batch, self.durability)?;
            bytes += next(&mut tail, &mut message)?;
        }
        Ok(bytes)
    }
}

fn batches(records: &[Vec<u8>], length: usize) -> Result<Vec<Batch>> {
    let batch = |records: &[Vec<u8>]| {
        let mut batch = Batch::new();
        for record in records {
            batch.push_json(record, &Tags::none())?;
        }
        Ok(batch)
    };
    records.chunks(length).map(batch).collect()
}

fn next(tail: &mut Tail, message: &mut Message) -> Result<u64> {
    match tail.read(message)? {
        Next::Message => Ok(message.data_json().len() as u64),
        other => Err(format!("expected a message, got {other:?}").into()),
    }
}
