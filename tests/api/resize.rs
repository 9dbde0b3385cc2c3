//! Pools that get another size, beside writers and readers.
//!
//! Guards against what is lost between a copy and its original: a message that was acknowledged by the one when the other
//! had been copied already.

use std::collections::HashMap;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use plasmite::{
    Batch, Bounds, Durability, ErrorKind, Gap, Message, Next, Pool, ResizeOptions, Start, Tags,
    TailOptions, Timestamp,
};

use crate::support::{Fixture, append, drain, fill, fixture, kind_of, name, retained, seqs};
use crate::variants::slots;

const K: u64 = 1024;

fn to_size(size: u64) -> ResizeOptions {
    ResizeOptions {
        size_bytes: Some(size),
        ..ResizeOptions::default()
    }
}

fn dropping(size: u64) -> ResizeOptions {
    ResizeOptions {
        drop_oldest: true,
        ..to_size(size)
    }
}

impl Fixture {
    fn resize(&self, options: ResizeOptions) -> plasmite::Result<plasmite::Resized> {
        self.client.resize_pool(&name(), options, |_| {})
    }

    fn open(&self) -> Pool {
        self.client.open_pool(&name()).unwrap()
    }
}

/// All that a pool holds, with all that is missing.
fn content(pool: &Pool) -> Vec<String> {
    let mut tail = pool.tail(retained(Start::Seq(1))).unwrap();
    let mut message = Message::default();
    let mut lines = Vec::new();
    loop {
        match tail.read(&mut message).unwrap() {
            Next::Message => {
                let mut line = Vec::new();
                message.write_envelope(&mut line);
                lines.push(String::from_utf8(line).unwrap());
            }
            Next::Gap(Gap { first, last }) => lines.push(format!("missing {first} to {last}")),
            Next::Idle => {}
            Next::End(_) => return lines,
        }
    }
}

/// RESIZE-1, RESIZE-2, RESIZE-4, RESIZE-5
#[test]
fn messages_holes_and_what_the_pool_is_are_kept() {
    let fixture = fixture();
    let pool = fixture.pool();
    let start = Timestamp::now().as_nanos();
    for (seq, time) in [(7, 1), (8, 1), (20, 1), (21, 9), (40, 9)] {
        let mut batch = Batch::new();
        let spelt = format!("{{\"b\":1.50,\"a\":\"\\u0041\",\"a\":{seq}}}");
        batch
            .push_json(spelt.as_bytes(), &Tags::new(["t", "t"]))
            .unwrap();
        let stamp = (seq, Timestamp::from_nanos(start + time));
        pool.append_batch_at(&batch, &[stamp], Durability::Fast)
            .unwrap();
    }
    let (before, was) = (content(&pool), pool.info().unwrap());
    let mut told = Vec::new();
    let resized = fixture
        .client
        .resize_pool(&name(), to_size(256 * K), |done| told.push(done))
        .unwrap();
    assert_eq!(told, [1, 2, 3, 4, 5]);
    let bounds = Bounds {
        oldest: Some(7),
        newest: Some(40),
    };
    assert_eq!((resized.messages, resized.bounds), (5, bounds));
    let dimensions = [resized.before, resized.after].map(|it| (it.file_size, it.index_capacity));
    assert_eq!(dimensions, [(64 * K, slots(128)), (256 * K, slots(512))]);
    assert_eq!(resized.dropped, None);

    let now = fixture.open();
    let is = now.info().unwrap();
    assert_eq!(content(&now), before);
    assert_eq!((is.uuid, is.created), (was.uuid, was.created));
    assert_eq!((is.file_size, is.index_capacity), (256 * K, slots(512)));
    assert_eq!(append(&now, "1"), 41);

    for (options, capacity) in [
        (to_size(256 * K), slots(512)),
        (
            ResizeOptions {
                index_capacity: Some(0),
                ..ResizeOptions::default()
            },
            0,
        ),
        (to_size(512 * K), 0),
    ] {
        fixture.resize(options).unwrap();
        assert_eq!(fixture.open().info().unwrap().index_capacity, capacity);
        assert_eq!(content(&fixture.open())[..before.len()], before);
        assert!(fixture.open().verify().unwrap().issues.is_empty());
    }
}

#[test]
fn an_empty_pool_can_be_resized_too() {
    let fixture = fixture();
    fixture.pool();
    let resized = fixture.resize(to_size(128 * K)).unwrap();
    assert_eq!((resized.messages, resized.bounds), (0, Bounds::default()));
    assert_eq!(append(&fixture.open(), "1"), 1);
}

