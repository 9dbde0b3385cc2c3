//! `spec/format/SPEC.md` and `src/core/layout.rs` state one layout.
//!
//! Guards against the two drifting apart, which is how a format comes to have two definitions: every constant is in
//! the tables of the spec with its value, and every name in the tables is a constant.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

use std::collections::{BTreeMap, BTreeSet};

use plasmite::core::geometry::Geometry;
use plasmite::core::layout::*;

const SPEC: &str = include_str!("../spec/format/SPEC.md");
const LAYOUT: &str = include_str!("../src/core/layout.rs");

/// The constants that are one number, with their values.
macro_rules! numbers {
    ($($name:ident)*) => {
        BTreeMap::from([$((stringify!($name).to_lowercase(), u64::from($name))),*])
    };
}

/// Every constant as the compiler knows it, under the name that it has in the spec.
fn constants() -> BTreeMap<String, u64> {
    let mut all = numbers! {
        FORMAT_VERSION WORD HEADER_SIZE IMMUTABLE_SIZE MAGIC_VERSION ENDIANNESS UUID CREATED FILE_SIZE
        INDEX_OFFSET INDEX_CAPACITY RING_OFFSET RING_SIZE IMMUTABLE_CRC INTENT LAST OLDEST DELETED DELETED_MARK BOOT GENERATION
        SEQ_FLOOR WAKE_WORD WAITER_FLAG NEWEST_HOLE ANCHORED FLUSHED CHECKPOINT_COUNT ENDIAN_MARK SLOT_SIZE FRAME_HEADER_SIZE FRAME_POSITION
        FRAME_SEQ FRAME_TIME FRAME_TAGS_LEN FRAME_DATA_LEN FRAME_PAYLOAD_CRC FRAME_LINK FRAME_HEADER_CRC FRAME_STATE
        FRAME_FLAGS FRAME_RESERVED FRAME_MARK STATE_WRITING STATE_COMMITTED FLAG_HOLE FLAG_MORE MARK MIN_FILE_SIZE
        DEFAULT_FILE_SIZE DEFAULT_BYTES_PER_SLOT
    };
    all.insert("magic".into(), u32::from_be_bytes(MAGIC).into());
    for (i, offset) in CHECKPOINTS.into_iter().enumerate() {
        all.insert(format!("checkpoints[{i}]"), offset);
    }
    all
}

/// One row of a table that has offsets.
#[derive(Debug)]
struct Field {
    offset: u64,
    size: u64,
    name: String,
}

#[test]
fn every_constant_of_the_layout_is_held_against_the_spec() {
    let declared: BTreeSet<&str> = LAYOUT
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .collect();
    let known: BTreeSet<String> = constants()
        .keys()
        .map(|name| name.split('[').next().unwrap().to_uppercase())
        .collect();
    assert_eq!(
        declared,
        known.iter().map(String::as_str).collect(),
        "this test has to know each constant of layout.rs"
    );
}

#[test]
fn names_and_values_are_the_same_in_both() {
    let mut stated = BTreeMap::new();
    for field in tables("offset")
        .into_iter()
        .flat_map(|table| fields(&table))
    {
        if !field.name.starts_with('(') {
            assert_eq!(stated.insert(field.name, field.offset), None);
        }
    }
    for row in tables("value").into_iter().flatten() {
        assert_eq!(stated.insert(row[1].clone(), number(&row[0])), None);
    }
    assert_eq!(stated, constants());
}

#[test]
fn tables_without_room_between_their_fields_have_none() {
    let [immutable, control, checkpoint, floor, flushed, slot, frame]: [Vec<Field>; 7] =
        tables("offset")
            .iter()
            .map(|table| fields(table))
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
    for (table, size) in [
        (&immutable, IMMUTABLE_SIZE),
        (&checkpoint, size_of(&control, "checkpoints[0]")),
        (&checkpoint, size_of(&control, "checkpoints[1]")),
        (&floor, size_of(&control, "seq_floor")),
        (&flushed, size_of(&control, "flushed")),
        (&slot, SLOT_SIZE),
        (&frame, FRAME_HEADER_SIZE),
    ] {
        let end = table.iter().fold(0, |end, field| {
            assert_eq!(field.offset, end, "{field:?}");
            end + field.size
        });
        assert_eq!(end, size);
    }
}

