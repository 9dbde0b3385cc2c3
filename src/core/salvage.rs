//! Finds every undamaged message of a damaged pool, and says exactly what is lost. Stores nothing.
//!
//! A frame vouches for itself by its own position and its two checksums, and for the frame before it by its link. So
//! control words, index and checkpoints are not needed to find messages; they only tell what is retained, and are
//! believed as far as frames bear them out.
//!
//! 1. Every word of the ring is looked at. Linked frames make a *piece*; a frame whose payload is damaged is a piece
//!    of its own, for its header still says which message it was.
//! 2. Of all stretches as long as the ring, the one with the most frames counts. The rest is of other laps.
//! 3. What lies below the place that writers have claimed anew is stale, and so is what a recovery did not keep.
//! 4. Of the pieces that are left, the heaviest chain is kept in which positions, seqs and times grow. Two frames of
//!    one seq are never in one chain: that which fits in with more others stays.
//! 5. Frames at the end that belong to a batch without its last frame are cut off, unless `last` was published behind
//!    them.
//!
//! What is not in the chain, and is not explained by a flagged hole, is lost.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::atomic::Ordering::Relaxed;

use super::checkpoint::Checkpoint;
use super::error::{Error, ErrorKind, Result};
use super::frame::FrameHeader;
use super::geometry::Geometry;
use super::guess::{Identity, identify};
use super::layout::{
    BOOT, DELETED, DELETED_MARK, FRAME_HEADER_SIZE, GENERATION, INTENT, LAST, OLDEST, WORD,
};
use super::memory::Memory;
use super::piece::{Joint, Piece, densest_lap, joint};
use super::pool::Pool;
use super::read::Frame;
use super::recover::follows;
use super::verify::{IssueCode, bad_text};

/// So many pieces back a piece looks for the one before it. More in a row that contradict it are not met by accident.
const PIECES_BACK: usize = 512;
/// What a frame weighs in a chain, and what it costs to leave one out because the next does not link to it.
const WEIGHT: i64 = 2;
const UNLINKED: i64 = WEIGHT + 1;
/// What a chain weighs that cannot be.
const NEVER: i64 = i64::MIN >> 1;

/// Messages that were retained and cannot be had any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The first seq; unknown where all trace of it is gone.
    pub first_seq: Option<u64>,
    /// The last seq.
    pub last_seq: Option<u64>,
    /// Where in the file they were.
    pub offset: u64,
    /// How many bytes of the ring they took.
    pub bytes: u64,
    /// What kind of thing is wrong there.
    pub code: IssueCode,
    /// What is wrong, for people.
    pub message: &'static str,
}

/// A second frame that claims the seq of one that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The seq.
    pub seq: u64,
    /// The offset in the file of the frame that was kept.
    pub kept: u64,
    /// The offset in the file of the one that was not.
    pub dropped: u64,
}

/// A damaged pool, searched.
pub struct Salvage<M> {
    pool: Pool<Padded<M>>,
    kept: Vec<Piece>,
    /// What is lost, in the order of seqs.
    pub losses: Vec<Loss>,
    /// Frames that claim a seq which was kept from elsewhere.
    pub duplicates: Vec<Duplicate>,
    /// What had to be taken for granted because nothing undamaged says it.
    pub assumed: Vec<String>,
    /// When the pool was created, if its header tells.
    pub created: Option<u64>,
    /// Whether the header tells the dimensions.
    pub header_is_sound: bool,
}

/// What the control words say, as far as it can be true.
struct Words {
    /// The newest frame, if `last` names one.
    newest: Option<FrameHeader>,
    /// `last`, if it can be the position of a frame near those that were found.
    last: Option<u64>,
    /// Whether something else speaks for `last`: the frame is there, or a writer claimed just what is behind it.
    is_borne_out: bool,
    /// Whether the frame at `last` is there, and nothing is claimed behind it.
    is_sure: bool,
    /// Whether they are of this boot, so that `last` alone says what was published.
    current: bool,
}

impl<M: Memory> Salvage<M> {
    /// Searches the pool in `memory`, a file of `file_size` bytes, for a machine whose boot word for it is `boot`.
    ///
    /// `Corrupt` if there is nothing to search: the file was never a pool of this format version, or neither its
    /// header nor a single frame is left. `NotFound` for a pool that was deleted.
    pub fn search(memory: M, file_size: u64, boot: u64) -> Result<Salvage<M>> {
        let Identity {
            header,
            is_sound,
            assumed,
        } = identify(&memory, file_size)?;
        if memory.load(DELETED / WORD, Relaxed) == DELETED_MARK {
            return Err(deleted());
        }
        let words = header.geometry.file_size.div_ceil(WORD);
        let mut salvage = Salvage {
            pool: Pool::attach(Padded(memory, words), header),
            kept: Vec::new(),
            losses: Vec::new(),
            duplicates: Vec::new(),
            assumed,
            created: is_sound.then_some(header.created),
            header_is_sound: is_sound,
        };
        // Whatever is published while frames are looked for is found or not, and no loss.
        let last = salvage.load(LAST);
        let found = salvage.survey();
        salvage.choose(&found, last, boot);
        salvage.pool.check_poison()?;
        Ok(salvage)
    }

