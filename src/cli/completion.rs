//! `completion SHELL`, and the answers to what its scripts ask while somebody types.
//!
//! A script knows nothing itself: at each press of the key it runs the program with [`VARIABLE`] set, and the program
//! answers from the definition of its command line and from the pools that are there now. Scripts and answers are
//! clap_complete's. How they talk to each other may change with its version, so a script belongs to the program that
//! printed it: a shell reads it from the program when it starts, or from where `make install` puts both.

use std::env;
use std::ffi::{OsStr, OsString};
use std::panic;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command, CommandFactory};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use super::args::{Cli, Global};
use super::{Outcome, Stop, output};
use crate::api::{Client, PoolRef};

/// Names the shell that asks. Nobody but a script sets it.
const VARIABLE: &str = "PLASMITE_COMPLETE";
/// What the program goes by.
const NAMES: [&str; 2] = ["plasmite", "pls"];

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Which shell the script is for
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) const EXAMPLES: &str = "\
The script serves plasmite and pls. It belongs to the program that printed it, so let the shell ask for it at each start.

Examples:
  source <(plasmite completion bash)      for bash, in ~/.bashrc
  source <(plasmite completion zsh)       for zsh, in ~/.zshrc after compinit
  plasmite completion fish | source       for fish, in ~/.config/fish/config.fish";

pub(super) fn run(args: &CompletionArgs) -> Outcome {
    let script = script(args.shell).map_err(Stop::from_stdout)?;
    output::print(|out| out.extend_from_slice(&script))?;
    Ok(0)
}

fn script(shell: Shell) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    if shell == Shell::Zsh {
        // Has to be the first line, where zsh looks for what a file of its function path is for.
        script.extend_from_slice(format!("#compdef {}\n", NAMES.join(" ")).as_bytes());
    }
    if let Some(writer) = Shells::builtins().completer(&shell.to_string()) {
        for name in NAMES {
            writer.write_registration(VARIABLE, name, name, name, &mut script)?;
        }
    }
    if shell == Shell::Zsh {
        script.extend_from_slice(ZSH_AUTOLOADED.as_bytes());
    }
    Ok(script)
}

/// A file of the function path is read at the first key, which then wants its answer.
const ZSH_AUTOLOADED: &str = r#"
if [[ "${funcstack[1]}" == _plasmite ]]; then
    "_clap_dynamic_completer_${service:-plasmite}" "$@"
fi
"#;

/// Answers the question of a script, if that is what the program was run for. Whatever goes wrong, nothing is said of
/// it: it would stand in the middle of what somebody types.
pub(super) fn answer() -> bool {
    let shell = env::var(VARIABLE).unwrap_or_default();
    if Shells::builtins().completer(&shell).is_none() {
        return false;
    }
    panic::set_hook(Box::new(|_| {}));
    let typed: Vec<_> = env::args_os().collect();
    let dir = dir_of(&typed);
    let pools = Pools {
        client: Global::in_dir(dir).client().ok(),
        is_bash: shell == "bash",
    };
    let complete = || {
        let command = || with_pools(Cli::command(), &pools);
        let here = env::current_dir().ok();
        CompleteEnv::with_factory(command)
            .var(VARIABLE)
            .try_complete(typed, here.as_deref())
            .ok();
    };
    panic::catch_unwind(panic::AssertUnwindSafe(complete)).ok();
    true
}

/// The argument of `--dir`, as far as it can be told from words of which the last may be half typed.
fn dir_of(typed: &[OsString]) -> Option<PathBuf> {
    let mut words = typed.iter().skip_while(|word| *word != "--").skip(1);
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        let dir = match word.strip_prefix("--dir") {
            // Bash hands the sign over as a word of its own.
            Some("") => words.find(|word| *word != "=")?.to_string_lossy(),
            Some(value) if value.starts_with('=') => value[1..].into(),
            _ if word == "--" => return None,
            _ => continue,
        };
        return Some(expanded(&unquoted(&dir)));
    }
    None
}

/// What a shell makes of a `~`, which it hands over as it was typed.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), env::home_dir()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

/// A word without the shell's quotes.
fn unquoted(word: &str) -> String {
    let mut plain = String::with_capacity(word.len());
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            '\'' | '"' => {}
            _ => plain.push(c),
        }
    }
    plain
}

