//! The command that is tapped: found, started, waited for, and sent the signals that are meant for it.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, getpgrp, kill_process, waitid};

use super::Event;
use crate::cli::output;
use crate::cli::signals::Origin;
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;

/// What is searched for commands where there is no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// How the command is spoken of.
pub(super) fn shown(program: &OsStr) -> String {
    echo(&program.to_string_lossy())
}

/// Whether there is a program to start, as far as that can be told without starting it.
pub(super) fn check(program: &OsStr) -> Result<()> {
    let mut refused = None;
    for path in candidates(program) {
        match access(&path, Access::EXEC_OK) {
            Ok(()) if path.is_file() => return Ok(()),
            Ok(()) | Err(Errno::ACCESS) => refused = refused.or(Some(path)),
            Err(_) => {}
        }
    }
    Err(match refused {
        Some(path) => not_allowed(&path),
        None => not_found(program),
    })
}

/// Where the system will look for it.
fn candidates(program: &OsStr) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    if program.is_empty() {
        return vec![];
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let dirs = std::env::split_paths(&path);
    dirs.map(|dir| Path::new(".").join(dir).join(program))
        .collect()
}

fn not_found(program: &OsStr) -> Error {
    let name = shown(program);
    match program.as_bytes().contains(&b'/') {
        true => Error::new(ErrorKind::NotFound, format!("there is no program {name}"))
            .hint("check the path of the command after `--`")
            .path(program),
        false => Error::new(
            ErrorKind::NotFound,
            format!("there is no program `{name}` in PATH"),
        )
        .hint("check how the command after `--` is spelt, or give the program's path"),
    }
}

fn not_allowed(path: &Path) -> Error {
    let name = shown(path.as_os_str());
    let (message, hint) = match path.is_dir() {
        true => (
            format!("{name} is a directory, and no program"),
            "name a program after `--`",
        ),
        false => (
            format!("{name} may not be run"),
            "make it executable with chmod +x, or run it by its interpreter, as in `-- sh FILE`",
        ),
    };
    Error::new(ErrorKind::Permission, message)
        .hint(hint)
        .path(path)
}

/// Starts the command with these as its output; everything else is as it is for this process.
pub(super) fn start(words: &[OsString], stdout: PipeWriter, stderr: PipeWriter) -> Result<Child> {
    let program = words.first().map_or(OsStr::new(""), |word| word);
    let mut command = Command::new(program);
    command
        .args(words.get(1..).unwrap_or_default())
        .stdout(stdout)
        .stderr(stderr);
    command.spawn().map_err(|cause| not_started(program, cause))
}

/// Why a program that seemed to be there could not be started.
fn not_started(program: &OsStr, cause: io::Error) -> Error {
    let (kind, hint) = match Errno::from_io_error(&cause) {
        Some(Errno::NOENT) => (
            ErrorKind::NotFound,
            "check the interpreter that its first line names",
        ),
        Some(Errno::ACCESS | Errno::PERM) => (
            ErrorKind::Permission,
            "check the rights on it, and on the interpreter that its first line names",
        ),
        Some(Errno::NOEXEC) => (
            ErrorKind::Usage,
            "give a program of this kind of machine, or run a script by its interpreter, as in `-- sh FILE`",
        ),
        Some(Errno::TOOBIG) => (ErrorKind::Usage, "give it fewer arguments, or shorter ones"),
        _ => (ErrorKind::Io, "check the limits on memory and processes"),
    };
    Error::new(kind, format!("cannot start `{}`", shown(program)))
        .hint(hint)
        .caused_by(cause)
}

/// Who gets the signals that come.
#[derive(Clone, Default)]
pub(super) struct Forward(Arc<Mutex<Target>>);

enum Target {
    /// The command will be started; these signals wait for it.
    Awaited(Vec<i32>),
    Running(Pid),
    Ended,
}

impl Default for Target {
    fn default() -> Target {
        Target::Awaited(Vec::new())
    }
}

impl Forward {
    /// Passes a signal on, and says whether there still was somebody to pass it on to.
    pub(super) fn pass_on(&self, signal: &Origin) -> bool {
        match &mut *self.target() {
            Target::Awaited(signals) => signals.push(signal.signal),
            Target::Running(pid) if is_from_terminal(signal) && is_in_our_group(*pid) => {}
            Target::Running(pid) => send(*pid, signal.signal),
            Target::Ended => return false,
        }
        true
    }

    /// From now on signals go to this command, and so do those that came before.
    pub(super) fn start(&self, command: &Child) {
        let pid = Pid::from_child(command);
        let mut target = self.target();
        if let Target::Awaited(signals) = std::mem::replace(&mut *target, Target::Running(pid)) {
            signals.into_iter().for_each(|signal| send(pid, signal));
        }
    }

    fn end(&self) {
        *self.target() = Target::Ended;
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the kernel sent it, for a key such as Ctrl-C: it then went to every process of the terminal's foreground
/// group. What a process sends has that process's id.
fn is_from_terminal(signal: &Origin) -> bool {
    signal.process.is_none()
}

fn is_in_our_group(pid: Pid) -> bool {
    getpgid(Some(pid)) == Ok(getpgrp())
}

fn send(pid: Pid, signal: i32) {
    let Some(signal) = Signal::from_named_raw(signal) else {
        return;
    };
    if let Err(cause) = kill_process(pid, signal) {
        let error = Error::new(
            ErrorKind::Permission,
            "cannot pass a signal on to the command",
        );
        output::report(
            &error
                .hint("end the command itself, as the user that it runs as")
                .caused_by(io::Error::from(cause)),
        );
    }
}

/// The one that waits for the command's end.
pub(super) struct Waiter {
    pub(super) forward: Forward,
    /// Closed when the command has ended.
    pub(super) running: PipeWriter,
    pub(super) events: SyncSender<Event>,
}

impl Waiter {
    /// Waits for the command that comes; if none does, it was not started.
    pub(super) fn run(self, commands: &Receiver<(Child, Instant)>) {
        let Ok((mut child, started)) = commands.recv() else {
            return;
        };
        let pid = Pid::from_child(&child);
        // Its id stays its own until it was waited for in earnest, and by then no signal is sent to it any more.
        let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), exited), Err(Errno::INTR)) {}
        let elapsed = started.elapsed();
        self.forward.end();
        drop(self.running);
        let status = child.wait().map_err(|cause| no_ending(Some(cause)));
        self.events
            .send(Event::Ended(Ending { status, elapsed }))
            .ok();
    }
}

/// How the command ended.
pub(super) struct Ending {
    pub(super) status: Result<ExitStatus>,
    pub(super) elapsed: Duration,
}

/// Nobody could be told how the command ended.
pub(super) fn no_ending(cause: Option<io::Error>) -> Error {
    let error = Error::new(ErrorKind::Io, "cannot learn how the command ended")
        .hint("what it wrote is in the pool");
    match cause {
        Some(cause) => error.caused_by(cause),
        None => error,
    }
}

/// A pipe for what the command writes.
pub(super) fn pipe() -> Result<(PipeReader, PipeWriter)> {
    io::pipe().map_err(no_pipe)
}

pub(super) fn no_pipe(cause: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot make a pipe for the command's output")
        .hint("check the limit on open files")
        .caused_by(cause)
}
