//! Measures the product beside what people use instead: message in, durable to the same degree, message out.
//!
//! All of them do the same to the same messages, in turns, and the best turn of each counts. Two degrees of durability:
//! a message survives the end of the process that appended it, or loss of power as well.
//!
//! `make bench-peers ARGS='[--no-fail] [--quick] [NAME]...'` prints a table, writes `target/bench/peers.json`, and
//! fails if the product is behind in any row. With names, only rows that contain one of them are measured.

mod file;
#[path = "../../ratios/machine.rs"]
mod machine;
mod operation;
mod peer;
mod pool;
#[path = "../../ratios/records.rs"]
#[expect(
    dead_code,
    reason = "the benchmarks against floors also need records in files"
)]
mod records;
mod redis_stream;
mod report;
mod settings;
mod sqlite;

use std::process::ExitCode;

use operation::{OPERATIONS, Operation};
use peer::{Peer, Result, Strength};
use records::Records;
use report::Report;
use settings::Settings;

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the rows; whether the product is ahead in all of them, or that does not count.
fn bench() -> Result<bool> {
    let settings = Settings::from_args()?;
    let mut report = Report::new(&settings);
    let redis = redis_stream::Server::start(settings.data_dir())?;
    if redis.is_none() {
        report.leave_out("Redis: there is no redis-server on PATH; `make setup` installs it");
    }
    for operation in OPERATIONS.iter().filter(|o| settings.wants(o.name)) {
        measure(&settings, &mut report, operation, redis.as_ref())?;
    }
    report.finish(&settings)
}

/// Has all take turns at one operation.
fn measure(
    settings: &Settings,
    report: &mut Report,
    operation: &Operation,
    redis: Option<&redis_stream::Server>,
) -> Result<()> {
    let records = Records::new().take(settings.amount(operation.messages, 256) as usize)?;
    let mut all = contestants(settings, operation, redis)?;
    let mut best = vec![f64::INFINITY; all.len()];
    for round in 0..settings.amount(operation.rounds, 2) as usize {
        for nth in 0..all.len() {
            // Everybody comes first now and then.
            let nth = (nth + round) % all.len();
            let cost = operation.run(&mut *all[nth], &records)?;
            best[nth] = best[nth].min(cost / 1000.0);
        }
    }
    for (peer, cost) in all.iter().zip(&best).skip(1) {
        report.add(operation.name, peer.name(), best[0], *cost);
    }
    Ok(())
}

/// The product, and then its peers.
fn contestants(
    settings: &Settings,
    operation: &Operation,
    redis: Option<&redis_stream::Server>,
) -> Result<Vec<Box<dyn Peer>>> {
    let dir = &settings.new_dir()?;
    let strength = operation.strength;
    let mut all: Vec<Box<dyn Peer>> = vec![
        Box::new(pool::Pool::create(dir, strength)?),
        Box::new(file::LockedFile::create(dir, strength)?),
    ];
    let modes = match strength {
        Strength::Process => &["NORMAL", "OFF"][..],
        Strength::Power => &["FULL"],
    };
    for mode in modes {
        all.push(Box::new(sqlite::Sqlite::create(dir, mode)?));
    }
    if let Some(server) = redis {
        server.set_strength(strength)?;
        for is_pipelined in operation.redis {
            let stream = redis_stream::Stream::create(server, *is_pipelined)?;
            all.push(Box::new(stream));
        }
    }
    Ok(all)
}
