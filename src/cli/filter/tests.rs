//! Guards against filters that see too much, do not come back, or end a command for what somebody else wrote.

use super::*;

const MESSAGE: &str = r#"{"seq":7,"time":"2026-11-24T00:27:44.105076723Z","meta":{"tags":["a"]},"data":{"n":1,"big":123456789012345678901234567890,"list":[1,2,3]}}"#;

fn passes(text: &str) -> Result<bool> {
    passes_for(text, MESSAGE)
}

fn passes_for(text: &str, message: &str) -> Result<bool> {
    let (text, message) = ([text.to_owned()], message.as_bytes().to_vec());
    on_filter_thread(move || {
        Filters::compile(&text)?.pass(7, |out| out.extend_from_slice(&message))
    })
}

fn error_of(text: &str) -> Error {
    passes(text).expect_err(text)
}

#[test]
fn a_filter_sees_the_whole_message() {
    for text in [
        ".seq == 7",
        ".meta.tags == [\"a\"]",
        ".data.n == 1",
        ".time > \"2026\"",
        ".data.list | length == 3",
    ] {
        assert!(passes(text).expect(text), "{text}");
    }
}

#[test]
fn one_value_other_than_false_and_null_is_enough() {
    let yields = [
        "1",
        "0",
        "\"\"",
        "[]",
        "false, null, 1",
        ".data.list[] > 2",
        "first(repeat(1))",
    ];
    assert!(yields.iter().all(|text| passes(text).expect(text)));
    let none = [
        "false",
        "null",
        "empty",
        ".data.nothing",
        "false, null",
        ".data.list[] > 3",
    ];
    assert!(!none.iter().any(|text| passes(text).expect(text)));
}

#[test]
fn all_filters_have_to_agree() {
    let agree = |texts: [&str; 2]| {
        let texts = texts.map(str::to_owned);
        Filters::compile(&texts)?.pass(7, |out| out.extend_from_slice(MESSAGE.as_bytes()))
    };
    assert!(agree(["true", ".data.n == 1"]).expect("both are fine"));
    assert!(!agree(["true", ".data.n == 2"]).expect("both are fine"));
}

