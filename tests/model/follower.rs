//! A tail, and beside it what it should come to.

use std::time::{Duration, Instant};

use plasmite::{
    EndReason, ErrorKind, Gap, GapPolicy, Message, Next, Pool, Start, Tail, TailOptions, Timestamp,
};

use crate::judge::assert_is;
use crate::operation::{Ending, Moment, Origin, Plan, Seq};
use crate::reference::{Entry, Reference};

/// A tail with its twin.
pub(crate) struct Follower {
    tail: Tail,
    twin: Twin,
    message: Message,
}

/// What is known of a tail from outside.
struct Twin {
    options: TailOptions,
    next_seq: u64,
    delivered: u64,
    bound: Option<(u64, EndReason)>,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ended(EndReason),
    /// With the seq that the first error carries.
    Failed(ErrorKind, Option<u64>),
}

/// What a read should come to.
enum Expected<'r> {
    Message(&'r Entry),
    Gap(Gap),
    Nothing,
    Outcome(Outcome),
}

impl Follower {
    pub(crate) fn open(
        pool: &Pool,
        reference: &Reference,
        plan: &Plan,
        ending: Ending,
    ) -> Follower {
        Follower::with(pool, reference, options(plan, ending, reference))
    }

    /// All that is retained, and then what comes.
    pub(crate) fn of_everything(pool: &Pool, reference: &Reference) -> Follower {
        let options = TailOptions {
            start: Start::Oldest,
            ..TailOptions::default()
        };
        Follower::with(pool, reference, options)
    }

    /// What a tail has to be opened with to go on where this one is. [TAIL-11]
    pub(crate) fn suspend(self) -> TailOptions {
        TailOptions {
            start: Start::Seq(self.tail.next_seq()),
            ..self.twin.options
        }
    }

    pub(crate) fn with(pool: &Pool, reference: &Reference, options: TailOptions) -> Follower {
        Follower {
            tail: pool.tail(options.clone()).unwrap(),
            twin: Twin::new(options, reference),
            message: Message::default(),
        }
    }

    /// Reads until there is no more, or so many times, and once more to see that an end is one.
    pub(crate) fn read(&mut self, reference: &Reference, most: usize) {
        for _ in 0..most {
            if !self.step(reference) {
                self.step(reference);
                return;
            }
        }
    }

    /// Reads once, and says whether there may be more.
    fn step(&mut self, reference: &Reference) -> bool {
        let had_ended = self.twin.outcome.is_some();
        let expected = self.twin.step(reference);
        let options = &self.twin.options;
        // Only a tail that ends by itself may be waited for.
        let read = match options.follow && options.timeout.is_none() {
            true => self.tail.read_before(Instant::now(), &mut self.message),
            false => self.tail.read(&mut self.message),
        };
        let there_is_more = matches!(expected, Expected::Message(_) | Expected::Gap(_));
        match (expected, read) {
            (Expected::Message(entry), Ok(Next::Message)) => assert_is(&self.message, entry),
            (Expected::Gap(expected), Ok(Next::Gap(gap))) => assert_eq!(gap, expected),
            (Expected::Nothing, Ok(Next::Idle)) => {}
            (Expected::Outcome(Outcome::Ended(expected)), Ok(Next::End(reason))) => {
                assert_eq!(reason, expected);
            }
            (Expected::Outcome(Outcome::Failed(kind, seq)), Err(error)) => {
                assert_eq!(error.kind(), kind);
                assert!(had_ended || error.seq_value() == seq, "{error:?}");
            }
            (expected, read) => panic!(
                "{read:?} instead of {}, by a tail of {:?}",
                expected.name(),
                self.twin.options
            ),
        }
        assert_eq!(self.tail.next_seq(), self.twin.next_seq);
        there_is_more
    }
}

impl Twin {
    fn new(options: TailOptions, reference: &Reference) -> Twin {
        let newest = reference.newest().seq;
        Twin {
            next_seq: first_seq(options.start, reference),
            bound: (!options.follow).then_some((newest, EndReason::CaughtUp)),
            delivered: 0,
            outcome: None,
            options,
        }
    }

