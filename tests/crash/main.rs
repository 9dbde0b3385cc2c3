//! Crash states by enumeration: a memory that logs what the core as shipped stores and syncs.
//!
//! The bug that this guards against: a crash between two stores leaves a pool that reads as corrupt, that has lost what
//! it promised to keep, that shows half of a batch, or that gives a number to two messages.
//!
//! - Death of a process: the state after every store of a run, without exception.
//! - Power loss: after every store and every sync of a run, but for long runs, `beside` and `huge`, of which some 3,000
//!   moments are tried; on media that store 8, 512 and 4096 bytes at once. Up to 12 units in doubt, every subset of them
//!   is tried, with all values that a word has had since it was synced as long as that makes no more than 4096 states;
//!   beyond, subsets and older values are sampled with a fixed seed.
//! - Power loss once more while a pool that was left by one is recovered.
//!
//! `make crash` runs all of it; `make test`, which is not optimised, a part.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod judge;
mod medium;
#[path = "../support/random.rs"]
mod random;
mod recorder;
mod run;

use std::collections::BTreeMap;
use std::sync::Mutex;

use plasmite::ErrorKind;
use plasmite::core::layout::{BOOT, WORD};
use plasmite::core::recover::Anchor;

use crate::medium::{Change, Medium, Promise};
use crate::random::Random;
use crate::recorder::{Event, Recorder};
use crate::run::Run;

/// The bytes that a medium stores at once: a word, a sector, a page.
const UNITS: [u64; 3] = [8, 512, 4096];
/// The rows of the table in `recover.rs`.
const ROWS: [&str; 5] = [
    "checkpoint",
    "older checkpoint",
    "last",
    "highest",
    "nothing",
];

/// How much is tried.
#[derive(Clone, Copy)]
struct Effort {
    /// One in so many moments is tried.
    stride: usize,
    /// A run of more events is long.
    long: usize,
    /// Of a long run about so many deaths are tried.
    deaths: usize,
    /// And so many moments of power loss.
    losses: usize,
    /// Up to so many units in doubt, every subset is tried.
    complete: usize,
    /// Beyond, so many subsets at each moment.
    samples: usize,
}

impl Effort {
    /// The same, for a run of which about so many moments are tried if it is long.
    fn of(self, run: &Run, moments: usize) -> Effort {
        let events = run.events.len();
        Effort {
            stride: match events > self.long {
                true => self.stride.max(events / moments),
                false => self.stride,
            },
            ..self
        }
    }

    /// As many states as so many units may be in; more are not tried at one moment.
    fn most(self) -> usize {
        1 << self.complete
    }
}

#[test]
fn a_crash_at_any_moment_leaves_what_was_promised() {
    let full = std::env::var_os("PLASMITE_CRASH_FULL").is_some();
    let effort = match full {
        true => Effort {
            stride: 1,
            long: 7_000,
            deaths: usize::MAX,
            losses: 3_000,
            complete: 12,
            samples: 2,
        },
        false => Effort {
            stride: 16,
            long: 7_200,
            deaths: 450,
            losses: 450,
            complete: 4,
            samples: 1,
        },
    };
    let mixed = run::mixed();
    let torn = run::torn(&mixed, &mut Random::new(3));
    let runs = [
        run::one_by_one(),
        run::second_life(&mixed, &torn),
        mixed,
        run::lapped(),
        run::beside(),
        run::huge(),
    ];
    let mut tasks: Vec<Task<'_>> = runs
        .iter()
        .flat_map(|run| {
            let losses = UNITS.map(|unit| Task::Loss(run, unit));
            [Task::Death(run)].into_iter().chain(losses)
        })
        .collect();
    // To look at one of them: the beginning of its name.
    let only = std::env::var("PLASMITE_CRASH_ONLY").unwrap_or_default();
    tasks.retain(|task| task.name().starts_with(&only));
    let total = all(&tasks, effort);
    if !only.is_empty() {
        return;
    }
    total.report("all");
    for (row, name) in ROWS.iter().enumerate() {
        println!("recoveries by {name:<17} {:>9}", total.rows[row]);
    }
    assert!(total.rows.iter().all(|hits| *hits > 0), "a row was not hit");
    let least = if full { 100_000 } else { 5_000 };
    assert!(total.states() >= least, "the runs are too small");
}

/// Whichever of its syncs fails, a recovery is not done, and the next opener recovers the pool. [REPAIR-8]
#[test]
fn a_sync_that_fails_ends_the_recovery() {
    let mixed = run::mixed();
    let torn = run::torn(&mixed, &mut Random::new(3));
    for syncs in 0.. {
        let memory = Recorder::failing_after(&torn, syncs);
        let opened = run::try_open(&memory, mixed.boot + 1);
        let boot = memory.image()[(BOOT / WORD) as usize];
        let Err(error) = opened else {
            assert_eq!(boot, mixed.boot + 1);
            assert!(syncs > 1, "a recovery has several syncs");
            return;
        };
        assert_eq!(error.kind(), ErrorKind::Io, "sync {syncs}");
        assert_eq!(boot, mixed.boot, "sync {syncs}");
        let promise = Medium::new(&mixed, 8).promise();
        judge::power_loss(&mixed, &memory.image(), promise, &"a failed sync");
    }
}

