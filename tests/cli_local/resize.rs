//! `pool resize`, as a command.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::support::Place;
use crate::variants::slots;

#[test]
fn the_result_tells_what_was_and_what_is() {
    let place = Place::with_numbers(1000);
    let grown = place.run("pool resize p --size 2M").json();
    let expected = serde_json::json!({
        "pool": "p",
        "path": place.file("p.plasmite"),
        "before": {"file_size": 1_048_576, "index_capacity": slots(2048)},
        "after": {"file_size": 2_097_152, "index_capacity": slots(4096)},
        "messages": 1000,
        "bounds": {"oldest": 1, "newest": 1000},
    });
    assert_eq!(grown, expected);
    let error = place.run("pool resize p --size 64K").fails(2, "Usage");
    let hint = error["hint"].as_str().expect("a hint");
    assert!(
        hint.contains("--drop-oldest") && hint.contains("--size"),
        "{error}"
    );
    let shrunk = place.run("pool resize p --size 64K --drop-oldest").json();
    let last = shrunk["dropped"]["last"].as_u64().expect("a seq");
    assert_eq!(shrunk["bounds"]["oldest"], last + 1);
    assert_eq!(shrunk["messages"], 1000 - last);
    let numbers = place.run("follow p --no-follow").numbers();
    assert_eq!(numbers, (last + 1..=1000).collect::<Vec<_>>());
    place.run("doctor p").ok();
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let place = Place::with_numbers(3);
    let none = place.run("pool resize p").fails(2, "Usage");
    assert!(
        none["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("--size 8M")),
        "{none}"
    );
    place.run("pool resize p --size 1K").fails(2, "Usage");
    place
        .run("pool resize p --size 1M --index-capacity 999999")
        .fails(2, "Usage");
    place
        .run("pool resize http://127.0.0.1:1/p --size 1M")
        .fails(2, "Usage");
    place.run("pool resize nope --size 1M").fails(3, "NotFound");
    place.run("pool resize p --size 9000000G").fails(8, "Io");
    assert_eq!(place.run("pool info p").json()["file_size"], 1_048_576);
}

/// RESIZE-12
#[test]
fn who_follows_and_who_feeds_ends_and_can_go_on() {
    let place = Place::with_numbers(2);
    let mut follower = place.spawn("follow p -n 2");
    for n in 1..=2 {
        assert!(follower.line().contains(&format!("\"n\":{n}")));
    }
    let mut feeder = place.spawn("feed p");
    let mut feed = |line: &[u8]| {
        let stdin = feeder.child.stdin.as_mut().expect("piped");
        stdin.write_all(line).expect("a pipe");
    };
    feed(b"{\"n\":3}\n");
    assert!(follower.line().contains("\"n\":3"));
    place.run("pool resize p --size 64K").ok();
    let followed = follower.finish();
    assert_eq!(followed.errors(3)[0]["kind"], "NotFound");
    feed(b"{\"n\":4}\n");
    let fed = feeder.finish();
    assert_eq!(fed.out.lines().count(), 1);
    assert_eq!(fed.errors(3)[0]["kind"], "NotFound");
    place.pipe("feed p -q", "{\"n\":4}").ok();
    assert_eq!(place.run("follow p --from 3 --no-follow").numbers(), [3, 4]);
}

/// RESIZE-14
#[test]
fn who_may_use_the_pool_stays_the_same() {
    let place = Place::with_numbers(3);
    let path = place.file("p.plasmite");
    let found = || path.metadata().expect("the pool");
    for mode in [0o600, 0o640, 0o666] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("permissions");
        let before = found();
        place.run("pool resize p --size 2M").ok();
        assert_ne!(found().ino(), before.ino());
        assert_eq!(found().mode(), before.mode());
        assert_eq!((found().uid(), found().gid()), (before.uid(), before.gid()));
    }
    // Only root can give a file away.
    if std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).is_ok() {
        place.run("pool resize p --size 1M").ok();
        assert_eq!((found().uid(), found().gid()), (65_534, 65_534));
    }
}

#[test]
fn nothing_can_be_resized_where_nothing_can_be_made() {
    let place = Place::with_numbers(3);
    let path = place.file("p.plasmite");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("permissions");
    let line = format!("pool resize {} --size 2M", path.display());
    place.unprivileged(&line).fails(6, "Permission");
    let directory = |mode| {
        let mode = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.path(), mode).expect("permissions");
    };
    if path.metadata().expect("the pool").uid() == 0 {
        // May write the pool and its directory, and is not the one that it belongs to.
        directory(0o077);
        let error = place.unprivileged(&line).fails(6, "Permission");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("belongs to another user"), "{error}");
    }
    directory(0o755);
    assert_eq!(place.run("pool info p").json()["file_size"], 1_048_576);
}
