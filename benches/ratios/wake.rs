//! From an append to the readers that slept, against a bare futex between processes.
//!
//! All sleepers are processes of their own, and tell how long before the time was noted that they were woken for. The
//! product's figure holds all of it: lock, append, bell, and the verified read.
//!
//! Writer and reader are kept on two processors, or on one. Left alone, the system chooses; with one sleeper it mostly
//! puts both on the writer's, where a bare hand-off is a switch of processes and no more. That is less than the lock and
//! the copy of a message take after a pause, so no bar is held against it, and the row is there to be seen.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use plasmite::{
    Client, CreateOptions, Durability, Message, Next, Pool, PoolRef, Tags, TailOptions,
};

use crate::records::Records;
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};
use crate::shared::{Page, futex, now, processors};
use crate::timing::{Best, best_of};

/// What is shown, and the share of hand-offs that come sooner; with the bar across processors.
const SHARES: [(&str, f64, f64); 2] = [("median", 0.5, 1.5), ("99th percentile", 0.99, 2.0)];
const ACROSS: &str = "wake-up across processors";
const WITHIN: &str = "wake-up on one processor";
const LAST: &str = "wake-up, last of 100 readers, median";
const ALL: &str = "wake-up, readers woken of 100, fewest";

/// The first argument of a listening process.
pub(crate) const ROLE: &str = "--listen";
/// Long enough for one sleeper to be asleep again, and what each further one adds to it.
const PAUSE: Duration = Duration::from_micros(500);
const PAUSE_EACH: Duration = Duration::from_micros(30);
/// Long enough that whoever still waits has lost a wake-up, or the other process.
const TOO_LONG: Duration = Duration::from_secs(20);
/// A reader that was woken comes before this; one that looked for itself, at the earliest once its sleep of 50 ms is over.
const SOON: u64 = 25_000_000;
/// Hand-offs of one kind before the other has its turn.
const TURN: u32 = 50;
const CROWD: u32 = 100;

/// Measures the rows of wake-ups, in microseconds.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    one(settings, report)?;
    crowd(settings, report)
}

/// One sleeping reader, on another processor and on the writer's.
fn one(settings: &Settings, report: &mut Report) -> Result<()> {
    let usable = processors::usable()?;
    let (Some(here), Some(there)) = (usable.first(), usable.last()) else {
        return Err("there is no processor".into());
    };
    if here != there {
        between(settings, report, ACROSS, [*here, *there])?;
    } else {
        println!("{ACROSS}: left out, there is but one");
    }
    between(settings, report, WITHIN, [*here, *here])?;
    Ok(processors::stay_on(&usable)?)
}

/// The writer stays on the first of two processors, and the reader on the second.
fn between(settings: &Settings, report: &mut Report, name: &str, at: [usize; 2]) -> Result<()> {
    if !settings.wants(
        &SHARES
            .map(|(share, ..)| format!("{name}, {share}"))
            .each_ref()
            .map(String::as_str),
    ) {
        return Ok(());
    }
    processors::stay_on(&at[..1])?;
    let count = settings.amount(3000, 300) as u32;
    let pool = PoolToWake::create(settings)?;
    let start = |sleeper| Group::start(settings, sleeper, &at[1..], 1, count);
    let (mut bare, mut tail) = (start(Sleeper::Futex)?, start(Sleeper::Tail)?);
    for _ in 0..count / TURN {
        for _ in 0..TURN {
            bare.hand_off(ring_bare)?;
        }
        for _ in 0..TURN {
            tail.hand_off(|_| pool.append())?;
        }
    }
    let (bare, tail) = (bare.latencies()?.of_last(), tail.latencies()?.of_last());
    for (share, part, bar) in SHARES {
        let best = Best {
            floor: quantile(&bare, part),
            product: quantile(&tail, part),
        };
        let row = Row::new(format!("{name}, {share}"), "us", best);
        report.add(match name {
            ACROSS => row.bar(Bar::RatioAtMost(bar)),
            _ => row,
        });
    }
    pool.remove()
}

