//! Pools out into archives and back, by the library alone.

use std::io::{self, Write};

use plasmite::{
    Batch, Bounds, Durability, ErrorKind, ImportOptions, Pool, PoolRef, Start, Tags, Timestamp,
};

use crate::support::{append, drain, fill, fixture, name, retained};

fn copy() -> PoolRef {
    PoolRef::parse("copy").unwrap()
}

fn archive_of(pool: &Pool) -> Vec<u8> {
    let mut archive = Vec::new();
    pool.export(&mut archive, |_| {}).unwrap();
    archive
}

/// Takes the first piece of an archive, and does something then.
struct Midway<F: FnMut()> {
    archive: Vec<u8>,
    then: F,
}

impl<F: FnMut()> Write for Midway<F> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.archive.is_empty() {
            (self.then)();
        }
        self.archive.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// EXPORT-4, IMPORT-1: at the start, in the middle, and at the end of a pool that has lost its oldest messages.
#[test]
fn holes_and_times_are_kept() {
    let fixture = fixture();
    let pool = fixture.pool();
    let start = Timestamp::now().as_nanos();
    for (seq, time) in [(7, 1), (8, 1), (20, 1), (21, 9), (40, 9)] {
        let mut batch = Batch::new();
        batch.push(&seq, &Tags::new(["t"])).unwrap();
        let stamp = (seq, Timestamp::from_nanos(start + time));
        pool.append_batch_at(&batch, &[stamp], Durability::Fast)
            .unwrap();
    }
    let mut told = Vec::new();
    let mut archive = Vec::new();
    let exported = pool.export(&mut archive, |done| told.push(done)).unwrap();
    assert_eq!(told, [1, 2, 3, 4, 5]);
    assert_eq!(
        (exported.messages, exported.bytes),
        (5, archive.len() as u64)
    );
    let mut told = Vec::new();
    let (imported, summary) = fixture
        .client
        .import_pool(&copy(), &archive[..], ImportOptions::default(), |done| {
            told.push(done)
        })
        .unwrap();
    assert_eq!(told, [1, 2, 3, 4, 5]);
    assert_eq!((summary.messages, summary.dropped), (5, None));
    let bounds = Bounds {
        oldest: Some(7),
        newest: Some(40),
    };
    assert_eq!((summary.bounds, exported.bounds), (bounds, bounds));
    let all = |pool: &Pool| drain(pool.tail(retained(Start::Seq(1))).unwrap());
    assert_eq!(format!("{:?}", all(&imported)), format!("{:?}", all(&pool)));
    assert_eq!(archive_of(&imported), archive);
    assert_eq!(append(&imported, "1"), 41);
}

/// EXPORT-3: with a hole just where the export goes on, which must not pass for what was lost.
#[test]
fn an_export_that_is_lapped_in_the_middle_ends_with_what_is_missing() {
    let fixture = fixture();
    let pool = fixture.pool_of(256 * 1024);
    fill(&pool, 200);
    let writer = pool.clone();
    let mut out = Midway {
        archive: Vec::new(),
        then: move || {
            let mut batch = Batch::new();
            batch.push(&"behind a hole", &Tags::none()).unwrap();
            let now = Timestamp::now();
            writer
                .append_batch_at(&batch, &[(500, now)], Durability::Fast)
                .unwrap();
            fill(&writer, 200);
        },
    };
    let error = pool.export(&mut out, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RetentionGap);
    let written = out.archive.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert!(
        error
            .seq_value()
            .is_some_and(|seq| seq >= written && seq <= 200),
        "{error:?}"
    );
    let refused =
        fixture
            .client
            .import_pool(&copy(), &out.archive[..], ImportOptions::default(), |_| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// EXPORT-1
#[test]
fn what_is_appended_meanwhile_is_not_exported() {
    let fixture = fixture();
    let pool = fixture.pool_of(1024 * 1024);
    fill(&pool, 100);
    let writer = pool.clone();
    let mut out = Midway {
        archive: Vec::new(),
        then: move || fill(&writer, 100),
    };
    let exported = pool.export(&mut out, |_| {}).unwrap();
    assert_eq!(exported.bounds.newest, Some(100));
    let (imported, _) = fixture
        .client
        .import_pool(&copy(), &out.archive[..], ImportOptions::default(), |_| {})
        .unwrap();
    assert_eq!(imported.bounds().unwrap().newest, Some(100));
}

/// IMPORT-4: whoever takes the name while the archive is read keeps it.
#[test]
fn a_name_that_is_taken_during_the_import_stays_as_it_is() {
    let fixture = fixture();
    let pool = fixture.pool();
    fill(&pool, 10);
    let archive = archive_of(&pool);
    let take = |done| {
        let there = fixture.client.open_pool(&copy()).is_ok();
        assert_eq!(there, done > 5);
        if done == 5 {
            fixture
                .client
                .create_pool(&copy(), Default::default())
                .unwrap();
        }
    };
    let refused = fixture
        .client
        .import_pool(&copy(), &archive[..], ImportOptions::default(), take);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let other = fixture.client.open_pool(&copy()).unwrap();
    assert_eq!(other.bounds().unwrap(), Bounds::default());
    assert_eq!(fixture.client.list_pools().unwrap().len(), 2);
}

/// IMPORT-17: what cannot be written, or read, is the caller's and says so.
#[test]
fn a_writer_or_a_reader_that_fails_is_io() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let fixture = fixture();
    let pool = fixture.pool();
    assert_eq!(
        pool.export(&mut Broken, |_| {}).unwrap_err().kind(),
        ErrorKind::Io
    );
    let archive = archive_of(&pool);
    let input = io::Read::chain(&archive[..archive.len() - 1], Broken);
    let refused = fixture
        .client
        .import_pool(&copy(), input, ImportOptions::default(), |_| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io);
    assert!(fixture.client.open_pool(&name()).is_ok());
    assert!(fixture.client.open_pool(&copy()).is_err());
}
