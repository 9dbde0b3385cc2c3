//! The Rust API, held against `spec/api/v0`. Each test names the clauses that it is about.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use plasmite::{
    Batch, Client, CreateOptions, Durability, EndReason, ErrorKind, Gap, GapPolicy, Message, Next,
    Pool, PoolRef, Start, Tags, Tail, TailOptions, Timestamp,
};

struct Fixture {
    client: Client,
    _dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    Fixture {
        client: Client::new(dir.path().join("pools")),
        _dir: dir,
    }
}

impl Fixture {
    fn pool(&self) -> Pool {
        self.pool_of(64 * 1024)
    }

    fn pool_of(&self, size: u64) -> Pool {
        let options = CreateOptions {
            size_bytes: Some(size),
            ..CreateOptions::default()
        };
        self.client.create_pool(&name(), options).unwrap()
    }
}

fn name() -> PoolRef {
    PoolRef::parse("events").unwrap()
}

fn append(pool: &Pool, data: &str) -> u64 {
    pool.append_json(data.as_bytes(), &Tags::none(), Durability::Fast)
        .unwrap()
        .first_seq
}

/// Appends `count` messages of about a kilobyte each, `[n, "xxx..."]`.
fn fill(pool: &Pool, count: u64) {
    let next = pool.bounds().unwrap().newest.unwrap_or(0) + 1;
    for n in next..next + count {
        pool.append(&(n, "x".repeat(1000)), &Tags::none(), Durability::Fast)
            .unwrap();
    }
}

fn retained(start: Start) -> TailOptions {
    TailOptions {
        start,
        follow: false,
        ..TailOptions::default()
    }
}

/// Reads a tail to its end: each step, with the seq where it is a message.
fn drain(mut tail: Tail) -> Vec<(u64, Next)> {
    let mut message = Message::default();
    let mut steps = Vec::new();
    loop {
        let next = tail.read(&mut message).unwrap();
        let seq = if next == Next::Message {
            message.seq()
        } else {
            0
        };
        steps.push((seq, next));
        if matches!(next, Next::End(_)) {
            return steps;
        }
    }
}

fn seqs(pool: &Pool, options: TailOptions) -> Vec<u64> {
    drain(pool.tail(options).unwrap())
        .into_iter()
        .map(|(seq, _)| seq)
        .filter(|seq| *seq != 0)
        .collect()
}

fn kind_of<T: std::fmt::Debug>(result: plasmite::Result<T>) -> ErrorKind {
    let error = result.unwrap_err();
    assert!(error.hint_text().is_some(), "{error:?} has no hint");
    error.kind()
}

/// API-1, API-2, API-6, API-8
#[test]
fn pools_are_made_listed_and_deleted() {
    let fixture = fixture();
    assert!(fixture.client.list_pools().unwrap().is_empty());
    assert!(!fixture.client.dir().exists());
    let pool = fixture.pool();
    append(&pool, "1");
    let list = fixture.client.list_pools().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].name.as_str(), list[0].file_size),
        ("events", 65_536)
    );
    assert_eq!(list[0].bounds.as_ref().unwrap().newest, Some(1));
    assert_eq!(
        kind_of(
            fixture
                .client
                .create_pool(&name(), CreateOptions::default())
        ),
        ErrorKind::AlreadyExists
    );
    assert_eq!(pool.get(1).unwrap().data_json(), "1");
    assert_eq!(fixture.client.delete_pool(&name()).unwrap(), pool.path());
    assert_eq!(
        kind_of(fixture.client.delete_pool(&name())),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind_of(fixture.client.open_pool(&name())),
        ErrorKind::NotFound
    );
}

/// HANDLE-12
#[test]
fn a_handle_to_a_deleted_pool_says_so() {
    let fixture = fixture();
    let pool = fixture.pool();
    append(&pool, "1");
    let tail = pool.tail(TailOptions::default()).unwrap();
    fixture.client.delete_pool(&name()).unwrap();
    assert_eq!(
        kind_of(pool.append_json(b"2", &Tags::none(), Durability::Fast)),
        ErrorKind::NotFound
    );
    assert_eq!(kind_of(pool.get(1)), ErrorKind::NotFound);
    assert_eq!(kind_of(pool.info()), ErrorKind::NotFound);
    let outcomes: Vec<_> = tail
        .map(|item| item.map_err(|error| error.kind()).map(|m| m.seq()))
        .collect();
    assert_eq!(outcomes, [Err(ErrorKind::NotFound)]);
}

