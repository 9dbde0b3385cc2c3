//! Handles that threads and processes share, and whose pool or lock is gone.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use plasmite::{Durability, ErrorKind, Message, Next, PoolRef, Start, Tags, TailOptions};

use crate::support::{append, fixture, kind_of, name};

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
