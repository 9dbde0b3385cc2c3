//! The Rust API against a lock, a copy and a checksum.

use std::cell::RefCell;

use plasmite::{
    Batch, Client, CreateOptions, Durability, EndReason, Message, Next, Pool, PoolRef, Start, Tags,
    TailOptions,
};

use crate::floor::Ring;
use crate::records::Records;
use crate::report::Report;
use crate::settings::{Result, Settings};
use crate::timing::{Best, best_of, per_operation};

const APPEND: &str = "append";
const APPEND_CHECKED: &str = "append, JSON already checked";
const BATCH: &str = "append_batch of 256";
const READ: &str = "read, sequential";
const FETCH: &str = "fetch by seq, in order";
const FETCH_RANDOM: &str = "fetch by seq, at random";

const POOL_SIZE: u64 = 64 << 20;
/// Records that are appended over and over: more than the first cache holds.
const RECORDS: usize = 1024;
const BATCH_LEN: usize = 256;

/// Measures the rows of the API, in nanoseconds per message.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[APPEND, APPEND_CHECKED, BATCH, READ, FETCH, FETCH_RANDOM]) {
        return Ok(());
    }
    let bench = ApiBench::new(settings)?;
    bench.append(report)?;
    bench.append_checked(report)?;
    bench.append_batch(report)?;
    bench.read_and_fetch(report)
}

struct ApiBench<'a> {
    settings: &'a Settings,
    records: Vec<Vec<u8>>,
    pool: Pool,
    ring: RefCell<Ring>,
    rounds: u64,
    appends: u64,
}

impl ApiBench<'_> {
    fn new(settings: &Settings) -> Result<ApiBench<'_>> {
        let client = Client::new(settings.data_dir());
        let options = CreateOptions {
            size_bytes: Some(POOL_SIZE),
            ..CreateOptions::default()
        };
        let pool = client.create_pool(&PoolRef::parse("api")?, options)?;
        let ring = Ring::create(
            &settings.data_dir().join("api.ring"),
            pool.info()?.ring_size,
        )?;
        let bench = ApiBench {
            settings,
            records: Records::new().take(RECORDS)?,
            pool,
            ring: RefCell::new(ring),
            rounds: settings.amount(15, 3),
            appends: settings.amount(1 << 16, 1 << 14),
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
        let batch = |records: &[Vec<u8>]| {
            let mut batch = Batch::new();
            for record in records {
                batch.push_json(record, &Tags::none())?;
            }
            Ok(batch)
        };
        self.records.chunks(length).map(batch).collect()
    }

    /// The floor of a single append.
    fn append_floor(&self) -> Result<f64> {
        let mut ring = self.ring.borrow_mut();
        per_operation(self.appends, || {
            self.messages().try_for_each(|record| ring.append(record))
        })
    }

    /// The records, over and over, as many as are appended in one turn.
    fn messages(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.records.iter().cycle().take(self.appends as usize)
    }

    /// A single append of JSON text, which the product also checks.
    fn append(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[APPEND]) {
            return Ok(());
        }
        let tags = Tags::none();
        let best = best_of(
            self.rounds,
            || self.append_floor(),
            || {
                per_operation(self.appends, || {
                    for record in self.messages() {
                        self.pool.append_json(record, &tags, Durability::Fast)?;
                    }
                    Ok(())
                })
            },
        )?;
        report.add(APPEND, "ns/message", best, Some(2.0));
        Ok(())
    }

    /// A single append of what a caller checked before.
    fn append_checked(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[APPEND_CHECKED]) {
            return Ok(());
        }
        let batches = self.batches(1)?;
        let best = best_of(
            self.rounds,
            || self.append_floor(),
            || {
                per_operation(self.appends, || {
                    for batch in batches.iter().cycle().take(self.appends as usize) {
                        self.pool.append_batch(batch, Durability::Fast)?;
                    }
                    Ok(())
                })
            },
        )?;
        report.add(APPEND_CHECKED, "ns/message", best, Some(2.0));
        Ok(())
    }

    fn append_batch(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[BATCH]) {
            return Ok(());
        }
        let batches = self.batches(BATCH_LEN)?;
        let best = best_of(
            self.rounds,
            || {
                let mut ring = self.ring.borrow_mut();
                per_operation(self.appends, || {
                    self.messages().for_each(|record| ring.store(record));
                    Ok(())
                })
            },
            || {
                per_operation(self.appends, || {
                    for batch in batches
                        .iter()
                        .cycle()
                        .take(self.appends as usize / BATCH_LEN)
                    {
                        self.pool.append_batch(batch, Durability::Fast)?;
                    }
                    Ok(())
                })
            },
        )?;
        report.add(BATCH, "ns/message", best, Some(2.5));
        Ok(())
    }

    fn read_and_fetch(&self, report: &mut Report) -> Result<()> {
        if !self.settings.wants(&[READ, FETCH, FETCH_RANDOM]) {
            return Ok(());
        }
        let bounds = self.pool.bounds()?;
        let seqs = bounds.oldest.unwrap_or(1)..=bounds.newest.unwrap_or(0);
        let count = seqs.clone().count() as u64;
        let mut message = Message::default();

        let read = best_of(
            self.rounds,
            || self.read_floor(count),
            || per_operation(count, || self.read_all(count, &mut message)),
        )?;
        report.add(READ, "ns/message", read, Some(2.5));

        // What a fetch does beyond a read is to find the message, so the read is what it is compared with.
        let read_once = || per_operation(count, || self.read_all(count, &mut Message::default()));
        let in_order = best_of(self.rounds, read_once, || {
            per_operation(count, || seqs.clone().try_for_each(|seq| self.fetch(seq)))
        })?;
        report.add(FETCH, "ns/message", in_order, None);

        let first = *seqs.start();
        let at_random = best_of(self.rounds, read_once, || {
            // A step that is prime to any count that can occur here visits every message, none near the one before.
            let step = 1_000_003;
            per_operation(count, || {
                (0..count).try_for_each(|i| self.fetch(first + i * step % count))
            })
        })?;
        report.add(
            FETCH_RANDOM,
            "ns/message",
            Best {
                floor: in_order.floor.min(at_random.floor),
                ..at_random
            },
            None,
        );
        Ok(())
    }

    fn read_floor(&self, count: u64) -> Result<f64> {
        let mut ring = self.ring.borrow_mut();
        ring.rewind();
        let mut buffer = vec![0; 2048];
        per_operation(count, || {
            for record in self.records.iter().cycle().take(count as usize) {
                ring.load(&mut buffer[..record.len()]);
            }
            Ok(())
        })
    }

    fn read_all(&self, count: u64, message: &mut Message) -> Result<()> {
        let options = TailOptions {
            start: Start::Oldest,
            follow: false,
            ..TailOptions::default()
        };
        let mut tail = self.pool.tail(options)?;
        for _ in 0..count {
            match tail.read(message)? {
                Next::Message => {}
                other => return Err(format!("expected a message, got {other:?}").into()),
            }
        }
        match tail.read(message)? {
            Next::End(EndReason::CaughtUp) => Ok(()),
            other => Err(format!("expected the end, got {other:?}").into()),
        }
    }

    fn fetch(&self, seq: u64) -> Result<()> {
        let message = self.pool.get(seq)?;
        if message.seq() == seq {
            Ok(())
        } else {
            Err(format!("asked for {seq}, got {}", message.seq()).into())
        }
    }
}