#[test]
fn control_words_keep_to_their_own_cache_lines() {
    let control = fields(&tables("offset")[1]);
    for pair in control.windows(2) {
        assert!(pair[0].offset + pair[0].size <= pair[1].offset, "{pair:?}");
        let shared = pair[0].offset / 64 == pair[1].offset / 64;
        let is_futex_pair = pair[0].name == "wake_word";
        assert!(
            !shared || is_futex_pair || pair[1].name == "(reserved)",
            "{pair:?}"
        );
    }
    assert_eq!(control[0].offset, IMMUTABLE_SIZE);
    let last = control.last().unwrap();
    assert_eq!(last.offset + last.size, HEADER_SIZE);
    for word in control.iter().filter(|field| !field.name.starts_with('(')) {
        let size = match word.name.as_str() {
            "wake_word" => WAITER_FLAG - WAKE_WORD,
            "waiter_flag" => 4,
            "seq_floor" | "flushed" => 2 * WORD,
            "checkpoints[0]" | "checkpoints[1]" => 3 * WORD,
            _ => WORD,
        };
        assert_eq!(word.size, size, "{}", word.name);
    }
}

#[test]
fn dimensions_are_as_in_the_examples() {
    let rows = tables("file").concat();
    assert!(!rows.is_empty());
    for row in rows {
        let file_size = number(&row[0]);
        let capacity = number(row[1].split(' ').next().unwrap());
        let g = Geometry::for_file(file_size, Some(capacity)).unwrap();
        assert_eq!(
            (g.ring_offset, g.ring_size),
            (number(&row[2]), number(&row[3]))
        );
        if row[1].ends_with("(default)") && !cfg!(feature = "no-index") {
            assert_eq!(Geometry::for_file(file_size, None).unwrap(), g);
        }
        if row[1].ends_with("(most)") {
            assert!(Geometry::for_file(file_size, Some(capacity + 1)).is_err());
        }
    }
}

#[test]
fn the_diagram_beside_the_constants_has_their_offsets() {
    let drawn: BTreeSet<u64> = LAYOUT
        .lines()
        .filter_map(|line| {
            line.strip_prefix("//!")?
                .trim_start()
                .split_once([' ', '+', '|'])?
                .0
                .parse()
                .ok()
        })
        .collect();
    let mut expected: BTreeSet<u64> = fields(&tables("offset")[1])
        .iter()
        .filter(|field| !field.name.starts_with('(') && field.name != "waiter_flag")
        .map(|field| field.offset)
        .collect();
    expected.extend([0, HEADER_SIZE]);
    assert_eq!(drawn, expected);
}

#[test]
fn a_value_that_differs_is_seen() {
    let wrong = SPEC.replace("| 576 | 8 | last |", "| 584 | 8 | last |");
    assert_ne!(wrong, SPEC);
    let found = tables_of(&wrong, "offset")
        .iter()
        .flat_map(|table| fields(table))
        .find(|field| field.name == "last");
    assert_ne!(found.unwrap().offset, constants()["last"]);
}

fn size_of(table: &[Field], name: &str) -> u64 {
    table.iter().find(|field| field.name == name).unwrap().size
}

fn fields(table: &[Vec<String>]) -> Vec<Field> {
    table
        .iter()
        .map(|row| Field {
            offset: number(&row[0]),
            size: number(&row[1]),
            name: row[2].clone(),
        })
        .collect()
}

fn number(text: &str) -> u64 {
    let text = text.trim_matches('`');
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None if text.len() == 4 && text.bytes().all(|b| b.is_ascii_uppercase()) => text
            .bytes()
            .fold(0, |number, byte| number << 8 | u64::from(byte)),
        None => text.parse().unwrap(),
    }
}

/// The rows of every table of the spec whose first column has this heading.
fn tables(heading: &str) -> Vec<Vec<Vec<String>>> {
    tables_of(SPEC, heading)
}

fn tables_of(text: &str, heading: &str) -> Vec<Vec<Vec<String>>> {
    let blocks = text.split("\n\n").map(str::trim);
    let wanted = blocks.filter(|block| block.starts_with(&format!("| {heading} |")));
    wanted
        .map(|block| block.lines().skip(2).map(cells).collect())
        .collect()
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}
