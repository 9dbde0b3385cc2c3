//! A reader that is overtaken by a whole lap, or by many, between any two of its loads still answers consistently.
//!
//! Guards against bounds whose oldest message is newer than the newest, which a torture run met once in 10,000 fetches.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::index::{Found, Key};
use plasmite::core::pool::Pool as CorePool;
use plasmite::core::read::Frame;
use plasmite::platform::clock::now_nanos;
use plasmite::platform::mapped::MappedFile;
use plasmite::{Batch, Client, Durability, ErrorKind, Pool, Tags};

use crate::ledger::{name, open_view_watched, open_watched, small_pool, text_in_frame};
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

/// A reader for whom each restart at the oldest message comes too late would otherwise never get anything.
#[test]
fn a_reader_that_is_always_too_late_goes_on_at_the_newest() {
    let (_directory, pool) = small_pool();
    let append = || {
        let text = text_in_frame(1024);
        let receipt = pool.append_json(text.as_bytes(), &Tags::none(), Durability::Fast);
        receipt.unwrap().last_seq
    };
    // Of equal frames in a full ring, each append overwrites just the oldest one.
    while append() < 200 {}
    assert!(pool.bounds().unwrap().oldest > Some(1));
    let overtaken = Cell::new(0);
    let watches = Cell::new(false);
    let before = |access: Access| {
        // A copy has been made, and is about to be checked.
        if watches.get() && access == Access::Fence(Ordering::Acquire) {
            append();
            overtaken.set(overtaken.get() + 1);
            assert!(overtaken.get() < 100, "the reader never gets a message");
        }
    };
    let watching = open_watched(pool.path(), &before as &dyn Fn(Access));
    let mut cursor = Cursor::oldest(&watching).unwrap();
    let due = cursor.next_seq();
    let mut frame = Frame::default();
    watches.set(true);
    let step = cursor.next(&watching, &mut frame).unwrap();
    watches.set(false);
    let Step::Lapped { first, missed } = step else {
        panic!("the reader was not lapped: {step:?}");
    };
    assert_eq!(first, due);
    assert_eq!(cursor.next(&watching, &mut frame).unwrap(), Step::Message);
    assert_eq!(frame.header().unwrap().seq, due + missed);
    assert!(overtaken.get() > 1, "the reader was overtaken only once");
}

/// A view of what a crash of the system left holds until a writer has recovered the pool, also if that comes in the
/// middle of a read.
#[test]
fn a_view_is_given_up_when_its_pool_is_recovered() {
    for moment in 0..400 {
        let (directory, pool) = small_pool();
        let lap = half_a_lap(&pool);
        overtake(&pool, &lap);
        let left = Cell::new(None);
        let before = once(&left, || {
            // Opening to write recovers the pool; then everything in it is overwritten.
            let pool = Client::new(directory.path()).open_pool(&name()).unwrap();
            overtake(&pool, &lap);
        });
        let view = open_view_watched(pool.path(), &before as &dyn Fn(Access));
        let newest = view.newest().unwrap();
        let mut frame = Frame::default();
        left.set(Some(moment));
        match view.get(newest.seq, &mut frame) {
            Ok(()) => assert_eq!(frame.header(), Some(&newest)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
        if left.get().is_some() {
            assert!(moment > 20, "there were only {moment} accesses");
            return;
        }
    }
    panic!("the read had more accesses than were tried");
}

/// Lets `read` read while, before its load number `moment`, a writer laps the whole pool; for each of `moments`, or
/// until `read` makes fewer loads.
fn overtake_at_loads(moments: impl Iterator<Item = u32>, read: impl Fn(&Watching<'_>)) {
    let (_directory, pool) = small_pool();
    let lap = half_a_lap(&pool);
    overtake(&pool, &lap);
    for moment in moments {
        let left = Cell::new(None);
        let before = once(&left, || overtake(&pool, &lap));
        let watching = open_watched(pool.path(), &before as &dyn Fn(Access));
        left.set(Some(moment));
        read(&watching);
        if left.get().is_some() {
            assert!(moment > 20, "there were only {moment} loads");
            return;
        }
    }
}

/// Strikes when so many accesses as are `left` have gone by, and not again.
fn once<'a>(left: &'a Cell<Option<u32>>, strike: impl Fn() + 'a) -> impl Fn(Access) + 'a {
    move |_| match left.get() {
        Some(0) => {
            left.set(None);
            strike();
        }
        Some(more) => left.set(Some(more - 1)),
        None => {}
    }
}

/// A whole lap and more, by batches of half a lap.
fn overtake(pool: &Pool, half: &Batch) {
    for _ in 0..3 {
        pool.append_batch(half, Durability::Fast).unwrap();
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
