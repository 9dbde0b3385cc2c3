//! Starts the processes, kills writers, and judges the outcome.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use plasmite::core::layout::HEADER_SIZE;
use plasmite::core::pool::{Pool as CorePool, Recovery};
use plasmite::platform::boot::boot_word;
use plasmite::platform::lock::FileLock;
use plasmite::platform::mapped::{Access, MappedFile};
use plasmite::{Client, CreateOptions, PoolRef, Result, Start, TailOptions};

use crate::board::{Board, Source};
use crate::message::{Inspector, mix};
use crate::reader::KINDS;
use crate::report::Report;

const POOL_SIZE: u64 = 256 * 1024;
const WRITERS: usize = 2;
/// The longest that a writer may live from one kill to the next, in microseconds; on average half of it.
const LONGEST_LIFE: u64 = 70_000;
/// A reader that has read nothing for so long, while writers wrote, is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run has to do to mean anything.
struct Minimum {
    laps: u64,
    reads: u64,
    kills: u64,
}

/// What ten minutes have to bring; shorter and longer runs in proportion.
const IN_TEN_MINUTES: Minimum = Minimum {
    laps: 1_000,
    reads: 1_000_000,
    kills: 5_000,
};
/// What a run without a given length goes on for.
const IN_A_SHORT_RUN: Minimum = Minimum {
    laps: 5,
    reads: 500,
    kills: 10,
};

/// How long to go on.
struct Length {
    at_least: Duration,
    at_most: Duration,
    minimum: Minimum,
}

/// Runs, and says how it went.
pub(crate) fn run() -> ExitCode {
    let length = match length() {
        Ok(length) => length,
        Err(what) => {
            eprintln!("torture: {what}");
            return ExitCode::from(2);
        }
    };
    // Not in the system's directory for temporary files: what an interrupted run leaves goes with `cargo clean`.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = directory.path().join("torture.plasmite");
    let options = CreateOptions {
        size_bytes: Some(POOL_SIZE),
        index_capacity: None,
    };
    Client::new(directory.path())
        .create_pool(&PoolRef::Path(path.clone()), options)
        .expect("a pool");
    let started = Instant::now();
    let torture = Torture::new(path);
    torture.go_on_for(&length);
    torture.check_what_is_left();
    torture.judge(&length.minimum, started.elapsed())
}

/// How long to go on. Not plain `SECONDS`, which a shell has for a purpose of its own.
const SECONDS: &str = "PLASMITE_TORTURE_SECONDS";

fn length() -> Result<Length, String> {
    let Ok(seconds) = std::env::var(SECONDS) else {
        return Ok(Length {
            at_least: Duration::from_secs(3),
            at_most: Duration::from_secs(60),
            minimum: IN_A_SHORT_RUN,
        });
    };
    let seconds: u64 = seconds
        .parse()
        .map_err(|_| format!("{SECONDS} is `{seconds}`, which is not a number of seconds"))?;
    let share = |count: u64| (count * seconds / 600).max(1);
    Ok(Length {
        at_least: Duration::from_secs(seconds),
        at_most: Duration::from_secs(seconds),
        minimum: Minimum {
            laps: share(IN_TEN_MINUTES.laps),
            reads: share(IN_TEN_MINUTES.reads),
            kills: share(IN_TEN_MINUTES.kills),
        },
    })
}

struct Torture {
    path: PathBuf,
    board: Mutex<Board>,
    writers: [Mutex<Option<Child>>; WRITERS],
    next_writer: AtomicU32,
    over: AtomicBool,
}

impl Torture {
    fn new(path: PathBuf) -> Torture {
        Torture {
            path,
            board: Mutex::default(),
            writers: [const { Mutex::new(None) }; WRITERS],
            next_writer: AtomicU32::new(1),
            over: AtomicBool::new(false),
        }
    }

    fn go_on_for(&self, length: &Length) {
        thread::scope(|scope| {
            for slot in &self.writers {
                scope.spawn(|| self.keep_writing(slot));
            }
            let mut readers: Vec<_> = (0..KINDS.len())
                .map(|kind| self.start_reader(scope, kind))
                .collect();
            scope.spawn(|| self.kill_writers());
            self.watch(length);

            self.over.store(true, Relaxed);
            for slot in &self.writers {
                kill(slot);
            }
            // Their standard input ends, and with it their work.
            readers.iter_mut().for_each(|reader| reader.stdin = None);
            for (kind, reader) in readers.iter_mut().enumerate() {
                self.end_reader(kind, &mut reader.process);
            }
        });
    }

