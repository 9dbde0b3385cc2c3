//! What the command line asks of the process it is, and of the signals that it gets.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::{consts, flag};

/// Ctrl-C on a terminal.
pub(crate) const SIGINT: i32 = consts::SIGINT;
/// What `kill` sends.
pub(crate) const SIGTERM: i32 = consts::SIGTERM;

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// Which: SIGINT or SIGTERM.
    pub(crate) signal: i32,
    /// Whether the kernel sent it, for a key such as Ctrl-C: it then went to every process of the terminal's foreground
    /// group.
    pub(crate) is_from_terminal: bool,
}

/// SIGINT and SIGTERM, as they come. The handler itself notes each in `last`, before anybody reads it here.
pub(crate) fn endings(
    last: &'static AtomicUsize,
) -> io::Result<impl Iterator<Item = Ending> + Send + 'static> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_usize(signal, last, signal as usize)?;
    }
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM])?;
    Ok(std::iter::from_fn(move || {
        let origin = signals.forever().next()?;
        Some(Ending {
            signal: origin.signal,
            // What a process sends has that process's id.
            is_from_terminal: origin.process.is_none(),
        })
    }))
}

/// Has the process exit with `code` where it would abort, a stack that overflows included.
pub(crate) fn exit_on_abort(code: i32) -> io::Result<()> {
    let condition = Arc::new(AtomicBool::new(true));
    flag::register_conditional_shutdown(consts::SIGABRT, code, condition).map(drop)
}

/// The number of the user that this process runs as.
pub(crate) fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Whether the reader of standard output went away. Sees it without writing anything.
pub(crate) fn stdout_is_closed() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok()
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// The memory that is this process's own, mapped files excluded, where the system tells.
pub(crate) fn private_memory() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = counts
        .split(' ')
        .skip(1)
        .map(|count| count.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// Lets the process have as many files open as the system ever allows it. What is refused shows when it is needed.
#[cfg(feature = "serve")]
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).ok();
}

/// SIGHUP, as it comes.
#[cfg(feature = "serve")]
pub(crate) struct Hangups(tokio::signal::unix::Signal);

#[cfg(feature = "serve")]
impl Hangups {
    /// Begins to listen, instead of being ended by the signal.
    pub(crate) fn listen() -> io::Result<Hangups> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Hangups)
    }

    /// The next one; none once there will be no more.
    pub(crate) async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

/// As programs make their files: the umask says who may use them.
pub(crate) fn usual_permissions() -> Permissions {
    Permissions::from_mode(0o666)
}