/// API-7, API-9
#[test]
fn an_unreadable_pool_does_not_hide_the_others() {
    let fixture = fixture();
    fixture.pool();
    std::fs::write(fixture.client.dir().join("broken.plasmite"), "not a pool").unwrap();
    std::fs::write(fixture.client.dir().join("notes.txt"), "not one either").unwrap();
    let list = fixture.client.list_pools().unwrap();
    let shown: Vec<_> = list
        .iter()
        .map(|entry| (entry.name.as_str(), entry.bounds.is_ok()))
        .collect();
    assert_eq!(shown, [("broken", false), ("events", true)]);
    let report = fixture
        .client
        .verify_pool(&PoolRef::parse("broken").unwrap())
        .unwrap();
    assert!(report.is_corrupt());
    assert_eq!(
        kind_of(fixture.client.verify_pool(&PoolRef::parse("none").unwrap())),
        ErrorKind::NotFound
    );
}

/// Opens as `Corrupt` what has been a pool, and is deleted all the same.
#[test]
fn a_damaged_pool_can_be_deleted() {
    let fixture = fixture();
    let path = fixture.pool().path().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(
        kind_of(fixture.client.open_pool(&name())),
        ErrorKind::Corrupt
    );
    fixture.client.delete_pool(&name()).unwrap();
    std::fs::write(&path, "something else").unwrap();
    assert!(fixture.client.delete_pool(&name()).is_err());
    assert!(path.exists());
}

/// API-15, DELETE-9, DELETE-10
#[test]
fn only_a_pool_of_one_name_is_deleted_and_only_by_that() {
    let fixture = fixture();
    let pool = fixture.pool();
    let at = |name: &str| fixture.client.dir().join(format!("{name}.plasmite"));
    let delete = |name: &str| fixture.client.delete_pool(&PoolRef::parse(name).unwrap());
    std::os::unix::fs::symlink(pool.path(), at("link")).unwrap();
    let error = delete("link").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let real = pool.path().canonicalize().unwrap();
    let hint = error.hint_text().unwrap().to_owned();
    assert!(hint.contains(real.to_str().unwrap()), "{hint}");

    std::fs::hard_link(pool.path(), at("twin")).unwrap();
    for name in ["events", "twin"] {
        let error = delete(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name}");
        assert!(
            error.hint_text().unwrap().contains("-samefile"),
            "{error:?}"
        );
        append(&pool, "1");
    }
    std::fs::remove_file(at("twin")).unwrap();
    assert!(at("link").exists());
    assert_eq!(delete("events").unwrap(), pool.path());
    assert_eq!(
        kind_of(pool.append(&1, &Tags::none(), Durability::Fast)),
        ErrorKind::NotFound
    );
}

/// API-15, DELETE-11, DELETE-12: what a deleter leaves that is killed half-way.
#[test]
fn a_deletion_that_was_begun_can_be_finished_under_every_name() {
    let fixture = fixture();
    let path = fixture.pool().path().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[704..712].copy_from_slice(b"deleted!");
    std::fs::write(&path, &bytes).unwrap();
    std::fs::hard_link(&path, path.with_file_name("twin.plasmite")).unwrap();

    let list = fixture.client.list_pools().unwrap();
    assert_eq!(list.len(), 2);
    for name in ["events", "twin"].map(|name| PoolRef::parse(name).unwrap()) {
        let errors = [
            fixture.client.open_pool(&name).map(drop).unwrap_err(),
            fixture
                .client
                .open_pool_to_read(&name)
                .map(drop)
                .unwrap_err(),
            fixture.client.verify_pool(&name).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().contains("still there"), "{error}");
            let command = format!("`plasmite pool delete {name}`");
            assert!(error.hint_text().unwrap().contains(&command), "{error:?}");
        }
        fixture.client.delete_pool(&name).unwrap();
    }
    assert!(fixture.client.list_pools().unwrap().is_empty());
}

