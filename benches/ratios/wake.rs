//! From an append to the reader that slept, against a bare futex between two processes.
//!
//! Both sleepers are processes of their own, and both tell how long before the time was noted that they were woken
//! for. The product's figure holds all of it: lock, append, bell, and the verified read.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memmap2::MmapMut;
use plasmite::{
    Client, CreateOptions, Durability, Message, Next, Pool, PoolRef, Tags, TailOptions,
};

use crate::records::Records;
use crate::report::Report;
use crate::settings::{Result, Settings};
use crate::timing::Best;

const P50: &str = "wake-up, median";
const P99: &str = "wake-up, 99th percentile";

const LISTEN: &str = "--listen";
const POOL: &str = "wake";
/// Long enough for the sleeper to be asleep again.
const PAUSE: Duration = Duration::from_micros(500);
/// Long enough that whoever still waits has lost a wake-up, or the other process.
const TOO_LONG: Duration = Duration::from_secs(10);
/// Hand-offs of one kind before the other has its turn.
const TURN: u32 = 50;

/// Measures the rows of wake-ups, in microseconds.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[P50, P99]) {
        return Ok(());
    }
    let count = settings.amount(3000, 300) as u32;
    let options = CreateOptions {
        size_bytes: Some(1 << 20),
        ..CreateOptions::default()
    };
    let pool = Client::new(settings.data_dir()).create_pool(&PoolRef::parse(POOL)?, options)?;
    let mut bare = Peer::start(settings, Sleeper::Futex, count)?;
    let mut tail = Peer::start(settings, Sleeper::Tail, count)?;
    let record = Records::new().take(1)?.remove(0);
    for _ in 0..count / TURN {
        for _ in 0..TURN {
            bare.hand_off(|page| {
                page.word().fetch_add(1, Release);
                futex::wake(page.word());
                Ok(())
            })?;
        }
        for _ in 0..TURN {
            tail.hand_off(|_| append(&pool, &record))?;
        }
    }
    let (bare, tail) = (bare.latencies()?, tail.latencies()?);
    for (name, share) in [(P50, 0.5), (P99, 0.99)] {
        let best = Best {
            floor: quantile(&bare, share),
            product: quantile(&tail, share),
        };
        report.add(name, "us", best, None);
    }
    Ok(())
}

fn append(pool: &Pool, record: &[u8]) -> Result<()> {
    pool.append_json(record, &Tags::none(), Durability::Fast)?;
    Ok(())
}

/// In microseconds.
fn quantile(sorted_nanos: &[u64], share: f64) -> f64 {
    let at = ((sorted_nanos.len() - 1) as f64 * share).round() as usize;
    sorted_nanos[at] as f64 / 1000.0
}

/// What a listening process sleeps on.
#[derive(Clone, Copy)]
enum Sleeper {
    Futex,
    Tail,
}

impl Sleeper {
    fn name(self) -> &'static str {
        match self {
            Sleeper::Futex => "futex",
            Sleeper::Tail => "tail",
        }
    }
}

/// A listening process, and the page that is shared with it.
struct Peer {
    child: Child,
    page: Page,
    handed: u64,
}

impl Peer {
    fn start(settings: &Settings, sleeper: Sleeper, count: u32) -> Result<Peer> {
        let page = Page::create(&settings.data_dir().join(sleeper.name()))?;
        let child = Command::new(env::current_exe()?)
            .args([LISTEN, sleeper.name(), &count.to_string()])
            .arg(settings.data_dir())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut peer = Peer {
            child,
            page,
            handed: 0,
        };
        peer.await_answer()?;
        Ok(peer)
    }

    /// Notes the time, and wakes the other process with `wake`, once that is surely asleep.
    fn hand_off(&mut self, wake: impl FnOnce(&Page) -> Result<()>) -> Result<()> {
        std::thread::sleep(PAUSE);
        self.page.sent().store(now(), Release);
        wake(&self.page)?;
        self.handed += 1;
        self.await_answer()
    }

    fn await_answer(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.page.answered().load(Acquire) <= self.handed {
            if start.elapsed() > TOO_LONG {
                self.child.kill()?;
                return Err("the listening process does not answer".into());
            }
            std::thread::sleep(PAUSE / 10);
        }
        Ok(())
    }

    fn latencies(self) -> Result<Vec<u64>> {
        let output = self.child.wait_with_output()?;
        let mut latencies: Vec<u64> = serde_json::from_slice(&output.stdout)?;
        latencies.sort_unstable();
        Ok(latencies)
    }
}

