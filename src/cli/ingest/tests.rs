//! Guards against records that depend on how the stream was cut, and against bytes that nobody hears of.

use proptest::prelude::*;

use super::*;
use crate::core::json::compact_into;
use table::TABLE;

mod table;

const NO_LIMIT: usize = 1 << 20;

#[test]
fn records_are_as_the_table_says() {
    for (format, limit, input, expected) in TABLE {
        let found = records(*format, *limit, [input.as_bytes()]);
        assert_begin_as(&found, expected, &format!("{format:?} {input:?}"));
    }
}

#[test]
fn no_way_to_cut_a_stream_changes_its_records() {
    for (format, limit, input, expected) in TABLE {
        let input = input.as_bytes();
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            let found = records(*format, *limit, [head, tail]);
            assert_begin_as(
                &found,
                expected,
                &format!("{format:?} {input:?} cut at {at}"),
            );
        }
        let found = records(*format, *limit, input.chunks(1));
        assert_begin_as(
            &found,
            expected,
            &format!("{format:?} {input:?} byte by byte"),
        );
    }
}

fn assert_begin_as(found: &[String], expected: &[&str], context: &str) {
    let agrees = |(found, expected): (&String, &&str)| match expected.contains(" error ") {
        true => found.starts_with(*expected),
        false => found == expected,
    };
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(agrees),
        "{context}\nfound    {found:?}\nexpected {expected:?}"
    );
}

#[test]
fn a_line_is_a_record_as_soon_as_its_newline_has_come() {
    let mut ingest = Ingest::new(Format::Auto, NO_LIMIT);
    for line in ["{\"a\":1}\n", "2\n", "x\n"] {
        ingest.push(line.as_bytes());
        let record = ingest.next().map(|record| record.text.unwrap().to_vec());
        assert_eq!(record.as_deref(), Some(line.trim_end().as_bytes()));
        assert!(ingest.next().is_none());
    }
}

#[test]
fn the_last_line_of_a_document_completes_it() {
    let mut ingest = Ingest::new(Format::Auto, NO_LIMIT);
    ingest.push(b"{\n\"a\": 1\n");
    assert!(ingest.next().is_none());
    assert_eq!(ingest.format(), Some("json"));
    ingest.push(b"}");
    assert!(ingest.next().is_some());
}

#[test]
fn a_text_of_a_sequence_does_not_wait_for_the_next() {
    let mut ingest = Ingest::new(Format::Auto, NO_LIMIT);
    ingest.push(b"\x1e{}\n");
    assert!(ingest.next().is_some());
    assert_eq!(ingest.format(), Some("seq"));
}

#[test]
fn values_without_any_newline_are_told_apart_after_8_kib() {
    let stream = "{\"a\":1}".repeat(4_000);
    let mut ingest = Ingest::new(Format::Auto, NO_LIMIT);
    ingest.push(&stream.as_bytes()[..LOOK_AT_MOST - 1]);
    assert!(ingest.next().is_none());
    ingest.push(&stream.as_bytes()[LOOK_AT_MOST - 1..]);
    assert!(ingest.next().is_some());
    assert_eq!(ingest.format(), Some("json"));
    let found = records(Format::Auto, 100, stream.as_bytes().chunks(1_000));
    assert_eq!(found.len(), 4_000);
}

#[test]
fn long_lines_are_json_lines() {
    let line = format!("\"{}\"\n", "x".repeat(3 * LOOK_AT_MOST));
    let stream = line.repeat(3);
    let mut ingest = Ingest::new(Format::Auto, NO_LIMIT);
    ingest.push(stream.as_bytes());
    assert!(ingest.next().is_some());
    assert_eq!(ingest.format(), Some("jsonl"));
    let found = records(Format::Auto, NO_LIMIT, stream.as_bytes().chunks(1_000));
    assert_eq!(found.len(), 3);
}

