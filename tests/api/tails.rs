//! Tails: where they start and end, and what they tell of what is missing.

use std::thread;
use std::time::{Duration, Instant};

use plasmite::{
    CreateOptions, Durability, EndReason, ErrorKind, Gap, GapPolicy, Message, Next, PoolRef, Start,
    Tags, TailOptions, Timestamp,
};

use crate::support::{append, drain, fill, fixture, kind_of, retained, seqs};

/// TAIL-1 to TAIL-6, STOP-1, STOP-2
#[test]
fn tails_start_where_they_are_told() {
    let fixture = fixture();
    let pool = fixture.pool();
    fill(&pool, 100);
    let oldest = pool.bounds().unwrap().oldest.unwrap();
    assert!(oldest > 1);
    assert_eq!(
        seqs(&pool, retained(Start::Oldest)),
        (oldest..=100).collect::<Vec<_>>()
    );
    assert_eq!(seqs(&pool, retained(Start::Seq(97))), [97, 98, 99, 100]);
    assert_eq!(seqs(&pool, retained(Start::Last(2))), [99, 100]);
    assert_eq!(
        seqs(&pool, retained(Start::Last(1000))).first(),
        Some(&oldest)
    );
    assert_eq!(seqs(&pool, retained(Start::Last(0))), [0; 0]);
    assert_eq!(seqs(&pool, retained(Start::Newest)), [0; 0]);
    assert_eq!(
        seqs(
            &pool,
            TailOptions {
                max: Some(1),
                ..retained(Start::Seq(98))
            }
        ),
        [98]
    );
    assert_eq!(
        seqs(
            &pool,
            TailOptions {
                max: Some(0),
                ..retained(Start::Seq(98))
            }
        ),
        [0; 0]
    );
    let early = Timestamp::from_nanos(1);
    let fresh = PoolRef::parse("fresh").unwrap();
    let fresh = fixture
        .client
        .create_pool(&fresh, CreateOptions::default())
        .unwrap();
    assert_eq!(seqs(&fresh, retained(Start::Time(early))), [0; 0]);
    append(&fresh, "1");
    assert_eq!(
        drain(fresh.tail(retained(Start::Time(early))).unwrap())[0],
        (1, Next::Message)
    );
    let time = pool.get(99).unwrap().time();
    assert_eq!(seqs(&pool, retained(Start::Time(time))), [99, 100]);
    assert_eq!(
        seqs(
            &pool,
            TailOptions {
                until: Some(time),
                ..retained(Start::Seq(97))
            }
        ),
        [97, 98]
    );
}

/// LOSS-5 to LOSS-9
#[test]
fn what_is_missing_is_reported_under_either_policy() {
    let fixture = fixture();
    let pool = fixture.pool();
    fill(&pool, 100);
    let oldest = pool.bounds().unwrap().oldest.unwrap();
    let strict = TailOptions {
        gap_policy: GapPolicy::Error,
        tags: vec!["nobody has this".to_owned()],
        ..retained(Start::Seq(3))
    };
    let mut tail = pool.tail(strict.clone()).unwrap();
    let error = tail.read(&mut Message::default()).unwrap_err();
    assert_eq!(
        (error.kind(), error.seq_value()),
        (ErrorKind::RetentionGap, Some(3))
    );
    assert_eq!(
        kind_of(tail.read(&mut Message::default())),
        ErrorKind::RetentionGap
    );
    let yielded: Vec<_> = pool.tail(strict).unwrap().collect();
    assert_eq!(yielded.len(), 1);

    let lenient = TailOptions {
        max: Some(1),
        ..retained(Start::Seq(3))
    };
    let steps = drain(pool.tail(lenient).unwrap());
    assert_eq!(
        steps[0].1,
        Next::Gap(Gap {
            first: 3,
            last: oldest - 1
        })
    );
    assert_eq!(
        steps[1..],
        [(oldest, Next::Message), (0, Next::End(EndReason::Max))]
    );
    assert_eq!(
        drain(pool.tail(retained(Start::Oldest)).unwrap())[0],
        (oldest, Next::Message)
    );
}

/// LOSS-4, LOSS-8: a follower that is lapped while it waits, and one whose end lies inside what it lost.
#[test]
fn a_lapped_tail_ends_where_it_was_to_end() {
    let fixture = fixture();
    let pool = fixture.pool();
    fill(&pool, 10);
    let follower = pool
        .tail(TailOptions {
            start: Start::Seq(5),
            max: Some(1),
            ..TailOptions::default()
        })
        .unwrap();
    let bounded = pool.tail(retained(Start::Seq(5))).unwrap();
    fill(&pool, 200);
    let oldest = pool.bounds().unwrap().oldest.unwrap();
    assert_eq!(
        drain(follower),
        [
            (
                0,
                Next::Gap(Gap {
                    first: 5,
                    last: oldest - 1
                })
            ),
            (oldest, Next::Message),
            (0, Next::End(EndReason::Max))
        ]
    );
    assert_eq!(
        drain(bounded),
        [
            (0, Next::Gap(Gap { first: 5, last: 10 })),
            (0, Next::End(EndReason::CaughtUp))
        ]
    );
}

