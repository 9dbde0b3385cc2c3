//! `doctor POOL | --all`.

use serde::Serialize;

use super::args::{DoctorArgs, Global};
use super::output::{self, count, style, visible};
use super::progress::{Progress, Total};
use super::{Outcome, Stop, open, salvage};
use crate::api::{Issue, IssueCode, PoolRef, Report};
use crate::core::error::{Error, ErrorKind, Result};
use crate::policy;
use crate::wire::{IssueBody, ReportBody, SoundBody};

/// How many ranges of sound messages are named to people.
const LISTED_RANGES: usize = 8;

pub(super) fn run(global: &Global, args: &DoctorArgs) -> Outcome {
    if let (Some(pool), Some(out)) = (&args.pool, &args.salvage) {
        let json = args.json.json || !output::stdout_is_terminal();
        return salvage::run(global, pool, out, json);
    }
    let examined = match &args.pool {
        Some(pool) => Examined {
            diagnoses: vec![examine_one(global, pool)?],
            errors: Vec::new(),
        },
        None => examine_all(global)?,
    };
    let code = examined.exit_code();
    examined.print(args.json.json || !output::stdout_is_terminal())?;
    Ok(code)
}

fn examine_one(global: &Global, pool: &str) -> Result<Diagnosis> {
    let reference = open::pool_ref(pool)?;
    let client = global.client_for(&reference)?;
    let report = {
        let _progress = Progress::new(&format!("checking {pool}"), Total::Unknown);
        client.verify_pool(&reference)?
    };
    let path = reference
        .path_in(client.dir())
        .to_string_lossy()
        .into_owned();
    let argument = reference.as_argument();
    Ok(Diagnosis::new(pool.to_owned(), path, &argument, &report))
}

fn examine_all(global: &Global) -> Result<Examined> {
    let mut examined = Examined::default();
    let client = global.client()?;
    let checked = {
        let label = format!("checking the pools in {}", client.dir().display());
        let _progress = Progress::new(&label, Total::Unknown);
        client.verify_pools()?
    };
    for (entry, checked) in checked {
        let path = entry.path.to_string_lossy().into_owned();
        let argument = PoolRef::Name(entry.name.clone()).as_argument();
        match checked {
            Ok(report) => {
                let diagnosis = Diagnosis::new(entry.name, path, &argument, &report);
                examined.diagnoses.push(diagnosis);
            }
            Err(error) => examined.errors.push(error),
        }
    }
    Ok(examined)
}

/// What was found, and what could not be looked at.
#[derive(Default)]
struct Examined {
    diagnoses: Vec<Diagnosis>,
    errors: Vec<Error>,
}

impl Examined {
    /// Damage decides; else the first pool that could not be examined does.
    fn exit_code(&self) -> u8 {
        if self.diagnoses.iter().any(Diagnosis::is_corrupt) {
            return policy::exit_code(ErrorKind::Corrupt);
        }
        self.errors
            .first()
            .map_or(0, |error| policy::exit_code(error.kind()))
    }

    fn print(&self, json: bool) -> Result<(), Stop> {
        if json {
            output::print_json(&Reports {
                reports: &self.diagnoses,
            })?;
        } else if self.diagnoses.is_empty() && self.errors.is_empty() {
            output::print_text("no pools to check\n")?;
        } else {
            self.diagnoses
                .iter()
                .try_for_each(|diagnosis| output::print_lines(&diagnosis.text()))?;
        }
        output::flush()?;
        self.errors.iter().for_each(output::report);
        Ok(())
    }
}

#[derive(Serialize)]
struct Reports<'a> {
    reports: &'a [Diagnosis],
}

#[derive(Serialize)]
struct Diagnosis {
    pool_ref: String,
    path: String,
    #[serde(flatten)]
    found: ReportBody,
    remediation_hints: Vec<String>,
    #[serde(skip)]
    messages: u64,
}

impl Diagnosis {
    fn new(pool_ref: String, path: String, argument: &str, report: &Report) -> Diagnosis {
        Diagnosis {
            found: ReportBody::new(report),
            remediation_hints: remedies(argument, report),
            messages: report.messages,
            pool_ref,
            path,
        }
    }

    fn is_corrupt(&self) -> bool {
        self.found.status == "corrupt"
    }

    fn text(&self) -> String {
        let state = if self.is_corrupt() {
            style::ERROR
        } else {
            style::GOOD
        };
        let (pool, path, status) = (
            visible(&self.pool_ref),
            visible(&self.path),
            self.found.status,
        );
        let found = match (self.messages, self.found.issue_count) {
            (messages, 0) => format!("{}, all sound", count(messages, "message")),
            (messages, issues) => format!(
                "{} sound, {}",
                count(messages, "message"),
                count(issues as u64, "issue")
            ),
        };
        let mut text = format!("{state}{status}{state:#}  {pool}: {found} ({path})\n");
        for issue in &self.found.issues {
            text += &issue_text(issue);
        }
        let unlisted = self.found.issue_count - self.found.issues.len();
        if unlisted > 0 {
            text += &format!("  and {unlisted} more\n");
        }
        if self.is_corrupt() {
            text += &sound_text(&self.found.sound);
        }
        let cyan = style::HINT;
        for hint in &self.remediation_hints {
            text += &format!("  {cyan}hint:{cyan:#} {}\n", visible(hint));
        }
        text
    }
}