#[test]
fn a_record_over_the_limit_is_discarded_as_it_comes() {
    const LIMIT: usize = 10_000;
    const CHUNK: usize = 1_000;
    for (format, begin, end) in [
        (Format::Jsonl, "\"", "\"\n{}\n"),
        (Format::Json, "[\"", "\"]\n{}\n"),
        (Format::Json, "[nonsense", "\n{}\n"),
        (Format::Seq, "\u{1e}\"", "\"\n\u{1e}{}\n"),
        (Format::Seq, "\u{1e}nonsense ", "\n\u{1e}{}\n"),
        (Format::Auto, "data: \"", "\"\n\ndata: {}\n\n"),
    ] {
        let mut ingest = Ingest::new(format, LIMIT);
        let mut found = Vec::new();
        let middle = "x".repeat(CHUNK);
        let pieces = std::iter::repeat_n(middle.as_str(), 2_000);
        for piece in std::iter::once(begin).chain(pieces).chain([end]) {
            ingest.push(piece.as_bytes());
            take_all(&mut ingest, &mut found);
            assert!(
                ingest.input.capacity() <= LIMIT + CHUNK + buffer::FRAMING,
                "{format:?}"
            );
        }
        ingest.finish();
        take_all(&mut ingest, &mut found);
        assert_eq!(found.len(), 2, "{format:?} {found:?}");
        assert!(found[0].contains("is longer than 10000 bytes"), "{found:?}");
        assert!(found[1].ends_with("good {}"), "{found:?}");
    }
}

#[test]
fn white_space_between_records_takes_no_memory_and_does_not_count() {
    const LIMIT: usize = 10_000;
    let space = " ".repeat(1_000);
    let lines = "\n".repeat(1_000);
    for (format, before, record) in [
        (Format::Jsonl, "", "{} "),
        (Format::Auto, "", "1 2 "),
        (Format::Json, "", "{} "),
        (Format::Json, "", "12 "),
        (Format::Seq, "\u{1e}", "{} "),
        (Format::Seq, "\u{1e}", "12 "),
    ] {
        for filler in [&space, &lines] {
            let mut ingest = Ingest::new(format, LIMIT);
            let mut found = Vec::new();
            let fillers = || std::iter::repeat_n(filler.as_str(), 200);
            for piece in fillers()
                .chain([before, record])
                .chain(fillers())
                .chain(["\n"])
            {
                ingest.push(piece.as_bytes());
                take_all(&mut ingest, &mut found);
                assert!(
                    ingest.input.capacity() <= LIMIT + filler.len() + buffer::FRAMING,
                    "{format:?}"
                );
            }
            ingest.finish();
            take_all(&mut ingest, &mut found);
            assert!(
                !found.is_empty() && found.iter().all(|record| record.contains(" good ")),
                "{format:?} {found:?}"
            );
        }
    }
}

#[test]
fn every_record_knows_where_it_starts() {
    for (format, limit, input, _) in TABLE {
        for chunk in [1, input.len().max(1)] {
            let mut ingest = Ingest::new(*format, *limit);
            let mut places = Vec::new();
            for piece in input.as_bytes().chunks(chunk).map(Some).chain([None]) {
                match piece {
                    Some(piece) => ingest.push(piece),
                    None => ingest.finish(),
                }
                while let Some(record) = ingest.next() {
                    let text = record
                        .text
                        .ok()
                        .filter(|_| record.is_verbatim)
                        .map(<[u8]>::to_vec);
                    places.push((record.place, text));
                }
            }
            for (place, text) in places {
                let (before, rest) = input
                    .as_bytes()
                    .split_at(usize::try_from(place.offset).unwrap());
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                let line_start = before
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                let column = before.len() - line_start + 1;
                assert_eq!(
                    (place.line, place.column),
                    (line as u64, column as u64),
                    "{format:?} {input:?}"
                );
                assert!(
                    text.is_none_or(|text| rest.starts_with(&text)),
                    "{format:?} {input:?} {place:?}"
                );
            }
        }
    }
}