/// RESIZE-3, RESIZE-6, RESIZE-7
#[test]
fn what_does_not_fit_is_refused_unless_it_may_be_let_go_of() {
    let fixture = fixture();
    let pool = fixture.pool_of(256 * K);
    fill(&pool, 200);
    let before = content(&pool);
    let refused = fixture.resize(to_size(128 * K)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(refused.message().contains("of 200, with numbers from 1 to"));
    let hint = refused.hint_text().unwrap();
    let size = hint.split("`--size ").nth(1).unwrap();
    let size = size.split('`').next().unwrap().parse().unwrap();
    assert_eq!(
        kind_of(fixture.resize(ResizeOptions::default())),
        ErrorKind::Usage
    );
    assert_eq!(kind_of(fixture.resize(to_size(K))), ErrorKind::Usage);
    // The pool is as it was, and so are its handles.
    assert_eq!(content(&pool), before);

    let resized = fixture.resize(to_size(size)).unwrap();
    assert_eq!((resized.messages, resized.dropped), (200, None));
    assert_eq!(content(&fixture.open()), before);

    let resized = fixture.resize(dropping(128 * K)).unwrap();
    let dropped = resized.dropped.unwrap();
    assert_eq!(dropped.first, 1);
    assert_eq!(dropped.last + resized.messages, 200);
    assert_eq!(dropped.messages, dropped.last);
    assert!(resized.messages > 100, "{resized:?}");
    let kept = content(&fixture.open());
    assert_eq!(kept[1..], before[dropped.last as usize..]);
}

/// RESIZE-8
#[test]
fn a_message_that_is_too_large_may_be_let_go_of_but_leaves_no_gap() {
    let fixture = fixture();
    let pool = fixture.pool_of(256 * K);
    append(&pool, &format!("\"{}\"", "x".repeat(64 * K as usize)));
    append(&pool, "2");
    let refused = fixture.resize(to_size(64 * K)).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.seq_value()),
        (ErrorKind::Usage, Some(1))
    );
    let resized = fixture.resize(dropping(64 * K)).unwrap();
    let dropped = resized.dropped.unwrap();
    assert_eq!((dropped.messages, dropped.first, dropped.last), (1, 1, 1));
    assert_eq!(seqs(&fixture.open(), retained(Start::Oldest)), [2]);

    fixture.resize(to_size(256 * K)).unwrap();
    let pool = fixture.open();
    append(&pool, &format!("\"{}\"", "x".repeat(64 * K as usize)));
    let refused = fixture.resize(dropping(64 * K)).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.seq_value()),
        (ErrorKind::Usage, Some(3))
    );
    assert_eq!(seqs(&fixture.open(), retained(Start::Oldest)), [2, 3]);
}

/// RESIZE-12
#[test]
fn handles_from_before_are_told_to_open_the_pool_anew() {
    let fixture = fixture();
    let pool = fixture.pool();
    append(&pool, "1");
    let mut tail = pool
        .tail(TailOptions {
            start: Start::Oldest,
            ..TailOptions::default()
        })
        .unwrap();
    let mut message = Message::default();
    assert_eq!(tail.read(&mut message).unwrap(), Next::Message);
    let asleep = thread::spawn(move || tail.read(&mut message));
    fixture.resize(to_size(128 * K)).unwrap();
    let refused = [
        pool.append_json(b"2", &Tags::none(), Durability::Fast)
            .map(drop),
        pool.bounds().map(drop),
        pool.get(1).map(drop),
        asleep.join().unwrap().map(drop),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint_text().unwrap().contains("anew"), "{error:?}");
    }
    assert_eq!(seqs(&fixture.open(), retained(Start::Oldest)), [1]);
}

/// RESIZE-13
#[test]
fn links_are_refused() {
    let fixture = fixture();
    let path = fixture.pool().path().to_owned();
    let link = path.with_file_name("link.plasmite");
    symlink(&path, &link).unwrap();
    let linked = plasmite::PoolRef::Path(link.clone());
    let refused = fixture
        .client
        .resize_pool(&linked, to_size(128 * K), |_| {})
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(refused.hint_text().unwrap().contains("pool resize"));
    std::fs::remove_file(&link).unwrap();
    std::fs::hard_link(&path, &link).unwrap();
    assert_eq!(kind_of(fixture.resize(to_size(128 * K))), ErrorKind::Usage);
    assert_eq!(fixture.open().info().unwrap().file_size, 64 * K);
}

/// RESIZE-15
#[test]
fn a_damaged_pool_stays_as_it_is() {
    let fixture = fixture();
    let pool = fixture.pool();
    append(&pool, "\"something\"");
    append(&pool, "2");
    let mut bytes = std::fs::read(pool.path()).unwrap();
    let at = bytes.windows(9).position(|it| it == b"something").unwrap();
    bytes[at] ^= 1;
    std::fs::write(pool.path(), &bytes).unwrap();
    assert_eq!(
        kind_of(fixture.resize(dropping(128 * K))),
        ErrorKind::Corrupt
    );
    assert_eq!(std::fs::read(pool.path()).unwrap(), bytes);
    append(&pool, "3");
}

/// RESIZE-17
#[test]
fn writers_go_on_while_a_pool_is_copied() {
    let fixture = fixture();
    let pool = fixture.pool_of(1024 * K);
    fill(&pool, 100);
    let writer = pool.clone().with_lock_timeout(Duration::ZERO);
    let mut left = 100;
    let resized = fixture
        .client
        .resize_pool(&name(), to_size(2048 * K), |done| {
            // One for each that is copied of those that were there.
            if done <= 100 {
                left -= 1;
                append(&writer, "\"meanwhile\"");
            }
        });
    assert_eq!((left, resized.unwrap().messages), (0, 200));
    let all: Vec<u64> = (1..=200).collect();
    assert_eq!(seqs(&fixture.open(), retained(Start::Oldest)), all);
}

