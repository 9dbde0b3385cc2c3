//! The command line as clap sees it, and errors in it as errors of ours.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use anstream::ColorChoice;
use clap::builder::{PossibleValue, PossibleValuesParser, StyledStr, TypedValueParser};
use clap::error::ErrorKind as ClapErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::completion::{self, CompletionArgs};
use super::duplex::{self, DuplexArgs};
use super::follow::Speed;
use super::man::ManPagesArgs;
use super::pool::PoolCommand;
use super::remote::Flags as RemoteFlags;
#[cfg(feature = "serve")]
use super::serve::ServeArgs;
use super::size::parse_size;
use super::usage::{self, Wanted};
use crate::api::{Client, CreateOptions, Durability, PoolRef, Timestamp};
use crate::cli::ingest::Format as InputFormat;
use crate::core::error::{Error, ErrorKind, Result};
use crate::moment::{parse_duration, parse_moment};

/// What the process was asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "plasmite",
    version,
    about = "Rings of JSON messages that many processes share through one file",
    long_about = "Rings of JSON messages that many processes share through one file.\n\n\
        A pool is one file of fixed size. Writers append messages, readers follow them, and when the pool is full \
        the newest messages take the place of the oldest. No broker is needed; `serve` lets other machines in.",
    after_help = ROUND_TRIP,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ROUND_TRIP: &str = "\
A first round trip:
  plasmite pool create chat
  plasmite feed chat '{\"from\": \"ada\", \"text\": \"hello\"}'
  plasmite follow chat -n 10      the newest 10, then all that come; Ctrl-C ends it

POOL is a name in the pool directory, a path if it contains a '/', or a URL
such as http://HOST:9700/NAME.
Output is for people on a terminal and JSON in a pipe.
A message whose receipt is printed survives the process. To have it survive
power loss as well, feed it with --durability flush.";

#[cfg(feature = "serve")]
const SERVE_EXAMPLES: &str = "\
Examples:
  plasmite serve                        to this machine only
  curl http://127.0.0.1:9700/v0/pools
  plasmite serve init                   a token and a certificate, for other machines";

/// What every command accepts, before its name or after it.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where pools are kept [env: PLASMITE_DIR] [default: ~/.plasmite/pools]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    dir: Option<PathBuf>,
    /// When to colour text for people; auto heeds NO_COLOR
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub(crate) color: Color,
}

/// `--color`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list, describe, delete, export, import and resize pools
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Append messages to a pool
    #[command(after_help = FEED_EXAMPLES)]
    Feed(FeedArgs),
    /// Print one message
    #[command(
        after_help = "Examples:\n  plasmite fetch chat 42\n  plasmite fetch chat 42 --json | jq .data"
    )]
    Fetch(FetchArgs),
    /// Print messages as they come
    #[command(after_help = FOLLOW_EXAMPLES)]
    Follow(FollowArgs),
    /// Run a command, and keep what it prints in a pool
    #[command(after_help = TAP_EXAMPLES)]
    Tap(TapArgs),
    /// Send messages and print those of others, at once
    #[command(after_help = duplex::NOTES)]
    Duplex(DuplexArgs),
    /// Check pools for damage
    #[command(after_help = DOCTOR_NOTES)]
    Doctor(DoctorArgs),
    /// Let others use the pools over HTTP
    #[cfg(feature = "serve")]
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Print the program's name and version
    Version(JsonFlag),
    /// Print a script that lets a shell complete commands, flags and names of pools
    #[command(after_help = completion::EXAMPLES)]
    Completion(CompletionArgs),
    /// Write the manual pages
    #[command(hide = true)]
    ManPages(ManPagesArgs),
}

