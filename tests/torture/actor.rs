//! A process of the run: started, stopped, killed, and read by what it writes down.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::record::Record;
use crate::stage::Stage;

/// A process that has written nothing down for so long is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Appends: `single` messages, a `rare` one now and then, one `batch` after the other, each with a `flush`, as one who is too `hasty` to wait
    /// for the lock, or by a `clock` that jumps.
    Writer(&'static str),
    /// Reads, in a way that `reader::KINDS` lists.
    Reader(&'static str),
}

/// A process, from its start to its end.
pub(crate) struct Actor {
    pub(crate) role: Role,
    number: u32,
    pool: u128,
    child: Child,
    log: File,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
    records: Vec<Record>,
    sign: Instant,
    killed: bool,
    gone: bool,
    stopped_until: Option<Instant>,
}

/// All that is known of a process that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// Its number; a writer's messages bear it.
    pub(crate) number: u32,
    /// The UUID of the pool that it was started for.
    pub(crate) pool: u128,
    pub(crate) role: Role,
    pub(crate) records: Vec<Record>,
    pub(crate) end: End,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody here killed it.
    Killed,
    /// By itself, without complaint.
    Left,
    /// In any other way.
    Broke(String),
    /// Not at all, until it was killed for that.
    Stuck,
}

impl Actor {
    /// Starts it on a pool.
    pub(crate) fn start(role: Role, number: u32, pool: &Stage, logs: &Path, seed: u64) -> Actor {
        let (part, kind) = match role {
            Role::Writer(kind) => ("writer", kind),
            Role::Reader(kind) => ("reader", kind),
        };
        let log = logs.join(format!("{number}.log"));
        // Created here, so that it is there to be read.
        let reading = File::create_new(&log)
            .and_then(|_| File::open(&log))
            .expect("a log");
        let child = Command::new(std::env::current_exe().expect("a path"))
            .args([part, kind])
            .args([&pool.path, &log])
            .args([number.to_string(), seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        Actor {
            role,
            number,
            pool: pool.uuid,
            child,
            log: reading,
            rest: Vec::new(),
            records: Vec::new(),
            sign: Instant::now(),
            killed: false,
            gone: false,
            stopped_until: None,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_writer(&self) -> bool {
        matches!(self.role, Role::Writer(_))
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Reads what it has written since, and returns that.
    pub(crate) fn catch_up(&mut self) -> &[Record] {
        let before = self.records.len();
        let read = self.log.read_to_end(&mut self.rest).expect("a log");
        if read > 0 {
            self.sign = Instant::now();
        }
        let whole = self
            .rest
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        for line in self.rest[..whole]
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            self.records
                .push(serde_json::from_slice(line).expect("a record"));
        }
        self.rest.drain(..whole);
        &self.records[before..]
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_until.is_some()
    }

    pub(crate) fn is_stuck(&self) -> bool {
        !self.is_stopped() && self.sign.elapsed() > PATIENCE
    }

    pub(crate) fn stop_until(&mut self, until: Instant) {
        self.signal(libc::SIGSTOP);
        self.stopped_until = Some(until);
    }

    pub(crate) fn resume(&mut self) {
        if self.stopped_until.take().is_some() {
            self.signal(libc::SIGCONT);
            self.sign = Instant::now();
        }
    }

    pub(crate) fn resume_if_due(&mut self) {
        if self
            .stopped_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.resume();
        }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        let _ = self.child.kill();
    }

    /// Whether it is no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.gone = self.gone || self.child.try_wait().expect("a child").is_some();
        self.gone
    }

    /// Waits until it is no more, which it is about to be or is told to now.
    pub(crate) fn end(mut self) -> Life {
        let stuck = !self.killed && !self.has_ended();
        if stuck {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("a child");
        self.catch_up();
        Life {
            number: self.number,
            pool: self.pool,
            role: self.role,
            end: if stuck {
                End::Stuck
            } else {
                end_of(status, self.killed)
            },
            records: self.records,
        }
    }

    fn signal(&self, signal: i32) {
        let id = libc::pid_t::try_from(self.child.id()).expect("an id");
        if !self.gone {
            // SAFETY: `kill` takes no pointer, and the id is still the child's, because nobody has waited for its end.
            unsafe { libc::kill(id, signal) };
        }
    }
}

fn end_of(status: ExitStatus, killed: bool) -> End {
    match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) if killed => End::Killed,
        (None, Some(0)) => End::Left,
        _ => End::Broke(status.to_string()),
    }
}
