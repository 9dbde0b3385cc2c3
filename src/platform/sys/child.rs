//! A command that is run, as the system sees it: its rights, its id, its pipes, and how signals reach it.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};
use rustix::io::{Errno, ioctl_fionread};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, getpgrp, kill_process, waitid};
use signal_hook::{consts, flag, low_level};

/// Whether this process may run the file, or enter the directory.
pub(crate) fn may_execute(path: &Path) -> io::Result<()> {
    access(path, Access::EXEC_OK).map_err(io::Error::from)
}

/// Whether this is why a file could not be run: it holds no program of this machine.
pub(crate) fn is_no_program(cause: &io::Error) -> bool {
    Errno::from_io_error(cause) == Some(Errno::NOEXEC)
}

/// The signal that ended the process, if one did.
pub(crate) fn ending_signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// The name of a signal, such as `SIGKILL`.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    low_level::signal_name(signal)
}

/// Has the system keep how children end until somebody asks, also where whoever started this process had it forget.
pub(crate) fn remember_children() -> io::Result<()> {
    flag::register(consts::SIGCHLD, Arc::default()).map(drop)
}

/// The id of a child that has not been waited for, and so is nobody else's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildId(Pid);

impl ChildId {
    /// That of this child.
    pub(crate) fn of(child: &Child) -> ChildId {
        ChildId(Pid::from_child(child))
    }

    /// Whether it gets what a key such as Ctrl-C sends to this process's group.
    pub(crate) fn is_in_our_group(self) -> bool {
        getpgid(Some(self.0)) == Ok(getpgrp())
    }

    /// Sends it a signal.
    pub(crate) fn send(self, signal: i32) -> io::Result<()> {
        match Signal::from_named_raw(signal) {
            Some(signal) => kill_process(self.0, signal).map_err(io::Error::from),
            None => Ok(()),
        }
    }

    /// Waits until it has ended. Its id stays its own until the child itself is waited for.
    pub(crate) fn await_end(self) {
        let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.0), exited), Err(Errno::INTR)) {}
    }
}

/// Waits until one of the pipes has something, or is at its end; whether `other` is one of those.
pub(crate) fn await_either(pipe: &PipeReader, other: &PipeReader) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(pipe, PollFlags::IN),
        PollFd::new(other, PollFlags::IN),
    ];
    poll(&mut fds, None)?;
    Ok(!fds[1].revents().is_empty())
}

/// Whether the pipe has something, or is at its end, within `patience`.
pub(crate) fn has_more_within(pipe: &PipeReader, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&patience))? > 0)
}

/// How many bytes are in the pipe.
pub(crate) fn bytes_in(pipe: &PipeReader) -> io::Result<u64> {
    ioctl_fionread(pipe).map_err(io::Error::from)
}

/// Writes bytes to a stream as they are and at once, past any buffer.
pub(crate) fn write_through(stream: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(&stream, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            // Whoever shares the stream may have set it to wait for nothing, which then holds for everybody.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None)),
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}
