//! `pool list` over more and more pools.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use plasmite::{Client, CreateOptions, Durability, PoolRef, Tags};

use super::{add, that_fit};
use crate::cli::{plasmite_in, succeeded};
use crate::plot::{Curve, Figure, Unit};
use crate::report::{Report, Row};
use crate::settings::{Result, Settings};
use crate::timing::{best_of, per_operation};

const NAME: &str = "growth with the directory: pool list";

const COUNTS: [u64; 3] = [100, 1000, 10_000];
const QUICK: [u64; 2] = [10, 100];
/// The smallest that a pool may be.
const POOL_SIZE: u64 = 64 << 10;

/// Measures microseconds per pool, against a look at each file's metadata and first page.
pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants_growth(&[NAME]) {
        return Ok(());
    }
    let counts = if settings.quick { &QUICK[..] } else { &COUNTS };
    let sizes: Vec<u64> = counts.iter().map(|count| count * POOL_SIZE).collect();
    let counts = &counts[..that_fit(settings, &sizes, 1)?.len()];
    let dir = settings.data_dir().join("many");
    let client = Client::new(&dir);
    fs::create_dir_all(&dir)?;
    let (mut created, mut bests) = (0, Vec::new());
    for &count in counts {
        for nth in created..count {
            create(&client, nth)?;
        }
        created = count;
        let best = best_of(
            settings.amount(7, 3),
            || per_operation(count, || look_at_files(&dir, count)),
            || per_operation(count, || list(&client, count)),
        )?;
        bests.push(best.map(|nanos| nanos / 1000.0));
    }
    process(settings, report, &dir, created)?;
    fs::remove_dir_all(dir)?;
    add(
        report,
        Figure {
            title: "pool list over more and more pools".to_owned(),
            x_label: "pools in the directory".to_owned(),
            x_unit: Unit::Count,
            x: counts.to_vec(),
            y_label: "us per pool".to_owned(),
            curves: vec![Curve::new(NAME, bests)],
        },
    );
    Ok(())
}

/// The whole command, over as many pools as there are.
fn process(settings: &Settings, report: &mut Report, dir: &Path, count: u64) -> Result<()> {
    let mut command = plasmite_in(dir);
    command.args(["pool", "list"]).stdout(Stdio::null());
    let best = best_of(
        settings.amount(7, 3),
        || per_operation(1, || look_at_files(dir, count)),
        || per_operation(1, || succeeded("pool list", command.status()?)),
    )?;
    let name = format!("pool list of {count} pools, the process");
    report.add(Row::new(name, "ms", best.map(|nanos| nanos / 1e6)));
    Ok(())
}

fn create(client: &Client, nth: u64) -> Result<()> {
    let options = CreateOptions {
        size_bytes: Some(POOL_SIZE),
        ..CreateOptions::default()
    };
    let pool = client.create_pool(&PoolRef::parse(&format!("pool-{nth:05}"))?, options)?;
    pool.append_json(b"{\"hello\":\"world\"}", &Tags::none(), Durability::Fast)?;
    Ok(())
}

fn list(client: &Client, count: u64) -> Result<()> {
    let listed = client.list_pools()?;
    let readable = listed.iter().filter(|entry| entry.bounds.is_ok()).count();
    expect(readable as u64, count)
}

/// The least that a list of files with something of what is in them takes.
fn look_at_files(dir: &Path, count: u64) -> Result<()> {
    let mut seen = 0;
    let mut page = [0; 4096];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        black_box(fs::metadata(&path)?);
        File::open(&path)?.read_exact_at(&mut page, 0)?;
        seen += 1;
    }
    expect(seen, count)
}

fn expect(found: u64, wanted: u64) -> Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{wanted} pools should have been listed, and {found} were").into())
    }
}
