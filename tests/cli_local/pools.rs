//! `pool create|list|info|delete` and `fetch`.

use serde_json::json;

use crate::support::Place;

#[test]
fn create_answers_with_what_it_created() {
    let place = Place::new();
    let created = place
        .run("pool create a b --size 128K --index-capacity 16")
        .json();
    assert_eq!(created["failed"], json!([]));
    for (info, name) in created["created"]
        .as_array()
        .expect("an array")
        .iter()
        .zip(["a", "b"])
    {
        assert_eq!(info["name"], name);
        assert_eq!(info["file_size"], 131_072);
        assert_eq!(info["index_capacity"], 16);
        assert_eq!(info["bounds"], json!({}));
        assert_eq!(
            place
                .file(&format!("{name}.plasmite"))
                .metadata()
                .expect("a file")
                .len(),
            131_072
        );
    }
}

#[test]
fn create_goes_on_after_a_failure_and_exits_with_the_first() {
    let place = Place::new();
    place.run("pool create a").ok();
    let before = std::fs::read(place.file("a.plasmite")).expect("a file");
    let run = place.run("pool create a .. b");
    let errors = run.errors(4);
    assert_eq!(
        (&errors[0]["kind"], &errors[1]["kind"]),
        (&json!("AlreadyExists"), &json!("Usage"))
    );
    let result = &run.lines()[0];
    assert_eq!(result["created"][0]["name"], "b");
    assert_eq!(result["failed"][0]["pool"], "a");
    assert_eq!(result["failed"][0]["error"], errors[0]);
    assert_eq!(result["failed"][1]["pool"], "..");
    assert_eq!(
        std::fs::read(place.file("a.plasmite")).expect("a file"),
        before
    );
}

#[test]
fn sizes_have_bounds() {
    let place = Place::new();
    place.run("pool create a --size 64K").ok();
    place
        .run("pool create b --size 65536 --index-capacity 2048")
        .ok();
    let message = |line| place.run(line).errors(2)[0]["message"].to_string();
    assert!(
        message("pool create c --size 65535").contains("65536")
            || message("pool create c --size 65535").contains("64")
    );
    assert!(message("pool create c --size 64K --index-capacity 2049").contains("2048"));
    assert!(!place.file("c.plasmite").exists());
}

