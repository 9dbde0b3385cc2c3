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

/// A page as `man` shows it on 200 columns.
fn formatted(path: &Path) -> String {
    let mut command = Command::new("groff");
    command
        .args(["-man", "-Tascii", "-P-c", "-P-b", "-P-u", "-rLL=200n"])
        .arg(path);
    let output = command.output().expect("groff");
    String::from_utf8(output.stdout).expect("ASCII")
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
        let text = formatted(&place.file(&page(&command)));
        let words: Vec<_> = text.split_whitespace().collect();
        let all = words.join(" ");
        let help = Place::new().run(&format!("{command} --help")).ok();
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 2);
        for flag in flags {
            let flag = flag.trim_end_matches([',', ';', '.', ']', '`']);
            assert!(all.contains(flag), "{command}: {flag} is not in\n{text}");
        }
        for example in help::examples(&help) {
            let example = example.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                all.contains(&example),
                "{command}: {example} is not in\n{text}"
            );
        }
    }
}

#[test]
fn groff_has_nothing_to_say() {
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
