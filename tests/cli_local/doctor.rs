//! `doctor`.

use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::support::Place;

/// Flips a bit of a pool file.
fn damage(place: &Place, name: &str, offset: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(place.file(name))
        .expect("the pool");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)
        .expect("it is that long");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("writable");
}

#[test]
fn a_sound_pool_is_ok() {
    let place = Place::with_numbers(3);
    let report = place.run("doctor p").json()["reports"][0].clone();
    let expected = json!({
        "pool_ref": "p", "path": place.file("p.plasmite"), "status": "ok", "last_good_seq": 3,
        "issue_count": 0, "issues": [], "remediation_hints": [],
    });
    assert_eq!(report, expected);
    assert_eq!(place.run("doctor p --json").json()["reports"][0], expected);
}

#[test]
fn damage_is_found_and_located() {
    let place = Place::with_numbers(3);
    let ring = place.run("pool info p").json()["ring_offset"]
        .as_u64()
        .expect("an offset");
    let bytes = std::fs::read(place.file("p.plasmite")).expect("the pool");
    let needle = b"{\"n\":2}";
    let at = bytes
        .windows(needle.len())
        .position(|part| part == needle)
        .expect("message 2") as u64;
    assert!(at > ring);
    damage(&place, "p.plasmite", at + 5);
    let run = place.run("doctor p");
    assert_eq!((run.code, run.err.as_str()), (Some(7), ""));
    let report = &run.lines()[0]["reports"][0];
    assert_eq!(
        (&report["status"], &report["last_good_seq"]),
        (&json!("corrupt"), &json!(1))
    );
    assert_eq!(report["issues"][0]["seq"], 2, "{report}");
    assert!(
        report["issues"][0]["offset"]
            .as_u64()
            .is_some_and(|offset| offset <= at && offset > ring),
        "{report}"
    );
    assert!(
        report["remediation_hints"]
            .as_array()
            .is_some_and(|hints| !hints.is_empty())
    );
    place.run("fetch p 2").fails(7, "Corrupt");
    place.run("fetch p 3").ok();
}

/// The hints of the one report that `doctor` prints.
fn hints(report: &Value) -> Vec<String> {
    let hints = report["remediation_hints"].as_array().expect("an array");
    let text = |hint: &Value| hint.as_str().expect("text").to_owned();
    hints.iter().map(text).collect()
}

#[test]
fn hints_on_damage_are_commands_that_save_the_rest() {
    let place = Place::with_numbers(5);
    let bytes = std::fs::read(place.file("p.plasmite")).expect("the pool");
    let at = |needle: &[u8]| {
        let mut parts = bytes.windows(needle.len());
        parts.position(|part| part == needle).expect("it is there") as u64
    };
    for (offset, code) in [
        (at(b"{\"n\":3}"), "payload"),
        (at(b"{\"n\":3}") - 20, "frame"),
    ] {
        std::fs::write(place.file("p.plasmite"), &bytes).expect("the pool");
        damage(&place, "p.plasmite", offset);
        let report = place.run("doctor p").lines()[0]["reports"][0].clone();
        assert_eq!(report["issues"][0]["code"], code, "{report}");
        let (mut saved, mut commands) = (Vec::new(), 0);
        for hint in hints(&report) {
            let command = hint.split('`').nth(1);
            if let Some(command) = command.filter(|command| !command.contains("--salvage")) {
                let run = place.run(command.strip_prefix("plasmite ").expect("a command"));
                saved.extend(run.lines().iter().map(|line| line["seq"].as_u64()));
                commands += 1;
            }
        }
        assert_eq!(commands, 2, "{report}");
        assert_eq!(saved, [1, 2, 4, 5].map(Some), "{report}");
    }
}

#[test]
fn hints_on_what_does_not_open_say_what_it_is() {
    let place = Place::with_numbers(1);
    let bytes = std::fs::read(place.file("p.plasmite")).expect("the pool");
    let patched = |offset: usize, patch: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[offset..offset + patch.len()].copy_from_slice(patch);
        bytes
    };
    let cases = [
        (
            b"#!/bin/sh".to_vec(),
            "header",
            "begins with PLSM and has at least 65536 bytes",
        ),
        (Vec::new(), "header", "begins with PLSM"),
        (patched(4, &[3]), "header", "the program that wrote it"),
        (patched(4, &[9]), "header", "newer release"),
        (patched(100, b"x"), "header", "restore the file from a copy"),
        (bytes[..65_536].to_vec(), "header", "truncated"),
        (patched(704, b"x"), "control", "`plasmite pool delete p`"),
        (patched(576, &[0; 8]), "control", "restore the file"),
    ];
    for (content, code, words) in cases {
        std::fs::write(place.file("p.plasmite"), content).expect("the pool");
        let run = place.run("doctor p");
        assert_eq!((run.code, run.err.as_str()), (Some(7), ""));
        let report = &run.lines()[0]["reports"][0];
        assert_eq!(
            (&report["issues"][0]["code"], &report["issue_count"]),
            (&json!(code), &json!(1))
        );
        let hints = hints(report);
        assert!(
            hints.iter().any(|hint| hint.contains(words)),
            "{words}: {hints:?}"
        );
        // Whoever ran it need not be told to run it.
        let says_doctor = |hint: &String| hint.contains("doctor") && !hint.contains("--salvage");
        assert!(!hints.iter().any(says_doctor), "{hints:?}");
    }
}

