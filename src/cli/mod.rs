//! The command line: reads arguments, calls the library, prints what came of it.

mod args;
mod completion;
mod doctor;
mod duplex;
mod feed;
mod fetch;
mod filter;
mod follow;
pub mod ingest;
mod layout;
mod man;
mod open;
mod output;
mod pool;
mod pretty;
mod progress;
mod remote;
mod salvage;
#[cfg(feature = "serve")]
mod serve;
mod signals;
mod size;
mod tap;
mod usage;
mod version;
mod watchdog;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::process::ExitCode;

use args::{Cli, Command, ParseEnd};
use signals::Work;

use crate::core::error::{Error, ErrorKind};
use crate::{platform, policy};

/// `--timeout` of `follow` or `duplex` has passed without output.
const TIMED_OUT: u8 = 124;

/// The exit code of a command that came to its end, or why it did not.
type Outcome = Result<u8, Stop>;

/// Why a command ends before its end.
enum Stop {
    /// It failed.
    Failed(Error),
    /// Nobody reads its output any more, which is no failure.
    StdoutClosed,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    if completion::answer() {
        return ExitCode::SUCCESS;
    }
    panic::set_hook(Box::new(report_panic));
    let internal = policy::exit_code(ErrorKind::Internal);
    let code = panic::catch_unwind(|| run(std::env::args_os())).unwrap_or(internal);
    ExitCode::from(signals::exit_code(code))
}

fn run(args: impl Iterator<Item = OsString>) -> u8 {
    // Held to the end: what was printed has to be written out before a signal may end the process.
    let mut work = match prepare() {
        Ok(work) => work,
        Err(stop) => return exit_code(Err(stop)),
    };
    let outcome = dispatch(args, &mut work);
    // What was printed before a failure is written out before the failure is.
    let flushed = output::flush();
    exit_code(outcome.and_then(|code| flushed.map(|()| code)))
}

fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Ok(code) => code,
        Err(Stop::StdoutClosed) => 0,
        Err(Stop::Failed(error)) => {
            output::report(&error);
            policy::exit_code(error.kind())
        }
    }
}

fn prepare() -> Result<Work, Stop> {
    platform::sigbus::install_guard()?;
    Ok(signals::install()?)
}

fn dispatch(args: impl Iterator<Item = OsString>, work: &mut Work) -> Outcome {
    let args: Vec<_> = args.collect();
    output::set_colour(args::early_colour(&args));
    let Cli { global, command } = match args::parse(&args) {
        Ok(cli) => cli,
        Err(ParseEnd::Show(text)) => {
            return output::print_lines(&text.ansi().to_string()).map(|()| 0);
        }
        Err(ParseEnd::Fail { error, help }) => {
            if let Some(help) = help.filter(|_| io::stderr().is_terminal()) {
                // Whoever cannot be shown the help gets the error all the same.
                writeln!(anstream::stderr(), "{}", help.ansi()).ok();
            }
            return Err(error.into());
        }
    };
    output::set_colour(global.color.choice());
    match command {
        Command::Pool(command) => pool::run(&global, &command),
        Command::Feed(args) => feed::run(&global, &args, work),
        Command::Fetch(args) => fetch::run(&global, &args),
        Command::Follow(args) => follow::run(&global, &args),
        Command::Duplex(args) => duplex::run(&global, &args),
        Command::Tap(args) => tap::run(&global, &args),
        Command::Doctor(args) => doctor::run(&global, &args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&global, &args),
        Command::Version(json) => version::run(json),
        Command::Completion(args) => completion::run(&args),
        Command::ManPages(args) => man::run(&args),
    }
}

/// Says what to do about a bug, in the form that every error has.
fn report_panic(info: &panic::PanicHookInfo<'_>) {
    if filter::is_running() {
        // A filter that asks for too much; the filter reports it as its own failure.
        return;
    }
    let place = info
        .location()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let what = text
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let message =
        format!("the program met a condition that it should have ruled out{place}: {what}");
    output::report(
        &Error::new(ErrorKind::Internal, message)
            .hint("please report this as a bug, with the command that led to it"),
    );
}

impl Stop {
    /// What a failure to write to standard output means.
    fn from_stdout(cause: io::Error) -> Stop {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Stop::StdoutClosed;
        }
        let error = Error::new(ErrorKind::Io, "cannot write to standard output");
        Stop::Failed(
            error
                .hint("check where the output goes, and the space there")
                .caused_by(cause),
        )
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}
