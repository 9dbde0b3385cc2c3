//! The best of several turns.

use std::time::Instant;

use crate::settings::Result;

/// The best figures of a floor and of what stands on it, in the same unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    pub(crate) floor: f64,
    pub(crate) product: f64,
}

impl Best {
    /// Both in another unit.
    pub(crate) fn map(self, convert: impl Fn(f64) -> f64) -> Best {
        Best {
            floor: convert(self.floor),
            product: convert(self.product),
        }
    }
}

/// Runs both in turns, `rounds` times each, and keeps the best of each. They change places from round to round, so
/// that neither always comes first. Both return nanoseconds per operation.
pub(crate) fn best_of(
    rounds: u64,
    mut floor: impl FnMut() -> Result<f64>,
    mut product: impl FnMut() -> Result<f64>,
) -> Result<Best> {
    let mut best = Best {
        floor: f64::INFINITY,
        product: f64::INFINITY,
    };
    for round in 0..rounds {
        if round % 2 == 0 {
            best.floor = best.floor.min(floor()?);
        }
        best.product = best.product.min(product()?);
        if round % 2 == 1 {
            best.floor = best.floor.min(floor()?);
        }
    }
    Ok(best)
}

/// Nanoseconds per operation of `work`, which does `count` of them.
pub(crate) fn per_operation(count: u64, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_nanos() as f64 / count as f64)
}