/// `--json`, for commands with one result.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct JsonFlag {
    /// Print one line of JSON, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Names in the pool directory, paths if they contain a '/', or URLs
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Size of the file: bytes, or with K, M or G (1024-based); at least 64K [default: 1M]
    #[arg(long, value_name = "S", value_parser = parse_size, allow_hyphen_values = true)]
    pub(crate) size: Option<u64>,
    /// Slots of the index that finds messages by number; 0 for none [default: one for each 512 bytes]
    #[arg(long, value_name = "N", value_parser = whole_number, allow_hyphen_values = true)]
    pub(crate) index_capacity: Option<u64>,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

pub(crate) const CREATE_EXAMPLES: &str = "\
A pool keeps the newest messages that fit; one message may take up to half of it.

Examples:
  plasmite pool create chat
  plasmite pool create metrics --size 64M
  plasmite pool create ./here.plasmite";

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// A server's URL, for the pools there
    #[arg(value_name = "URL")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// A pool's name, its path, or its URL
    pub(crate) pool: String,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Pools to delete; each is tried, also after one that failed
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    /// A pool's name, its path, or its URL
    pub(crate) pool: String,
    /// One JSON value; without it, messages are read from --file or standard input
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    pub(crate) data: Option<OsString>,
    /// Tag every message; may be given several times
    #[arg(long = "tag", value_name = "T", allow_hyphen_values = true)]
    pub(crate) tags: Vec<String>,
    /// Read messages from this file, or from standard input with '-'
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How the input is written
    #[arg(long = "in", value_name = "FORMAT", default_value = "auto", value_parser = one_of::<InputFormat>(&INPUT_FORMATS))]
    pub(crate) input: InputFormat,
    /// Append the whole input at once, or nothing of it
    #[arg(long)]
    pub(crate) atomic: bool,
    /// What to do about a record that cannot be appended
    #[arg(short, long, value_enum, value_name = "ACTION", default_value_t)]
    pub(crate) errors: OnBadRecord,
    /// What a message survives once its receipt is printed
    #[arg(long, value_name = "LEVEL", default_value = "fast", value_parser = one_of::<Durability>(&DURABILITIES))]
    pub(crate) durability: Durability,
    #[command(flatten)]
    pub(crate) create: CreateFlags,
    /// Try again up to N times when other writers keep the pool busy
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = small_number, allow_hyphen_values = true)]
    pub(crate) retry: u32,
    /// Wait this long before trying again [default: 1s]
    #[arg(long, value_name = "D", value_parser = parse_duration, requires = "retry", allow_hyphen_values = true)]
    pub(crate) retry_delay: Option<Duration>,
    /// Print no receipts
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) format: StreamFlags,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

const FEED_EXAMPLES: &str = "\
Each message gets a receipt with its number and time.
Messages read from a stream are appended as soon as they are complete.

Examples:
  plasmite feed chat '{\"text\": \"hello\"}' --tag greeting
  plasmite feed chat '\"a string needs its quotes\"'
  tail -f app.jsonl | plasmite feed logs --create --create-size 64M -q
  curl -sN https://example.com/events | plasmite feed events      server-sent events
  plasmite feed ledger -f today.jsonl --atomic --durability flush";

/// `feed --in`: names and meanings.
const INPUT_FORMATS: [(&str, &str); 4] = [
    (
        "auto",
        "Found out from how the input begins: one of the others, or server-sent events",
    ),
    ("jsonl", "One value on each line"),
    (
        "json",
        "Values one after another, each on one line or over many",
    ),
    (
        "seq",
        "Values with the byte 0x1e before and a newline after each, as RFC 7464 has it",
    ),
];

/// `feed --durability`: names and meanings.
const DURABILITIES: [(&str, &str); 2] = [
    ("fast", "It survives the process, but not power loss"),
    ("flush", "It survives power loss as well"),
];

/// `--create`, for commands that write.
#[derive(Debug, Args)]
pub(crate) struct CreateFlags {
    /// Create the pool if it is missing
    #[arg(long)]
    create: bool,
    /// Size of a pool that --create creates [default: 1M]
    #[arg(long, value_name = "S", value_parser = parse_size, requires = "create", allow_hyphen_values = true)]
    create_size: Option<u64>,
}

