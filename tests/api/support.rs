//! Pools of a directory of their own, and short ways to fill and to read them.

use plasmite::{
    Client, CreateOptions, Durability, ErrorKind, Message, Next, Pool, PoolRef, Start, Tags, Tail,
    TailOptions,
};

pub(crate) struct Fixture {
    pub(crate) client: Client,
    _dir: tempfile::TempDir,
}

pub(crate) fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    Fixture {
        client: Client::new(dir.path().join("pools")),
        _dir: dir,
    }
}

impl Fixture {
    pub(crate) fn pool(&self) -> Pool {
        self.pool_of(64 * 1024)
    }

    pub(crate) fn pool_of(&self, size: u64) -> Pool {
        let options = CreateOptions {
            size_bytes: Some(size),
            ..CreateOptions::default()
        };
        self.client.create_pool(&name(), options).unwrap()
    }
}

pub(crate) fn name() -> PoolRef {
    PoolRef::parse("events").unwrap()
}

pub(crate) fn append(pool: &Pool, data: &str) -> u64 {
    pool.append_json(data.as_bytes(), &Tags::none(), Durability::Fast)
        .unwrap()
        .first_seq
}

/// Appends `count` messages of about a kilobyte each, `[n, "xxx..."]`.
pub(crate) fn fill(pool: &Pool, count: u64) {
    let next = pool.bounds().unwrap().newest.unwrap_or(0) + 1;
    for n in next..next + count {
        pool.append(&(n, "x".repeat(1000)), &Tags::none(), Durability::Fast)
            .unwrap();
    }
}

pub(crate) fn retained(start: Start) -> TailOptions {
    TailOptions {
        start,
        follow: false,
        ..TailOptions::default()
    }
}

/// Reads a tail to its end: each step, with the seq where it is a message.
pub(crate) fn drain(mut tail: Tail) -> Vec<(u64, Next)> {
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

pub(crate) fn seqs(pool: &Pool, options: TailOptions) -> Vec<u64> {
    drain(pool.tail(options).unwrap())
        .into_iter()
        .map(|(seq, _)| seq)
        .filter(|seq| *seq != 0)
        .collect()
}

pub(crate) fn kind_of<T: std::fmt::Debug>(result: plasmite::Result<T>) -> ErrorKind {
    let error = result.unwrap_err();
    assert!(error.hint_text().is_some(), "{error:?} has no hint");
    error.kind()
}
