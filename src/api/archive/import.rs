//! `Client::import_pool`: a pool out of an archive, or none at all.

use std::io::Read;

use super::reader::{ArchiveReader, Envelope};
use crate::Result;
use crate::api::client::already_exists;
use crate::api::fill::{Filled, Filling};
use crate::api::{Batch, Bounds, Client, Dropped, Pool, PoolRef};
use crate::core::geometry::Geometry;

/// What pool an import makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// The size of the file in bytes; without it, that of the pool that was exported.
    pub size_bytes: Option<u64>,
    /// How many index slots. Without it, as many as the exported pool had; in a file of another size, the default
    /// number, unless there were none.
    pub index_capacity: Option<u64>,
    /// Whether the oldest messages may be left out if not all fit.
    pub drop_oldest: bool,
}

/// What was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many messages the new pool holds.
    pub messages: u64,
    /// The seqs of the oldest and the newest of them.
    pub bounds: Bounds,
    /// What was left out.
    pub dropped: Option<Dropped>,
}

impl Client {
    /// Makes a pool out of an archive, with the seqs, times, tags and data that are in it. The pool appears under its name
    /// whole and durable once the archive has been read to its end and found unaltered, or not at all. `progress` is told
    /// after each message how many have been done.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken; `Usage` if `archive` is none, or if not all of it fits and
    /// [`drop_oldest`](ImportOptions::drop_oldest) is not set; `Corrupt`, with a byte offset, if it was cut or altered;
    /// `Io` if it cannot be read; else as [`create_pool`](Client::create_pool).
    pub fn import_pool(
        &self,
        pool: &PoolRef,
        archive: impl Read,
        options: ImportOptions,
        progress: impl FnMut(u64),
    ) -> Result<(Pool, Imported)> {
        let path = pool.path_in(self.dir());
        // Only saves the reading of the archive: whoever is first to have the name is decided when it is given.
        if path.symlink_metadata().is_ok() {
            return Err(already_exists(pool, &path));
        }
        let mut reader = ArchiveReader::open(archive)?;
        let (size, index_capacity) = dimensions(&reader, options);
        let geometry = Geometry::for_file(size, index_capacity)?;
        let created = reader.created().as_nanos();
        let mut filled = None;
        let pool = self.create_filled(pool, &path, geometry, created, |draft| {
            let mut filling = Filling::new(draft);
            copy(&mut reader, &mut filling, progress)?;
            filled = Some(filling.judge(filling.taken(), index_capacity, options.drop_oldest)?);
            Ok(())
        })?;
        // `create_filled` has returned a pool, so it has called its closure.
        let Filled {
            messages,
            bounds,
            dropped,
        } = filled.unwrap_or_default();
        let imported = Imported {
            messages,
            bounds,
            dropped,
        };
        Ok((pool, imported))
    }
}

/// The file size and the index slots to ask for; no slots for the default.
fn dimensions(reader: &ArchiveReader<impl Read>, options: ImportOptions) -> (u64, Option<u64>) {
    let (file_size, slots) = (reader.file_size(), reader.index_capacity());
    let size = options.size_bytes.unwrap_or(file_size);
    let same = (size == file_size || slots == 0).then_some(slots);
    (size, options.index_capacity.or(same))
}

fn copy(
    reader: &mut ArchiveReader<impl Read>,
    filling: &mut Filling<'_>,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let mut one = Batch::new();
    let mut done = 0;
    while let Some(Envelope { seq, time }) = reader.next(&mut one)? {
        for entry in one.entries() {
            filling.take(seq, time.as_nanos(), entry)?;
        }
        done += 1;
        progress(done);
    }
    Ok(())
}