/// A process that listens, as the arguments say.
pub(crate) struct Listener {
    sleeper: Sleeper,
    count: u32,
    dir: PathBuf,
}

/// What this process is to listen to, if that is what it was started for.
pub(crate) fn listener_from_args() -> Option<Listener> {
    let mut args = env::args().skip(1);
    if args.next()? != LISTEN {
        return None;
    }
    let sleeper = if args.next()? == Sleeper::Tail.name() {
        Sleeper::Tail
    } else {
        Sleeper::Futex
    };
    Some(Listener {
        sleeper,
        count: args.next()?.parse().ok()?,
        dir: args.next()?.into(),
    })
}

impl Listener {
    /// Listens, and prints after how many nanoseconds each wake-up came.
    pub(crate) fn listen(self) -> Result<()> {
        let page = Page::open(&self.dir.join(self.sleeper.name()))?;
        let mut latencies = Vec::with_capacity(self.count as usize);
        match self.sleeper {
            Sleeper::Futex => self.listen_to_futex(&page, &mut latencies),
            Sleeper::Tail => self.listen_to_pool(&page, &mut latencies)?,
        }
        std::io::stdout().write_all(&serde_json::to_vec(&latencies)?)?;
        Ok(())
    }

    fn listen_to_futex(&self, page: &Page, latencies: &mut Vec<u64>) {
        for handled in 0..self.count {
            page.answered().store(u64::from(handled) + 1, Release);
            while page.word().load(Acquire) == handled {
                futex::wait(page.word(), handled);
            }
            latencies.push(now().saturating_sub(page.sent().load(Acquire)));
        }
        page.answered().store(u64::from(self.count) + 1, Release);
    }

    fn listen_to_pool(&self, page: &Page, latencies: &mut Vec<u64>) -> Result<()> {
        let pool = Client::new(&self.dir).open_pool_to_read(&PoolRef::parse(POOL)?)?;
        let mut tail = pool.tail(TailOptions::default())?;
        let mut message = Message::default();
        for handled in 0..self.count {
            page.answered().store(u64::from(handled) + 1, Release);
            match tail.read(&mut message)? {
                Next::Message => latencies.push(now().saturating_sub(page.sent().load(Acquire))),
                other => return Err(format!("expected a message, got {other:?}").into()),
            }
        }
        page.answered().store(u64::from(self.count) + 1, Release);
        Ok(())
    }
}

/// Nanoseconds on a clock that all processes share.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// A page that two processes share.
struct Page(MmapMut);

impl Page {
    const SIZE: u64 = 4096;

    fn create(path: &Path) -> Result<Page> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(Page::SIZE)?;
        Page::map(&file)
    }

    fn open(path: &Path) -> Result<Page> {
        Page::map(&OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn map(file: &File) -> Result<Page> {
        // SAFETY: the mapping is only ever accessed as the atomics below, by both processes, and the file, which is in
        // a directory of this run, keeps the size that `create` gave it.
        Ok(Page(unsafe { MmapMut::map_mut(file)? }))
    }

    /// What the bare hand-off sleeps on: how many there have been.
    fn word(&self) -> &AtomicU32 {
        // SAFETY: bytes 0 to 3 of the page, which is mapped as long as `self` lives; no other width touches them.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().cast_mut().cast()) }
    }

    /// When the last hand-off began.
    fn sent(&self) -> &AtomicU64 {
        self.long(1)
    }

    /// One more than the hand-offs that were answered; 0 until the listener is ready.
    fn answered(&self) -> &AtomicU64 {
        self.long(2)
    }

    /// A word on a cache line of its own.
    fn long(&self, line: usize) -> &AtomicU64 {
        assert!(line < Page::SIZE as usize / 64);
        // SAFETY: the check above keeps the word in the page, which is mapped as long as `self` lives; no other width
        // touches it.
        unsafe { AtomicU64::from_ptr(self.0.as_ptr().cast_mut().add(line * 64).cast()) }
    }
}

mod futex {
    //! Two system calls.

    use std::ptr;
    use std::sync::atomic::AtomicU32;

    pub(super) fn wake(word: &AtomicU32) {
        // SAFETY: the word is borrowed, hence mapped, for the whole call, which takes no other pointer.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE,
                libc::c_int::MAX,
            )
        };
    }

    pub(super) fn wait(word: &AtomicU32, seen: u32) {
        // SAFETY: the word is borrowed, hence mapped, for the whole call; a null timeout means none.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                seen,
                ptr::null::<libc::timespec>(),
            )
        };
    }
}
