//! A file of lines that is opened to append, and locked for each write.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use fs2::FileExt;

use crate::peer::{Peer, Result, Strength, TOGETHER};

/// The file, and a buffer in which a line gets its end.
pub(crate) struct LockedFile {
    file: File,
    path: PathBuf,
    strength: Strength,
    buffer: Vec<u8>,
}

impl LockedFile {
    pub(crate) fn create(dir: &Path, strength: Strength) -> Result<LockedFile> {
        let path = dir.join("messages.jsonl");
        Ok(LockedFile {
            file: OpenOptions::new().create(true).append(true).open(&path)?,
            path,
            strength,
            buffer: Vec::new(),
        })
    }

    fn append(&mut self, records: &[Vec<u8>]) -> Result<()> {
        self.buffer.clear();
        for record in records {
            self.buffer.extend_from_slice(record);
            self.buffer.push(b'\n');
        }
        self.file.lock_exclusive()?;
        self.file.write_all(&self.buffer)?;
        FileExt::unlock(&self.file)?;
        if self.strength == Strength::Power {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn reader(&self) -> Result<BufReader<File>> {
        Ok(BufReader::with_capacity(64 << 10, File::open(&self.path)?))
    }
}

impl Peer for LockedFile {
    fn name(&self) -> &'static str {
        match self.strength {
            Strength::Process => "locked O_APPEND file",
            Strength::Power => "locked O_APPEND file, fdatasync",
        }
    }

    fn reset(&mut self) -> Result<()> {
        Ok(self.file.set_len(0)?)
    }

    fn append_each(&mut self, records: &[Vec<u8>]) -> Result<()> {
        records.chunks(1).try_for_each(|record| self.append(record))
    }

    fn append_together(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let mut chunks = records.chunks(TOGETHER);
        chunks.try_for_each(|records| self.append(records))
    }

    fn read(&mut self, count: usize) -> Result<u64> {
        let mut reader = self.reader()?;
        let mut line = Vec::new();
        let mut bytes = 0;
        for _ in 0..count {
            bytes += next(&mut reader, &mut line)?;
        }
        Ok(bytes)
    }

    fn hand_over(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        let mut reader = self.reader()?;
        let mut line = Vec::new();
        let mut bytes = 0;
        for record in records.chunks(1) {
            self.append(record)?;
            bytes += next(&mut reader, &mut line)?;
        }
        Ok(bytes)
    }
}

fn next(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<u64> {
    line.clear();
    reader.read_until(b'\n', line)?;
    match line.last() {
        Some(b'\n') => Ok(line.len() as u64 - 1),
        _ => Err("the file ends within a line".into()),
    }
}
