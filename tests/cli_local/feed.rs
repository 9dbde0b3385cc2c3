//! `feed`.

use std::fs::File;
use std::io::Write;

use serde_json::json;

use crate::support::{PLASMITE, Place};

#[test]
fn a_value_is_appended_and_gets_a_receipt() {
    let place = Place::with_numbers(0);
    let receipt = place.run("feed p {\"a\":1} --tag x --tag y --tag x").json();
    let keys: Vec<_> = receipt
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys.len(), 4);
    assert_eq!(
        (&receipt["seq"], &receipt["durability"]),
        (&json!(1), &json!("fast"))
    );
    assert_eq!(receipt["meta"], json!({"tags": ["x", "y", "x"]}));
    assert_eq!(place.run("fetch p 1").json()["time"], receipt["time"]);
    assert_eq!(
        place.run("feed p 2 --durability flush").json()["durability"],
        "flush"
    );
    assert_eq!(place.run("feed p 3 -q").ok(), "");
    assert_eq!(place.run("feed p -1 --json").json()["seq"], 4);
    assert_eq!(place.run("feed p -- -1").json()["seq"], 5);
}

#[test]
fn text_is_kept_byte_for_byte() {
    let place = Place::with_numbers(0);
    let digits = "7".repeat(400);
    let values = [
        "{\"b\":1.50e+02,\"a\":0.10,\"a\":\"two  spaces\"}",
        "\"\\ud800\\u0041\"",
        "null",
        "-0.0",
        "\"\"",
        "[]",
        &digits,
    ];
    for value in values {
        place.args(&["feed", "p", "-q", "--", value]).ok();
    }
    let out = place.run("follow p --no-follow --data-only").ok();
    assert_eq!(out.lines().collect::<Vec<_>>(), values);
}

#[test]
fn bad_data_is_refused_before_anything_is_created() {
    let place = Place::new();
    let deep = "[".repeat(101) + &"]".repeat(101);
    for (data, offset) in [("{\"a\":}", 5), ("nope", 1), ("{\"a\":1", 6), ("1 2", 2)] {
        let error = place
            .args(&["feed", "p", data, "--create"])
            .fails(2, "Usage");
        assert_eq!(error["offset"], offset, "{data}: {error}");
    }
    for data in ["", " ", &deep] {
        place
            .args(&["feed", "p", data, "--create"])
            .fails(2, "Usage");
    }
    assert!(!place.file("p.plasmite").exists());
}

#[cfg(unix)]
#[test]
fn data_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::with_numbers(0);
    let mut command = place.command(PLASMITE);
    let output = command
        .args(["feed", "p"])
        .arg(std::ffi::OsStr::from_bytes(b"\"\xff\""))
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    place
        .pipe("feed p", b"\"\xff\"\n".as_slice())
        .fails(2, "Usage");
}

#[test]
fn a_stream_gets_a_receipt_for_each_message() {
    let place = Place::with_numbers(0);
    let run = place.pipe(
        "feed p --tag t",
        (1..=1_000)
            .map(|n| format!("{{\"n\":{n}}}\n"))
            .collect::<String>(),
    );
    let seqs: Vec<_> = run
        .lines()
        .iter()
        .filter_map(|receipt| receipt["seq"].as_u64())
        .collect();
    assert_eq!(seqs, (1..=1_000).collect::<Vec<_>>());
    assert_eq!(
        place.run("follow p --no-follow --tag t").numbers(),
        (1..=1_000).collect::<Vec<_>>()
    );
}

#[test]
fn a_line_is_appended_and_receipted_before_the_next_comes() {
    let place = Place::with_numbers(0);
    let mut feed = place.spawn("feed p");
    for n in 1..=3 {
        let mut input = feed.child.stdin.as_ref().expect("piped");
        writeln!(input, "{{\"n\":{n}}}").expect("it reads");
        assert!(feed.line().starts_with(&format!("{{\"seq\":{n},")));
        assert_eq!(place.run("follow p -n 1 --no-follow").numbers(), [n]);
    }
    feed.finish().ok();
}

