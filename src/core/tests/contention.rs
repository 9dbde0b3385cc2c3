//! Readers beside writers who get in between any two of their loads.

use super::contested::{Contested, append_beside, overtaken};
use super::*;

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn whoever_fetches_a_message_while_it_is_overwritten_gets_it_whole_or_not_at_all() {
    for index_capacity in [0, 64] {
        overtaken(index_capacity, 1, |pool, extent| {
            let mut frame = Frame::default();
            let seq = extent.oldest.seq + 1;
            match pool.get(seq, &mut frame) {
                Ok(()) => assert_eq!(frame.data(), filler(seq).as_bytes()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    assert!(error.message().ends_with("has been overwritten"), "{error}");
                }
            }
        });
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn whoever_follows_while_messages_are_overwritten_learns_which_ones_went() {
    overtaken(0, 1, |pool, extent| {
        let mut cursor = Cursor::at_seq(pool, extent.oldest.seq).unwrap();
        let mut frame = Frame::default();
        let mut next = extent.oldest.seq;
        for _ in 0..3 {
            match cursor.next(pool, &mut frame).unwrap() {
                Step::Message => {
                    assert_eq!(frame.header().unwrap().seq, next);
                    assert_eq!(frame.data(), filler(next).as_bytes());
                    next += 1;
                }
                Step::Lapped { first, missed } => {
                    assert_eq!(first, next);
                    assert!((1..=4).contains(&missed), "{missed}");
                    next += missed;
                }
                Step::Empty => panic!("there are more"),
            }
        }
    });
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn bounds_and_counts_are_right_while_messages_are_overwritten() {
    overtaken(0, 1, |pool, before| {
        let extent = pool.extent().unwrap().unwrap();
        let (oldest, newest) = (extent.oldest.seq, extent.newest.seq);
        assert!((before.oldest.seq..=before.oldest.seq + 4).contains(&oldest));
        assert!((before.newest.seq..=before.newest.seq + 3).contains(&newest));
        assert_eq!(extent.messages, newest - oldest + 1);
        assert!(extent.bytes() <= pool.geometry().ring_size);
        Cursor::oldest(pool).unwrap();
    });
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_check_finds_no_fault_with_messages_that_are_overwritten_meanwhile() {
    for index_capacity in [0, 64] {
        overtaken(index_capacity, 41, |pool, extent| {
            let report = pool.verify(|| u64::MAX).unwrap();
            assert_eq!(report.issues, []);
            let left = extent.messages - 4..=extent.messages + 3;
            assert!(left.contains(&report.messages), "{}", report.messages);
        });
    }
}

/// Guards against a reader that never comes to an end on a busy pool, and against one that gives up what it could have.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_reader_goes_on_at_the_oldest_message_and_if_overtaken_all_the_time_at_the_newest() {
    for (often, goes_on_at_newest) in [(1, false), (2, false), (14, false), (40, true)] {
        let whole = pool_with(Some(0));
        fill(&whole, 300);
        let left = Cell::new(0);
        // Whenever the newest frame is looked up, a writer has gone all the way round.
        let strike = |word| {
            if word == LAST / WORD && left.get() > 0 {
                left.set(left.get() - 1);
                append_beside(whole.memory(), *whole.header(), 70);
            }
        };
        let memory = Contested {
            memory: whole.memory(),
            before_load: &strike,
        };
        let pool = Pool::attach(memory, *whole.header());
        let mut cursor = Cursor::oldest(&pool).unwrap();
        left.set(often);
        let step = cursor.next(&pool, &mut Frame::default()).unwrap();
        assert!(matches!(step, Step::Lapped { .. }));
        let (oldest, newest) = whole.bounds().unwrap().unwrap();
        let expected = match goes_on_at_newest {
            true => newest.seq,
            false => oldest.seq,
        };
        assert_eq!(cursor.next_seq(), expected, "overtaken {often} times");
    }
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "every slot is wrong on purpose")]
fn a_slot_whose_message_is_overwritten_during_a_check_is_not_wrong() {
    let pool = pool_with(Some(128));
    fill(&pool, 100);
    let oldest = pool.extent().unwrap().unwrap().oldest.seq;
    let slots = HEADER_SIZE / WORD;
    let is_done = Cell::new(false);
    let strike = |word| {
        if word == slots && !is_done.replace(true) {
            append_beside(pool.memory(), *pool.header(), 3);
        }
    };
    let memory = Contested {
        memory: pool.memory(),
        before_load: &strike,
    };
    let checked = Pool::attach(memory, *pool.header());
    assert_eq!(checked.verify(|| u64::MAX).unwrap().issues, []);
    let now = pool.extent().unwrap().unwrap();
    assert!(
        is_done.get() && now.oldest.seq > oldest,
        "nothing was overwritten"
    );
}
