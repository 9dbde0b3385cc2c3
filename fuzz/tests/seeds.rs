//! Makes the seeds, by the encoders of the project itself: `cargo test -p plasmite-fuzz -- --ignored seeds`.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use plasmite::core::frame::{FrameHeader, STATE_WORD};
use plasmite::core::layout::{FORMAT_VERSION, MIN_FILE_SIZE};
use plasmite_fuzz::base::BASES;
use plasmite_fuzz::header_open::header;
use serde_json::{Map, Value, json};

/// Inputs of a target, by their names.
type Seeds = Vec<(String, Vec<u8>)>;

#[test]
#[ignore = "writes into fuzz/seeds"]
fn seeds() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let targets: [(&str, Seeds); 6] = [
        ("case", case()),
        ("frame_decode", frame_decode()),
        ("header_open", header_open()),
        ("ingest", ingest()),
        ("pool_flip", pool_flip()),
        ("pool_open", pool_open()),
    ];
    for (target, seeds) in targets {
        let dir = dir.join(target);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        for (name, seed) in seeds {
            fs::write(dir.join(name), seed).unwrap();
        }
    }
}

/// Puts numbers together as `Input` takes them apart.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(mut self, value: u8) -> Bytes {
        self.0.push(value);
        self
    }

    fn u16(mut self, value: u16) -> Bytes {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Bytes {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Bytes {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend(bytes);
        self
    }
}

fn frame_decode() -> Seeds {
    let header = FrameHeader {
        position: 65_536,
        seq: 7,
        time: 1_700_000_000_000_000_001,
        tags_len: 5,
        data_len: 13,
        payload_crc: 0xDEAD_BEEF,
        link: 0x0BAD_CAFE,
        hole: true,
        more: false,
    };
    let far = FrameHeader {
        position: u64::MAX - 7,
        seq: u64::MAX,
        tags_len: u32::MAX,
        data_len: u32::MAX,
        more: true,
        ..header
    };
    let mut seeds = Seeds::new();
    for (name, header) in [("usual", header), ("far", far)] {
        let encoded = header.encode();
        let mut committed = encoded.words;
        committed[STATE_WORD as usize] = encoded.committed;
        for (state, words) in [("committed", committed), ("writing", encoded.words)] {
            let seed = |how: u8| {
                words
                    .iter()
                    .fold(Bytes::default().u8(how), |seed, word| seed.u64(*word))
            };
            seeds.push((format!("{name}-{state}"), seed(0).0));
            seeds.push((
                format!("{name}-{state}-sealed"),
                seed(1).u8(1).u16(44 * 8).0,
            ));
            seeds.push((
                format!("{name}-{state}-fields"),
                seed(2).u8(5).u16(1).u16(99).0,
            ));
            seeds.push((format!("{name}-{state}-elsewhere"), seed(0x10).u64(8).0));
        }
    }
    seeds
}

fn header_open() -> Seeds {
    let bytes = header(MIN_FILE_SIZE, 128);
    let mut seeds = vec![
        (
            "whole".to_owned(),
            Bytes::default().u8(0).u16(0).bytes(&bytes).0,
        ),
        (
            "whole-in-a-file".to_owned(),
            Bytes::default().u8(0xA0).u16(0).bytes(&bytes).0,
        ),
        (
            "text".to_owned(),
            Bytes::default()
                .u8(0xA0)
                .u16(0)
                .bytes(b"{\"not\":\"a pool\"}\n")
                .0,
        ),
        (
            "undamaged".to_owned(),
            Bytes::default().u8(1).u16(8192).u16(16).u8(0).0,
        ),
    ];
    for at in (0..88).step_by(4) {
        for (how, changes) in [("", 1), ("-sealed", 0x81)] {
            let seed = Bytes::default()
                .u8(0xA1)
                .u16(1)
                .u16(16)
                .u8(changes)
                .u16(at)
                .u8(0xFF);
            seeds.push((format!("damaged-at-{at}{how}"), seed.0));
        }
    }
    for version in [0, 1, 3, FORMAT_VERSION, 5, u32::MAX] {
        for (how, changes) in [("", 0), ("-sealed", 0x80)] {
            let seed = Bytes::default().u8(0xA3).u16(0).u32(version).u8(changes);
            seeds.push((format!("version-{version}{how}"), seed.0));
        }
    }
    for at in [0, 3, 6, 40, 300, 504, 508, 2000] {
        for (kind, name) in [(0, "zero"), (1, "another"), (2, "nothing")] {
            let seed = Bytes::default()
                .u8(0xA2)
                .u16(0)
                .u16(16)
                .u8(4)
                .u16(32)
                .u16(at)
                .u8(kind);
            seeds.push((format!("torn-at-{at}-before-{name}"), seed.0));
        }
    }
    let elsewhere = Bytes::default().u8(0x11).u16(0).u16(16).u8(0).u64(u64::MAX);
    seeds.push(("for-another-size".to_owned(), elsewhere.0));
    seeds
}

/// What `pool_open` takes first: which pool, which boot, what to look for and to append.
fn opened(which: u8, boot: u8) -> Bytes {
    Bytes::default().u8(which).u8(boot).u16(9).u16(3).u16(700)
}

fn pool_open() -> Seeds {
    let mut seeds = Seeds::new();
    let all = BASES.len() as u8;
    for which in 0..all {
        for boot in [0, 2] {
            let name = |what: &str| format!("pool-{which}-boot-{boot}-{what}");
            seeds.push((name("whole"), opened(which, boot).0));
            // Overwritten, copied, zeroed, flipped.
            let text = b"\xff\xff\xff\xff not a frame \0\0\0\0";
            let some = opened(which, boot).u8(0).u16(6200).u8(22).bytes(text);
            seeds.push((name("overwritten"), some.0));
            let some = opened(which, boot)
                .u8(8)
                .u16(7000)
                .u16(9000)
                .u16(800)
                .u8(9)
                .u16(12_000)
                .u16(64);
            seeds.push((name("copied"), some.u8(11).u16(30_000).u8(3).0));
            // A control word, a checkpoint, a floor, a slot.
            let some = opened(which, boot).u8(1).u8(1).u8(2).u16(0).u8(3);
            seeds.push((name("last-goes-back"), some.0));
            let some = opened(which, boot)
                .u8(5)
                .u8(0)
                .u8(2)
                .u16(0)
                .u8(2)
                .u8(0)
                .u16(2)
                .u8(0);
            seeds.push((name("checkpoint"), some.u8(6).u8(0).u16(900).u8(0).0));
            let some = opened(which, boot)
                .u8(7)
                .u16(5)
                .u8(0)
                .u16(5)
                .u8(0)
                .u8(2)
                .u16(0)
                .u8(1);
            seeds.push((name("slot"), some.0));
            // A field of a frame, and the checksums over it.
            for field in (0..10).filter(|_| boot == 0) {
                let some = opened(which, boot).u8(2).u8(1).u8(field).u8(0).u16(3).u8(0);
                seeds.push((name(&format!("field-{field}")), some.clone().0));
                seeds.push((name(&format!("field-{field}-sealed")), some.u8(4).u8(1).0));
            }
            // A frame that never was, behind the newest.
            let forged = opened(which, boot)
                .u8(10)
                .u8(3)
                .u16(7)
                .u8(0)
                .u8(0)
                .u16(77)
                .u8(0)
                .u8(0)
                .u16(5000)
                .u8(0);
            seeds.push((name("forged"), forged.u16(0).u16(4).u8(1).u8(0).u8(0).0));
        }
    }
    // A whole file, as it is.
    let file = &BASES[1].bytes;
    seeds.push(("file".to_owned(), opened(all, 0).bytes(file).0));
    seeds.push(("file-cut".to_owned(), opened(all, 0).bytes(&file[..9000]).0));
    seeds.push(("nothing".to_owned(), opened(all, 0).0));
    seeds
}

fn pool_flip() -> Seeds {
    let mut seeds = Seeds::new();
    for which in 0..BASES.len() as u8 {
        for boot in [0, 2] {
            for (kind, at) in [
                (0, 50_000 * 8),
                (1, 64 * 8),
                (1, 2),
                (2, 64),
                (2, 200),
                (6, 64 * 3),
                (3, 70),
                (7, 999),
            ] {
                let seed = Bytes::default()
                    .u8(which)
                    .u8(boot)
                    .u16(8)
                    .u16(400)
                    .u8(0)
                    .u8(kind)
                    .u32(at);
                seeds.push((format!("pool-{which}-boot-{boot}-{kind}-{at}"), seed.0));
            }
            let many = (0..8).fold(
                Bytes::default().u8(which).u8(boot).u16(8).u16(20_000).u8(7),
                |seed, n| seed.u8(n * 7).u32(u32::from(n) * 7919),
            );
            seeds.push((format!("pool-{which}-boot-{boot}-many"), many.0));
        }
    }
    seeds
}

fn ingest() -> Seeds {
    let long = format!("\"{}\"\n", "x".repeat(9000));
    let deep = format!("{}{}\n", "[".repeat(101), "]".repeat(101));
    let streams: [(&str, &[u8]); 26] = [
        ("lines", b"{\"a\":1}\r\n\n  [2, 3]\t\n\"four\"\nnull"),
        (
            "several-on-a-line",
            b"1 2 3\n{\"a\":1}{\"b\":2}\n\"x\"\"y\"\n",
        ),
        (
            "document",
            b"{\n  \"a\": [1,\n 2],\n  \"b\": \"}\"\n}\n{\"c\":\n3}",
        ),
        ("document-after-lines", b"1\n2\n{\n\"a\":1\n}\n5\n"),
        ("cut-document", b"{\n\"a\": [1,\n{\"b\":\n2}\n"),
        (
            "numbers",
            b"-0.0e+1 1E999 123456789012345678901234567890\n-1\n",
        ),
        ("names", b"true\nfalse\nnull\nnul\ntruefalse\n"),
        (
            "escapes",
            b"\"\\u00e9\\\\\\\"\\ud800\"\n\"\\x\"\n\"a\nb\"\n",
        ),
        ("utf-8", "\u{feff}\"\u{e9}\u{1f600}\"\n".as_bytes()),
        ("not-utf-8", b"\"\xff\xfe\"\n\xef\xbb\n{\"\xc3\x28\":1}\n"),
        ("half-a-mark", b"\xef\xbb"),
        ("blank", b" \r\n\t\n \n"),
        ("seq", b"\x1e{\"a\":1}\n\x1e[2]\n\x1e\"x\"\n"),
        (
            "seq-cut-off",
            b"\x1e123\x1etrue\n\x1e{\"a\":\x1e\x1e\x1e 4 \n\x1e5",
        ),
        ("seq-stray", b"stray\n\x1e1\nmore\n\x1e2\n"),
        (
            "events",
            b": hello\nevent: x\nid: 1\ndata: {\"a\":\ndata: 1}\n\ndata:2\r\n\r\ndata\ndata: 3",
        ),
        (
            "events-data-first",
            b"data: {\"a\":1}\n\ndata:  \n\n:\n\ndata: [1,\ndata: 2]\n\n",
        ),
        (
            "events-other-fields",
            b"id: 4\nretry: 10\ndatabase: 1\ndata:1\n\n",
        ),
        ("bad-lines", b"{\"a\":1}\nnot json\n{\"b\":2}\n[1,2\n3]\n"),
        ("bad-document", b"[\n1,\n}\n{\"a\":1}\n]\n[2]\n"),
        (
            "white-space-at-the-end",
            b"{\"a\":1}                                        \n{\"b\":2}     ",
        ),
        ("quotes", b"\"a\" : \"b\", \"c\"\n\"\\\"\"\n"),
        ("keys-twice", b"{\"a\":1,\"a\":2,\"b\":{\"a\":[]}}\n"),
        ("control-characters", b"\"a\x01b\"\n\x00\n\x1f\n"),
        ("long", long.as_bytes()),
        ("deep", deep.as_bytes()),
    ];
    let mut seeds = Seeds::new();
    for (name, stream) in streams {
        for (format, how) in [("auto", 0), ("jsonl", 1), ("json", 2), ("seq", 3)] {
            // Without a limit, in two pieces; and with records of at most 16 bytes, in three.
            let two = Bytes::default().u8(how | 2 << 2 | 1 << 4).u16(7);
            seeds.push((format!("{format}-{name}"), two.bytes(stream).0));
            let three = Bytes::default().u8(how | 2 << 4).u8(15).u16(3).u16(20);
            seeds.push((format!("{format}-{name}-limited"), three.bytes(stream).0));
        }
    }
    seeds
}

fn case() -> Seeds {
    let mut seeds = Seeds::new();
    let mut files = Vec::new();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/cases");
    for topic in sorted(&cases) {
        files.extend(sorted(&topic));
    }
    for (n, file) in files.iter().enumerate() {
        let text = fs::read(file).unwrap();
        let case: Value = serde_json::from_slice(&text).unwrap();
        let topic = file
            .parent()
            .and_then(Path::file_name)
            .unwrap()
            .to_str()
            .unwrap();
        let name = format!("{topic}-{}", file.file_stem().unwrap().to_str().unwrap());
        if n % 12 == 0 && text.len() < 2500 {
            seeds.push((
                format!("case-{name}"),
                Bytes::default().u8(0).bytes(&text).0,
            ));
        }
        let steps = case["steps"].as_array().unwrap();
        let requests: Vec<String> = steps.iter().filter_map(request).collect();
        if n % 5 == 0 && (3..12).contains(&requests.len()) {
            let lines = requests.join("\n");
            seeds.push((
                format!("requests-{name}"),
                Bytes::default().u8(2).bytes(lines.as_bytes()).0,
            ));
        }
        let mut expected = steps
            .iter()
            .filter_map(|step| step.pointer("/expect/ok").or(step.pointer("/expect/error")));
        if let Some(pattern) = expected.next_back().filter(|_| n % 6 == 0) {
            let pair = json!({"pattern": pattern, "value": plain(pattern)}).to_string();
            if pair.len() < 1000 {
                seeds.push((
                    format!("pattern-{name}"),
                    Bytes::default().u8(1).bytes(pair.as_bytes()).0,
                ));
            }
        }
    }
    for n in 0..16u8 {
        let ops = (0..60u8).fold(Bytes::default().u8(3), |seed, i| {
            seed.u8(i.wrapping_mul(37 + 2 * n) ^ n)
        });
        // Something to act on.
        let begun = Bytes::default()
            .u8(3)
            .u8(0)
            .u8(0)
            .u8(2)
            .u8(n)
            .bytes(&ops.0[1..]);
        seeds.push((format!("grammar-{n}"), begun.0));
    }
    seeds
}

/// A step as a request, if it is one.
fn request(step: &Value) -> Option<String> {
    const OPS: [&str; 12] = [
        "create",
        "info",
        "list",
        "delete",
        "append",
        "append_batch",
        "get",
        "tail",
        "open_tail",
        "read",
        "close",
        "verify",
    ];
    let name = step["do"].as_str().filter(|name| OPS.contains(name))?;
    let mut request: Map<String, Value> = step.as_object()?.clone();
    for member in ["do", "expect", "bind", "actor", "trace"] {
        request.remove(member);
    }
    request.insert("op".into(), name.into());
    let text = Value::from(request).to_string();
    (text.len() < 600).then_some(text)
}

/// A value that might match.
fn plain(pattern: &Value) -> Value {
    match pattern {
        Value::Object(members) if members.keys().any(|key| key.starts_with('$')) => {
            members.values().next().cloned().unwrap_or_default()
        }
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}
