//! The Rust API against a lock, a copy and a checksum.

use std::cell::RefCell;

use plasmite::{
    Batch, Client, CreateOptions, Durability, EndReason, Message, Next, Pool, PoolRef, Start, Tags,
    Tail, TailOptions,
};

use crate::floor::{Ring, scan};
use crate::records::Records;
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};
use crate::timing::{Best, best_of, per_operation};

const APPEND: &str = "append, JSON already checked";
const APPEND_TEXT: &str = "append of JSON text";
const BATCH: &str = "append_batch of 256";
const BATCH_TEXT: &str = "append_batch of 256 JSON texts, filled anew";
const READ: &str = "read, sequential";
const FETCH: &str = "fetch by seq, in order";
const FETCH_RANDOM: &str = "fetch by seq, at random";

const POOL_SIZE: u64 = 64 << 20;
/// What one turn handles: more bytes than the first cache holds, and little enough to be done before the system
/// gives the processor to somebody else.
const TURN: usize = 1024;
const BATCH_LEN: usize = 256;

/// Measures the rows of the API, in nanoseconds per message.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let rows = [
        APPEND,
        APPEND_TEXT,
        BATCH,
        BATCH_TEXT,
        READ,
        FETCH,
        FETCH_RANDOM,
    ];
    if !settings.wants(&rows) {
        return Ok(());
    }
    let bench = ApiBench::new(settings)?;
    bench.append(report)?;
    bench.append_text(report)?;
    bench.append_batch(report)?;
    bench.append_batch_text(report)?;
    bench.read(report)?;
    bench.fetch(report)
}

struct ApiBench<'a> {
    settings: &'a Settings,
    records: Vec<Vec<u8>>,
    pool: Pool,
    ring: RefCell<Ring>,
    rounds: u64,
}

impl ApiBench<'_> {
    fn new(settings: &Settings) -> Result<ApiBench<'_>> {
        let pool = create_pool(settings, "api", POOL_SIZE)?;
        let ring = Ring::create(
            &settings.data_dir().join("api.ring"),
            pool.info()?.ring_size,
        )?;
        let bench = ApiBench {
            settings,
            records: Records::new().take(TURN)?,
            pool,
            ring: RefCell::new(ring),
            rounds: settings.amount(1000, 100),
        };
        bench.fill()?;
        Ok(bench)
    }

    /// Goes round both rings once, so that what is timed meets pages that are there.
    fn fill(&self) -> Result<()> {
        let batches = self.batches(BATCH_LEN)?;
        let laps = 2 * POOL_SIZE as usize / 1024 / BATCH_LEN;
        for i in 0..laps {
            self.pool
                .append_batch(&batches[i % batches.len()], Durability::Fast)?;
        }
        Ok(())
    }

    fn batches(&self, length: usize) -> Result<Vec<Batch>> {
        batches(&self.records, length)
    }

    /// A single append of what a caller checked before: a lock, the clock, a copy and a checksum.
    fn append(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[APPEND]) {
            return Ok(());
        }
        let batches = self.batches(1)?;
        let best = self.compare(|| self.append_floor(), || self.append_all(&batches))?;
        report.add(Row::new(APPEND, "ns/message", best).bar(Bar::RatioAtMost(1.3)));
        Ok(())
    }

    /// A single append of JSON text, which is checked and compacted first: the same floor, and a scan.
    fn append_text(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[APPEND_TEXT]) {
            return Ok(());
        }
        let tags = Tags::none();
        let best = self.compare(
            || {
                self.records.iter().try_for_each(|record| scan(record))?;
                self.append_floor()
            },
            || {
                self.records.iter().try_for_each(|record| {
                    self.pool.append_json(record, &tags, Durability::Fast)?;
                    Ok(())
                })
            },
        )?;
        report.add(Row::new(APPEND_TEXT, "ns/message", best).bar(Bar::RatioAtMost(1.3)));
        Ok(())
    }

    fn append_floor(&self) -> Result<()> {
        let mut ring = self.ring.borrow_mut();
        self.records
            .iter()
            .try_for_each(|record| ring.append(record))
    }

    /// A batch sums up its messages as it is filled, so that no writer waits for it. The row below has that, too.
    fn append_batch(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[BATCH]) {
            return Ok(());
        }
        let batches = self.batches(BATCH_LEN)?;
        let best = self.compare(|| self.store_floor(), || self.append_all(&batches))?;
        report.add(Row::new(BATCH, "ns/message", best).bar(Bar::RatioAtMost(1.5)));
        Ok(())
    }

    fn append_batch_text(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[BATCH_TEXT]) {
            return Ok(());
        }
        let (tags, mut batch) = (Tags::none(), Batch::new());
        let best = self.compare(
            || {
                self.records.iter().try_for_each(|record| scan(record))?;
                self.store_floor()
            },
            || {
                self.records.chunks(BATCH_LEN).try_for_each(|records| {
                    batch.clear();
                    records
                        .iter()
                        .try_for_each(|record| batch.push_json(record, &tags))?;
                    self.pool.append_batch(&batch, Durability::Fast)?;
                    Ok(())
                })
            },
        )?;
        report.add(Row::new(BATCH_TEXT, "ns/message", best).bar(Bar::RatioAtMost(1.3)));
        Ok(())
    }

    fn store_floor(&self) -> Result<()> {
        let mut ring = self.ring.borrow_mut();
        self.records.iter().for_each(|record| ring.store(record));
        Ok(())
    }

    fn append_all(&self, batches: &[Batch]) -> Result<()> {
        batches.iter().try_for_each(|batch| {
            self.pool.append_batch(batch, Durability::Fast)?;
            Ok(())
        })
    }

    fn read(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[READ]) {
            return Ok(());
        }
        let mut walk = Walk::new(&self.pool)?;
        let mut buffer = vec![0; 2048];
        let best = self.compare(
            || {
                let mut ring = self.ring.borrow_mut();
                let lengths = self.records.iter().map(Vec::len);
                lengths.for_each(|length| ring.load(&mut buffer[..length]));
                Ok(())
            },
            || walk.take(TURN),
        )?;
        report.add(Row::new(READ, "ns/message", best).bar(Bar::RatioAtMost(1.5)));
        Ok(())
    }

    /// What a fetch does beyond a read is to find the message, so a read is what it is compared with. At random, most of
    /// what it meets is in no cache, which no bar is for.
    fn fetch(&self, report: &mut Report) -> Result<()> {
        // At random, a step that is prime to any count that can occur here visits every message, none of them near
        // the one before.
        for (name, step, bar) in [
            (FETCH, 1, Some(Bar::RatioAtMost(2.0))),
            (FETCH_RANDOM, 1_000_003, None),
        ] {
            if !self.settings.wants(&[name]) {
                continue;
            }
            let mut walk = Walk::new(&self.pool)?;
            let (first, count) = retained(&self.pool)?;
            let mut fetched = 0;
            let best = self.compare(
                || walk.take(TURN),
                || {
                    (0..TURN).try_for_each(|_| {
                        fetched += step;
                        fetch(&self.pool, first + fetched % count)
                    })
                },
            )?;
            let row = Row::new(name, "ns/message", best);
            report.add(match bar {
                Some(bar) => row.bar(bar),
                None => row,
            });
        }
        Ok(())
    }

    /// Turns that handle all records once.
    fn compare(
        &self,
        mut floor: impl FnMut() -> Result<()>,
        mut product: impl FnMut() -> Result<()>,
    ) -> Result<Best> {
        let count = TURN as u64;
        best_of(
            self.rounds,
            || per_operation(count, &mut floor),
            || per_operation(count, &mut product),
        )
    }
}

