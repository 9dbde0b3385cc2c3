//! `pool export` and `pool import`. Guards against archives that lose or change something on the way, and against an
//! import that believes one that was cut or altered.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::support::Place;

/// What is no archive at all if it is not whole.
const START: &str = r#"{"archive":{"format":"plasmite","#;
/// What may make it one of another version.
const VERSION: &str = r#""version":1"#;

impl Place {
    /// An archive of the pool `p`.
    fn archive(&self) -> String {
        self.run("pool export p").ok()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    fn file_arg(&self, name: &str) -> (PathBuf, String) {
        let path = self.file(name);
        let text = path.to_str().expect("UTF-8").to_owned();
        (path, text)
    }
}

#[test]
fn an_archive_comes_back_byte_for_byte() {
    let place = Place::new();
    place
        .run("pool create p --size 80K --index-capacity 100")
        .ok();
    let odd = r#"{"b":1.50e+02,"a":0.10,"a":"two  spaces\ud800\u0041 é"}"#;
    let lines: String = (0..2000).map(|n| format!("[{n}, {odd}]\n")).collect();
    place.pipe("feed p -q", lines).ok();
    place
        .args(&[
            "feed", "p", odd, "--tag", "b\"
", "--tag", "é", "-q",
        ])
        .ok();
    let archive = place.archive();
    assert!(archive.lines().count() > 400);
    let messages = place.run("follow p --no-follow --jsonl").ok();
    let inner: Vec<_> = archive.lines().skip(1).collect();
    assert_eq!(inner[..inner.len() - 1].join("\n") + "\n", messages);

    let imported = place.pipe("pool import q", &archive).json();
    assert_eq!(imported["file_size"], 81_920);
    assert_eq!(imported["index_capacity"], 100);
    assert_eq!(imported["messages"], messages.lines().count());
    assert!(imported.get("dropped").is_none());
    assert_eq!(place.run("pool export q").ok(), archive);
    place.run("doctor q").ok();
    let info = |pool: &str| place.run(&format!("pool info {pool}")).json();
    assert_eq!(info("p")["created"], info("q")["created"]);
    assert_ne!(info("p")["uuid"], info("q")["uuid"]);
    assert_eq!(info("p")["bounds"], info("q")["bounds"]);
}

#[test]
fn an_empty_pool_can_be_moved_too() {
    let place = Place::new();
    place.run("pool create p").ok();
    let archive = place.archive();
    assert_eq!(archive.lines().count(), 2);
    place.pipe("pool import q -", &archive).ok();
    assert_eq!(place.run("pool export q -").ok(), archive);
}

/// Every prefix of an archive, and it with every byte changed, is refused.
#[test]
fn no_cut_and_no_altered_byte_is_believed() {
    let place = Place::with_numbers(3);
    let archive = place.archive().into_bytes();
    for end in 0..archive.len() {
        let run = place.pipe("pool import q", &archive[..end]);
        let code = if end < START.len() { 2 } else { 7 };
        run.errors(code);
    }
    for at in 0..archive.len() {
        let mut altered = archive.clone();
        altered[at] ^= 1;
        let run = place.pipe("pool import q", &altered);
        assert!(matches!(run.code, Some(2 | 7)), "byte {at}: {run:?}");
        let may_be_other = at < START.len() + VERSION.len();
        run.errors(if may_be_other {
            run.code.unwrap_or(0)
        } else {
            7
        });
    }
    assert_eq!(place.names(), ["p.plasmite"]);
}

#[test]
fn damage_is_named_with_its_place() {
    let place = Place::with_numbers(2500);
    let archive = place.archive();
    let lines: Vec<_> = archive.lines().collect();
    let offset_of =
        |line: usize| -> usize { lines[..line - 1].iter().map(|it| it.len() + 1).sum() };
    let import = |edit: &dyn Fn(&mut Vec<String>)| {
        let mut edited: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        edit(&mut edited);
        place
            .pipe("pool import q", edited.join("\n") + "\n")
            .fails(7, "Corrupt")
    };
    let says = |error: &serde_json::Value, text: &str, offset: usize| {
        assert!(
            error["message"].as_str().expect("text").contains(text),
            "{error}"
        );
        assert_eq!(error["offset"], offset, "{error}");
    };
    let altered = import(&|lines| lines[1499] = lines[1499].replace("1499}", "9499}"));
    says(&altered, "lines 1001 to 2000", offset_of(1001));
    let last = import(&|lines| lines[2499] = lines[2499].replace("2499}", "9499}"));
    says(&last, "lines 2001 to 2501", offset_of(2001));
    let gone = import(&|lines| drop(lines.remove(2200)));
    says(&gone, "lines 2001 to 2500", offset_of(2001));
    let broken = import(&|lines| lines[9] = "{}".to_owned());
    says(&broken, "line 10 ", offset_of(10));
    let spaced = import(&|lines| lines[9] = lines[9].replace("\"data\":", "\"data\": "));
    says(&spaced, "line 10 ", offset_of(10));
    let twice = import(&|lines| lines.insert(10, lines[9].clone()));
    says(&twice, "seq 9", offset_of(11));
    let back = import(&|lines| lines[9] = lines[9].replace("\"time\":\"2", "\"time\":\"1"));
    says(&back, "line 10 ", offset_of(10));
    let more = import(&|lines| lines.push("{}".to_owned()));
    says(&more, "line 2503 ", archive.len());
    assert_eq!(place.names(), ["p.plasmite"]);
}

#[test]
fn what_is_no_archive_is_usage() {
    let place = Place::with_numbers(1);
    for text in ["", "hello", "{\"seq\":1}\n", "\u{0}"] {
        place.pipe("pool import q", text).fails(2, "Usage");
    }
    let newer = place.archive().replace("\"version\":1", "\"version\":2");
    let error = place.pipe("pool import q", newer).fails(2, "Usage");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("version 2")
    );
    place.run("pool import q none.jsonl").fails(3, "NotFound");
    place.run("pool export none").fails(3, "NotFound");
    place
        .run("pool export http://localhost:1/p")
        .fails(2, "Usage");
}

