//! Messages as people read them.
//!
//! The JSON text of a message is laid out, never parsed into values, so numbers, key order and duplicate keys are
//! shown as they are stored.

use std::io::Write;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::output::{style, visible};
use crate::api::Message;

/// Data up to this many bytes stays on the line of its message.
const SHORT: usize = 60;
/// What stands between the parts of a line, and before a part that went to the next.
const GAP: &str = "  ";

/// One message: number, time and tags, then the data, on the same line when it is short and fits. `width` is that of the
/// terminal, where there is one.
pub(super) fn write_message(
    message: &Message,
    has_colour: bool,
    width: Option<usize>,
    out: &mut Vec<u8>,
) {
    let mut pen = Pen { has_colour, out };
    let width = width.unwrap_or(usize::MAX);
    let (seq, time) = (
        message.seq().to_string(),
        to_milliseconds(&message.time().to_string()),
    );
    let mut column = seq.len() + GAP.len() + time.len();
    pen.styled(style::HEADING, &seq);
    pen.plain(GAP);
    pen.styled(style::DIM, &time);
    for tag in message.tags() {
        let tag = format!("#{}", visible(&tag));
        column = pen.gap_before(tag.width(), column, width);
        pen.styled(style::TAG, &tag);
    }
    let data = message.data_json();
    match one_line_width(data) {
        Some(wide) if GAP.len() + wide <= width => {
            pen.gap_before(wide, column, width);
            write_json(data, &mut pen, None);
        }
        _ => {
            pen.plain("\n");
            write_json(data, &mut pen, Some(1));
        }
    }
    pen.plain("\n");
}

/// The data of one message alone.
pub(super) fn write_data(
    message: &Message,
    has_colour: bool,
    width: Option<usize>,
    out: &mut Vec<u8>,
) {
    let mut pen = Pen { has_colour, out };
    let data = message.data_json();
    let fits = |wide: usize| width.is_none_or(|width| wide <= width);
    let is_one_line = one_line_width(data).is_some_and(fits);
    write_json(data, &mut pen, (!is_one_line).then_some(0));
    pen.plain("\n");
}

/// The columns that data takes which is short enough for one line.
fn one_line_width(data: &str) -> Option<usize> {
    if data.len() > SHORT {
        return None;
    }
    let mut line = Vec::with_capacity(2 * SHORT);
    let mut pen = Pen {
        has_colour: false,
        out: &mut line,
    };
    write_json(data, &mut pen, None);
    Some(String::from_utf8_lossy(&line).width())
}

/// Cuts the nanoseconds from RFC 3339 as we print it.
fn to_milliseconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, fraction)) if fraction.len() > 3 => format!("{seconds}.{}Z", &fraction[..3]),
        _ => time.to_owned(),
    }
}

/// Lays out compact JSON: over several lines, indented by `depth` and more, or on one line if that is `None`.
fn write_json(json: &str, pen: &mut Pen<'_>, depth: Option<usize>) {
    let mut layout = Layout {
        depth: depth.unwrap_or(0),
        is_one_line: depth.is_none(),
        pen,
    };
    layout.indent();
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        let length = token_length(rest, first);
        let (token, after) = rest.split_at(length);
        layout.token(token, after);
        rest = after;
    }
}

/// The length of the token that `text` begins with: a string, a mark, or a number or word.
fn token_length(text: &str, first: u8) -> usize {
    match first {
        b'"' => string_length(text.as_bytes()),
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        _ => text
            .find(['{', '}', '[', ']', ',', ':', '"'])
            .unwrap_or(text.len()),
    }
}

fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

struct Layout<'p, 'o> {
    depth: usize,
    is_one_line: bool,
    pen: &'p mut Pen<'o>,
}