#[test]
fn input_may_come_from_a_file() {
    let place = Place::with_numbers(0);
    std::fs::write(place.file("in"), "{\"n\":1}\n{\"n\":2}").expect("a file");
    let file = place.file("in");
    let file = file.to_str().expect("UTF-8");
    place.args(&["feed", "p", "-q", "-f", file]).ok();
    place.args(&["feed", "p", "-q", "--file", "-"]).ok();
    place.pipe("feed p -q -f -", "{\"n\":3}").ok();
    assert_eq!(place.run("follow p --no-follow").numbers(), [1, 2, 3]);
    let error = place.run("feed p -f /nonexistent").fails(3, "NotFound");
    assert_eq!(error["path"], "/nonexistent");
    place
        .args(&["feed", "p", "-f", place.path().to_str().expect("UTF-8")])
        .fails(8, "Io");
    place
        .run("feed new -f /nonexistent --create")
        .fails(3, "NotFound");
    assert!(!place.file("new.plasmite").exists());
}

#[test]
fn every_format_is_understood() {
    let place = Place::with_numbers(0);
    place
        .pipe("feed p -q --in jsonl", "{\"n\":1}\n\n  {\"n\":2}")
        .ok();
    place
        .pipe("feed p -q --in json", "{\"n\":\n3}{\"n\":4}")
        .ok();
    place
        .pipe("feed p -q --in seq", "\x1e{\"n\":5}\n\x1e{\"n\":6}\n")
        .ok();
    place.pipe("feed p -q", "\x1e{\"n\":7}\n").ok();
    place
        .pipe("feed p -q", "event: x\ndata: {\"n\":\ndata: 8}\n\n")
        .ok();
    place.pipe("feed p -q", "{\n\"n\": 9\n}\n").ok();
    place.pipe("feed p -q", "\u{feff}{\"n\":10}\r\n").ok();
    assert_eq!(
        place.run("follow p --no-follow").numbers(),
        (1..=10).collect::<Vec<_>>()
    );
}

#[test]
fn nothing_in_is_nothing_out() {
    let place = Place::with_numbers(0);
    for input in ["", "\n", " \n\t\r\n"] {
        assert_eq!(place.pipe("feed p", input).ok(), "");
    }
}

#[test]
fn a_bad_record_stops_after_what_came_before() {
    let place = Place::with_numbers(0);
    let run = place.pipe("feed p", "{\"n\":1}\n{\"n\":2}\n{\"n\":\n{\"n\":4}\n");
    assert_eq!(run.lines().len(), 2);
    let errors = run.errors(2);
    assert!(
        errors[0]["message"]
            .as_str()
            .is_some_and(|message| message.contains("line 3")),
        "{errors:?}"
    );
    assert_eq!(errors[0]["kind"], "Usage");
    assert_eq!(place.run("follow p --no-follow").numbers(), [1, 2]);
}

#[test]
fn an_error_in_a_stream_names_its_place_in_the_stream() {
    let place = Place::with_numbers(0);
    let input = "1\n".repeat(200_000) + "  [1,x]\n";
    let run = place.pipe("feed p -q --in jsonl", input);
    let error = &run.errors(2)[0];
    assert_eq!(error["offset"], 400_000 + 5, "{error}");
    assert!(
        error["message"].to_string().contains("line 200001"),
        "{error}"
    );
}

/// What a stream is made of, and what is wrong with it: the message up to its end, and the offset.
const BAD: &[(&str, &str, &str, u64)] = &[
    (
        "jsonl",
        "1\n  [1,x]\n",
        "line 2: the text is not JSON: expected a value, found `x` at column 6",
        7,
    ),
    (
        "jsonl",
        "1\n{\"n\":",
        "line 2: the JSON ends before its value is complete at column 6",
        7,
    ),
    (
        "jsonl",
        "\n\n1 2\n",
        "line 3: the JSON value is complete, yet more follows it: found `2` at column 3",
        4,
    ),
    (
        "json",
        "1\n[\n1\n}\n",
        "line 2: the text is not JSON: expected `,` or `]`, found `}` at line 4, column 1",
        6,
    ),
    (
        "json",
        "1\n 2 [\n\"a",
        "line 2: the JSON ends before its value is complete at line 3, column 3",
        9,
    ),
    (
        "json",
        "\n {\"n\":1}  x\n",
        "line 2: the text is not JSON: expected a value, found `x` at column 11",
        11,
    ),
    (
        "seq",
        "\u{1e}1\n\u{1e}2\u{1e}3\n",
        "line 2: the number or name may be incomplete",
        4,
    ),
    (
        "seq",
        "\n1\n",
        "line 2: the text has no record separator",
        1,
    ),
    (
        "auto",
        "data: 1\n\ndata: [x]\n\n",
        "line 3: the text is not JSON: expected a value, found `x` at column 8",
        16,
    ),
    (
        "auto",
        "data: 1\n\nid: 2\ndata: [1,\ndata: x]\n\n",
        "line 4: the text is not JSON: expected a value, found `x`",
        21,
    ),
];