/// Has every argument that takes a pool which is there completed from what is there.
fn with_pools(command: Command, pools: &Pools) -> Command {
    // By the name that stands in the help, so that a new command needs nothing. `delete` takes several.
    let deletes = command.get_name() == "delete";
    let takes_pool = move |arg: &Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        arg.is_positional() && names.iter().any(|name| name == "POOL" || deletes)
    };
    command
        .mut_args(|arg| match takes_pool(&arg) {
            true => arg.add(ArgValueCompleter::new(pools.clone())),
            false => arg,
        })
        .mut_subcommands(|command| with_pools(command, pools))
}

/// The pools that can be named.
#[derive(Clone)]
struct Pools {
    /// Where names are looked up, if that is known.
    client: Option<Client>,
    /// Bash alone takes what it is given for text that has its quotes.
    is_bash: bool,
}

impl ValueCompleter for Pools {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let typed = current.to_string_lossy();
        if typed.contains('/') {
            let is_pool = |path: &Path| path.extension().is_some_and(|it| it == "plasmite");
            return PathCompleter::any().filter(is_pool).complete(current);
        }
        let begin = match self.is_bash {
            true => unquoted(&typed),
            false => typed.into_owned(),
        };
        let mut names = self.names();
        names.retain(|name| name.starts_with(&begin));
        let written = |name: &String| match self.is_bash {
            true => quoted(name),
            false => name.clone(),
        };
        names
            .iter()
            .map(|name| CompletionCandidate::new(written(name)))
            .collect()
    }
}

impl Pools {
    /// The names that can be typed as they are. None is opened.
    fn names(&self) -> Vec<String> {
        let files = self.client.as_ref().map(Client::pool_files);
        let files = files.and_then(Result::ok).unwrap_or_default();
        let names = files.into_iter().map(|file| file.name);
        let is_usable = |name: &String| !name.starts_with('-') && PoolRef::named(name).is_ok();
        names.filter(is_usable).collect()
    }
}

/// A name with a backslash before each character that means something to bash.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-+:@%,".contains(c);
    let quote = |c: char| match is_plain(c) {
        true => c.to_string(),
        false => format!("\\{c}"),
    };
    name.chars().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_directory_is_that_of_the_words() {
        let told = [
            ("pls -- pls --dir /a feed ", Some("/a")),
            ("pls -- pls feed --dir=/a ", Some("/a")),
            ("pls -- pls feed --dir = /a ", Some("/a")),
            ("pls -- pls feed --dir '/a\\b' ", Some("/ab")),
            ("pls -- pls feed --dir", None),
            ("pls -- pls feed --directory /a", None),
            ("pls -- pls feed -- --dir /a", None),
            ("pls --dir /a -- pls feed", None),
        ];
        for (line, dir) in told {
            assert_eq!(
                dir_of(&words(line)).as_deref(),
                dir.map(Path::new),
                "{line}"
            );
        }
    }

    #[test]
    fn quotes_come_and_go() {
        for name in ["a b", "it's", "$x", "漢字", "plain-1.2"] {
            assert_eq!(unquoted(&quoted(name)), name);
        }
        assert_eq!(quoted("a b"), "a\\ b");
        assert_eq!(quoted("plain-1.2"), "plain-1.2");
    }

    #[test]
    fn every_command_with_a_pool_completes_it() {
        let pools = Pools {
            client: None,
            is_bash: false,
        };
        let command = with_pools(Cli::command(), &pools);
        let mut named = vec![];
        for command in command
            .get_subcommands()
            .chain(command.get_subcommands().flat_map(Command::get_subcommands))
        {
            let mut args = command.get_positionals();
            if args.any(|arg| arg.get::<ArgValueCompleter>().is_some()) {
                named.push(command.get_name().to_owned());
            }
        }
        for name in ["feed", "fetch", "follow", "doctor", "info", "delete"] {
            assert!(named.iter().any(|it| it == name), "{name}: {named:?}");
        }
        for name in ["create", "list", "serve", "version", "completion"] {
            assert!(!named.iter().any(|it| it == name), "{name}: {named:?}");
        }
    }
}