#[test]
fn list_is_sorted_and_survives_what_cannot_be_read() {
    let place = Place::with_numbers(3);
    place.run("pool create a").ok();
    std::fs::write(place.file("broken.plasmite"), "x").expect("a file");
    std::fs::write(place.file("other.txt"), "x").expect("a file");
    std::fs::create_dir(place.file("dir.plasmite")).expect("a directory");
    let pools = place.run("pool list").json()["pools"].clone();
    let pools = pools.as_array().expect("an array");
    let names: Vec<_> = pools
        .iter()
        .map(|pool| pool["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(names, ["a", "broken", "p"]);
    assert_eq!(pools[0]["bounds"], json!({}));
    assert_eq!(pools[1]["bounds"], json!({}));
    assert_eq!(pools[1]["error"]["kind"], "Corrupt");
    assert_eq!(pools[2]["bounds"], json!({"oldest": 1, "newest": 3}));
    assert!(pools[2].get("error").is_none());
    assert_eq!(pools[2]["file_size"], 1_048_576);
    assert!(
        pools[2]["mtime"]
            .as_str()
            .is_some_and(|time| time.len() == 30 && time.ends_with('Z'))
    );
}

#[test]
fn errors_name_the_pool_the_place_and_what_helps() {
    let place = Place::with_numbers(1);
    let at = |name: &str| place.file(name).to_string_lossy().into_owned();
    let has = |error: &serde_json::Value, member: &str, text: &str| {
        assert!(
            error[member]
                .as_str()
                .is_some_and(|value| value.contains(text)),
            "`{text}` is not in {member}: {error}"
        );
    };
    let missing = place.run("fetch nope 1").fails(3, "NotFound");
    has(&missing, "message", "there is no pool `nope`");
    has(&missing, "hint", "`plasmite pool create nope`");
    assert_eq!(missing["path"], at("nope.plasmite"));
    let taken = place.run("pool create p").errors(4)[0].clone();
    has(&taken, "message", "the pool `p` exists already");
    has(&taken, "hint", "`plasmite pool delete p`");
    assert_eq!(taken["path"], at("p.plasmite"));

    let contents: [(&[u8], &str); 5] = [
        (b"", "it is empty"),
        (b"short", "it has 5 bytes, and the smallest pool has 65536"),
        (&[b'x'; 4095], "it has 4095 bytes"),
        (&[b'x'; 4096], "it begins with \"xxxxxxxx\""),
        (&[0; 70_000], "it begins with \"\\x00"),
    ];
    for (content, found) in contents {
        std::fs::write(place.file("other.plasmite"), content).expect("a file");
        let error = place.run("fetch other 1").fails(7, "Corrupt");
        has(&error, "message", "not a pool file");
        has(&error, "message", found);
        has(&error, "hint", "65536");
        assert_eq!(error["path"], at("other.plasmite"));
    }
}

#[test]
fn errors_about_the_directory_name_it() {
    let place = Place::with_numbers(1);
    std::fs::write(place.file("file"), "").expect("a file");
    let dir = place.file("file").to_string_lossy().into_owned();
    for command in [
        "pool list",
        "doctor --all",
        "fetch p 1",
        "pool delete p",
        "pool create q",
    ] {
        let line = format!("{command} --dir {dir}");
        let error = place.run(&line).errors(2)[0].clone();
        assert_eq!(
            (&error["kind"], &error["path"]),
            (&json!("Usage"), &json!(dir)),
            "{command}"
        );
    }
}

#[test]
fn list_and_doctor_hide_no_file_because_of_its_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::with_numbers(1);
    let long = format!("{}.plasmite", "x".repeat(210));
    let names: [&[u8]; 5] = [
        b".plasmite",
        b"a\\b.plasmite",
        b"bell\x07.plasmite",
        b"latin\xe9.plasmite",
        long.as_bytes(),
    ];
    for name in names {
        let file = place.path().join(OsStr::from_bytes(name));
        std::fs::copy(place.file("p.plasmite"), file).expect("a copy");
    }
    let broken = place.path().join(OsStr::from_bytes(b"z\xff.plasmite"));
    std::fs::write(broken, "x").expect("a file");
    let pools = place.run("pool list").json()["pools"].clone();
    let pools = pools.as_array().expect("an array");
    let listed: Vec<_> = pools.iter().map(|pool| pool["name"].clone()).collect();
    let long = "x".repeat(210);
    let shown = [
        "",
        "a\\b",
        "bell\u{7}",
        "latin\u{fffd}",
        "p",
        &long,
        "z\u{fffd}",
    ];
    assert_eq!(listed, shown);
    for pool in &pools[..6] {
        assert_eq!(pool["bounds"], json!({"oldest": 1, "newest": 1}), "{pool}");
        assert!(pool.get("error").is_none(), "{pool}");
    }
    assert_eq!(pools[6]["bounds"], json!({}));
    assert_eq!(pools[6]["error"]["kind"], "Corrupt");

    let run = place.run("doctor --all");
    assert_eq!((run.code, run.err.as_str()), (Some(7), ""));
    let reports = run.lines()[0]["reports"].clone();
    let examined: Vec<_> = reports
        .as_array()
        .expect("an array")
        .iter()
        .map(|report| report["pool_ref"].clone())
        .collect();
    assert_eq!(examined, shown);
}

#[test]
fn delete_leaves_links_and_pools_of_many_names_alone() {
    let place = Place::with_numbers(1);
    let file = |name: &str| place.file(&format!("{name}.plasmite"));
    std::os::unix::fs::symlink("p.plasmite", file("link")).expect("a link");
    let error = place.run("pool delete link").errors(2)[0].clone();
    let real = file("p").canonicalize().expect("it is there");
    let command = format!("`plasmite pool delete {}`", real.display());
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains(&command)),
        "{error}"
    );
    std::fs::hard_link(file("p"), file("twin")).expect("a link");
    assert_eq!(place.run("pool delete p").errors(2)[0]["kind"], "Usage");
    place.run("feed p 2 -q").ok();
    std::fs::remove_file(file("twin")).expect("a file");
    place.run("pool delete p").ok();
    assert!(!file("p").exists() && file("link").is_symlink());
}