impl CreateFlags {
    /// What to create a pool with that is missing; `None` if it is not to be created.
    pub(crate) fn options(&self) -> Option<CreateOptions> {
        self.create.then(|| CreateOptions {
            size_bytes: self.create_size,
            ..CreateOptions::default()
        })
    }
}

/// `feed --errors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadRecord {
    /// Append what came before it, and end
    #[default]
    Stop,
    /// Report it, append the rest, and exit with 1
    Skip,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// A pool's name, its path, or its URL
    pub(crate) pool: String,
    /// The message's number
    #[arg(value_parser = whole_number, allow_negative_numbers = true)]
    pub(crate) seq: u64,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// A pool's name, its path, or its URL
    pub(crate) pool: String,
    /// Begin with the newest N messages, counted before any filter
    #[arg(short = 'n', long = "tail", value_name = "N", value_parser = whole_number, allow_hyphen_values = true, conflicts_with_all = ["since", "from"], help_heading = "Start and end")]
    pub(crate) tail: Option<u64>,
    /// Begin with the oldest message from T on: a time such as 2026-11-24T12:00:00Z, or a time ago such as 5m
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true, conflicts_with = "from", help_heading = "Start and end")]
    pub(crate) since: Option<Timestamp>,
    /// End before the first message from T on, or when it is T
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true, help_heading = "Start and end")]
    pub(crate) until: Option<Timestamp>,
    /// Begin with message SEQ, and wait for it if need be
    #[arg(long, value_name = "SEQ", value_parser = whole_number, allow_hyphen_values = true, help_heading = "Start and end")]
    pub(crate) from: Option<u64>,
    /// Print what is there, from the oldest on if nothing else is asked for, and end
    #[arg(long, help_heading = "Start and end")]
    pub(crate) no_follow: bool,
    /// Keep the pauses that messages were written with, SPEED times as fast: 0.5, 1, 10, or max for none. Begins with
    /// the oldest if nothing else is asked for
    #[arg(
        long,
        value_name = "SPEED",
        allow_hyphen_values = true,
        help_heading = "Start and end"
    )]
    pub(crate) replay: Option<Speed>,
    /// End after one message that passes the filters
    #[arg(long, help_heading = "Start and end")]
    pub(crate) one: bool,
    /// Exit with 124 when nothing was printed for this long, such as 30s
    #[arg(long, value_name = "D", value_parser = parse_duration, allow_hyphen_values = true, help_heading = "Start and end")]
    pub(crate) timeout: Option<Duration>,
    /// Only messages that carry this tag; may be given several times, and all must match
    #[arg(
        long = "tag",
        value_name = "T",
        allow_hyphen_values = true,
        help_heading = "Filters"
    )]
    pub(crate) tags: Vec<String>,
    /// Only messages for which this jq filter yields anything but false and null; it sees the whole message, as in
    /// '.data.level == "error"'. May be given several times, and all must match
    #[arg(
        long = "where",
        value_name = "JQ",
        allow_hyphen_values = true,
        help_heading = "Filters"
    )]
    pub(crate) filters: Vec<String>,
    /// Print only the data of each message
    #[arg(long, help_heading = "Output")]
    pub(crate) data_only: bool,
    #[command(flatten)]
    pub(crate) format: StreamFlags,
    /// What to do when messages were overwritten before they could be read
    #[arg(
        long,
        value_enum,
        value_name = "ACTION",
        default_value_t,
        help_heading = "Missing messages"
    )]
    pub(crate) gap: OnGap,
    /// Do not mention missing messages
    #[arg(long, help_heading = "Missing messages")]
    pub(crate) quiet_drops: bool,
    /// Create the pool if it is missing
    #[arg(long)]
    pub(crate) create: bool,
    /// Look for messages at intervals instead of being woken
    #[arg(long)]
    pub(crate) no_notify: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

const FOLLOW_EXAMPLES: &str = "\
Without -n, --since, --from, --replay or --no-follow, it begins with the next message to come.

