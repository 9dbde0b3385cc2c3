//! What all commands share: references, directories, output, errors.

use crate::support::{PLASMITE, PLS, Place};

#[test]
fn both_names_are_one_program() {
    let place = Place::new();
    for program in [PLASMITE, PLS] {
        let version = place.program(program, &["version"], "").ok();
        assert_eq!(
            version,
            format!(
                "{{\"name\":\"plasmite\",\"version\":\"{}\"}}\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        let flag = place.program(program, &["--version"], "").ok();
        assert_eq!(flag, format!("plasmite {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert_eq!(place.run("version --json").ok(), place.run("version").ok());
    assert_eq!(place.run("-V").ok(), place.run("--version").ok());
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    let place = Place::with_numbers(1);
    let lines = [
        "",
        "pool",
        "nonsense",
        "--nonsense",
        "pool create",
        "pool info",
        "pool delete",
        "pool nonsense",
        "feed",
        "fetch",
        "fetch p",
        "fetch p one",
        "fetch p -1",
        "fetch p 1 2",
        "fetch p 18446744073709551616",
        "follow",
        "doctor",
        "doctor p --all",
        "--color sometimes version",
        "--dir",
        "version extra",
        "feed p 1 --durability some",
        "feed p 1 --in xml",
        "feed p 1 -e ignore",
        "feed p 1 --retry -1",
        "feed p 1 --retry-delay 1s",
        "feed p 1 --retry 1 --retry-delay 5",
        "feed p 1 --create-size 1M",
        "feed p 1 -f file",
        "feed p 1 --create --create-size big",
        "feed p 1 --jsonl --format pretty",
        "follow p --json --format pretty",
        "follow p --format xml",
        "follow p -n 1 --from 1",
        "follow p -n 1 --since 1m",
        "follow p --from 1 --since 1m",
        "follow p -n one",
        "follow p --since yesterday",
        "follow p --since 5",
        "follow p --until 2026-11-24",
        "follow p --timeout 5",
        "follow p --timeout 1.5s",
        "follow p --gap sometimes",
        "follow p --from -1",
        "follow p --since 1m --until 1m",
        "follow p --since 1m --until 2m",
        "pool create x --size 1.5M",
        "pool create x --size -1",
        "pool create x --size 64KB",
        "pool create x --size 9223372036854775808",
        "pool create x --index-capacity none",
    ];
    for line in lines {
        place.run(line).fails(2, "Usage");
    }
    assert_eq!(
        place.run("follow p --no-follow").numbers(),
        [1],
        "nothing was touched"
    );
}

#[test]
fn sizes_and_times_show_an_accepted_form() {
    let place = Place::with_numbers(1);
    let message = |line| place.run(line).fails(2, "Usage")["message"].to_string();
    assert!(message("pool create x --size big").contains("64K"));
    assert!(message("follow p --since 5").contains("5m"));
    assert!(message("follow p --timeout 5").contains("30s"));
}

#[test]
fn an_error_in_the_command_line_says_which_part_of_it_and_what_to_read() {
    let place = Place::with_numbers(1);
    let told = [
        (
            "pool create x --size -1",
            "--size cannot be `-1`: a size is",
            "pool create",
        ),
        (
            "pool create x --index-capacity -1",
            "--index-capacity takes a whole number, not `-1`",
            "pool create",
        ),
        (
            "feed p 1 --create --create-size -1",
            "--create-size cannot be `-1`: ",
            "feed",
        ),
        (
            "follow p --since -5s",
            "--since cannot be `-5s`: a time is",
            "follow",
        ),
        (
            "follow p --until -5s",
            "--until cannot be `-5s`: a time is",
            "follow",
        ),
        (
            "follow p --timeout -5s",
            "--timeout cannot be `-5s`: a duration is",
            "follow",
        ),
        (
            "follow p --tail x",
            "--tail takes a whole number, not `x`",
            "follow",
        ),
        (
            "follow p -n -1",
            "--tail takes a whole number, not `-1`",
            "follow",
        ),
        (
            "follow p --from 18446744073709551616",
            "--from takes a whole number up to 18446744073709551615",
            "follow",
        ),
        ("fetch p -1", "SEQ takes a whole number, not `-1`", "fetch"),
        ("fetch p", "SEQ is missing", "fetch"),
        ("fetch", "POOL and SEQ are missing", "fetch"),
        ("doctor", "POOL is missing", "doctor"),
        (
            "feed p 1 --retry 4294967296",
            "--retry takes a whole number up to 4294967295",
            "feed",
        ),
        (
            "feed p 1 --retry-delay 1s",
            "--retry is missing, and",
            "feed",
        ),
        (
            "feed p 1 --retry 1 --retry-delay -1s",
            "--retry-delay cannot be `-1s`",
            "feed",
        ),
        (
            "feed p 1 --in xml",
            "--in takes auto, jsonl, json or seq, not `xml`",
            "feed",
        ),
        (
            "feed p 1 -f x",
            "DATA and --file exclude each other",
            "feed",
        ),
        ("feed p 1 -q -q", "--quiet is given more than once", "feed"),
        ("feed p 1 2", "`2` is one argument too many", "feed"),
        ("feed p 1 -- -2", "`-2` is one argument too many", "feed"),
        ("feed p -.5", "there is no option `-.5` here", "feed"),
        ("follow p -n", "--tail needs a value", "follow"),
        ("pool list -V", "there is no option `-V` here", "pool list"),
        ("pool nonsense", "there is no command `nonsense`", "pool"),
        ("", "there is no command to run", ""),
        (
            "--dir pool pool --color never",
            "there is no command to run",
            "pool",
        ),
    ];
    for (line, message, command) in told {
        let error = place.run(line).fails(2, "Usage");
        let hint = format!(
            "see `{}`",
            format!("plasmite {command} --help").replace("  ", " ")
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.starts_with(message)),
            "{line}: {error}"
        );
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|text| text.ends_with(&hint)),
            "{line}: {error}"
        );
    }
}

#[test]
fn a_near_miss_is_told() {
    let place = Place::new();
    for (line, meant) in [
        ("fech p 1", "perhaps `fetch` is meant"),
        ("pool crate p", "perhaps `create` is meant"),
        ("feed p --durabilty fast", "perhaps `--durability` is meant"),
        ("feed p 1 --in jsnol", "perhaps `jsonl` is meant"),
        ("version -V", "`plasmite --version` prints the version"),
        ("doctor", "with --all"),
        ("feed p hello --create", "as in '\"hello\"'"),
    ] {
        let error = place.run(line).fails(2, "Usage");
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains(meant)),
            "{line}: {error}"
        );
    }
}

