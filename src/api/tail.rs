//! Following a pool.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::message::{Message, Timestamp};
use super::pool::Pool;
use crate::core::cursor::{Cursor, Step};
use crate::core::memory::Memory;
use crate::core::pool::Pool as CorePool;
use crate::core::wait::{LONGEST_SLEEP, Seen};
use crate::platform::clock::now_nanos;
use crate::{Error, ErrorKind, Result};

/// How often a tail that asked not to be woken looks for itself.
const POLL: Duration = Duration::from_millis(10);

/// Where a tail begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest message: only what comes from now on.
    #[default]
    Newest,
    /// At the oldest retained message.
    Oldest,
    /// At this seq; 0 means 1. What is missing from there on is reported, and a seq above the newest is waited for.
    Seq(u64),
    /// At the first message of this time or later.
    Time(Timestamp),
    /// At the last so many messages, counted before any filter.
    Last(u64),
}

/// What to do where messages are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GapPolicy {
    /// Report them as [`Next::Gap`] and go on.
    #[default]
    Continue,
    /// Fail with `RetentionGap`, before any later message.
    Error,
}

/// What to follow, and for how long.
#[derive(Clone, Debug)]
pub struct TailOptions {
    /// Where to begin.
    pub start: Start,
    /// Ends the tail at this time: messages of this time or later are not delivered.
    pub until: Option<Timestamp>,
    /// Delivers only messages that have all of these tags.
    pub tags: Vec<String>,
    /// Ends the tail after so many messages.
    pub max: Option<u64>,
    /// Ends the tail so long after it was opened.
    pub timeout: Option<Duration>,
    /// Whether to wait for more; `false` ends the tail at the message that is newest when it is opened.
    pub follow: bool,
    /// What to do where messages are missing. No filter hides a gap.
    pub gap_policy: GapPolicy,
    /// Whether to be woken by writers; `false` only polls.
    pub notify: bool,
}

impl Default for TailOptions {
    fn default() -> TailOptions {
        TailOptions {
            start: Start::default(),
            until: None,
            tags: Vec::new(),
            max: None,
            timeout: None,
            follow: true,
            gap_policy: GapPolicy::default(),
            notify: true,
        }
    }
}

/// The seqs `first ..= last` are missing: overwritten before they were read, or never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing seq.
    pub first: u64,
    /// The last missing seq.
    pub last: u64,
}

/// Why a tail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// `max` messages were delivered.
    Max,
    /// `timeout` has passed.
    Timeout,
    /// `until` has come.
    Until,
    /// With `follow: false`, everything that was there has been delivered.
    CaughtUp,
    /// Somebody called [`Canceller::cancel`].
    Cancelled,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A message is in the buffer.
    Message,
    /// Messages are missing here.
    Gap(Gap),
    /// Nothing came before the deadline given to [`Tail::read_before`]. The tail goes on.
    Idle,
    /// The tail has ended, and stays so.
    End(EndReason),
}

/// Ends a [`Tail`] from another thread.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Ends the tail within 50 ms, with [`EndReason::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A reader's place in a pool. It never holds a writer up, and learns exactly what it missed.
#[derive(Debug)]
pub struct Tail {
    pool: Pool,
    cursor: Cursor,
    options: TailOptions,
    canceller: Canceller,
    delivered: u64,
    next_seq: u64,
    deadline: Option<Instant>,
    /// After so many messages that no filter lets through, a read with a deadline says `Idle`.
    stride: u32,
    /// Where the tail ends, once that is settled: behind this seq, for this reason.
    bound: Option<(u64, EndReason)>,
    outcome: Option<Outcome>,
    /// A message has come since the last sleep.
    heard: bool,
}

/// How a tail came to its end. Every later read says the same.
#[derive(Debug)]
enum Outcome {
    Ended(EndReason),
    Failed {
        kind: ErrorKind,
        message: String,
        told: bool,
    },
}

impl Tail {
    pub(super) fn open(pool: Pool, options: TailOptions) -> Result<Tail> {
        let core = &pool.shared.core;
        let settled = start(core, options.start).and_then(|cursor| {
            let bound = match options.follow {
                true => None,
                false => Some((core.newest()?.seq, EndReason::CaughtUp)),
            };
            Ok((cursor, bound))
        });
        let (cursor, bound) = settled.map_err(|error| pool.named(error))?;
        Ok(Tail {
            cursor,
            bound,
            next_seq: cursor.next_seq(),
            // A timeout too far away to be a moment is none.
            deadline: options
                .timeout
                .and_then(|timeout| Instant::now().checked_add(timeout)),
            canceller: Canceller::default(),
            stride: u32::MAX,
            delivered: 0,
            outcome: None,
            heard: false,
            pool,
            options,
        })
    }

