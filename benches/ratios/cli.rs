//! The command line: `feed` against a scan, a copy and a checksum, `follow` against `cat`, a start against `true`.

use std::cell::RefCell;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use plasmite::{Durability, Pool, Tags};

use crate::api::create_pool;
use crate::floor::{Ring, scan};
use crate::records::{Records, Spacing};
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};
use crate::timing::{Best, best_of, per_operation};

const FEEDS: [Feed; 3] = [
    Feed {
        name: "feed from a file, receipts",
        spacing: Spacing::Compact,
        quiet: false,
        bar: 3.0,
    },
    Feed {
        name: "feed from a file, -q",
        spacing: Spacing::Compact,
        quiet: true,
        bar: 2.0,
    },
    Feed {
        name: "feed from a file, spaced as json.dumps does",
        spacing: Spacing::Dumps,
        quiet: false,
        bar: 3.0,
    },
];

const FOLLOWS: [Follow; 3] = [
    Follow {
        name: "follow --no-follow | cat",
        filter: &[],
        bar: Some(Bar::RatioAtMost(3.0)),
    },
    Follow {
        name: "follow --no-follow --tag T | cat",
        filter: &["--tag", TAG],
        bar: None,
    },
    Follow {
        name: "follow --no-follow --where | cat",
        filter: &["--where", ".data.level == \"error\""],
        bar: None,
    },
];

const START: &str = "start-up of fetch, against true";
/// What a start may take beyond twice that of `true`, in milliseconds.
const START_EXTRA: f64 = 2.0;
const STARTS: u64 = 20;

/// What every message that is followed carries.
const TAG: &str = "bench";
const ROUNDS: u64 = 5;

/// How lines are fed.
struct Feed {
    name: &'static str,
    spacing: Spacing,
    quiet: bool,
    bar: f64,
}

/// How a pool is followed.
struct Follow {
    name: &'static str,
    filter: &'static [&'static str],
    bar: Option<Bar>,
}

/// Measures the rows of the command line: wall time of the processes.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for how in &FEEDS {
        feed(settings, report, how)?;
    }
    follow(settings, report)?;
    start(settings, report)
}

/// 256 MiB of lines into a pool of 64 MiB.
fn feed(settings: &Settings, report: &mut Report, how: &Feed) -> Result<()> {
    if !settings.wants(&[how.name]) {
        return Ok(());
    }
    let count = settings.amount(1 << 18, 1 << 15);
    let lines = settings.data_dir().join("lines.jsonl");
    Records::new().write_lines(&lines, count, how.spacing)?;
    let size = settings.amount(64 << 20, 16 << 20);
    let pool = create_pool(settings, "feed", size)?;
    let floor = RefCell::new(FeedFloor::new(settings, &lines, &pool)?);
    let best = best_of(
        ROUNDS,
        || per_operation(count, || floor.borrow_mut().run()),
        || {
            let before = newest(&pool)?;
            let cost = per_operation(count, || feed_file(settings, &lines, how.quiet))?;
            expect(newest(&pool)? - before, count)?;
            Ok(cost)
        },
    )?;
    report.add(Row::new(how.name, "ns/message", best).bar(Bar::RatioAtMost(how.bar)));
    remove(&pool, &[&lines, &ring_path(settings)])
}

fn feed_file(settings: &Settings, lines: &Path, quiet: bool) -> Result<()> {
    let status = plasmite(settings)
        .args(["feed", "feed"])
        .args(quiet.then_some("-q"))
        .stdin(File::open(lines)?)
        .stdout(Stdio::null())
        .status()?;
    succeeded("feed", status)
}

/// The lines in memory, and where what is left of them would be stored.
struct FeedFloor {
    text: Vec<u8>,
    lines: Vec<Line>,
    ring: Ring,
}

/// Where a line is. Nobody has to look for it, so finding it costs the floor nothing.
struct Line {
    place: Range<usize>,
    /// How long it is without the spaces between its tokens.
    stored: usize,
}

impl FeedFloor {
    fn new(settings: &Settings, lines: &Path, pool: &Pool) -> Result<FeedFloor> {
        let text = std::fs::read(lines)?;
        let ends = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at);
        let starts = std::iter::once(0).chain(ends.clone().map(|end| end + 1));
        // The same records once more, without spaces: what counts is how much there is to copy and to sum up.
        let stored = Records::new().lengths(ends.clone().count())?;
        let places = starts.zip(ends).map(|(start, end)| start..end);
        let lines = places
            .zip(stored)
            .map(|(place, stored)| Line { place, stored })
            .collect();
        let ring = Ring::create(&ring_path(settings), pool.info()?.ring_size)?;
        Ok(FeedFloor { text, lines, ring })
    }

    fn run(&mut self) -> Result<()> {
        for Line { place, stored } in &self.lines {
            let line = &self.text[place.clone()];
            scan(line)?;
            self.ring.store(&line[..*stored]);
        }
        Ok(())
    }
}

