//! `Client::resize_pool`: the same pool in a file of another size.
//!
//! The new file is filled while writers go on, then brought up to date and given the name while the writer lock is held. So
//! there is one pool under the name at any moment, with every message that was acknowledged.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::client::{Client, LOCK_WAIT, refuse_link, refuse_other_names, replaced};
use super::draft::Draft;
use super::fill::{Dropped, Filled, Filling, Whole};
use super::pool::{Bounds, Pool};
use super::pool_ref::PoolRef;
use super::tail::retention_gap;
use super::walk::Walk;
use crate::core::frame::Entry;
use crate::core::geometry::Geometry;
use crate::platform::replace::Successor;
use crate::{Error, ErrorKind, Result};

/// What size a pool is to have.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResizeOptions {
    /// The size of the file in bytes; without it, as it is.
    pub size_bytes: Option<u64>,
    /// How many index slots. Without it, as many as there are; in a file of another size, the default number, unless
    /// there are none.
    pub index_capacity: Option<u64>,
    /// Whether the oldest messages may be let go of if not all fit.
    pub drop_oldest: bool,
}

/// How large a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dimensions {
    /// The size of its file in bytes.
    pub file_size: u64,
    /// How many index slots it has.
    pub index_capacity: u64,
}

/// What became of a pool that was resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resized {
    /// What it was.
    pub before: Dimensions,
    /// What it is.
    pub after: Dimensions,
    /// How many messages it holds.
    pub messages: u64,
    /// The seqs of the oldest and the newest of them.
    pub bounds: Bounds,
    /// What was let go of.
    pub dropped: Option<Dropped>,
}

impl Client {
    /// Gives a pool a file of another size, with all its messages. Writers may go on until the very end, when they wait for
    /// a moment. Then handles that were open to the pool fail with `NotFound`, and have to be opened anew: what they had
    /// appended is there, and numbers go on where they were. `progress` is told how many messages have been copied.
    ///
    /// The pool stays as it was if this fails, or is killed at any moment before the end.
    ///
    /// # Errors
    ///
    /// `Usage` for an impossible size, or if not all messages fit and [`drop_oldest`](ResizeOptions::drop_oldest) is not
    /// set; `Corrupt` if a message is damaged; `Permission` if the new file could not be used by those who may use the old
    /// one; `Busy` if a writer keeps the lock; else as [`open_pool`](Client::open_pool) and
    /// [`delete_pool`](Client::delete_pool).
    pub fn resize_pool(
        &self,
        pool: &PoolRef,
        options: ResizeOptions,
        progress: impl FnMut(u64),
    ) -> Result<Resized> {
        let mut progress = progress;
        let path = pool.path_in(self.dir());
        refuse_link(&path, "resize")?;
        let old = self.open_pool(pool)?;
        let resize = Resize::new(&old, &path, options).map_err(|error| error.path(&path))?;
        let resized = match resize.run(Writers::GoOn, &mut progress) {
            // Writers overwrote what was still to be copied.
            Err(error) if error.kind() == ErrorKind::RetentionGap => {
                resize.run(Writers::Wait, &mut progress)
            }
            done => done,
        };
        resized.map_err(|error| error.path(&path))
    }
}

/// What writers do while most of the messages are copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    GoOn,
    Wait,
}

/// A pool on its way to another size.
struct Resize<'a> {
    old: &'a Pool,
    path: &'a Path,
    geometry: Geometry,
    /// The index slots that were asked for; none for the default.
    index_capacity: Option<u64>,
    drop_oldest: bool,
}

impl Resize<'_> {
    fn new<'a>(old: &'a Pool, path: &'a Path, options: ResizeOptions) -> Result<Resize<'a>> {
        if options.size_bytes.is_none() && options.index_capacity.is_none() {
            return Err(Error::new(ErrorKind::Usage, "no size was asked for")
                .hint("say which with --size, such as `--size 8M`"));
        }
        refuse_other_names(old.shared.core.memory(), path)?;
        let present = old.shared.core.geometry();
        let size = options.size_bytes.unwrap_or(present.file_size);
        let stays = size == present.file_size || present.index_capacity == 0;
        let index_capacity = options
            .index_capacity
            .or(stays.then_some(present.index_capacity));
        Ok(Resize {
            old,
            path,
            geometry: Geometry::for_file(size, index_capacity)?,
            index_capacity,
            drop_oldest: options.drop_oldest,
        })
    }

    fn run(&self, writers: Writers, progress: &mut impl FnMut(u64)) -> Result<Resized> {
        let shared = &self.old.shared;
        let old = &shared.core;
        let successor = Successor::of(old.memory(), self.path, self.geometry.file_size)?;
        let draft = Draft::successor(successor.file(), self.geometry, old)?;
        let mut copy = Copy::new(self.old, &draft);
        if writers == Writers::GoOn {
            copy.catch_up(progress)?;
            // The disk takes its time, in which more may come.
            successor.persist()?;
            copy.catch_up(progress)?;
        }
        let complete = || {
            let locked = Instant::now();
            copy.catch_up(progress)?;
            let filled = self.judge(&copy.filling)?;
            draft.inherit(old);
            draft.finish()?;
            match old.memory().is_at(self.path) {
                true => Ok((filled, successor.take_over(locked)?)),
                false => Err(replaced("resize")),
            }
        };
        let (filled, durable) = old.replace(&shared.lock, &shared.bell, LOCK_WAIT, complete)?;
        durable?;
        Ok(self.result(filled))
    }

    /// What the new pool holds by now, if that is all there is. The caller holds the writer lock.
    fn judge(&self, filling: &Filling<'_>) -> Result<Filled> {
        let whole = match self.old.shared.core.extent()? {
            None => Whole::default(),
            Some(extent) => Whole {
                messages: extent.messages,
                first: Some(extent.oldest.seq),
                bytes: extent.bytes(),
            },
        };
        // One that was too large and has been overwritten since is no loss, but would be missing among what was copied.
        match (filling.too_large(), whole.first) {
            (Some(seq), Some(first)) if seq < first => Err(retention_gap(seq, seq)),
            _ => filling.judge(whole, self.index_capacity, self.drop_oldest),
        }
    }

    fn result(&self, filled: Filled) -> Resized {
        let dimensions = |geometry: &Geometry| Dimensions {
            file_size: geometry.file_size,
            index_capacity: geometry.index_capacity,
        };
        Resized {
            before: dimensions(self.old.shared.core.geometry()),
            after: dimensions(&self.geometry),
            messages: filled.messages,
            bounds: filled.bounds,
            dropped: filled.dropped,
        }
    }
}

/// The messages of the old pool on their way into the new one.
struct Copy<'a> {
    old: &'a Pool,
    walk: Walk,
    filling: Filling<'a>,
    done: u64,
}

impl Copy<'_> {
    fn new<'a>(old: &'a Pool, draft: &'a Draft) -> Copy<'a> {
        Copy {
            old,
            walk: Walk::default(),
            filling: Filling::new(draft),
            done: 0,
        }
    }

    /// Copies what is there and was not copied yet.
    fn catch_up(&mut self, progress: &mut impl FnMut(u64)) -> Result<()> {
        self.walk.go_on(self.old, |message| {
            let (tags, data) = message.stored();
            let entry = Entry::new(tags, data);
            self.filling
                .take(message.seq(), message.time().as_nanos(), entry)?;
            self.done += 1;
            progress(self.done);
            Ok(())
        })
    }
}