/// A hundred sleeping readers: are they all woken, and when is the last of them.
fn crowd(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[LAST, ALL]) {
        return Ok(());
    }
    let (mut fewest_bare, mut fewest) = (CROWD as usize, CROWD as usize);
    let count = settings.amount(200, 20) as u32;
    let best = best_of(
        settings.amount(3, 1),
        || {
            let latencies = wake_all(settings, Sleeper::Futex, CROWD, count)?;
            fewest_bare = fewest_bare.min(latencies.fewest_soon());
            Ok(quantile(&latencies.of_last(), 0.5))
        },
        || {
            let latencies = wake_all(settings, Sleeper::Tail, CROWD, count)?;
            fewest = fewest.min(latencies.fewest_soon());
            Ok(quantile(&latencies.of_last(), 0.5))
        },
    )?;
    report.add(Row::new(LAST, "us", best).bar(Bar::RatioAtMost(2.0)));
    let woken = Best {
        floor: fewest_bare as f64,
        product: fewest as f64,
    };
    report.add(Row::new(ALL, "readers", woken).bar(Bar::ValueAtLeast(f64::from(CROWD))));
    Ok(())
}

/// How long it is until the last of so many readers is woken: the median, in microseconds.
pub(crate) fn last_of(settings: &Settings, readers: u32, count: u32) -> Result<Best> {
    let median = |sleeper| {
        let latencies = wake_all(settings, sleeper, readers, count)?;
        Ok(quantile(&latencies.of_last(), 0.5))
    };
    // How a group lies on the processors is a matter of luck, and stays as it is for a turn.
    best_of(6, || median(Sleeper::Futex), || median(Sleeper::Tail))
}

/// Wakes a group `count` times. Groups of different kinds never live at the same time: readers of a pool look for
/// themselves now and then, and a thousand of them would be felt.
fn wake_all(settings: &Settings, sleeper: Sleeper, readers: u32, count: u32) -> Result<Latencies> {
    let pool = PoolToWake::create(settings)?;
    let usable = processors::usable()?;
    let mut group = Group::start(settings, sleeper, &usable, readers, count)?;
    for _ in 0..count {
        group.hand_off(|page| match sleeper {
            Sleeper::Futex => ring_bare(page),
            Sleeper::Tail => pool.append(),
        })?;
    }
    let latencies = group.latencies()?;
    pool.remove()?;
    Ok(latencies)
}

fn ring_bare(page: &Page) -> Result<()> {
    page.word().fetch_add(1, Release);
    futex::wake(page.word());
    Ok(())
}

/// A small pool, and what is appended to it.
struct PoolToWake {
    pool: Pool,
    record: Vec<u8>,
}

impl PoolToWake {
    const NAME: &str = "wake";

    fn create(settings: &Settings) -> Result<PoolToWake> {
        let options = CreateOptions {
            size_bytes: Some(1 << 20),
            ..CreateOptions::default()
        };
        let client = Client::new(settings.data_dir());
        Ok(PoolToWake {
            pool: client.create_pool(&PoolRef::parse(PoolToWake::NAME)?, options)?,
            record: Records::new().take(1)?.remove(0),
        })
    }

    fn append(&self) -> Result<()> {
        self.pool
            .append_json(&self.record, &Tags::none(), Durability::Fast)?;
        Ok(())
    }

    fn remove(self) -> Result<()> {
        Ok(fs::remove_file(self.pool.path())?)
    }
}

/// In microseconds.
fn quantile(sorted_nanos: &[u64], share: f64) -> f64 {
    let at = ((sorted_nanos.len() - 1) as f64 * share).round() as usize;
    sorted_nanos[at] as f64 / 1000.0
}

/// After how many nanoseconds each hand-off reached each reader.
struct Latencies(Vec<Vec<u64>>);

impl Latencies {
    /// How long the last reader of each hand-off took, sorted.
    fn of_last(&self) -> Vec<u64> {
        let count = self.0.first().map_or(0, Vec::len);
        let last = |nth: usize| self.0.iter().map(move |reader| reader[nth]).max();
        let mut last: Vec<u64> = (0..count).filter_map(last).collect();
        last.sort_unstable();
        last
    }

    /// How many readers were woken, rather than looked for themselves, in the worst of the hand-offs.
    fn fewest_soon(&self) -> usize {
        let count = self.0.first().map_or(0, Vec::len);
        let soon = |nth: usize| {
            self.0
                .iter()
                .filter(move |reader| reader[nth] < SOON)
                .count()
        };
        (0..count).map(soon).min().unwrap_or(0)
    }
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

/// Listening processes, and the page that is shared with them.
struct Group {
    listeners: Vec<(Child, PathBuf)>,
    page: Page,
    page_path: PathBuf,
    handed: u64,
}

impl Group {
    /// So many listening processes, on these processors.
    fn start(
        settings: &Settings,
        sleeper: Sleeper,
        processors: &[usize],
        readers: u32,
        count: u32,
    ) -> Result<Group> {
        let processors = serde_json::to_string(processors)?;
        let page_path = settings.data_dir().join(sleeper.name());
        let mut group = Group {
            listeners: Vec::new(),
            page: Page::create(&page_path)?,
            page_path,
            handed: 0,
        };
        for nth in 0..readers {
            // Files, since pipes to a thousand processes are more than a process may hold.
            let told = settings
                .data_dir()
                .join(format!("{}.{nth}", sleeper.name()));
            let child = Command::new(env::current_exe()?)
                .args([ROLE, sleeper.name(), &count.to_string()])
                .arg(settings.data_dir())
                .arg(&processors)
                .stdout(File::create(&told)?)
                .spawn()?;
            group.listeners.push((child, told));
        }
        group.await_answers()?;
        Ok(group)
    }

