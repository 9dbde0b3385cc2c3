//! A reader's place in a pool: what comes next, nothing yet, or how much was lost.

use super::error::{Error, ErrorKind, Result};
use super::frame::FrameHeader;
use super::index::{Found, Key};
use super::memory::Memory;
use super::pool::Pool;
use super::read::Frame;

/// After so many restarts at the oldest frame, each overtaken again, a lapped reader goes on at the newest.
const RESTARTS_AT_OLDEST: u32 = 8;

/// A place between two frames. It outlives any number of laps.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// Where the next frame begins.
    position: u64,
    /// The frame before that, if it was seen: `last` never goes back behind it.
    seen: u64,
    /// The seq that comes next if nothing is missing.
    next_seq: u64,
    /// The header CRC of the frame before, if that was seen.
    link: Option<u32>,
}

/// What a cursor found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message, now in the reader's buffer. The cursor is behind it.
    Message,
    /// Nothing yet.
    Empty,
    /// So many seqs, from `first` on, are missing: overwritten, or never used. The cursor is behind them.
    Lapped {
        /// The first missing seq.
        first: u64,
        /// How many are missing.
        missed: u64,
    },
}

/// What a pool retained at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The oldest message.
    pub oldest: FrameHeader,
    /// The newest message.
    pub newest: FrameHeader,
    /// How many there are, with those two.
    pub messages: u64,
}

impl Extent {
    /// How many bytes of the ring they take.
    pub fn bytes(&self) -> u64 {
        self.newest.end() - self.oldest.position
    }

    /// How many seqs there are from the oldest to the newest.
    pub fn seq_span(&self) -> u64 {
        self.newest.seq - self.oldest.seq + 1
    }
}

impl Cursor {
    /// At the oldest message retained now.
    pub fn oldest<M: Memory>(pool: &Pool<M>) -> Result<Cursor> {
        Ok(match pool.bounds()? {
            Some((oldest, _)) => Cursor::before(&oldest),
            None => Cursor::behind(&pool.newest()?),
        })
    }

    /// Behind the newest message.
    pub fn newest<M: Memory>(pool: &Pool<M>) -> Result<Cursor> {
        Ok(Cursor::behind(&pool.newest()?))
    }

    /// At the message `seq`; what is missing from there on is reported. A seq above the newest waits.
    pub fn at_seq<M: Memory>(pool: &Pool<M>, seq: u64) -> Result<Cursor> {
        let seq = seq.max(1);
        Ok(match pool.find(Key::Seq(seq))? {
            Found::Frame(frame) => Cursor {
                next_seq: seq,
                ..Cursor::before(&frame)
            },
            Found::Beyond(newest) => Cursor {
                next_seq: seq,
                ..Cursor::behind(&newest)
            },
        })
    }

    /// At the first retained message of this time or later, nanoseconds since the Unix epoch.
    pub fn at_time<M: Memory>(pool: &Pool<M>, time: u64) -> Result<Cursor> {
        Ok(match pool.find(Key::Time(time))? {
            // The genesis frame is no message, nor is what may be missing behind it.
            Found::Frame(frame) if frame.seq == 0 => Cursor::oldest(pool)?,
            Found::Frame(frame) => Cursor::before(&frame),
            Found::Beyond(newest) => Cursor::behind(&newest),
        })
    }

    /// At the last `count` retained messages, or at the oldest if there are fewer.
    pub fn last_messages<M: Memory>(pool: &Pool<M>, count: u64) -> Result<Cursor> {
        if count == 0 {
            return Cursor::newest(pool);
        }
        let newest = pool.newest()?;
        let mut back = count - 1;
        let mut reached = u64::MAX;
        loop {
            let first = newest.seq.saturating_sub(back).max(1);
            let Found::Frame(start) = pool.find(Key::Seq(first))? else {
                return Ok(Cursor::behind(&newest));
            };
            match pool.messages_from(&start, &newest)? {
                // Lapped while counting: what was counted is gone.
                None => {}
                Some(messages) if messages >= count || first == 1 => {
                    return Ok(Cursor::before(&start));
                }
                // Seqs that go down, which is damage, lead nowhere.
                Some(_) if start.position >= reached => return Ok(Cursor::before(&start)),
                // Holes took part of the range, or writers have; what is short lies before, if anything does.
                Some(messages) => {
                    reached = start.position;
                    let before = pool.seq_before(&start)?;
                    let short = count - messages;
                    back = newest.seq.saturating_sub(before).saturating_add(short - 1);
                }
            }
        }
    }

    fn before(frame: &FrameHeader) -> Cursor {
        // A frame without a predecessor in sight: nothing to compare its link with.
        Cursor {
            position: frame.position,
            seen: 0,
            // The genesis frame is no message.
            next_seq: frame.seq.max(1),
            link: None,
        }
    }

    fn behind(frame: &FrameHeader) -> Cursor {
        Cursor {
            position: frame.end(),
            seen: frame.position,
            next_seq: frame.seq + 1,
            link: Some(frame.crc()),
        }
    }

    /// The seq that comes next if nothing is missing.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Takes the next step. On [`Step::Message`] the message is in `frame`.
    pub fn next<M: Memory>(&mut self, pool: &Pool<M>, frame: &mut Frame) -> Result<Step> {
        let mut restarts = 0;
        loop {
            let last = pool.last()?;
            if self.position > last {
                return self.empty(pool, last);
            }
            if !pool.read_frame(self.position, last, frame)? {
                self.restart(pool, restarts)?;
                restarts += 1;
                continue;
            }
            let Some(header) = frame.header() else {
                continue;
            };
            if let Some(step) = self
                .take(header, frame.header_crc())
                .map_err(|what| pool.damaged(header.position, what).seq(header.seq))?
            {
                return Ok(step);
            }
        }
    }