    /// The pool's dimensions, as far as they are known.
    pub fn geometry(&self) -> &Geometry {
        self.pool.geometry()
    }

    /// Hands out every message that was found, oldest first. One that was overwritten since the search is added to
    /// what is lost.
    pub fn messages(&mut self, mut each: impl FnMut(&Frame) -> Result<()>) -> Result<()> {
        let mut frame = Frame::default();
        let mut overwritten = Vec::new();
        for piece in self.kept.iter().filter(|piece| piece.sound) {
            for header in frames(&self.pool, piece) {
                match self.pool.payload_matches(&header, &mut frame) {
                    true if header.seq == 0 => {}
                    true => each(&frame)?,
                    false => overwritten.push(header),
                }
            }
        }
        for header in overwritten {
            self.lose(&header, "the message was overwritten meanwhile");
        }
        self.pool.check_poison()
    }

    /// The time of the oldest message that was found, if there is any.
    pub fn oldest_time(&self) -> Option<u64> {
        let sound = self.kept.iter().filter(|piece| piece.sound);
        sound
            .flat_map(|piece| frames(&self.pool, piece))
            .find(|header| header.seq != 0)
            .map(|header| header.time)
    }

    // ---- What is there.

    /// Every piece, in the order of positions.
    fn survey(&self) -> Vec<Piece> {
        let g = *self.geometry();
        let mut pieces = Vec::new();
        let mut frame = Frame::default();
        let mut offset = 0;
        while offset < g.ring_size {
            let position = self.load(g.ring_offset + offset);
            let is_here = g.is_position(position) && position % g.ring_size == offset;
            offset += match is_here
                .then(|| self.piece_from(position, &mut frame))
                .flatten()
            {
                Some(piece) => {
                    pieces.push(piece);
                    match piece.sound {
                        true => piece.last.end() - piece.first.position,
                        // What its length says may be as wrong as what is in it.
                        false => FRAME_HEADER_SIZE,
                    }
                }
                None => WORD,
            };
        }
        pieces.sort_by_key(|piece: &Piece| piece.first.position);
        pieces
    }

    fn piece_from(&self, position: u64, frame: &mut Frame) -> Option<Piece> {
        let first = self.header_at(position)?;
        let mut piece = Piece {
            first,
            last: first,
            frames: 1,
            sound: self.is_sound(&first, frame),
        };
        let end_of_ring = position + self.geometry().bytes_to_wrap(position);
        while piece.sound
            && piece.last.end() < end_of_ring
            && let Some(next) = self.header_at(piece.last.end())
            && follows(&piece.last, &next)
            && self.is_sound(&next, frame)
        {
            piece.last = next;
            piece.frames += 1;
        }
        Some(piece)
    }

    /// The header at `position`, if one verifies that is of a length that a frame may have.
    fn header_at(&self, position: u64) -> Option<FrameHeader> {
        let header = self.pool.header_exclusive(position).ok()?;
        (header.size() <= self.geometry().max_batch()).then_some(header)
    }

    fn is_sound(&self, header: &FrameHeader, frame: &mut Frame) -> bool {
        self.pool.payload_matches(header, frame) && (header.seq == 0 || bad_text(frame).is_none())
    }

    fn load(&self, offset: u64) -> u64 {
        self.pool.memory().load(offset / WORD, Relaxed)
    }

    // ---- What of it counts.

    fn choose(&mut self, found: &[Piece], last: u64, boot: u64) {
        let lap = densest_lap(found, self.geometry().ring_size);
        let words = self.words(found[lap.clone()].last(), last, boot);
        let floor = self.floor(&found[lap.clone()]);
        let candidates: Vec<Piece> = found[lap]
            .iter()
            .filter_map(|piece| self.from(piece, floor))
            .collect();
        let mut kept = self.chain(&candidates, words.newest.as_ref());
        self.cut_unfinished(&mut kept, &words);
        self.kept = kept;
        self.note_losses(floor, &words);
        self.note_duplicates(found);
    }

