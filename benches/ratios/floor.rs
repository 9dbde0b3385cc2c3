//! What the machine charges: a lock, the clock, a copy, a checksum, a scan. No protocol, no checks, no errors to tell.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::path::Path;
use std::time::SystemTime;

use fs2::FileExt;
use memmap2::MmapMut;
use serde_json::value::RawValue;

use crate::settings::Result;

/// Bytes in front of each payload: what a frame header takes.
const HEADER: usize = 48;

/// A mapped file of a pool's size that is gone through as a pool is, so that caches and pages behave alike.
pub(crate) struct Ring {
    file: File,
    map: MmapMut,
    at: usize,
}

impl Ring {
    /// A new file of `size` bytes, each page of it touched.
    pub(crate) fn create(path: &Path, size: u64) -> Result<Ring> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.allocate(size)?;
        // SAFETY: the file was made here a moment ago, in a directory of this run, and nobody else touches it.
        let mut map = unsafe { MmapMut::map_mut(&file)? };
        map.fill(1);
        file.sync_all()?;
        Ok(Ring { file, map, at: 0 })
    }

    /// One append: lock, clock, copy, checksum, unlock.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.file.lock_exclusive()?;
        black_box(SystemTime::now());
        self.store(payload);
        FileExt::unlock(&self.file)?;
        Ok(())
    }

    /// Copies a frame in, and computes its payload's checksum.
    pub(crate) fn store(&mut self, payload: &[u8]) {
        let crc = crc32c::crc32c(payload);
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&crc.to_ne_bytes());
        self.copy_in(&header);
        self.copy_in(payload);
        self.at = self.at.next_multiple_of(8) % self.map.len();
    }

    /// Copies a payload of the length of `buffer` out, and computes its checksum.
    pub(crate) fn load(&mut self, buffer: &mut [u8]) {
        let mut header = [0; HEADER];
        self.copy_out(&mut header);
        self.copy_out(buffer);
        self.at = self.at.next_multiple_of(8) % self.map.len();
        black_box((header, crc32c::crc32c(buffer)));
    }

    /// Goes on at this byte.
    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at.next_multiple_of(8) % self.map.len();
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    fn copy_in(&mut self, bytes: &[u8]) {
        let to_wrap = bytes.len().min(self.map.len() - self.at);
        let (first, rest) = bytes.split_at(to_wrap);
        self.map[self.at..self.at + to_wrap].copy_from_slice(first);
        self.map[..rest.len()].copy_from_slice(rest);
        self.at = (self.at + bytes.len()) % self.map.len();
    }

    fn copy_out(&mut self, bytes: &mut [u8]) {
        let to_wrap = bytes.len().min(self.map.len() - self.at);
        let length = bytes.len();
        let (first, rest) = bytes.split_at_mut(to_wrap);
        first.copy_from_slice(&self.map[self.at..self.at + to_wrap]);
        rest.copy_from_slice(&self.map[..rest.len()]);
        self.at = (self.at + length) % self.map.len();
    }
}

/// Finds out that `text` is one JSON value.
pub(crate) fn scan(text: &[u8]) -> Result<()> {
    black_box(serde_json::from_slice::<&RawValue>(text)?);
    Ok(())
}
