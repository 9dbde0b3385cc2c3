//! What somebody typed, in a form that can be said back to them.

/// The most characters that are said back.
const MOST: usize = 200;

/// Enough of `text` to recognise it by. What could steer a terminal, or turn the order of what it shows, is escaped.
pub(crate) fn echo(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MOST {
            shown.push_str("...");
            break;
        }
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_shown_is_shown_as_it_is() {
        for text in ["", "it's \"ü\" \\ 日本 😀"] {
            assert_eq!(echo(text), text);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(
            echo("a\u{202e}b\x1b[31m\n\u{9b}"),
            r"a\u{202e}b\u{1b}[31m\n\u{9b}"
        );
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(echo(&"ü".repeat(MOST)), "ü".repeat(MOST));
        assert_eq!(echo(&"ü".repeat(100_000)), "ü".repeat(MOST) + "...");
    }
}