#[test]
fn what_is_wrong_with_a_record_is_told_by_its_place_in_the_input() {
    let place = Place::with_numbers(0);
    let file = place.file("in");
    let file = file.to_str().expect("UTF-8");
    for (format, input, message, offset) in BAD {
        std::fs::write(file, input).expect("a file");
        for run in [
            place.args(&["feed", "p", "-q", "--in", format, "-f", file]),
            place.pipe(&format!("feed p -q --in {format}"), *input),
        ] {
            let error = &run.errors(2)[0];
            let told = error["message"].as_str().expect("a message");
            assert!(told.starts_with(message), "{input:?}: {error}");
            assert_eq!(error["offset"], *offset, "{input:?}: {error}");
            assert!(
                told.contains(" at ") || !message.contains(" at "),
                "{error}"
            );
        }
        let error = &place
            .args(&["feed", "p", "-q", "--in", format, "-f", file])
            .errors(2)[0];
        assert_eq!(error["path"], file);
        assert!(
            place
                .pipe(&format!("feed p -q --in {format}"), *input)
                .errors(2)[0]["path"]
                .is_null()
        );
    }
}

#[test]
fn a_record_that_is_too_large_is_told_by_its_place_in_the_input() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let ring = place.run("pool info p").json()["ring_size"]
        .as_u64()
        .expect("a number");
    let half = usize::try_from(ring / 2).expect("small");
    let file = place.file("in");
    // The first is too large by itself, the second only with what the ring adds to it.
    for length in [half + 1, half - 10] {
        let large = format!("\"{}\"", "x".repeat(length - 2));
        for (format, input, line, offset) in [
            ("jsonl", format!("1\n {large}\n2\n"), 2, 3),
            ("json", format!("1\n\n{large}\n2\n"), 3, 3),
            ("seq", format!("\u{1e}1\n\u{1e}{large}\n\u{1e}2\n"), 2, 4),
            (
                "auto",
                format!("data: 1\n\ndata: {large}\n\ndata: 2\n\n"),
                3,
                15,
            ),
        ] {
            std::fs::write(&file, &input).expect("a file");
            let run = place.args(&[
                "feed",
                "p",
                "--in",
                format,
                "-e",
                "skip",
                "-f",
                file.to_str().expect("UTF-8"),
            ]);
            assert_eq!(run.lines().len(), 2, "{format}");
            let errors = run.errors(1);
            let message = errors[0]["message"].as_str().expect("a message");
            assert!(
                message.starts_with(&format!("line {line}: "))
                    && message.contains(&(ring / 2).to_string()),
                "{format}: {message}"
            );
            assert_eq!(
                (&errors[0]["offset"], &errors[0]["path"]),
                (&json!(offset), &json!(file)),
                "{format}: {message}"
            );
        }
    }
}

#[test]
fn white_space_between_records_is_no_part_of_them() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let space = " ".repeat(100_000);
    let lines = "\r\n".repeat(100_000);
    for (format, input) in [
        (
            "auto",
            format!("{space}{lines}[1]{space}\n{lines}{space}[2]{space}"),
        ),
        (
            "jsonl",
            format!("{space}{lines}[1]{space}\n{lines}{space}[2]{space}"),
        ),
        ("json", format!("{space}{lines}[1]{space}[2]{lines}")),
        (
            "seq",
            format!("{lines}\u{1e}{space}[1]{space}\u{1e}{lines}[2]{lines}{space}"),
        ),
    ] {
        place.pipe(&format!("feed p -q --in {format}"), input).ok();
        assert_eq!(
            place.run("follow p -n 2 --no-follow --data-only").ok(),
            "[1]\n[2]\n",
            "{format}"
        );
    }
    assert_eq!(place.run("pool info p").json()["bounds"]["newest"], 8);
}