    fn words(&self, highest: Option<&Piece>, last: u64, boot: u64) -> Words {
        let g = self.geometry();
        let end = highest.map_or(g.first_position(), |piece| piece.last.end());
        let near = end.saturating_sub(g.ring_size)..end.saturating_add(g.ring_size);
        let is_place = g.is_position(last) && near.contains(&last);
        let newest = is_place.then(|| self.header_at(last)).flatten();
        let intent = self.load(INTENT);
        let is_claimed = (WORD..=g.ring_size).contains(&intent.saturating_sub(last));
        Words {
            newest,
            last: is_place.then_some(last),
            is_borne_out: newest.is_some() || is_place && is_claimed,
            is_sure: newest.is_some_and(|newest| newest.end() == intent),
            current: self.load(BOOT) == boot,
        }
    }

    /// The position below which nothing is retained.
    fn floor(&self, lap: &[Piece]) -> u64 {
        let g = *self.geometry();
        let Some(highest) = lap.last() else {
            return g.first_position();
        };
        let end = highest.last.end();
        let whole_ring = end.saturating_sub(g.ring_size);
        let [intent, oldest] = [INTENT, OLDEST].map(|offset| self.load(offset));
        let claimed = intent.saturating_sub(g.ring_size);
        let at_oldest = lap.iter().position(|piece| piece.holds(oldest));
        let stands = at_oldest.filter(|_| self.header_at(oldest).is_some());
        // A claim reaches half a ring beyond the newest frame at most, and never over the oldest one. One that nothing
        // bears out is not believed: what it would let go of is sound.
        let is_claim = g.is_position(intent)
            && (end..=end.saturating_add(g.max_batch())).contains(&intent)
            && stands.is_some()
            && claimed <= oldest;
        let floor = match is_claim {
            true => claimed.max(whole_ring),
            false => whole_ring,
        };
        match stands {
            // A recovery may have kept less than is there.
            Some(mut at) if self.load(GENERATION) != 0 => {
                while at > 0 && follows(&lap[at - 1].last, &lap[at].first) {
                    at -= 1;
                }
                floor.max(lap[at].first.position)
            }
            _ => floor,
        }
    }

    /// What of a piece is at `floor` or beyond.
    fn from(&self, piece: &Piece, floor: u64) -> Option<Piece> {
        let first = frames(&self.pool, piece).find(|header| header.position >= floor)?;
        let rest = Piece { first, ..*piece };
        Some(Piece {
            frames: frames(&self.pool, &rest).count() as u64,
            ..rest
        })
    }

    /// The heaviest chain. `newest` is the frame at `last`: what lies beyond it counts only where it goes on from it.
    fn chain(&self, pieces: &[Piece], newest: Option<&FrameHeader>) -> Vec<Piece> {
        let mut best: Vec<(i64, Option<(usize, Joint)>)> = Vec::with_capacity(pieces.len());
        for (i, piece) in pieces.iter().enumerate() {
            let is_beyond = newest.is_some_and(|newest| piece.first.position > newest.position);
            let mut before = match is_beyond {
                true => (NEVER, None),
                false => (0, None),
            };
            for j in i.saturating_sub(PIECES_BACK)..i {
                let joint = joint(&pieces[j].last, &piece.first, newest.filter(|_| is_beyond));
                let score = match joint {
                    // To leave out all of a piece never pays: the one before it may come before the next one, too.
                    Some(Joint::Unlinked) => best[j].0 - UNLINKED,
                    Some(Joint::Linked | Joint::Gap) => best[j].0,
                    None => continue,
                };
                if score >= before.0 {
                    before = (score, joint.map(|joint| (j, joint)));
                }
            }
            best.push((before.0 + WEIGHT * piece.frames as i64, before.1));
        }
        let heaviest = (0..pieces.len())
            .filter(|&i| best[i].0.is_positive())
            .max_by_key(|&i| best[i].0);
        let mut chain = Vec::new();
        let mut next = heaviest.map(|i| (i, Joint::Linked));
        while let Some((i, joint)) = next {
            chain.push(match joint {
                Joint::Unlinked => self.without_last(&pieces[i]),
                _ => pieces[i],
            });
            next = best[i].1;
        }
        chain.reverse();
        chain
    }

    fn without_last(&self, piece: &Piece) -> Piece {
        let left =
            frames(&self.pool, piece).take_while(|header| header.position < piece.last.position);
        Piece {
            last: left.last().unwrap_or(piece.first),
            ..*piece
        }
    }

