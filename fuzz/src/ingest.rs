//! The reader of streams behind `feed`.
//!
//! Promised: how a stream is cut never changes its records, places and errors; a record that is accepted is JSON of an
//! equal value, less the white space outside its strings; no byte is lost: each is in a record, in what an error is
//! about, or is white space or framing. Where a format is simple, the records are those of a few lines of other code.

use plasmite::cli::ingest::{Format, Ingest};
use plasmite::core::json::compact_into;
use plasmite::{Error, ErrorKind};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::errors;
use crate::input::Input;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Longer than any input: nothing is too long.
const NO_LIMIT: usize = 1 << 30;
/// Up to this length a stream is tried byte by byte as well.
const SHORT: usize = 4096;

/// A record, owned.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    line: u64,
    column: u64,
    offset: u64,
    is_verbatim: bool,
    text: Result<Vec<u8>, Refusal>,
}

/// An error, in what can be compared.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// Checks one input: the format, the limit, where the stream is cut, and the stream.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.u8();
    let (_, format) = Format::ALL[usize::from(how) % Format::ALL.len()];
    let limit = match how >> 2 & 3 {
        0 => 1 + usize::from(input.u8()),
        1 => 1 + usize::from(input.u16()),
        _ => NO_LIMIT,
    };
    let cuts: Vec<usize> = (0..how >> 4).map(|_| usize::from(input.u16())).collect();
    let stream = input.rest();
    let (name, whole) = records(format, limit, [stream]);
    let cut = records(format, limit, pieces(stream, &cuts));
    assert_eq!((name, &whole), (cut.0, &cut.1), "cut at {cuts:?}");
    if stream.len() <= SHORT {
        let single = records(format, limit, stream.chunks(1));
        assert_eq!((name, &whole), (single.0, &single.1), "byte by byte");
    }
    for record in &whole {
        is_sound(record, stream);
    }
    if let Some(name) = name {
        nothing_is_lost(name, &whole, stream);
        agrees_with_a_simple_reader(format, name, limit, &whole, stream);
    } else {
        let only_space = without_mark(stream).iter().all(is_space);
        assert!(only_space, "no format was found, and there was one");
    }
}

fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([stream.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts
        .zip(ends)
        .map(|(start, end)| &stream[start..end])
        .collect()
}

fn records<'a>(
    format: Format,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Option<&'static str>, Vec<Record>) {
    let mut ingest = Ingest::new(format, limit);
    let mut records = Vec::new();
    for piece in pieces {
        ingest.push(piece);
        take(&mut ingest, &mut records);
    }
    ingest.finish();
    take(&mut ingest, &mut records);
    assert!(ingest.next().is_none(), "a record after the last one");
    (ingest.format(), records)
}

fn take(ingest: &mut Ingest, records: &mut Vec<Record>) {
    while let Some(record) = ingest.next() {
        records.push(Record {
            line: record.place.line,
            column: record.place.column,
            offset: record.place.offset,
            is_verbatim: record.is_verbatim,
            text: match record.text {
                Ok(text) => Ok(text.to_vec()),
                Err(error) => Err(refusal(&error)),
            },
        });
    }
}

fn refusal(error: &Error) -> Refusal {
    errors::check(error, &[ErrorKind::Usage]);
    Refusal {
        kind: error.kind(),
        message: error.message().to_owned(),
        hint: error.hint_text().map(str::to_owned),
    }
}

/// A record is where it says, and is accepted if and only if it is JSON that may be stored.
fn is_sound(record: &Record, stream: &[u8]) {
    let offset = record.offset as usize;
    assert!(offset <= stream.len(), "a record behind the stream");
    let lines = stream[..offset]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count() as u64;
    assert_eq!(record.line, lines + 1, "not the line of {record:?}");
    let start = stream[..offset]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    assert_eq!(record.column, (offset - start) as u64 + 1, "not the column");
    let Ok(text) = &record.text else { return };
    if record.is_verbatim {
        assert!(
            stream[offset..].starts_with(text),
            "not the stream's text: {record:?}"
        );
    }
    let mut stored = b"before".to_vec();
    let is_json = serde_json::from_slice::<&RawValue>(text).is_ok();
    match compact_into(text, &mut stored) {
        Ok(()) => {
            assert!(is_json, "accepted, and no JSON: {text:?}");
            let stored = stored
                .strip_prefix(b"before")
                .expect("what was there before");
            assert_eq!(
                stored,
                compact(text),
                "not the text without its white space"
            );
            // Numbers that no float holds, and halves of surrogates, are JSON that serde_json makes no value of.
            let [given, kept] = [text.as_slice(), stored].map(serde_json::from_slice::<Value>);
            match (given, kept) {
                (Ok(given), Ok(kept)) => assert_eq!(given, kept, "another value"),
                (given, kept) => assert!(given.is_err() && kept.is_err()),
            }
        }
        Err(error) => {
            errors::check(&error, &[ErrorKind::Usage]);
            assert_eq!(stored, b"before", "refused, and stored in part");
            assert!(
                !is_json || depth(text) > 100,
                "refused JSON: {error}: {text:?}"
            );
        }
    }
}