#[test]
fn a_pool_that_was_half_deleted_says_how_to_finish() {
    let place = Place::new();
    place.args(&["pool", "create", "my pool"]).ok();
    let path = place.file("my pool.plasmite");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[704..712].copy_from_slice(b"deleted!");
    std::fs::write(&path, bytes).expect("a file");
    for command in [&["fetch", "my pool", "1"][..], &["doctor", "my pool"]] {
        let error = place.args(command).fails(3, "NotFound");
        let hint = error["hint"].as_str().expect("a hint");
        assert!(hint.contains("`plasmite pool delete 'my pool'`"), "{hint}");
    }
    place.args(&["pool", "delete", "my pool"]).ok();
    assert_eq!(place.run("pool list").json(), json!({"pools": []}));
}

#[test]
fn info_describes_a_pool() {
    let place = Place::with_numbers(3);
    let info = place.run("pool info p").json();
    assert_eq!(info["bounds"], json!({"oldest": 1, "newest": 3}));
    assert_eq!(info["metrics"]["message_count"], 3);
    assert_eq!(info["metrics"]["seq_span"], 3);
    assert_eq!(info["format_version"], 4);
    assert_eq!(
        info["ring_offset"]
            .as_u64()
            .zip(info["ring_size"].as_u64())
            .map(|(at, size)| at + size),
        Some(1_048_576)
    );
    assert_eq!(place.run("pool info p --json").json()["uuid"], info["uuid"]);
}

#[test]
fn delete_tries_all_and_says_what_became_of_each() {
    let place = Place::with_numbers(1);
    place.run("pool create q").ok();
    std::fs::write(place.file("foreign.plasmite"), vec![0; 100_000]).expect("a file");
    let run = place.run("pool delete p nobody foreign q");
    let errors = run.errors(3);
    assert_eq!(errors.len(), 2);
    let result = &run.lines()[0];
    assert_eq!(result["deleted"][0]["pool"], "p");
    assert_eq!(
        result["deleted"][0]["path"],
        place.file("p.plasmite").to_str().expect("UTF-8")
    );
    assert_eq!(result["deleted"][1]["pool"], "q");
    assert_eq!(result["failed"][0]["error"], errors[0]);
    assert_eq!(result["failed"][1]["pool"], "foreign");
    assert!(!place.file("p.plasmite").exists() && place.file("foreign.plasmite").exists());
}

#[test]
fn fetch_prints_one_envelope() {
    let place = Place::with_numbers(2);
    place.run("feed p [1] --tag b --tag a -q").ok();
    let line = place.run("fetch p 3").ok();
    assert!(
        line.starts_with("{\"seq\":3,\"time\":\"")
            && line.ends_with("Z\",\"meta\":{\"tags\":[\"b\",\"a\"]},\"data\":[1]}\n"),
        "{line}"
    );
    assert_eq!(place.run("fetch p 3 --json").ok(), line);
}

#[test]
fn fetch_of_what_is_not_there_names_what_is() {
    let place = Place::with_numbers(2);
    for seq in [0, 3, u64::MAX] {
        let error = place.run(&format!("fetch p {seq}")).fails(3, "NotFound");
        assert_eq!(error["seq"].as_u64(), Some(seq));
        assert!(
            error["hint"]
                .to_string()
                .contains("oldest message is 1, the newest 2"),
            "{error}"
        );
    }
    place.run("pool create empty").ok();
    assert!(
        place.run("fetch empty 1").fails(3, "NotFound")["hint"]
            .to_string()
            .contains("empty")
    );
}

#[test]
fn a_pool_that_may_not_be_read_is_a_matter_of_permission() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with_numbers(1);
    let file = place.file("p.plasmite");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("permissions");
    for line in ["fetch p 1", "feed p 1", "pool info p", "doctor p"] {
        place.unprivileged(line).fails(6, "Permission");
    }
    let listed = place.unprivileged("pool list").json();
    assert_eq!(listed["pools"][0]["error"]["kind"], "Permission");

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).expect("permissions");
    place.unprivileged("fetch p 1").ok();
    for line in ["feed p 1", "pool delete p", "pool create q"] {
        let error = place.unprivileged(line).errors(6)[0].clone();
        assert_eq!(error["kind"], "Permission");
    }

    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(place.path(), closed).expect("permissions");
    let error = place.unprivileged("pool list").fails(6, "Permission");
    assert_eq!(error["path"], place.path().to_string_lossy().as_ref());
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).expect("permissions");
}