    /// Takes away the frames at the end that belong to a batch without its last frame.
    fn cut_unfinished(&self, kept: &mut Vec<Piece>, words: &Words) {
        let published = words.last.filter(|_| words.current).unwrap_or(0);
        let ends = |header: &FrameHeader| !header.more || header.position <= published;
        while let Some(top) = kept.pop() {
            if let Some(last) = frames(&self.pool, &top).filter(ends).last() {
                kept.push(Piece { last, ..top });
                return;
            }
        }
    }

    // ---- What is not there.

    fn note_losses(&mut self, floor: u64, words: &Words) {
        let kept = std::mem::take(&mut self.kept);
        match (kept.first(), kept.last()) {
            (Some(first), Some(last)) => {
                self.lose_below(&first.first, floor);
                for (i, piece) in kept.iter().enumerate() {
                    if !piece.sound {
                        self.lose(&piece.first, "the payload does not match its checksum");
                    }
                    if let Some(next) = kept.get(i + 1) {
                        self.lose_between(&piece.last, &next.first);
                    }
                }
                self.lose_beyond(&last.last, words);
            }
            // Nothing but the frame that every pool begins with.
            _ if words.last == Some(self.geometry().first_position()) => {}
            _ => self.lose_all(),
        }
        self.kept = kept;
    }

    /// A frame whose header says which message it was.
    fn lose(&mut self, header: &FrameHeader, message: &'static str) {
        if header.seq != 0 {
            self.losses.push(Loss {
                first_seq: Some(header.seq),
                last_seq: Some(header.seq),
                offset: self.geometry().offset_at(header.position),
                bytes: header.size(),
                code: IssueCode::Payload,
                message,
            });
        }
    }

    fn lose_between(&mut self, before: &FrameHeader, next: &FrameHeader) {
        if before.end() < next.position {
            let seqs = (Some(before.seq + 1), Some(next.seq - 1));
            self.lose_stretch(before.end()..next.position, seqs, DAMAGED_FRAMES);
        }
    }

    fn lose_stretch(
        &mut self,
        positions: Range<u64>,
        (first_seq, last_seq): (Option<u64>, Option<u64>),
        message: &'static str,
    ) {
        self.losses.push(Loss {
            first_seq,
            last_seq,
            offset: self.geometry().offset_at(positions.start),
            bytes: positions.end - positions.start,
            code: IssueCode::Frame,
            message,
        });
    }

    /// What was retained before the first frame that is left.
    fn lose_below(&mut self, first: &FrameHeader, floor: u64) {
        if first.seq <= 1 {
            return;
        }
        let g = *self.geometry();
        let start = g.first_position();
        let floor = floor.max(start);
        let oldest = self.load(OLDEST);
        let is_place = g.is_position(oldest) && (floor..=first.position).contains(&oldest);
        let is_hinted = self
            .hints(floor..first.position)
            .any(|(seq, _)| seq < first.seq);
        let from = match is_place {
            true => oldest,
            false if is_hinted || floor == start => floor,
            false => {
                self.assumed.push(format!(
                    "message {} was the oldest: nothing that is left speaks of an older one",
                    first.seq
                ));
                return;
            }
        };
        if from < first.position {
            // Without a slot for the oldest one, it may have been older than all that the index has a slot for.
            let first_seq = match from == start {
                true => Some(1),
                false => self
                    .hints(from..from + WORD)
                    .map(|(seq, _)| seq)
                    .find(|seq| is_place && *seq < first.seq),
            };
            let seqs = (first_seq, Some(first.seq - 1));
            self.lose_stretch(from..first.position, seqs, DAMAGED_FRAMES);
        }
    }

    /// What was retained behind the last frame that is left.
    fn lose_beyond(&mut self, newest: &FrameHeader, words: &Words) {
        let g = *self.geometry();
        let end = newest.end();
        // Words that are behind what was kept say nothing of what is beyond it.
        let is_borne_out = words.is_borne_out && words.last >= Some(newest.position);
        let is_there = is_borne_out && words.newest.is_some();
        let reach = match words.last.filter(|_| is_there) {
            Some(last) => end..last + WORD,
            None => end..end.saturating_add(g.ring_size),
        };
        let is_later = |(seq, position): &(u64, u64)| *seq > newest.seq && reach.contains(position);
        let known = words.last.and_then(|last| self.header_at(last));
        let known = known.map(|header| (header.seq, header.position));
        let newest_hint = self
            .hints(reach.clone())
            .chain(known)
            .filter(is_later)
            .max();
        let flushed = Checkpoint::load_all(self.pool.memory());
        let flushed = flushed.into_iter().flatten().map(|c| (c.seq, c.position));
        let newest_flushed = flushed.filter(is_later).max();
        let is_believed = is_borne_out || newest_hint.is_some() || !self.has_hint_of(newest);
        let last = words.last.filter(|last| *last >= end && is_believed);
        // The newest message has a slot of the index, if any message has one. What was flushed may be older.
        let is_newest = |position| last.is_none_or(|last| last <= position);
        let last_seq = newest_hint.filter(|(_, position)| is_newest(*position));
        let trace = last_seq.max(newest_flushed.filter(|_| last_seq.is_none()));
        let to = last.max(trace.map(|(_, position)| position));
        let last_seq = last_seq.map(|(seq, _)| seq);
        if let Some(to) = to {
            let seqs = (Some(newest.seq + 1), last_seq);
            self.lose_stretch(end..to + FRAME_HEADER_SIZE, seqs, DAMAGED_FRAMES);
        }
        let assumed = match to {
            Some(_) => last_seq,
            None => Some(newest.seq),
        };
        match assumed.filter(|_| !(is_there && words.is_sure)) {
            Some(0) => self
                .assumed
                .push("the pool was empty: nothing that is left speaks of a message".to_owned()),
            Some(seq) => self.assumed.push(format!(
                "message {seq} was the newest: nothing that is left speaks of a newer one"
            )),
            None => {}
        }
    }

