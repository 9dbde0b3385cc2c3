//! Which messages are this program's own.
//!
//! A receipt tells the seqs of what was appended, and nothing else can: anybody may write under any name. But a follower
//! may come to a message before its receipt has come back. So it waits for the append that was under way when it read
//! the message, if there was one; an append that begins later cannot be where the message is from.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::Receipt;
use crate::core::error::{Error, ErrorKind, Result};

/// The appends of one sender, for one follower to ask.
pub(super) struct Own {
    /// Whether anybody will ask which messages are own.
    is_asked: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many appends were begun,
    begun: u64,
    /// and how many of them have come to their end.
    ended: u64,
    has_failed: bool,
    /// When the last one that succeeded did.
    last: Option<Instant>,
    /// Own messages that the follower has not come to, in order.
    seqs: VecDeque<RangeInclusive<u64>>,
    is_closed: bool,
}

/// The appends that had been begun when a message was read.
#[derive(Clone, Copy)]
pub(super) struct Mark(u64);

impl Own {
    pub(super) fn new(is_asked: bool) -> Own {
        Own {
            is_asked,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Runs an append, and takes note of what it appended.
    pub(super) fn append(&self, append: impl FnOnce() -> Result<Receipt>) -> Result<Receipt> {
        let under_way = self.begin()?;
        let receipt = append();
        under_way.end(receipt.as_ref().ok());
        receipt
    }

    fn begin(&self) -> Result<UnderWay<'_>> {
        let mut state = self.state();
        if state.is_closed {
            let error = Error::new(ErrorKind::Io, "the command ended before this was sent");
            return Err(error.hint("send it again"));
        }
        state.begun += 1;
        Ok(UnderWay {
            own: self,
            appended: None,
        })
    }

    /// To be taken after a message was read, for [`is_own`](Own::is_own).
    pub(super) fn mark(&self) -> Mark {
        Mark(self.state().begun)
    }

    /// Whether the message with this seq is own; `None` if that is not known after `wait`. Seqs have to be asked for in
    /// their order.
    pub(super) fn is_own(&self, seq: u64, mark: Mark, wait: Duration) -> Option<bool> {
        let is_open = |state: &mut State| state.ended < mark.0;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.state(), wait, is_open)
            .unwrap_or_else(PoisonError::into_inner);
        if is_open(&mut state) {
            return None;
        }
        while state.seqs.front().is_some_and(|range| *range.end() < seq) {
            state.seqs.pop_front();
        }
        Some(state.seqs.front().is_some_and(|range| range.contains(&seq)))
    }

    /// When something was last appended.
    pub(super) fn last(&self) -> Option<Instant> {
        self.state().last
    }

    /// Lets no append begin any more, and waits for the one that is under way. Whether the last one failed.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        state.is_closed = true;
        let is_open = |state: &mut State| state.ended < state.begun;
        let state = self
            .changed
            .wait_while(state, is_open)
            .unwrap_or_else(PoisonError::into_inner);
        state.has_failed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can come between two fields that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An append that was begun. However it ends, the follower learns of it.
struct UnderWay<'a> {
    own: &'a Own,
    appended: Option<(RangeInclusive<u64>, Instant)>,
}

impl UnderWay<'_> {
    fn end(mut self, receipt: Option<&Receipt>) {
        self.appended =
            receipt.map(|receipt| (receipt.first_seq..=receipt.last_seq, Instant::now()));
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.own.state();
        state.ended += 1;
        state.has_failed = self.appended.is_none();
        if let Some((seqs, now)) = self.appended.take() {
            state.last = Some(now);
            if self.own.is_asked {
                add(&mut state.seqs, seqs);
            }
        }
        self.own.changed.notify_all();
    }
}

