//! `duplex`: on pipes, and on terminals with somebody at the keyboard.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::Running;
use crate::signals::send;
use crate::support::{NONE, PLASMITE, Place, code_at_its_own_end};

/// Writes to what runs, as a program would or a keyboard.
fn write(to: &mut Running, text: impl AsRef<[u8]>) {
    let input = to.child.stdin.as_mut().expect("piped");
    input.write_all(text.as_ref()).expect("it reads");
}

/// The number of the message that comes next.
fn number(from: &mut Running) -> u64 {
    let line = from.line();
    let message: Value = serde_json::from_str(&line).expect("an envelope");
    message["data"]["n"].as_u64().expect("a number")
}

impl Place {
    fn newest(&self, pool: &str) -> Option<u64> {
        let run = self.run(&format!("pool info {pool}"));
        let info: Value = serde_json::from_str(&run.out).ok()?;
        info["bounds"]["newest"].as_u64()
    }

    /// Waits until the pool has so many messages.
    fn wait_for(&self, seq: u64) {
        while self.newest("p") < Some(seq) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A `duplex` that is known to follow, since it has sent the next message, which has the number 0.
    fn talker(&self, flags: &str) -> Running {
        let next = self.newest("p").unwrap_or(0) + 1;
        let mut talker = self.spawn(&format!("duplex p {flags}"));
        write(&mut talker, "{\"n\":0}\n");
        self.wait_for(next);
        talker
    }
}

#[test]
fn it_sends_what_it_reads_and_prints_what_others_send() {
    let place = Place::with_numbers(3);
    let mut talker = place.talker("");
    place.run("feed p {\"n\":5} --tag t -q").ok();
    let message = talker.line();
    assert_eq!(message, place.run("fetch p 5").ok(), "as follow prints it");
    write(&mut talker, "{\n\"n\": 6\n}\n\u{20}[7, 8] ");
    place.wait_for(6);
    let run = talker.finish();
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(0), "", "")
    );
    let sent = place.data().split_off(5);
    assert_eq!(sent, [json!({"n": 6}), json!([7, 8])]);
}

#[test]
fn two_of_them_talk() {
    let place = Place::with_numbers(0);
    let mut ada = place.talker("--me ada");
    let mut bob = place.talker("--me bob");
    assert_eq!(number(&mut ada), 0, "which bob has sent");
    for n in 1..=20 {
        write(&mut ada, format!("{{\"n\":{n}}}\n"));
        assert_eq!(number(&mut bob), n);
        write(&mut bob, format!("{{\"n\":{}}}\n", n + 100));
        assert_eq!(number(&mut ada), n + 100);
    }
    for run in [ada.finish(), bob.finish()] {
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(0), "", "")
        );
    }
}

/// Guards against telling own messages by what is in them, and against printing one before its receipt is back.
#[test]
fn own_messages_are_told_from_others_that_are_the_same() {
    let place = Place::with_numbers(0);
    let mut talker = place.talker("");
    let mut input = talker.child.stdin.take().expect("piped");
    let others_sent = AtomicU64::new(0);
    let receipts = thread::scope(|scope| {
        let stranger = scope.spawn(|| {
            let mut feed = place.spawn("feed p");
            let mut lines = Vec::new();
            for _ in 0..1_000 {
                write(&mut feed, "{\"n\":1}\n");
                lines.push(feed.line());
                others_sent.fetch_add(1, Ordering::Relaxed);
            }
            lines
        });
        // No more than there is room for, so that nobody's messages are overwritten before they were printed.
        let mut own_sent = 0;
        while !stranger.is_finished() {
            if own_sent <= 4 * others_sent.load(Ordering::Relaxed) {
                input.write_all(b"{\"n\":1}\n").expect("it reads");
                own_sent += 1;
            }
            thread::yield_now();
        }
        stranger.join().expect("no panic")
    });
    drop(input);
    let seqs = |lines: Vec<&str>| -> Vec<u64> {
        let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line));
        let seqs = parsed.map(|line| line.expect("JSON")["seq"].as_u64());
        seqs.map(|seq| seq.expect("a seq")).collect()
    };
    let run = talker.finish();
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let others = seqs(receipts.iter().map(String::as_str).collect());
    assert_eq!(seqs(run.out.lines().collect()), others);
    assert!(place.newest("p") > Some(1_001), "some were own");
}

