//! `follow --where`.

use crate::support::{NONE, PLASMITE, Place};

fn numbers(place: &Place, filters: &[&str]) -> Vec<u64> {
    let flags = filters.iter().flat_map(|filter| ["--where", filter]);
    place
        .args(
            &["follow", "p", "--no-follow"]
                .into_iter()
                .chain(flags)
                .collect::<Vec<_>>(),
        )
        .numbers()
}

#[test]
fn filters_are_all_needed_and_see_the_envelope() {
    let place = Place::with_numbers(5);
    assert_eq!(numbers(&place, &[".data.n > 2"]), [3, 4, 5]);
    assert_eq!(numbers(&place, &[".data.n > 2", ".seq < 5"]), [3, 4]);
    assert_eq!(numbers(&place, &["false, null, .data.n == 2"]), [2]);
    assert_eq!(numbers(&place, &["true, true"]), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&place, &["empty"]), NONE);
    assert_eq!(
        place
            .args(&[
                "follow",
                "p",
                "--from",
                "1",
                "--where",
                ".data.n > 3",
                "--one"
            ])
            .numbers(),
        [4]
    );
}

#[test]
fn what_is_printed_is_what_is_stored() {
    let place = Place::new();
    let digits = "7".repeat(400);
    place
        .args(&[
            "feed",
            "p",
            &format!("{{\"b\":{digits},\"a\":1.50,\"a\":2}}"),
            "--create",
            "-q",
        ])
        .ok();
    let out = place
        .args(&[
            "follow",
            "p",
            "--no-follow",
            "--data-only",
            "--where",
            ".data.b > 1",
        ])
        .ok();
    assert_eq!(out, format!("{{\"b\":{digits},\"a\":1.50,\"a\":2}}\n"));
}

#[test]
fn a_surrogate_without_partner_ends_no_follower() {
    let place = Place::with_numbers(1);
    let data = r#"{"\udc00":"\ud83d\ude00\ud800","n":2}"#;
    place.args(&["feed", "p", data, "--tag", "t", "-q"]).ok();
    let all = place
        .args(&["follow", "p", "--no-follow", "--where", "true"])
        .ok();
    assert_eq!(all.lines().count(), 2);
    let filter = ".data[\"\u{fffd}\"] == \"\u{1f600}\u{fffd}\"";
    let shown = place
        .args(&[
            "follow",
            "p",
            "--no-follow",
            "--data-only",
            "--where",
            filter,
        ])
        .ok();
    assert_eq!(
        shown,
        format!("{data}\n"),
        "what is printed is what is stored"
    );
}

#[test]
fn a_filter_that_does_not_compile_is_refused_before_anything_happens() {
    let place = Place::new();
    for filter in [
        ".data.n |",
        "nonsense(1)",
        "$x",
        "env",
        "$ENV.HOME",
        "input",
        "import \"a\" as a; .",
        "(",
        "",
        "debug",
        "halt",
    ] {
        let error = place
            .args(&["follow", "new", "--create", "--where", filter])
            .fails(2, "Usage");
        assert!(error["offset"].is_u64(), "{filter}: {error}");
    }
    assert!(!place.file("new.plasmite").exists());
}

#[test]
fn a_filter_that_fails_names_the_message() {
    let place = Place::with_numbers(3);
    let filter = "if .data.n == 2 then error(\"two\") else true end";
    let run = place.args(&["follow", "p", "--no-follow", "--where", filter]);
    assert_eq!(run.lines().len(), 1);
    let errors = run.errors(2);
    assert_eq!(
        (errors[0]["kind"].as_str(), errors[0]["seq"].as_u64()),
        (Some("Usage"), Some(2))
    );
}

#[test]
fn a_filter_is_not_run_on_what_lacks_the_tag() {
    let place = Place::with_numbers(3);
    place.run("feed p {\"n\":4} --tag t -q").ok();
    let filter = "if .data.n < 4 then error else true end";
    assert_eq!(
        place
            .args(&[
                "follow",
                "p",
                "--no-follow",
                "--tag",
                "t",
                "--where",
                filter
            ])
            .numbers(),
        [4]
    );
}

#[test]
fn recursion_without_end_is_an_error() {
    let place = Place::with_numbers(1);
    let error = place
        .args(&["follow", "p", "--no-follow", "--where", "def f: 1 + f; f"])
        .fails(2, "Usage");
    assert_eq!(error["seq"], 1);
}

#[test]
fn memory_without_end_is_an_error() {
    let place = Place::with_numbers(1);
    let error = place
        .args(&["follow", "p", "--no-follow", "--where", "[range(infinite)]"])
        .fails(2, "Usage");
    assert_eq!(error["seq"], 1);
}

#[test]
fn what_overflows_the_stack_all_the_same_is_no_crash() {
    let place = Place::with_numbers(1);
    for filter in [
        "reduce range(5000000) as $i (0; [.]) | . == 0",
        "\"abc\" * 1000000000000000 | length",
    ] {
        let run = place.args(&["follow", "p", "--no-follow", "--where", filter]);
        assert!(matches!(run.code, Some(0 | 2)), "{run:?}");
    }
}

#[test]
fn a_timeout_ends_a_filter_without_end() {
    let place = Place::with_numbers(3);
    let filter = "if .data.n == 3 then last(repeat(1)) else true end";
    let run = place.args(&[
        "follow",
        "p",
        "--no-follow",
        "--timeout",
        "300ms",
        "--where",
        filter,
    ]);
    assert_eq!((run.code, run.err.as_str()), (Some(124), ""));
    assert_eq!(run.out.lines().count(), 2, "what passed before is printed");
}

#[test]
fn signals_end_a_filter_without_end() {
    let place = Place::with_numbers(1);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let follow = place.spawn_args(&["follow", "p", "-n", "1", "--where", "last(repeat(1))"]);
        crate::signals::send(signal, &follow.child);
        let run = follow.finish();
        assert_eq!((run.code, run.err.as_str()), (Some(code), ""), "{PLASMITE}");
    }
}
