//! Errors in the command line, in our words.

use std::error::Error as _;
use std::ffi::OsString;
use std::fmt;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapErrorKind};

use super::args::Cli;
use crate::core::error::{Error, ErrorKind};
use crate::echo::echo;

/// What a flag or argument takes, where it was given something else.
#[derive(Clone, Debug)]
pub(super) struct Wanted(pub(super) &'static str);

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Wanted {}

/// What clap found wrong with `args`.
pub(super) fn error(error: &clap::Error, args: &[OsString]) -> Error {
    let complaint = Complaint { error, args };
    let help = format!("see `{} --help`", command_named(args));
    let hint = match complaint.advice() {
        Some(advice) => format!("{advice}; {help}"),
        None => help,
    };
    Error::new(ErrorKind::Usage, complaint.message()).hint(hint)
}

/// The command that `args` name, as far as they name one: `plasmite`, `plasmite feed`, `plasmite pool create`.
pub(super) fn command_named(args: &[OsString]) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut named = root.get_name().to_owned();
    let mut words = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    while let Some(word) = words.next() {
        match &*word {
            "--dir" | "--color" => drop(words.next()),
            "--" => break,
            flag if flag.starts_with('-') => {}
            name => match command.find_subcommand(name) {
                Some(found) => {
                    named = format!("{named} {name}");
                    command = found;
                }
                None => break,
            },
        }
    }
    named
}

struct Complaint<'a> {
    error: &'a clap::Error,
    args: &'a [OsString],
}

impl Complaint<'_> {
    fn message(&self) -> String {
        let arg = self.names(ContextKind::InvalidArg);
        match self.error.kind() {
            ClapErrorKind::InvalidValue => self.invalid_value(&arg),
            ClapErrorKind::ValueValidation => self.refused_value(&arg),
            ClapErrorKind::UnknownArgument => {
                let word = self.unknown_word();
                match self.is_option(&word) {
                    true => format!("there is no option `{}` here", echo(&word)),
                    false => format!("`{}` is one argument too many", echo(&word)),
                }
            }
            ClapErrorKind::InvalidSubcommand => {
                let name = self.texts(ContextKind::InvalidSubcommand).concat();
                format!("there is no command `{}`", echo(&name))
            }
            ClapErrorKind::MissingRequiredArgument if arg.starts_with('-') => {
                format!("{arg} is missing, and what is given needs it")
            }
            ClapErrorKind::MissingRequiredArgument if arg.contains(" and ") => {
                format!("{arg} are missing")
            }
            ClapErrorKind::MissingRequiredArgument => format!("{arg} is missing"),
            ClapErrorKind::ArgumentConflict => match self.names(ContextKind::PriorArg) {
                prior if prior == arg => format!("{arg} is given more than once"),
                prior => format!("{arg} and {prior} exclude each other"),
            },
            ClapErrorKind::MissingSubcommand
            | ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                "there is no command to run".to_owned()
            }
            ClapErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
            _ => echo(&first_paragraph(&self.error.render().to_string())),
        }
    }

    fn invalid_value(&self, arg: &str) -> String {
        let value = self.texts(ContextKind::InvalidValue).concat();
        let valid = self.texts(ContextKind::ValidValue);
        match valid.split_last() {
            _ if value.is_empty() => format!("{arg} needs a value"),
            Some((last, rest)) if !rest.is_empty() => format!(
                "{arg} takes {} or {last}, not `{}`",
                rest.join(", "),
                echo(&value)
            ),
            _ => format!("{arg} cannot be `{}`", echo(&value)),
        }
    }

    fn refused_value(&self, arg: &str) -> String {
        let value = echo(&self.texts(ContextKind::InvalidValue).concat());
        match self.error.source() {
            Some(source) if source.is::<Wanted>() => format!("{arg} takes {source}, not `{value}`"),
            Some(source) => format!("{arg} cannot be `{value}`: {source}"),
            None => format!("{arg} cannot be `{value}`"),
        }
    }

    /// What to try, where there is something better than reading the help.
    fn advice(&self) -> Option<String> {
        let meant = [
            ContextKind::SuggestedArg,
            ContextKind::SuggestedSubcommand,
            ContextKind::SuggestedValue,
        ];
        if let Some(meant) = meant
            .iter()
            .find_map(|kind| self.texts(*kind).into_iter().next())
        {
            return Some(format!("perhaps `{meant}` is meant"));
        }
        let is_missing = self.error.kind() == ClapErrorKind::MissingRequiredArgument;
        if is_missing && command_named(self.args) == "plasmite doctor" {
            return Some("name a pool, or check all of them with --all".to_owned());
        }
        let is_unknown = self.error.kind() == ClapErrorKind::UnknownArgument;
        if command_named(self.args) == "plasmite tap" && !self.has_dashes() {
            let advice =
                "put `--` before the command to run, as in `plasmite tap POOL -- make test`";
            return (is_missing || is_unknown).then(|| advice.to_owned());
        }
        if !is_unknown {
            return None;
        }
        match self.unknown_word().as_str() {
            "-V" | "--version" => Some("`plasmite --version` prints the version".to_owned()),
            word if word.starts_with('-') => {
                (!self.has_dashes()).then(|| "put `--` before a value that begins so".to_owned())
            }
            _ => Some("put what contains blanks into quotes".to_owned()),
        }
    }

    /// The word that is not understood. Clap names one letter of it, where it might be several flags.
    fn unknown_word(&self) -> String {
        let told = self.texts(ContextKind::InvalidArg).concat();
        let is_letter = told.starts_with('-') && !told.starts_with("--");
        let mut words = self.args.iter().skip(1).map(|arg| arg.to_string_lossy());
        match words.find(|word| is_letter && word.starts_with(&told)) {
            Some(word) => word.into_owned(),
            None => told,
        }
    }

    /// Whether this would be an option if there were one of this name.
    fn is_option(&self, word: &str) -> bool {
        let mut before = self.args.iter().take_while(|arg| *arg != "--");
        let mut is_before = || before.any(|arg| arg.to_string_lossy().starts_with(word));
        word.starts_with('-') && (!self.has_dashes() || is_before())
    }

    fn has_dashes(&self) -> bool {
        self.args.iter().any(|arg| arg == "--")
    }

    /// The flags and arguments of this context, by their plain names.
    fn names(&self, kind: ContextKind) -> String {
        let texts = self.texts(kind);
        let names = texts.iter().map(|text| plain_name(text));
        names.collect::<Vec<_>>().join(" and ")
    }

    fn texts(&self, kind: ContextKind) -> Vec<String> {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.clone()],
            Some(ContextValue::Strings(texts)) => texts.clone(),
            _ => vec![],
        }
    }
}

/// `--tail` of `--tail <N>`, `POOL` of `<POOL>`.
fn plain_name(arg: &str) -> &str {
    let name = arg.split(' ').next().unwrap_or(arg);
    name.trim_end_matches("...")
        .trim_matches(['<', '>', '[', ']'])
}

fn first_paragraph(text: &str) -> String {
    let lines = text.trim_start_matches("error: ").lines().map(str::trim);
    lines
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
