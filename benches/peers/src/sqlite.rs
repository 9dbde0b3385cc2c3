//! A table of SQLite, with a write-ahead log.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::peer::{Peer, Result, TOGETHER};

const INSERT: &str = "INSERT INTO messages (time, data) VALUES (?1, ?2)";
const NEWEST: &str =
    "SELECT data FROM (SELECT id, data FROM messages ORDER BY id DESC LIMIT ?1) ORDER BY id";
const NEXT: &str = "SELECT id, data FROM messages WHERE id > ?1 ORDER BY id LIMIT 1";

/// A database, written through one connection and read through another.
pub(crate) struct Sqlite {
    writer: Connection,
    reader: Connection,
    name: &'static str,
}

impl Sqlite {
    /// `mode` is what `synchronous` is set to.
    pub(crate) fn create(dir: &Path, mode: &str) -> Result<Sqlite> {
        let path = dir.join(format!("messages-{mode}.sqlite"));
        let writer = Connection::open(&path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", mode)?;
        writer.execute_batch(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER, data TEXT)",
        )?;
        Ok(Sqlite {
            writer,
            reader: Connection::open(&path)?,
            name: match mode {
                "NORMAL" => "SQLite, synchronous NORMAL",
                "OFF" => "SQLite, synchronous OFF",
                _ => "SQLite, synchronous FULL",
            },
        })
    }
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reset(&mut self) -> Result<()> {
        self.writer.execute("DELETE FROM messages", [])?;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        Ok(self.writer.query_row(checkpoint, [], |_| Ok(()))?)
    }

    fn append_each(&mut self, records: &[Vec<u8>]) -> Result<()> {
        records
            .iter()
            .try_for_each(|record| insert(&self.writer, record))
    }

    fn append_together(&mut self, records: &[Vec<u8>]) -> Result<()> {
        for records in records.chunks(TOGETHER) {
            let transaction = Transaction::new(&mut self.writer, TransactionBehavior::Immediate)?;
            for record in records {
                insert(&transaction, record)?;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    fn read(&mut self, count: usize) -> Result<u64> {
        let mut statement = self.reader.prepare_cached(NEWEST)?;
        let mut rows = statement.query([count as i64])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(0)?.as_bytes()?.len() as u64;
        }
        Ok(bytes)
    }

    fn hand_over(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        let newest = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'";
        let mut last: i64 = self.reader.query_row(newest, [], |row| row.get(0))?;
        let mut bytes = 0;
        for record in records {
            insert(&self.writer, record)?;
            let mut statement = self.reader.prepare_cached(NEXT)?;
            let (id, length) = statement.query_row([last], |row| {
                Ok((row.get(0)?, row.get_ref(1)?.as_bytes()?.len()))
            })?;
            last = id;
            bytes += length as u64;
        }
        Ok(bytes)
    }
}

fn insert(connection: &Connection, record: &[u8]) -> Result<()> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as i64;
    let text = std::str::from_utf8(record)?;
    connection
        .prepare_cached(INSERT)?
        .execute(params![time, text])?;
    Ok(())
}
