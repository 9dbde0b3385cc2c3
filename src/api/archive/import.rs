//! `Client::import_pool`: a pool out of an archive, or none at all.

use std::io::Read;

use super::reader::{ArchiveReader, Envelope};
use crate::api::client::already_exists;
use crate::api::{Batch, Bounds, Client, CreateOptions, Durability, Pool, PoolRef, Timestamp};
use crate::core::geometry::Geometry;
use crate::{Error, ErrorKind, Result};

/// Messages are appended together, up to about so many bytes.
const BATCH_BYTES: u64 = 256 * 1024;
/// Sizes that are suggested are multiples of this.
const SIZE_STEP: u64 = 64 * 1024;

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

/// The oldest messages of an archive, which did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many they are.
    pub messages: u64,
    /// The seq of the first.
    pub first: u64,
    /// The last seq before those that were kept.
    pub last: u64,
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
        let create = create_options(&reader, options);
        let mut imported = None;
        let pool = self.create_with(pool, &path, create, reader.created(), |draft| {
            let mut import = Import::new(draft);
            import.run(&mut reader, progress)?;
            imported = Some(import.judge(create, options.drop_oldest)?);
            Ok(())
        })?;
        // `create_with` has returned a pool, so it has called its closure.
        let imported = imported.unwrap_or(Imported {
            messages: 0,
            bounds: Bounds::default(),
            dropped: None,
        });
        Ok((pool, imported))
    }
}

fn create_options(reader: &ArchiveReader<impl Read>, options: ImportOptions) -> CreateOptions {
    let (file_size, slots) = (reader.file_size(), reader.index_capacity());
    let size = options.size_bytes.unwrap_or(file_size);
    let same = (size == file_size || slots == 0).then_some(slots);
    CreateOptions {
        size_bytes: Some(size),
        index_capacity: options.index_capacity.or(same),
    }
}

/// The messages of an archive on their way into a pool that has no name yet.
struct Import<'a> {
    draft: &'a Pool,
    /// The message at hand.
    one: Batch,
    pending: Batch,
    stamps: Vec<(u64, Timestamp)>,
    messages: u64,
    first: Option<u64>,
    /// The bytes of the ring that all messages would take, and the largest of them.
    total_bytes: u64,
    largest: u64,
    /// The newest message that is too large for the pool, with its size.
    too_large: Option<(u64, u64)>,
}

impl<'a> Import<'a> {
    fn new(draft: &'a Pool) -> Import<'a> {
        Import {
            draft,
            one: Batch::new(),
            pending: Batch::new(),
            stamps: Vec::new(),
            messages: 0,
            first: None,
            total_bytes: 0,
            largest: 0,
            too_large: None,
        }
    }

    fn run(
        &mut self,
        reader: &mut ArchiveReader<impl Read>,
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        while let Some(Envelope { seq, time }) = reader.next(&mut self.one)? {
            self.take(seq, time)?;
            self.messages += 1;
            progress(self.messages);
        }
        self.append()
    }

    fn take(&mut self, seq: u64, time: Timestamp) -> Result<()> {
        let size = self.one.frame_bytes();
        self.first.get_or_insert(seq);
        self.total_bytes = self.total_bytes.saturating_add(size);
        self.largest = self.largest.max(size);
        let limit = self.draft.max_batch_bytes();
        if size > limit {
            self.too_large = Some((seq, size));
            return Ok(());
        }
        if self.pending.frame_bytes() + size > limit.min(BATCH_BYTES) {
            self.append()?;
        }
        self.pending.extend(&self.one);
        self.stamps.push((seq, time));
        Ok(())
    }

    fn append(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.draft
                .append_batch_at(&self.pending, &self.stamps, Durability::Fast)?;
        }
        self.pending.clear();
        self.stamps.clear();
        Ok(())
    }

    /// Whether what the pool holds by now is what was asked for. The ring has dropped the oldest where not all fit.
    fn judge(&self, options: CreateOptions, may_drop: bool) -> Result<Imported> {
        let info = self.draft.info()?;
        let kept = info.metrics.message_count;
        let dropped = match (self.first, info.bounds.oldest) {
            (Some(first), Some(oldest)) if kept < self.messages => Some(Dropped {
                messages: self.messages - kept,
                first,
                last: oldest - 1,
            }),
            _ => None,
        };
        // One that is too large may be among the oldest, and leave nothing behind; it may not leave a gap.
        if let Some((seq, size)) = self.too_large
            && (!may_drop || info.bounds.oldest.is_none_or(|oldest| oldest < seq))
        {
            return Err(self.too_large(seq, size, options));
        }
        match dropped {
            Some(dropped) if !may_drop => Err(self.too_many(dropped, options)),
            _ => Ok(Imported {
                messages: kept,
                bounds: info.bounds,
                dropped,
            }),
        }
    }

    #[cold]
    fn too_many(&self, dropped: Dropped, options: CreateOptions) -> Error {
        let Dropped {
            messages,
            first,
            last,
        } = dropped;
        let message = format!(
            "not all messages fit: {messages} of {}, with numbers from {first} to {last}, would be lost",
            self.messages
        );
        Error::new(ErrorKind::Usage, message).hint(format!(
            "ask for `--size {}`, which takes them all, or for --drop-oldest to go on without them",
            self.fitting_size(options)
        ))
    }

    #[cold]
    fn too_large(&self, seq: u64, size: u64, options: CreateOptions) -> Error {
        let message = format!(
            "message {seq} takes {size} bytes, and a pool of this size takes messages of up to {} bytes",
            self.draft.max_batch_bytes()
        );
        let hint = format!(
            "ask for `--size {}`, which takes all messages",
            self.fitting_size(options)
        );
        Error::new(ErrorKind::Usage, message).hint(hint).seq(seq)
    }

    /// A size of file that all messages fit into.
    fn fitting_size(&self, options: CreateOptions) -> u64 {
        let fits = |size: u64| {
            Geometry::for_file(size, options.index_capacity).is_ok_and(|geometry| {
                geometry.ring_size >= self.total_bytes && geometry.max_batch() >= self.largest
            })
        };
        let mut size = SIZE_STEP;
        while !fits(size) && size < 1 << 62 {
            size = (size + size / 16).next_multiple_of(SIZE_STEP);
        }
        size
    }
}