    /// Starts a writer whenever there is none.
    fn keep_writing(&self, slot: &Mutex<Option<Child>>) {
        while !self.over.load(Relaxed) {
            let number = self.next_writer.fetch_add(1, Relaxed);
            let mut process = this_program(&["writer", text(&self.path), &number.to_string()])
                .stdin(Stdio::null())
                .spawn()
                .expect("a writer");
            let out = process.stdout.take().expect("a pipe");
            *lock(slot) = Some(process);
            // One that was started while the run ended is not killed by anybody else.
            if self.over.load(Relaxed) {
                kill(slot);
            }
            self.enter_all(Source::Writer(number), BufReader::new(out));
            if let Some(mut process) = lock(slot).take() {
                self.enter_end(number, process.wait().expect("a child"));
            }
        }
    }

    fn enter_end(&self, number: u32, status: ExitStatus) {
        let mut board = self.board();
        match status.signal() {
            Some(libc::SIGKILL) => board.kills += 1,
            _ => board.find_failed(Source::Writer(number), &format!("it ended: {status}")),
        }
    }

    fn kill_writers(&self) {
        let seed = RandomState::new().hash_one("when");
        for round in 0.. {
            let chance = mix(seed ^ round);
            thread::sleep(Duration::from_micros(
                chance % (LONGEST_LIFE / WRITERS as u64),
            ));
            if self.over.load(Relaxed) {
                return;
            }
            kill(&self.writers[(chance >> 32) as usize % WRITERS]);
        }
    }

