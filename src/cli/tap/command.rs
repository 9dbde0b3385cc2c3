//! The command that is tapped: found, started, waited for, and sent the signals that are meant for it.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Event;
use crate::cli::output;
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;
use crate::platform::{self, ChildId, is_no_program, may_execute};

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
        match may_execute(&path) {
            Ok(()) if path.is_file() => return Ok(()),
            Err(cause) if cause.kind() != io::ErrorKind::PermissionDenied => {}
            _ => refused = refused.or(Some(path)),
        }
    }
    Err(match refused {
        Some(path) => not_allowed(&path),
        None => not_found(program),
    })
}

/// Where the system will look for it.
fn candidates(program: &OsStr) -> Vec<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
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
    match program.as_encoded_bytes().contains(&b'/') {
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
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            "check the interpreter that its first line names",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Permission,
            "check the rights on it, and on the interpreter that its first line names",
        ),
        _ if is_no_program(&cause) => (
            ErrorKind::Usage,
            "give a program of this kind of machine, or run a script by its interpreter, as in `-- sh FILE`",
        ),
        io::ErrorKind::ArgumentListTooLong => {
            (ErrorKind::Usage, "give it fewer arguments, or shorter ones")
        }
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
    Running(ChildId),
    Ended,
}

impl Default for Target {
    fn default() -> Target {
        Target::Awaited(Vec::new())
    }
}

impl Forward {
    /// Passes a signal on, and says whether there still was somebody to pass it on to.
    pub(super) fn pass_on(&self, signal: &platform::Ending) -> bool {
        match &mut *self.target() {
            Target::Awaited(signals) => signals.push(signal.signal),
            Target::Running(pid) if signal.is_from_terminal && pid.is_in_our_group() => {}
            Target::Running(pid) => send(*pid, signal.signal),
            Target::Ended => return false,
        }
        true
    }

    /// From now on signals go to this command, and so do those that came before.
    pub(super) fn start(&self, command: &Child) {
        let pid = ChildId::of(command);
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

fn send(pid: ChildId, signal: i32) {
    if let Err(cause) = pid.send(signal) {
        let error = Error::new(
            ErrorKind::Permission,
            "cannot pass a signal on to the command",
        );
        output::report(
            &error
                .hint("end the command itself, as the user that it runs as")
                .caused_by(cause),
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
        // It is waited for in earnest only when no signal is sent to it any more.
        ChildId::of(&child).await_end();
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