/// API-6, API-16, LIST-2, LIST-10: pools that come and go under the eyes of who lists them.
#[test]
fn a_pool_that_goes_away_is_no_error_to_who_looks_at_all() {
    let fixture = fixture();
    let stays = fixture.pool();
    append(&stays, "1");
    let client = &fixture.client;
    let comes_and_goes = PoolRef::parse("a").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let is_found = |error: plasmite::Error| {
        // Between the mark and the removal of the name.
        let (kind, message) = (error.kind(), error.message());
        assert!(
            kind == ErrorKind::NotFound && message.contains("still there"),
            "{error}"
        );
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let options = CreateOptions {
                    size_bytes: Some(64 * 1024),
                    ..CreateOptions::default()
                };
                client.create_pool(&comes_and_goes, options).unwrap();
                client.delete_pool(&comes_and_goes).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let mut names = Vec::new();
            for entry in client.list_pools().unwrap() {
                names.push(entry.name);
                entry.bounds.map_or_else(is_found, drop);
            }
            assert!(names == ["events"] || names == ["a", "events"], "{names:?}");
            for (_, report) in client.verify_pools().unwrap() {
                report.map_or_else(is_found, |report| assert!(!report.is_corrupt()));
            }
        }
    });
}

/// MSG: what goes in comes out to the byte, but for white space outside strings.
#[test]
fn json_survives_to_the_byte() {
    let fixture = fixture();
    let pool = fixture.pool();
    let digits = "9".repeat(400);
    for (text, stored) in [
        (
            r#" { "b" : 1 , "a" : 2 , "b" : 3 } "#,
            r#"{"b":1,"a":2,"b":3}"#,
        ),
        ("1.50e+03", "1.50e+03"),
        (digits.as_str(), digits.as_str()),
        (r#""\u00e9 é \ud800 a  b""#, r#""\u00e9 é \ud800 a  b""#),
        ("\n[\n]\n", "[]"),
    ] {
        let seq = append(&pool, text);
        let message = pool.get(seq).unwrap();
        assert_eq!(message.data_json(), stored);
        let mut line = Vec::new();
        message.write_envelope(&mut line);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            format!(
                r#"{{"seq":{seq},"time":"{}","meta":{{"tags":[]}},"data":{stored}}}"#,
                message.time()
            )
        );
        assert_eq!(serde_json::to_string(&message).unwrap(), line);
    }
}

/// APPEND-1, APPEND-3, APPEND-7, APPEND-8, APPEND-10
#[test]
fn what_cannot_be_appended_is_usage_and_leaves_no_trace() {
    let fixture = fixture();
    let pool = fixture.pool();
    let deep = "[".repeat(101) + &"]".repeat(101);
    for bad in ["", "{", "1 2", "nul", "\"\u{1}\"", deep.as_str()] {
        assert_eq!(
            kind_of(pool.append_json(bad.as_bytes(), &Tags::none(), Durability::Fast)),
            ErrorKind::Usage,
            "{bad}"
        );
    }
    assert_eq!(
        kind_of(pool.append_json(b"\"\xff\"", &Tags::none(), Durability::Fast)),
        ErrorKind::Usage
    );
    let unnamed = std::collections::BTreeMap::from([(vec![1], 1)]);
    assert_eq!(
        kind_of(pool.append(&unnamed, &Tags::none(), Durability::Fast)),
        ErrorKind::Usage
    );
    assert_eq!(
        kind_of(pool.append_batch(&Batch::new(), Durability::Fast)),
        ErrorKind::Usage
    );

    let room = pool.max_batch_bytes() as usize - 48 - 2;
    let mut batch = Batch::new();
    batch.push(&"x".repeat(room + 1), &Tags::none()).unwrap();
    assert!(batch.frame_bytes() > pool.max_batch_bytes());
    let error = pool.append_batch(&batch, Durability::Fast).unwrap_err();
    assert!(
        error
            .message()
            .contains(&pool.max_batch_bytes().to_string()),
        "{error}"
    );
    batch.clear();
    batch.push(&"x".repeat(room), &Tags::none()).unwrap();
    assert_eq!(batch.frame_bytes(), pool.max_batch_bytes());
    assert_eq!(
        pool.append_batch(&batch, Durability::Fast)
            .unwrap()
            .first_seq,
        1
    );
    assert_eq!(pool.get(1).unwrap().data_json().len(), room + 2);
}

