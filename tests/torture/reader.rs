//! A reader, of one of four kinds: checks whatever it reads, and reports it.

use std::collections::HashMap;
use std::io::{BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plasmite::{
    Client, EndReason, ErrorKind, Message, Next, Pool, PoolRef, Result, Start, Tail, TailOptions,
};

use crate::message::{Identity, Inspector, mix};
use crate::report::Report;

/// The kinds of readers.
pub(crate) const KINDS: [&str; 4] = ["follow", "oldest", "get", "reopen"];

/// How many messages a reader that starts again and again reads at a time.
const STRETCH: u32 = 200;
/// How long reports may wait for more of them.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Set once the other end of standard input is gone: the run is over.
static OVER: AtomicBool = AtomicBool::new(false);

/// Reads until standard input ends.
pub(crate) fn run(kind: &str, path: &Path) {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        OVER.store(true, Ordering::Relaxed);
    });
    let mut reader = Reader {
        path: path.to_owned(),
        pool: open(path, false),
        out: BufWriter::new(std::io::stdout()),
        flushed: Instant::now(),
        inspector: Inspector::default(),
        message: Message::default(),
        rounds: 0,
    };
    while !is_over() {
        if let Err(error) = reader.round(kind) {
            reader.report(&Report::of(&error));
        }
        reader.rounds += 1;
    }
    let _ = reader.out.flush();
}

fn is_over() -> bool {
    OVER.load(Ordering::Relaxed)
}

struct Reader {
    path: PathBuf,
    pool: Pool,
    out: BufWriter<Stdout>,
    flushed: Instant,
    inspector: Inspector,
    message: Message,
    rounds: u64,
}

impl Reader {
    fn round(&mut self, kind: &str) -> Result<()> {
        match kind {
            "follow" => self.tail(Start::Newest, true, u32::MAX),
            "oldest" => self.tail(Start::Oldest, true, STRETCH),
            "get" => self.get(),
            _ => self.reopen(),
        }
    }

    /// Reads a tail, as far as it goes or until it has given `most` messages.
    fn tail(&mut self, start: Start, follow: bool, most: u32) -> Result<()> {
        let mut tail = self.pool.tail(TailOptions {
            start,
            follow,
            ..TailOptions::default()
        })?;
        let mut course = Course::from_seq(tail.next_seq());
        let mut message = std::mem::take(&mut self.message);
        let mut left = most;
        while left > 0 && !is_over() {
            if !self.step(&mut tail, &mut course, &mut message)? {
                break;
            }
            left -= 1;
        }
        self.message = message;
        Ok(())
    }

    /// Whether the tail goes on.
    fn step(
        &mut self,
        tail: &mut Tail,
        course: &mut Course,
        message: &mut Message,
    ) -> Result<bool> {
        let checked = match tail.read_before(Instant::now() + FLUSH_INTERVAL, message)? {
            Next::Message => match self.inspect(message) {
                Some(identity) => course.message(message.seq(), identity),
                None => {
                    course.lose(message.seq());
                    Ok(())
                }
            },
            Next::Gap(gap) => {
                self.report(&Report::Gap {
                    missed: gap.last - gap.first + 1,
                });
                course.gap(gap.first, gap.last)
            }
            Next::Idle => {
                self.flush();
                Ok(())
            }
            Next::End(EndReason::CaughtUp) => {
                self.report_if_wrong(course.end());
                return Ok(false);
            }
            Next::End(reason) => {
                self.report(&Report::Failed(format!("a tail ended: {reason:?}")));
                return Ok(false);
            }
        };
        self.report_if_wrong(checked);
        Ok(true)
    }