/// The records, so many to a batch.
pub(crate) fn batches(records: &[Vec<u8>], length: usize) -> Result<Vec<Batch>> {
    let batch = |records: &[Vec<u8>]| {
        let mut batch = Batch::new();
        for record in records {
            batch.push_json(record, &Tags::none())?;
        }
        Ok(batch)
    };
    records.chunks(length).map(batch).collect()
}

/// A new pool of this size.
pub(crate) fn create_pool(settings: &Settings, name: &str, size: u64) -> Result<Pool> {
    let options = CreateOptions {
        size_bytes: Some(size),
        ..CreateOptions::default()
    };
    Ok(Client::new(settings.data_dir()).create_pool(&PoolRef::parse(name)?, options)?)
}

/// Reads a pool from its oldest message to its newest, over and over, into one buffer.
pub(crate) struct Walk<'a> {
    pool: &'a Pool,
    tail: Tail,
    message: Message,
}

impl Walk<'_> {
    pub(crate) fn new(pool: &Pool) -> Result<Walk<'_>> {
        Ok(Walk {
            pool,
            tail: tail(pool)?,
            message: Message::default(),
        })
    }

    /// Reads so many messages, and begins anew at the end of the pool.
    pub(crate) fn take(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            // A turn that only came to the end would be the fastest of all.
            if !self.next()? {
                self.tail = tail(self.pool)?;
                if !self.next()? {
                    return Err("the pool should not be empty".into());
                }
            }
        }
        Ok(())
    }

    /// Whether there was a message.
    fn next(&mut self) -> Result<bool> {
        match self.tail.read(&mut self.message)? {
            Next::Message => Ok(true),
            Next::End(EndReason::CaughtUp) => Ok(false),
            other => Err(format!("expected a message, got {other:?}").into()),
        }
    }
}

fn tail(pool: &Pool) -> Result<Tail> {
    Ok(pool.tail(TailOptions {
        start: Start::Oldest,
        follow: false,
        ..TailOptions::default()
    })?)
}

/// The oldest seq, and how many messages there are.
pub(crate) fn retained(pool: &Pool) -> Result<(u64, u64)> {
    let bounds = pool.bounds()?;
    match (bounds.oldest, bounds.newest) {
        (Some(oldest), Some(newest)) => Ok((oldest, newest - oldest + 1)),
        _ => Err("the pool should not be empty".into()),
    }
}

pub(crate) fn fetch(pool: &Pool, seq: u64) -> Result<()> {
    let message = pool.get(seq)?;
    if message.seq() == seq {
        Ok(())
    } else {
        Err(format!("asked for {seq}, got {}", message.seq()).into())
    }
}
