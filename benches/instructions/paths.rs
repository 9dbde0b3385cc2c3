//! The hot paths, each over the same records.

use std::hint::black_box;
use std::ops::RangeInclusive;

use plasmite::{
    Batch, Client, CreateOptions, Durability, Message, Next, Pool, PoolRef, Start, Tags,
    TailOptions, Timestamp,
};
use tempfile::TempDir;

use crate::Result;

#[path = "../ratios/records.rs"]
#[expect(
    dead_code,
    reason = "the benchmarks against floors also need records in files"
)]
mod records;

use records::Records;

/// What callgrind is told to count, with all that it calls.
pub(crate) const MEASURED: &str = "plasmite_measured";
/// How many messages each path handles.
pub(crate) const MESSAGES: u64 = 1024;
const TOGETHER: usize = 256;

/// One path: what it is called, and what it does.
pub(crate) struct HotPath {
    pub(crate) name: &'static str,
    run: fn(&Bench) -> Result<()>,
}

/// All of them.
pub(crate) const PATHS: [HotPath; 7] = [
    HotPath {
        name: "append, JSON already checked",
        run: append,
    },
    HotPath {
        name: "append of JSON text",
        run: append_text,
    },
    HotPath {
        name: "append_batch of 256",
        run: append_batch,
    },
    HotPath {
        name: "read, sequential",
        run: read,
    },
    HotPath {
        name: "fetch by seq",
        run: fetch,
    },
    HotPath {
        name: "search by time",
        run: search,
    },
    HotPath {
        name: "JSON text into a batch",
        run: fill,
    },
];

/// Runs the path of this name.
pub(crate) fn run(name: &str) -> Result<()> {
    let path = PATHS.iter().find(|path| path.name == name);
    let path = path.ok_or_else(|| format!("there is no path {name:?}"))?;
    (path.run)(&Bench::new()?)
}

/// Calls `work`; what callgrind looks for by name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn plasmite_measured(work: &mut Work<'_>) {
    work.outcome = (work.run)();
}

/// Something to be counted.
struct Work<'a> {
    run: &'a mut dyn FnMut() -> Result<()>,
    outcome: Result<()>,
}

fn measured(mut work: impl FnMut() -> Result<()>) -> Result<()> {
    // Once without being counted: what is done only the first time is no part of a hot path.
    work()?;
    let mut work = Work {
        run: &mut work,
        outcome: Ok(()),
    };
    plasmite_measured(black_box(&mut work));
    work.outcome
}

/// A pool that has been gone round, and records.
struct Bench {
    pool: Pool,
    records: Vec<Vec<u8>>,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Result<Bench> {
        let dir = tempfile::tempdir()?;
        let options = CreateOptions {
            size_bytes: Some(4 << 20),
            ..CreateOptions::default()
        };
        let bench = Bench {
            pool: Client::new(dir.path()).create_pool(&PoolRef::parse("hot")?, options)?,
            records: Records::new().take(MESSAGES as usize)?,
            _dir: dir,
        };
        for _ in 0..5 {
            bench.append_all(&bench.batches(TOGETHER)?)?;
        }
        Ok(bench)
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

    /// The seqs of the newest messages, one for each record.
    fn last_seqs(&self) -> Result<RangeInclusive<u64>> {
        let newest = self.pool.bounds()?.newest.unwrap_or(0);
        Ok(newest + 1 - MESSAGES..=newest)
    }

    fn append_all(&self, batches: &[Batch]) -> Result<()> {
        batches.iter().try_for_each(|batch| {
            self.pool.append_batch(batch, Durability::Fast)?;
            Ok(())
        })
    }
}

fn append(bench: &Bench) -> Result<()> {
    let batches = bench.batches(1)?;
    measured(|| bench.append_all(&batches))
}

fn append_text(bench: &Bench) -> Result<()> {
    let tags = Tags::none();
    measured(|| {
        bench.records.iter().try_for_each(|record| {
            bench.pool.append_json(record, &tags, Durability::Fast)?;
            Ok(())
        })
    })
}

fn append_batch(bench: &Bench) -> Result<()> {
    let batches = bench.batches(TOGETHER)?;
    measured(|| bench.append_all(&batches))
}

fn read(bench: &Bench) -> Result<()> {
    let mut message = Message::default();
    measured(|| {
        let mut tail = bench.pool.tail(TailOptions {
            start: Start::Last(MESSAGES),
            ..TailOptions::default()
        })?;
        (0..MESSAGES).try_for_each(|_| match tail.read(&mut message)? {
            Next::Message => Ok(()),
            other => Err(format!("expected a message, got {other:?}").into()),
        })
    })
}

fn fetch(bench: &Bench) -> Result<()> {
    let seqs = bench.last_seqs()?;
    measured(|| {
        seqs.clone().try_for_each(|seq| {
            black_box(bench.pool.get(seq)?);
            Ok(())
        })
    })
}

/// Opens a tail at the time of each message, and reads that message.
fn search(bench: &Bench) -> Result<()> {
    bench.append_all(&bench.batches(1)?)?;
    let times = bench
        .last_seqs()?
        .map(|seq| Ok(bench.pool.get(seq)?.time()));
    let times: Vec<Timestamp> = times.collect::<Result<_>>()?;
    let mut message = Message::default();
    measured(|| {
        times.iter().try_for_each(|&time| {
            let mut tail = bench.pool.tail(TailOptions {
                start: Start::Time(time),
                ..TailOptions::default()
            })?;
            match tail.read(&mut message)? {
                Next::Message if message.time() == time => Ok(()),
                other => Err(format!("expected the message of {time}, got {other:?}").into()),
            }
        })
    })
}

/// What an append does to JSON text before it has a pool in hand: it checks it, copies it without white space, and sums
/// it up.
fn fill(bench: &Bench) -> Result<()> {
    let mut batch = Batch::new();
    let tags = Tags::none();
    measured(|| {
        bench.records.iter().try_for_each(|record| {
            batch.clear();
            batch.push_json(record, &tags)?;
            Ok(())
        })
    })
}