/// TAIL-6, TAIL-10, TAIL-11
#[test]
fn tags_are_anded_and_a_tail_can_be_resumed() {
    let fixture = fixture();
    let pool = fixture.pool();
    for tags in [
        &["a"][..],
        &["b", "a"],
        &[],
        &["a\"\u{e9}", "b"],
        &["b", "a", "c"],
    ] {
        pool.append(&0, &Tags::new(tags), Durability::Fast).unwrap();
    }
    let with = |tags: &[&str]| TailOptions {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..retained(Start::Oldest)
    };
    assert_eq!(seqs(&pool, with(&["a"])), [1, 2, 5]);
    assert_eq!(seqs(&pool, with(&["a", "b"])), [2, 5]);
    assert_eq!(seqs(&pool, with(&["a\"\u{e9}"])), [4]);
    assert_eq!(pool.get(2).unwrap().tags(), ["b", "a"]);
    let mut tail = pool.tail(with(&["b"])).unwrap();
    tail.read(&mut Message::default()).unwrap();
    assert_eq!(tail.next_seq(), 3);
    assert_eq!(
        seqs(
            &pool,
            TailOptions {
                start: Start::Seq(3),
                ..with(&["b"])
            }
        ),
        [4, 5]
    );
}

/// TAIL-3: a seq that is yet to come is waited for.
#[test]
fn a_seq_above_the_newest_is_waited_for() {
    let fixture = fixture();
    let pool = fixture.pool();
    append(&pool, "1");
    let mut tail = pool
        .tail(TailOptions {
            start: Start::Seq(3),
            ..TailOptions::default()
        })
        .unwrap();
    let mut message = Message::default();
    let past = Instant::now();
    assert_eq!(tail.read_before(past, &mut message).unwrap(), Next::Idle);
    append(&pool, "2");
    assert_eq!(tail.read_before(past, &mut message).unwrap(), Next::Idle);
    append(&pool, "3");
    assert_eq!(tail.read_before(past, &mut message).unwrap(), Next::Message);
    assert_eq!(message.seq(), 3);
}

/// STOP-5, STOP-6, STOP-8
#[test]
fn a_timeout_delivers_what_is_there_and_ends() {
    let fixture = fixture();
    let pool = fixture.pool();
    fill(&pool, 3);
    let options = TailOptions {
        start: Start::Oldest,
        timeout: Some(Duration::ZERO),
        ..TailOptions::default()
    };
    let mut tail = pool.tail(options).unwrap();
    let mut message = Message::default();
    for seq in 1..=3 {
        assert_eq!(tail.read(&mut message).unwrap(), Next::Message);
        assert_eq!(message.seq(), seq);
        fill(&pool, 1);
    }
    for _ in 0..2 {
        assert_eq!(
            tail.read(&mut message).unwrap(),
            Next::End(EndReason::Timeout)
        );
    }
    let options = TailOptions {
        timeout: Some(Duration::MAX),
        max: Some(1),
        ..retained(Start::Oldest)
    };
    assert_eq!(seqs(&pool, options), [1]);
}

/// STOP-4: the time comes while the tail waits.
#[test]
fn until_ends_a_tail_that_waits() {
    let fixture = fixture();
    let pool = fixture.pool();
    let soon = Timestamp::from_nanos(Timestamp::now().as_nanos() + 30_000_000);
    let options = TailOptions {
        until: Some(soon),
        ..TailOptions::default()
    };
    assert_eq!(
        drain(pool.tail(options).unwrap()),
        [(0, Next::End(EndReason::Until))]
    );
    assert!(Timestamp::now() >= soon);
}

/// STOP-7, HANDLE-1: tails end from another thread, waiting or not, woken or polling.
#[test]
fn a_tail_is_cancelled_from_another_thread() {
    let fixture = fixture();
    let pool = fixture.pool();
    for notify in [true, false] {
        let tail = pool
            .tail(TailOptions {
                notify,
                ..TailOptions::default()
            })
            .unwrap();
        let canceller = tail.canceller();
        let reader = thread::spawn(move || drain(tail));
        canceller.cancel();
        assert_eq!(
            reader.join().unwrap(),
            [(0, Next::End(EndReason::Cancelled))]
        );
    }
}

/// UNLINK-3, UNLINK-4: also a tail that has just had a message finds out that the file is gone, waiting or polling.
#[test]
fn a_tail_that_has_just_had_a_message_notices_that_its_file_is_gone() {
    let in_a_while = || Instant::now() + Duration::from_secs(20);
    for at_once in [true, false] {
        let fixture = fixture();
        let pool = fixture.pool();
        let mut tail = pool.tail(TailOptions::default()).unwrap();
        let mut message = Message::default();
        append(&pool, "1");
        let found = tail.read_before(in_a_while(), &mut message).unwrap();
        assert_eq!(found, Next::Message);
        std::fs::remove_file(pool.path()).unwrap();
        let end = in_a_while();
        let noticed = loop {
            let deadline = if at_once { Instant::now() } else { end };
            match tail.read_before(deadline, &mut message) {
                Ok(Next::Idle) if Instant::now() < end => {}
                other => break other,
            }
        };
        assert_eq!(kind_of(noticed), ErrorKind::NotFound);
    }
}
