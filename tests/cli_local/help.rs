//! What `--help` says, word by word, at a width of 100.

use crate::support::Place;

/// Every command that help lists, at every level: `""`, `"pool"`, `"pool create"`.
pub(crate) fn commands() -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut at = 0;
    while let Some(command) = commands.get(at).cloned() {
        let help = Place::new().run(&format!("{command} --help")).ok();
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let listed = listed.lines().take_while(|line| !line.is_empty());
        let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !name.is_empty() && *name != "help");
        commands.extend(names.map(|name| format!("{command} {name}").trim().to_owned()));
        at += 1;
    }
    assert!(
        commands.len() > 10,
        "the commands were not found: {commands:?}"
    );
    commands
}

/// The command lines that a help shows, without what is said of them.
pub(crate) fn examples(help: &str) -> Vec<String> {
    let mut examples = vec![];
    let mut is_example = false;
    for line in help.lines() {
        match line.strip_prefix("  ") {
            Some(command) if is_example => {
                let command = command.split("   ").next().expect("a command");
                examples.push(command.to_owned());
            }
            _ => is_example = is_heading(line),
        }
    }
    examples
}

/// Whether commands stand below this line.
fn is_heading(line: &str) -> bool {
    ["Examples:", "Example:", "A first round trip:"].contains(&line)
}

#[test]
fn help_is_as_it_was_reviewed() {
    for command in commands() {
        let help = Place::new().run(&format!("{command} --help")).ok();
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "-"), help);
    }
}

#[test]
fn a_first_round_trip_can_be_copied_from_the_help() {
    let help = Place::new().run("--help").ok();
    let place = Place::new();
    let shell = |line: &str| {
        let line = line
            .trim()
            .replace("plasmite ", &format!("{} ", crate::support::PLASMITE));
        let output = place
            .command("sh")
            .args(["-c", &line])
            .output()
            .expect("a shell");
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let commands: Vec<_> = help
        .lines()
        .filter(|line| line.starts_with("  plasmite "))
        .collect();
    assert_eq!(commands.len(), 3, "{help}");
    shell(commands[0]);
    shell(commands[1]);
    let follow = commands[2].trim().split("  ").next().expect("a command");
    shell(&format!("{follow} --no-follow | grep hello"));
}

#[test]
fn short_and_long_help_agree_at_every_level() {
    for command in ["", "pool", "feed"] {
        let place = Place::new();
        assert!(place.run(&format!("{command} -h")).ok().contains("Usage:"));
        assert!(
            place
                .run(&format!("help {command}"))
                .ok()
                .contains("Usage:")
        );
    }
}