    /// Gets one of the retained messages.
    fn get(&mut self) -> Result<()> {
        let bounds = self.pool.bounds()?;
        let (Some(oldest), Some(newest)) = (bounds.oldest, bounds.newest) else {
            return Ok(());
        };
        let seq = oldest + mix(self.rounds) % (newest - oldest + 1);
        match self.pool.get(seq) {
            Ok(message) => {
                self.inspect(&message);
                if message.seq() != seq {
                    let got = message.seq();
                    self.report(&Report::Wrong(format!("asked for {seq} and got {got}")));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let oldest = self.pool.bounds()?.oldest;
                if oldest <= Some(seq) {
                    let what = format!("message {seq} was not found with {oldest:?} as oldest");
                    self.report(&Report::Wrong(what));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Opens the pool anew, reads its end, and now and then checks all of it.
    fn reopen(&mut self) -> Result<()> {
        self.pool = open(&self.path, self.rounds.is_multiple_of(2));
        self.tail(Start::Last(1 + self.rounds % 20), false, u32::MAX)?;
        if self.rounds.is_multiple_of(16) {
            for issue in self.pool.verify()?.issues {
                self.report(&Report::Corrupt(format!("verify: {issue:?}")));
            }
        }
        Ok(())
    }

    fn inspect(&mut self, message: &Message) -> Option<Identity> {
        match self.inspector.inspect(message) {
            Ok(identity) => {
                self.report(&Report::Read {
                    seq: message.seq(),
                    writer: identity.writer,
                    count: identity.count,
                });
                Some(identity)
            }
            Err(what) => {
                self.report(&Report::Wrong(what));
                None
            }
        }
    }

    fn report_if_wrong(&mut self, checked: Result<(), String>) {
        if let Err(what) = checked {
            self.report(&Report::Wrong(what));
        }
    }

    fn report(&mut self, report: &Report) {
        // Without a listener the run is over as well.
        if writeln!(self.out, "{report}").is_err() {
            OVER.store(true, Ordering::Relaxed);
        }
        if self.flushed.elapsed() > FLUSH_INTERVAL {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
        self.flushed = Instant::now();
    }
}

fn open(path: &Path, to_write: bool) -> Pool {
    let pool = PoolRef::Path(path.to_owned());
    let client = Client::new("");
    let opened = if to_write {
        client.open_pool(&pool)
    } else {
        client.open_pool_to_read(&pool)
    };
    match opened {
        Ok(pool) => pool,
        Err(error) => {
            println!("{}", Report::of(&error));
            std::process::exit(1);
        }
    }
}

/// What one tail has given so far: what may come next follows from it.
struct Course {
    next_seq: u64,
    /// The message right before, unless a gap was.
    before: Option<Identity>,
    /// The count that each writer has reached, and whether a gap has been since.
    counts: HashMap<u32, (u32, u64)>,
    gaps: u64,
}

impl Course {
    fn from_seq(next_seq: u64) -> Course {
        Course {
            next_seq,
            before: None,
            counts: HashMap::new(),
            gaps: 0,
        }
    }

    fn message(&mut self, seq: u64, identity: Identity) -> Result<(), String> {
        let expected = std::mem::replace(&mut self.next_seq, seq + 1);
        let before = self.before.replace(identity);
        let counted = self
            .counts
            .insert(identity.writer, (identity.count, self.gaps));
        if seq != expected {
            return Err(format!("message {seq} came where {expected} was due"));
        }
        if let Some((count, gaps)) = counted {
            let is_next = identity.count == count + 1;
            if !is_next && (gaps == self.gaps || identity.count <= count) {
                return Err(format!("{identity:?} came after its message {count}"));
            }
        }
        match before {
            Some(before) if !follows_in_batch(before, identity) => Err(format!(
                "message {seq}, {identity:?}, came right after {before:?}"
            )),
            _ => Ok(()),
        }
    }

    fn gap(&mut self, first: u64, last: u64) -> Result<(), String> {
        let expected = self.next_seq;
        self.lose(last);
        if first == expected && first <= last {
            Ok(())
        } else {
            Err(format!(
                "a gap {first} to {last} came where {expected} was due"
            ))
        }
    }

    /// Whatever there was up to this seq is not known.
    fn lose(&mut self, last: u64) {
        self.next_seq = last.saturating_add(1);
        self.before = None;
        self.gaps += 1;
    }

    /// There is no more just now.
    fn end(&self) -> Result<(), String> {
        match self.before {
            Some(last) if last.part + 1 != last.parts => Err(format!(
                "a batch is visible only in part: it ends with {last:?}"
            )),
            _ => Ok(()),
        }
    }
}

fn follows_in_batch(before: Identity, next: Identity) -> bool {
    if before.part + 1 == before.parts {
        next.part == 0
    } else {
        next == Identity {
            count: before.count + 1,
            part: before.part + 1,
            ..before
        }
    }
}
