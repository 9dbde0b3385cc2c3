//! What a medium may hold when power fails: of each unit that was not synced, something that it once was.

use std::collections::BTreeMap;

use plasmite::core::layout::{INTENT, OLDEST, WORD};

use crate::random::Random;
use crate::recorder::Event;
use crate::run::Run;

/// A moment in a run, and what the medium may hold just then.
pub(crate) struct Medium<'r> {
    run: &'r Run,
    /// The words that reach the medium together.
    unit: u64,
    /// How many events have happened.
    at: usize,
    /// Every word as it is.
    now: Vec<u64>,
    /// By unit and word, the values since the unit was last synced, and when each was stored; the first is on the medium.
    unsynced: BTreeMap<u64, BTreeMap<u64, Vec<(usize, u64)>>>,
    promise: Promise,
}

/// What was said to writers so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Everything up to this seq is there.
    pub(crate) acknowledged: u64,
    /// Everything up to this seq survives power loss.
    pub(crate) flushed: u64,
    /// But not what a writer had begun to overwrite: what lies before this position.
    pub(crate) floor: u64,
}

/// What one event changed.
pub(crate) enum Change {
    /// A unit has a value that the medium does not have.
    Unit(u64),
    /// More has been promised, or less is in doubt.
    Certainty,
    /// Nothing that could be told.
    Nothing,
}

impl<'r> Medium<'r> {
    /// The beginning of a run, on a medium that stores so many bytes at once.
    pub(crate) fn new(run: &'r Run, unit: u64) -> Medium<'r> {
        Medium {
            run,
            unit: unit / WORD,
            at: 0,
            now: run.before.clone(),
            unsynced: BTreeMap::new(),
            promise: Promise {
                acknowledged: 0,
                flushed: 0,
                floor: run.before[(INTENT / WORD) as usize]
                    .saturating_sub(run.header.geometry.ring_size),
            },
        }
    }

    /// The same with another promise, which a run that begins with a crash takes over.
    pub(crate) fn with_promise(mut self, promise: Promise) -> Medium<'r> {
        self.promise = promise;
        self
    }

    /// Lets the next event happen; `None` at the end of the run.
    pub(crate) fn advance(&mut self) -> Option<Change> {
        let event = self.run.events.get(self.at)?;
        self.at += 1;
        Some(match event {
            Event::Stored { word, value } => self.store(*word, *value),
            Event::Persisted(words) => {
                let units = words.start / self.unit..words.end.div_ceil(self.unit);
                self.unsynced.retain(|unit, _| !units.contains(unit));
                Change::Certainty
            }
            Event::Acknowledged(seq) => {
                self.promise.acknowledged = self.promise.acknowledged.max(*seq);
                Change::Certainty
            }
            Event::Flushed(seq) => {
                self.promise.flushed = self.promise.flushed.max(*seq);
                Change::Certainty
            }
        })
    }

    fn store(&mut self, word: u64, value: u64) -> Change {
        self.note_claim(word, value);
        let now = std::mem::replace(&mut self.now[word as usize], value);
        let unit = word / self.unit;
        if now == value && !self.unsynced.contains_key(&unit) {
            return Change::Nothing;
        }
        let words = self.unsynced.entry(unit).or_default();
        let values = words.entry(word).or_insert_with(|| vec![(0, now)]);
        values.push((self.at, value));
        Change::Unit(unit)
    }

    /// A writer begins to overwrite once it raises `oldest`, which it does right before `intent`.
    fn note_claim(&mut self, word: u64, value: u64) {
        let intent = match word * WORD {
            INTENT => value,
            OLDEST => self.next_intent().unwrap_or(0),
            _ => return,
        };
        let floor = intent.saturating_sub(self.run.header.geometry.ring_size);
        self.promise.floor = self.promise.floor.max(floor);
    }

    fn next_intent(&self) -> Option<u64> {
        self.run.events[self.at..]
            .iter()
            .find_map(|event| match event {
                Event::Stored { word, value } if *word == INTENT / WORD => Some(*value),
                _ => None,
            })
    }

    /// What was promised so far.
    pub(crate) fn promise(&self) -> Promise {
        self.promise
    }

    /// Whether this is one of each so many moments.
    pub(crate) fn is_due(&self, stride: usize) -> bool {
        self.at.is_multiple_of(stride)
    }

    /// How many units are in doubt.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The memory as it is, which a process that dies leaves.
    pub(crate) fn now(&self) -> &[u64] {
        &self.now
    }

    /// Every state in which the medium may be: for each unit in doubt, but for `newest`, which has its newest value,
    /// the value that was synced and the newest; if a unit is a word, all between them as well, unless that makes more
    /// than `most` states. Returns whether it was all of them.
    pub(crate) fn every(
        &self,
        newest: Option<u64>,
        most: usize,
        mut visit: impl FnMut(&[u64]),
    ) -> bool {
        let mut choices: Vec<(u64, Vec<usize>)> = self
            .unsynced
            .iter()
            .map(|(unit, words)| (*unit, self.moments(*unit, words, newest)))
            .collect();
        let states: usize = choices.iter().map(|(_, moments)| moments.len()).product();
        let all = states <= most;
        if !all {
            for (_, moments) in choices.iter_mut().filter(|(_, many)| many.len() > 2) {
                *moments = vec![0, self.at];
            }
        }
        let mut chosen = vec![0; choices.len()];
        let mut image = self.now.clone();
        for (unit, moments) in &choices {
            self.set(&mut image, *unit, moments[0]);
        }
        loop {
            visit(&image);
            // As a counter counts up, so that few units change from one state to the next.
            let Some(place) = (0..chosen.len()).find(|&i| chosen[i] + 1 < choices[i].1.len())
            else {
                return all;
            };
            chosen[place] += 1;
            chosen[..place].fill(0);
            for i in 0..=place {
                let (unit, moments) = &choices[i];
                self.set(&mut image, *unit, moments[chosen[i]]);
            }
        }
    }

    /// A state in which the medium may be, each unit written back at some moment since it was synced.
    pub(crate) fn any(&self, random: &mut Random) -> Vec<u64> {
        let mut image = self.now.clone();
        // From almost nothing written back to almost all of it.
        let odds = random.below(5);
        for unit in self.unsynced.keys() {
            let moment = match random.below(4) < odds {
                true => self.at,
                false => random.below(self.at as u64 + 1) as usize,
            };
            self.set(&mut image, *unit, moment);
        }
        image
    }

    fn moments(
        &self,
        unit: u64,
        words: &BTreeMap<u64, Vec<(usize, u64)>>,
        newest: Option<u64>,
    ) -> Vec<usize> {
        if newest == Some(unit) {
            return vec![self.at];
        }
        if self.unit > 1 {
            return vec![0, self.at];
        }
        let mut values: Vec<(usize, u64)> = words.values().flatten().copied().collect();
        values.sort_by_key(|(moment, value)| (*value, *moment));
        values.dedup_by_key(|(_, value)| *value);
        values.into_iter().map(|(moment, _)| moment).collect()
    }

    /// Gives the words of a unit the values that they had at a moment.
    fn set(&self, image: &mut [u64], unit: u64, moment: usize) {
        for (word, values) in &self.unsynced[&unit] {
            let then = values.iter().rev().find(|(at, _)| *at <= moment);
            if let Some((_, value)) = then {
                image[*word as usize] = *value;
            }
        }
    }
}

impl std::fmt::Debug for Medium<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, units of {} bytes, event {} of {}, {:?}",
            self.run.name,
            self.unit * WORD,
            self.at,
            self.run.events.len(),
            self.promise
        )
    }
}
