//! `tap`.
//!
//! Guards against output that is lost, doubled or changed on its way into the pool or to the terminal, and against a
//! command whose end nobody learns of: because it was killed, because something that it started goes on, because the
//! pool is gone.

mod ends;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::commands::Running;
use crate::support::{PLASMITE, Place, Run};

impl Place {
    /// Taps a shell script into pool `p`, which is created, and has `flags` beside.
    fn tap(&self, flags: &str, script: &str) -> Run {
        self.args(&tap_args(flags, script))
    }

    fn spawn_tap(&self, flags: &str, script: &str) -> Running {
        self.spawn_args(&tap_args(flags, script))
    }

    /// The text of each line's message, in order.
    fn taped(&self) -> Vec<String> {
        let data = self.data().into_iter();
        data.filter(|data| data["kind"] == "line")
            .map(|data| data["line"].as_str().expect("text").to_owned())
            .collect()
    }

    /// The data of the message about the end, which is the last.
    #[track_caller]
    fn ending(&self) -> Value {
        let last = self.data().pop().expect("messages");
        assert_eq!(last["kind"], "exit", "{last}");
        assert!(last["elapsed_ms"].is_u64(), "{last}");
        last
    }

    /// What was written to a stream, made again as the specification says. [TAP-17]
    fn rebuilt(&self, stream: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for data in self.data().iter().filter(|data| data["stream"] == stream) {
            match data["base64"].as_str() {
                Some(text) => bytes.extend(STANDARD.decode(text).expect("base64")),
                None => bytes.extend(data["line"].as_str().expect("text").bytes()),
            }
            bytes.extend(data["newline"].as_str().unwrap_or("\n").bytes());
        }
        bytes
    }

    /// Waits for the file of this name, and what `is_enough` looks for in it.
    fn wait_for_file(&self, name: &str, is_enough: impl Fn(&str) -> bool) -> String {
        let read = || fs::read_to_string(self.file(name)).unwrap_or_default();
        wait_until(&format!("{name} is written"), || is_enough(&read()));
        read()
    }
}

fn tap_args<'a>(flags: &'a str, script: &'a str) -> Vec<&'a str> {
    let mut args = vec!["tap", "p", "--create"];
    args.extend(flags.split_whitespace());
    args.extend(["--", "sh", "-c", script]);
    args
}

impl Running {
    fn answer(&self, text: &str) {
        let mut input = self.child.stdin.as_ref().expect("piped");
        input.write_all(text.as_bytes()).expect("it reads");
    }

    /// The data of the next message that this follower prints.
    fn data(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str::<Value>(&line).expect("JSON")["data"].clone()
    }
}

fn line(stream: &str, text: &str) -> Value {
    json!({"kind": "line", "stream": stream, "line": text})
}

fn is_whole_line(text: &str) -> bool {
    text.ends_with('\n')
}

/// Waits for a condition; gives up far beyond what any takes.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never comes: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the process that wrote this number has been waited for.
fn wait_until_gone(pid: &str) {
    let dir = format!("/proc/{}", pid.trim());
    wait_until("the process ends", || !fs::exists(&dir).expect("proc"));
}

fn signal(signal: &str, pid: &str) -> bool {
    let mut kill = Command::new("kill");
    let sent = kill
        .args([signal, pid.trim()])
        .stderr(Stdio::null())
        .status();
    sent.expect("kill").success()
}

#[test]
fn a_run_is_a_start_its_lines_and_an_end() {
    let place = Place::new();
    let run = place.tap("--tag a --tag b", "echo one; echo '\"two\"'; exit 3");
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(3), "one\n\"two\"\n", "")
    );
    let printed = place.run("follow p --no-follow").ok();
    let (data, tags): (Vec<_>, Vec<_>) = printed
        .lines()
        .map(|line| {
            let (head, data) = line.split_once("\"data\":").expect("data");
            (
                data.trim_end_matches('}').to_owned(),
                head.contains("[\"lifecycle\",\"a\",\"b\"]"),
            )
        })
        .unzip();
    assert_eq!(tags, [true, false, false, true]);
    assert_eq!(
        data[..3],
        [
            r#"{"kind":"start","cmd":["sh","-c","echo one; echo '\"two\"'; exit 3"]"#,
            r#"{"kind":"line","stream":"stdout","line":"one""#,
            r#"{"kind":"line","stream":"stdout","line":"\"two\"""#,
        ]
    );
    assert!(
        data[3].starts_with(r#"{"kind":"exit","code":3,"elapsed_ms":"#),
        "{}",
        data[3]
    );
    assert_eq!(
        place.run("fetch p 2").json()["meta"],
        json!({"tags": ["a", "b"]})
    );
}

