//! `man-pages DIR`: the manual, from the definition of the command line. Hidden, since packages and `make install` run
//! it, and not people.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Outcome;
use super::args::Cli;
use crate::core::error::{Error, ErrorKind};

/// What stands in the middle at the top of a page.
const MANUAL: &str = "Plasmite";
/// The section of the manual in which programs are.
const SECTION: &str = "1";

#[derive(Debug, Args)]
pub(crate) struct ManPagesArgs {
    /// Where the pages go
    dir: PathBuf,
}

pub(super) fn run(args: &ManPagesArgs) -> Outcome {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    for command in commands(&root) {
        let name = format!("{}.{SECTION}", page_name(command));
        let path = args.dir.join(name);
        write_page(command, &path).map_err(|cause| cannot_write(&path, cause))?;
    }
    Ok(0)
}

/// A command and all below it, but for those that are hidden.
fn commands(command: &Command) -> Vec<&Command> {
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
    let below = shown.flat_map(commands);
    std::iter::once(command).chain(below).collect()
}

/// `plasmite-pool-create` of `plasmite pool create`.
fn page_name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

fn write_page(command: &Command, path: &Path) -> io::Result<()> {
    let man = Man::new(command.clone().subcommand_help_heading("COMMANDS"));
    let mut page = title(command).into_bytes();
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if commands(command).len() > 1 {
        man.render_subcommands_section(&mut page)?;
    }
    notes(command).to_writer(&mut page)?;
    see_also(command).to_writer(&mut page)?;
    File::create(path)?.write_all(&page)
}

/// The first line. The date is left empty: the version says which program this is, and pages do not differ by the day.
fn title(command: &Command) -> String {
    let (name, version) = (page_name(command), env!("CARGO_PKG_VERSION"));
    format!(".TH \"{name}\" \"{SECTION}\" \"\" \"plasmite {version}\" \"{MANUAL}\"\n")
}

/// How it is called, as the help has it: a list of all flags would be no help.
fn synopsis(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").lines();
    for (at, line) in usage.enumerate() {
        if at > 0 {
            roff.control("br", []);
        }
        roff.text([roman(line.trim())]);
    }
    roff
}

/// What stands below the flags in the help: paragraphs, and lines of commands, which stay as they are.
fn notes(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let text = command.get_after_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    for (at, block) in text.split("\n\n").filter(|it| !it.is_empty()).enumerate() {
        let is_command = |line: &str| line.starts_with("  ");
        let (commands, words): (Vec<_>, Vec<_>) = block.lines().partition(|line| is_command(line));
        match words.first() {
            Some(&("Examples:" | "Example:")) => roff.control("SH", ["EXAMPLES"]),
            _ if at == 0 => roff.control("SH", ["NOTES"]),
            _ => roff.control("PP", []),
        };
        for line in words.iter().filter(|line| !line.starts_with("Example")) {
            roff.text([roman(*line)]);
        }
        if !commands.is_empty() {
            roff.control("PP", []);
            roff.control("nf", []);
            for line in commands {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        }
    }
    roff
}

fn see_also(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let name = page_name(command);
    let above = name.rsplit_once('-').map(|(above, _)| above);
    if let Some(above) = above {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(format!("{above}({SECTION})"))]);
    }
    roff
}

fn cannot_write(path: &Path, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cannot write {}", path.display()))
        .hint("name a directory that is there and may be written")
        .path(path)
        .caused_by(cause)
}