    /// Notes the time, and wakes the other processes with `wake`, once they are surely asleep.
    fn hand_off(&mut self, wake: impl FnOnce(&Page) -> Result<()>) -> Result<()> {
        std::thread::sleep(PAUSE + PAUSE_EACH * self.listeners.len() as u32);
        self.page.sent().store(now(), Release);
        wake(&self.page)?;
        self.handed += 1;
        self.await_answers()
    }

    fn await_answers(&mut self) -> Result<()> {
        let start = Instant::now();
        let all = (self.handed + 1) * self.listeners.len() as u64;
        while self.page.answered().load(Acquire) < all {
            if start.elapsed() > TOO_LONG {
                return Err("not all listening processes answer".into());
            }
            std::thread::sleep(PAUSE / 10);
        }
        Ok(())
    }

    fn latencies(mut self) -> Result<Latencies> {
        let mut all = Vec::new();
        for (mut child, told) in std::mem::take(&mut self.listeners) {
            child.wait()?;
            all.push(serde_json::from_slice(&fs::read(&told)?)?);
            fs::remove_file(told)?;
        }
        fs::remove_file(&self.page_path)?;
        Ok(Latencies(all))
    }
}

impl Drop for Group {
    /// Ends whoever still listens, after a failure.
    fn drop(&mut self) {
        for (child, _) in &mut self.listeners {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Plays a listening process, as the arguments behind its role say.
pub(crate) fn play(mut args: impl Iterator<Item = String>) -> Result<()> {
    let mut next = || {
        args.next()
            .ok_or("a listener is told its sleeper, count, directory and processors")
    };
    let sleeper = if next()? == Sleeper::Tail.name() {
        Sleeper::Tail
    } else {
        Sleeper::Futex
    };
    let listener = Listener {
        sleeper,
        count: next()?.parse()?,
        dir: next()?.into(),
    };
    let processors: Vec<usize> = serde_json::from_str(&next()?)?;
    processors::stay_on(&processors)?;
    listener.listen()
}

/// A process that listens.
struct Listener {
    sleeper: Sleeper,
    count: u32,
    dir: PathBuf,
}

impl Listener {
    /// Listens, and prints after how many nanoseconds each wake-up came.
    fn listen(self) -> Result<()> {
        let page = Page::open(&self.dir.join(self.sleeper.name()))?;
        let mut latencies = Vec::with_capacity(self.count as usize);
        match self.sleeper {
            Sleeper::Futex => self.listen_to_futex(&page, &mut latencies),
            Sleeper::Tail => self.listen_to_pool(&page, &mut latencies)?,
        }
        page.answered().fetch_add(1, Release);
        std::io::stdout().write_all(&serde_json::to_vec(&latencies)?)?;
        Ok(())
    }

    fn listen_to_futex(&self, page: &Page, latencies: &mut Vec<u64>) {
        for handled in 0..self.count {
            page.answered().fetch_add(1, Release);
            while page.word().load(Acquire) == handled {
                futex::wait(page.word(), handled);
            }
            latencies.push(now().saturating_sub(page.sent().load(Acquire)));
        }
    }

    fn listen_to_pool(&self, page: &Page, latencies: &mut Vec<u64>) -> Result<()> {
        let pool = Client::new(&self.dir).open_pool_to_read(&PoolRef::parse(PoolToWake::NAME)?)?;
        let mut tail = pool.tail(TailOptions::default())?;
        let mut message = Message::default();
        for _ in 0..self.count {
            page.answered().fetch_add(1, Release);
            match tail.read(&mut message)? {
                Next::Message => latencies.push(now().saturating_sub(page.sent().load(Acquire))),
                other => return Err(format!("expected a message, got {other:?}").into()),
            }
        }
        Ok(())
    }
}