#[test]
fn own_messages_are_printed_when_asked_for() {
    let place = Place::with_numbers(1);
    let numbers: String = (2..=600).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let run = place.pipe("duplex p --echo-self -n 1", &numbers);
    assert_eq!(run.numbers(), (1..=600).collect::<Vec<_>>());
    assert_eq!(place.pipe("duplex p", numbers).ok(), "");
    assert_eq!(place.newest("p"), Some(1_199));
}

#[test]
fn it_begins_where_it_was_told_to_and_prints_all_there_is_before_it_ends() {
    let place = Place::with_numbers(4);
    let shows =
        |flags: &str, input: &str| place.pipe(&format!("duplex p {flags}"), input).numbers();
    assert_eq!(shows("", ""), NONE);
    assert_eq!(shows("-n 0", ""), NONE);
    assert_eq!(shows("-n 2", ""), [3, 4]);
    assert_eq!(shows("--tail 9", ""), [1, 2, 3, 4]);
    assert_eq!(shows("--since 1h", ""), [1, 2, 3, 4]);
    assert_eq!(shows("--since 2500-01-01T00:00:00Z", "{\"n\":5}"), NONE);
    assert_eq!(shows("-n 1", "{\"n\":6}"), [5], "own of an earlier run");
    assert_eq!(shows("-n 1 --echo-self", "{\"n\":7}"), [6, 7]);
    assert_eq!(shows("--since 1h", "{\"n\":8}").len(), 7);
    place.run("pool create empty").ok();
    assert_eq!(place.run("duplex empty -n 5").ok(), "");
    place.run("duplex p -n 1 --since 1h").fails(2, "Usage");
    place.args(&["duplex", "p", "--me", ""]).fails(2, "Usage");
}

#[test]
fn after_the_end_of_input_a_timeout_waits_for_answers() {
    let place = Place::with_numbers(0);
    let mut talker = place.talker("--timeout 1d");
    drop(talker.child.stdin.take());
    for n in 2..=3 {
        place.run(&format!("feed p {{\"n\":{n}}} -q")).ok();
        assert_eq!(number(&mut talker), n);
    }
    send("-TERM", &talker.child);
    assert_eq!(talker.finish().code, Some(143));
    for input in ["", "{\"n\":4}\n"] {
        let run = place.pipe("duplex p --timeout 50ms -n 1", input);
        assert_eq!(
            (run.code, run.err.as_str(), run.out.lines().count()),
            (Some(124), "", 1)
        );
    }
    assert_eq!(place.newest("p"), Some(4));
}

#[test]
fn an_answer_can_be_waited_for_with_head() {
    let place = Place::with_numbers(0);
    let answering = place.spawn("follow p --from 1 --one");
    let line = format!("echo '{{\"n\":1}}' | {PLASMITE} duplex p --timeout 1d | head -n 1");
    let mut shell = place.command("sh");
    let shell = shell.args(["-c", &line]).stdout(Stdio::piped());
    let asking = shell.spawn().expect("a shell");
    answering.finish();
    place.run("feed p {\"n\":2} -q").ok();
    let output = asking.wait_with_output().expect("it ends");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("{\"n\":2}}\n"));
}

#[test]
fn a_bad_record_ends_it_after_what_came_before() {
    let place = Place::with_numbers(0);
    let mut talker = place.talker("");
    write(&mut talker, "{\"n\":1}\nnope\n{\"n\":2}\n");
    let input = talker.child.stdin.take();
    let error = talker.finish().fails(2, "Usage");
    assert!(error["message"].to_string().contains("line 3"), "{error}");
    assert_eq!(place.data(), [json!({"n": 0}), json!({"n": 1})]);
    drop(input);
}