#[test]
fn lines_of_both_streams_come_as_they_are_written_and_the_command_reads_what_tap_would() {
    let place = Place::with_numbers(0);
    let mut follow = place.spawn("follow p --from 1");
    let tap = place.spawn_tap(
        "",
        "echo a; read x; echo \"b $x\" >&2; read x; echo \"c $x\"; read x; echo \"d $x\" >&2",
    );
    assert_eq!(follow.data()["kind"], "start");
    assert_eq!(follow.data(), line("stdout", "a"));
    tap.answer("1\n");
    assert_eq!(follow.data(), line("stderr", "b 1"));
    tap.answer("2\n");
    assert_eq!(follow.data(), line("stdout", "c 2"));
    tap.answer("3\n");
    assert_eq!(follow.data(), line("stderr", "d 3"));
    let run = tap.finish();
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(0), "a\nc 2\n", "b 1\nd 3\n")
    );
    assert_eq!(follow.data()["kind"], "exit");
}

#[test]
fn what_is_no_line_yet_is_passed_on_all_the_same() {
    let place = Place::new();
    let mut tap = place.spawn_tap("", "printf 'name? '; read x; echo \"hi $x\"; printf end");
    let mut prompt = [0; 6];
    tap.out.read_exact(&mut prompt).expect("a prompt");
    assert_eq!(&prompt, b"name? ");
    assert_eq!(place.data().len(), 1);
    tap.answer("ada\n");
    assert_eq!(tap.finish().out, "hi ada\nend");
    assert_eq!(place.taped(), ["name? hi ada", "end"]);
    assert_eq!(place.rebuilt("stdout"), b"name? hi ada\nend");
}

