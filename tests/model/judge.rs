//! Does one operation after the other, and holds what comes of it against the model.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use plasmite::{
    Batch, Client, CreateOptions, Durability, Error, ErrorKind, Message, Pool, PoolRef, Receipt,
    Result, Tags, TailOptions, Timestamp,
};
use proptest::sample::Index;

use crate::disk::Disk;
use crate::follower::{Follower, seq_of};
use crate::operation::{Draft, Ending, Operation, Pages, Plan, Refusal, Seq, Shape, Step};
use crate::reference::{Entry, FRAME_HEADER, Reference, Ring, Run};

/// More than any tail has to tell.
const ALL: usize = usize::MAX;

pub(crate) struct Judge {
    client: Client,
    shape: Shape,
    /// `None` only while all handles are closed.
    pool: Option<Pool>,
    second: Option<Pool>,
    /// A tail that is kept from one operation to the next.
    kept: Option<Follower>,
    reference: Reference,
    uuid: String,
    generation: u64,
    /// The file as it was when the last flush had returned.
    flushed: Vec<u8>,
    /// How many messages there ever were, of all pools.
    drafted: u64,
    _directory: tempfile::TempDir,
}

impl Judge {
    pub(crate) fn new(shape: Shape) -> Judge {
        let directory = tempfile::tempdir().unwrap();
        let client = Client::new(directory.path());
        let pool = create(&client, shape);
        let info = pool.info().unwrap();
        let mut judge = Judge {
            client,
            shape,
            reference: reference_of(&pool),
            pool: Some(pool),
            second: None,
            kept: None,
            uuid: info.uuid,
            generation: info.generation,
            flushed: Vec::new(),
            drafted: 0,
            _directory: directory,
        };
        judge.begin();
        judge
    }

    /// A pool's creation is a flush of nothing.
    fn begin(&mut self) {
        self.note_flush();
        self.kept = Some(Follower::of_everything(self.pool(), &self.reference));
    }

