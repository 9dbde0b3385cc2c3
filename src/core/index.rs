//! Finds messages by seq and by time: a hint from the index, then bisection by position, at last a walk.
//!
//! A hint is never trusted: what it points at is validated like any read, and a miss falls back to the search.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::error::Result;
use super::frame::FrameHeader;
use super::header::Control;
use super::layout::WORD;
use super::memory::Memory;
use super::pool::Pool;

/// Below this distance a search walks from frame to frame: bisecting further would only resynchronise more.
const WALK: u64 = 1024;

/// What a search compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The first frame with this seq or a higher one.
    Seq(u64),
    /// The first frame with this time or a later one, nanoseconds since the Unix epoch.
    Time(u64),
}

impl Key {
    fn is_before(self, frame: &FrameHeader) -> bool {
        match self {
            Key::Seq(seq) => frame.seq >= seq,
            Key::Time(time) => frame.time >= time,
        }
    }
}

/// Where a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The first retained frame at or after the key.
    Frame(FrameHeader),
    /// Every retained frame is before the key; the newest one is given.
    Beyond(FrameHeader),
}

impl<M: Memory> Pool<M> {
    /// Notes where a message is.
    pub(super) fn store_hint(&self, seq: u64, position: u64) {
        if let Some(word) = self.geometry().slot_word(seq) {
            let (seq, position) = match cfg!(feature = "noisy-index") {
                true => noise(seq, position),
                false => (seq, position),
            };
            self.memory.store(word, seq, Relaxed);
            self.memory.store(word + 1, position, Relaxed);
        }
    }

    /// The first retained frame at or after `key`. `Corrupt` if the frame that should be it is damaged.
    pub fn find(&self, key: Key) -> Result<Found> {
        loop {
            let control = self.control()?;
            if let Key::Seq(seq) = key
                && let Some(header) =
                    self.follow_hint(seq, control.oldest..control.last + 1, control.last)
            {
                return Ok(Found::Frame(header));
            }
            if let Some(found) = self.bisect(key, &control)? {
                return Ok(found);
            }
        }
    }

    /// The frame of this seq, if its slot names a place among `positions` where it is.
    fn follow_hint(&self, seq: u64, positions: Range<u64>, last: u64) -> Option<FrameHeader> {
        let word = self.geometry().slot_word(seq)?;
        let [hinted, position] = [word, word + 1].map(|word| self.memory.load(word, Relaxed));
        if hinted != seq || !positions.contains(&position) {
            return None;
        }
        self.read_header(position, last)
            .ok()
            .flatten()
            .filter(|header| header.seq == seq)
    }

    /// Bisects; `None` if the ground moved and the search has to begin again.
    fn bisect(&self, key: Key, control: &Control) -> Result<Option<Found>> {
        let Some(newest) = self.read_header(control.last, control.last)? else {
            return Ok(None);
        };
        if !key.is_before(&newest) {
            return Ok(Some(Found::Beyond(newest)));
        }
        let oldest = match self.read_header(control.oldest, control.last) {
            Ok(Some(oldest)) => oldest,
            Ok(None) => return Ok(None),
            // The oldest frame is damaged. What lies behind it can still be found; it itself cannot.
            Err(damage) => match self.resync(control.oldest..control.last, control.last) {
                Some(frame) if !key.is_before(&frame) => frame,
                _ if key == Key::Seq(newest.seq) => return Ok(Some(Found::Frame(newest))),
                Some(frame) if key == Key::Seq(frame.seq) => return Ok(Some(Found::Frame(frame))),
                _ => return Err(damage),
            },
        };
        if key.is_before(&oldest) {
            return Ok(Some(Found::Frame(oldest)));
        }
        let low = self.narrow(key, oldest, &newest);
        self.walk(key, low, control.last)
    }

    /// A frame before `key`, close to it. `low` is before the key, `newest` is not.
    ///
    /// Halfway is by seq where the index knows that frame, and else by position, from where a frame has to be looked for:
    /// the longer the messages, the longer that takes.
    fn narrow(&self, key: Key, mut low: FrameHeader, newest: &FrameHeader) -> FrameHeader {
        let last = newest.position;
        // All frames from this position on, and from this seq on, are at or after the key.
        let mut high = (last, newest.seq);
        while high.0.saturating_sub(low.end()) > WALK {
            let halfway = low.seq.midpoint(high.1);
            if let Some(frame) = self.follow_hint(halfway, low.end()..high.0, last) {
                match key.is_before(&frame) {
                    true => high = (frame.position, frame.seq),
                    false => low = frame,
                }
                continue;
            }
            let middle = low.end().midpoint(high.0) / WORD * WORD;
            match self.resync(middle..high.0, last) {
                Some(frame) if !key.is_before(&frame) => low = frame,
                // Nothing between the middle and that frame, or `high`.
                Some(frame) => high = (middle, frame.seq),
                None => high.0 = middle,
            }
        }
        low
    }

    /// Walks from a frame before the key to the first that is not.
    fn walk(&self, key: Key, mut low: FrameHeader, last: u64) -> Result<Option<Found>> {
        loop {
            match self.read_header(low.end(), last) {
                Ok(Some(frame)) if key.is_before(&frame) => return Ok(Some(Found::Frame(frame))),
                Ok(Some(frame)) => low = frame,
                Ok(None) => return Ok(None),
                Err(damage) => return self.step_over(key, low, last, damage),
            }
        }
    }

    /// The frame behind `low` is damaged: goes on behind it, unless it may be the one that is looked for.
    fn step_over(
        &self,
        key: Key,
        low: FrameHeader,
        last: u64,
        damage: crate::Error,
    ) -> Result<Option<Found>> {
        let behind = match self.resync(low.end()..last, last) {
            Some(frame) => frame,
            None => match self.read_header(last, last)? {
                Some(newest) => newest,
                None => return Ok(None),
            },
        };
        if !key.is_before(&behind) {
            return self.walk(key, behind, last);
        }
        match key {
            Key::Seq(seq) if behind.seq == seq => Ok(Some(Found::Frame(behind))),
            Key::Seq(seq) => Err(damage.seq(seq)),
            Key::Time(_) => Err(damage),
        }
    }
}

/// What a slot holds instead of this seq and position where the index is to be noise: bits at random, the right seq at
/// a wrong place, or nothing but ones.
pub(super) fn noise(seq: u64, position: u64) -> (u64, u64) {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let bits = (seq ^ position.rotate_left(32)).wrapping_mul(ODD);
    match seq % 3 {
        0 => (bits, bits.wrapping_mul(ODD)),
        1 => (seq, position.saturating_sub(bits >> 52 << 3)),
        _ => (u64::MAX, u64::MAX),
    }
}
