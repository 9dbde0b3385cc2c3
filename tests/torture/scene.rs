//! A pool that is at work when its file is cut, taken away or replaced.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use plasmite::{Client, ErrorKind};

use crate::actor::{Actor, PATIENCE, Role};
use crate::crew::Crew;
use crate::judge::{Cut, Finding, Law, Rule};
use crate::random::Random;
use crate::record::moment;
use crate::stage::Stage;
use crate::tally::Tally;

/// A writer looks at its file at most this long apart, in nanoseconds [PUT-10], by a clock that may be slewed by a
/// thousandth while ours is not.
const LOOK_INTERVAL: u64 = 1_001_000;
/// How many messages are acknowledged before anything happens.
const WARM: u64 = 30;

const CREW: [Role; 11] = [
    Role::Writer("single"),
    Role::Writer("batch"),
    Role::Writer("flush"),
    Role::Writer("hasty"),
    Role::Reader("follow"),
    Role::Reader("slow"),
    Role::Reader("oldest"),
    Role::Reader("since"),
    Role::Reader("fetch"),
    Role::Reader("bounds"),
    Role::Reader("reopen"),
];
/// Who is there when there are few: then a writer is as a rule at work in the very millisecond after it happens.
const FEW: [Role; 3] = [
    Role::Writer("single"),
    Role::Writer("batch"),
    Role::Reader("follow"),
];
/// Who comes to the pool that takes the other's place.
const NEWCOMERS: [Role; 4] = [
    Role::Writer("single"),
    Role::Writer("batch"),
    Role::Reader("oldest"),
    Role::Reader("last"),
];

/// What happens to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It is cut, and maybe grown again.
    Cut,
    /// Its pool is deleted as the library does it.
    Delete,
    /// Its name is removed.
    Unlink,
    /// Its name is given to another pool.
    Replace,
    /// It is moved away, under the name of nothing.
    MoveAway,
}

/// What is left of a pool to those who had it open.
struct After {
    law: Law,
    /// Whether everybody has to notice.
    is_noticed: bool,
    /// What has its name now.
    successor: Option<Stage>,
}

/// Plays one scene.
pub(crate) fn play(deed: Deed, directory: &Path, mut random: Random) -> Tally {
    let scene = tempfile::tempdir_in(directory).expect("a directory");
    let place = place(directory, &mut random);
    let size = random.pick(&[192, 256, 384]) * 1024;
    let stage = Stage::create(&place.path().join("scene.plasmite"), size).expect("a pool");
    let mut crew = Crew::new(
        stage.clone(),
        &scene.path().join("logs"),
        Random::new(random.next()),
    );
    crew.start(if random.percent(50) { &FEW } else { &CREW });
    let is_warm = crew.wait(|crew| {
        crew.tally.acknowledged >= WARM && crew.actors.iter().all(|actor| actor.records().len() > 2)
    });
    if !is_warm {
        fail(&mut crew, "the pool did not come to life");
    }
    stop_some(&mut crew, deed, &mut random);
    let after = act(deed, &mut crew, place.path(), &mut random);
    for actor in &mut crew.actors {
        actor.resume();
    }
    see_them_off(&mut crew, &after);
    if let Some(successor) = &after.successor {
        live_on(&mut crew, successor);
    }
    crew.judge(&after.law);
    let tally = crew.close();
    if !tally.findings.is_empty() {
        let _ = scene.keep();
    }
    tally
}

/// Where the pool is: on the disk, or in memory, where a deed takes microseconds, and writers are still between two looks
/// at their file when it is done.
fn place(directory: &Path, random: &mut Random) -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    let memory = memory.filter(|_| random.percent(50));
    memory.unwrap_or_else(|| tempfile::tempdir_in(directory).expect("a directory"))
}

/// Some are asleep when it happens. A deletion waits for the lock, so a stopped writer would only hold it up.
fn stop_some(crew: &mut Crew, deed: Deed, random: &mut Random) {
    for actor in &mut crew.actors {
        if random.percent(20) && !(deed == Deed::Delete && actor.is_writer()) {
            crew.tally.stops += 1;
            actor.stop_until(Instant::now() + PATIENCE);
        }
    }
    std::thread::sleep(Duration::from_micros(random.below(3_000)));
}