#[test]
fn no_bad_record_keeps_the_others_out() {
    let place = Place::with_numbers(0);
    let deep = [100, 101].map(|depth| "[".repeat(depth) + &"]".repeat(depth));
    let digits = "7".repeat(400);
    let records = [
        ("nope", false),
        (&*deep[0], true),
        (&*deep[1], false),
        (&*digits, true),
        ("{\"a\":1,\"a\":2}", true),
        ("{\"a\":1}}", false),
        ("'a'", false),
        ("NaN", false),
        ("\"\t\"", false),
        ("[1,2", false),
    ];
    let input: String = records
        .iter()
        .map(|(text, _)| format!("{text}\n"))
        .collect();
    let input = [input.as_bytes(), b"\"\xff\"\n\"cut"].concat();
    let run = place.pipe("feed p -e skip --in jsonl", input);
    let good: Vec<_> = records
        .iter()
        .filter(|(_, good)| *good)
        .map(|(text, _)| *text)
        .collect();
    let told: Vec<_> = run
        .errors(1)
        .iter()
        .map(|error| {
            error["message"]
                .as_str()
                .and_then(|message| message.split(':').next())
                .map(str::to_owned)
        })
        .collect();
    let lines = [1, 3, 6, 7, 8, 9, 10, 11, 12].map(|line| Some(format!("line {line}")));
    assert_eq!(told, lines);
    assert_eq!(run.lines().len(), good.len());
    let kept = place.run("follow p --no-follow --data-only").ok();
    assert_eq!(kept.lines().collect::<Vec<_>>(), good);
}

#[test]
fn skipping_reports_bad_records_and_appends_the_rest() {
    let place = Place::with_numbers(0);
    let run = place.pipe("feed p -e skip", "{\"n\":1}\nbad\n{\"n\":2}\n\"\n{\"n\":3}");
    assert_eq!(run.lines().len(), 3);
    let errors = run.errors(1);
    let lines: Vec<_> = errors
        .iter()
        .map(|error| error["message"].to_string())
        .collect();
    assert!(
        lines.len() == 2 && lines[0].contains("line 2") && lines[1].contains("line 4"),
        "{lines:?}"
    );
    assert_eq!(place.run("follow p --no-follow").numbers(), [1, 2, 3]);
}

#[test]
fn a_message_larger_than_half_the_ring_is_a_bad_record() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let large = format!("\"{}\"", "x".repeat(40_000));
    let error = place.args(&["feed", "p", &large]).fails(2, "Usage");
    let ring = place.run("pool info p").json()["ring_size"]
        .as_u64()
        .expect("a number");
    assert!(
        error["message"]
            .to_string()
            .contains(&(ring / 2).to_string()),
        "{error}"
    );
    let run = place.pipe(
        "feed p -e skip",
        format!("{{\"n\":1}}\n{large}\n{{\"n\":2}}\n"),
    );
    assert!(run.errors(1)[0]["message"].to_string().contains("line 2"));
    assert_eq!(place.run("follow p --no-follow").numbers(), [1, 2]);
}

#[test]
fn the_largest_message_fits_in_a_stream_of_others() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let mut input = String::new();
    for n in 0..2_000 {
        let pad = "x".repeat(n * 37 % 20_000);
        input += &format!("{{\"n\":{n},\"pad\":\"{pad}\"}}\n");
    }
    let receipts = place.pipe("feed p", input);
    assert_eq!(receipts.lines().len(), 2_000);
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let line = format!(
        "ulimit -v 1000000; (printf '\"'; head -c 3000000000 /dev/zero | tr '\\0' x) | {PLASMITE} feed p"
    );
    let output = place
        .command("sh")
        .args(["-c", &line])
        .output()
        .expect("a shell");
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_missing_pool_is_created_only_when_asked_for() {
    let place = Place::new();
    place.pipe("feed p", "1").fails(3, "NotFound");
    place
        .pipe("feed p --create --create-size 128K -q", "1")
        .ok();
    assert_eq!(place.run("pool info p").json()["file_size"], 131_072);
    place.pipe("feed p --create -q", "2").ok();
    place.run("feed q 1 --create -q").ok();
    assert_eq!(place.run("pool info q").json()["file_size"], 1_048_576);
    assert_eq!(place.run("follow p --no-follow --data-only").ok(), "1\n2\n");
}

#[test]
fn a_held_lock_is_busy_and_retries_outlast_it() {
    let place = Place::with_numbers(0);
    let file = File::open(place.file("p.plasmite")).expect("the pool");
    fs2::FileExt::lock_exclusive(&file).expect("the lock");
    place.run("feed p 1").fails(5, "Busy");
    let feed = place.spawn("feed p 1 --retry 100 --retry-delay 10ms");
    fs2::FileExt::unlock(&file).expect("unlocked");
    feed.finish().ok();
    assert_eq!(place.run("follow p --no-follow --data-only").ok(), "1\n");
}