impl Layout<'_, '_> {
    fn token(&mut self, token: &str, after: &str) {
        match token {
            "{" | "[" if after.starts_with(['}', ']']) => self.pen.plain(token),
            "{" | "[" => {
                self.pen.plain(token);
                self.depth += 1;
                self.break_line();
            }
            "}" | "]" => self.close(token),
            "," => {
                self.pen.plain(",");
                if self.is_one_line {
                    self.pen.plain(" ");
                }
                self.break_line();
            }
            ":" => self.pen.plain(": "),
            _ if !token.starts_with('"') => self.pen.styled(style::SCALAR, token),
            _ if after.starts_with(':') => self.pen.styled(style::KEY, &escape(token)),
            _ => self.pen.styled(style::STRING, &escape(token)),
        }
    }

    fn close(&mut self, token: &str) {
        if !self.pen.out.ends_with(b"{") && !self.pen.out.ends_with(b"[") {
            self.depth = self.depth.saturating_sub(1);
            self.break_line();
        }
        self.pen.plain(token);
    }

    fn break_line(&mut self) {
        if !self.is_one_line {
            self.pen.plain("\n");
            self.indent();
        }
    }

    fn indent(&mut self) {
        if !self.is_one_line {
            for _ in 0..self.depth {
                self.pen.plain("  ");
            }
        }
    }
}

/// Spells out the characters that JSON lets stand in a string and that steer a terminal.
fn escape(string: &str) -> String {
    if string.contains(super::output::steers_terminal) {
        visible(string)
    } else {
        string.to_owned()
    }
}

/// Where text goes, and whether its styles go with it.
struct Pen<'o> {
    has_colour: bool,
    out: &'o mut Vec<u8>,
}

impl Pen<'_> {
    /// Makes room for a part that is so `wide`, on this line or else on the next, and tells the column behind it.
    fn gap_before(&mut self, wide: usize, column: usize, width: usize) -> usize {
        if column + GAP.len() + wide <= width {
            self.plain(GAP);
            return column + GAP.len() + wide;
        }
        self.plain("\n");
        self.plain(GAP);
        GAP.len() + wide
    }

    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn styled(&mut self, style: Style, text: &str) {
        if self.has_colour {
            // Writing to a vector cannot fail.
            write!(self.out, "{style}{text}{style:#}").ok();
        } else {
            self.plain(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(json: &str, depth: Option<usize>) -> String {
        let mut out = Vec::new();
        write_json(
            json,
            &mut Pen {
                has_colour: false,
                out: &mut out,
            },
            depth,
        );
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn one_line_gets_room_after_its_marks() {
        assert_eq!(
            show(r#"{"a":[1,2.50,{}],"b":"x,\":y"}"#, None),
            r#"{"a": [1, 2.50, {}], "b": "x,\":y"}"#
        );
    }

    #[test]
    fn several_lines_are_indented() {
        let shown = show(r#"{"a":[1,[]],"b":{"c":null}}"#, Some(1));
        let lines = [
            "  {",
            "    \"a\": [",
            "      1,",
            "      []",
            "    ],",
            "    \"b\": {",
            "      \"c\": null",
            "    }",
            "  }",
        ];
        assert_eq!(shown, lines.join("\n"));
    }

    #[test]
    fn a_string_cannot_steer_the_terminal() {
        assert_eq!(show("\"a\u{9b}2J\u{7f}\"", None), r#""a\u009b2J\u007f""#);
        let bidi = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        let shown = show(&format!("{{\"k{bidi}\":\"v{bidi}\"}}"), None);
        assert!(
            shown.contains(r"\u202e") && shown.contains(r"\u2069"),
            "{shown}"
        );
        assert!(shown.is_ascii(), "{shown}");
        let harmless = "\"é 漢字 \u{200d}👩\u{200d}👩\"";
        assert_eq!(show(harmless, None), harmless);
    }

    #[test]
    fn colours_surround_tokens_and_nothing_else() {
        let mut out = Vec::new();
        write_json(
            r#"{"a":1}"#,
            &mut Pen {
                has_colour: true,
                out: &mut out,
            },
            None,
        );
        let coloured = String::from_utf8_lossy(&out).into_owned();
        assert!(coloured.contains("\x1b["));
        assert_eq!(
            anstream::adapter::strip_str(&coloured).to_string(),
            r#"{"a": 1}"#
        );
    }
}
