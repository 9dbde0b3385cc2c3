//! What stands in `--help`, as whoever reads it finds it.

/// Every command that help lists, at every level, in the order of a tree: `""`, `"pool"`, `"pool create"`. `help_of`
/// has the help of a command.
pub(crate) fn listed_commands(help_of: impl Fn(&str) -> String) -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut at = 0;
    while let Some(command) = commands.get(at).cloned() {
        let help = help_of(&command);
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

/// The command lines below a line that announces them. One that does not begin with two blanks ends them.
pub(crate) fn examples(help: &str) -> Vec<String> {
    let mut examples = vec![];
    let mut is_example = false;
    for line in help.lines() {
        match line.strip_prefix("  ") {
            Some(command) if is_example => examples.push(without_remark(command)),
            _ => is_example = ["Examples:", "Example:", "A first round trip:"].contains(&line),
        }
    }
    examples
}

/// A command without what is said of it, behind at least three blanks.
pub(crate) fn without_remark(line: &str) -> String {
    let command = line.split("   ").next().unwrap_or_default();
    command.trim_end().to_owned()
}
