//! What becomes of it as things grow: pools, messages, directories, followers.
//!
//! Every curve is a plot; and a row, which says by how much its ratio to the floor rises. A curve that is flat against
//! its floor, or gets nearer to it, has a growth of 1.

mod followers;
mod message_size;
mod pool_size;
mod pools;
mod search;

use std::fs;

use crate::plot::{Curve, Figure};
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};

/// By how much the ratio to the floor may grow.
const FLAT: f64 = 1.3;

/// Measures all curves that are wanted.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    pool_size::run(settings, report)?;
    message_size::run(settings, report)?;
    pools::run(settings, report)?;
    followers::run(settings, report)
}

/// Adds a figure, and a row for each of its curves.
fn add(report: &mut Report, figure: Figure) {
    let (first, last) = figure.span();
    for curve in &figure.curves {
        let row = Row::alone(&curve.name, "growth", growth(curve));
        report.add(
            row.bar(Bar::ValueAtMost(FLAT))
                .note(format!("from {first} to {last}")),
        );
    }
    report.figures.push(figure);
}

/// By how much the ratio to the floor rises from its lowest to any later point; 1 if it never does. A first point that
/// is bad by itself hides nothing so.
fn growth(curve: &Curve) -> f64 {
    let ratios = curve.product.iter().zip(&curve.floor);
    let (mut lowest, mut rise) = (f64::INFINITY, 1.0);
    for (product, floor) in ratios {
        lowest = f64::min(lowest, product / floor);
        rise = f64::max(rise, product / floor / lowest);
    }
    rise
}

/// Leaves out the sizes that the disk has no room for, `copies` of each and half as much to spare, and says so.
fn that_fit(settings: &Settings, sizes: &[u64], copies: u64) -> Result<Vec<u64>> {
    let free = fs2::available_space(settings.data_dir())?;
    let (fit, rest): (Vec<u64>, Vec<u64>) = sizes
        .iter()
        .partition(|size| *size * copies + *size * copies / 2 <= free);
    if let Some(size) = rest.first() {
        println!(
            "no pools of {} MiB and more: the disk has {} MiB left",
            size >> 20,
            free >> 20
        );
    }
    if fit.is_empty() {
        return Err("the disk has no room for the smallest pool".into());
    }
    Ok(fit)
}

/// Removes files that may be large, so that what comes next has room.
fn remove(paths: &[&std::path::Path]) -> Result<()> {
    for path in paths {
        fs::remove_file(path)?;
    }
    Ok(())
}
