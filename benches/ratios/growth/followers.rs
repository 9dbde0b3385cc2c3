//! More and more local followers of one pool, each a process.

use super::add;
use crate::plot::{Curve, Figure, Unit};
use crate::report::Report;
use crate::settings::{Result, Settings};
use crate::wake;

const NAME: &str = "growth with followers: last one woken";

const COUNTS: [u64; 4] = [1, 10, 100, 1000];
const QUICK: [u64; 2] = [1, 10];

/// Measures how long it is from an append to the last follower that has the message, against a bare futex.
pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants_growth(&[NAME]) {
        return Ok(());
    }
    let counts = if settings.quick { &QUICK[..] } else { &COUNTS };
    let mut bests = Vec::new();
    for &count in counts {
        // Fewer hand-offs to more followers: each of these takes longer, and varies less.
        let hand_offs = (10_000 / count).clamp(20, 400) as u32;
        bests.push(wake::last_of(settings, count as u32, hand_offs)?);
    }
    add(
        report,
        Figure {
            title: "From an append to the last of many followers".to_owned(),
            x_label: "followers, each a process".to_owned(),
            x_unit: Unit::Count,
            x: counts.to_vec(),
            y_label: "us, median".to_owned(),
            curves: vec![Curve::new(NAME, bests)],
        },
    );
    Ok(())
}
