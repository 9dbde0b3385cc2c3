//! Pools that are made, listed, described and deleted.

use std::thread;

use plasmite::{CreateOptions, Durability, ErrorKind, PoolRef, Tags};

use crate::support::{append, fill, fixture, kind_of, name};

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