#[test]
fn a_pool_that_goes_ends_it_while_it_waits_for_input() {
    let place = Place::with_numbers(0);
    let mut talker = place.talker("");
    let input = talker.child.stdin.take();
    place.run("pool delete p").ok();
    talker.finish().fails(3, "NotFound");
    drop(input);
    place.run("duplex p").fails(3, "NotFound");
    place.pipe("duplex p --create", "1").ok();
    assert_eq!(place.run("pool info p").json()["file_size"], 1_048_576);
}

#[test]
fn a_pool_that_is_locked_is_busy() {
    let place = Place::with_numbers(0);
    let file = std::fs::File::open(place.file("p.plasmite")).expect("the pool");
    fs2::FileExt::lock_exclusive(&file).expect("the lock");
    // The timeout strikes long before the lock is given up, and yet nothing that was read is lost without a word.
    place.pipe("duplex p --timeout 1s", "1").fails(5, "Busy");
}

#[test]
fn signals_end_both_halves() {
    let place = Place::with_numbers(1);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut talker = place.talker("-n 1");
        talker.line();
        let input = talker.child.stdin.take();
        send(signal, &talker.child);
        let run = talker.finish();
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(code), "", "")
        );
        drop(input);
    }
}

#[test]
fn output_that_nobody_takes_does_not_keep_it_from_sending() {
    let place = Place::with_numbers(5_000);
    let mut talker = place.talker("-n 5000");
    for n in 2..=50 {
        write(&mut talker, format!("{{\"n\":{n}}}\n"));
        place.wait_for(5_000 + n);
    }
}

