//! Where the frames of an append go, what they overwrite, and how they are numbered.
//!
//! Pure: values in, one whole value out. Nothing here can reach a memory. The planning has two halves because what
//! is reclaimed depends on frame boundaries that only the ring knows: [`claim`] says up to where frames have to go,
//! the caller looks up the first frame that may stay, and [`plan_append`] completes the plan with it.

use super::error::{Error, ErrorKind, Result};
use super::frame::FrameHeader;
use super::geometry::Geometry;
use super::header::Control;

/// What is known of a pool before an append.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// The control words, checked.
    pub control: Control,
    /// The newest committed frame.
    pub newest: FrameHeader,
    /// The highest seq that a recovery found evidence of; 0 if none.
    pub seq_floor: u64,
}

/// Seq and time for each message of an append.
#[derive(Clone, Copy, Debug)]
pub enum Stamps<'a> {
    /// The next seqs, at this time by the wall clock (nanoseconds since the Unix epoch).
    Next(u64),
    /// These pairs of seq and time, one for each message.
    Given(&'a [(u64, u64)]),
}

/// The stretch of positions that an append takes, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where the first frame begins: right behind the newest one.
    pub start: u64,
    /// Where the last frame ends.
    pub end: u64,
    /// What `intent` becomes. Never less than it was: beyond `end` there may be torn bytes of a writer that died.
    pub intent: u64,
    /// Every frame that begins before this position goes.
    pub floor: u64,
}

/// Everything that an append will do, but for the frames' bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The stretch that is taken.
    pub claim: Claim,
    /// What `oldest` becomes.
    pub oldest: u64,
    /// The header CRC of the newest frame so far.
    pub link: u32,
    newest_seq: u64,
    first_seq: u64,
    count: usize,
    stamps: Stamps<'a>,
}

/// Seq, time and hole flag of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The message's seq.
    pub seq: u64,
    /// The message's time.
    pub time: u64,
    /// Whether seqs are missing before it.
    pub hole: bool,
}

/// The stretch that an append of `size` bytes takes, or `Usage` if that is more than half the ring.
pub fn claim(geometry: &Geometry, before: &Before, size: u64) -> Result<Claim> {
    if size > geometry.max_batch() {
        return Err(too_large(geometry, size));
    }
    let start = before.newest.end();
    let end = start.checked_add(size).ok_or_else(out_of_numbers)?;
    let intent = before.control.intent.max(end);
    Ok(Claim {
        start,
        end,
        intent,
        floor: intent.saturating_sub(geometry.ring_size),
    })
}

/// The whole plan for an append of `count` messages, at least one. `survivor` is the position of the first frame at or after the
/// claim's floor.
pub fn plan_append<'a>(
    before: &Before,
    claim: Claim,
    survivor: u64,
    count: usize,
    stamps: Stamps<'a>,
) -> Result<Plan<'a>> {
    let newest = &before.newest;
    let mut plan = Plan {
        claim,
        oldest: survivor.max(before.control.oldest),
        link: newest.crc(),
        newest_seq: newest.seq,
        first_seq: newest.seq.max(before.seq_floor).saturating_add(1),
        count,
        stamps,
    };
    match &mut plan.stamps {
        Stamps::Next(now) => {
            *now = newest.time.max(*now);
            plan.first_seq
                .checked_add(count as u64)
                .ok_or_else(out_of_numbers)?;
        }
        Stamps::Given(given) => check_given(given, count, before, plan.first_seq)?,
    }
    Ok(plan)
}

impl Plan<'_> {
    /// Seq, time and hole flag of the last message.
    pub fn last_stamp(&self) -> Stamp {
        self.stamp(self.count - 1)
    }

    /// Seq, time and hole flag of message `i`.
    pub fn stamp(&self, i: usize) -> Stamp {
        match self.stamps {
            Stamps::Next(time) => {
                let seq = self.first_seq + i as u64;
                Stamp {
                    seq,
                    time,
                    hole: i == 0 && seq != self.newest_seq + 1,
                }
            }
            Stamps::Given(given) => {
                let (seq, time) = given[i];
                let before = if i == 0 {
                    self.newest_seq
                } else {
                    given[i - 1].0
                };
                Stamp {
                    seq,
                    time,
                    hole: seq != before + 1,
                }
            }
        }
    }
}

fn check_given(given: &[(u64, u64)], count: usize, before: &Before, first_seq: u64) -> Result<()> {
    if given.len() != count {
        return Err(usage(format!(
            "{} stamps were given for {count} messages",
            given.len()
        ))
        .hint("give one pair of seq and time for each message"));
    }
    let (mut least_seq, mut least_time) = (first_seq, before.newest.time);
    for &(seq, time) in given {
        if seq < least_seq || seq == u64::MAX {
            return Err(
                usage(format!("seq {seq} cannot follow seq {}", least_seq - 1))
                    .hint("seqs have to grow from message to message")
                    .seq(seq),
            );
        }
        if time < least_time {
            return Err(usage(format!(
                "the time of seq {seq} is before that of the message before it"
            ))
            .hint("times may repeat but not go back")
            .seq(seq));
        }
        (least_seq, least_time) = (seq + 1, time);
    }
    Ok(())
}

