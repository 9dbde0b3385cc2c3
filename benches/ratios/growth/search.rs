//! A search by time, and the least that a search of so many messages takes.

use plasmite::{Message, Next, Pool, Start, TailOptions, Timestamp};

use crate::api::retained;
use crate::floor::Ring;
use crate::settings::Result;
use crate::timing::per_operation;

/// Times that are searched for over and over, so that what is met on the way is in the caches whatever the pool's size.
const TIMES: u64 = 16;

/// What is searched for in one pool.
pub(super) struct Search {
    times: Vec<Timestamp>,
    halvings: u32,
}

impl Search {
    pub(super) fn new(pool: &Pool) -> Result<Search> {
        let (oldest, count) = retained(pool)?;
        let times = (0..TIMES).map(|nth| Ok(pool.get(oldest + count * nth / TIMES)?.time()));
        Ok(Search {
            times: times.collect::<Result<_>>()?,
            halvings: count.ilog2() + 1,
        })
    }

    /// A header for each halving of the pool, and one message of this length; per search.
    pub(super) fn floor(&self, ring: &mut Ring, length: usize) -> Result<f64> {
        let mut buffer = vec![0; length];
        per_operation(TIMES, || {
            for _ in &self.times {
                ring.seek(ring.len() / 2);
                for _ in 0..self.halvings {
                    ring.load(&mut []);
                }
                ring.load(&mut buffer);
            }
            Ok(())
        })
    }

    /// The first message from each time on; per search.
    pub(super) fn run(&self, pool: &Pool) -> Result<f64> {
        let mut message = Message::default();
        per_operation(TIMES, || {
            let mut times = self.times.iter();
            times.try_for_each(|time| first_since(pool, *time, &mut message))
        })
    }
}

fn first_since(pool: &Pool, time: Timestamp, message: &mut Message) -> Result<()> {
    let mut tail = pool.tail(TailOptions {
        start: Start::Time(time),
        follow: false,
        ..TailOptions::default()
    })?;
    match tail.read(message)? {
        Next::Message if message.time() >= time => Ok(()),
        other => Err(format!("expected a message from {time} on, got {other:?}").into()),
    }
}