/// Which messages are sound, by the first ranges of them.
fn sound_text(sound: &[SoundBody]) -> String {
    let (listed, rest) = sound.split_at(sound.len().min(LISTED_RANGES));
    let mut listed: Vec<String> = listed
        .iter()
        .map(|range| match range.first == range.last {
            true => range.first.to_string(),
            false => format!("{} to {}", range.first, range.last),
        })
        .collect();
    if !rest.is_empty() {
        listed.push(format!("{} more ranges", rest.len()));
    }
    match listed.split_last() {
        None => "  no message is sound\n".to_owned(),
        Some((only, [])) => format!("  sound messages: {only}\n"),
        Some((last, others)) => format!("  sound messages: {} and {last}\n", others.join(", ")),
    }
}

fn issue_text(issue: &IssueBody) -> String {
    let place = match (issue.seq, issue.offset) {
        (Some(seq), Some(offset)) => format!(" (message {seq}, byte {offset})"),
        (Some(seq), None) => format!(" (message {seq})"),
        (None, Some(offset)) => format!(" (byte {offset})"),
        (None, None) => String::new(),
    };
    let yellow = style::NOTICE;
    format!(
        "  {yellow}{}{yellow:#}: {}{place}\n",
        issue.code,
        visible(&issue.message)
    )
}

/// What to do about what was found, most urgent first. `pool` is the pool as an argument of a command.
fn remedies(pool: &str, report: &Report) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(hint) = &report.hint {
        let may_have_been_one = report.issues.iter().any(|issue| issue.offset != Some(4));
        let salvage = format!("if it is a pool that was damaged, {}", salvage_hint(pool));
        return std::iter::once(hint.clone())
            .chain(may_have_been_one.then_some(salvage))
            .collect();
    }
    if report.is_corrupt() {
        hints.push("copy the file before anything else, and stop what writes to it".to_owned());
        hints.extend(rescue(pool, report));
    }
    let has = |code| report.issues.iter().any(|issue| issue.code == code);
    if has(IssueCode::IndexHint) {
        hints.push(
            "there is nothing to do about the index: it only makes reads faster, and its slots are written anew as messages come in"
                .to_owned(),
        );
    }
    if has(IssueCode::ClockBehind) {
        hints.push(
            "check the system clock; messages repeat the newest time until the clock has caught up"
                .to_owned(),
        );
    }
    hints
}

/// How to get at what is sound in a damaged pool.
fn rescue(pool: &str, report: &Report) -> Vec<String> {
    let codes = || report.issues.iter().map(|issue| issue.code);
    if codes().any(|code| code == IssueCode::Control) {
        return vec![
            salvage_hint(pool),
            format!(
                "the pool cannot be relied on as it is: restore the file from a copy, or delete it with `plasmite pool delete {pool}` once its messages are saved"
            ),
        ];
    }
    let mut hints = vec![salvage_hint(pool)];
    let is_lost = |issue: &&Issue| matches!(issue.code, IssueCode::Frame | IssueCode::Payload);
    let lost = report.issues.iter().filter(is_lost);
    if let Some(last_lost) = lost.clone().filter_map(|issue| issue.seq).max() {
        if let Some(seq) = report.last_good_seq {
            hints.push(format!(
                "save what is sound before the damage with `plasmite follow {pool} --no-follow`, which reads up to message {seq}"
            ));
        }
        hints.push(format!(
            "save what is sound behind the damage with `plasmite follow {pool} --no-follow --from {}`",
            last_lost.saturating_add(1)
        ));
    }
    hints.push(match lost.count() {
        0 => "go on with the new pool, and delete this one".to_owned(),
        _ => "what is damaged cannot be restored from this file: take it from where it came from"
            .to_owned(),
    });
    hints
}

/// The command that saves all that can be saved.
fn salvage_hint(pool: &str) -> String {
    format!(
        "save every undamaged message in a new pool, and see what is lost, with `plasmite doctor --salvage ./saved.plasmite {pool}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_messages_are_named_by_ranges_of_which_a_few_are_shown() {
        let text = |ends: &[(u64, u64)]| {
            let ranges = ends.iter().map(|&(first, last)| SoundBody { first, last });
            sound_text(&ranges.collect::<Vec<_>>())
        };
        assert_eq!(text(&[]), "  no message is sound\n");
        assert_eq!(text(&[(1, 3)]), "  sound messages: 1 to 3\n");
        assert_eq!(text(&[(1, 3), (5, 5)]), "  sound messages: 1 to 3 and 5\n");
        let many: Vec<_> = (1..=10).map(|n| (2 * n, 2 * n)).collect();
        assert_eq!(
            text(&many),
            "  sound messages: 2, 4, 6, 8, 10, 12, 14, 16 and 2 more ranges\n"
        );
    }
}
