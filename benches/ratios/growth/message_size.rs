//! Messages of growing size in one pool: append, read, fetch, search by time.

use std::cell::RefCell;
use std::path::PathBuf;

use plasmite::{Batch, Durability, Pool};

use super::search::Search;
use super::{add, remove};
use crate::api::{Walk, batches, create_pool, fetch, retained};
use crate::floor::Ring;
use crate::plot::{Curve, Figure, Unit};
use crate::report::Report;
use crate::settings::{Result, Settings};
use crate::timing::{Best, best_of, per_operation};

const APPEND: &str = "growth with the message: append";
const READ: &str = "growth with the message: read";
const FETCH: &str = "growth with the message: fetch";
const SEARCH: &str = "growth with the message: search by time";

const SIZES: [u64; 5] = [100, 1000, 10_000, 100_000, 1_000_000];
const POOL_SIZE: u64 = 64 << 20;
/// What one turn moves, about; at least one message.
const TURN_BYTES: u64 = 1 << 20;

/// Measures the curves over the size of the message.
pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants_growth(&[APPEND, READ, FETCH, SEARCH]) {
        return Ok(());
    }
    let mut points = Vec::new();
    for size in SIZES {
        points.push(Point::measure(settings, size)?);
    }
    let curve = |name: &str, nth: usize| {
        Curve::new(name, points.iter().map(|point| point.0[nth]).collect())
    };
    add(
        report,
        Figure {
            title: "Messages of growing size, in a pool of 64 MiB".to_owned(),
            x_label: "size of the message".to_owned(),
            x_unit: Unit::Bytes,
            x: SIZES.to_vec(),
            y_label: "ns per message".to_owned(),
            curves: vec![
                curve(APPEND, 0),
                curve(READ, 1),
                curve(FETCH, 2),
                curve(SEARCH, 3),
            ],
        },
    );
    Ok(())
}

/// Append, read, fetch and search at one size, in nanoseconds.
struct Point([Best; 4]);

impl Point {
    fn measure(settings: &Settings, size: u64) -> Result<Point> {
        let bench = MessageBench::new(settings, size)?;
        let point = Point([
            bench.append()?,
            bench.read()?,
            bench.fetch()?,
            bench.search()?,
        ]);
        remove(&[bench.pool.path(), &bench.ring_path])?;
        Ok(point)
    }
}

/// A pool that is full of messages of one size, and a file of its size.
struct MessageBench {
    pool: Pool,
    ring: RefCell<Ring>,
    ring_path: PathBuf,
    text: Vec<u8>,
    batches: Vec<Batch>,
    turn: u64,
    rounds: u64,
}

impl MessageBench {
    fn new(settings: &Settings, size: u64) -> Result<MessageBench> {
        let pool = create_pool(settings, "message-size", POOL_SIZE)?;
        let ring_path = settings.data_dir().join("message-size.ring");
        let ring = Ring::create(&ring_path, pool.info()?.ring_size)?;
        let text = text(size as usize);
        let bench = MessageBench {
            batches: batches(std::slice::from_ref(&text), 1)?,
            pool,
            ring: RefCell::new(ring),
            ring_path,
            text,
            turn: (TURN_BYTES / size).clamp(1, 1024),
            rounds: settings.amount(300, 30),
        };
        for _ in 0..POOL_SIZE / size + 1 {
            bench.append_one()?;
        }
        // As the floor's file is, so that the system has the same left to do for both.
        bench.pool.flush()?;
        Ok(bench)
    }

    fn append_one(&self) -> Result<()> {
        self.pool.append_batch(&self.batches[0], Durability::Fast)?;
        Ok(())
    }

    fn append(&self) -> Result<Best> {
        self.compare(
            |ring| ring.append(&self.text),
            || (0..self.turn).try_for_each(|_| self.append_one()),
        )
    }

    fn read(&self) -> Result<Best> {
        let mut walk = Walk::new(&self.pool)?;
        let mut buffer = vec![0; self.text.len()];
        self.compare(
            |ring| {
                ring.load(&mut buffer);
                Ok(())
            },
            || walk.take(self.turn as usize),
        )
    }

    fn fetch(&self) -> Result<Best> {
        let (first, count) = retained(&self.pool)?;
        let mut buffer = vec![0; self.text.len()];
        let mut fetched = 0;
        self.compare(
            |ring| {
                ring.load(&mut buffer);
                Ok(())
            },
            || {
                (0..self.turn).try_for_each(|_| {
                    fetched += 1;
                    fetch(&self.pool, first + fetched % count)
                })
            },
        )
    }

    fn search(&self) -> Result<Best> {
        let search = Search::new(&self.pool)?;
        best_of(
            self.rounds,
            || search.floor(&mut self.ring.borrow_mut(), self.text.len()),
            || search.run(&self.pool),
        )
    }

    /// One message of the floor at a time, a turn of the product at a time.
    fn compare(
        &self,
        mut floor: impl FnMut(&mut Ring) -> Result<()>,
        mut product: impl FnMut() -> Result<()>,
    ) -> Result<Best> {
        best_of(
            self.rounds,
            || {
                let mut ring = self.ring.borrow_mut();
                per_operation(self.turn, || {
                    (0..self.turn).try_for_each(|_| floor(&mut ring))
                })
            },
            || per_operation(self.turn, &mut product),
        )
    }
}

/// An object of so many bytes, with one long string in it.
fn text(size: usize) -> Vec<u8> {
    let (head, tail) = ("{\"text\":\"", "\"}");
    let padding = "x".repeat(size - head.len() - tail.len());
    format!("{head}{padding}{tail}").into_bytes()
}
