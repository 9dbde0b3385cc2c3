//! Runs the episodes, tells how it goes, and says how it went.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::episode::{Kind, Length};
use crate::judge::selfcheck;
use crate::random::{Random, mix};
use crate::tally::Tally;

/// How long to go on. Not plain `SECONDS`, which a shell has for a purpose of its own.
const SECONDS: &str = "PLASMITE_TORTURE_SECONDS";
/// What chance follows from.
const SEED: &str = "PLASMITE_TORTURE_SEED";

/// A long run begins anew with each episode after so many seconds, so that no history grows without bound.
const ROUND: u64 = 20;
/// In so many seconds an episode does what it takes to mean anything, and a long one does it so many times.
const SECONDS_FOR_ENOUGH: u64 = 2;
/// Between two lines that tell how it goes.
const TELL_INTERVAL: Duration = Duration::from_secs(3);

/// Runs, and says how it went.
pub(crate) fn run() -> ExitCode {
    let (seconds, seed) = match (number(SECONDS), number(SEED)) {
        (Ok(seconds), Ok(seed)) => (seconds, seed),
        (Err(what), _) | (_, Err(what)) => {
            eprintln!("torture: {what}");
            return ExitCode::from(2);
        }
    };
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("seed") % 1_000_000);
    match selfcheck::run() {
        Ok(told) => println!("torture: {told}"),
        Err(what) => {
            println!("torture: FAILED: {what}");
            return ExitCode::FAILURE;
        }
    }
    println!("torture: {SEED}={seed}");
    let mut run = Run {
        started: Instant::now(),
        told: Instant::now(),
        tallies: Default::default(),
        skipped: None,
        kept: None,
    };
    let rounds = seconds.map_or(1, |seconds| seconds.div_ceil(ROUND).max(1));
    let mut random = Random::new(seed);
    for _ in 0..rounds {
        if run.kept.is_some() {
            break;
        }
        run.round(
            seconds.map(|seconds| Duration::from_secs(seconds) / rounds as u32),
            random.next(),
        );
    }
    run.report(rounds, seconds)
}

fn number(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .map(Some)
            .map_err(|_| format!("{name} is `{text}`, which is not a number")),
        Err(_) => Ok(None),
    }
}

/// How long an episode goes on in a round of this length.
fn length(kind: Kind, round: Option<Duration>) -> Length {
    let share = kind.share() as u32;
    match round {
        Some(time) => Length {
            time: time * share / 10,
            most_time: time * share / 10,
        },
        None => Length {
            time: Duration::from_millis(400) * share,
            most_time: Duration::from_secs(60),
        },
    }
}

struct Run {
    started: Instant,
    told: Instant,
    tallies: [Tally; Kind::ALL.len()],
    /// Why an episode was not run.
    skipped: Option<(Kind, String)>,
    /// Where the histories are that something is wrong with.
    kept: Option<PathBuf>,
}

impl Run {
    /// Each episode once, for half of the time the first, and for a tenth each of the others. Ends at the first that
    /// finds anything.
    fn round(&mut self, time: Option<Duration>, seed: u64) {
        // Not in the system's directory for temporary files: what an interrupted run leaves goes with `cargo clean`.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            let place = directory.path().join(i.to_string());
            std::fs::create_dir(&place).expect("a directory");
            let seed = mix(seed ^ i as u64);
            let outcome = kind.run(length(kind, time), &place, seed, &mut self.teller(kind));
            match outcome {
                Ok(tally) => self.tallies[i].add(tally),
                Err(why) => self.skipped = Some((kind, why)),
            }
            if !self.tallies[i].findings.is_empty() {
                self.kept = Some(directory.keep());
                return;
            }
        }
    }

    /// Tells how it goes, now and then.
    fn teller(&mut self, kind: Kind) -> impl FnMut(&Tally) {
        let (started, told) = (self.started, &mut self.told);
        move |tally| {
            if told.elapsed() > TELL_INTERVAL {
                *told = Instant::now();
                let seconds = started.elapsed().as_secs();
                eprintln!("{seconds} s, {}: {tally}", kind.name());
            }
        }
    }

    fn report(&self, rounds: u64, seconds: Option<u64>) -> ExitCode {
        let elapsed = self.started.elapsed().as_secs_f64();
        println!("torture: {elapsed:.0} s, {rounds} times each of");
        let mut failures = Vec::new();
        let mut sum = Tally::default();
        for (kind, tally) in Kind::ALL.into_iter().zip(&self.tallies) {
            if let Some((_, why)) = self.skipped.iter().find(|(skipped, _)| *skipped == kind) {
                println!("  {:<16} skipped: {why}", kind.name());
                continue;
            }
            println!("  {:<16} {tally}", kind.name());
            failures.extend(self.failures(kind, tally, seconds));
            sum.add(tally.clone());
        }
        println!("  wrong = {}, corrupt = {}", sum.wrong, sum.corrupt);
        if let Some(kept) = &self.kept {
            println!("  what everybody wrote down is in {}", kept.display());
        }
        for failure in &failures {
            println!("  FAILED: {failure}");
        }
        match failures.is_empty() && sum.wrong + sum.corrupt == 0 {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn failures(&self, kind: Kind, tally: &Tally, seconds: Option<u64>) -> Vec<String> {
        if self.kept.is_some() {
            // An episode that found something ends the run, and nothing is asked of the others.
            return tally
                .findings
                .iter()
                .map(|finding| format!("{}: {finding}", kind.name()))
                .collect();
        }
        let times = seconds.map_or(1, |seconds| {
            seconds * kind.share() / 10 / SECONDS_FOR_ENOUGH
        });
        let lacks = kind.lacks(tally, times.max(1));
        let told = lacks.into_iter().map(|(what, done, least)| {
            format!(
                "{}: {done} {what} are too few to mean anything; {least} are needed",
                kind.name()
            )
        });
        told.collect()
    }
}
