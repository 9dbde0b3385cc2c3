//! Writer processes that contend for one pool, against as many that contend for a lock and copy under it.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use fs2::FileExt;
use memmap2::MmapMut;
use plasmite::{Client, Durability, PoolRef};
use serde::{Deserialize, Serialize};

use crate::api::{batches, create_pool};
use crate::records::Records;
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};
use crate::shared::{Page, futex};
use crate::timing::Best;

/// The first argument of a writing process.
pub(crate) const ROLE: &str = "--contend";

const WRITERS: [usize; 3] = [2, 4, 8];
const SIZE: u64 = 16 << 20;
const POOL: &str = "contended";
const RING: &str = "contended.ring";
const START: &str = "contended.start";
/// Long enough that whoever has not come yet does not come.
const TOO_LONG: Duration = Duration::from_secs(20);

/// Measures the rows of contention: messages of all writers per second, and how even their shares are.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for writers in WRITERS {
        let total = format!("{writers} writer processes, total");
        let share = format!("{writers} writer processes, slowest to fastest");
        if !settings.wants(&[&total, &share]) {
            continue;
        }
        let figures = contend(settings, writers)?;
        let wait = format!("longest wait {:.1} ms", figures.longest_wait_ms);
        let row = Row::new(total, "k/s", figures.total);
        report.add(row.bar(Bar::RatioAtLeast(0.8)).note(wait));
        report.add(Row::new(share, "share", figures.share).bar(Bar::ValueAtLeast(0.5)));
    }
    Ok(())
}

/// What came of some turns.
struct Figures {
    /// Of the best turn, in thousands a second.
    total: Best,
    /// The slowest writer's messages by the fastest one's, the median of all turns.
    share: Best,
    /// Of any append of any writer in any turn.
    longest_wait_ms: f64,
}

fn contend(settings: &Settings, writers: usize) -> Result<Figures> {
    let pool = create_pool(settings, POOL, SIZE)?;
    let ring = settings.data_dir().join(RING);
    create_ring(&ring)?;
    let time = Duration::from_millis(settings.amount(1000, 200));
    let (mut bare, mut product) = (Vec::new(), Vec::new());
    for _ in 0..settings.amount(9, 1) {
        bare.push(turn(settings, Kind::Bare, writers, time)?);
        product.push(turn(settings, Kind::Pool, writers, time)?);
    }
    fs::remove_file(pool.path())?;
    fs::remove_file(ring)?;
    let longest = product.iter().map(|turn| turn.longest_wait()).max();
    Ok(Figures {
        total: Best {
            floor: best(bare.iter().map(Turn::rate)),
            product: best(product.iter().map(Turn::rate)),
        },
        share: Best {
            floor: median(bare.iter().map(Turn::share)),
            product: median(product.iter().map(Turn::share)),
        },
        longest_wait_ms: longest.unwrap_or(0) as f64 / 1e6,
    })
}

fn best(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// What one writer did in its time.
#[derive(Deserialize, Serialize)]
struct Done {
    messages: u64,
    nanos: u64,
    longest_wait: u64,
}

/// What all of them did.
struct Turn(Vec<Done>);

impl Turn {
    /// In thousands a second.
    fn rate(&self) -> f64 {
        let rates = self
            .0
            .iter()
            .map(|done| done.messages as f64 / done.nanos as f64 * 1e6);
        rates.sum()
    }

    fn share(&self) -> f64 {
        let messages = || self.0.iter().map(|done| done.messages);
        match (messages().min(), messages().max()) {
            (Some(slowest), Some(fastest)) if fastest > 0 => slowest as f64 / fastest as f64,
            _ => 0.0,
        }
    }

    fn longest_wait(&self) -> u64 {
        self.0
            .iter()
            .map(|done| done.longest_wait)
            .max()
            .unwrap_or(0)
    }
}

/// What is contended for.
#[derive(Clone, Copy)]
enum Kind {
    Bare,
    Pool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Bare => "bare",
            Kind::Pool => "pool",
        }
    }
}