/// Adds the seqs behind all others; a sender that nobody comes between takes no room.
fn add(seqs: &mut VecDeque<RangeInclusive<u64>>, new: RangeInclusive<u64>) {
    match seqs.back_mut() {
        Some(last) if last.end() + 1 == *new.start() => *last = *last.start()..=*new.end(),
        _ => seqs.push_back(new),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::api::{Durability, Timestamp};

    const AT_ONCE: Duration = Duration::ZERO;
    const FOR_EVER: Duration = Duration::from_secs(3_600);

    fn receipt(first_seq: u64, last_seq: u64) -> Result<Receipt> {
        Ok(Receipt {
            first_seq,
            last_seq,
            time: Timestamp::from_nanos(0),
            durability: Durability::Fast,
        })
    }

    fn failure() -> Result<Receipt> {
        Err(Error::new(ErrorKind::Busy, "the pool is locked"))
    }

    fn asked(own: &Own, seqs: RangeInclusive<u64>) -> Vec<u64> {
        seqs.filter(|seq| own.is_own(*seq, own.mark(), AT_ONCE) == Some(true))
            .collect()
    }

    #[test]
    fn what_receipts_name_is_own_and_nothing_else() {
        let own = Own::new(true);
        for (first, last) in [(3, 3), (4, 6), (9, 9), (12, 14)] {
            own.append(|| receipt(first, last)).expect("appended");
        }
        own.append(failure).expect_err("busy");
        assert_eq!(own.state().seqs.len(), 3, "neighbours are one range");
        assert_eq!(asked(&own, 1..=20), [3, 4, 5, 6, 9, 12, 13, 14]);
        assert!(own.state().seqs.is_empty(), "what was passed is forgotten");
    }

    #[test]
    fn a_message_read_during_an_append_waits_for_its_receipt() {
        for (outcome, is_own) in [
            (receipt(5, 5), true),
            (receipt(6, 6), false),
            (failure(), false),
        ] {
            let own = &Own::new(true);
            let (begun, has_begun) = mpsc::channel();
            let (end, may_end) = mpsc::channel::<()>();
            // What is moved in here goes with a failure, so that no thread is left waiting.
            thread::scope(move |scope| {
                scope.spawn(move || {
                    own.append(|| {
                        begun.send(()).expect("it is waited for");
                        may_end.recv().expect("it is told");
                        outcome
                    })
                    .ok();
                });
                has_begun.recv().expect("it begins");
                let mark = own.mark();
                assert_eq!(own.is_own(5, mark, AT_ONCE), None, "nobody can know yet");
                let asked = scope.spawn(move || own.is_own(5, mark, FOR_EVER));
                end.send(()).expect("it waits");
                assert_eq!(asked.join().expect("no panic"), Some(is_own));
            });
        }
    }

    #[test]
    fn a_message_read_before_an_append_does_not_wait_for_it() {
        let own = Own::new(true);
        let mark = own.mark();
        own.append(|| {
            assert_eq!(own.is_own(5, mark, AT_ONCE), Some(false));
            assert_eq!(own.is_own(5, own.mark(), AT_ONCE), None);
            receipt(6, 6)
        })
        .expect("appended");
    }

    #[test]
    fn an_append_that_panics_keeps_nobody_waiting() {
        let own = Own::new(true);
        thread::scope(|scope| {
            let panicking = scope.spawn(|| own.append(|| panic!("as it is meant to")));
            assert!(panicking.join().is_err());
        });
        assert_eq!(own.is_own(1, own.mark(), FOR_EVER), Some(false));
        assert!(own.close());
    }

    #[test]
    fn a_closed_sender_sends_nothing_more() {
        let own = Own::new(true);
        own.append(|| receipt(1, 1)).expect("appended");
        assert!(!own.close());
        own.append(|| panic!("it is closed")).expect_err("refused");
    }

    #[test]
    fn what_nobody_asks_for_is_not_kept() {
        let own = Own::new(false);
        own.append(|| receipt(1, 1)).expect("appended");
        assert!(own.state().seqs.is_empty() && own.last().is_some());
    }
}