/// SWAP-1, RESIZE-11: writers overwrite what is to be copied, so it is copied with the lock held; and one that waits for the
/// lock meanwhile must not get through with the old file.
#[test]
fn a_writer_that_waits_for_the_lock_meanwhile_is_not_acknowledged() {
    let fixture = fixture();
    let pool = fixture.pool_of(64 * K);
    fill(&pool, 100);
    let mut is_overtaken = false;
    let mut waiting = None;
    let resized = fixture
        .client
        .resize_pool(&name(), to_size(256 * K), |done| {
            if !is_overtaken {
                is_overtaken = true;
                fill(&pool, 100);
            } else if done == 1 && waiting.is_none() {
                let at_once = pool.with_lock_timeout(Duration::ZERO);
                let refused = at_once.append_json(b"1", &Tags::none(), Durability::Fast);
                assert_eq!(kind_of(refused), ErrorKind::Busy);
                let writer = pool.clone();
                waiting = Some(thread::spawn(move || {
                    writer.append_json(b"1", &Tags::none(), Durability::Fast)
                }));
            }
        });
    let resized = resized.unwrap();
    assert_eq!((resized.bounds.newest, resized.dropped), (Some(200), None));
    assert_eq!(
        kind_of(waiting.unwrap().join().unwrap()),
        ErrorKind::NotFound
    );
    let kept = seqs(&fixture.open(), retained(Start::Oldest));
    assert_eq!(kept.len() as u64, resized.messages);
    assert_eq!(kept, (201 - resized.messages..=200).collect::<Vec<_>>());
    assert_eq!(
        drain(fixture.open().tail(retained(Start::Oldest)).unwrap()).len(),
        kept.len() + 1
    );
}

/// A message that was too large for the new pool, and is overwritten before the end, is no reason to refuse, and is no
/// gap among the others.
#[test]
fn what_is_overwritten_meanwhile_counts_for_nothing() {
    let fixture = fixture();
    let pool = fixture.pool_of(128 * K);
    append(&pool, "1");
    append(&pool, &format!("\"{}\"", "x".repeat(55 * K as usize)));
    append(&pool, "3");
    let mut is_overwritten = false;
    let resized = fixture
        .client
        .resize_pool(&name(), to_size(100 * K), |done| {
            if done == 3 && !is_overwritten {
                is_overwritten = true;
                fill(&pool, 70);
            }
        });
    let resized = resized.unwrap();
    let kept = seqs(&fixture.open(), retained(Start::Oldest));
    let oldest = resized.bounds.oldest.unwrap();
    assert!(oldest > 2);
    assert_eq!(kept, (oldest..=73).collect::<Vec<_>>());
}

/// RESIZE-11: each of what four writers append, while the pool changes its size again and again, is there once.
#[test]
fn what_writers_append_during_resizes_is_there_once() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 1_000;
    let fixture = fixture();
    drop(fixture.pool_of(1024 * K));
    let acknowledged = AtomicU64::new(0);
    let reopened = AtomicU64::new(0);
    let has_begun = AtomicBool::new(false);
    let write = |writer: u64| {
        let mut pool = fixture.open();
        let mut receipts = Vec::new();
        while receipts.len() < EACH as usize {
            let number = writer * EACH + receipts.len() as u64;
            match pool.append(&number, &Tags::none(), Durability::Fast) {
                Ok(receipt) => {
                    receipts.push((receipt.first_seq, number));
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    // Half of them once there is a resize, so that there is something to happen to them.
                    while receipts.len() as u64 == EACH / 2 && !has_begun.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    reopened.fetch_add(1, Ordering::Relaxed);
                    pool = fixture.open();
                }
            }
        }
        receipts
    };
    let receipts: HashMap<u64, u64> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| scope.spawn(move || write(n)))
            .collect();
        let mut resizes = 0;
        while acknowledged.load(Ordering::Relaxed) < WRITERS * EACH || resizes < 2 {
            let size = [2048 * K, 1024 * K][resizes % 2];
            fixture.resize(to_size(size)).unwrap();
            has_begun.store(true, Ordering::Relaxed);
            resizes += 1;
        }
        let all = writers.into_iter().map(|writer| writer.join().unwrap());
        all.flatten().collect()
    });
    assert!(reopened.load(Ordering::Relaxed) >= WRITERS);
    assert_eq!(receipts.len() as u64, WRITERS * EACH);
    let pool = fixture.open();
    let mut found = HashMap::new();
    for message in pool.tail(retained(Start::Oldest)).unwrap() {
        let message = message.unwrap();
        found.insert(message.seq(), message.data_json().parse().unwrap());
    }
    assert_eq!(found, receipts);
    assert!(pool.verify().unwrap().issues.is_empty());
}