    fn start_reader<'s>(&'s self, scope: &'s Scope<'s, '_>, kind: usize) -> Reader {
        let mut process = this_program(&["reader", text(&self.path), KINDS[kind]])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a reader");
        let out = process.stdout.take().expect("a pipe");
        scope.spawn(move || self.enter_all(Source::Reader(kind), BufReader::new(out)));
        Reader {
            stdin: process.stdin.take(),
            process,
        }
    }

    fn end_reader(&self, kind: usize, process: &mut Child) {
        let deadline = Instant::now() + PATIENCE;
        let outcome = loop {
            match process.try_wait().expect("a child") {
                Some(status) if status.success() => return,
                Some(status) => break format!("it ended: {status}"),
                None if Instant::now() > deadline => {
                    let _ = process.kill();
                    let _ = process.wait();
                    break "it does not end".to_owned();
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        self.board().find_failed(Source::Reader(kind), &outcome);
    }

    fn enter_all(&self, from: Source, out: impl BufRead) {
        for line in out.lines().map_while(|line| line.ok()) {
            let mut board = self.board();
            match line.parse::<Report>() {
                Ok(report) => board.enter(from, report),
                Err(what) => board.find_failed(from, &what),
            }
        }
    }

    /// Tells how it goes, until time is up or a reader is stuck.
    fn watch(&self, length: &Length) {
        let started = Instant::now();
        let mut progress = [(0, 0, started); KINDS.len()];
        let mut told = 0;
        loop {
            thread::sleep(Duration::from_millis(100));
            let elapsed = started.elapsed();
            if elapsed >= length.at_most
                || elapsed >= length.at_least && self.lacks(&length.minimum).is_empty()
            {
                return;
            }
            if elapsed.as_secs() > told {
                told = elapsed.as_secs();
                self.tell(told);
            }
            if self.is_stuck(&mut progress) {
                return;
            }
        }
    }

    fn tell(&self, seconds: u64) {
        let laps = self.laps();
        let board = self.board();
        println!(
            "{seconds} s: {} written, {} read, {laps} laps, {} gaps, {} kills, {} wrong, {} corrupt",
            board.newest,
            board.read.iter().sum::<u64>(),
            board.gaps,
            board.kills,
            board.wrong,
            board.corrupt,
        );
    }

    /// Whether a reader has had something to read for long, and has read nothing.
    fn is_stuck(&self, progress: &mut [(u64, u64, Instant)]) -> bool {
        let mut board = self.board();
        let now = Instant::now();
        for (kind, (read, newest, since)) in progress.iter_mut().enumerate() {
            if board.read[kind] != *read || board.newest == *newest {
                (*read, *newest, *since) = (board.read[kind], board.newest, now);
            } else if now - *since > PATIENCE {
                board.find_failed(Source::Reader(kind), "it is stuck");
                return true;
            }
        }
        false
    }

    /// Reads what is retained in the end, when nobody writes any more.
    fn check_what_is_left(&self) {
        let checker = Source::Reader(0);
        let client = Client::new("");
        let pool = PoolRef::Path(self.path.clone());
        let checked = || -> Result<()> {
            let report = client.verify_pool(&pool)?;
            for issue in report.issues {
                let what = format!("verify, in the end: {issue:?}");
                self.board().enter(checker, Report::Corrupt(what));
            }
            let pool = client.open_pool(&pool)?;
            let retained = TailOptions {
                start: Start::Oldest,
                follow: false,
                ..TailOptions::default()
            };
            let mut newest = 0;
            let mut inspector = Inspector::default();
            for message in pool.tail(retained)? {
                let message = message?;
                let (seq, inspected) = (message.seq(), inspector.inspect(&message));
                let mut board = self.board();
                match inspected {
                    Ok(identity) => board.identify(checker, seq, identity.writer, identity.count),
                    Err(what) => board.find_wrong(checker, &what),
                }
                newest = seq;
            }
            let mut board = self.board();
            if newest < board.newest {
                let what = format!("{newest} is newest, and {} acknowledged", board.newest);
                board.find_wrong(checker, &what);
            }
            board.newest = newest;
            Ok(())
        };
        if let Err(error) = checked() {
            self.board().enter(checker, Report::of(&error));
        }
    }

    fn judge(&self, minimum: &Minimum, elapsed: Duration) -> ExitCode {
        let lacks = self.lacks(minimum);
        let laps = self.laps();
        let board = self.board();
        println!(
            "torture: {:.0} s, {WRITERS} writers, {} readers, a pool of {} KiB, messages of 8 to 24 KiB",
            elapsed.as_secs_f64(),
            KINDS.len(),
            POOL_SIZE / 1024
        );
        println!(
            "  written   {} messages, {} of them acknowledged",
            board.newest, board.acknowledged
        );
        println!(
            "  read      {} messages ({})",
            board.read.iter().sum::<u64>(),
            by_kind(&board.read)
        );
        println!("  laps      {laps} of the ring");
        println!(
            "  lapped    {} times, {} messages missed",
            board.gaps, board.missed
        );
        println!("  kills     {}", board.kills);
        println!("  wrong = {}", board.wrong);
        println!("  corrupt = {}", board.corrupt);
        for finding in board.findings.iter().chain(&lacks) {
            println!("  FAILED: {finding}");
        }
        if board.wrong + board.corrupt + board.failed == 0 && lacks.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// What the run has done too little of.
    fn lacks(&self, minimum: &Minimum) -> Vec<String> {
        let laps = self.laps();
        let board = self.board();
        let reads = board.read.iter().sum();
        let mut lacks: Vec<String> = [
            ("laps", laps, minimum.laps),
            ("reads", reads, minimum.reads),
            ("kills", board.kills, minimum.kills),
            ("gaps", board.gaps, 1),
        ]
        .iter()
        .filter(|(_, done, needed)| done < needed)
        .map(|(what, done, needed)| {
            format!("{done} {what} are too few to mean anything; {needed} are needed")
        })
        .collect();
        if board.read.contains(&0) {
            lacks.push(format!("a reader read nothing: {}", by_kind(&board.read)));
        }
        lacks
    }

    /// How often the ring has been filled.
    fn laps(&self) -> u64 {
        let laps = || -> Result<u64> {
            let file = MappedFile::open(&self.path, Access::ReadOnly, HEADER_SIZE)?;
            let boot = boot_word(file.file())?.unwrap_or(0);
            let size = file.size();
            let recovery: Recovery<'_, FileLock> = Recovery::ReadOnly;
            let pool = CorePool::open(file, size, boot, recovery)?;
            // Positions start at one lap.
            Ok(pool.newest()?.position / pool.geometry().ring_size - 1)
        };
        laps().unwrap_or_else(|error| {
            self.board().enter(Source::Reader(0), Report::of(&error));
            0
        })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }
}

struct Reader {
    process: Child,
    stdin: Option<ChildStdin>,
}

fn this_program(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(arguments).stdout(Stdio::piped());
    command
}

fn kill(slot: &Mutex<Option<Child>>) {
    // Nobody waits for it without this lock, so the process is still ours.
    if let Some(process) = &mut *lock(slot) {
        let _ = process.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn by_kind(read: &[u64]) -> String {
    let parts = KINDS.iter().zip(read);
    parts
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}