    fn step<'r>(&mut self, reference: &'r Reference) -> Expected<'r> {
        if let Some(outcome) = self.outcome {
            return Expected::Outcome(outcome);
        }
        let expected = self.advance(reference);
        if let Expected::Outcome(outcome) = expected {
            self.outcome = Some(outcome);
        }
        expected
    }

    fn advance<'r>(&mut self, reference: &'r Reference) -> Expected<'r> {
        loop {
            if self.options.max == Some(self.delivered) {
                return ended(EndReason::Max);
            }
            if self.options.timeout.is_some() && self.bound.is_none() {
                self.bound = Some((reference.newest().seq, EndReason::Timeout));
            }
            if let Some((last, reason)) = self.bound
                && self.next_seq > last
            {
                return ended(reason);
            }
            let Some(entry) = reference.at_or_after(self.next_seq) else {
                return self.nothing(reference);
            };
            if reference.damaged == Some(entry.seq) {
                return Expected::Outcome(Outcome::Failed(ErrorKind::Corrupt, Some(entry.seq)));
            }
            if entry.seq > self.next_seq {
                return self.gap(entry.seq - 1);
            }
            if self.options.until.is_some_and(|until| entry.time >= until) {
                return ended(EndReason::Until);
            }
            self.next_seq += 1;
            if self.wants(entry) {
                self.delivered += 1;
                return Expected::Message(entry);
            }
        }
    }

    fn nothing<'r>(&self, reference: &Reference) -> Expected<'r> {
        match self.options.until {
            _ if reference.is_deleted => {
                Expected::Outcome(Outcome::Failed(ErrorKind::NotFound, None))
            }
            Some(until) if until <= Timestamp::now() => ended(EndReason::Until),
            _ => Expected::Nothing,
        }
    }

    fn gap<'r>(&mut self, last: u64) -> Expected<'r> {
        let gap = Gap {
            first: self.next_seq,
            last: self.bound.map_or(last, |(bound, _)| last.min(bound)),
        };
        self.next_seq = gap.last + 1;
        match self.options.gap_policy {
            GapPolicy::Continue => Expected::Gap(gap),
            GapPolicy::Error => {
                Expected::Outcome(Outcome::Failed(ErrorKind::RetentionGap, Some(gap.first)))
            }
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let is_early = matches!(self.options.start, Start::Time(since) if entry.time < since);
        let wanted = &self.options.tags;
        !is_early && wanted.iter().all(|tag| entry.tags.contains(tag))
    }
}

impl Expected<'_> {
    fn name(&self) -> String {
        match self {
            Expected::Message(entry) => format!("message {}", entry.seq),
            Expected::Gap(gap) => format!("{gap:?}"),
            Expected::Nothing => "nothing".to_owned(),
            Expected::Outcome(outcome) => format!("{outcome:?}"),
        }
    }
}

fn ended<'r>(reason: EndReason) -> Expected<'r> {
    Expected::Outcome(Outcome::Ended(reason))
}

fn first_seq(start: Start, reference: &Reference) -> u64 {
    let retained = reference.retained();
    let behind = reference.newest().seq + 1;
    let seq_at = |at: usize| retained.get(at).map_or(behind, |entry| entry.seq);
    match start {
        Start::Newest => behind,
        Start::Oldest => seq_at(0),
        Start::Seq(seq) => seq.max(1),
        Start::Time(time) => seq_at(retained.partition_point(|entry| entry.time < time)),
        Start::Last(count) => seq_at(retained.len().saturating_sub(count as usize)),
    }
}

fn options(plan: &Plan, ending: Ending, reference: &Reference) -> TailOptions {
    TailOptions {
        start: match plan.from {
            Origin::Newest => Start::Newest,
            Origin::Oldest => Start::Oldest,
            Origin::Seq(seq) => Start::Seq(seq_of(seq, reference)),
            Origin::Time(moment) => Start::Time(time_of(moment, reference)),
            Origin::Last(count) => Start::Last(count),
        },
        until: plan.until.map(|moment| time_of(moment, reference)),
        tags: plan.tags.iter().map(|tag| (*tag).to_owned()).collect(),
        max: plan.max,
        timeout: (ending == Ending::Timeout).then_some(Duration::ZERO),
        follow: ending != Ending::CaughtUp,
        gap_policy: match plan.stops_at_gaps {
            true => GapPolicy::Error,
            false => GapPolicy::Continue,
        },
        notify: plan.notify,
    }
}

pub(crate) fn seq_of(seq: Seq, reference: &Reference) -> u64 {
    let retained = reference.retained();
    match seq {
        Seq::Retained(at) if !retained.is_empty() => retained[at.index(retained.len())].seq,
        Seq::Retained(at) | Seq::Any(at) => at.index(*reference.next().end() as usize + 4) as u64,
        Seq::Last => u64::MAX,
    }
}

fn time_of(moment: Moment, reference: &Reference) -> Timestamp {
    let messages = reference.messages();
    match moment {
        Moment::Of(_, _) if messages.is_empty() => reference.newest().time,
        Moment::Of(at, off) => {
            let time = messages[at.index(messages.len())].time.as_nanos();
            Timestamp::from_nanos(time.saturating_add_signed(off))
        }
        Moment::Last => Timestamp::from_nanos(u64::MAX),
    }
}
