//! Full pools of growing size: append, fetch, search by time, and `follow --since`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Stdio;

use plasmite::{Batch, Durability, Pool};

use super::search::Search;
use super::{add, remove, that_fit};
use crate::api::{batches, create_pool, fetch, retained};
use crate::cli::{plasmite, succeeded};
use crate::floor::Ring;
use crate::plot::{Curve, Figure, Unit};
use crate::records::Records;
use crate::report::Report;
use crate::settings::{Result, Settings};
use crate::timing::{Best, best_of, per_operation};

const APPEND: &str = "growth with the pool: append";
const FETCHES: [(&str, f64); 3] = [
    ("growth with the pool: fetch, oldest", 0.0),
    ("growth with the pool: fetch, middle", 0.5),
    ("growth with the pool: fetch, newest", 1.0),
];
const SEARCH: &str = "growth with the pool: search by time";
const SINCE: &str = "growth with the pool: follow --since";

const MIB: u64 = 1 << 20;
const SIZES: [u64; 5] = [MIB, 16 * MIB, 128 * MIB, 1024 * MIB, 8192 * MIB];
const QUICK: [u64; 3] = [MIB, 16 * MIB, 128 * MIB];
/// Messages in a turn of appends.
const TURN: usize = 512;
/// Messages that are fetched over and over, so that they are in the caches whatever the pool's size.
const WARM: u64 = 32;
const STARTS: u64 = 10;

/// Measures the curves over the size of the pool.
pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let names = [
        APPEND,
        FETCHES[0].0,
        FETCHES[1].0,
        FETCHES[2].0,
        SEARCH,
        SINCE,
    ];
    if !settings.wants_growth(&names) {
        return Ok(());
    }
    let sizes = if settings.quick { &QUICK[..] } else { &SIZES };
    // A pool, and a file of its size for the floor.
    let sizes = that_fit(settings, sizes, 2)?;
    let mut points = Vec::new();
    for &size in &sizes {
        points.push(Point::measure(settings, size)?);
    }
    let curve =
        |name: &str, of: &dyn Fn(&Point) -> Best| Curve::new(name, points.iter().map(of).collect());
    let mut curves = vec![curve(APPEND, &|point| point.append)];
    for (nth, (name, _)) in FETCHES.iter().enumerate() {
        curves.push(curve(name, &|point| point.fetches[nth]));
    }
    curves.push(curve(SEARCH, &|point| point.search));
    let since = curve(SINCE, &|point| point.since);
    add(
        report,
        Figure {
            title: "A full pool of growing size".to_owned(),
            x_label: "size of the pool".to_owned(),
            x_unit: Unit::Bytes,
            x: sizes.clone(),
            y_label: "ns per operation".to_owned(),
            curves,
        },
    );
    add(
        report,
        Figure {
            title: "follow --since --one, from start to end, on a full pool of growing size"
                .to_owned(),
            x_label: "size of the pool".to_owned(),
            x_unit: Unit::Bytes,
            x: sizes,
            y_label: "ms per process".to_owned(),
            curves: vec![since],
        },
    );
    Ok(())
}

/// What was measured at one size, in nanoseconds, and milliseconds for processes.
struct Point {
    append: Best,
    fetches: [Best; 3],
    search: Best,
    since: Best,
}

impl Point {
    fn measure(settings: &Settings, size: u64) -> Result<Point> {
        let bench = SizedBench::new(settings, size)?;
        let mut fetches = Vec::new();
        for (_, share) in FETCHES {
            fetches.push(bench.fetch(share)?);
        }
        let point = Point {
            fetches: [fetches[0], fetches[1], fetches[2]],
            search: bench.search()?,
            since: bench.since()?,
            // Last, since it moves what the others look for.
            append: bench.append()?,
        };
        remove(&[bench.pool.path(), &bench.ring_path])?;
        Ok(point)
    }
}