/// The one that stands in the specification.
#[test]
fn the_archive_of_the_specification_is_one() {
    let spec = include_str!("../../spec/v0/SPEC.md");
    let (_, section) = spec
        .split_once("### Archives\n\n```json\n")
        .expect("a section");
    let (archive, _) = section.split_once("```").expect("a block");
    let place = Place::new();
    place.pipe("pool import p", archive).ok();
    assert_eq!(place.archive(), archive);
}

#[test]
fn what_does_not_fit_is_refused_by_name_or_left_out_when_asked() {
    let place = Place::with_numbers(3000);
    let archive = place.archive();
    let error = place
        .pipe("pool import q --size 64K", &archive)
        .fails(2, "Usage");
    assert!(!place.file("q.plasmite").exists());
    let words: Vec<_> = error["hint"].as_str().expect("text").split('`').collect();
    place
        .pipe(&format!("pool import r {}", words[1]), &archive)
        .ok();
    assert_eq!(
        place.run("follow r --no-follow").ok(),
        place.run("follow p --no-follow").ok()
    );

    let imported = place
        .pipe("pool import q --size 64K --drop-oldest", &archive)
        .json();
    let kept = imported["messages"].as_u64().expect("a number");
    let lost = 3000 - kept;
    assert_eq!(
        imported["dropped"],
        json!({"messages": lost, "first": 1, "last": lost})
    );
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains(&format!("{lost} of 3000, with numbers from 1 to {lost}"))
    );
    assert_eq!(
        place.run("follow q --no-follow").ok(),
        place.run(&format!("follow p --no-follow -n {kept}")).ok()
    );
}

