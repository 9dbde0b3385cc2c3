//! Processes for tests: the test binary runs itself again in a role, and stops or dies at a place that it was told.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

const ROLE: &str = "PLASMITE_TEST_ROLE";

/// What this process was started for; `None` in the one that runs the tests.
pub(crate) fn role() -> Option<Vec<String>> {
    let role = std::env::var(ROLE).ok()?;
    Some(role.split('\n').map(str::to_owned).collect())
}

/// This binary once more, to run the test `test` in a role.
pub(crate) fn in_role(test: &str, role: &[&str]) -> Command {
    program_in_role(&std::env::current_exe().unwrap(), test, role)
}

/// As `in_role`, run to its end as a user to whom permissions apply: as this one, unless that is root.
pub(crate) fn run_unprivileged(test: &str, role: &[&str]) -> ExitStatus {
    const NOBODY: u32 = 65_534;
    let here = std::env::current_exe().unwrap();
    // SAFETY: `geteuid` has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return in_role(test, role).status().unwrap();
    }
    let run = |program: &Path| {
        let mut command = program_in_role(program, test, role);
        command.uid(NOBODY).gid(NOBODY).current_dir("/").status()
    };
    run(&here).unwrap_or_else(|_| {
        // The binary is where only root may go.
        let directory = tempfile::tempdir().unwrap();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), everybody).unwrap();
        let copy = directory.path().join("tests");
        // By another process: a file that a thread of this one had open to write could not be run for a while.
        let copied = Command::new("cp").arg(here).arg(&copy).status().unwrap();
        assert!(copied.success());
        run(&copy).unwrap()
    })
}

fn program_in_role(program: &Path, test: &str, role: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments(test))
        .env(ROLE, role.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The arguments that make a test binary run one test.
pub(crate) fn arguments(test: &str) -> [&str; 4] {
    [test, "--exact", "--nocapture", "--test-threads=1"]
}

/// A child that may stop. It does not outlive the test.
pub(crate) struct Process {
    id: libc::pid_t,
    ended: bool,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) enum State {
    /// It has stopped.
    Stopped,
    /// It has ended, and how.
    Ended(ExitStatus),
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Process {
        Process::with_id(libc::pid_t::try_from(command.spawn().unwrap().id()).unwrap())
    }

    /// Does `work` in a fork of this process, which has nothing but the thread that forks. It exits with what `work`
    /// returns, or with 101 if that panics.
    pub(crate) fn fork(work: impl FnOnce() -> i32) -> Process {
        // SAFETY: other threads may hold locks at this moment. The C library takes care of those of its allocator,
        // and `work` uses no other that a test's thread could hold; a test that forks says so beside the call.
        match unsafe { libc::fork() } {
            -1 => panic!("{}", std::io::Error::last_os_error()),
            0 => {
                let done = catch_unwind(AssertUnwindSafe(work));
                // SAFETY: `_exit` has no preconditions.
                unsafe { libc::_exit(done.unwrap_or(101)) }
            }
            child => Process::with_id(child),
        }
    }

    /// Does `work` in a fork that has stopped before it, and that stops again at each end of each system call. `None`
    /// where the system does not allow tracing.
    #[cfg(target_os = "linux")]
    pub(crate) fn fork_traced(work: impl FnOnce()) -> Option<Process> {
        const REFUSED: i32 = 99;
        let mut process = Process::fork(|| {
            // SAFETY: this request ignores all other arguments.
            if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
                return REFUSED;
            }
            stop_here();
            work();
            0
        });
        match process.wait() {
            State::Stopped => Some(process),
            State::Ended(status) if status.code() == Some(REFUSED) => None,
            State::Ended(status) => panic!("{status}"),
        }
    }

    fn with_id(id: libc::pid_t) -> Process {
        Process { id, ended: false }
    }

    /// Waits until it stops or ends.
    pub(crate) fn wait(&mut self) -> State {
        let mut status = 0;
        // SAFETY: `status` is a live value to write to.
        let found = unsafe { libc::waitpid(self.id, &mut status, libc::WUNTRACED) };
        assert_eq!(found, self.id, "{}", std::io::Error::last_os_error());
        let status = ExitStatus::from_raw(status);
        if status.stopped_signal().is_some() {
            return State::Stopped;
        }
        self.ended = true;
        State::Ended(status)
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> ExitStatus {
        match self.wait() {
            State::Ended(status) => status,
            State::Stopped => panic!("it stopped"),
        }
    }

    /// Lets it go on after a stop.
    pub(crate) fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Lets a traced process go on to the next end of a system call.
    #[cfg(target_os = "linux")]
    pub(crate) fn resume_to_system_call(&self) {
        // SAFETY: the child is traced by this thread, which forked it, and is stopped; no address is used.
        let done = unsafe { libc::ptrace(libc::PTRACE_SYSCALL, self.id, 0, 0) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: `kill` takes no pointer, and the id is still the child's, because nobody has waited for its end.
        assert_eq!(unsafe { libc::kill(self.id, signal) }, 0);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            while matches!(self.wait(), State::Stopped) {}
        }
    }
}

/// Stops this process here, until somebody lets it go on.
pub(crate) fn stop_here() {
    // SAFETY: `raise` takes no pointer. It signals this very thread, which therefore gets no further.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Ends this process here, as `kill -9` does.
pub(crate) fn die_here() {
    // SAFETY: `raise` takes no pointer.
    unsafe { libc::raise(libc::SIGKILL) };
}