#[test]
fn a_format_has_the_name_that_it_parses_from() {
    for (name, format) in Format::ALL {
        assert_eq!(name.parse::<Format>().unwrap(), format);
    }
    let error = "yaml".parse::<Format>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chunks_do_not_matter(
        format in any_format(),
        limit in prop_oneof![Just(3_usize), 4..20_usize, Just(NO_LIMIT)],
        stream in any_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = records(format, limit, [&stream[..]]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        prop_assert_eq!(&whole, &records(format, limit, pieces));
        prop_assert_eq!(&whole, &records(format, limit, stream.chunks(1)));
    }

    #[test]
    fn no_byte_is_lost(format in any_format(), stream in any_stream()) {
        let mut ingest = Ingest::new(format, NO_LIMIT);
        ingest.push(&stream);
        ingest.finish();
        let mut kept = Vec::new();
        while let Some(record) = ingest.next() {
            if let Ok(text) = record.text {
                kept.extend_from_slice(text);
            }
        }
        if !matches!(ingest.format(), Some("jsonl" | "json")) {
            return Ok(()); // Framing is not part of records.
        }
        let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&stream);
        prop_assert_eq!(without_space(&kept), without_space(stream));
    }

    #[test]
    fn good_values_come_out_as_they_went_in(
        values in prop::collection::vec(any_value(), 0..6),
        between in prop_oneof![Just("\n"), Just("\r\n\n"), Just(" "), Just("\n  ")],
    ) {
        let stream: String = values.iter().map(|value| format!("{value}{between}")).collect();
        for format in [Format::Auto, Format::Json] {
            let mut ingest = Ingest::new(format, NO_LIMIT);
            ingest.push(stream.as_bytes());
            ingest.finish();
            for value in &values {
                let found = ingest.next().map(|record| record.text.unwrap().to_vec());
                prop_assert_eq!(found.as_deref(), Some(value.as_bytes()));
            }
            prop_assert!(ingest.next().is_none());
        }
    }
}

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(Format::ALL.map(|(_, format)| format).to_vec())
}

fn any_value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "0",
        "-1.5e+3",
        "true",
        "\"\"",
        "\"a\\\"}\"",
        "{}",
        "[]",
        "{\"a\":[1,{\"b\":null}]}",
        "[{}, []]",
    ])
}

/// Pieces of JSON and of what stands around it, well formed or not.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\n",
        b"\r\n",
        b" ",
        b"\x1e",
        b"\n{",
        b"\n[",
        b"\n\n",
        b"1",
        b"-",
        b"true",
        b"nul",
        b"\"a\"",
        b"\"a\":",
        b"{}",
        b"[1,2]",
        b"{\"a\":1}\n",
        b"\n{\"b\":2}\n",
        b"x",
        b"\xff",
        b"\xef\xbb\xbf",
        b"data: ",
        b"data",
        b"event:",
        b"id",
        b"data: {}\n\n",
        b"\x1e{}\n",
        b"\x0b",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

fn without_space(text: &[u8]) -> Vec<u8> {
    let kept = text.iter().copied().filter(|byte| !is_space(*byte));
    kept.collect()
}

fn records<'a>(
    format: Format,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut ingest = Ingest::new(format, limit);
    let mut found = Vec::new();
    for piece in pieces {
        ingest.push(piece);
        take_all(&mut ingest, &mut found);
    }
    ingest.finish();
    take_all(&mut ingest, &mut found);
    found
}

fn take_all(ingest: &mut Ingest, found: &mut Vec<String>) {
    while let Some(record) = ingest.next() {
        found.push(match record.text {
            Ok(text) => {
                let verdict = match compact_into(text, &mut Vec::new()) {
                    Ok(()) => "good",
                    Err(_) => "bad",
                };
                format!(
                    "{} {verdict} {}",
                    record.place.line,
                    String::from_utf8_lossy(text)
                )
            }
            Err(error) => format!("{} error {error}", record.place.line),
        });
    }
}