fn act(deed: Deed, crew: &mut Crew, directory: &Path, random: &mut Random) -> After {
    if deed == Deed::Cut {
        return cut(crew, random);
    }
    let stage = crew.stage.clone();
    let began = moment();
    let mut successor = None;
    match deed {
        Deed::Delete => delete(crew),
        Deed::Unlink => fs::remove_file(&stage.path).expect("a file"),
        Deed::MoveAway => fs::rename(&stage.path, directory.join("away")).expect("a file"),
        Deed::Cut | Deed::Replace => {
            let other =
                Stage::create(&directory.join("other.plasmite"), stage.size).expect("a pool");
            fs::rename(&other.path, &stage.path).expect("a file");
            successor = Some(Stage {
                path: stage.path.clone(),
                ..other
            });
        }
    }
    let done = moment();
    match deed {
        Deed::Delete | Deed::Unlink => crew.tally.deletions += 1,
        _ => crew.tally.replacements += 1,
    }
    if successor.is_none() && random.percent(60) {
        std::thread::sleep(Duration::from_micros(random.below(2_000)));
        successor = Some(Stage::create(&stage.path, stage.size).expect("a pool"));
    }
    // Nothing is lost to a deletion by the library; after any other, writers find out when they next look.
    let grace = if deed == Deed::Delete {
        0
    } else {
        LOOK_INTERVAL
    };
    let law = Law {
        removed: Some(began),
        void: Some(done + grace),
        ..stage.law()
    };
    After {
        law,
        is_noticed: true,
        successor,
    }
}

fn delete(crew: &mut Crew) {
    let client = Client::new("");
    loop {
        match client.delete_pool(&crew.stage.name()) {
            Ok(_) => return,
            // Writers are many, and the lock goes to whoever asks at the right moment.
            Err(error) if error.kind() == ErrorKind::Busy => {}
            Err(error) => return fail(crew, &format!("a deletion failed: {error}")),
        }
    }
}

/// Cuts the file, and maybe has it grow again.
fn cut(crew: &mut Crew, random: &mut Random) -> After {
    let stage = crew.stage.clone();
    let file = OpenOptions::new()
        .write(true)
        .open(&stage.path)
        .expect("a file");
    let size = stage.size;
    let length = match random.below(5) {
        0 => 0,
        1 => random.below(8192),
        2 => size + 1 + random.below(size),
        _ => random.below(size),
    };
    let began = moment();
    file.set_len(length).expect("a length");
    let done = moment();
    crew.tally.truncations += 1;
    let mut law = Law {
        damaged: Some(began),
        ..stage.law()
    };
    if random.percent(50) {
        law.void = Some(done + LOOK_INTERVAL);
        // What is left of the last page can still be stored to.
        let ring_left = length
            .next_multiple_of(page_size())
            .saturating_sub(stage.ring_offset);
        law.cut = Some(Cut { done, ring_left });
        return After {
            law,
            is_noticed: true,
            successor: None,
        };
    }
    if random.percent(50) {
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
    }
    let again = random.pick(&[size, size, size / 2, size * 2]);
    file.set_len(again).expect("a length");
    // With its old length the file may be that of a pool whose old messages are gone: an append that was under way may
    // even have made its control words whole again. Whoever finds what is not may say so, and that is all.
    After {
        law,
        is_noticed: again != size,
        successor: None,
    }
}

/// Waits until everybody has found out, and has gone.
fn see_them_off(crew: &mut Crew, after: &After) {
    let stays = |actor: &Actor| after.successor.is_some() && actor.role == Role::Reader("reopen");
    let patience = if after.is_noticed {
        PATIENCE
    } else {
        Duration::from_millis(150)
    };
    let deadline = Instant::now() + patience;
    while !crew.actors.iter().all(stays) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
        crew.catch_up();
        crew.bury_ended();
    }
    let left = crew.actors.iter().filter(|actor| !stays(actor));
    let left: Vec<String> = left.map(|actor| format!("{:?}", actor.role)).collect();
    if after.is_noticed && !left.is_empty() {
        fail(
            crew,
            &format!("who had the pool open never noticed: {}", left.join(", ")),
        );
    }
    crew.kill(|actor| !stays(actor));
}

/// The pool that has the name now knows nothing of the other.
fn live_on(crew: &mut Crew, successor: &Stage) {
    crew.go_to(successor.clone());
    let before = crew.tally.acknowledged;
    crew.start(&NEWCOMERS);
    if !crew.wait(|crew| crew.tally.acknowledged >= before + WARM) {
        fail(crew, "the pool in its place did not come to life");
    }
    crew.kill(Actor::is_writer);
    std::thread::sleep(Duration::from_millis(60));
    crew.kill(|_| true);
    crew.read_everything();
    crew.judge(&successor.law());
}

fn page_size() -> u64 {
    // SAFETY: `sysconf` has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size")
}

fn fail(crew: &mut Crew, text: &str) {
    crew.tally.find(&Finding {
        rule: Rule::Ended,
        text: text.to_owned(),
    });
}