#[test]
fn a_value_may_begin_with_a_dash() {
    let place = Place::with_numbers(0);
    for (n, line) in [
        "feed p -1e-3 -q --tag -x",
        "feed -q p -0.5E+1 --tag --create",
        "feed p -2",
    ]
    .iter()
    .enumerate()
    {
        place.run(line).ok();
        assert_eq!(
            place.run("pool info p").json()["bounds"]["newest"],
            n as u64 + 1
        );
    }
    let all = place.run("follow p --no-follow --data-only").ok();
    assert_eq!(all, "-1e-3\n-0.5E+1\n-2\n");
    let shown = |flags: &str| {
        place
            .run(&format!("follow p --no-follow --data-only {flags}"))
            .ok()
    };
    assert_eq!(shown("--tag -x"), "-1e-3\n");
    assert_eq!(shown("--tag --create"), "-0.5E+1\n");
    assert_eq!(shown("--where -.data>3"), "-0.5E+1\n");
    assert_eq!(place.pipe("feed p -f - -q", "7").ok(), "");
    place.run("feed p -f- -e skip -q").ok();
}

#[test]
fn what_is_said_back_is_short_and_harmless() {
    let place = Place::with_numbers(1);
    let long = "l".repeat(100_000);
    for bad in [long.as_str(), "\u{202e}\u{9b}\x1b[31m", "--\u{202e}"] {
        let lines = [
            vec!["fetch", "p", bad],
            vec!["fetch", bad, "1", "x"],
            vec!["fetch", bad, "\n"],
            vec!["pool", bad],
            vec!["feed", "p", "1", "--in", bad],
            vec!["feed", "p", "1", bad],
            vec!["feed", "p", "-f", bad],
            vec!["follow", "p", "--since", bad],
            vec!["follow", "p", "--where", bad],
            vec!["follow", &long, "--no-follow"],
        ];
        for line in lines {
            let run = place.args(&line);
            let error = &run.errors(run.code.expect("a code"))[0];
            let message = error["message"].as_str().expect("a message");
            assert!(message.len() < 500, "{}", message.len());
            assert!(
                !message.contains(['\u{202e}', '\u{9b}', '\x1b']),
                "{message}"
            );
        }
    }
}

