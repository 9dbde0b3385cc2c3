//! The processes at one pool.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::actor::{Actor, Life, PATIENCE, Role};
use crate::judge::{Law, Verdict, judge};
use crate::message::most_frame_bytes;
use crate::random::Random;
use crate::reader::ONCE;
use crate::record::Record;
use crate::stage::Stage;
use crate::tally::Tally;

/// Everybody who is at work, and everybody who was.
pub(crate) struct Crew {
    pub(crate) stage: Stage,
    pub(crate) actors: Vec<Actor>,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
    lives: Vec<Life>,
    logs: PathBuf,
    started: u32,
}

impl Crew {
    /// Nobody yet. Logs go to the directory `logs`, which is made.
    pub(crate) fn new(stage: Stage, logs: &Path, random: Random) -> Crew {
        std::fs::create_dir_all(logs).expect("a directory");
        Crew {
            stage,
            actors: Vec::new(),
            random,
            tally: Tally::default(),
            lives: Vec::new(),
            logs: logs.to_owned(),
            started: 0,
        }
    }

    /// Starts a process for each role.
    pub(crate) fn start(&mut self, roles: &[Role]) {
        for role in roles {
            let actor = self.actor(*role);
            self.actors.push(actor);
        }
    }

    fn actor(&mut self, role: Role) -> Actor {
        self.started += 1;
        Actor::start(
            role,
            self.started,
            &self.stage,
            &self.logs,
            self.random.next(),
        )
    }

    /// From now on processes are started on another pool. Those that are at work stay where they are.
    pub(crate) fn go_to(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The tally so far, with a guess at what only the judge counts.
    pub(crate) fn estimate(&self) -> Tally {
        // A message takes half of the greatest, or more.
        let bytes = self.tally.acknowledged * most_frame_bytes() / 2;
        Tally {
            laps: bytes / self.stage.ring,
            unacknowledged: self.tally.kills / 4,
            ..self.tally.clone()
        }
    }

    /// Reads what everybody has written down, and lets those go on whose time to stop is up.
    pub(crate) fn catch_up(&mut self) {
        for actor in &mut self.actors {
            actor.resume_if_due();
            for record in actor.catch_up() {
                self.tally.note(record);
            }
        }
    }

    /// Starts another in the place of whoever has ended, and of whoever is stuck.
    pub(crate) fn replace_ended(&mut self) {
        for i in 0..self.actors.len() {
            if self.actors[i].has_ended() || self.actors[i].is_stuck() {
                let next = self.actor(self.actors[i].role);
                let ended = std::mem::replace(&mut self.actors[i], next);
                self.bury(ended);
            }
        }
    }

    /// Takes away whoever has ended. What they were told is in their lives.
    pub(crate) fn bury_ended(&mut self) {
        let mut i = 0;
        while i < self.actors.len() {
            if self.actors[i].has_ended() || self.actors[i].is_stuck() {
                let ended = self.actors.swap_remove(i);
                self.bury(ended);
            } else {
                i += 1;
            }
        }
    }

    /// Kills those of whom this is true, and takes them away.
    pub(crate) fn kill(&mut self, whom: impl Fn(&Actor) -> bool) {
        let (killed, left) = std::mem::take(&mut self.actors).into_iter().partition(whom);
        self.actors = left;
        for mut actor in killed {
            actor.kill();
            self.bury(actor);
        }
    }

    fn bury(&mut self, mut actor: Actor) {
        for record in actor.catch_up() {
            self.tally.note(record);
        }
        let known = actor.records().len();
        let life = actor.end();
        life.records[known..]
            .iter()
            .for_each(|record| self.tally.note(record));
        self.tally.clock_steps += steps_back(&life.records);
        self.lives.push(life);
    }

    /// Waits until something holds, for as long as anybody could need. Whether it does.
    pub(crate) fn wait(&mut self, holds: impl Fn(&Crew) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.catch_up();
            if holds(self) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Has a process read all that is there, and check it.
    pub(crate) fn read_everything(&mut self) {
        let actor = self.actor(Role::Reader(ONCE));
        self.actors.push(actor);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !self.actors.last_mut().is_none_or(Actor::has_ended) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let actor = self.actors.pop();
        actor.into_iter().for_each(|actor| self.bury(actor));
    }

    /// Judges what happened at a pool, once nobody is at work there.
    pub(crate) fn judge(&mut self, law: &Law) {
        let verdict: Verdict = judge(law, &self.lives);
        self.tally.enter(verdict);
    }

    /// What came of it all. Logs go, unless they show what went wrong.
    pub(crate) fn close(self) -> Tally {
        if self.tally.findings.is_empty() {
            let _ = std::fs::remove_dir_all(&self.logs);
        }
        self.tally
    }
}

fn steps_back(records: &[Record]) -> u64 {
    let clocks = records.iter().filter_map(|record| match record {
        Record::Appended { clock, .. } => *clock,
        _ => None,
    });
    let later = clocks.clone().skip(1);
    clocks
        .zip(later)
        .filter(|(before, after)| after < before)
        .count() as u64
}
