//! A writer: appends until it is killed or fails for good, and writes down each append before and after.

use std::path::Path;
use std::time::Duration;

use plasmite::core::append::{Appended, When};
use plasmite::core::frame::Entry;
use plasmite::core::layout::{HEADER_SIZE, WAITER_FLAG, WAKE_WORD};
use plasmite::core::memory::LockWait;
use plasmite::core::pool::{Pool as CorePool, Recovery};
use plasmite::platform::boot::boot_word;
use plasmite::platform::clock::now_nanos;
use plasmite::platform::futex::FutexBell;
use plasmite::platform::lock::FileLock;
use plasmite::platform::mapped::{Access, MappedFile};
use plasmite::{Batch, Client, Durability, Error, ErrorKind, Pool, PoolRef, Result, Tags};

use crate::message::{Identity, digest, frame_bytes};
use crate::random::Random;
use crate::record::{Log, Part, Record, moment, refused};

/// The most messages of a batch.
pub(crate) const MOST_PARTS: u64 = 4;

/// Far beyond any wait for the lock that a busy machine could cause.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Ends only when killed, or when an append fails for another reason than that somebody has the lock.
pub(crate) fn run(kind: &str, path: &Path, log: Log, number: u32, seed: u64) {
    let mut log = log;
    match Writer::open(kind, path, number, seed) {
        Ok(mut writer) => writer.go_on(&mut log),
        Err(error) => log.put(&crate::record::failed(&error)),
    }
}

struct Writer {
    kind: String,
    hand: Hand,
    random: Random,
    number: u32,
    batches: u32,
    text: String,
    tags: Tags,
    batch: Batch,
    parts: Vec<String>,
}

/// By which way messages go in.
enum Hand {
    /// The library.
    Library(Pool),
    /// The core, as the library calls it, but with a clock that jumps.
    Core(Box<Core>),
}

struct Core {
    pool: CorePool<MappedFile>,
    lock: FileLock,
    bell: FutexBell,
    clock: Clock,
}

/// A clock that is set all the time.
struct Clock {
    offset: i64,
    random: Random,
}

impl Writer {
    fn open(kind: &str, path: &Path, number: u32, seed: u64) -> Result<Writer> {
        let hand = match kind {
            "clock" => Hand::Core(Box::new(Core::open(path, seed)?)),
            _ => Hand::Library(Client::new("").open_pool(&PoolRef::Path(path.to_owned()))?),
        };
        Ok(Writer {
            kind: kind.to_owned(),
            hand,
            random: Random::new(seed),
            number,
            batches: 0,
            text: String::new(),
            tags: Tags::none(),
            batch: Batch::new(),
            parts: Vec::new(),
        })
    }

    fn go_on(&mut self, log: &mut Log) {
        log.put(&Record::Opened {
            pool: u128::from_le_bytes(self.hand.uuid()),
        });
        loop {
            if self.kind == "rare" {
                std::thread::sleep(Duration::from_micros(self.random.below(3_000)));
            }
            let parts = match self.fill() {
                Ok(parts) => parts,
                Err(error) => return log.put(&crate::record::failed(&error)),
            };
            log.put(&Record::Begun {
                at: moment(),
                batch: self.batches,
                parts,
            });
            self.batches += 1;
            match self.append() {
                Ok(done) => log.put(&done),
                Err(error) => {
                    log.put(&refused(&error));
                    if error.kind() != ErrorKind::Busy {
                        return;
                    }
                }
            }
        }
    }

    /// Makes the next batch.
    fn fill(&mut self) -> Result<Vec<Part>> {
        let count = match self.kind.as_str() {
            "batch" => 2 + self.random.below(MOST_PARTS - 1),
            "clock" => 1 + self.random.below(2),
            _ => 1,
        };
        self.batch.clear();
        self.parts.clear();
        (0..count).map(|part| self.push(part as u8)).collect()
    }

    fn push(&mut self, part: u8) -> Result<Part> {
        let identity = Identity {
            writer: self.number,
            batch: self.batches,
            part,
        };
        if self.tags.is_empty() {
            self.tags = Tags::new([identity.tag()]);
        }
        identity.write_data(&mut self.text);
        self.batch.push_json(self.text.as_bytes(), &self.tags)?;
        self.parts.push(self.text.clone());
        Ok(Part {
            digest: digest(self.tags.as_json(), &self.text),
            bytes: frame_bytes(self.tags.as_json(), &self.text),
        })
    }

    fn append(&mut self) -> Result<Record> {
        let durability = match self.kind.as_str() {
            "flush" => Durability::Flush,
            _ => Durability::Fast,
        };
        let wait = match self.kind.as_str() {
            "hasty" => Duration::from_micros(self.random.below(5_000)),
            _ => LOCK_TIMEOUT,
        };
        match &mut self.hand {
            Hand::Library(pool) => {
                let receipt = pool
                    .with_lock_timeout(wait)
                    .append_batch(&self.batch, durability)?;
                let (first, last) = (receipt.first_seq, receipt.last_seq);
                let time = receipt.time.as_nanos();
                Ok(Record::Appended {
                    at: moment(),
                    first,
                    last,
                    time,
                    clock: None,
                })
            }
            Hand::Core(core) => core.append(self.tags.as_json(), &self.parts),
        }
    }
}

impl Hand {
    fn uuid(&self) -> [u8; 16] {
        match self {
            Hand::Library(pool) => pool.uuid(),
            Hand::Core(core) => core.pool.header().uuid,
        }
    }
}

impl Core {
    fn open(path: &Path, seed: u64) -> Result<Core> {
        let file = MappedFile::open(path, Access::ReadWrite, HEADER_SIZE)?;
        let lock = FileLock::new(file.file().clone());
        let bell = FutexBell::new(&file, WAKE_WORD, WAITER_FLAG);
        let boot =
            boot_word(file.file())?.ok_or_else(|| Error::new(ErrorKind::Usage, "no boot id"))?;
        let size = file.size();
        let pool = CorePool::open(file, size, boot, Recovery::Write(&lock, LockWait::Forever))?;
        let clock = Clock {
            offset: 0,
            random: Random::new(!seed),
        };
        Ok(Core {
            pool,
            lock,
            bell,
            clock,
        })
    }

    fn append(&mut self, tags: &str, parts: &[String]) -> Result<Record> {
        let Core {
            pool,
            lock,
            bell,
            clock,
        } = self;
        let mut told = 0;
        let entries = parts
            .iter()
            .map(|data| Entry::new(tags.as_bytes(), data.as_bytes()));
        let when = When::Now(|| {
            told = clock.tell();
            told
        });
        let Appended {
            first_seq,
            last_seq,
            time,
        } = pool.append(lock, bell, LockWait::AtMost(LOCK_TIMEOUT), entries, when)?;
        Ok(Record::Appended {
            at: moment(),
            first: first_seq,
            last: last_seq,
            time,
            clock: Some(told),
        })
    }
}

impl Clock {
    /// The time: now and then set to another within a fifth of a second, rarely a second ahead, or before 1970.
    fn tell(&mut self) -> u64 {
        const MILLISECOND: i64 = 1_000_000;
        if self.random.percent(1) {
            return 0;
        }
        if self.random.percent(10) {
            self.offset = (self.random.below(400) as i64 - 200) * MILLISECOND;
        }
        let leap = if self.random.below(500) == 0 {
            1_000 * MILLISECOND
        } else {
            0
        };
        now_nanos().saturating_add_signed(self.offset + leap)
    }
}
