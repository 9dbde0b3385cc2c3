//! Appends that survive power loss, against the sync calls over the same pages with nothing around them.

use std::fs::{self, OpenOptions};
use std::path::Path;

use memmap2::MmapMut;
use plasmite::{Batch, Durability, Pool};

use crate::api::{batches, create_pool};
use crate::records::Records;
use crate::report::{Bar, Report, Row};
use crate::settings::{Result, Settings};
use crate::timing::{best_of, per_operation};

const ONE: &str = "flush append";
const BATCH: &str = "flush append_batch of 256";

const POOL_SIZE: u64 = 16 << 20;
const PAGE: usize = 4096;
/// What a frame takes beyond its data, about.
const HEADER: usize = 56;
/// Syncs of one kind before the other has its turn.
const TURN: usize = 8;

/// Measures the rows of durable appends, in microseconds per append.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for (name, length) in [(ONE, 1), (BATCH, 256)] {
        if settings.wants(&[name]) {
            flush(settings, report, name, length)?;
        }
    }
    Ok(())
}

fn flush(settings: &Settings, report: &mut Report, name: &str, length: usize) -> Result<()> {
    let pool = create_pool(settings, "flush", POOL_SIZE)?;
    let records = Records::new().take(TURN * length)?;
    let batches = batches(&records, length)?;
    let path = settings.data_dir().join("flush.ring");
    let mut floor = SyncedRing::create(&path, pool.info()?.file_size as usize)?;
    go_round(&pool, &batches)?;
    let best = best_of(
        settings.amount(50, 4),
        || {
            per_operation(TURN as u64, || {
                let mut frames = records.chunks(length);
                frames.try_for_each(|frames| floor.append(frames))
            })
        },
        || {
            per_operation(TURN as u64, || {
                batches.iter().try_for_each(|batch| {
                    pool.append_batch(batch, Durability::Flush)?;
                    Ok(())
                })
            })
        },
    )?;
    let best = best.map(|nanos| nanos / 1000.0);
    report.add(Row::new(name, "us/append", best).bar(Bar::RatioAtMost(1.2)));
    fs::remove_file(pool.path())?;
    fs::remove_file(path)?;
    Ok(())
}

/// Writes every page once, so that what is timed has no block of the disk to allocate.
fn go_round(pool: &Pool, batches: &[Batch]) -> Result<()> {
    let mut bytes = 0;
    for batch in batches.iter().cycle() {
        if bytes > POOL_SIZE {
            break;
        }
        pool.append_batch(batch, Durability::Fast)?;
        bytes += batch.frame_bytes();
    }
    Ok(pool.flush()?)
}

/// A file of a pool's size: frames go into the part behind its first page, and each append is made to last. Once in a
/// quarter of a lap the first page says from where on, and is made to last, too.
struct SyncedRing {
    map: MmapMut,
    at: usize,
    anchor: usize,
    count: u8,
}

impl SyncedRing {
    fn create(path: &Path, size: usize) -> Result<SyncedRing> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        fs2::FileExt::allocate(&file, size as u64)?;
        // SAFETY: the file was made here a moment ago, in a directory of this run, and nobody else touches it.
        let mut map = unsafe { MmapMut::map_mut(&file)? };
        map.fill(1);
        file.sync_all()?;
        Ok(SyncedRing {
            map,
            at: PAGE,
            anchor: PAGE,
            count: 0,
        })
    }

    /// Copies frames in and syncs them; now and then stores the checkpoint, and syncs that.
    fn append(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        let length = frames
            .iter()
            .map(|frame| frame.len() + HEADER)
            .sum::<usize>();
        if self.at + length > self.map.len() {
            (self.at, self.anchor) = (PAGE, PAGE);
        }
        let start = self.at;
        for frame in frames {
            self.map[self.at..self.at + frame.len()].copy_from_slice(frame);
            self.at += frame.len() + HEADER;
        }
        self.map.flush_range(start, length)?;
        if start - self.anchor > self.map.len() / 4 {
            self.anchor = start;
            self.count = self.count.wrapping_add(1);
            self.map[..8].fill(self.count);
            self.map.flush_range(0, PAGE)?;
        }
        Ok(())
    }
}
