//! What a pool costs a process that opens and follows it, whatever the pool's size.
//!
//! Guards against a reader that collects what it reads, and against an open that looks at the whole file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use plasmite::{
    Batch, Client, CreateOptions, Durability, Message, Next, Pool, PoolRef, Start, Tags,
    TailOptions,
};

use crate::ledger::open_watched;
use crate::process::{Process, in_role, role};
use crate::watched::Access;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MOST_PRIVATE: u64 = 64 * MIB;

#[test]
#[cfg(target_os = "linux")]
fn a_follower_needs_little_memory_of_its_own() {
    follow_in_another_process(
        "memory_use::a_follower_needs_little_memory_of_its_own",
        4 * MOST_PRIVATE,
    );
}

#[test]
#[ignore = "writes and reads 1 GiB, which takes an optimised build"]
#[cfg(target_os = "linux")]
fn a_follower_of_a_gibibyte_needs_little_memory_of_its_own() {
    follow_in_another_process(
        "memory_use::a_follower_of_a_gibibyte_needs_little_memory_of_its_own",
        GIB,
    );
}

#[cfg(target_os = "linux")]
fn follow_in_another_process(test: &str, size: u64) {
    if let Some(role) = role() {
        return follow(Path::new(&role[0]), size);
    }
    let (_directory, pool) = pool_of(size);
    fill(&pool, size);
    let path = pool.path().to_str().unwrap();
    let mut follower = in_role(test, &[path]);
    assert!(
        Process::start(follower.arg("--include-ignored"))
            .end()
            .success()
    );
}

/// The follower's part: reads all that is retained, by a tail and by seq.
#[cfg(target_os = "linux")]
fn follow(path: &Path, size: u64) {
    let client = Client::new("");
    let pool = client
        .open_pool_to_read(&PoolRef::Path(path.to_owned()))
        .unwrap();
    let retained = TailOptions {
        start: Start::Oldest,
        follow: false,
        ..TailOptions::default()
    };
    let mut tail = pool.tail(retained).unwrap();
    let mut message = Message::default();
    let mut bytes = 0;
    while tail.read(&mut message).unwrap() == Next::Message {
        bytes += message.data_json().len() as u64;
        if message.seq() % 1000 == 0 {
            pool.get(message.seq()).unwrap();
        }
    }
    assert!(bytes > size / 10 * 9, "only {bytes} bytes were read");
    let private = private_bytes(path);
    assert!(private < MOST_PRIVATE, "{private} bytes are private");
}

/// The memory that only this process uses. What it has mapped of the pool's file is the system's page cache, which
/// counts as private while nobody else has mapped it as well, so it is left out.
#[cfg(target_os = "linux")]
fn private_bytes(pool: &Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_pool = false;
    let mut kilobytes = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            is_pool = line.ends_with(pool.to_str().unwrap());
        } else if first.starts_with("Private_") && !is_pool {
            kilobytes += words.next().unwrap().parse::<u64>().unwrap();
        }
    }
    assert!(kilobytes > 0, "smaps says nothing of private memory");
    kilobytes * 1024
}

#[test]
fn opening_looks_at_as_little_of_a_large_pool_as_of_a_small_one() {
    let touched = [MIB, GIB].map(|size| {
        let (_directory, pool) = pool_of(size);
        fill(&pool, MIB * 3);
        pages_touched_by_opening(pool.path())
    });
    assert_eq!(touched[0].len(), touched[1].len(), "{touched:?}");
    // The header, and the newest frame's.
    assert!((2..=3).contains(&touched[0].len()), "{touched:?}");
}

/// The pages of the file that are looked at before the pool can be used.
fn pages_touched_by_opening(path: &Path) -> BTreeSet<u64> {
    let pages = RefCell::new(BTreeSet::new());
    let watching = open_watched(path, |access| {
        if let Access::Load(word) | Access::Store(word) = access {
            pages.borrow_mut().insert(word * 8 / 4096);
        }
    });
    drop(watching);
    pages.into_inner()
}

fn pool_of(size: u64) -> (tempfile::TempDir, Pool) {
    let directory = tempfile::tempdir().unwrap();
    let options = CreateOptions {
        size_bytes: Some(size),
        index_capacity: None,
    };
    let path: PathBuf = directory.path().join("pool.plasmite");
    let pool = Client::new("").create_pool(&PoolRef::Path(path), options);
    (directory, pool.unwrap())
}

/// Appends so many bytes, or a little more.
fn fill(pool: &Pool, bytes: u64) {
    let text = format!("\"{}\"", "x".repeat(10_000));
    let mut batch = Batch::new();
    while batch.frame_bytes() < pool.max_batch_bytes().min(8 * MIB) - 20_000 {
        batch.push_json(text.as_bytes(), &Tags::none()).unwrap();
    }
    for _ in 0..bytes / batch.frame_bytes() + 1 {
        pool.append_batch(&batch, Durability::Fast).unwrap();
    }
}
