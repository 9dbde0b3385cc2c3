//! `doctor`.

use std::os::unix::fs::FileExt;

use serde_json::json;

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