/// Has so many processes write for so long, all from the same moment on.
fn turn(settings: &Settings, kind: Kind, writers: usize, time: Duration) -> Result<Turn> {
    let start = settings.data_dir().join(START);
    let page = Page::create(&start)?;
    let mut processes = Writers(Vec::new());
    for _ in 0..writers {
        let mut command = Command::new(env::current_exe()?);
        command.args([ROLE, kind.name(), &time.as_millis().to_string()]);
        command.arg(settings.data_dir()).stdout(Stdio::piped());
        processes.0.push(command.spawn()?);
    }
    let since = Instant::now();
    while page.answered().load(Acquire) < writers as u64 {
        if since.elapsed() > TOO_LONG {
            return Err("not all writers have started".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    page.word().store(1, Release);
    futex::wake(page.word());
    let done = processes.finish()?;
    fs::remove_file(start)?;
    Ok(Turn(done))
}

/// Processes that write, ended with this at the latest.
struct Writers(Vec<Child>);

impl Writers {
    /// Waits for all, and takes what each tells.
    fn finish(mut self) -> Result<Vec<Done>> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.map(|child| Ok(serde_json::from_slice(&child.wait_with_output()?.stdout)?))
            .collect()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Plays a writing process, as the arguments behind its role say.
pub(crate) fn play(mut args: impl Iterator<Item = String>) -> Result<()> {
    let mut next = || {
        args.next()
            .ok_or("a writer is told its kind, time and directory")
    };
    let is_bare = next()? == Kind::Bare.name();
    let time = Duration::from_millis(next()?.parse()?);
    let dir = PathBuf::from(next()?);
    let records = Records::new().take(64)?;
    let page = Page::open(&dir.join(START))?;
    let done = if is_bare {
        let mut ring = BareRing::open(&dir.join(RING))?;
        let mut nth = 0;
        write_for(&page, time, || {
            nth += 1;
            ring.append(&records[nth % records.len()])
        })?
    } else {
        let pool = Client::new(&dir).open_pool(&PoolRef::parse(POOL)?)?;
        let batches = batches(&records, 1)?;
        let mut nth = 0;
        write_for(&page, time, || {
            nth += 1;
            pool.append_batch(&batches[nth % batches.len()], Durability::Fast)?;
            Ok(())
        })?
    };
    std::io::stdout().write_all(&serde_json::to_vec(&done)?)?;
    Ok(())
}

/// Waits for the start, and then writes until the time is over.
fn write_for(page: &Page, time: Duration, mut write: impl FnMut() -> Result<()>) -> Result<Done> {
    page.answered().fetch_add(1, Release);
    while page.word().load(Acquire) == 0 {
        futex::wait(page.word(), 0);
    }
    let start = Instant::now();
    let (mut messages, mut longest_wait, mut last) = (0, Duration::ZERO, start);
    loop {
        write()?;
        messages += 1;
        let now = Instant::now();
        longest_wait = longest_wait.max(now - last);
        last = now;
        if now - start >= time {
            break;
        }
    }
    Ok(Done {
        messages,
        nanos: (last - start).as_nanos() as u64,
        longest_wait: longest_wait.as_nanos() as u64,
    })
}

fn create_ring(path: &Path) -> Result<()> {
    let file = File::create_new(path)?;
    file.allocate(SIZE)?;
    Ok(())
}

/// A file that is written under its lock, from the place on that its first word tells.
struct BareRing {
    file: File,
    map: MmapMut,
}

impl BareRing {
    const HEAD: usize = 64;

    fn open(path: &Path) -> Result<BareRing> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // SAFETY: the file is in a directory of this run and keeps its size; all who map it touch it only while they
        // hold the lock.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(BareRing { file, map })
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.file.lock_exclusive()?;
        let end = self.end().load(Relaxed) as usize;
        let at = if end + payload.len() > self.map.len() {
            BareRing::HEAD
        } else {
            end.max(BareRing::HEAD)
        };
        self.map[at..at + payload.len()].copy_from_slice(payload);
        self.end().store((at + payload.len()) as u64, Relaxed);
        FileExt::unlock(&self.file)?;
        Ok(())
    }

    fn end(&self) -> &AtomicU64 {
        // SAFETY: the first eight bytes of the mapping, which lives as long as `self`; no other width touches them.
        unsafe { AtomicU64::from_ptr(self.map.as_ptr().cast_mut().cast()) }
    }
}