    fn has_hint_of(&self, header: &FrameHeader) -> bool {
        let hint = (header.seq, header.position);
        self.hints(header.position..header.end())
            .any(|(seq, position)| (seq, position) == hint)
    }

    fn lose_all(&mut self) {
        let start = self.geometry().first_position();
        let end = start + self.geometry().ring_size;
        self.lose_stretch(start..end, (None, None), "no frame in the ring is whole");
    }

    /// The seqs and positions in slots of the index that can be right and name a place among these.
    fn hints(&self, positions: Range<u64>) -> impl Iterator<Item = (u64, u64)> + '_ {
        let g = *self.geometry();
        (0..g.index_capacity).filter_map(move |slot| {
            let word = g.slot_word(slot)?;
            let [seq, position] = [word, word + 1].map(|word| self.load(word * WORD));
            let is_plausible = seq % g.index_capacity == slot && g.is_position(position);
            (seq != 0 && is_plausible && positions.contains(&position)).then_some((seq, position))
        })
    }

    /// Lists the sound frames that are not kept and claim a seq that is.
    fn note_duplicates(&mut self, found: &[Piece]) {
        let g = *self.geometry();
        let kept = &self.kept;
        let mut duplicates = Vec::new();
        for piece in found.iter().filter(|piece| piece.sound) {
            for header in frames(&self.pool, piece) {
                let below = kept.partition_point(|kept| kept.last.position < header.position);
                if kept
                    .get(below)
                    .is_some_and(|kept| kept.holds(header.position))
                {
                    continue;
                }
                let at = kept.partition_point(|kept| kept.last.seq < header.seq);
                let same = kept.get(at).filter(|kept| kept.sound && header.seq != 0);
                let twin = same
                    .and_then(|kept| frames(&self.pool, kept).find(|twin| twin.seq == header.seq));
                if let Some(twin) = twin {
                    duplicates.push(Duplicate {
                        seq: header.seq,
                        kept: g.offset_at(twin.position),
                        dropped: g.offset_at(header.position),
                    });
                }
            }
        }
        self.duplicates = duplicates;
    }
}

const DAMAGED_FRAMES: &str = "no frame header there is whole";

/// The headers of a piece, read anew.
fn frames<'p, M: Memory>(
    pool: &'p Pool<Padded<M>>,
    piece: &Piece,
) -> impl Iterator<Item = FrameHeader> + 'p {
    let last = piece.last.position;
    std::iter::successors(Some(piece.first), move |header| {
        let next = header.end();
        (next <= last)
            .then(|| pool.header_exclusive(next).ok())
            .flatten()
    })
}

fn deleted() -> Error {
    Error::new(ErrorKind::NotFound, "the pool was deleted")
        .hint("salvage a copy of the file that was made before")
}

/// A memory as long as the pool's dimensions say: what the file does not have reads as zeros.
struct Padded<M>(M, u64);

impl<M: Memory> Memory for Padded<M> {
    fn words(&self) -> u64 {
        self.1
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        match word < self.0.words() {
            true => self.0.load(word, order),
            false => 0,
        }
    }

    fn store(&self, _word: u64, _value: u64, _order: Ordering) {
        unreachable!("a search stores nothing");
    }

    fn fence(&self, order: Ordering) {
        self.0.fence(order);
    }

    fn persist(&self, _words: Range<u64>) -> Result<()> {
        unreachable!("a search stores nothing");
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.0.check(now)
    }

    fn poisoned(&self) -> bool {
        self.0.poisoned()
    }
}