    /// Waits for the next message, and puts it into `into`, whose buffer is used again.
    ///
    /// # Errors
    ///
    /// `RetentionGap`, with the first missing seq, under [`GapPolicy::Error`]; `Corrupt` if a frame is damaged;
    /// `NotFound` once the pool was deleted or replaced. The tail then ends: further reads fail with the same kind.
    pub fn read(&mut self, into: &mut Message) -> Result<Next> {
        self.advance(None, into)
    }

    /// As [`read`](Tail::read), but waits no longer than to `deadline`; one in the past asks what there is now.
    ///
    /// # Errors
    ///
    /// As [`read`](Tail::read).
    pub fn read_before(&mut self, deadline: Instant, into: &mut Message) -> Result<Next> {
        self.advance(Some(deadline), into)
    }

    /// Ends this tail from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The seq to resume from: a tail that starts there continues this one.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The pool that is followed.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Has reads come back with `Idle` after so many messages that no filter lets through, for those who share a thread.
    #[cfg(feature = "serve")]
    pub(crate) fn with_stride(mut self, stride: u32) -> Tail {
        self.stride = stride;
        self
    }

    /// How long it is until the tail's timeout strikes, if it has one.
    #[cfg(feature = "serve")]
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn advance(&mut self, deadline: Option<Instant>, into: &mut Message) -> Result<Next> {
        match &self.outcome {
            Some(Outcome::Ended(reason)) => return Ok(Next::End(*reason)),
            Some(Outcome::Failed { kind, message, .. }) => {
                return Err(self.pool.named(
                    Error::new(*kind, message.clone())
                        .hint("this tail has ended; open another one to go on"),
                ));
            }
            None => {}
        }
        let next = self
            .step(deadline, into)
            .map_err(|error| self.pool.named(error));
        match &next {
            Ok(Next::End(reason)) => self.outcome = Some(Outcome::Ended(*reason)),
            Err(error) => {
                let (kind, message) = (error.kind(), error.message().to_owned());
                self.outcome = Some(Outcome::Failed {
                    kind,
                    message,
                    told: false,
                });
            }
            Ok(_) => {}
        }
        next
    }

    fn step(&mut self, deadline: Option<Instant>, into: &mut Message) -> Result<Next> {
        let mut seen = None;
        let mut passed_over = 0;
        loop {
            if let Some(reason) = self.end_before_reading()? {
                return Ok(Next::End(reason));
            }
            match self.cursor.next(&self.pool.shared.core, into.frame_mut())? {
                Step::Message => {
                    self.heard = true;
                    if let Some(next) = self.take(into) {
                        return Ok(next);
                    }
                    passed_over += 1;
                    if passed_over >= self.stride {
                        return Ok(Next::Idle);
                    }
                }
                Step::Lapped { first, missed } => return self.report(first, first + (missed - 1)),
                Step::Empty => match self.idle(deadline, &mut seen)? {
                    Some(next) => return Ok(next),
                    None => continue,
                },
            }
            seen = None;
        }
    }

    fn end_before_reading(&mut self) -> Result<Option<EndReason>> {
        if self.canceller.is_cancelled() {
            return Ok(Some(EndReason::Cancelled));
        }
        if self.options.max.is_some_and(|max| self.delivered >= max) {
            return Ok(Some(EndReason::Max));
        }
        if self.bound.is_none()
            && self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
        {
            self.bound = Some((self.pool.shared.core.newest()?.seq, EndReason::Timeout));
        }
        Ok(self
            .bound
            .filter(|(last, _)| self.next_seq > *last)
            .map(|(_, reason)| reason))
    }

    /// Takes the message that was read: delivers it, ends before it, or passes over it.
    fn take(&mut self, message: &Message) -> Option<Next> {
        if let Some((last, reason)) = self.bound
            && message.seq() > last
        {
            return Some(Next::End(reason));
        }
        if self
            .options
            .until
            .is_some_and(|until| message.time() >= until)
        {
            return Some(Next::End(EndReason::Until));
        }
        self.next_seq = message.seq() + 1;
        // A start that is still to come begins with no message that is there yet. [TAIL-4]
        let is_early = matches!(self.options.start, Start::Time(since) if message.time() < since);
        if is_early || !has_tags(message, &self.options.tags) {
            return None;
        }
        self.delivered += 1;
        Some(Next::Message)
    }