#[test]
fn any_bytes_come_out_as_they_went_in_on_both_ways() {
    let place = Place::new();
    let mut bytes = b"text\r\n\xff\xfe\n\0\x1b[31m\r\ncaf\xc3\n\n\r\r\n".to_vec();
    // All pairs of bytes, in lines of many lengths.
    bytes.extend((0..=u16::MAX).flat_map(|n| n.wrapping_mul(40_503).to_be_bytes()));
    bytes.extend(b"no end\r");
    fs::write(place.file("bytes"), &bytes).expect("a file");
    let output = place
        .command(PLASMITE)
        .args(["tap", "p", "--create", "--create-size", "8M", "--", "cat"])
        .arg(place.file("bytes"))
        .output()
        .expect("it runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(output.stdout == bytes);
    assert!(place.rebuilt("stdout") == bytes);
    let data = place.data();
    assert_eq!(
        data[1],
        json!({"kind": "line", "stream": "stdout", "line": "text", "newline": "\r\n"})
    );
    assert_eq!(
        data[2],
        json!({"kind": "line", "stream": "stdout", "line": "\u{fffd}\u{fffd}", "base64": "//4="})
    );
}

#[test]
fn words_of_the_command_are_kept_and_handed_on_whatever_their_bytes() {
    let place = Place::new();
    let word = std::ffi::OsStr::from_bytes(b"-q \xff --");
    let output = place
        .command(PLASMITE)
        .args(["tap", "p", "--create", "--", "printf", "%s", "--tag"])
        .arg(word)
        .output()
        .expect("it runs");
    assert_eq!(output.stdout, b"--tag-q \xff --");
    let start = &place.data()[0];
    assert_eq!(
        start["cmd"],
        json!(["printf", "%s", "--tag", "-q \u{fffd} --"])
    );
    let words = start["cmd_base64"].as_array().expect("all words");
    let words = words
        .iter()
        .map(|word| STANDARD.decode(word.as_str().expect("text")));
    let words: Vec<_> = words.map(|word| word.expect("base64")).collect();
    assert_eq!(
        words,
        [b"printf".as_slice(), b"%s", b"--tag", b"-q \xff --"]
    );
}

/// The most memory that a tap took, in KiB, having recorded a line of so many bytes.
fn most_memory(flags: &str, length: usize) -> u64 {
    let place = Place::new();
    let script = format!("head -c {length} /dev/zero | tr '\\0' x; echo; echo end; read x; exit 0");
    let mut tap = place.spawn_tap(flags, &script);
    wait_until("the line is recorded", || {
        assert!(tap.child.try_wait().expect("it runs").is_none());
        place.file("p.plasmite").exists() && place.taped().last().is_some_and(|line| line == "end")
    });
    let status = fs::read_to_string(format!("/proc/{}/status", tap.child.id())).expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line
        .expect("its peak")
        .trim()
        .trim_end_matches(" kB")
        .parse();
    tap.finish().ok();
    peak.expect("a number")
}

#[test]
fn the_length_of_a_line_costs_no_memory() {
    for size in ["64K", "1M"] {
        let flags = format!("-q --create-size {size}");
        let (short, long) = (most_memory(&flags, 10), most_memory(&flags, 40_000_000));
        assert!(long < short + 12_000, "{short} KiB, {long} KiB");
    }
}

#[test]
fn a_line_is_cut_only_where_it_has_to_be_and_can_be_made_again() {
    for (size, fits) in [("64K", 29_000), ("1M", 500_000), ("64M", 1_048_000)] {
        let place = Place::new();
        let text = "é\"\u{1}x".repeat(600_000);
        let whole = "x".repeat(fits);
        fs::write(place.file("in"), format!("{whole}\n{text}\n")).expect("a file");
        let file = place.file("in");
        let flags = format!("-q --create-size {size}");
        place
            .tap(&flags, &format!("head -n 1 {}", file.display()))
            .ok();
        assert_eq!(place.taped(), [whole.as_str()], "{size}");
        place
            .tap(&flags, &format!("tail -n 1 {}", file.display()))
            .ok();
        let data = place.data();
        let parts: Vec<_> = data.iter().filter(|data| data["partial"] == true).collect();
        assert!(!parts.is_empty(), "{size}");
        assert!(
            parts
                .iter()
                .all(|part| part["newline"] == "" && part["base64"].is_null())
        );
        let rebuilt = String::from_utf8(place.rebuilt("stdout")).expect("UTF-8");
        // A pool that is smaller has the end of it still.
        assert!(format!("{whole}\n{text}\n").ends_with(&rebuilt), "{size}");
        assert!(size != "64M" || rebuilt.len() == fits + 1 + text.len() + 1);
        assert_eq!(data[data.len() - 2]["partial"], Value::Null);
    }
}

#[test]
fn nothing_is_created_and_nothing_started_for_a_command_that_is_not_there() {
    let place = Place::new();
    fs::write(place.file("script"), "#!/bin/sh\n").expect("a file");
    let script = place.file("script");
    let script = script.to_str().expect("UTF-8");
    let dir = place.path().to_str().expect("UTF-8");
    let tap = |program: &str| place.args(&["tap", "p", "--create", "--", program]);
    tap("no-such-program").fails(3, "NotFound");
    tap("").fails(3, "NotFound");
    assert_eq!(tap("./no/such").fails(3, "NotFound")["path"], "./no/such");
    assert_eq!(tap(script).fails(6, "Permission")["path"], script);
    tap(dir).fails(6, "Permission");
    assert!(!place.file("p.plasmite").exists());
    place.run("tap p -- true").fails(3, "NotFound");
}

#[test]
fn a_command_that_does_not_start_leaves_no_message() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with_numbers(0);
    for (text, code, kind) in [
        ("#!/no/such/interpreter\n", 3, "NotFound"),
        ("\x01\x02", 2, "Usage"),
    ] {
        // By another process: a file that a thread of this one had open to write could not be run for a while.
        let file = place.file("program");
        fs::write(place.file("text"), text).expect("a file");
        let made = Command::new("cp")
            .arg(place.file("text"))
            .arg(&file)
            .status();
        assert!(made.is_ok_and(|status| status.success()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("permissions");
        place
            .args(&["tap", "p", "--", file.to_str().expect("UTF-8")])
            .fails(code, kind);
    }
    assert_eq!(place.data(), Vec::<Value>::new());
}

#[test]
fn what_cannot_be_recorded_is_refused_before_anything_starts() {
    let place = Place::new();
    let touch = format!("touch {}", place.file("started").display());
    let long = "x".repeat(40_000);
    place.run("pool create p --size 64K").ok();
    // The second leaves room for the start, and none for a line.
    for tag in [long.as_str(), &long[..29_400]] {
        place
            .args(&["tap", "p", "--tag", tag, "--", "sh", "-c", &touch])
            .fails(2, "Usage");
    }
    place
        .args(&["tap", "p", "--", "sh", "-c", &touch, &long])
        .fails(2, "Usage");
    place
        .args(&["tap", "http://127.0.0.1:9/p", "--", "sh", "-c", &touch])
        .fails(2, "Usage");
    let error = place
        .args(&["tap", "p", "sh", "-c", &touch])
        .fails(2, "Usage");
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("tap POOL -- ")),
        "{error}"
    );
    let error = place.run("tap p --nonsense -- true").fails(2, "Usage");
    assert_eq!(error["message"], "there is no option `--nonsense` here");
    for line in ["tap p", "tap p --", "tap", "tap p --create-size 1M -- true"] {
        place.run(line).fails(2, "Usage");
    }
    assert!(!place.file("started").exists());
    assert_eq!(place.data(), Vec::<Value>::new());
}

