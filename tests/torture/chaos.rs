//! Kills and stops at one pool, for as long as it is told to.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::actor::{Actor, Role};
use crate::crew::Crew;
use crate::disk::Filler;
use crate::episode::{Kind, Length};
use crate::random::Random;
use crate::stage::Stage;
use crate::tally::Tally;

/// The longest from one deed to the next, in microseconds; on average half of it.
const LONGEST_REST: u64 = 12_000;
/// The longest stop, in microseconds. Most are much shorter.
const LONGEST_STOP: u64 = 150_000;

/// Who is at work, and for how long.
pub(crate) struct Plan<'p> {
    /// Says when it has done enough.
    pub(crate) kind: Kind,
    pub(crate) writers: &'p [&'static str],
    pub(crate) readers: &'p [&'static str],
    /// The size of the pool in bytes.
    pub(crate) size: u64,
    pub(crate) length: Length,
}

/// Does it, with the pool in `directory`, and with a disk that fills up if there is a `filler`.
pub(crate) fn run(
    plan: &Plan<'_>,
    directory: &Path,
    logs: &Path,
    mut random: Random,
    mut filler: Option<Filler>,
    tell: &mut dyn FnMut(&Tally),
) -> Tally {
    let stage = Stage::create(&directory.join("chaos.plasmite"), plan.size).expect("a pool");
    let mut crew = Crew::new(stage, logs, Random::new(random.next()));
    crew.start(&roles(plan));
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed();
        let is_done =
            elapsed >= plan.length.time && plan.kind.lacks(&crew.estimate(), 1).is_empty();
        if is_done || elapsed >= plan.length.most_time {
            break;
        }
        std::thread::sleep(Duration::from_micros(random.below(LONGEST_REST)));
        crew.catch_up();
        crew.replace_ended();
        harm(&mut crew, &mut random);
        if let Some(filler) = &mut filler {
            filler.step(&mut crew.tally, &mut random);
        }
        tell(&crew.tally);
    }
    drop(filler);
    finish(crew)
}

fn roles(plan: &Plan<'_>) -> Vec<Role> {
    let writers = plan.writers.iter().map(|kind| Role::Writer(kind));
    writers
        .chain(plan.readers.iter().map(|kind| Role::Reader(kind)))
        .collect()
}

/// Ends everybody's work, and judges it.
fn finish(mut crew: Crew) -> Tally {
    crew.actors.iter_mut().for_each(Actor::resume);
    crew.kill(Actor::is_writer);
    // So that what they have read so far is written down.
    std::thread::sleep(Duration::from_millis(100));
    crew.catch_up();
    crew.kill(|_| true);
    crew.read_everything();
    let law = crew.stage.law();
    crew.judge(&law);
    let _ = fs::remove_file(&crew.stage.path);
    crew.close()
}

/// One deed.
fn harm(crew: &mut Crew, random: &mut Random) {
    let victim = random.below(crew.actors.len() as u64) as usize;
    match random.below(100) {
        0..45 => kill(crew, victim),
        45..70 => stop(crew, victim, random),
        70..92 => {
            if let Some(holder) = holder(&crew.actors) {
                harm_holder(crew, holder, random);
            }
        }
        _ => freeze(crew, random),
    }
}

/// Stops whoever has the lock, and maybe kills it then.
fn harm_holder(crew: &mut Crew, holder: usize, random: &mut Random) {
    let reads = crew.tally.reads;
    stop(crew, holder, random);
    if holder_is(&crew.actors[holder]) {
        crew.tally.holders += 1;
        // Readers read on meanwhile, if there is anything left to read.
        std::thread::sleep(Duration::from_millis(random.below(20)));
        crew.catch_up();
        crew.tally.beside += crew.tally.reads - reads;
        if random.percent(30) {
            kill(crew, holder);
        }
    }
}

/// Stops all writers but the one that is in no hurry, and kills who has the lock then: what it has torn stays for a
/// while, because nobody writes over it soon.
fn freeze(crew: &mut Crew, random: &mut Random) {
    for i in 0..crew.actors.len() {
        if crew.actors[i].is_writer() && crew.actors[i].role != Role::Writer("rare") {
            stop(crew, i, random);
        }
    }
    if let Some(holder) = holder(&crew.actors).filter(|holder| crew.actors[*holder].is_stopped()) {
        kill(crew, holder);
    }
}

fn kill(crew: &mut Crew, victim: usize) {
    if !crew.actors[victim].has_ended() {
        crew.tally.kills += 1;
        crew.actors[victim].kill();
    }
}

fn stop(crew: &mut Crew, victim: usize, random: &mut Random) {
    if crew.actors[victim].is_stopped() {
        return;
    }
    let longest = random.pick(&[1_000, 5_000, 20_000, LONGEST_STOP]);
    let stop = Duration::from_micros(random.below(longest));
    crew.tally.stops += 1;
    crew.actors[victim].stop_until(Instant::now() + stop);
}

/// Whoever has the lock just now, as the system tells it.
fn holder(actors: &[Actor]) -> Option<usize> {
    let ids = lock_holders();
    actors.iter().position(|actor| ids.contains(&actor.id()))
}

fn holder_is(actor: &Actor) -> bool {
    lock_holders().contains(&actor.id())
}

fn lock_holders() -> Vec<u32> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let flocks = locks
        .lines()
        .filter(|line| line.contains("FLOCK") && !line.contains("->"));
    flocks
        .filter_map(|line| line.split_whitespace().nth(4)?.parse().ok())
        .collect()
}
