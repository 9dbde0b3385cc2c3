//! What `--help` says, word by word, at a width of 100.

pub(crate) use crate::listed::examples;
use crate::listed::listed_commands;
use crate::support::Place;

/// Every command that help lists, at every level: `""`, `"pool"`, `"pool create"`.
pub(crate) fn commands() -> Vec<String> {
    listed_commands(|command| Place::new().run(&format!("{command} --help")).ok())
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
