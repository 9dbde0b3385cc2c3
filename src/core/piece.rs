//! What a salvage puts messages together from: stretches of frames that are each linked to the one before.

use std::ops::Range;

use super::frame::FrameHeader;
use super::recover::follows;

/// Frames that are each linked to the one before, and all of them sound; or one frame with a damaged payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: FrameHeader,
    pub(super) last: FrameHeader,
    /// How many they are, for the choice of the chain. Of what is chosen, frames may be taken away at the end.
    pub(super) frames: u64,
    pub(super) sound: bool,
}

/// What one piece is to the one before it in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// Its successor.
    Linked,
    /// Messages between them are lost.
    Gap,
    /// Right behind it, but linked to another frame than the one that is there.
    Unlinked,
}

impl Piece {
    /// Whether this is from the first frame to the last.
    pub(super) fn holds(&self, position: u64) -> bool {
        (self.first.position..=self.last.position).contains(&position)
    }
}

/// The pieces that lie in one stretch as long as the ring and hold more frames than in any other; of several such, the
/// highest.
pub(super) fn densest_lap(pieces: &[Piece], ring_size: u64) -> Range<usize> {
    let (mut best, mut most) = (0..0, 0);
    let (mut start, mut held) = (0, 0);
    for (i, piece) in pieces.iter().enumerate() {
        held += piece.frames;
        while pieces[start].first.position.saturating_add(ring_size) < piece.last.end() {
            held -= pieces[start].frames;
            start += 1;
        }
        if held >= most {
            (best, most) = (start..i + 1, held);
        }
    }
    best
}

/// How `next` may come after `before` in a chain; `newest` is given where it lies beyond what was published last.
pub(super) fn joint(
    before: &FrameHeader,
    next: &FrameHeader,
    newest: Option<&FrameHeader>,
) -> Option<Joint> {
    if follows(before, next) {
        return Some(Joint::Linked);
    }
    if next.seq <= before.seq || next.time < before.time || next.position < before.end() {
        return None;
    }
    let is_adjacent = next.position == before.end();
    match newest {
        // Left behind by a writer that died, before what has been written since.
        Some(newest) if is_adjacent || next.time <= newest.time => None,
        _ if is_adjacent => Some(Joint::Unlinked),
        _ => (next.seq > before.seq + 1).then_some(Joint::Gap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: u64 = 8000;

    /// A frame without a payload, 48 bytes long.
    fn frame(seq: u64, position: u64, time: u64) -> FrameHeader {
        FrameHeader {
            position,
            seq,
            time,
            tags_len: 0,
            data_len: 0,
            payload_crc: 0,
            link: 0,
            hole: false,
            more: false,
        }
    }

    #[test]
    fn what_comes_after_a_frame_is_linked_adjacent_or_beyond_a_gap() {
        let before = frame(5, 1000, 100);
        let successor = FrameHeader {
            link: before.crc(),
            ..frame(6, 1048, 100)
        };
        let newest = &frame(5, 900, 100);
        for newest in [None, Some(newest)] {
            assert_eq!(joint(&before, &successor, newest), Some(Joint::Linked));
        }
        let unlinked = Some(Joint::Unlinked);
        let gap = Some(Joint::Gap);
        for (seq, position, time, expected, beyond) in [
            (6, 1048, 100, unlinked, None),
            (9, 1048, 101, unlinked, None),
            // Seqs and times do not go down, and frames do not overlap.
            (5, 1048, 101, None, None),
            (4, 1048, 101, None, None),
            (4, 2000, 101, None, None),
            (6, 1048, 99, None, None),
            (7, 2000, 99, None, None),
            (7, 1040, 101, None, None),
            // There has to be a seq for what was between them.
            (6, 2000, 101, None, None),
            // Beyond the newest one, only what is later may come.
            (7, 2000, 100, gap, None),
            (7, 2000, 101, gap, gap),
        ] {
            let next = frame(seq, position, time);
            let found = [None, Some(newest)].map(|newest| joint(&before, &next, newest));
            assert_eq!(found, [expected, beyond], "{seq} {position} {time}");
        }
    }

    /// So many frames from one position to the end of another frame.
    fn piece(first: u64, end: u64, frames: u64) -> Piece {
        Piece {
            first: frame(1, first, 0),
            last: frame(2, end - 48, 0),
            frames,
            sound: true,
        }
    }

    #[test]
    fn a_lap_is_the_stretch_with_the_most_frames_that_a_ring_holds() {
        let lap = |pieces: &[Piece]| densest_lap(pieces, RING);
        assert_eq!(lap(&[]), 0..0);
        let first = piece(80, 800, 3);
        assert_eq!(lap(&[first]), 0..1);
        assert_eq!(lap(&[first, piece(6000, 8080, 1)]), 0..2);
        // One word more than a ring.
        assert_eq!(lap(&[first, piece(6000, 8088, 1)]), 0..1);
        assert_eq!(lap(&[first, piece(6000, 8088, 3)]), 1..2);
        let second = piece(2000, 3000, 3);
        assert_eq!(
            lap(&[piece(80, 800, 2), second, piece(6000, 8088, 3)]),
            1..3
        );
        assert_eq!(
            lap(&[piece(80, 800, 4), second, piece(6000, 8088, 3)]),
            0..2
        );
    }
}
