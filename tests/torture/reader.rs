//! A reader, of one of several kinds: writes down whatever it is given. It judges nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plasmite::{
    Client, EndReason, ErrorKind, Message, Next, Pool, PoolRef, Result, Start, Tail, TailOptions,
    Timestamp,
};

use crate::message::{Identity, digest};
use crate::random::Random;
use crate::record::{Begin, How, Log, Record, failed, moment};

/// The kinds of readers that go on for ever.
pub(crate) const KINDS: [&str; 8] = [
    "follow", "slow", "oldest", "last", "since", "fetch", "bounds", "reopen",
];
/// The reader that reads what there is, checks it, and ends.
pub(crate) const ONCE: &str = "once";

/// How many messages a reader that starts again and again reads at a time.
const STRETCH: u32 = 200;
/// How long records may wait for more of them.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

/// Reads until it is killed or fails.
pub(crate) fn run(kind: &str, path: &Path, log: Log, seed: u64) {
    let mut log = log;
    let pool = match open(path, &mut log, false) {
        Ok(pool) => pool,
        Err(error) => return log.put(&failed(&error)),
    };
    let mut reader = Reader {
        path: path.to_owned(),
        pool,
        log,
        flushed: Instant::now(),
        random: Random::new(seed),
        rounds: 0,
        time: 0,
    };
    loop {
        let outcome = reader.round(kind);
        if let Err(error) = &outcome {
            reader.log.add(&failed(error));
        }
        reader.log.flush();
        if outcome.is_err() || kind == ONCE {
            return;
        }
        reader.rounds += 1;
    }
}

struct Reader {
    path: PathBuf,
    pool: Pool,
    log: Log,
    flushed: Instant,
    random: Random,
    rounds: u64,
    /// The time of some message that was there a while ago.
    time: u64,
}

impl Reader {
    fn round(&mut self, kind: &str) -> Result<()> {
        match kind {
            "follow" | "slow" => self.tail(Begin::Newest, true, u32::MAX, kind == "slow"),
            "oldest" => self.tail(Begin::Oldest, true, STRETCH, false),
            "last" => {
                let count = 1 + self.random.below(60);
                self.tail(Begin::Last(count), false, u32::MAX, false)
            }
            "since" => self.since(),
            "fetch" => self.fetch(),
            "bounds" => self.bounds(),
            "reopen" => self.reopen(),
            _ => self.everything(),
        }
    }

    /// Reads a tail, as far as it goes or until it has given `most` messages.
    fn tail(&mut self, begin: Begin, follow: bool, most: u32, slowly: bool) -> Result<()> {
        let asked = moment();
        let start = match begin {
            Begin::Oldest => Start::Oldest,
            Begin::Newest => Start::Newest,
            Begin::Last(count) => Start::Last(count),
            Begin::Since(time) => Start::Time(Timestamp::from_nanos(time)),
            Begin::Seq(seq) => Start::Seq(seq),
        };
        let options = TailOptions {
            start,
            follow,
            ..TailOptions::default()
        };
        let mut tail = self.pool.tail(options)?;
        let next = tail.next_seq();
        self.add(&Record::Tail {
            asked,
            at: moment(),
            start: begin,
            next,
        });
        let mut message = Message::default();
        for step in 0..most {
            if slowly && step % 64 == 63 {
                self.log.flush();
                std::thread::sleep(Duration::from_millis(self.random.below(80)));
            }
            if !self.step(&mut tail, &mut message)? {
                // What was there when the tail was opened is its end.
                self.add(&Record::Nothing {
                    asked,
                    next: tail.next_seq(),
                });
                break;
            }
        }
        Ok(())
    }

    /// Whether the tail goes on.
    fn step(&mut self, tail: &mut Tail, message: &mut Message) -> Result<bool> {
        let asked = moment();
        let next = tail.read_before(Instant::now() + FLUSH_INTERVAL, message)?;
        match next {
            Next::Message => self.enter(message, How::InTail),
            Next::Gap(gap) => self.add(&Record::Gap {
                at: moment(),
                first: gap.first,
                last: gap.last,
            }),
            Next::Idle => {
                self.add(&Record::Nothing {
                    asked,
                    next: tail.next_seq(),
                });
                self.log.flush();
            }
            Next::End(EndReason::CaughtUp) => {}
            Next::End(reason) => self.add(&Record::Odd {
                text: format!("a tail ended: {reason:?}"),
            }),
        }
        Ok(!matches!(next, Next::End(_)))
    }

    /// Reads from the time of a message on, or from just beside it.
    fn since(&mut self) -> Result<()> {
        let (oldest, newest) = self.ask_bounds()?;
        if newest == 0 {
            return Ok(());
        }
        let seq = oldest + self.random.below(newest - oldest + 1);
        self.get(seq)?;
        let time = match self.random.below(4) {
            0 => self.time.saturating_sub(1),
            1 => self.time + 1,
            _ => self.time,
        };
        self.tail(Begin::Since(time), false, 20, false)
    }