#[test]
fn an_atomic_feed_appends_all_or_nothing() {
    let place = Place::with_numbers(0);
    for bad in ["nope", "\"", "[1,", "{\"a\":1}}"] {
        let good = "1\n".repeat(1_000);
        let run = place.pipe("feed p --atomic", format!("{good}{bad}\n2\n"));
        let error = run.fails(2, "Usage");
        assert!(
            error["message"].to_string().contains("line 1001"),
            "{error}"
        );
    }
    assert_eq!(place.run("pool info p").json()["bounds"], json!({}));
    let numbers: String = (1..=1_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let receipts = place
        .pipe("feed p --atomic --tag t --durability flush", &numbers)
        .lines();
    assert_eq!(receipts.len(), 1_000);
    for (seq, receipt) in (1..).zip(&receipts) {
        assert_eq!(receipt["seq"], seq);
        assert_eq!(receipt["durability"], "flush");
        // One batch has one time, and several of 256 hardly would.
        assert_eq!(receipt["time"], receipts[0]["time"]);
    }
    assert_eq!(
        place.run("follow p --no-follow --tag t").numbers(),
        (1..=1_000).collect::<Vec<_>>()
    );
    assert_eq!(place.pipe("feed p --atomic", " \n").ok(), "");
    assert_eq!(place.run("feed p 7 --atomic").json()["seq"], 1_001);
    assert_eq!(place.pipe("feed p --atomic -q", "[\n8\n]").ok(), "");
    assert_eq!(
        place.run("follow p -n 2 --no-follow --data-only").ok(),
        "7\n[8]\n"
    );
}

#[test]
fn an_atomic_feed_of_too_much_ends_at_once_and_takes_bounded_memory() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let ring = place.run("pool info p").json()["ring_size"]
        .as_u64()
        .expect("a number");
    // Input without end: whoever reads all of it never answers.
    let line = format!("ulimit -v 1000000; yes '[1,2,3]' | {PLASMITE} feed p --atomic");
    let output = place
        .command("sh")
        .args(["-c", &line])
        .output()
        .expect("a shell");
    let error = crate::support::Run::of(output).fails(2, "Usage");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains(&format!("more than {} bytes", ring / 2)),
        "{error}"
    );
    let line = message
        .strip_prefix("line ")
        .and_then(|rest| rest.split(':').next()?.parse::<usize>().ok())
        .expect("its line");
    assert_eq!(error["offset"], 8 * (line - 1));
    let most = "[1,2,3]\n".repeat(line - 1);
    place
        .pipe("feed p --atomic -q", format!("{most}[1,2,3]\n"))
        .fails(2, "Usage");
    assert_eq!(place.run("pool info p").json()["bounds"], json!({}));
    place.pipe("feed p --atomic -q", most).ok();
    assert_eq!(
        place.run("pool info p").json()["bounds"]["newest"],
        line - 1
    );
    let large = format!("1\n\"{}\"\n", "x".repeat(40_000));
    let error = place.pipe("feed p --atomic", large).fails(2, "Usage");
    assert!(error["message"].to_string().contains("line 2"), "{error}");
}

#[test]
fn an_atomic_feed_that_is_ended_before_its_input_appends_nothing() {
    let place = Place::with_numbers(0);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut feed = place.spawn("feed p --atomic");
        let mut input = feed.child.stdin.take().expect("piped");
        // More than a pipe holds, most of it white space, so that some was read once all is written.
        let records = "1\n".to_owned() + &" ".repeat(200_000) + "\n2\n";
        input.write_all(records.as_bytes()).expect("it reads");
        crate::signals::send(signal, &feed.child);
        let status = feed.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code));
        drop(input);
    }
    let mut feed = place.spawn("feed p --atomic");
    let mut input = feed.child.stdin.take().expect("piped");
    input.write_all(b"1\n2\n").expect("it reads");
    input
        .write_all(&[b' '; 200_000])
        .expect("it reads on, so it has the pool open");
    assert_eq!(place.run("pool info p").json()["bounds"], json!({}));
    place.run("pool delete p").ok();
    drop(input);
    feed.finish().fails(3, "NotFound");
}

#[test]
fn an_atomic_feed_leaves_no_record_out() {
    let place = Place::new();
    let error = place
        .pipe("feed p --atomic -e skip --create", "1\n")
        .fails(2, "Usage");
    assert!(error["hint"].to_string().contains("--help"), "{error}");
    assert!(!place.file("p.plasmite").exists());
    place
        .pipe("feed p --atomic -e stop --create -q", "1\n")
        .ok();
}
