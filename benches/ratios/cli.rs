//! The command line: `feed` against a scan, a copy and a checksum, `follow` against `cat`.

use std::cell::RefCell;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use plasmite::{Client, CreateOptions, Pool, PoolRef};

use crate::floor::{Ring, scan};
use crate::records::{Records, Spacing};
use crate::report::Report;
use crate::settings::{Result, Settings};
use crate::timing::{best_of, per_operation};

const FEED: &str = "feed, compact lines";
const FEED_SPACED: &str = "feed, lines as json.dumps writes";
const FOLLOW: &str = "follow --no-follow | cat";

const FEED_BAR: f64 = 8.0;
const FOLLOW_BAR: f64 = 6.0;
const ROUNDS: u64 = 5;

/// Measures the rows of the command line: wall time of the processes, in nanoseconds per message.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    feed(settings, report, FEED, Spacing::Compact)?;
    feed(settings, report, FEED_SPACED, Spacing::Dumps)?;
    follow(settings, report)
}

/// 256 MiB of lines into a pool of 64 MiB.
fn feed(
    settings: &Settings,
    report: &mut Report,
    name: &'static str,
    spacing: Spacing,
) -> Result<()> {
    if !settings.wants(&[name]) {
        return Ok(());
    }
    let count = settings.amount(1 << 18, 1 << 15);
    let lines = settings.data_dir().join("lines.jsonl");
    Records::new().write_lines(&lines, count, spacing)?;
    let size = settings.amount(64 << 20, 16 << 20);
    let pool = create_pool(settings, "feed", size)?;
    let floor = RefCell::new(FeedFloor::new(settings, &lines, &pool)?);
    let best = best_of(
        ROUNDS,
        || per_operation(count, || floor.borrow_mut().run()),
        || {
            let before = newest(&pool)?;
            let cost = per_operation(count, || feed_file(settings, &lines))?;
            expect(newest(&pool)? - before, count)?;
            Ok(cost)
        },
    )?;
    report.add(name, "ns/message", best, Some(FEED_BAR));
    remove(&pool, &[&lines, &ring_path(settings)])
}

fn feed_file(settings: &Settings, lines: &Path) -> Result<()> {
    let status = plasmite(settings)
        .args(["feed", "feed"])
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

/// 512 MiB of envelopes, through a pipe.
fn follow(settings: &Settings, report: &mut Report) -> Result<()> {
    if !settings.wants(&[FOLLOW]) {
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
        .args(["feed", "follow", "-q"])
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

    let mut cat = Command::new("cat");
    cat.arg(&envelopes);
    let best = best_of(
        ROUNDS,
        || per_operation(count, || pipe_to_cat(&mut cat)),
        || per_operation(count, || pipe_to_cat(&mut follow_command(settings))),
    )?;
    report.add(FOLLOW, "ns/message", best, Some(FOLLOW_BAR));
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

fn plasmite(settings: &Settings) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plasmite"));
    command.arg("--dir").arg(settings.data_dir());
    command
}

fn create_pool(settings: &Settings, name: &str, size: u64) -> Result<Pool> {
    let options = CreateOptions {
        size_bytes: Some(size),
        ..CreateOptions::default()
    };
    Ok(Client::new(settings.data_dir()).create_pool(&PoolRef::parse(name)?, options)?)
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

fn succeeded(what: &str, status: ExitStatus) -> Result<()> {
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
