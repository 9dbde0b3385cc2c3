//! Which ordering of the shipped code a run weakens, to see that a model notices.
//!
//! `PLASMITE_LOOM_WEAKEN=src/core/pool.rs:120` makes the access on that line Relaxed, or leaves the fence on it out;
//! with `:acqrel` behind it, a fence on that line is AcqRel. Nothing is compiled again: the compiler hands the line of
//! each call to [`weakened`] and [`weakened_fence`], so what is weakened is the code as shipped.

use std::panic::Location;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::{self, AcqRel, Relaxed};

const WEAKEN: &str = "PLASMITE_LOOM_WEAKEN";

struct Site {
    file: String,
    line: u32,
    acqrel: bool,
}

static CHOSEN: LazyLock<Option<Site>> = LazyLock::new(|| {
    let text = std::env::var(WEAKEN).ok()?;
    let (place, acqrel) = match text.strip_suffix(":acqrel") {
        Some(place) => (place, true),
        None => (text.as_str(), false),
    };
    let (file, line) = place.rsplit_once(':').expect(WEAKEN);
    Some(Site {
        file: file.to_owned(),
        line: line.parse().expect(WEAKEN),
        acqrel,
    })
});

fn chosen(at: &Location<'_>) -> Option<&'static Site> {
    CHOSEN
        .as_ref()
        .filter(|site| site.line == at.line() && site.file == at.file())
}

/// The ordering that an access on the caller's line has in this run.
#[track_caller]
pub(crate) fn weakened(order: Ordering) -> Ordering {
    match chosen(Location::caller()) {
        Some(site) if !site.acqrel => Relaxed,
        _ => order,
    }
}

/// The ordering that a fence on the caller's line has in this run, or `None` where it is left out.
#[track_caller]
pub(crate) fn weakened_fence(order: Ordering) -> Option<Ordering> {
    match chosen(Location::caller()) {
        Some(site) if site.acqrel => Some(AcqRel),
        Some(_) => None,
        None => Some(order),
    }
}