/// A full pool, and a file of its size.
struct SizedBench<'a> {
    settings: &'a Settings,
    pool: Pool,
    records: Vec<Vec<u8>>,
    ring: RefCell<Ring>,
    ring_path: PathBuf,
    rounds: u64,
}

impl SizedBench<'_> {
    fn new(settings: &Settings, size: u64) -> Result<SizedBench<'_>> {
        let pool = create_pool(settings, "sized", size)?;
        let records = Records::new().take(TURN)?;
        fill(&pool, &batches(&records, 256)?)?;
        let ring_path = settings.data_dir().join("sized.ring");
        let ring = Ring::create(&ring_path, pool.info()?.ring_size)?;
        Ok(SizedBench {
            settings,
            pool,
            records,
            ring: RefCell::new(ring),
            ring_path,
            rounds: settings.amount(200, 20),
        })
    }

    fn append(&self) -> Result<Best> {
        let batches = batches(&self.records, 1)?;
        best_of(
            self.rounds,
            || {
                let mut ring = self.ring.borrow_mut();
                let mut records = self.records.iter();
                per_operation(TURN as u64, || {
                    records.try_for_each(|record| ring.append(record))
                })
            },
            || {
                per_operation(TURN as u64, || {
                    batches.iter().try_for_each(|batch| {
                        self.pool.append_batch(batch, Durability::Fast)?;
                        Ok(())
                    })
                })
            },
        )
    }

    /// At a share of the way from the oldest message to the newest.
    fn fetch(&self, share: f64) -> Result<Best> {
        let (oldest, count) = retained(&self.pool)?;
        let first = oldest + ((count - WARM) as f64 * share) as u64;
        best_of(
            self.rounds,
            || self.read_floor(share),
            || {
                per_operation(WARM, || {
                    (first..first + WARM).try_for_each(|seq| fetch(&self.pool, seq))
                })
            },
        )
    }

    /// One read of a message that is in the caches.
    fn read_floor(&self, share: f64) -> Result<f64> {
        let mut ring = self.ring.borrow_mut();
        let place = ((ring.len() - (64 << 10)) as f64 * share) as usize;
        ring.seek(place);
        let mut buffer = [0; 2048];
        let lengths = || self.records[..WARM as usize].iter().map(Vec::len);
        per_operation(WARM, || {
            lengths().for_each(|length| ring.load(&mut buffer[..length]));
            Ok(())
        })
    }

    /// The first message from a time on.
    fn search(&self) -> Result<Best> {
        let search = Search::new(&self.pool)?;
        best_of(
            self.rounds,
            || search.floor(&mut self.ring.borrow_mut(), self.records[0].len()),
            || search.run(&self.pool),
        )
    }

    /// A process that prints the first message from a time on, beside `fetch`, which has no search to do.
    fn since(&self) -> Result<Best> {
        let (oldest, count) = retained(&self.pool)?;
        let middle = oldest + count / 2;
        let time = self.pool.get(middle)?.time().to_string();
        let name = self.pool.name();
        let run = |args: &[&str]| {
            let mut command = plasmite(self.settings);
            command.args(args).stdout(Stdio::null());
            per_operation(STARTS, || {
                (0..STARTS).try_for_each(|_| succeeded(args[0], command.status()?))
            })
        };
        let best = best_of(
            self.settings.amount(10, 3),
            || run(&["fetch", name, &middle.to_string()]),
            || run(&["follow", name, "--since", &time, "--one"]),
        )?;
        Ok(best.map(|nanos| nanos / 1e6))
    }
}

/// Appends until the ring has been gone round.
fn fill(pool: &Pool, batches: &[Batch]) -> Result<()> {
    let ring = pool.info()?.ring_size;
    let mut bytes = 0;
    for batch in batches.iter().cycle() {
        if bytes > ring {
            break;
        }
        pool.append_batch(batch, Durability::Fast)?;
        bytes += batch.frame_bytes();
    }
    // As the floor's file is, so that the system has the same left to do for both.
    Ok(pool.flush()?)
}
