//! Guards against text that changes on its way in, and against errors that do not say where.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn compact(text: &[u8]) -> Result<String> {
    let mut out = Vec::new();
    compact_into(text, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn what_the_grammar_allows_survives() {
    let digits = "9".repeat(400);
    let long = format!("\"{}\"", "a b, \\\\ \\\" {".repeat(50));
    for text in [
        "null",
        "\"\"",
        "-0",
        "1.50E+09",
        "[]",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"["\ud800","\udc00\ud800","\u0000","\/"]"#,
        r#"["a , b : [ c","\\\\\" ","\\"," "]"#,
        "[\"\u{2028} \u{7f}\u{10ffff}\"]",
        &digits,
        &long,
    ] {
        assert_eq!(compact(text.as_bytes()).unwrap(), text);
    }
}

#[test]
fn white_space_between_tokens_goes() {
    let spaced = b" \t\r\n{ \"a b\" : [ 1 ,\n2 ]\t,\"c\": { } } ";
    assert_eq!(compact(spaced).unwrap(), r#"{"a b":[1,2],"c":{}}"#);
    assert_eq!(compact(b"1\n").unwrap(), "1");
}

/// Where there is no other white space that would have the text looked at.
#[test]
fn a_single_space_goes_from_wherever_it_may_stand() {
    let long = "x".repeat(2 * BLOCK - 3);
    let texts: [&[&str]; 4] = [
        &["[", "1", "]"],
        &["[", "[", "]", ",", "{", "}", ",", "\"\"", ",", "2", "]"],
        &["{", "\"a\"", ":", "[", "]", ",", "\"b\"", ":", "1", "}"],
        &["[", "\"", &long, "\"", ",", "1", ",", "2", ",", "3", "]"],
    ];
    for tokens in texts {
        let whole = tokens.concat();
        for at in 0..=tokens.len() {
            let (left, right) = tokens.split_at(at);
            let is_in_string = left.concat().matches('"').count() % 2 == 1;
            for space in [" ", "\n", "\t", "\r"] {
                let spaced = left.concat() + space + &right.concat();
                if !is_in_string {
                    assert_eq!(compact(spaced.as_bytes()).unwrap(), whole, "{spaced:?}");
                }
            }
        }
    }
}

#[test]
fn a_quote_stays_escaped_across_blocks() {
    // All of them take Miri minutes.
    let stride = if cfg!(miri) { 9 } else { 1 };
    for before in (0..2 * BLOCK).step_by(stride) {
        for escapes in ["\\\"", "\\\\\\\"", "\\\\"] {
            let text = format!("[\"{}{escapes} x , y\", 1]", "z".repeat(before));
            let expected = format!("[\"{}{escapes} x , y\",1]", "z".repeat(before));
            assert_eq!(compact(text.as_bytes()).unwrap(), expected);
        }
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[ ".repeat(depth), "]".repeat(depth));
    assert!(compact(nested(MAX_DEPTH).as_bytes()).is_ok());
    let error = compact(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
    assert_eq!(error.offset_value(), Some(2 * MAX_DEPTH as u64));
    assert!(error.message().contains("100"), "{error}");
    assert!(compact("[".repeat(1_000_000).as_bytes()).is_err());
    let objects = format!(
        "{}1{}",
        "{\"\":".repeat(MAX_DEPTH + 1),
        "}".repeat(MAX_DEPTH + 1)
    );
    assert!(compact(objects.as_bytes()).is_err());
    let wide = format!("[{}\"{}\"]", "[],[{}],[[[]]],".repeat(200), "[".repeat(200));
    assert_eq!(compact(wide.as_bytes()).unwrap(), wide);
    for string in [r#""[\"[""#, r#""[\\""#, r#""\\\"[""#, r#""[""#] {
        let strings = format!("[{}1]", format!("{string},[{string}],").repeat(150));
        assert_eq!(compact(strings.as_bytes()).unwrap(), strings);
    }
}

/// What is no JSON, the offset of the fault, and what is said of it.
const FAULTS: [(&[u8], u64, &str); 30] = [
    (
        b"x \xff",
        0,
        "The text is not JSON: expected a value, found `x` at column 1",
    ),
    (
        b"[1, -",
        5,
        "The JSON ends before its value is complete at column 6",
    ),
    (
        b"[-",
        2,
        "The JSON ends before its value is complete at column 3",
    ),
    (
        b"[x \xff]",
        1,
        "The text is not JSON: expected a value, found `x` at column 2",
    ),
    (
        b"[1,\nx]",
        4,
        "The text is not JSON: expected a value, found `x` at line 2, column 1",
    ),
    (
        b"[1,\n2,\n3,\n4,\nx]",
        13,
        "The text is not JSON: expected a value, found `x` at line 5, column 1",
    ),
    (b"", 0, "There is no JSON value: the input is empty"),
    (b" \n", 2, "There is no JSON value: the input is empty"),
    (
        b"hello",
        0,
        "The text is not JSON: expected a value, found `h` at column 1",
    ),
    (
        b"nil",
        1,
        "The text is not JSON: expected true, false or null, found `i` at column 2",
    ),
    (
        b"{'a':1}",
        1,
        "The text is not JSON: expected a key in double quotes, found `'` at column 2",
    ),
    (
        b"{\"a\" 1}",
        5,
        "The text is not JSON: expected `:` after a key, found `1` at column 6",
    ),
    (
        b"[1 2]",
        3,
        "The text is not JSON: expected `,` or `]`, found `2` at column 4",
    ),
    (
        b"[1,]",
        3,
        "The text is not JSON: expected a value, found `]` at column 4",
    ),
    (
        b"[\n1,\n x]",
        6,
        "The text is not JSON: expected a value, found `x` at line 3, column 2",
    ),
    (
        "[\"\u{e9}\", \u{e9}]".as_bytes(),
        7,
        "The text is not JSON: expected a value, found `\u{e9}` at column 7",
    ),
    (
        b"\"a\nb\"",
        2,
        "The text is not JSON: expected the rest of a string, found the end of the line at line 1, column 3",
    ),
    (
        b"\"a\tb\"",
        2,
        "The text is not JSON: expected the rest of a string, found the character U+0009 at column 3",
    ),
    (
        b"\"\\x\"",
        2,
        "The text is not JSON: expected a known escape after the backslash, found `x` at column 3",
    ),
    (
        b"01",
        1,
        "The text is not JSON: expected another form of number, found `1` at column 2",
    ),
    (
        b"--",
        1,
        "The text is not JSON: expected another form of number, found `-` at column 2",
    ),
    (
        b"{\"a\":1} {}",
        8,
        "The JSON value is complete, yet more follows it: found `{` at column 9",
    ),
    (
        b"{\"a\":",
        5,
        "The JSON ends before its value is complete at column 6",
    ),
    (
        b"[1,\n\"abc",
        8,
        "The JSON ends before its value is complete at line 2, column 5",
    ),
    (
        b"tru",
        3,
        "The JSON ends before its value is complete at column 4",
    ),
    (
        b"[1.",
        3,
        "The JSON ends before its value is complete at column 4",
    ),
    (
        b"-",
        1,
        "The JSON ends before its value is complete at column 2",
    ),
    (
        b"1e+",
        3,
        "The JSON ends before its value is complete at column 4",
    ),
    (
        b"[\"\xff\"]",
        2,
        "The text is not valid UTF-8: found the byte 0xff at column 3",
    ),
    (
        b"[\"\xe2\x82",
        2,
        "The text is not valid UTF-8: found the byte 0xe2 at column 3",
    ),
];

#[test]
fn errors_say_what_and_where() {
    for (text, offset, message) in FAULTS {
        let error = compact(text).unwrap_err();
        assert_eq!(error.message(), message);
        assert_eq!(error.offset_value(), Some(offset), "{message}");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.hint_text().is_some(), "{message}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let rows: [(&[u8], &str); 15] = [
        (
            b"1 2",
            "give one value at a time, put several into an array, or quote plain text",
        ),
        (b"[1,]", "remove the comma before it"),
        (b"{\"a\":1 , }", "remove the comma before it"),
        (b"[}", "correct the JSON at that place"),
        (b"{'a':1}", "put strings and keys into double quotes"),
        (b"['a']", "put strings and keys into double quotes"),
        (
            b"[NaN]",
            "JSON has no NaN and no Infinity; send null or a string",
        ),
        (
            b"[Infinity]",
            "JSON has no NaN and no Infinity; send null or a string",
        ),
        (
            b"[01]",
            "write numbers as 1, -0.5 or 1e9, without leading zeros or plus sign",
        ),
        (b"[\"\\x\"]", "write a literal backslash as \\\\"),
        (
            b"[\"a\nb\"]",
            "close the string, or write the character as an escape such as \\n or \\t",
        ),
        (b"\xef\xbb\xbf1", "remove the byte order mark"),
        (b"hello", "to send plain text, put it into double quotes"),
        (b" hello", "to send plain text, put it into double quotes"),
        (b"[hello]", "correct the JSON at that place"),
    ];
    for (text, hint) in rows {
        let error = compact(text).unwrap_err();
        assert_eq!(error.hint_text(), Some(hint), "{}", error.message());
    }
}

/// What the scan is to find in `text`, by those who are slower.
fn lets_through(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok() && too_deep_at(text).is_none()
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn the_scan_judges_all_short_texts_as_serde_json_does() {
    const BYTES: &[u8] = b"{}[],:\" \\01.-+eutr\x1f\xe9";
    let mut text = Vec::new();
    for length in 0..=4 {
        for number in 0..BYTES.len().pow(length) {
            text.clear();
            let digits = (0..length).scan(number, |left, _| {
                let digit = *left % BYTES.len();
                *left /= BYTES.len();
                Some(digit)
            });
            text.extend(digits.map(|digit| BYTES[digit]));
            assert_eq!(scan(&text).is_some(), lets_through(&text), "{text:?}");
        }
    }
}

#[test]
fn the_scan_judges_numbers_strings_and_words_as_serde_json_does() {
    let numbers = ["", "-", "0", "12", "09", ".", ".5", "e", "E+7", "e-", "1"];
    let strings = [
        "\"", "a", "\\", "u", "12aF", "g", "n", "\u{1f}", "\u{7f}", "\u{e9}", "abcdefgh",
    ];
    let words = [
        "t", "rue", "true", "fals", "e", "null", "nul", "l", ",", "[", "]",
    ];
    for parts in [numbers, strings, words] {
        for number in 0..parts.len().pow(4) {
            let part = |place: u32| parts[number / parts.len().pow(place) % parts.len()];
            let text = [part(0), part(1), part(2), part(3)].concat();
            for text in [
                text.clone(),
                format!("[{text}]"),
                format!("{{\"{text}\":\"{text}\"}}"),
            ] {
                assert_eq!(
                    scan(text.as_bytes()).is_some(),
                    lets_through(text.as_bytes()),
                    "{text}"
                );
            }
        }
    }
}

proptest! {
    #[cfg_attr(miri, ignore = "takes Miri minutes")]
    #[test]
    fn only_white_space_goes(value in any_json(), spaces in prop::collection::vec(any_space(), 1..8)) {
        let expected = serde_json::to_string(&value).unwrap();
        let spaced = spread(&value, &mut spaces.iter().cycle());
        let found = compact(spaced.as_bytes()).unwrap();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), value);
    }

    /// The scan is a filter before a judge, and has to let through the same.
    #[test]
    fn the_scan_lets_through_what_serde_json_does(text in any_text()) {
        prop_assert_eq!(scan(&text).is_some(), lets_through(&text), "{:?}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn the_scan_sees_white_space_between_tokens(value in any_json(), spaces in prop::collection::vec(any_space(), 1..8)) {
        let compact = value.to_string();
        prop_assert_eq!(scan(compact.as_bytes()), Some(Between::Nothing));
        let spread = spread(&value, &mut spaces.iter().cycle());
        let is_spread = spread.len() > compact.len();
        prop_assert_eq!(scan(spread.as_bytes()) == Some(Between::Space), is_spread, "{}", spread);
    }

    #[test]
    fn an_error_leaves_what_was_there(text in any_text()) {
        let mut out = b"before".to_vec();
        match compact_into(&text, &mut out) {
            Ok(()) => prop_assert!(out.len() > b"before".len()),
            Err(error) => {
                prop_assert_eq!(out, b"before");
                prop_assert!(error.offset_value().unwrap() <= text.len() as u64);
                prop_assert!(serde_json::from_slice::<Value>(&text).is_err());
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let string = prop_oneof![any::<String>(), "[ ,:{}\\[\\]\"\\\\a]{0,90}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        string.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((string.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_space() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just(" ".to_owned()), "[ \t\n\r]{0,20}"]
}

/// Serialises `value` with the next of `spaces` between any two tokens.
fn spread<'a>(value: &Value, spaces: &mut impl Iterator<Item = &'a String>) -> String {
    let mut space = || spaces.next().cloned().unwrap_or_default();
    let (before, after) = (space(), space());
    let tokens = match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| spread(item, spaces)).collect();
            format!("[{before}{}]", items.join(","))
        }
        Value::Object(members) => {
            let member = |(key, value)| {
                let key = spread(&Value::String(String::clone(key)), spaces);
                format!("{key}:{}", spread(value, spaces))
            };
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{{before}{}}}", members.join(","))
        }
        leaf => leaf.to_string(),
    };
    format!("{before}{tokens}{after}")
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u12", " ", "\n", "1", "-", ".5", "e", "+",
        "true", "nu", "\"a\"", "\"a\":", "{}", "\u{e9}", "\u{feff}", "`",
    ]);
    prop_oneof![
        any::<Vec<u8>>(),
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat().into_bytes()),
        (any_json(), any::<prop::sample::Index>()).prop_map(|(value, cut)| {
            let text = value.to_string().into_bytes();
            text[..cut.index(text.len() + 1)].to_vec()
        }),
        (any_json(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(value, at, byte)| {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            text
        }),
    ]
}

#[test]
fn brackets_that_are_closed_nest_nothing() {
    let closed = "[],{},\"[{\",[{}],".repeat(200);
    let nested = |depth| format!("[{closed}{}{}]", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(too_deep_at(nested(MAX_DEPTH - 1).as_bytes()), None);
    let place = 1 + closed.len() + MAX_DEPTH - 1;
    assert_eq!(too_deep_at(nested(MAX_DEPTH).as_bytes()), Some(place));
}
