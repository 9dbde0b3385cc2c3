//! A reader that is overtaken by a whole lap, or by many, between any two of its loads still answers consistently.
//!
//! Guards against bounds whose oldest message is newer than the newest, which a torture run met once in 10,000 fetches.

use std::cell::Cell;

use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::index::{Found, Key};
use plasmite::core::pool::Pool as CorePool;
use plasmite::core::read::Frame;
use plasmite::platform::clock::now_nanos;
use plasmite::platform::mapped::MappedFile;
use plasmite::{Batch, Durability, ErrorKind, Pool, Tags};

use crate::ledger::{open_watched, small_pool, text_in_frame};
use crate::watched::{Access, Watched};

type Watching<'a> = CorePool<Watched<MappedFile, &'a dyn Fn(Access)>>;

#[test]
fn bounds_counts_and_sizes_agree() {
    overtake_at_loads(0..600, |pool| {
        let (oldest, newest) = pool.bounds().unwrap().unwrap();
        assert!(oldest.seq <= newest.seq && oldest.position <= newest.position);
        let extent = pool.extent().unwrap().unwrap();
        assert!((1..1000).contains(&extent.messages));
        assert!(extent.bytes() <= pool.geometry().ring_size);
    });
}

#[test]
fn a_message_is_the_right_one_or_overwritten() {
    overtake_at_loads(0..600, |pool| {
        let newest = pool.newest().unwrap();
        let mut frame = Frame::default();
        match pool.get(newest.seq, &mut frame) {
            Ok(()) => assert_eq!(frame.header(), Some(&newest)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
        match pool.find(Key::Time(newest.time)).unwrap() {
            Found::Frame(found) => assert!(found.time >= newest.time),
            Found::Beyond(found) => panic!("{found:?} is not before {newest:?}"),
        }
    });
}

#[test]
fn a_cursor_tells_exactly_what_it_missed() {
    overtake_at_loads(0..600, |pool| {
        let starts = [
            Cursor::oldest(pool).unwrap(),
            Cursor::last_messages(pool, 3).unwrap(),
            Cursor::at_seq(pool, 1).unwrap(),
        ];
        let mut frame = Frame::default();
        for mut cursor in starts {
            let mut due = cursor.next_seq();
            loop {
                match cursor.next(pool, &mut frame).unwrap() {
                    Step::Message => assert_eq!(frame.header().unwrap().seq, due),
                    Step::Lapped { first, missed } => {
                        assert_eq!(first, due);
                        due += missed - 1;
                    }
                    Step::Empty => break,
                }
                due += 1;
            }
            assert_eq!(due, pool.newest().unwrap().seq + 1);
        }
    });
}

#[test]
fn a_check_finds_nothing_wrong() {
    // A check loads every word of the pool: only some of them are tried, with those of the index among them.
    overtake_at_loads((0..).step_by(13), |pool| {
        let report = pool.verify(now_nanos).unwrap();
        assert!(report.issues.is_empty(), "{:?}", report.issues);
    });
}

/// Lets `read` read while, before its load number `moment`, a writer laps the whole pool; for each of `moments`, or
/// until `read` makes fewer loads.
fn overtake_at_loads(moments: impl Iterator<Item = u32>, read: impl Fn(&Watching<'_>)) {
    let (_directory, pool) = small_pool();
    let lap = half_a_lap(&pool);
    let overtake = || {
        for _ in 0..3 {
            pool.append_batch(&lap, Durability::Fast).unwrap();
        }
    };
    overtake();
    for moment in moments {
        let left = Cell::new(None);
        let before = |_: Access| match left.get() {
            Some(0) => {
                left.set(None);
                overtake();
            }
            Some(more) => left.set(Some(more - 1)),
            None => {}
        };
        let watching = open_watched(pool.path(), &before as &dyn Fn(Access));
        left.set(Some(moment));
        read(&watching);
        if left.get().is_some() {
            assert!(moment > 20, "there were only {moment} loads");
            return;
        }
    }
}

fn half_a_lap(pool: &Pool) -> Batch {
    let mut batch = Batch::new();
    while batch.frame_bytes() + 1024 <= pool.max_batch_bytes() {
        let text = text_in_frame(256 + 8 * (batch.len() as u64 * 37 % 90));
        batch.push_json(text.as_bytes(), &Tags::none()).unwrap();
    }
    batch
}