#[test]
fn a_quiet_tap_prints_nothing_and_keeps_everything() {
    let place = Place::new();
    assert_eq!(
        place
            .tap("-q --durability flush", "echo a; echo b >&2")
            .ok(),
        ""
    );
    let mut taped = place.taped();
    taped.sort();
    assert_eq!(taped, ["a", "b"]);
    assert_eq!(place.run("pool info p").json()["file_size"], 1_048_576);
}

#[test]
fn a_pool_that_is_gone_is_an_error_while_the_command_goes_on() {
    for (code, exit) in [(0, 3), (7, 7)] {
        let place = Place::with_numbers(0);
        let mut tap = place.spawn_tap(
            "",
            &format!("echo a; read x; echo b; read x; echo c >&2; echo d; exit {code}"),
        );
        assert_eq!(tap.line(), "a\n");
        place.run("pool delete p").ok();
        tap.answer("\n");
        assert_eq!(tap.line(), "b\n");
        tap.answer("\n");
        let run = tap.finish();
        assert_eq!((run.code, run.out.as_str()), (Some(exit), "d\n"));
        let (errors, passed): (Vec<_>, Vec<_>) =
            run.err.lines().partition(|line| line.starts_with('{'));
        assert_eq!(passed, ["c"]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        let error = &serde_json::from_str::<Value>(errors[0]).expect("JSON")["error"];
        assert_eq!(error["kind"], "NotFound");
        assert!(
            error["hint"].is_string() && error["path"].is_string(),
            "{error}"
        );
        assert!(
            !place.file("p.plasmite").exists(),
            "it is not created again"
        );
    }
}

#[test]
fn the_end_is_recorded_once_a_pool_is_no_longer_busy() {
    let place = Place::with_numbers(0);
    let mut tap = place.spawn_tap("", "echo a; read x; echo b; read x; echo c");
    assert_eq!(tap.line(), "a\n");
    wait_until("a line is recorded", || place.taped() == ["a"]);
    let file = fs::File::open(place.file("p.plasmite")).expect("the pool");
    fs2::FileExt::lock_exclusive(&file).expect("the lock");
    tap.answer("\n");
    assert_eq!(tap.line(), "b\n");
    let mut error = [0; 9];
    let mut stderr = tap.child.stderr.take().expect("piped");
    stderr.read_exact(&mut error).expect("an error");
    assert_eq!(&error, b"{\"error\":");
    fs2::FileExt::unlock(&file).expect("unlocked");
    tap.answer("\n");
    assert_eq!(tap.line(), "c\n");
    assert_eq!(tap.child.wait().expect("it ends").code(), Some(5));
    assert_eq!(place.taped(), ["a"]);
    assert_eq!(place.ending()["incomplete"], true);
}

#[test]
fn a_reader_that_goes_away_is_no_concern_of_the_pool() {
    let place = Place::new();
    let mut tap = place.command(PLASMITE);
    tap.args(tap_args("", "echo a; read x; echo b; echo c; exit 9"));
    tap.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut tap = tap.spawn().expect("it runs");
    let mut out = tap.stdout.take().expect("piped");
    out.read_exact(&mut [0; 2]).expect("a line");
    drop(out);
    writeln!(tap.stdin.take().expect("piped")).expect("it reads");
    let output = tap.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(9), b"".as_slice())
    );
    assert_eq!(place.taped(), ["a", "b", "c"]);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error_and_is_recorded() {
    let place = Place::new();
    let full = || {
        fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("a device")
    };
    for (code, exit) in [(0, 8), (1, 1)] {
        let script = format!("echo a; echo b; exit {code}");
        let output = place
            .command(PLASMITE)
            .args(tap_args("", &script))
            .stdout(full())
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(exit));
        let error = serde_json::from_slice::<Value>(&output.stderr).expect("one error");
        assert_eq!(error["error"]["kind"], "Io");
    }
    assert_eq!(place.taped(), ["a", "b", "a", "b"]);
}