#[test]
#[cfg(not(any(feature = "no-index", feature = "noisy-index")))]
fn an_index_of_noise_is_one_issue_and_one_hint() {
    let place = Place::with_numbers(3);
    let file = std::fs::File::options()
        .write(true)
        .open(place.file("p.plasmite"));
    let file = file.expect("the pool");
    let noise: Vec<u8> = (0..4096 * 8u32).map(|n| (n * 7 + 1) as u8).collect();
    let wrong_place = |slot: u64| (4096 + slot * 16 + 8, &noise[..8]);
    for ((offset, bytes), message) in [
        (
            wrong_place(1),
            "1 index slot names the wrong place; reads of its message",
        ),
        (
            wrong_place(2),
            "2 index slots name the wrong place; reads of their messages",
        ),
        ((4096, &noise[..]), "2048 index slots name"),
    ] {
        file.write_all_at(bytes, offset).expect("writable");
        let report = place.run("doctor p").json()["reports"][0].clone();
        assert_eq!(
            (&report["status"], &report["issue_count"]),
            (&json!("ok"), &json!(1))
        );
        let issue = &report["issues"][0];
        assert_eq!(issue["code"], "index_hint");
        assert!(
            issue["message"]
                .as_str()
                .is_some_and(|text| text.starts_with(message)),
            "{issue}"
        );
        assert_eq!(hints(&report).len(), 1);
    }
}

#[test]
fn all_pools_are_examined_whatever_is_wrong_with_some() {
    let place = Place::with_numbers(1);
    assert_eq!(
        Place::new().run("doctor --all").json(),
        json!({"reports": []})
    );
    std::fs::write(place.file("a.plasmite"), "foreign").expect("a file");
    let run = place.run("doctor --all");
    assert_eq!((run.code, run.err.as_str()), (Some(7), ""));
    let reports = run.lines()[0]["reports"].clone();
    assert_eq!(
        (&reports[0]["pool_ref"], &reports[0]["status"]),
        (&json!("a"), &json!("corrupt"))
    );
    assert_eq!(
        (&reports[1]["pool_ref"], &reports[1]["status"]),
        (&json!("p"), &json!("ok"))
    );
    assert_eq!(reports[0]["last_good_seq"], json!(null));
}

#[test]
fn examining_changes_nothing() {
    let place = Place::with_numbers(3);
    let before = std::fs::read(place.file("p.plasmite")).expect("the pool");
    place.run("doctor p").ok();
    assert_eq!(
        std::fs::read(place.file("p.plasmite")).expect("the pool"),
        before
    );
}

/// What the hint on a damaged pool says to run.
fn salvage(report: &Value) -> String {
    let commands = hints(report).into_iter();
    let command = commands.filter_map(|hint| Some(hint.split('`').nth(1)?.to_owned()));
    let mut salvage = command.filter(|command| command.contains("--salvage"));
    salvage.next().expect("a hint on --salvage")
}

#[test]
fn the_hint_on_a_salvage_is_a_command_that_saves_the_rest() {
    let place = Place::with_numbers(5);
    let path = place.file("p.plasmite");
    let sound = std::fs::read(&path).expect("the pool");
    let needle = b"{\"n\":3}";
    let mut parts = sound.windows(needle.len());
    let at = parts.position(|part| part == needle).expect("message 3") as u64;
    // A payload, a frame header, a control word, the header.
    for (offset, missing) in [(at, 3), (at - 20, 3), (577, 0), (48, 0)] {
        std::fs::write(&path, &sound).expect("the pool");
        damage(&place, "p.plasmite", offset);
        let before = std::fs::read(&path).expect("the pool");
        let report = place.run("doctor p").lines()[0]["reports"][0].clone();
        let command = salvage(&report);
        let run = place.run(command.strip_prefix("plasmite ").expect("a command"));
        assert_eq!(run.code, Some(if missing == 0 { 0 } else { 7 }), "{run:?}");
        let manifest = run.lines()[0]["salvage"].clone();
        let left: Vec<u64> = (1..=5).filter(|n| *n != missing).collect();
        assert_eq!(manifest["saved"]["messages"], left.len(), "{manifest}");
        let lost = manifest["lost"].as_array().expect("an array");
        let ranges: Vec<_> = lost
            .iter()
            .map(|loss| (&loss["first"], &loss["last"]))
            .collect();
        let expected = (&json!(missing), &json!(missing));
        assert_eq!(ranges, vec![expected; usize::from(missing != 0)]);
        assert_eq!(manifest["header_is_sound"], offset != 48);
        let follow = place.run("follow ./saved.plasmite --no-follow");
        assert_eq!(follow.numbers(), left);
        assert!(std::fs::read(&path).expect("the pool") == before);
        place
            .run(&command["plasmite ".len()..])
            .fails(4, "AlreadyExists");
        place.run("pool delete ./saved.plasmite").ok();
    }
}
