//! A stream of Redis, over a Unix socket, with an append-only file behind it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Connection, Value};
use tempfile::TempDir;

use crate::peer::{Peer, Result, Strength, TOGETHER};

const KEY: &str = "messages";
const FIELD: &str = "data";
/// Long enough that a server which does not answer yet never will.
const TOO_LONG: Duration = Duration::from_secs(20);

/// A server of this run, which ends with it.
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
    /// Of its own, since the path of a socket may not be long.
    _socket_dir: TempDir,
}

impl Server {
    /// Starts one; none if the program is not installed.
    pub(crate) fn start(data_dir: &Path) -> Result<Option<Server>> {
        let socket_dir = tempfile::tempdir()?;
        let socket = socket_dir.path().join("redis");
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no"])
            .args(["--appendonly", "yes", "--appendfsync", "no"])
            // Rewriting its file in between would only slow it down.
            .args(["--auto-aof-rewrite-percentage", "0"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(data_dir)
            .stdout(Stdio::null())
            .spawn();
        let server = match spawned {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            spawned => Server {
                child: spawned?,
                socket,
                _socket_dir: socket_dir,
            },
        };
        let start = Instant::now();
        while let Err(error) = server.connect() {
            if start.elapsed() > TOO_LONG {
                return Err(format!("redis-server does not answer: {error}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }

    /// Has answers wait for the disk, or not.
    pub(crate) fn set_strength(&self, strength: Strength) -> Result<()> {
        let value = match strength {
            Strength::Process => "no",
            Strength::Power => "always",
        };
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("appendfsync").arg(value);
        Ok(command.exec(&mut self.connect()?)?)
    }

    fn connect(&self) -> Result<Connection> {
        let url = format!("redis+unix://{}", self.socket.display());
        Ok(Client::open(url)?.get_connection()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A stream, written through one connection and read through another.
pub(crate) struct Stream {
    writer: Connection,
    reader: Connection,
    is_pipelined: bool,
}

impl Stream {
    pub(crate) fn create(server: &Server, is_pipelined: bool) -> Result<Stream> {
        Ok(Stream {
            writer: server.connect()?,
            reader: server.connect()?,
            is_pipelined,
        })
    }
}

impl Peer for Stream {
    fn name(&self) -> &'static str {
        if self.is_pipelined {
            "Redis stream, pipelined"
        } else {
            "Redis stream"
        }
    }

    fn reset(&mut self) -> Result<()> {
        Ok(redis::cmd("DEL").arg(KEY).exec(&mut self.writer)?)
    }

    fn append_each(&mut self, records: &[Vec<u8>]) -> Result<()> {
        if !self.is_pipelined {
            for record in records {
                add(record).exec(&mut self.writer)?;
            }
            return Ok(());
        }
        for records in records.chunks(TOGETHER) {
            let mut pipe = redis::pipe();
            for record in records {
                pipe.add_command(add(record)).ignore();
            }
            pipe.exec(&mut self.writer)?;
        }
        Ok(())
    }

    fn append_together(&mut self, records: &[Vec<u8>]) -> Result<()> {
        for records in records.chunks(TOGETHER) {
            let mut transaction = redis::pipe();
            transaction.atomic();
            for record in records {
                transaction.add_command(add(record)).ignore();
            }
            transaction.exec(&mut self.writer)?;
        }
        Ok(())
    }

    /// The whole stream, which is what was appended since the last reset. In a pipeline, one request asks for all of it.
    fn read(&mut self, count: usize) -> Result<u64> {
        let piece = if self.is_pipelined { count } else { TOGETHER };
        let mut from = "-".to_owned();
        let (mut seen, mut bytes) = (0, 0);
        while seen < count {
            let mut range = redis::cmd("XRANGE");
            range.arg(KEY).arg(&from).arg("+").arg("COUNT").arg(piece);
            let answer: Value = range.query(&mut self.reader)?;
            let entries = items(&answer)?;
            let last = entries.last().ok_or("the stream ends too early")?;
            for entry in entries {
                bytes += data(entry)?;
            }
            seen += entries.len();
            from = format!("({}", id(last)?);
        }
        Ok(bytes)
    }

    fn hand_over(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        let mut last = "0".to_owned();
        let mut bytes = 0;
        for record in records {
            add(record).exec(&mut self.writer)?;
            let mut read = redis::cmd("XREAD");
            read.arg("COUNT").arg(1).arg("STREAMS").arg(KEY).arg(&last);
            let answer: Value = read.query(&mut self.reader)?;
            // A list of streams, each its name and its entries.
            let stream = items(first(&answer)?)?;
            let entry = first(stream.get(1).ok_or("a stream has no entries")?)?;
            bytes += data(entry)?;
            last = id(entry)?;
        }
        Ok(bytes)
    }
}

fn add(record: &[u8]) -> redis::Cmd {
    let mut command = redis::cmd("XADD");
    command.arg(KEY).arg("*").arg(FIELD).arg(record);
    command
}

/// An entry is its id, and a list of fields and values.
fn id(entry: &Value) -> Result<String> {
    Ok(String::from_utf8_lossy(bulk(first(entry)?)?).into_owned())
}

fn data(entry: &Value) -> Result<u64> {
    let fields = items(entry)?.get(1).ok_or("an entry has no fields")?;
    let value = items(fields)?.get(1).ok_or("a field has no value")?;
    Ok(bulk(value)?.len() as u64)
}

fn first(value: &Value) -> Result<&Value> {
    Ok(items(value)?.first().ok_or("an answer is empty")?)
}

fn items(value: &Value) -> Result<&[Value]> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(format!("expected a list, got {other:?}").into()),
    }
}

fn bulk(value: &Value) -> Result<&[u8]> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        other => Err(format!("expected bytes, got {other:?}").into()),
    }
}