/// APPEND-6, APPEND-11, STAMP-1 to STAMP-7, LOSS-1
#[test]
fn stamps_are_kept_and_their_holes_are_gaps() {
    let fixture = fixture();
    let pool = fixture.pool();
    let mut batch = Batch::new();
    for n in 0..3 {
        batch.push(&n, &Tags::none()).unwrap();
    }
    let at = Timestamp::from_nanos;
    let now = Timestamp::now().as_nanos();
    let stamps = [(2, at(now)), (5, at(now)), (6, at(now + 1))];
    let receipt = pool
        .append_batch_at(&batch, &stamps, Durability::Flush)
        .unwrap();
    assert_eq!(
        (receipt.first_seq, receipt.last_seq, receipt.time),
        (2, 6, at(now + 1))
    );
    assert_eq!(receipt.durability, Durability::Flush);
    assert_eq!(pool.get(5).unwrap().time(), at(now));
    assert_eq!(kind_of(pool.get(4)), ErrorKind::NotFound);
    let gap = |first, last| (0, Next::Gap(Gap { first, last }));
    let message = |seq| (seq, Next::Message);
    assert_eq!(
        drain(pool.tail(retained(Start::Seq(1))).unwrap()),
        [
            gap(1, 1),
            message(2),
            gap(3, 4),
            message(5),
            message(6),
            (0, Next::End(EndReason::CaughtUp))
        ]
    );
    for bad in [
        [(6, at(now + 1)); 3],
        [(7, at(now)), (8, at(now)), (9, at(now))],
    ] {
        assert_eq!(
            kind_of(pool.append_batch_at(&batch, &bad, Durability::Fast)),
            ErrorKind::Usage
        );
    }
    assert_eq!(
        kind_of(pool.append_batch_at(&batch, &stamps[..2], Durability::Fast)),
        ErrorKind::Usage
    );
    assert_eq!(append(&pool, "0"), 7);
}

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