fn ring_path(settings: &Settings) -> PathBuf {
    settings.data_dir().join("feed.ring")
}

/// 512 MiB of envelopes, through a pipe. All messages have the tag, and one of five the level.
fn follow(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&FOLLOWS.map(|how| how.name)) {
        return Ok(());
    }
    let bytes = settings.amount(512 << 20, 64 << 20);
    let pool = create_pool(settings, "follow", bytes / 4 * 5)?;
    let (lines, envelopes) = (
        settings.data_dir().join("lines.jsonl"),
        settings.data_dir().join("envelopes.jsonl"),
    );
    // Records and envelopes around them take some 1,115 bytes a line.
    let count = bytes / 1115;
    Records::new().write_lines(&lines, count, Spacing::Compact)?;
    let fed = plasmite(settings)
        .args(["feed", "follow", "-q", "--tag", TAG])
        .stdin(File::open(&lines)?)
        .status()?;
    succeeded("feed", fed)?;
    let to_file = follow_command(settings)
        .stdout(File::create(&envelopes)?)
        .status()?;
    succeeded("follow", to_file)?;
    File::open(&envelopes)?.sync_all()?;
    expect(newest(&pool)?, count)?;
    expect(count_lines(&envelopes)?, count)?;
    for how in FOLLOWS.iter().filter(|how| settings.wants(&[how.name])) {
        let mut cat = Command::new("cat");
        cat.arg(&envelopes);
        let mut followed = follow_command(settings);
        followed.args(how.filter);
        let best = best_of(
            ROUNDS,
            || per_operation(count, || pipe_to_cat(&mut cat)),
            || per_operation(count, || pipe_to_cat(&mut followed)),
        )?;
        let row = Row::new(how.name, "ns/message", best);
        report.add(how.bar.into_iter().fold(row, Row::bar));
    }
    remove(&pool, &[&lines, &envelopes])
}

fn follow_command(settings: &Settings) -> Command {
    let mut command = plasmite(settings);
    command.args(["follow", "follow", "--no-follow"]);
    command
}

/// `SOURCE | cat >/dev/null`
fn pipe_to_cat(source: &mut Command) -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    let mut source_process = source.stdout(writer).spawn()?;
    // The command holds a copy of the pipe's end, and `cat` would wait for that one as well.
    source.stdout(Stdio::null());
    let cat = Command::new("cat")
        .stdin(reader)
        .stdout(Stdio::null())
        .status()?;
    succeeded("the source of the pipe", source_process.wait()?)?;
    succeeded("cat", cat)
}

/// From nothing to the end of a process that prints one message. The bar is twice what `true` takes and 2 ms more.
fn start(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[START]) {
        return Ok(());
    }
    let pool = create_pool(settings, "start", 1 << 20)?;
    let record = Records::new().take(1)?.remove(0);
    pool.append_json(&record, &Tags::none(), Durability::Fast)?;
    let mut fetch = plasmite(settings);
    fetch.args(["fetch", "start", "1"]);
    let best = best_of(
        settings.amount(20, 5),
        || time_starts(&mut Command::new("/bin/true")),
        || time_starts(&mut fetch),
    )?;
    let [floor, product] = [best.floor, best.product].map(|nanos| nanos / 1e6);
    let bar = Bar::RatioAtMost((2.0 * floor + START_EXTRA) / floor);
    report.add(Row::new(START, "ms", Best { floor, product }).bar(bar));
    remove(&pool, &[])
}

fn time_starts(command: &mut Command) -> Result<f64> {
    command.stdout(Stdio::null());
    per_operation(STARTS, || {
        (0..STARTS).try_for_each(|_| succeeded("the process that was started", command.status()?))
    })
}

/// The program, told where the pools of this run are.
pub(crate) fn plasmite(settings: &Settings) -> Command {
    plasmite_in(settings.data_dir())
}

/// The program, told where its pools are.
pub(crate) fn plasmite_in(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plasmite"));
    command.arg("--dir").arg(dir);
    command
}

fn newest(pool: &Pool) -> Result<u64> {
    Ok(pool.bounds()?.newest.unwrap_or(0))
}

fn count_lines(path: &Path) -> Result<u64> {
    let text = std::fs::read(path)?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}

fn expect(found: u64, wanted: u64) -> Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{wanted} messages should have gone through, and {found} have").into())
    }
}

/// Fails if the process did.
pub(crate) fn succeeded(what: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("{what} ended with {status}").into())
    }
}

fn remove(pool: &Pool, files: &[&Path]) -> Result<()> {
    std::fs::remove_file(pool.path())?;
    for file in files {
        std::fs::remove_file(file)?;
    }
    Ok(())
}