#[test]
fn global_flags_stand_anywhere() {
    let place = Place::new();
    let dir = place.file("elsewhere");
    let dir = dir.to_str().expect("UTF-8");
    place.args(&["--dir", dir, "pool", "create", "a"]).ok();
    place.args(&["pool", "--dir", dir, "create", "b"]).ok();
    place
        .args(&["pool", "create", "c", "--dir", dir, "--color", "never"])
        .ok();
    let pools = place
        .args(&["pool", "list", "--dir", dir, "--color=always"])
        .json();
    let names: Vec<_> = pools["pools"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|pool| pool["name"].clone())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(
        place.run("pool list").json()["pools"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}

#[test]
fn the_pool_directory_falls_back_to_the_home_directory() {
    let place = Place::new();
    let mut command = place.command(PLASMITE);
    command
        .args(["pool", "create", "a"])
        .env("HOME", place.path())
        .env("PLASMITE_DIR", "");
    assert!(command.output().expect("it runs").status.success());
    assert!(place.file(".plasmite/pools/a.plasmite").is_file());
}

#[test]
fn only_creation_makes_directories() {
    let place = Place::new();
    let dir = place.file("missing");
    let dir = dir.to_str().expect("UTF-8");
    for args in [
        &["pool", "list"][..],
        &["pool", "info", "a"],
        &["fetch", "a", "1"],
        &["feed", "a", "1"],
        &["doctor", "--all"],
    ] {
        place.args(&[args, &["--dir", dir]].concat());
        assert!(!place.file("missing").exists(), "{args:?}");
    }
    place
        .args(&["feed", "a", "1", "--create", "--dir", dir])
        .ok();
}

#[test]
fn a_reference_with_a_slash_is_a_path() {
    let place = Place::new();
    let path = place.file("here.plasmite");
    let path = path.to_str().expect("UTF-8");
    place
        .args(&["pool", "create", path, "--dir", "/nonexistent"])
        .ok();
    assert_eq!(place.run("pool info here").json()["path"], path);
    assert_eq!(place.run("pool info here.plasmite").json()["path"], path);
    let other = place.file("no-suffix");
    place
        .args(&["pool", "create", other.to_str().expect("UTF-8")])
        .ok();
    assert!(other.is_file());
}

#[test]
fn names_that_no_pool_can_have_are_refused() {
    let place = Place::new();
    let long = "n".repeat(201);
    for name in [
        "",
        ".",
        "..",
        "a/..",
        "a\nb",
        "a\\b",
        "\u{85}",
        &long,
        "/",
        "x/",
        "./..",
        "http://host/a/b",
        "https://host/pool?a=1",
    ] {
        let errors = place.args(&["pool", "create", "--", name]).errors(2);
        assert_eq!(errors[0]["kind"], "Usage", "{name:?}");
        for args in [
            &["fetch", name, "1"][..],
            &["feed", name, "1"],
            &["follow", name],
        ] {
            let error = place.args(args).fails(2, "Usage");
            let typed: String = name.escape_debug().take(200).collect();
            let typed = typed.replace(r"\\", r"\");
            let message = error["message"].as_str().expect("a message");
            assert!(
                message.contains(&format!("`{typed}")),
                "{name:?}: {message}"
            );
        }
    }
    let error = place.run("doctor http://host/pool").fails(2, "Usage");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("local pools only"), "{message}");
    place.args(&["pool", "create", &"n".repeat(200)]).ok();
}

#[cfg(unix)]
#[test]
fn a_reference_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(PLASMITE);
    let output = command
        .args(["pool", "info"])
        .arg(std::ffi::OsStr::from_bytes(b"\xff"))
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_missing_pool_is_not_found_and_says_what_creates_it() {
    let place = Place::new();
    for line in [
        "fetch x 1",
        "feed x 1",
        "follow x",
        "pool info x",
        "doctor x",
    ] {
        let error = place.run(line).fails(3, "NotFound");
        assert!(
            error["hint"].to_string().contains("create"),
            "{line}: {error}"
        );
        assert!(
            error["path"]
                .as_str()
                .is_some_and(|path| path.ends_with("/x.plasmite")),
            "{line}: {error}"
        );
    }
}

#[test]
fn what_is_no_pool_is_told_apart() {
    let place = Place::with_numbers(1);
    std::fs::create_dir(place.file("dir.plasmite")).expect("a directory");
    std::fs::write(place.file("empty.plasmite"), "").expect("a file");
    std::fs::write(place.file("foreign.plasmite"), vec![b'x'; 100_000]).expect("a file");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(place.file("fifo.plasmite"))
            .status()
            .expect("mkfifo")
            .success()
    );
    for (name, code, kind) in [
        ("dir", 2, "Usage"),
        ("fifo", 2, "Usage"),
        ("empty", 7, "Corrupt"),
        ("foreign", 7, "Corrupt"),
    ] {
        for command in [
            "fetch NAME 1",
            "feed NAME 1",
            "follow NAME",
            "pool info NAME",
        ] {
            place.run(&command.replace("NAME", name)).fails(code, kind);
        }
    }
}

#[test]
fn other_format_versions_are_named() {
    let place = Place::with_numbers(1);
    let whole = std::fs::read(place.file("p.plasmite")).expect("the pool");
    for version in [0, 3, 5, u32::MAX] {
        let mut bytes = whole.clone();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        std::fs::write(place.file("other.plasmite"), bytes).expect("a file");
        let error = place.run("fetch other 1").fails(7, "Corrupt");
        let message = error["message"].to_string();
        assert!(
            message.contains(&version.to_string()) && message.contains('4'),
            "{message}"
        );
    }
}

#[test]
fn output_that_nobody_reads_ends_a_command_quietly() {
    let place = Place::with_numbers(5_000);
    for line in [
        "PLS follow p --no-follow",
        "PLS follow p -n 5000",
        "PLS follow p -n 5000 --where .",
        "yes 1 | PLS feed p",
    ] {
        let line = format!(
            "({}; echo $? >&3) 3>&2 | head -1",
            line.replace("PLS", PLASMITE)
        );
        let output = place
            .command("sh")
            .args(["-c", &line])
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n", "{line}");
    }
}

#[test]
fn a_full_disk_under_standard_output_is_an_io_error() {
    let place = Place::with_numbers(1);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let output = place
        .command(PLASMITE)
        .args(["follow", "p", "--no-follow"])
        .stdout(full)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(8));
}