#[test]
fn a_message_that_is_too_large_may_be_left_out_but_leaves_no_gap() {
    let place = Place::new();
    place.run("pool create p").ok();
    let large = format!("\"{}\"", "x".repeat(100_000));
    place.pipe("feed p -q", &large).ok();
    place.pipe("feed p -q", "1\n2\n").ok();
    let import = "pool import q --size 64K --drop-oldest";
    let imported = place.pipe(import, place.archive()).json();
    assert_eq!(imported["bounds"], json!({"oldest": 2, "newest": 3}));
    assert_eq!(
        imported["dropped"],
        json!({"messages": 1, "first": 1, "last": 1})
    );
    place.run("pool delete q").ok();
    place.pipe("feed p -q", &large).ok();
    let error = place.pipe(import, place.archive()).fails(2, "Usage");
    assert_eq!(error["seq"], 4);
    assert!(!place.file("q.plasmite").exists());
}

#[test]
fn a_file_is_there_when_it_is_complete_and_replaced_only_by_force() {
    let place = Place::with_numbers(3);
    let archive = place.archive();
    let (path, arg) = place.file_arg("a.jsonl");
    let exported = place.args(&["pool", "export", "p", &arg]).json();
    assert_eq!(
        exported,
        json!({"pool": "p", "path": arg, "messages": 3, "bounds": {"oldest": 1, "newest": 3}, "bytes": archive.len()})
    );
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), archive);
    let other = place.file("other");
    std::fs::write(&other, "").expect("a file");
    let mode = |path: &PathBuf| path.metadata().expect("a file").permissions().mode();
    assert_eq!(mode(&path), mode(&other));

    std::fs::write(&path, "mine").expect("a file");
    place
        .args(&["pool", "export", "p", &arg])
        .fails(4, "AlreadyExists");
    assert_eq!(std::fs::read(&path).expect("a file"), b"mine");
    place.args(&["pool", "export", "p", &arg, "--force"]).ok();
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), archive);
    let (_, dir) = place.file_arg(".");
    place
        .args(&["pool", "export", "p", &dir, "--force"])
        .fails(2, "Usage");
    place.run("pool export p none/a.jsonl").fails(3, "NotFound");
    assert_eq!(place.names(), ["a.jsonl", "other", "p.plasmite"]);
    place.args(&["pool", "import", "q", &arg]).ok();
    place
        .args(&["pool", "import", "q", &arg])
        .fails(4, "AlreadyExists");
}

/// Damage in the middle of a pool leaves no file; what went to standard output before it is no whole archive.
#[test]
fn an_export_of_a_damaged_pool_leaves_no_archive() {
    let place = Place::with_numbers(100);
    let pool = place.file("p.plasmite");
    let mut bytes = std::fs::read(&pool).expect("a file");
    let at = bytes
        .windows(8)
        .position(|it| it == b"{\"n\":50}")
        .expect("message 50");
    bytes[at + 5] = b'7';
    std::fs::write(&pool, bytes).expect("a file");
    let (path, arg) = place.file_arg("a.jsonl");
    place
        .args(&["pool", "export", "p", &arg])
        .fails(7, "Corrupt");
    assert!(!path.exists());
    let cut = place.run("pool export p");
    cut.errors(7);
    place.pipe("pool import q", cut.out).errors(2);
    assert_eq!(place.names(), ["p.plasmite"]);
}

#[test]
fn an_import_that_is_killed_leaves_nothing_under_the_name() {
    use std::io::Write;
    let place = Place::with_numbers(3000);
    let archive = place.archive();
    let mut import = place.spawn("pool import q");
    let mut stdin = import.child.stdin.take().expect("piped");
    // More than a pipe holds, so that most of it has been read once it is written.
    stdin.write_all(archive.as_bytes()).expect("it reads");
    assert!(!place.file("q.plasmite").exists());
    import.child.kill().expect("it runs");
    import.child.wait().expect("it ends");
    assert_eq!(place.names(), ["p.plasmite"]);
}