fn too_large(geometry: &Geometry, size: u64) -> Error {
    usage(format!(
        "{size} bytes do not fit: a message, or a batch in total, may take {} bytes in this pool, half of its ring",
        geometry.max_batch()
    ))
    .hint("send less at once, or create a larger pool")
}

fn out_of_numbers() -> Error {
    usage("the pool has run out of seqs or positions".to_owned())
        .hint("create a new pool and go on there")
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::geometry::frame_size;
    use proptest::prelude::*;

    fn geometry() -> Geometry {
        Geometry::for_file(65_536, Some(0)).unwrap()
    }

    fn newest(position: u64, data_len: u32) -> FrameHeader {
        FrameHeader {
            position,
            seq: 9,
            time: 100,
            tags_len: 0,
            data_len,
            payload_crc: 0,
            link: 0,
            hole: false,
            more: false,
        }
    }

    fn before() -> Before {
        let g = geometry();
        let newest = newest(g.ring_size * 3, 8);
        Before {
            control: Control {
                oldest: newest.position - 4096,
                last: newest.position,
                intent: newest.end(),
            },
            newest,
            seq_floor: 0,
        }
    }

    fn plan<'a>(before: &Before, count: usize, stamps: Stamps<'a>) -> Result<Plan<'a>> {
        let claim = claim(&geometry(), before, 64)?;
        plan_append(before, claim, before.control.oldest, count, stamps)
    }

    #[test]
    fn intent_never_goes_back_over_torn_bytes() {
        let mut before = before();
        before.control.intent += 1000;
        let claim = claim(&geometry(), &before, 64).unwrap();
        assert_eq!(claim.intent, before.control.intent);
        assert_eq!(claim.floor, before.control.intent - geometry().ring_size);
    }

    #[test]
    fn a_clock_set_back_repeats_the_newest_time() {
        let before = before();
        assert_eq!(
            plan(&before, 1, Stamps::Next(5)).unwrap().stamp(0).time,
            100
        );
        assert_eq!(
            plan(&before, 1, Stamps::Next(101)).unwrap().stamp(0).time,
            101
        );
    }

    #[test]
    fn a_seq_floor_leaves_a_flagged_hole_before_the_first_frame_only() {
        let before = Before {
            seq_floor: 20,
            ..before()
        };
        let plan = plan(&before, 2, Stamps::Next(0)).unwrap();
        assert_eq!(
            plan.stamp(0),
            Stamp {
                seq: 21,
                time: 100,
                hole: true
            }
        );
        assert_eq!(
            plan.stamp(1),
            Stamp {
                seq: 22,
                time: 100,
                hole: false
            }
        );
    }

    #[test]
    fn the_next_seq_is_no_hole() {
        let before = before();
        let plan = plan(&before, 2, Stamps::Next(100)).unwrap();
        let stamps = [0, 1].map(|i| (plan.stamp(i).seq, plan.stamp(i).hole));
        assert_eq!(stamps, [(10, false), (11, false)]);
    }

    #[test]
    fn given_stamps_flag_each_hole() {
        let given = [(10, 100), (12, 100), (13, 200)];
        let before = before();
        let plan = plan(&before, 3, Stamps::Given(&given)).unwrap();
        assert_eq!([0, 1, 2].map(|i| plan.stamp(i).hole), [false, true, false]);
    }

    #[test]
    fn given_stamps_that_do_not_grow_are_usage() {
        for bad in [
            &[(9, 100)][..],
            &[(10, 99)],
            &[(10, 100), (10, 100)],
            &[(u64::MAX, 100)],
            &[],
        ] {
            let error = plan(&before(), 1.max(bad.len()), Stamps::Given(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{bad:?}");
        }
    }

    #[test]
    fn seqs_run_out_as_an_error() {
        let mut before = before();
        before.newest.seq = u64::MAX - 1;
        assert_eq!(
            plan(&before, 1, Stamps::Next(0)).unwrap_err().kind(),
            ErrorKind::Usage
        );
    }

    #[test]
    fn more_than_half_the_ring_is_usage_and_names_the_limit() {
        let error = claim(&geometry(), &before(), geometry().max_batch() + 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(
            error
                .message()
                .contains(&geometry().max_batch().to_string())
        );
        assert!(claim(&geometry(), &before(), geometry().max_batch()).is_ok());
    }

    proptest! {
        /// The newest frame survives whatever the next writer begins, and the ring is never overcommitted, even
        /// behind a writer that died after it raised `intent` as far as any plan may.
        #[test]
        fn the_newest_frame_survives(size in 6u64..=3_840, dead in 0u64..=3_840, data in 0u32..=30_000) {
            let g = geometry();
            let newest = newest(g.ring_size * 3, data);
            prop_assume!(frame_size(0, data.into()) <= g.max_batch());
            let intent = newest.end() + (dead * 8).min(g.max_batch());
            let before = Before {
                control: Control { oldest: newest.position, last: newest.position, intent },
                newest,
                seq_floor: 0,
            };
            let claim = claim(&g, &before, (size * 8).min(g.max_batch())).unwrap();
            prop_assert!(claim.floor <= newest.position);
            prop_assert!(claim.intent >= claim.end && claim.end > claim.start);
            prop_assert!(claim.intent - claim.floor <= g.ring_size);
        }
    }
}
