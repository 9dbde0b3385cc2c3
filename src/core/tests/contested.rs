//! A memory on which somebody else gets in before a load.

use super::*;

/// Memory on which somebody else gets in before a load; he is told which word it is that would be loaded.
pub(super) struct Contested<'a> {
    pub(super) memory: &'a HeapMemory,
    pub(super) before_load: &'a dyn Fn(u64),
}

impl Memory for Contested<'_> {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        (self.before_load)(word);
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.memory.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.memory.persist(words)
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.memory.check(now)
    }

    fn poisoned(&self) -> bool {
        self.memory.poisoned()
    }
}

/// Appends messages of about a kilobyte to the pool in `memory`, as another process would.
pub(super) fn append_beside(memory: &HeapMemory, header: Header, count: u64) {
    let undisturbed = |_| ();
    let memory = Contested {
        memory,
        before_load: &undisturbed,
    };
    let pool = Pool::attach(memory, header);
    let mut seq = pool.newest().unwrap().seq;
    for _ in 0..count {
        seq += 1;
        let data = filler(seq);
        let entry = std::iter::once(Entry::new(b"", data.as_bytes()));
        let when = When::Now(|| 1000);
        pool.append(
            &HeapLock::default(),
            &NoBell,
            LockWait::Forever,
            entry,
            when,
        )
        .unwrap();
    }
}

/// Does something with a full pool, and again for every `stride`th load that it makes: there a writer gets in, who
/// overwrites the oldest messages.
pub(super) fn overtaken(
    index_capacity: u64,
    stride: usize,
    mut act: impl FnMut(&Pool<Contested<'_>>, Extent),
) {
    let pool = pool_with(Some(index_capacity));
    fill(&pool, 300);
    let extent = pool.extent().unwrap().unwrap();
    let image = pool.memory().to_bytes();
    let times = (0..).step_by(stride).take_while(|&after| {
        let memory = HeapMemory::from_bytes(&image);
        let loads = Cell::new(0);
        let strike = |_| {
            if loads.replace(loads.get() + 1) == after {
                append_beside(&memory, *pool.header(), 3);
            }
        };
        let memory = Contested {
            memory: &memory,
            before_load: &strike,
        };
        act(&Pool::attach(memory, *pool.header()), extent);
        loads.get() > after
    });
    let times = times.count();
    assert!(times > 20, "a writer got in {times} times only");
}

/// What a call loads from the pool's memory, in words.
pub(super) fn loads_of(pool: &Pool<HeapMemory>, call: impl FnOnce(&Pool<Contested<'_>>)) -> u64 {
    let loads = Cell::new(0);
    let count = |_| loads.set(loads.get() + 1);
    let memory = Contested {
        memory: pool.memory(),
        before_load: &count,
    };
    call(&Pool::attach(memory, *pool.header()));
    loads.get()
}