#[test]
fn large_numbers_are_compared_exactly() {
    assert!(passes(".data.big == 123456789012345678901234567890").expect("valid"));
    assert!(!passes(".data.big == 123456789012345678901234567891").expect("valid"));
    let digits = "7".repeat(400);
    let message = format!(r#"{{"data":{digits}}}"#);
    assert!(passes_for(&format!(".data == {digits}"), &message).expect("valid"));
    assert!(passes_for(".data > 1e300", r#"{"data":1e999}"#).expect("valid"));
}

#[test]
fn a_surrogate_without_partner_is_the_replacement_character() {
    for (escaped, seen) in [
        (r"\ud800", "\u{fffd}"),
        (r"\uDFFF!", "\u{fffd}!"),
        (r"\ud800\ud83d\ude00\udc00", "\u{fffd}\u{1f600}\u{fffd}"),
        (r"\\ud800 \u0041\n", "\\ud800 A\n"),
    ] {
        let message = format!(r#"{{"data":{{"{escaped}":"{escaped}"}}}}"#);
        let filter = format!(".data == {{{seen:?}: {seen:?}}}");
        assert!(passes_for(&filter, &message).expect("valid"), "{escaped}");
    }
}

proptest::proptest! {
    #[test]
    fn what_the_core_retains_a_filter_can_be_given(
        scalars in proptest::collection::vec(proptest::sample::select(SCALARS.to_vec()), 0..12),
        depth in 1..90_usize,
    ) {
        let members: Vec<_> = scalars.iter().map(|scalar| format!("\"k\":{scalar},\"\\udabc\":[{scalar}]")).collect();
        let text = format!("{}{{{}}}{}", "[".repeat(depth), members.join(","), "]".repeat(depth));
        let mut data = Vec::new();
        proptest::prop_assert!(crate::core::json::compact_into(text.as_bytes(), &mut data).is_ok(), "{text}");
        let mut filters = Filters { filters: vec![], envelope: vec![] };
        proptest::prop_assert!(filters.read(7, |out| out.extend_from_slice(&data)).is_ok(), "{text}");
    }
}

const SCALARS: [&str; 16] = [
    r#""""#,
    r#""\ud800""#,
    r#""\udc00\ud83d""#,
    r#""\u0000\\\"\/""#,
    "\"\u{fffe}\u{10ffff}\u{7f}\"",
    "0",
    "-0",
    "-0.0",
    "1e999999999999999999999",
    "-1E-400",
    "12345678901234567890.5",
    "1e+5",
    "true",
    "null",
    "{}",
    "[[]]",
];

#[test]
fn what_no_filter_can_be_given_is_passed_over() {
    assert!(!passes_for("true", "{\"data\":").expect("the command goes on"));
}

#[test]
fn what_reaches_beyond_the_message_is_not_defined() {
    let beyond = [
        "env",
        "$ENV",
        "env.HOME",
        "$ENV.HOME",
        "halt",
        "halt_error",
        "halt(3)",
        "halt_error(3)",
        "input",
        "inputs",
        "debug",
        "debug(1)",
        "stderr",
        "input_filename",
        "$__loc__",
        "$__prog_args",
        "getpath([\"a\"]) | input_line_number",
        "import \"a\" as a; 1",
        "include \"a\"; 1",
        "env_empty",
        "debug_empty",
        "stderr_empty",
        "!guard",
    ];
    for text in beyond {
        assert_eq!(error_of(text).kind(), ErrorKind::Usage, "{text}");
    }
}

#[test]
fn an_error_names_the_place() {
    let place = |text| {
        let error = error_of(text);
        (error.message().to_owned(), error.offset_value())
    };
    assert_eq!(
        place(".data.n |"),
        (
            "the filter '.data.n |' is not valid jq: term is missing at the end, at character 10"
                .to_owned(),
            Some(9)
        )
    );
    assert_eq!(
        place(".a == nix(1)"),
        (
            "the filter '.a == nix(1)' is not valid jq: there is no filter 'nix/1', at character 7"
                .to_owned(),
            Some(6)
        )
    );
    assert_eq!(
        place("\"ü\" | $x"),
        (
            "the filter '\"ü\" | $x' is not valid jq: there is no variable '$x', at character 7"
                .to_owned(),
            Some(7)
        )
    );
    for text in [
        "",
        " ",
        "(",
        ".a[",
        "\"x",
        "if",
        ".a ==",
        "| .",
        ".a b",
        "{",
        "}",
        "\"\\q\"",
        "1 as x | 2",
        "reduce",
        "§",
    ] {
        let error = error_of(text);
        assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        assert!(
            error
                .offset_value()
                .is_some_and(|offset| offset <= text.len() as u64),
            "{text}"
        );
        assert!(error.hint_text().is_some(), "{text}");
    }
}

#[test]
fn a_failure_names_the_message() {
    for text in [
        ".data.n | keys",
        "error",
        "error(\"x\")",
        ".data + 1",
        ".data.n.x",
        "1 / 0 | error",
        "break $x",
    ] {
        if let Err(error) = passes(text) {
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        }
    }
    let error = error_of(".data.n | keys");
    assert_eq!(error.seq_value(), Some(7));
    assert!(
        error.message().contains("cannot use 1 as iterable"),
        "{error}"
    );
}

#[test]
fn recursion_without_end_is_a_failure_that_nothing_catches() {
    let endless = [
        "def f: 1 + f; f",
        "def f: [f]; f",
        "def f: try f catch 1; f",
        "def f: (f | .) // 1; f",
        "def f: f as $x | $x; f",
        "path(def f: (f | .); f)",
        "{a: 1} | .a |= (def f: 1 + f; f)",
        "[.data | (def f: {a: f}; f)]",
        "\"\\(def f: 1 + f; f)\"",
        "if (def f: 1 + f; f) then 1 else 2 end",
        "reduce 1 as $x (0; def f: 1 + f; f)",
        ".[(def f: 1 + f; f)]",
        "def f: def g: 1 + f; g; f",
    ];
    for text in endless {
        let error = error_of(text);
        assert!(
            error.message().ends_with("recurses too deep"),
            "{text}: {error}"
        );
    }
}

#[test]
fn recursion_with_an_end_is_fine() {
    assert!(passes("def f(n): if n == 0 then true else f(n - 1) end; f(100)").expect("ends"));
    assert!(
        passes("def sum: if . == 0 then 0 else . + (. - 1 | sum) end; 5000 | sum == 12502500")
            .expect("ends")
    );
    assert!(passes("last(range(100000)) == 99999").expect("ends"));
    assert!(passes("[limit(5; repeat(1))] | length == 5").expect("ends"));
}

#[test]
fn definitions_keep_their_paths() {
    assert!(passes("def p: .data.n; (p |= 5) | .data.n == 5").expect("valid"));
    assert!(passes("def p: .data.n; [path(p)] == [[\"data\", \"n\"]]").expect("valid"));
}

#[test]
fn deeply_nested_filters_compile_or_are_refused() {
    for unit in [
        "[",
        "(",
        "-",
        "{a:",
        "try ",
        "if ",
        ". as $x | ",
        "def f: ",
        "[1,",
        ".a | ",
    ] {
        let text = unit.repeat(MAX_FILTER_BYTES / unit.len());
        assert_eq!(error_of(&text).kind(), ErrorKind::Usage);
    }
    let balanced = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(passes(&balanced).expect("valid"));
    let negated = format!("{}1", "-".repeat(60_000));
    assert!(passes(&negated).expect("valid"));
    let long = " ".repeat(MAX_FILTER_BYTES + 1);
    assert_eq!(error_of(&long).kind(), ErrorKind::Usage);
}

#[test]
fn values_nested_very_deep_do_no_harm() {
    assert!(passes("reduce range(200000) as $i (0; [.]) | length == 1").expect("valid"));
}

#[test]
fn asking_for_too_much_is_a_failure() {
    let error = error_of("\"abc\" * 9223372036854775807 | length > 1");
    assert_eq!(error.kind(), ErrorKind::Usage);
}