    pub(crate) fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Append {
                drafts,
                durability,
                second,
            } => self.append(&drafts, durability, second),
            Operation::AppendLargest { over, durability } => self.append_largest(over, durability),
            Operation::Import { drafts, durability } => self.import(&drafts, durability),
            Operation::Refuse(refusal) => self.refuse(refusal),
            Operation::Flush { second } => {
                self.handle(second).flush().unwrap();
                self.note_flush();
            }
            Operation::Get { seq, second } => self.get(seq, second),
            Operation::Tail {
                plan,
                ending,
                second,
            } => self.tail(&plan, ending, second),
            Operation::Follow(plan) => self.follow(&plan),
            Operation::Continue(most) => self.kept.as_mut().unwrap().read(&self.reference, most),
            Operation::Reopen => self.reopen(),
            Operation::Recreate(shape) => self.recreate(shape),
            Operation::LosePower(pages) => self.lose_power(&pages),
            Operation::Damage { message, byte, bit } => self.damage(message, byte, bit),
        }
    }

    fn append(&mut self, drafts: &[Draft], durability: Durability, second: bool) {
        let (batch, entries) = self.draft(drafts);
        let pool = self.handle(second);
        let appended = pool.append_batch(&batch, durability);
        self.judge_append(&batch, entries, appended, durability);
    }

    /// The only draft whose size matters to the word. [APPEND-8]
    fn append_largest(&mut self, over: bool, durability: Durability) {
        let text = Draft::plain(0).texts(self.drafted).1.len() as u64;
        let room = self.reference.max_batch() - FRAME_HEADER - text;
        let draft = Draft::plain(room as usize + usize::from(over));
        self.append(&[draft], durability, false);
    }

    fn judge_append(
        &mut self,
        batch: &Batch,
        mut entries: Vec<Entry>,
        appended: Result<Receipt>,
        durability: Durability,
    ) {
        if batch.frame_bytes() > self.reference.max_batch() {
            assert_eq!(kind_of(appended), ErrorKind::Usage);
            return;
        }
        let receipt = appended.unwrap();
        let next = self.reference.next();
        assert!(
            next.contains(&receipt.first_seq),
            "{receipt:?}, not {next:?}"
        );
        assert!(receipt.time >= self.reference.newest().time, "{receipt:?}");
        for (entry, seq) in entries.iter_mut().zip(receipt.first_seq..) {
            (entry.seq, entry.time) = (seq, receipt.time);
        }
        self.enter(entries, receipt, durability);
    }

    /// As [`append`](Judge::append), under seqs and times of the caller's.
    fn import(&mut self, drafts: &[(Draft, Step)], durability: Durability) {
        let plain: Vec<Draft> = drafts.iter().map(|(draft, _)| draft.clone()).collect();
        let (batch, mut entries) = self.draft(&plain);
        let mut least = *self.reference.next().end();
        let mut time = self.reference.newest().time.as_nanos();
        for (entry, (_, step)) in entries.iter_mut().zip(drafts) {
            time += step.nanos;
            (entry.seq, entry.time) = (least + step.seqs, Timestamp::from_nanos(time));
            least = entry.seq + 1;
        }
        let stamps: Vec<_> = entries
            .iter()
            .map(|entry| (entry.seq, entry.time))
            .collect();
        let imported = self.pool().append_batch_at(&batch, &stamps, durability);
        if batch.frame_bytes() > self.reference.max_batch() {
            assert_eq!(kind_of(imported), ErrorKind::Usage);
            return;
        }
        self.enter(entries, imported.unwrap(), durability);
    }

    fn enter(&mut self, entries: Vec<Entry>, receipt: Receipt, durability: Durability) {
        let last = &entries[entries.len() - 1];
        let expected = Receipt {
            first_seq: entries[0].seq,
            last_seq: last.seq,
            time: last.time,
            durability,
        };
        assert_eq!(receipt, expected);
        self.reference.append(entries);
        if durability == Durability::Flush {
            self.note_flush();
        }
    }

    /// What is given to the pool and what it should become. Seqs, times and positions are for others to know.
    fn draft(&mut self, drafts: &[Draft]) -> (Batch, Vec<Entry>) {
        let mut batch = Batch::new();
        let mut entries = Vec::new();
        for draft in drafts {
            let (given, stored) = draft.texts(self.drafted);
            self.drafted += 1;
            let tags = Tags::new(draft.tags());
            batch.push_json(given.as_bytes(), &tags).unwrap();
            entries.push(Entry {
                seq: 0,
                time: Timestamp::default(),
                tags: draft.tags(),
                data: stored,
                position: 0,
                ends_batch: entries.len() + 1 == drafts.len(),
            });
        }
        let bytes: u64 = entries.iter().map(Entry::size).sum();
        assert_eq!(batch.frame_bytes(), bytes);
        (batch, entries)
    }

    fn refuse(&mut self, refusal: Refusal) {
        let (batch, _) = self.draft(&[Draft::plain(5)]);
        let seq = self.reference.next().end() + 1;
        let time = self.reference.newest().time;
        let earlier = Timestamp::from_nanos(time.as_nanos() - 1);
        let fast = Durability::Fast;
        let pool = self.pool();
        let refused = match refusal {
            Refusal::Empty => pool.append_batch(&Batch::new(), Durability::Flush),
            Refusal::NotJson => pool.append_json(b"[1,", &Tags::none(), fast),
            Refusal::SeqAgain => {
                pool.append_batch_at(&batch, &[(self.reference.newest().seq, time)], fast)
            }
            Refusal::TimeGoesBack => pool.append_batch_at(&batch, &[(seq, earlier)], fast),
            Refusal::StampMissing => pool.append_batch_at(&batch, &[], fast),
        };
        assert_eq!(kind_of(refused), ErrorKind::Usage);
    }

    fn get(&mut self, seq: Seq, second: bool) {
        let pool = self.handle(second);
        self.check_get(&pool, seq_of(seq, &self.reference));
    }

    fn check_get(&self, pool: &Pool, seq: u64) {
        let expected = match self.reference.get(seq) {
            Some(_) if self.reference.damaged == Some(seq) => ErrorKind::Corrupt,
            Some(entry) => return assert_is(&pool.get(seq).unwrap(), entry),
            None => ErrorKind::NotFound,
        };
        let failed = pool.get(seq).unwrap_err();
        assert_eq!(failed.kind(), expected, "{failed:?}");
        assert_eq!(failed.seq_value(), Some(seq), "{failed:?}");
    }

    fn tail(&mut self, plan: &Plan, ending: Ending, second: bool) {
        let pool = self.handle(second);
        Follower::open(&pool, &self.reference, plan, ending).read(&self.reference, ALL);
    }

    fn follow(&mut self, plan: &Plan) {
        let follower = Follower::open(self.pool(), &self.reference, plan, Ending::Deadline);
        self.kept = Some(follower);
    }

    fn reopen(&mut self) {
        let kept = self.close();
        self.open(self.client.open_pool(&name()).unwrap(), kept);
        self.check_everything();
    }

    fn recreate(&mut self, shape: Shape) {
        let old = self.handle(true);
        self.client.delete_pool(&name()).unwrap();
        assert_eq!(kind_of(self.client.open_pool(&name())), ErrorKind::NotFound);
        let new = create(&self.client, shape);
        self.reference.is_deleted = true;
        self.kept.as_mut().unwrap().read(&self.reference, ALL);
        let appended = old.append(&1, &Tags::none(), Durability::Flush);
        assert_eq!(kind_of(appended), ErrorKind::NotFound);
        assert_eq!(kind_of(old.get(1)), ErrorKind::NotFound);
        assert_eq!(kind_of(old.info()), ErrorKind::NotFound);
        self.begin_anew(new, shape);
    }

    fn begin_anew(&mut self, pool: Pool, shape: Shape) {
        let info = pool.info().unwrap();
        assert_ne!(info.uuid, self.uuid);
        self.uuid = info.uuid;
        self.generation = info.generation;
        self.reference = reference_of(&pool);
        self.shape = shape;
        self.pool = Some(pool);
        self.second = None;
        self.begin();
    }

    fn lose_power(&mut self, pages: &Pages) {
        let now = fs::read(self.path()).unwrap();
        let flushed = std::mem::take(&mut self.flushed);
        let disk = Disk::torn(&flushed, &now, &pages.0);
        let kept = self.close();
        fs::write(self.path(), &disk.found).unwrap();
        match self.client.open_pool(&name()) {
            Ok(pool) => self.recovered(pool, kept, &disk),
            Err(error) => self.beyond_recovery(&error, &disk),
        }
    }

    fn recovered(&mut self, pool: Pool, kept: TailOptions, disk: &Disk) {
        let info = pool.info().unwrap();
        let found = self
            .reference
            .run_between(info.bounds.oldest, info.bounds.newest);
        if let Some(expected) = self.reference.run_on(disk) {
            // An empty pool has no bounds, so the genesis frame of one that is not cannot be told.
            let first = expected.first.max(usize::from(expected.last > 0));
            assert_eq!(found, Run { first, ..expected });
        }
        assert!(info.generation > self.generation);
        self.generation = info.generation;
        self.reference.cut(found, disk);
        self.open(pool, kept);
        self.note_flush();
        self.check_everything();
    }

    /// Nothing has to be left once what was flushed last was being overwritten.
    fn beyond_recovery(&mut self, error: &Error, disk: &Disk) {
        assert!(!self.reference.holds_flushed(), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(fs::read(self.path()).unwrap() == disk.found, "[CRASH-10]");
        fs::remove_file(self.path()).unwrap();
        self.begin_anew(create(&self.client, self.shape), self.shape);
    }

    fn damage(&mut self, message: Index, byte: Index, bit: u8) {
        let retained = self.reference.retained();
        if retained.is_empty() {
            return;
        }
        let entry = &retained[message.index(retained.len())];
        let seq = entry.seq;
        let ring = self.reference.ring;
        let at = entry.position
            + FRAME_HEADER
            + byte.index((entry.size() - FRAME_HEADER) as usize) as u64;
        let offset = ring.offset + at % ring.size;
        self.flip(offset, bit);
        self.reference.damaged = Some(seq);
        self.check_messages(self.pool());
        assert!(self.pool().verify().unwrap().is_corrupt());
        self.flip(offset, bit);
        self.reference.damaged = None;
        self.check_get(self.pool(), seq);
    }

    fn flip(&self, offset: u64, bit: u8) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.path())
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << bit], offset).unwrap();
    }

    /// What a pool tells of itself.
    pub(crate) fn check_info(&self) {
        for pool in self.pool.iter().chain(&self.second) {
            let info = pool.info().unwrap();
            let retained = self.reference.retained();
            let (oldest, newest) = (retained.first(), retained.last());
            let seqs = [oldest, newest].map(|entry| entry.map(|entry| entry.seq));
            assert_eq!([info.bounds.oldest, info.bounds.newest], seqs);
            assert_eq!(info.metrics.message_count, retained.len() as u64);
            let span = oldest.map_or(0, |oldest| newest.unwrap().seq - oldest.seq + 1);
            assert_eq!(info.metrics.seq_span, span);
            let used: u64 = retained.iter().map(Entry::size).sum();
            let utilization = info.metrics.utilization;
            assert_eq!(utilization.used_bytes, used);
            assert_eq!(utilization.free_bytes, self.reference.ring.size - used);
            let times = [oldest, newest].map(|entry| entry.map(|entry| entry.time));
            assert_eq!(
                [info.metrics.age.oldest_time, info.metrics.age.newest_time],
                times
            );
            assert_eq!(info.uuid, self.uuid);
            assert_eq!(info.generation, self.generation);
            assert_eq!(info.file_size, self.shape.size_bytes);
            assert_eq!(pool.max_batch_bytes(), self.reference.max_batch());
        }
    }

    /// Every message, by every handle, and every byte.
    pub(crate) fn check_everything(&mut self) {
        for pool in self.pool.iter().chain(&self.second) {
            self.check_messages(pool);
            let report = pool.verify().unwrap();
            assert!(!report.is_corrupt(), "{report:?}");
            assert_eq!(report.messages, self.reference.retained().len() as u64);
        }
        self.kept.as_mut().unwrap().read(&self.reference, ALL);
    }

    fn check_messages(&self, pool: &Pool) {
        let retained = self.reference.retained();
        for entry in retained {
            self.check_get(pool, entry.seq);
        }
        // What lies right before, and right behind.
        self.check_get(pool, retained.first().map_or(0, |oldest| oldest.seq - 1));
        self.check_get(pool, self.reference.newest().seq + 1);
        Follower::of_everything(pool, &self.reference).read(&self.reference, ALL);
    }

    fn note_flush(&mut self) {
        self.reference.flush();
        self.flushed = fs::read(self.path()).unwrap();
    }

    fn pool(&self) -> &Pool {
        self.pool.as_ref().unwrap()
    }

    /// One of the two handles. The second is opened when it is first asked for.
    fn handle(&mut self, second: bool) -> Pool {
        if !second {
            return self.pool().clone();
        }
        let open = || self.client.open_pool(&name()).unwrap();
        self.second.get_or_insert_with(open).clone()
    }

    /// Lets go of all handles, and says what the tail that was kept needs to go on.
    fn close(&mut self) -> TailOptions {
        self.pool = None;
        self.second = None;
        self.kept.take().unwrap().suspend()
    }

    fn open(&mut self, pool: Pool, kept: TailOptions) {
        self.kept = Some(Follower::with(&pool, &self.reference, kept));
        self.pool = Some(pool);
    }

    fn path(&self) -> PathBuf {
        self.client.dir().join("model.plasmite")
    }
}

pub(crate) fn assert_is(message: &Message, entry: &Entry) {
    assert_eq!(message.seq(), entry.seq);
    assert_eq!(message.time(), entry.time);
    assert_eq!(message.tags(), entry.tags);
    assert_eq!(message.tags_json(), entry.tags_json());
    assert_eq!(message.data_json(), entry.data);
}

fn create(client: &Client, shape: Shape) -> Pool {
    let options = CreateOptions {
        size_bytes: Some(shape.size_bytes),
        index_capacity: shape.index_capacity,
    };
    client.create_pool(&name(), options).unwrap()
}

fn reference_of(pool: &Pool) -> Reference {
    let info = pool.info().unwrap();
    let ring = Ring {
        offset: info.ring_offset,
        size: info.ring_size,
    };
    Reference::new(ring, info.created)
}

fn name() -> PoolRef {
    PoolRef::parse("model").unwrap()
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}
