//! The kinds of episodes, and how each is run.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::chaos::{self, Plan};
use crate::disk::{Filler, run_on_small_disk};
use crate::random::Random;
use crate::reader;
use crate::scene::{Deed, play};
use crate::tally::Tally;

/// What is done to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everybody laps a small pool; writers and readers are killed and stopped.
    Chaos,
    /// The same on a disk that is full now and then.
    FullDisk,
    /// The same with clocks that are set all the time.
    ClockSteps,
    /// The file is cut.
    Truncation,
    /// The pool is deleted.
    Deletion,
    /// Another takes its name.
    Replacement,
}

/// For how long, and what has to have been done by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) time: Duration,
    /// How long it may take to do enough.
    pub(crate) most_time: Duration,
}

impl Kind {
    /// All of them, in the order in which they are run.
    pub(crate) const ALL: [Kind; 6] = [
        Kind::Chaos,
        Kind::ClockSteps,
        Kind::FullDisk,
        Kind::Truncation,
        Kind::Deletion,
        Kind::Replacement,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Chaos => "kills and stops",
            Kind::FullDisk => "full disk",
            Kind::ClockSteps => "clock steps",
            Kind::Truncation => "truncation",
            Kind::Deletion => "deletion",
            Kind::Replacement => "replacement",
        }
    }

    /// How much of ten parts of a run's time it takes.
    pub(crate) fn share(self) -> u64 {
        if self == Kind::Chaos { 5 } else { 1 }
    }

    /// The least that an episode does to mean anything.
    fn enough(self) -> Tally {
        let none = Tally::default();
        // Elsewhere the system does not say who has the lock.
        let tells_holder = u64::from(cfg!(target_os = "linux"));
        match self {
            Kind::Chaos => Tally {
                acknowledged: 200,
                unacknowledged: 1,
                busy: 1,
                reads: 500,
                beside: tells_holder,
                gaps: 5,
                laps: 5,
                kills: 10,
                stops: 10,
                holders: tells_holder,
                ..none
            },
            Kind::ClockSteps => Tally {
                acknowledged: 100,
                reads: 100,
                kills: 1,
                clock_steps: 5,
                ..none
            },
            Kind::FullDisk => Tally {
                acknowledged: 50,
                reads: 50,
                kills: 1,
                full: 1,
                ..none
            },
            Kind::Truncation => Tally {
                truncations: 3,
                due_errors: 3,
                ..none
            },
            Kind::Deletion => Tally {
                deletions: 2,
                due_errors: 6,
                ..none
            },
            Kind::Replacement => Tally {
                replacements: 2,
                due_errors: 6,
                ..none
            },
        }
    }

    /// What was not done `times` as often as that: what it is called, how often it was, and had to be.
    pub(crate) fn lacks(self, done: &Tally, times: u64) -> Vec<(&'static str, u64, u64)> {
        let all = done.counts().into_iter().zip(self.enough().counts());
        let lacks = all.map(|((name, done), (_, least))| (name, done, least * times));
        lacks.filter(|(_, done, least)| done < least).collect()
    }

    /// Runs one, with everything in a directory of its own; `Err` says why it was skipped.
    pub(crate) fn run(
        self,
        length: Length,
        directory: &Path,
        seed: u64,
        tell: &mut dyn FnMut(&Tally),
    ) -> Result<Tally, String> {
        let random = Random::new(seed);
        let logs = directory.join("logs");
        match self {
            Kind::Chaos => {
                let writers = [
                    "single", "single", "rare", "batch", "batch", "flush", "hasty", "hasty",
                ];
                let plan = plan(self, length, &writers, &reader::KINDS);
                Ok(chaos::run(&plan, directory, &logs, random, None, tell))
            }
            Kind::ClockSteps => {
                let readers = ["follow", "since", "since", "since", "reopen", "fetch"];
                let plan = plan(self, length, &["clock"; 6], &readers);
                Ok(chaos::run(&plan, directory, &logs, random, None, tell))
            }
            Kind::FullDisk => full_disk(length, directory, seed),
            Kind::Truncation => Ok(self.scenes(&[Deed::Cut], length, directory, random, tell)),
            Kind::Deletion => Ok(self.scenes(
                &[Deed::Delete, Deed::Unlink],
                length,
                directory,
                random,
                tell,
            )),
            Kind::Replacement => Ok(self.scenes(
                &[Deed::Replace, Deed::MoveAway],
                length,
                directory,
                random,
                tell,
            )),
        }
    }

    /// Plays scene after scene, until time is up and each deed has been done.
    fn scenes(
        self,
        deeds: &[Deed],
        length: Length,
        directory: &Path,
        mut random: Random,
        tell: &mut dyn FnMut(&Tally),
    ) -> Tally {
        let started = Instant::now();
        let mut tally = Tally::default();
        for deed in deeds.iter().cycle() {
            tally.add(play(*deed, directory, Random::new(random.next())));
            tell(&tally);
            let is_done = started.elapsed() >= length.time && self.lacks(&tally, 1).is_empty();
            if is_done || started.elapsed() >= length.most_time {
                break;
            }
        }
        tally
    }
}

fn plan<'p>(
    kind: Kind,
    length: Length,
    writers: &'p [&'static str],
    readers: &'p [&'static str],
) -> Plan<'p> {
    Plan {
        kind,
        writers,
        readers,
        size: 256 * 1024,
        length,
    }
}

/// The name under which this program runs the part that is on the small disk.
pub(crate) const ON_SMALL_DISK: &str = "on-small-disk";

fn full_disk(length: Length, directory: &Path, seed: u64) -> Result<Tally, String> {
    let disk = directory.join("disk");
    std::fs::create_dir_all(&disk).map_err(|error| error.to_string())?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let arguments = [
        ON_SMALL_DISK.to_owned(),
        text(&disk),
        text(&directory.join("logs")),
        seed.to_string(),
        length.time.as_millis().to_string(),
        length.most_time.as_millis().to_string(),
    ];
    let printed = run_on_small_disk(&disk, &arguments)?;
    Ok(serde_json::from_str(&printed).expect("a tally"))
}

/// The part on the small disk: prints its tally.
pub(crate) fn run_here(disk: &Path, logs: &Path, seed: u64, length: Length) {
    let writers = ["single", "batch", "flush", "flush", "hasty"];
    let plan = plan(
        Kind::FullDisk,
        length,
        &writers,
        &["follow", "oldest", "reopen", "bounds"],
    );
    let filler = Some(Filler::new(disk));
    let tally = chaos::run(&plan, disk, logs, Random::new(seed), filler, &mut |_| {});
    println!("{}", serde_json::to_string(&tally).expect("a tally"));
}