    /// Gets one of the retained messages, or one just beside them.
    fn fetch(&mut self) -> Result<()> {
        let (oldest, newest) = self.ask_bounds()?;
        for _ in 0..8 {
            let seq = (oldest + self.random.below(newest - oldest + 3)).saturating_sub(1);
            self.get(seq)?;
        }
        let from = oldest.saturating_sub(3) + self.random.below(8);
        self.tail(Begin::Seq(from), false, 3, false)
    }

    fn get(&mut self, seq: u64) -> Result<()> {
        let asked = moment();
        match self.pool.get(seq) {
            Ok(message) if message.seq() != seq => {
                let text = format!("asked for {seq} and got {}", message.seq());
                self.add(&Record::Odd { text });
            }
            Ok(message) => self.enter(&message, How::BySeq),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.add(&Record::Missing {
                    asked,
                    at: moment(),
                    seq,
                });
                // The kind is that of a pool that is gone, too.
                self.pool.bounds()?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks for the bounds, twice, and for all that there is to know.
    fn bounds(&mut self) -> Result<()> {
        self.ask_bounds()?;
        let asked = moment();
        let info = self.pool.info()?;
        let (oldest, newest) = (
            info.bounds.oldest.unwrap_or(0),
            info.bounds.newest.unwrap_or(0),
        );
        self.add(&Record::Bounds {
            asked,
            at: moment(),
            oldest,
            newest,
        });
        // No writer leaves holes here.
        let (messages, span) = (info.metrics.message_count, info.metrics.seq_span);
        if newest > 0 && (messages != newest - oldest + 1 || span != messages) {
            let text = format!("{messages} messages span {span} seqs, from {oldest} to {newest}");
            self.add(&Record::Odd { text });
        }
        // As fast as it can, this would be all that its log holds.
        self.log.flush();
        std::thread::sleep(Duration::from_micros(self.random.below(2_000)));
        Ok(())
    }

    fn ask_bounds(&mut self) -> Result<(u64, u64)> {
        let asked = moment();
        let bounds = self.pool.bounds()?;
        let (oldest, newest) = (bounds.oldest.unwrap_or(0), bounds.newest.unwrap_or(0));
        self.add(&Record::Bounds {
            asked,
            at: moment(),
            oldest,
            newest,
        });
        Ok((oldest, newest))
    }

    /// Opens the pool anew, reads its end, and now and then checks all of it.
    fn reopen(&mut self) -> Result<()> {
        self.pool = open(&self.path, &mut self.log, self.rounds.is_multiple_of(2))?;
        let count = 1 + self.random.below(20);
        self.tail(Begin::Last(count), false, u32::MAX, false)?;
        if self.rounds.is_multiple_of(16) {
            self.verify()?;
        }
        Ok(())
    }

    /// Reads all that is retained, and checks it.
    fn everything(&mut self) -> Result<()> {
        self.ask_bounds()?;
        self.tail(Begin::Oldest, false, u32::MAX, false)?;
        self.ask_bounds()?;
        self.verify()
    }

    fn verify(&mut self) -> Result<()> {
        for issue in self.pool.verify()?.issues {
            if issue.code != plasmite::IssueCode::ClockBehind {
                self.add(&Record::Damage {
                    at: moment(),
                    text: format!("{issue:?}"),
                });
            }
        }
        Ok(())
    }

    fn enter(&mut self, message: &Message, how: How) {
        let (seq, time) = (message.seq(), message.time().as_nanos());
        self.time = time;
        let record = match Identity::of(message) {
            Ok(Identity {
                writer,
                batch,
                part,
            }) => Record::Read {
                at: moment(),
                seq,
                writer,
                batch,
                part,
                digest: digest(message.tags_json(), message.data_json()),
                time,
                how,
            },
            Err(text) => Record::Odd { text },
        };
        self.add(&record);
    }

    fn add(&mut self, record: &Record) {
        self.log.add(record);
        if self.flushed.elapsed() > FLUSH_INTERVAL {
            self.log.flush();
            self.flushed = Instant::now();
        }
    }
}

fn open(path: &Path, log: &mut Log, to_write: bool) -> Result<Pool> {
    let (client, pool) = (Client::new(""), PoolRef::Path(path.to_owned()));
    let opened = if to_write {
        client.open_pool(&pool)?
    } else {
        client.open_pool_to_read(&pool)?
    };
    log.add(&Record::Opened {
        pool: u128::from_le_bytes(opened.uuid()),
    });
    Ok(opened)
}
