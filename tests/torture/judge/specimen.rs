//! A history that is right, and the ways to change it.

use super::Law;
use crate::actor::{End, Life, Role};
use crate::record::{Begin, How, Part, Record};

const POOL: u128 = 7;
/// The reader among the lives, which has: 0 opened, 1 a tail, 2 to 5 the messages 1 to 4, 6 nothing more, 7 bounds.
pub(super) const READER: usize = 2;

/// Two writers and a reader. Messages 2 and 3 are a batch; one append was refused, one never acknowledged.
pub(super) fn history() -> (Law, Vec<Life>) {
    let law = Law {
        pool: POOL,
        ring: 1 << 20,
        damaged: None,
        removed: None,
        void: None,
        cut: None,
    };
    let one = vec![
        begun(10, 0, &[1]),
        receipt(20, 1, 1, 100),
        begun(30, 1, &[2, 3]),
        receipt(40, 2, 3, 110),
    ];
    let busy = Record::Refused {
        at: 75,
        kind: "Busy".to_owned(),
        seq: None,
        text: String::new(),
    };
    let two = vec![
        begun(50, 0, &[4]),
        receipt(60, 4, 4, 120),
        begun(70, 1, &[5]),
        busy,
        begun(80, 2, &[6]),
    ];
    let reader = vec![
        Record::Tail {
            asked: 1,
            at: 2,
            start: Begin::Newest,
            next: 1,
        },
        read(21, 1, 1, (0, 0), 1),
        read(41, 2, 1, (1, 0), 2),
        read(41, 3, 1, (1, 1), 3),
        read(61, 4, 2, (0, 0), 4),
        Record::Nothing { asked: 65, next: 5 },
        Record::Bounds {
            asked: 66,
            at: 67,
            oldest: 1,
            newest: 4,
        },
    ];
    let roles = [
        Role::Writer("clock"),
        Role::Writer("clock"),
        Role::Reader("follow"),
    ];
    let lives = (1..)
        .zip(roles)
        .zip([one, two, reader])
        .map(|((number, role), mut records)| {
            records.insert(0, Record::Opened { pool: POOL });
            Life {
                number,
                pool: POOL,
                role,
                records,
                end: End::Killed,
            }
        });
    (law, lives.collect())
}

/// Somebody begins a batch whose messages have these digests.
pub(super) fn begun(at: u64, batch: u32, digests: &[u64]) -> Record {
    let parts = digests.iter().map(|&digest| Part { digest, bytes: 100 });
    Record::Begun {
        at,
        batch,
        parts: parts.collect(),
    }
}

/// The receipt of a writer whose clock never goes back.
pub(super) fn receipt(at: u64, first: u64, last: u64, time: u64) -> Record {
    Record::Appended {
        at,
        first,
        last,
        time,
        clock: Some(time),
    }
}

/// Somebody reads a message.
pub(super) fn read(
    at: u64,
    seq: u64,
    writer: u32,
    (batch, part): (u32, u8),
    digest: u64,
) -> Record {
    let time = [0, 100, 110, 110, 120, 120][seq as usize];
    Record::Read {
        at,
        seq,
        writer,
        batch,
        part,
        digest,
        time,
        how: How::InTail,
    }
}

/// Adds what the reader saw after all else.
pub(super) fn insert(lives: &mut [Life], record: Record) {
    lives[READER].records.push(record);
}

/// Has the reader open a tail and read no more.
pub(super) fn begin(lives: &mut [Life], start: Begin, next: u64) {
    insert(
        lives,
        Record::Tail {
            asked: 65,
            at: 68,
            start,
            next,
        },
    );
}

/// Has the reader fail.
pub(super) fn fail(lives: &mut [Life], kind: &str) {
    let (kind, text) = (kind.to_owned(), String::new());
    insert(lives, Record::Failed { at: 90, kind, text });
    lives[READER].end = End::Left;
}

/// Changes moment, batch, digest and time of what was read of a seq.
pub(super) fn on_read(
    lives: &mut [Life],
    wanted: u64,
    change: fn(&mut u64, &mut u32, &mut u64, &mut u64),
) {
    for record in &mut lives[READER].records {
        match record {
            Record::Read {
                at,
                seq,
                batch,
                digest,
                time,
                ..
            } if *seq == wanted => change(at, batch, digest, time),
            _ => {}
        }
    }
}

/// Changes first and last seq, time and clock of the first receipt of a writer.
pub(super) fn on_receipt(
    lives: &mut [Life],
    writer: usize,
    change: fn(&mut u64, &mut u64, &mut u64, &mut Option<u64>),
) {
    let mut records = lives[writer].records.iter_mut();
    let receipt = records.find(|record| matches!(record, Record::Appended { .. }));
    if let Some(Record::Appended {
        first,
        last,
        time,
        clock,
        ..
    }) = receipt
    {
        change(first, last, time, clock);
    }
}