/// What one thread does at a time.
#[derive(Clone, Copy)]
enum Task<'r> {
    Death(&'r Run),
    Loss(&'r Run, u64),
}

/// How many states were judged; any that is wrong panics.
#[derive(Default)]
struct Tally {
    deaths: u64,
    complete: u64,
    sampled: u64,
    again_complete: u64,
    again_sampled: u64,
    rows: [u64; 5],
}

/// Does all tasks, on as many threads as there are processors.
fn all(tasks: &[Task<'_>], effort: Effort) -> Tally {
    let left = Mutex::new(tasks.iter());
    let total = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(task) = { left.lock().unwrap().next() } {
                    let tally = task.perform(effort);
                    tally.report(&task.name());
                    total.lock().unwrap().add(&tally);
                }
            });
        }
    });
    total.into_inner().unwrap()
}

impl Task<'_> {
    fn name(&self) -> String {
        match self {
            Task::Death(run) => format!("{}, death", run.name),
            Task::Loss(run, unit) => format!("{}, power, {unit} B", run.name),
        }
    }

    fn perform(&self, effort: Effort) -> Tally {
        let mut tally = Tally::default();
        match self {
            Task::Death(run) => deaths(run, effort.of(run, effort.deaths), &mut tally),
            Task::Loss(run, unit) => {
                let mut medium = Medium::new(run, *unit);
                let mut losses = Losses {
                    run,
                    effort: effort.of(run, effort.losses),
                    random: Random::new(*unit),
                    tally: &mut tally,
                    again: BTreeMap::new(),
                };
                losses.follow(&mut medium);
            }
        }
        tally
    }
}

fn deaths(run: &Run, effort: Effort, tally: &mut Tally) {
    let mut medium = Medium::new(run, 8);
    while medium.advance().is_some() {
        if !medium.is_due(effort.stride) {
            continue;
        }
        judge::death(run, medium.now(), medium.promise(), &medium);
        tally.deaths += 1;
    }
}

/// Losses of power in one run.
struct Losses<'l> {
    run: &'l Run,
    effort: Effort,
    random: Random,
    tally: &'l mut Tally,
    /// How many states each row of the table chose; in some of them power fails again.
    again: BTreeMap<usize, u64>,
}

impl Losses<'_> {
    fn follow(&mut self, medium: &mut Medium<'_>) {
        let promise = medium.promise();
        medium.every(None, 1, |image| self.lose(image, promise, &"the beginning"));
        while let Some(change) = medium.advance() {
            let newest = match change {
                Change::Nothing => continue,
                Change::Unit(_) if !medium.is_due(self.effort.stride) => continue,
                // All other states have been there before this event, with the same promise.
                Change::Unit(unit) => Some(unit),
                Change::Certainty => None,
            };
            let promise = medium.promise();
            let all = medium.unsynced() <= self.effort.complete
                && medium.every(newest, self.effort.most(), |image| {
                    self.tally.complete += 1;
                    self.lose(image, promise, medium);
                });
            if all {
                continue;
            }
            for _ in 0..self.effort.samples {
                let image = medium.any(&mut self.random);
                self.tally.sampled += 1;
                self.lose(&image, promise, medium);
            }
        }
    }

    fn lose(&mut self, image: &[u64], promise: Promise, moment: &dyn std::fmt::Debug) {
        let (recovery, anchor) = judge::power_loss(self.run, image, promise, moment);
        let row = match anchor {
            Some(Anchor::Checkpoint) => 0,
            Some(Anchor::OlderCheckpoint) => 1,
            Some(Anchor::Last) => 2,
            Some(Anchor::Highest) => 3,
            None => 4,
        };
        self.tally.rows[row] += 1;
        let turn = self.again.entry(row).or_default();
        *turn += 1;
        // Early and late in the run alike, and not so often that the run itself is a small part of it.
        if turn.is_power_of_two() && !recovery.is_empty() {
            self.lose_again(image, recovery, promise, moment);
        }
    }

    /// Power fails at any moment of the recovery, too. [CRASH-9]
    fn lose_again(
        &mut self,
        image: &[u64],
        recovery: Vec<Event>,
        promise: Promise,
        first: &dyn std::fmt::Debug,
    ) {
        let run = Run {
            before: image.to_vec(),
            events: recovery,
            boot: self.run.boot + 1,
            ..self.run.clone()
        };
        let run = &run;
        let mut medium = Medium::new(run, 8).with_promise(promise);
        while let Some(change) = medium.advance() {
            let newest = match change {
                Change::Nothing => continue,
                Change::Unit(unit) => Some(unit),
                Change::Certainty => None,
            };
            let promise = medium.promise();
            let moment = (first, &medium);
            let all = medium.unsynced() <= self.effort.complete
                && medium.every(newest, self.effort.most(), |image| {
                    self.tally.again_complete += 1;
                    judge::power_loss(run, image, promise, &moment);
                });
            if !all {
                let image = medium.any(&mut self.random);
                self.tally.again_sampled += 1;
                judge::power_loss(run, &image, promise, &moment);
            }
        }
    }
}

impl Tally {
    fn states(&self) -> u64 {
        self.deaths + self.complete + self.sampled + self.again_complete + self.again_sampled
    }

    fn add(&mut self, other: &Tally) {
        self.deaths += other.deaths;
        self.complete += other.complete;
        self.sampled += other.sampled;
        self.again_complete += other.again_complete;
        self.again_sampled += other.again_sampled;
        for (hits, more) in self.rows.iter_mut().zip(other.rows) {
            *hits += more;
        }
    }

    fn report(&self, name: &str) {
        println!(
            "{name:<28} {:>8} deaths  {:>8} losses complete  {:>7} sampled  in recovery {:>8} complete {:>6} sampled  failures = 0",
            self.deaths, self.complete, self.sampled, self.again_complete, self.again_sampled
        );
    }
}
