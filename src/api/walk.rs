//! Goes through the messages of a whole pool, and misses none without saying so.

use super::message::Message;
use super::pool::Pool;
use super::tail::{Gap, GapPolicy, Next, Start, TailOptions, retention_gap};
use crate::Result;

/// How far somebody has got.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The last message, and where it ends in the ring.
    seq: Option<u64>,
    end: Option<u64>,
}

impl Walk {
    /// Hands every message on, from the one after the last, or the oldest, to the one that is newest now.
    ///
    /// # Errors
    ///
    /// `RetentionGap` if writers have overwritten one of them before it was read; `Corrupt` if one is damaged; what
    /// `each` returns.
    pub(super) fn go_on(
        &mut self,
        pool: &Pool,
        mut each: impl FnMut(&Message) -> Result<()>,
    ) -> Result<()> {
        let mut tail = pool.tail(TailOptions {
            start: self.seq.map_or(Start::Oldest, |seq| Start::Seq(seq + 1)),
            follow: false,
            gap_policy: GapPolicy::Continue,
            ..TailOptions::default()
        })?;
        let mut message = Message::default();
        let mut gap: Option<Gap> = None;
        let gone = |gap: Gap| Err(pool.named(retention_gap(gap.first, gap.last)));
        loop {
            match tail.read(&mut message)? {
                Next::Message => {}
                Next::Gap(missing) => {
                    gap = Some(missing);
                    continue;
                }
                Next::Idle => continue,
                Next::End(_) => return gap.map_or(Ok(()), gone),
            }
            let place = message.place();
            // A hole was left on purpose by whoever appended, and what is behind it follows at once in the ring. What
            // writers have overwritten took up room there.
            if let Some(gap) = gap.take()
                && (self.end.is_none() || self.end != place.as_ref().map(|place| place.start))
            {
                return gone(gap);
            }
            self.end = place.map(|place| place.end);
            self.seq = Some(message.seq());
            each(&message)?;
        }
    }
}