    fn empty<M: Memory>(&self, pool: &Pool<M>, last: u64) -> Result<Step> {
        pool.check_last(last, self.seen)?;
        Ok(Step::Empty)
    }

    /// Takes a frame that was read whole: a message, a gap before it, or nothing to tell.
    fn take(&mut self, header: &FrameHeader, crc: u32) -> Result<Option<Step>, &'static str> {
        if self.link.is_some_and(|link| link != header.link) {
            return Err("the frame is not linked to the one before it");
        }
        let first = self.next_seq;
        if header.seq > first {
            if self.link.is_some() && !header.hole {
                return Err("seqs are missing before the frame, and it does not say so");
            }
            self.next_seq = header.seq;
            return Ok(Some(Step::Lapped {
                first,
                missed: header.seq - first,
            }));
        }
        // Frames before the wanted seq: a cursor that waits for one above the newest, or that was put back.
        let is_wanted = header.seq == first;
        let next_seq = if is_wanted { first + 1 } else { first };
        *self = Cursor {
            position: header.end(),
            seen: header.position,
            next_seq,
            link: Some(crc),
        };
        Ok(is_wanted.then_some(Step::Message))
    }

    /// A writer got here first: starts again at the oldest frame there is now.
    fn restart<M: Memory>(&mut self, pool: &Pool<M>, restarts: u32) -> Result<()> {
        let control = pool.control()?;
        let overtaken_for_long = restarts >= RESTARTS_AT_OLDEST;
        self.position = if overtaken_for_long {
            control.last
        } else {
            control.oldest
        };
        self.link = None;
        Ok(())
    }
}

impl<M: Memory> Pool<M> {
    /// Reads the message `seq` into `frame`. `NotFound` if it was overwritten, never used, or is yet to come.
    pub fn get(&self, seq: u64, frame: &mut Frame) -> Result<()> {
        loop {
            let what = match self.find(Key::Seq(seq))? {
                Found::Frame(found) if found.seq == seq && seq != 0 => {
                    if self.read_frame(found.position, self.last()?, frame)? {
                        return Ok(());
                    }
                    continue;
                }
                _ if seq == 0 => "does not exist: seqs start at 1",
                Found::Frame(found) if found.hole => "was never used",
                Found::Frame(_) => "has been overwritten",
                Found::Beyond(_) => "has not been written yet",
            };
            return Err(self.not_found(seq, what));
        }
    }

    fn not_found(&self, seq: u64, what: &str) -> Error {
        let hint = match self.bounds() {
            Ok(Some((oldest, newest))) => {
                format!(
                    "the oldest message is {}, the newest {}",
                    oldest.seq, newest.seq
                )
            }
            Ok(None) => "the pool is empty".to_owned(),
            Err(_) => "run `plasmite doctor` on the pool".to_owned(),
        };
        Error::new(ErrorKind::NotFound, format!("message {seq} {what}"))
            .hint(hint)
            .seq(seq)
    }

    /// The seqs of the oldest and the newest retained message; `None` for an empty pool.
    pub fn bounds(&self) -> Result<Option<(FrameHeader, FrameHeader)>> {
        loop {
            let newest = self.newest()?;
            if newest.seq == 0 {
                return Ok(None);
            }
            // Both are retained at the moment the oldest is found, unless writers went all the way round since.
            if let Found::Frame(oldest) = self.find(Key::Seq(1))?
                && oldest.position <= newest.position
            {
                if oldest.seq > newest.seq {
                    let what = "the newest message's seq is below that of the oldest";
                    return Err(self.damaged(newest.position, what).seq(newest.seq));
                }
                return Ok(Some((oldest, newest)));
            }
        }
    }

    /// What is retained, all of it at one moment; `None` for an empty pool. [INFO-12]
    pub fn extent(&self) -> Result<Option<Extent>> {
        loop {
            let Some((oldest, newest)) = self.bounds()? else {
                return Ok(None);
            };
            if let Some(messages) = self.messages_from(&oldest, &newest)? {
                return Ok(Some(Extent {
                    oldest,
                    newest,
                    messages,
                }));
            }
        }
    }

    /// The greatest seq that a retained message before `frame` has, or 0 if there is none. Found by bisection: nothing in a
    /// frame leads back to the one before.
    fn seq_before(&self, frame: &FrameHeader) -> Result<u64> {
        let is_before = |seq| match self.find(Key::Seq(seq))? {
            Found::Frame(found) => Ok(found.position < frame.position),
            Found::Beyond(_) => Ok(false),
        };
        // There is a message before `frame` at `low` or later, or none at all; and none at `high` or later.
        let (mut low, mut high) = (0, frame.seq);
        while high - low > 1 {
            let seq = low + (high - low) / 2;
            match is_before(seq)? {
                true => low = seq,
                false => high = seq,
            }
        }
        Ok(low)
    }

    /// How many messages there are from `start` to `newest`; `None` if a writer got there first.
    ///
    /// Where nothing is missing between them their number is a matter of subtraction; else they are counted.
    fn messages_from(&self, start: &FrameHeader, newest: &FrameHeader) -> Result<Option<u64>> {
        match self.newest_hole() <= start.position {
            true => Ok(Some(newest.seq.saturating_sub(start.seq) + 1)),
            false => self.count_messages(start, newest),
        }
    }

    fn count_messages(&self, start: &FrameHeader, newest: &FrameHeader) -> Result<Option<u64>> {
        let mut count = 1;
        let mut at = *start;
        while at.position < newest.position {
            match self.read_header(at.end(), newest.position)? {
                Some(frame) => at = frame,
                None => return Ok(None),
            }
            count += 1;
        }
        Ok(Some(count))
    }
}
