//! Guards against a check that has been weakened, and a bug that was found before: everything that is checked in is
//! checked again, without a fuzzer.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use plasmite_fuzz::{Check, TARGETS};

/// What is checked in for a target, in the order of its names.
fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(kind)
        .join(target);
    let Ok(entries) = fs::read_dir(&dir) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str) {
    let (_, check): (_, Check) = *TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = files("seeds", target);
    assert!(!seeds.is_empty(), "there is no seed for {target}");
    check(&[]);
    for file in seeds.into_iter().chain(files("regressions", target)) {
        // The name of a file that fails is the last one that was printed.
        println!("{}", file.display());
        check(&fs::read(&file).unwrap());
    }
}

#[test]
fn case() {
    replay("case");
}

#[test]
fn frame_decode() {
    replay("frame_decode");
}

#[test]
fn header_open() {
    replay("header_open");
}

#[test]
fn ingest() {
    replay("ingest");
}

#[test]
fn pool_flip() {
    replay("pool_flip");
}

#[test]
fn pool_open() {
    replay("pool_open");
}

#[test]
fn every_target_is_replayed_and_has_its_binary() {
    let source = include_str!("replay.rs");
    let manifest = include_str!("../Cargo.toml");
    for (target, _) in TARGETS {
        assert!(source.contains(&format!("fn {target}()")), "{target}");
        let binary = format!("path = \"fuzz_targets/{target}.rs\"");
        assert!(manifest.contains(&binary), "{target} has no binary");
    }
    let kinds = ["seeds", "regressions"];
    for kind in kinds {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind);
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let name = entry.unwrap().file_name();
            let is_target = TARGETS.iter().any(|(target, _)| name == **target);
            assert!(is_target, "{kind}/{} is of no target", name.display());
        }
    }
}