Examples:
  plasmite follow chat -n 10
  plasmite follow logs --where '.data.level == \"error\"' --data-only
  plasmite follow logs --since 5m --no-follow > last-five-minutes.jsonl
  plasmite follow jobs --tag done --one --timeout 30s && echo ready
  plasmite follow game --since 1h --replay 2 --no-follow      the last hour in half an hour";

/// `follow --gap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnGap {
    /// Say which are missing, and go on
    #[default]
    Continue,
    /// End with RetentionGap, exit code 9
    Error,
}

#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// A pool's name, or its path
    pub(crate) pool: String,
    /// The command to run, and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
    /// Tag every message; may be given several times
    #[arg(long = "tag", value_name = "T", allow_hyphen_values = true)]
    pub(crate) tags: Vec<String>,
    /// What a message survives once it is appended
    #[arg(long, value_name = "LEVEL", default_value = "fast", value_parser = one_of::<Durability>(&DURABILITIES))]
    pub(crate) durability: Durability,
    #[command(flatten)]
    pub(crate) create: CreateFlags,
    /// Keep what the command prints without printing it as well
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const TAP_EXAMPLES: &str = "\
Each line becomes a message, between one that says what was started and one that says how it ended.
The command reads what tap would read, gets SIGINT and SIGTERM, and gives tap its exit code.

Examples:
  plasmite tap build --create --create-size 64M -- make test
  plasmite tap jobs --tag nightly -q -- ./backup.sh --full
  plasmite follow build --tag lifecycle --where '.data.kind == \"exit\"' --one      wait for the end";

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// A pool's name, or its path; needed unless --all is given
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) pool: Option<String>,
    /// Check every pool in the pool directory
    #[arg(long)]
    pub(crate) all: bool,
    /// Save every undamaged message in a new pool of this name or path, and list what is lost
    #[arg(long, value_name = "OUT", conflicts_with = "all")]
    pub(crate) salvage: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

const DOCTOR_NOTES: &str = "\
Reads every message and its checksum; changes nothing, and does not stop writers.
Exits with 7 if a pool is corrupt, or if a salvage could not save everything.

Examples:
  plasmite doctor chat
  plasmite doctor chat --salvage chat-saved
  plasmite doctor --all --json";

/// How a command that streams prints.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct StreamFlags {
    /// Print JSON Lines, also on a terminal; same as --format jsonl
    #[arg(long, visible_alias = "json", help_heading = "Output")]
    jsonl: bool,
    /// Print JSON Lines, or text for people [default: pretty on a terminal, else jsonl]
    #[arg(long, value_enum, value_name = "FORM", help_heading = "Output")]
    format: Option<StreamFormat>,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamFormat {
    Jsonl,
    Pretty,
}

/// Reads the command line.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, ParseEnd> {
    let matches = match Cli::command().try_get_matches_from(args) {
        Err(error) if error.kind() == ClapErrorKind::UnknownArgument => match number_last(args) {
            Some(args) => Cli::command().try_get_matches_from(args),
            None => Err(error),
        },
        matches => matches,
    };
    matches
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| parse_end(&error, args))
}

/// Why there is no command to run.
pub(crate) enum ParseEnd {
    /// Help or version was asked for.
    Show(StyledStr),
    /// The command line is not understood.
    Fail {
        error: Error,
        /// What helps where no command is named at all.
        help: Option<StyledStr>,
    },
}

/// Clap takes `-1` and `-1e3` for values, but `-1e-3` for flags. This puts such a number where nothing is a flag.
fn number_last(args: &[OsString]) -> Option<Vec<OsString>> {
    let is_number = |arg: &OsString| {
        arg.to_str().is_some_and(|text| {
            text.starts_with('-')
                && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
        })
    };
    let at = args.iter().position(is_number)?;
    if usage::command_named(args) != "plasmite feed" || args.iter().any(|arg| arg == "--") {
        return None;
    }
    let mut args = args.to_vec();
    let number = args.remove(at);
    args.extend(["--".into(), number]);
    Some(args)
}

