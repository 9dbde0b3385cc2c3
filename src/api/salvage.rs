//! Saves the undamaged messages of a damaged pool into a new one.

use std::path::Path;

use super::client::Client;
use super::draft::Draft;
use super::pool_ref::PoolRef;
use crate::core::geometry::Geometry;
use crate::core::salvage::{Duplicate, Loss, Salvage};
use crate::platform::boot::boot_word;
use crate::platform::clock::now_nanos;
use crate::platform::mapped::{Access, MappedFile};
use crate::{Error, ErrorKind, Result};

/// What came of a salvage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Salvaged {
    /// How many messages were saved.
    pub messages: u64,
    /// The oldest and the newest seq among them.
    pub bounds: super::Bounds,
    /// What was retained and cannot be had any more.
    pub losses: Vec<Loss>,
    /// Frames that claim a seq which was saved from elsewhere in the file.
    pub duplicates: Vec<Duplicate>,
    /// What had to be taken for granted, because nothing undamaged says it.
    pub assumed: Vec<String>,
    /// Whether the pool's own header told its dimensions.
    pub header_is_sound: bool,
    /// The size of the pool's file, as it was made.
    pub file_size: u64,
    /// How many index slots it has.
    pub index_capacity: u64,
}

impl Client {
    /// Saves every undamaged message of `pool` into a new pool `out` of the same dimensions, under their own seqs and
    /// times, and tells what is lost. The damaged file is only read.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `out` is there; `Corrupt` if no message could be saved, and `out` is then not made; else as
    /// [`create_pool`](Client::create_pool) and [`verify_pool`](Client::verify_pool).
    pub fn salvage_pool(&self, pool: &PoolRef, out: &PoolRef) -> Result<Salvaged> {
        let (from, to) = (pool.path_in(self.dir()), out.path_in(self.dir()));
        let file = self.map(pool, &from, Access::ReadOnly)?;
        let boot = boot_word(file.file())?.unwrap_or(0);
        let size = file.size();
        let mut found = Salvage::search(file, size, boot).map_err(|error| error.path(&from))?;
        let is_empty = found.oldest_time().is_none() && !found.losses.is_empty();
        if is_empty {
            return Err(nothing_left(&from));
        }
        let geometry = *found.geometry();
        let oldest = found.oldest_time().unwrap_or(u64::MAX);
        let created = found.created.unwrap_or_else(now_nanos).min(oldest);
        let mut saved = Salvaged::default_for(&geometry);
        self.create_filled(out, &to, geometry, created, |draft| {
            copy(&mut found, draft, &mut saved)
        })
        .map_err(|error| match error.path_ref() {
            Some(_) => error,
            None => error.path(&to),
        })?;
        saved.losses = found.losses;
        saved.duplicates = found.duplicates;
        saved.assumed = found.assumed;
        saved.header_is_sound = found.header_is_sound;
        Ok(saved)
    }
}

impl Salvaged {
    fn default_for(geometry: &Geometry) -> Salvaged {
        Salvaged {
            messages: 0,
            bounds: super::Bounds::default(),
            losses: Vec::new(),
            duplicates: Vec::new(),
            assumed: Vec::new(),
            header_is_sound: false,
            file_size: geometry.file_size,
            index_capacity: geometry.index_capacity,
        }
    }
}

/// Fills the new pool with what was found.
fn copy(found: &mut Salvage<MappedFile>, draft: &Draft, saved: &mut Salvaged) -> Result<()> {
    found.messages(|frame| {
        let Some(header) = frame.header() else {
            return Ok(());
        };
        draft.push(header.seq, header.time, frame.entry())?;
        saved.messages += 1;
        saved.bounds.oldest.get_or_insert(header.seq);
        saved.bounds.newest = Some(header.seq);
        Ok(())
    })
}

fn nothing_left(path: &Path) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "not one message of the pool is undamaged, so nothing was saved",
    )
    .hint("restore the file from a copy")
    .path(path)
}