#[test]
fn it_notices_that_nobody_reads_while_nothing_comes() {
    let place = Place::with_numbers(1);
    let mut talker = place
        .command(PLASMITE)
        .args(["duplex", "p", "-n", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let input: Option<ChildStdin> = talker.stdin.take();
    let mut out = BufReader::new(talker.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("a line");
    drop(out);
    assert_eq!(code_at_its_own_end(&mut talker), Some(0));
    let run = talker.wait_with_output().expect("it ended");
    assert!(run.stderr.is_empty());
    drop(input);
}

#[test]
fn missing_messages_are_reported() {
    let place = Place::new();
    place.run("pool create p --size 64K").ok();
    let talker = place.talker("");
    send("-STOP", &talker.child);
    let many: String = (0..2_000).map(|n| format!("\"{n:0100}\"\n")).collect();
    place.pipe("feed p -q", many).ok();
    let oldest = place.run("pool info p").json()["bounds"]["oldest"].as_u64();
    send("-CONT", &talker.child);
    let run = talker.finish();
    assert_eq!(run.code, Some(0));
    let notices: Vec<Value> = run
        .err
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let last = &notices[0]["notice"]["missing"]["last"];
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(last.as_u64(), oldest.map(|oldest| oldest - 1));
    assert_eq!(
        run.out.lines().count() as u64,
        2_002 - oldest.expect("a seq")
    );
}

/// A command line on a terminal of its own; what is written to it is typed. One that hangs is ended.
#[cfg(target_os = "linux")]
fn on_a_terminal(place: &Place, line: &str) -> Running {
    let line = line.replace("PLS", PLASMITE);
    let mut child = place
        .command("timeout")
        .args(["60", "script", "-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script, of util-linux");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    Running { child, out }
}

/// What is shown up to the line that holds `text`.
#[cfg(target_os = "linux")]
fn shown_up_to(terminal: &mut Running, text: &str) -> String {
    let mut shown = String::new();
    while !shown.contains(text) {
        let line = terminal.line();
        assert_ne!(line, "", "`{text}` is not in {shown}");
        shown += &line;
    }
    shown
}

#[cfg(target_os = "linux")]
const CTRL_C: &str = "\x03";
#[cfg(target_os = "linux")]
const CTRL_D: &str = "\x04";

#[cfg(target_os = "linux")]
#[test]
fn what_is_typed_is_sent_line_by_line() {
    let place = Place::with_numbers(0);
    let line = "NO_COLOR=1 USER=ada PLS duplex p --timeout 1d";
    let mut terminal = on_a_terminal(&place, line);
    let mut shown = shown_up_to(&mut terminal, "you write to p as ada");
    write(&mut terminal, "hello\n  two \"words\" \n\n \t \n");
    place.wait_for(2);
    place
        .args(&["feed", "p", "{\"from\":\"ada\",\"msg\":\"hello\"}", "-q"])
        .ok();
    shown += &shown_up_to(&mut terminal, "\"msg\": \"hello\"");
    write(&mut terminal, format!("three\n{CTRL_D}"));
    let run = terminal.finish();
    assert_eq!(run.code, Some(0), "also with a timeout");
    shown += &run.out;
    let messages = shown.lines().filter(|line| line.contains("\"msg\": "));
    let seqs: BTreeSet<_> = messages.map(|line| line.split("  ").next()).collect();
    assert_eq!(seqs, BTreeSet::from([Some("3")]), "{shown}");
    let said = |msg: &str| json!({"from": "ada", "msg": msg});
    assert_eq!(
        place.data(),
        [
            said("hello"),
            said("  two \"words\" "),
            said("hello"),
            said("three")
        ]
    );
    assert!(
        !place
            .run("follow p --no-follow")
            .out
            .contains("\"tags\":[\"")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn who_types_has_a_name() {
    let place = Place::with_numbers(0);
    let id = place.command("id").arg("-u").output().expect("id");
    let uid = format!("uid-{}", String::from_utf8_lossy(&id.stdout).trim());
    let cases = [
        ("USER=ada LOGNAME=bob PLS duplex p", "ada"),
        ("USER= LOGNAME=bob PLS duplex p", "bob"),
        ("USER= LOGNAME= PLS duplex p", &uid),
        ("env -u USER -u LOGNAME PLS duplex p", &uid),
        ("USER=ada PLS duplex p --me 'eve \"x\"'", "eve \"x\""),
    ];
    for (line, name) in cases {
        let mut terminal = on_a_terminal(&place, line);
        shown_up_to(&mut terminal, "you write");
        write(&mut terminal, format!("x\n{CTRL_D}"));
        assert_eq!(terminal.finish().code, Some(0), "{line}");
        let last = place.data().pop();
        assert_eq!(last, Some(json!({"from": name, "msg": "x"})), "{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_line_that_cannot_be_sent_is_reported_and_the_next_is_sent() {
    let place = Place::with_numbers(0);
    let mut terminal = on_a_terminal(&place, "stty -echo; NO_COLOR=1 PLS duplex p --me ada");
    shown_up_to(&mut terminal, "you write");
    // Which the terminal cuts, and says nothing.
    write(&mut terminal, format!("{}\n", "x".repeat(10_000)));
    let shown = shown_up_to(&mut terminal, "hint: ");
    assert!(shown.contains("error: the line was not sent: "), "{shown}");
    write(&mut terminal, b"caf\xe9\n");
    let shown = shown_up_to(&mut terminal, "hint: ");
    assert!(shown.contains("not UTF-8"), "{shown}");
    let file = std::fs::File::open(place.file("p.plasmite")).expect("the pool");
    fs2::FileExt::lock_exclusive(&file).expect("the lock");
    write(&mut terminal, "while it is locked\n");
    shown_up_to(&mut terminal, "hint: ");
    fs2::FileExt::unlock(&file).expect("unlocked");
    write(&mut terminal, "next\n");
    place.wait_for(1);
    assert_eq!(place.data(), [json!({"from": "ada", "msg": "next"})]);
    write(&mut terminal, CTRL_C);
    assert_eq!(terminal.finish().code, Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn a_pool_that_goes_ends_it_while_nobody_types() {
    let place = Place::with_numbers(0);
    let mut terminal = on_a_terminal(&place, "NO_COLOR=1 PLS duplex p");
    shown_up_to(&mut terminal, "you write");
    place.run("pool delete p").ok();
    shown_up_to(&mut terminal, "error: ");
    assert_eq!(terminal.finish().code, Some(3));
}