#[test]
fn people_get_text_and_colours_follow_the_flag() {
    let place = Place::with_numbers(1);
    let plain = place.run("follow p --no-follow --format pretty").ok();
    assert!(
        plain.starts_with("1  2") && plain.ends_with("  {\"n\": 1}\n"),
        "{plain}"
    );
    let coloured = place
        .run("follow p --no-follow --format pretty --color always")
        .ok();
    assert!(coloured.contains("\x1b["), "{coloured}");
    let json = place.run("follow p --no-follow --color always").ok();
    assert!(!json.contains('\x1b'), "{json}");
}

/// Runs a command line on a terminal of its own.
#[cfg(target_os = "linux")]
fn on_a_terminal(place: &Place, line: &str) -> String {
    let line = line.replace("PLS", PLASMITE);
    let output = place
        .command("script")
        .args(["-qec", &line, "/dev/null"])
        .output()
        .expect("script, of util-linux");
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

/// Guards against damage that nobody can find, since only the JSON form says where it is.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_told_where_the_damage_is() {
    let place = Place::with_numbers(3);
    let path = place.file("p.plasmite");
    let mut bytes = std::fs::read(&path).expect("the pool");
    let needle = b"{\"n\":2}";
    let at = bytes.windows(needle.len()).position(|part| part == needle);
    bytes[at.expect("message 2")] ^= 1;
    std::fs::write(&path, bytes).expect("the pool");
    let run = place.run("fetch p 2");
    let error: serde_json::Value = serde_json::from_str(&run.err).expect("an error");
    let offset = &error["error"]["offset"];
    let shown = on_a_terminal(&place, "NO_COLOR=1 PLS fetch p 2");
    let expected = format!("\n  at message 2, byte {offset} of {}\n", path.display());
    assert!(shown.contains(&expected), "{shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_text() {
    let place = Place::with_numbers(1);
    let shown = |line: &str| on_a_terminal(&place, &format!("NO_COLOR=1 {line}"));
    assert!(
        shown("PLS fetch p 7").starts_with("error: message 7 "),
        "{}",
        shown("PLS fetch p 7")
    );
    assert!(shown("PLS fetch p 7").contains("\nhint: "));
    assert!(shown("PLS fetch p 1").ends_with("  {\"n\": 1}\n"));
    assert!(shown("PLS fetch p 1 --json").starts_with("{\"seq\":1,"));
    assert!(shown("PLS pool list").starts_with("NAME  SIZE  OLDEST  NEWEST  MODIFIED\np "));
    assert!(shown("PLS pool info p").contains("messages "));
    assert!(shown("PLS doctor p").starts_with("ok  p: "));
    assert!(shown("PLS version").starts_with("plasmite "));
    assert!(shown("PLS feed p").contains("standard input is a terminal"));
    assert!(shown("PLS feed p 1").starts_with("2  2"));
    for line in ["PLS", "PLS pool"] {
        let help = shown(line);
        assert!(
            help.contains("\nUsage: plasmite ")
                && help.contains("\nerror: there is no command to run\n"),
            "{help}"
        );
        assert!(
            shown(&format!("{line} > /dev/null")).contains("Usage: "),
            "on standard error"
        );
    }
    assert!(on_a_terminal(&place, "PLS fetch p 1").contains("\x1b["));
    for line in [
        "PLS fetch p 1",
        "PLS --help",
        "PLS pool",
        "PLS",
        "PLS fetch",
        "PLS --nonsense",
        "PLS fetch p 7",
    ] {
        let (program, rest) = line.split_at(3);
        assert!(on_a_terminal(&place, line).contains("\x1b["), "{line}");
        for plain in [
            format!("{program} --color never{rest}"),
            format!("{program} --color=never{rest}"),
            format!("NO_COLOR=1 {line}"),
        ] {
            let shown = on_a_terminal(&place, &plain);
            assert!(!shown.contains('\x1b'), "{plain}: {shown}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_message_cannot_steer_the_terminal() {
    let place = Place::new();
    place
        .args(&[
            "feed",
            "p",
            "\"\u{9b}2J\u{7f}\"",
            "--tag",
            "\u{1b}[31m",
            "--create",
        ])
        .ok();
    let shown = on_a_terminal(&place, "PLS fetch p 1 --color never");
    assert!(!shown.contains(['\u{9b}', '\u{7f}', '\u{1b}']), "{shown:?}");
}
