//! JSON for the page: wrapped, escaped, and cut.

use std::io::{self, Write};

use maud::{Markup, PreEscaped, html};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// How many bytes of a value are kept at most.
pub(super) const MOST: usize = 2048;

/// What stands on one line without being tucked away.
const SHORT: usize = 400;

/// A value as text: its beginning, and how long all of it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    text: String,
    size: usize,
}

impl Shown {
    pub(super) fn of(value: &Value) -> Shown {
        let mut beginning = Beginning::default();
        let written = value.serialize(&mut Serializer::with_formatter(
            &mut beginning,
            Spaced::default(),
        ));
        written.expect("a value of JSON can be written");
        let mut text = String::from_utf8_lossy(&beginning.kept).into_owned();
        text.truncate(cut(&text, MOST));
        Shown {
            text,
            size: beginning.size,
        }
    }

    pub(super) fn is_short(&self) -> bool {
        self.size <= SHORT
    }

    pub(super) fn size(&self) -> String {
        size(self.size)
    }

    /// At most `limit` bytes of it, and a note if that is not all.
    pub(super) fn render(&self, limit: usize) -> Markup {
        let end = cut(&self.text, limit);
        html! {
            pre { code { (escaped(&self.text[..end])) @if self.size > end { "…" } } }
            @if self.size > end {
                p.cut { "Cut after " (size(end)) " of " (self.size()) ". More of it is in " code { "report.json" } "." }
            }
        }
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

/// The end of the last whole character within `limit` bytes.
fn cut(text: &str, limit: usize) -> usize {
    text.floor_char_boundary(limit)
}

/// Text between tags. Unlike what `maud` does it leaves quotation marks alone, of which JSON is full.
fn escaped(text: &str) -> PreEscaped<String> {
    PreEscaped(
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;"),
    )
}

/// Keeps the beginning of what is written, and counts the rest.
#[derive(Default)]
struct Beginning {
    kept: Vec<u8>,
    size: usize,
}

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Some more than is shown, so that no character is cut in two before the end.
        let room = (MOST + 4).saturating_sub(self.kept.len());
        self.kept.extend(bytes.iter().take(room));
        self.size += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON with spaces where a line may break, and each object of an array on a line of its own.
#[derive(Default)]
struct Spaced {
    in_array: bool,
}

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.in_array = true;
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if std::mem::take(&mut self.in_array) {
            b"\n  {"
        } else {
            b"{"
        })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.in_array = false;
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_cannot_write_html() {
        let value = json!({"data": "</script><b>&\"x\""});
        assert_eq!(
            Shown::of(&value).render(MOST).into_string(),
            r#"<pre><code>{"data": "&lt;/script&gt;&lt;b&gt;&amp;\"x\""}</code></pre>"#
        );
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_says_so() {
        let shown = Shown::of(&"é".repeat(5000).into());
        assert_eq!(shown.size, 10_002);
        assert!(shown.text.len() <= MOST && shown.text.ends_with('é'));
        let html = shown.render(100).into_string();
        assert!(
            html.contains("é…</code>") && html.contains("of 9.8 KB"),
            "{html}"
        );
        assert!(
            !Shown::of(&json!([1]))
                .render(MOST)
                .into_string()
                .contains("Cut")
        );
    }

    #[test]
    fn each_object_of_an_array_has_its_line() {
        assert_eq!(
            Shown::of(&json!({"a": [{"b": 1}, {"b": [2, 3]}]})).text,
            "{\"a\": [\n  {\"b\": 1}, \n  {\"b\": [2, 3]}]}"
        );
    }
}