/// What stands between good records is white space or framing. Bad ones go on to where the next one begins.
fn nothing_is_lost(name: &str, records: &[Record], stream: &[u8]) {
    let is_framing = |byte: &u8| is_space(byte) || name == "seq" && *byte == 0x1e;
    let mut from = stream.len() - without_mark(stream).len();
    let mut may_skip = false;
    for record in records {
        let offset = record.offset as usize;
        assert!(
            may_skip || offset >= from,
            "records that overlap: {record:?}"
        );
        if name != "sse" && !may_skip {
            assert!(
                stream[from..offset].iter().all(is_framing),
                "lost before {record:?}"
            );
        }
        may_skip = record.text.is_err();
        from = offset + record.text.as_ref().map_or(0, Vec::len);
        if name == "sse" {
            from = offset;
        }
    }
    if name != "sse" && !may_skip {
        assert!(
            stream[from..].iter().all(is_framing),
            "lost at the end of {records:?}"
        );
    }
}

/// The same by a few lines of code that see the whole stream, where it is in one format from its beginning.
fn agrees_with_a_simple_reader(
    format: Format,
    name: &str,
    limit: usize,
    records: &[Record],
    stream: &[u8],
) {
    let texts: Option<Vec<&[u8]>> = records
        .iter()
        .map(|record| record.text.as_deref().ok())
        .collect();
    let stream = without_mark(stream);
    let expected = match (format, name) {
        (Format::Jsonl, _) if limit == NO_LIMIT => lines(stream),
        (Format::Auto, "sse") if limit == NO_LIMIT => events(trim_start(stream)),
        (_, "sse") if limit == NO_LIMIT => events(stream),
        (Format::Json, _) if limit == NO_LIMIT => match values(stream) {
            Some(values) => values,
            None => return,
        },
        // Lines of one value or more each, or values over several lines: they are these values.
        (Format::Auto, "jsonl" | "json") if limit == NO_LIMIT => match values(stream) {
            Some(values) if name == "json" || are_whole(&lines(stream)) => values,
            _ => return,
        },
        _ => return,
    };
    let texts = texts.expect("a record that is no record, and nothing is too long");
    assert_eq!(texts, expected, "not what a simple reader finds in {name}");
}

fn lines(stream: &[u8]) -> Vec<Vec<u8>> {
    stream
        .split(|byte| *byte == b'\n')
        .map(trim)
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn are_whole(lines: &[Vec<u8>]) -> bool {
    lines.iter().all(|line| values(line).is_some())
}

fn values(stream: &[u8]) -> Option<Vec<Vec<u8>>> {
    let values = serde_json::Deserializer::from_slice(stream).into_iter::<&RawValue>();
    values
        .map(|value| value.ok().map(|value| value.get().as_bytes().to_vec()))
        .collect()
}

fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut events, mut data): (Vec<Vec<u8>>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let end: &[u8] = b"";
    let ended = stream.split(|byte| *byte == b'\n').chain([end]);
    for line in ended {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let joined = data.join(&b'\n');
            let kept = joined.len()
                - joined
                    .iter()
                    .rev()
                    .take_while(|byte| is_space(byte))
                    .count();
            if kept > 0 {
                events.push(joined[..kept].to_vec());
            }
            data.clear();
        } else if line == b"data" {
            data.push(b"");
        } else if let Some(value) = line.strip_prefix(b"data:") {
            data.push(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
    events
}

fn without_mark(stream: &[u8]) -> &[u8] {
    stream.strip_prefix(BYTE_ORDER_MARK).unwrap_or(stream)
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(first)
    {
        text = rest;
    }
    text
}

fn trim(text: &[u8]) -> &[u8] {
    let mut text = trim_start(text);
    while let [rest @ .., last] = text
        && is_space(last)
    {
        text = rest;
    }
    text
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// JSON less the white space outside its strings.
fn compact(text: &[u8]) -> Vec<u8> {
    let (mut inside, mut escaped) = (false, false);
    let kept = text.iter().filter(|byte| {
        let is_kept = inside || !is_space(byte);
        if inside {
            inside = escaped || **byte != b'"';
            escaped = !escaped && **byte == b'\\';
        } else {
            inside = **byte == b'"';
        }
        is_kept
    });
    kept.copied().collect()
}

/// How deep arrays and objects are nested in JSON.
fn depth(text: &[u8]) -> usize {
    let (mut inside, mut escaped) = (false, false);
    let (mut depth, mut deepest) = (0, 0);
    for byte in text {
        if inside {
            inside = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => inside = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