/// HANDLE-2, HANDLE-3, TAIL-7, TAIL-12: many threads, each reader sees everything once and in order.
#[test]
fn threads_share_a_handle() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 300;
    let fixture = fixture();
    let pool = fixture.pool_of(4 << 20);
    let barrier = Barrier::new(WRITERS as usize + 3);
    thread::scope(|scope| {
        let readers: Vec<_> = [true, false, true]
            .map(|notify| {
                let max = Some(WRITERS * EACH);
                let options = TailOptions {
                    start: Start::Oldest,
                    notify,
                    max,
                    ..TailOptions::default()
                };
                let tail = pool.tail(options).unwrap();
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    tail.map(|message| message.unwrap().decode::<(u64, u64)>().unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .into();
        for writer in 0..WRITERS {
            let (pool, barrier) = (pool.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..EACH {
                    pool.append(&(writer, n), &Tags::none(), Durability::Fast)
                        .unwrap();
                }
            });
        }
        let seen: Vec<_> = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(
            seen[0].iter().collect::<BTreeSet<_>>().len() as u64,
            WRITERS * EACH
        );
        for writer in 0..WRITERS {
            let own = seen[0]
                .iter()
                .filter(|(w, _)| *w == writer)
                .map(|(_, n)| *n);
            assert!(own.eq(0..EACH));
        }
    });
}

/// HANDLE-7, HANDLE-9: a lock that is held elsewhere is waited for no longer than asked.
#[test]
fn a_lock_that_is_not_had_in_time_is_busy() {
    let fixture = fixture();
    let pool = fixture.pool();
    let holder = std::fs::File::open(pool.path()).unwrap();
    fs2::FileExt::lock_exclusive(&holder).unwrap();
    let impatient = pool.with_lock_timeout(Duration::ZERO);
    assert_eq!(
        kind_of(impatient.append_json(b"1", &Tags::none(), Durability::Fast)),
        ErrorKind::Busy
    );
    assert_eq!(pool.bounds().unwrap().newest, None);
    fs2::FileExt::unlock(&holder).unwrap();
    assert_eq!(
        impatient
            .append_json(b"1", &Tags::none(), Durability::Fast)
            .unwrap()
            .first_seq,
        1
    );
}

/// DUR-4, DUR-7
#[test]
fn a_flush_covers_what_others_appended() {
    let fixture = fixture();
    let pool = fixture.pool();
    let other = fixture.client.open_pool(&name()).unwrap();
    fill(&pool, 3);
    other.flush().unwrap();
    other.flush().unwrap();
    assert_eq!(Durability::default(), Durability::Fast);
    let receipt = pool.append(&1, &Tags::none(), Durability::Flush).unwrap();
    assert_eq!(
        (receipt.first_seq, receipt.durability),
        (4, Durability::Flush)
    );
}

/// The shape of PoolInfo, and what is in it.
#[test]
fn info_describes_the_pool() {
    let fixture = fixture();
    let pool = fixture.pool();
    let empty = serde_json::to_value(pool.info().unwrap()).unwrap();
    assert_eq!(empty["bounds"], serde_json::json!({}));
    assert_eq!(empty["metrics"]["message_count"], 0);
    let utilization = &empty["metrics"]["utilization"];
    assert_eq!(utilization["used_bytes"], 0);
    assert_eq!(utilization["free_bytes"], empty["ring_size"]);
    assert_eq!(utilization["used_percent"], 0.0);
    append(&pool, "1");
    let used = pool.info().unwrap().metrics.utilization.used_bytes;
    assert_eq!(used, 48 + 8);
    fill(&pool, 99);
    let info = pool.info().unwrap();
    let oldest = info.bounds.oldest.unwrap();
    assert_eq!(info.metrics.message_count, 100 - oldest + 1);
    assert_eq!(info.metrics.seq_span, info.metrics.message_count);
    let (used, free) = (
        info.metrics.utilization.used_bytes,
        info.metrics.utilization.free_bytes,
    );
    assert_eq!(used + free, info.ring_size);
    assert!(info.metrics.utilization.used_percent > 90.0);
    assert_eq!(
        (info.name.as_str(), info.format_version, info.generation),
        ("events", 4, 0)
    );
    assert_eq!(info.uuid.len(), 36);
}

/// A clock that was set back repeats the newest time, and says so.
#[test]
fn a_clock_behind_the_newest_message_is_told() {
    let fixture = fixture();
    let pool = fixture.pool();
    let mut batch = Batch::new();
    batch.push(&0, &Tags::none()).unwrap();
    let ahead = Timestamp::from_nanos(Timestamp::now().as_nanos() + 3_600_000_000_000);
    pool.append_batch_at(&batch, &[(1, ahead)], Durability::Fast)
        .unwrap();
    assert_eq!(
        pool.append(&1, &Tags::none(), Durability::Fast)
            .unwrap()
            .time,
        ahead
    );
    assert!(pool.info().unwrap().metrics.age.clock_behind_ms.unwrap() > 3_500_000);
    let report = pool.verify().unwrap();
    assert!(!report.is_corrupt());
    assert_eq!(report.issues.len(), 1);
}

/// HANDLE-5: a reader of a pool that is due to be recovered does not wait for who holds its lock.
#[test]
fn a_reader_waits_for_nobody_also_where_a_recovery_is_due() {
    let fixture = fixture();
    let path = fixture.pool().path().to_owned();
    append(&fixture.client.open_pool(&name()).unwrap(), "1");
    // A copy is another file, so its control words are not trusted.
    let copy = path.with_file_name("copy.plasmite");
    std::fs::copy(&path, &copy).unwrap();
    let copied = PoolRef::parse("copy").unwrap();
    let holder = std::fs::File::open(&copy).unwrap();
    fs2::FileExt::lock_exclusive(&holder).unwrap();
    let reader = fixture.client.open_pool_to_read(&copied).unwrap();
    assert_eq!(reader.get(1).unwrap().data_json(), "1");
    assert_eq!(
        kind_of(reader.append_json(b"2", &Tags::none(), Durability::Fast)),
        ErrorKind::Permission
    );
    let mut tail = reader.tail(TailOptions::default()).unwrap();
    fs2::FileExt::unlock(&holder).unwrap();
    let writer = fixture.client.open_pool(&copied).unwrap();
    assert_eq!(writer.info().unwrap().generation, 1);
    assert_eq!(append(&writer, "2"), 2);
    // The reader goes on with what the writer recovered.
    let mut message = Message::default();
    assert_eq!(tail.read(&mut message).unwrap(), Next::Message);
    assert_eq!(message.seq(), 2);
}