    /// Reports what is missing, as far as the tail goes.
    fn report(&mut self, first: u64, last: u64) -> Result<Next> {
        let last = match self.bound {
            Some((end, reason)) if first > end => return Ok(Next::End(reason)),
            Some((end, _)) => last.min(end),
            None => last,
        };
        self.next_seq = last + 1;
        match self.options.gap_policy {
            GapPolicy::Continue => Ok(Next::Gap(Gap { first, last })),
            GapPolicy::Error => Err(retention_gap(first, last)),
        }
    }

    /// Nothing is there: ends, or sleeps until there may be something. The first time round it only takes note of
    /// what is newest, so that nothing is missed between the last look and the sleep.
    fn idle(&mut self, deadline: Option<Instant>, seen: &mut Option<Seen>) -> Result<Option<Next>> {
        let core = &self.pool.shared.core;
        let Some(seen) = seen else {
            *seen = Some(core.seen()?);
            return Ok(None);
        };
        if let Some((_, reason)) = self.bound {
            return Ok(Some(Next::End(reason)));
        }
        let clock = now_nanos();
        core.check_deleted()?;
        // Whoever wrote what was just read has looked at the file; a crowd of readers, all just woken, need not. [UNLINK-3]
        if !std::mem::take(&mut self.heard) {
            core.memory().check_unlocked(clock)?;
        }
        let mut bound = LONGEST_SLEEP;
        if let Some(until) = self.options.until {
            let left = until.as_nanos().saturating_sub(clock);
            if left == 0 {
                return Ok(Some(Next::End(EndReason::Until)));
            }
            bound = bound.min(Duration::from_nanos(left));
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Ok(Some(Next::Idle));
        }
        for moment in [deadline, self.deadline].into_iter().flatten() {
            bound = bound.min(moment.saturating_duration_since(now));
        }
        self.sleep(*seen, bound)?;
        Ok(None)
    }

    fn sleep(&self, seen: Seen, bound: Duration) -> Result<()> {
        let shared = &self.pool.shared;
        if self.options.notify {
            return shared.core.wait(&shared.bell, seen, bound);
        }
        std::thread::sleep(bound.min(POLL));
        shared.core.check_deleted()
    }
}

/// For whoever waits on behalf of many tails.
#[cfg(feature = "serve")]
impl Pool {
    /// What is newest now, for [`wait_for_newer`](Pool::wait_for_newer).
    pub(crate) fn seen(&self) -> Result<Seen> {
        self.shared.core.seen().map_err(|error| self.named(error))
    }

    /// Sleeps until there may be something newer than `seen`, for at most `bound`.
    pub(crate) fn wait_for_newer(&self, seen: Seen, bound: Duration) -> Result<()> {
        let shared = &self.shared;
        shared
            .core
            .wait(&shared.bell, seen, bound)
            .and_then(|()| shared.core.memory().check_unlocked(now_nanos()))
            .map_err(|error| self.named(error))
    }
}

impl Iterator for Tail {
    type Item = Result<Message>;

    /// The next message. Gaps are passed over under [`GapPolicy::Continue`]; use [`read`](Tail::read) to see them.
    fn next(&mut self) -> Option<Result<Message>> {
        if let Some(Outcome::Failed { told: true, .. }) = self.outcome {
            return None;
        }
        let mut message = Message::default();
        loop {
            match self.read(&mut message) {
                Ok(Next::Message) => return Some(Ok(message)),
                Ok(Next::Gap(_) | Next::Idle) => {}
                Ok(Next::End(_)) => return None,
                Err(error) => {
                    if let Some(Outcome::Failed { told, .. }) = &mut self.outcome {
                        *told = true;
                    }
                    return Some(Err(error));
                }
            }
        }
    }
}

fn start<M: Memory>(core: &CorePool<M>, start: Start) -> Result<Cursor> {
    match start {
        Start::Newest => Cursor::newest(core),
        Start::Oldest => Cursor::oldest(core),
        Start::Seq(seq) => Cursor::at_seq(core, seq),
        Start::Time(time) => Cursor::at_time(core, time.as_nanos()),
        Start::Last(count) => Cursor::last_messages(core, count),
    }
}

fn has_tags(message: &Message, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let tags: Vec<Cow<'_, str>> = serde_json::from_str(message.tags_json()).unwrap_or_default();
    wanted.iter().all(|tag| tags.iter().any(|has| has == tag))
}

pub(super) fn retention_gap(first: u64, last: u64) -> Error {
    let what = if first == last {
        format!("message {first} is no longer there")
    } else {
        format!("messages {first} to {last} are no longer there")
    };
    Error::new(ErrorKind::RetentionGap, what)
        .hint(format!(
            "resume from {} to go on without them, or use a larger pool",
            last.saturating_add(1)
        ))
        .seq(first)
}
