//! Which records there are in which stream.

use super::NO_LIMIT;
use crate::cli::ingest::Format;

/// `(format, limit, input, records)`; a record is its line, what the core says to it, and its text, or `error`
/// and how the message begins.
pub(super) type Row = (Format, usize, &'static str, &'static [&'static str]);

pub(super) const TABLE: &[Row] = {
    use Format::{Auto, Json, Jsonl, Seq};
    &[
        // Nothing at all.
        (Auto, NO_LIMIT, "", &[]),
        // IN-8: any of the first 8 lines may show that values span lines.
        (
            Auto,
            NO_LIMIT,
            "1\n{}\n{\n\"a\":1}\n[\n2]\n",
            &[
                "1 good 1",
                "2 good {}",
                "3 good {\n\"a\":1}",
                "5 good [\n2]",
            ],
        ),
        (
            Auto,
            NO_LIMIT,
            "1\n1\n1\n1\n1\n1\n1\n{\n}\n",
            &[
                "1 good 1",
                "2 good 1",
                "3 good 1",
                "4 good 1",
                "5 good 1",
                "6 good 1",
                "7 good 1",
                "8 good {\n}",
            ],
        ),
        (
            Auto,
            NO_LIMIT,
            "1\n1\n1\n1\n1\n1\n1\n1\n{\n}\n",
            &[
                "1 good 1", "2 good 1", "3 good 1", "4 good 1", "5 good 1", "6 good 1", "7 good 1",
                "8 good 1", "9 bad {", "10 bad }",
            ],
        ),
        (Auto, NO_LIMIT, " \r\n\n\t", &[]),
        (Json, NO_LIMIT, " \n ", &[]),
        (Jsonl, NO_LIMIT, "\n\n", &[]),
        (Seq, NO_LIMIT, "\u{1e}\u{1e}\n", &[]),
        (Auto, NO_LIMIT, "\u{feff}", &[]),
        (Auto, NO_LIMIT, "\u{feff}{}\n", &["1 good {}"]),
        // JSON Lines.
        (
            Auto,
            NO_LIMIT,
            "{\"a\":1}\n{\"b\":2}\n",
            &["1 good {\"a\":1}", "2 good {\"b\":2}"],
        ),
        (
            Auto,
            NO_LIMIT,
            "\r\n \n  {\"a\": 1} \r\n\r\n2",
            &["3 good {\"a\": 1}", "5 good 2"],
        ),
        (
            Auto,
            NO_LIMIT,
            "{\"a\":1}{\"b\":2} [3]\n4\n",
            &[
                "1 good {\"a\":1}",
                "1 good {\"b\":2}",
                "1 good [3]",
                "2 good 4",
            ],
        ),
        (
            Auto,
            NO_LIMIT,
            "1 2 3\n\"x\"\"y\" null\n",
            &[
                "1 good 1",
                "1 good 2",
                "1 good 3",
                "2 good \"x\"",
                "2 good \"y\"",
                "2 good null",
            ],
        ),
        (
            Jsonl,
            NO_LIMIT,
            "{\"a\":1}{\"b\":2}\n1\n",
            &["1 bad {\"a\":1}{\"b\":2}", "2 good 1"],
        ),
        (
            Auto,
            NO_LIMIT,
            "hello world\n1\n",
            &["1 bad hello world", "2 good 1"],
        ),
        (
            Auto,
            NO_LIMIT,
            "1\n2 x 3\n{\"a\":\n4}\n5",
            &["1 good 1", "2 bad 2 x 3", "3 good {\"a\":\n4}", "5 good 5"],
        ),
        (
            Auto,
            NO_LIMIT,
            "{}\n{\"a\":[1,\"b",
            &["1 good {}", "2 bad {\"a\":[1,\"b"],
        ),
        (
            Auto,
            NO_LIMIT,
            "{\"a\":\"}{\"} {\"b\":\"] [\"}\n[\"] [\"]",
            &[
                "1 good {\"a\":\"}{\"}",
                "1 good {\"b\":\"] [\"}",
                "2 good [\"] [\"]",
            ],
        ),
        (
            Auto,
            NO_LIMIT,
            "{\"a\":\"cut\n{\"b\":1}\n",
            &["1 bad {\"a\":\"cut", "2 good {\"b\":1}"],
        ),
        (Jsonl, NO_LIMIT, "{\n}\n", &["1 bad {", "2 bad }"]),
        // Several lines a value.
        (
            Auto,
            NO_LIMIT,
            "{\n  \"a\": [\n1, 2\n]\n}\n{}{}",
            &["1 good {\n  \"a\": [\n1, 2\n]\n}", "6 good {}", "6 good {}"],
        ),
        (
            Auto,
            NO_LIMIT,
            "{\"a\":1}{\"b\":\n2}3\n",
            &["1 good {\"a\":1}", "1 good {\"b\":\n2}", "2 good 3"],
        ),
        (
            Auto,
            NO_LIMIT,
            "{\"a\":1}{\"b\":",
            &["1 good {\"a\":1}", "1 bad {\"b\":"],
        ),
        (
            Json,
            NO_LIMIT,
            "1 2.5e3\n-0 true\"a\\\"b\"\"\\\\\"null",
            &[
                "1 good 1",
                "1 good 2.5e3",
                "2 good -0",
                "2 good true",
                "2 good \"a\\\"b\"",
                "2 good \"\\\\\"",
                "2 good null",
            ],
        ),
        (Json, NO_LIMIT, "[\n1,\n", &["1 bad [\n1,"]),
        (Json, NO_LIMIT, "tru", &["1 bad tru"]),
        // Resuming after what is bad.
        (
            Json,
            NO_LIMIT,
            "foo bar {}\n2\n, {}\n3",
            &["1 bad foo bar {}", "2 good 2", "3 bad , {}", "4 good 3"],
        ),
        (
            Json,
            NO_LIMIT,
            "{\"a\":1,\"b\":\n{\"c\":2}\n{\"d\":3}\n",
            &["1 bad {\"a\":1,\"b\":\n{\"c\":2}", "3 good {\"d\":3}"],
        ),
        (
            Json,
            NO_LIMIT,
            "{\"a\":1]\n \"b\"\n  {\"c\":2}\n[4]\n",
            &["1 bad {\"a\":1]\n \"b\"\n  {\"c\":2}", "4 good [4]"],
        ),
        (
            Json,
            NO_LIMIT,
            "{ \"a\": \"cut\n\n{}\n",
            &["1 bad { \"a\": \"cut", "3 good {}"],
        ),
        (
            Json,
            NO_LIMIT,
            "[nul]\nnull\n{}",
            &["1 bad [nul]\nnull", "3 good {}"],
        ),
        (
            Json,
            NO_LIMIT,
            "\"cut\n{}\n]\n1",
            &["1 bad \"cut", "2 good {}", "3 bad ]", "4 good 1"],
        ),
        (
            Json,
            NO_LIMIT,
            "\"cut\\\n{}",
            &["1 bad \"cut\\", "2 good {}"],
        ),
        // Sequences.
        (
            Auto,
            NO_LIMIT,
            "\u{1e}{\"a\":1}\n\u{1e}[\n2]\n\u{1e}3\n",
            &["1 good {\"a\":1}", "2 good [\n2]", "4 good 3"],
        ),
        (
            Seq,
            NO_LIMIT,
            "\u{1e}{}\u{1e}\"a\"\u{1e}\u{1e} 4 \u{1e}5",
            &[
                "1 good {}",
                "1 good \"a\"",
                "1 good 4",
                "1 error the number or name may",
            ],
        ),
        (
            Seq,
            NO_LIMIT,
            "\u{1e}12\u{1e}{\"a\":\u{1e}\"b\u{1e}{}\n",
            &[
                "1 error the number or name may",
                "1 bad {\"a\":",
                "1 bad \"b",
                "1 good {}",
            ],
        ),
        (
            Seq,
            NO_LIMIT,
            "{}\n\u{1e}{}\n{}\n\u{1e}1 2\n\u{1e}{}x\n",
            &[
                "1 error the text has no",
                "2 good {}",
                "3 error the text has no",
                "4 bad 1 2",
                "5 bad {}x",
            ],
        ),
        (
            Seq,
            NO_LIMIT,
            "\u{1e}]\n{}\n\u{1e}{}",
            &["1 bad ]\n{}", "3 good {}"],
        ),
        // Server-sent events.
        (
            Auto,
            NO_LIMIT,
            "data: {\"a\":1}\n\nevent: x\r\ndata:{\"b\":\r\ndata:2}\r\n\r\n: note\n\n",
            &["1 good {\"a\":1}", "4 good {\"b\":\n2}"],
        ),
        (
            Auto,
            NO_LIMIT,
            ": hello\nid: 7\ndata\n\ndata: 1\ndatum: 2\nretry: 3\n\n\ndata: 4",
            &["5 good 1", "10 good 4"],
        ),
        (
            Auto,
            NO_LIMIT,
            "event: x\ndata: [DONE\n\ndata: {}\n\n",
            &["2 bad [DONE", "4 good {}"],
        ),
        (Auto, NO_LIMIT, "id: 1\ndata: {\"a\":", &["2 bad {\"a\":"]),
        // The limit.
        (
            Jsonl,
            4,
            "1234\n12345\n1234 \n 1\n",
            &[
                "1 good 1234",
                "2 error the record is longer",
                "3 good 1234",
                "4 good 1",
            ],
        ),
        (
            Jsonl,
            4,
            "1234      \n12345 \n1 2       3\n 1         ",
            &[
                "1 good 1234",
                "2 error the record is longer",
                "3 error the record is longer",
                "4 good 1",
            ],
        ),
        (
            Auto,
            4,
            "1 2         \n1           2\n{}",
            &[
                "1 good 1",
                "1 good 2",
                "2 error the record is longer",
                "3 good {}",
            ],
        ),
        (
            Seq,
            4,
            "\u{1e}        [1]         \n\u{1e}2          x\n\u{1e}3   ",
            &[
                "1 good [1]",
                "2 good 2",
                "2 error the text has no",
                "3 good 3",
            ],
        ),
        (Jsonl, 4, "1234567890", &["1 error the record is longer"]),
        (
            Jsonl,
            4,
            "        1\n          \n2",
            &["1 good 1", "3 good 2"],
        ),
        (
            Json,
            4,
            "1234 12345 [12] [123] \"ab\" \"abc\" 1",
            &[
                "1 good 1234",
                "1 error the record is longer",
                "1 good [12]",
                "1 error the record",
                "1 good \"ab\"",
                "1 error the record",
                "1 good 1",
            ],
        ),
        (
            Json,
            4,
            "[1, 2, 3, ], 4]\n5\n{}\n6",
            &["1 error the record is longer", "3 good {}", "4 good 6"],
        ),
        (
            Json,
            4,
            "[}xxxxxxxxxx\n7\n[1]\n1234",
            &["1 error the record is longer", "3 good [1]", "4 good 1234"],
        ),
        (
            Json,
            4,
            "[xxxxxxx\n{}\n2",
            &["1 error the record is longer", "2 good {}", "3 good 2"],
        ),
        (Json, 4, "12345", &["1 error the record is longer"]),
        (
            Seq,
            4,
            "\u{1e}[12]\n\u{1e}[123]\n\u{1e}12345\n\u{1e}[x]\n\u{1e}[xxxx]\n\u{1e}1\n",
            &[
                "1 good [12]",
                "2 error the record is longer",
                "3 error the record is longer",
                "4 bad [x]",
                "5 error the record",
                "6 good 1",
            ],
        ),
        (
            Auto,
            4,
            "data: 1234\n\ndata: 12345\ndata: 1\n\ndata: 12\ndata: 3\n\ndata: 12\ndata: 34\n\ndata: 123456789\n:\n\n: 1234567890\ndata: 1\n\n",
            &[
                "1 good 1234",
                "3 error the record is longer",
                "6 bad 12\n3",
                "9 error the record is longer",
                "12 error the record is longer",
                "16 good 1",
            ],
        ),
    ]
};
