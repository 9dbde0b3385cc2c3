//! Marks of pools that go.

use super::waking::Bedside;
use super::*;

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_mark_that_no_deletion_stores_is_corrupt_and_no_deletion() {
    let pool = pool_with(None);
    fill(&pool, 3);
    for bit in 0..64 {
        for mark in [0, DELETED_MARK].map(|mark| mark ^ 1 << bit) {
            pool.memory().store(DELETED / WORD, mark, Relaxed);
            let image = HeapMemory::from_bytes(&pool.memory().to_bytes());
            for boot in [BOOT_NOW, BOOT_NOW + 1] {
                let image = HeapMemory::from_bytes(&image.to_bytes());
                let error = open(image, boot).map(drop).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{mark:#x}");
                assert_eq!(error.offset_value(), Some(DELETED));
            }
            let refused = pool.check_deleted().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt);
            let report = pool.verify(|| u64::MAX).unwrap();
            let [issue] = &report.issues[..] else {
                panic!("{report:?}")
            };
            let found = (issue.code, issue.offset, report.messages);
            assert_eq!(found, (IssueCode::Control, Some(DELETED), 3));
        }
    }
}

#[test]
fn a_deletion_that_fails_leaves_the_mark_as_it_was() {
    let pool = pool_with(None);
    for mark in [0, 1, DELETED_MARK] {
        pool.memory().store(DELETED / WORD, mark, Relaxed);
        let lock = HeapLock::default();
        let failed = delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || {
            assert_eq!(pool.memory().load(DELETED / WORD, Relaxed), DELETED_MARK);
            Err(Error::new(ErrorKind::Permission, "not allowed"))
        });
        assert!(failed.is_err());
        assert_eq!(pool.memory().load(DELETED / WORD, Relaxed), mark);
    }
}

#[test]
fn a_deleted_pool_takes_nothing_more() {
    let pool = pool_with(None);
    let lock = HeapLock::default();
    let refused = delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || {
        Err(Error::new(ErrorKind::Io, "no"))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io);
    append(&pool, &["1"]);
    delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || Ok(())).unwrap();
    let entry = std::iter::once(Entry::new(b"", b"2"));
    let error = pool
        .append(&lock, &NoBell, LockWait::Forever, entry, When::Now(|| 1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // A deletion that was killed half-way can be finished.
    delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || Ok(())).unwrap();
}

#[test]
fn a_pool_says_whether_it_is_deleted_and_only_a_pool_does() {
    let pool = pool_with(None);
    let lock = HeapLock::default();
    assert!(!is_deleted(pool.memory()).unwrap());
    delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || Ok(())).unwrap();
    assert!(is_deleted(pool.memory()).unwrap());
    assert_eq!(
        pool.check_deleted().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(pool.verify(|| 0).unwrap_err().kind(), ErrorKind::NotFound);
    let foreign = HeapMemory::new(MIN_FILE_SIZE);
    assert_eq!(is_deleted(&foreign).unwrap_err().kind(), ErrorKind::Corrupt);
    let unlink = || panic!("this is no pool");
    let refused = delete(&foreign, &lock, &NoBell, LockWait::Forever, unlink);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// SWAP-2, SWAP-7
#[test]
fn a_pool_that_was_replaced_wakes_its_sleepers() {
    let pool = pool_with(None);
    let (lock, bell) = (HeapLock::default(), Bedside::default());
    bell.set_flag(true);
    let is_marked = || is_deleted(pool.memory()).unwrap();
    let failed = pool.replace(&lock, &bell, LockWait::Forever, || {
        Err::<(), _>(Error::new(ErrorKind::Io, "no"))
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Io);
    assert!(!is_marked() && bell.wakes.get() == 0);
    let replaced = pool.replace(&lock, &bell, LockWait::Forever, || {
        assert!(!is_marked());
        Ok(7)
    });
    assert_eq!(replaced.unwrap(), 7);
    assert!(is_marked() && bell.wakes.get() == 1);
    let again = pool.replace(&lock, &bell, LockWait::Forever, || Ok(()));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
}

/// RESIZE-2
#[test]
fn a_successor_gives_out_no_seq_that_may_have_been_seen() {
    let pool = pool_with(None);
    fill(&pool, 3);
    pool.store_seq_floor(20);
    pool.memory().store(GENERATION / WORD, 4, Relaxed);
    let successor = pool_with(None);
    fill(&successor, 3);
    successor.inherit(&pool);
    assert_eq!(append(&successor, &["1"]).first_seq, 21);
    assert_eq!(successor.generation(), 4);
}