impl Color {
    pub(crate) fn choice(self) -> ColorChoice {
        match self {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }
}

impl Global {
    /// As if `dir` were given with `--dir`.
    pub(super) fn in_dir(dir: Option<PathBuf>) -> Global {
        let color = Color::default();
        Global { dir, color }
    }

    /// The pools that commands work on, where `pool` is the one that was named.
    pub(crate) fn client_for(&self, pool: &PoolRef) -> Result<Client> {
        match pool {
            // A path needs no pool directory, so it works where there is none.
            PoolRef::Path(_) => Ok(self.client().unwrap_or_else(|_| Client::new("."))),
            PoolRef::Name(_) => self.client(),
        }
    }

    /// The pools of the pool directory.
    pub(crate) fn client(&self) -> Result<Client> {
        let of_environment = || {
            std::env::var_os("PLASMITE_DIR")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
        };
        let of_home = || {
            let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
            home.map(|home| home.join(".plasmite/pools"))
        };
        let dir = self.dir.clone().or_else(of_environment).or_else(of_home);
        dir.map(Client::new).ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                "there is no home directory to keep pools in",
            )
            .hint("name the pool directory with --dir or PLASMITE_DIR, or give the pool as a path")
        })
    }
}

impl StreamFlags {
    /// The form to print in, or `Usage` if the flags contradict each other.
    pub(crate) fn resolve(self, is_terminal: bool) -> Result<StreamFormat> {
        match (self.jsonl, self.format) {
            (true, Some(StreamFormat::Pretty)) => Err(Error::new(
                ErrorKind::Usage,
                "JSON Lines and --format pretty exclude each other",
            )
            .hint("give one of --jsonl and --format")),
            (true, _) => Ok(StreamFormat::Jsonl),
            (false, Some(format)) => Ok(format),
            (false, None) if is_terminal => Ok(StreamFormat::Pretty),
            (false, None) => Ok(StreamFormat::Jsonl),
        }
    }
}

/// `--color` as far as it can be told before parsing, for help, and for errors in the rest of the command line.
pub(crate) fn early_colour(args: &[OsString]) -> ColorChoice {
    let mut words = args
        .iter()
        .map(|arg| arg.to_string_lossy())
        .take_while(|arg| arg != "--");
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next().unwrap_or_default().into_owned(),
            Some(value) => value.trim_start_matches('=').to_owned(),
            None => continue,
        };
        return Color::from_str(&value, false).unwrap_or_default().choice();
    }
    ColorChoice::Auto
}

fn parse_end(error: &clap::Error, args: &[OsString]) -> ParseEnd {
    let fail = |help| ParseEnd::Fail {
        error: usage::error(error, args),
        help,
    };
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => {
            ParseEnd::Show(error.render())
        }
        ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => fail(Some(error.render())),
        _ => fail(None),
    }
}

pub(crate) fn whole_number(text: &str) -> Result<u64, Wanted> {
    text.parse().map_err(|_| {
        match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            true => Wanted("a whole number up to 18446744073709551615"),
            false => Wanted("a whole number"),
        }
    })
}

fn small_number(text: &str) -> Result<u32, Wanted> {
    let number = whole_number(text)?;
    u32::try_from(number).map_err(|_| Wanted("a whole number up to 4294967295"))
}

pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    // All durations of one command line count back from the same moment.
    static STARTED: OnceLock<Timestamp> = OnceLock::new();
    parse_moment(text, STARTED.get_or_init(Timestamp::now).as_nanos()).map(Timestamp::from_nanos)
}

/// One of `values`, whose names and meanings clap lists in help, as the library's type.
fn one_of<T>(values: &'static [(&'static str, &'static str)]) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::fmt::Display,
{
    let values = values
        .iter()
        .map(|(name, meaning)| PossibleValue::new(*name).help(*meaning));
    PossibleValuesParser::new(values)
        .try_map(|name| name.parse().map_err(|error: T::Err| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
