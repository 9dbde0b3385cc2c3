//! The manual pages.

use std::path::Path;
use std::process::Command;

use crate::help;
use crate::support::Place;

/// The pages of all commands.
fn place() -> Place {
    let place = Place::new();
    let dir = place.path().to_str().expect("UTF-8");
    place.args(&["man-pages", dir]).ok();
    place
}

fn page(command: &str) -> String {
    let name = format!("plasmite {command}");
    format!("{}.1", name.trim().replace(' ', "-"))
}

/// What a page says, its fonts and requests left out.
fn text(path: &Path) -> String {
    let source = std::fs::read_to_string(path).expect("a page");
    let lines = source.lines().filter(|line| !line.starts_with('.'));
    let plain = |line: &str| {
        let marks = [
            ("\\fB", ""),
            ("\\fI", ""),
            ("\\fR", ""),
            ("\\*(Aq", "'"),
            ("\\-", "-"),
            ("\\&", ""),
        ];
        let text = marks
            .iter()
            .fold(line.to_owned(), |text, (from, to)| text.replace(from, to));
        text.replace("\\\\", "\\")
    };
    lines.map(plain).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_command_has_a_page_with_its_flags_and_examples() {
    let place = place();
    let commands = help::commands();
    assert_eq!(
        std::fs::read_dir(place.path())
            .expect("a directory")
            .count(),
        commands.len()
    );
    for command in commands {
        let text = text(&place.file(&page(&command)));
        let help = Place::new().run(&format!("{command} --help")).ok();
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 2);
        for flag in flags {
            let flag = flag.trim_end_matches([',', ';', '.', ']', '`']);
            assert!(text.contains(flag), "{command}: {flag} is not in\n{text}");
        }
        for example in help::examples(&help) {
            let is_it = |line: &str| line.starts_with(&format!("  {example}"));
            assert!(
                text.lines().any(is_it),
                "{command}: {example} is not in\n{text}"
            );
        }
    }
}

#[test]
fn groff_has_nothing_to_say() {
    if Command::new("groff").arg("--version").output().is_err() {
        eprintln!("groff is not installed, and formats no page");
        return;
    }
    let place = place();
    for command in help::commands() {
        let path = place.file(&page(&command));
        let output = Command::new("groff")
            .args(["-ww", "-man", "-Tutf8", "-z"])
            .arg(path)
            .output();
        let output = output.expect("groff");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
        assert!(output.status.success(), "{command}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let place = Place::new();
    place.run("man-pages missing/dir").fails(3, "NotFound");
    assert!(!Path::new("missing").exists());
}
