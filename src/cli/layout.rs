//! Text for people that fits its terminal.
//!
//! Where a terminal is too narrow, tables become blocks and lines are broken between words. What cannot be broken, a path
//! or a command between backticks, is left whole for the terminal to wrap, so that it can still be copied.
//!
//! A width is `None` where there is no terminal, or one that does not say how wide it is: nothing is broken then.

use std::io;

use terminal_size::{Width, terminal_size_of};
use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthStr;

use super::output::{self, style};

/// How far a line is indented that goes on with the one above.
const HANG: usize = 4;

/// The columns of the terminal that standard output is.
pub(super) fn stdout_width() -> Option<usize> {
    match output::stdout_is_terminal() {
        true => width_of(terminal_size_of(io::stdout())),
        false => None,
    }
}

/// The columns of the terminal that standard error is.
pub(super) fn stderr_width() -> Option<usize> {
    width_of(terminal_size_of(io::stderr()))
}

/// A terminal that was never told its size says 0; the shell may know better.
fn width_of(size: Option<(Width, terminal_size::Height)>) -> Option<usize> {
    let told = size.map(|(Width(columns), _)| usize::from(columns));
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    told.filter(|&columns| columns > 0)
        .or_else(columns)
        .filter(|&columns| columns > 0)
}

/// Breaks a line, which may hold styles, into lines that fit.
pub(super) fn wrap(line: &str, width: Option<usize>) -> String {
    wrap_behind(line, width, HANG)
}

/// A table, its columns as wide as their widest cell is on a terminal; a block for each row where that is too wide.
pub(super) fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.max().unwrap_or(0).max(heading[column].width())
    };
    let widths: [usize; N] = std::array::from_fn(widest);
    let total = widths.iter().sum::<usize>() + 2 * (N - 1);
    if width.is_some_and(|width| total > width) {
        return blocks(heading, rows, width);
    }
    let bold = style::HEADING;
    let heading = heading.map(str::to_owned);
    let mut text = format!("{bold}{}{bold:#}\n", columns(&heading, widths));
    for row in rows {
        text += &format!("{}\n", columns(row, widths));
    }
    text
}

fn columns<const N: usize>(row: &[String; N], widths: [usize; N]) -> String {
    let cells = row.iter().zip(widths);
    let cells: Vec<_> = cells
        .map(|(cell, width)| cell.clone() + &" ".repeat(width - cell.width()))
        .collect();
    cells.join("  ").trim_end().to_owned()
}

fn blocks<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let names = heading.map(str::to_lowercase);
    let block = |row: &[String; N]| {
        let cells = names.iter().zip(row).skip(1);
        let cells: Vec<_> = cells
            .map(|(name, cell)| (name.as_str(), cell.clone()))
            .collect();
        facts(&row[0], &cells, width)
    };
    rows.iter().map(block).collect()
}

/// What is known of one thing: its name, and below it names and values in two columns.
pub(super) fn facts(title: &str, facts: &[(&str, String)], width: Option<usize>) -> String {
    let widest = facts.iter().map(|(name, _)| name.width()).max();
    let widest = widest.unwrap_or(0);
    let (bold, dim) = (style::HEADING, style::DIM);
    let mut text = format!("{bold}{title}{bold:#}\n");
    for (name, value) in facts {
        let gap = " ".repeat(widest - name.width());
        let hang = 2 + widest + 2;
        let is_cramped = |width: usize| longest_word(value) > width.saturating_sub(hang);
        text += &match width.is_some_and(is_cramped) {
            false => wrap_behind(&format!("  {dim}{name}{dim:#}{gap}  {value}"), width, hang),
            true => format!(
                "  {dim}{name}{dim:#}\n{}",
                wrap(&format!("    {value}"), width)
            ),
        };
        text.push('\n');
    }
    text
}

fn longest_word(text: &str) -> usize {
    let words = text.split(' ').map(UnicodeWidthStr::width);
    words.max().unwrap_or(0)
}

fn wrap_behind(line: &str, width: Option<usize>, hang: usize) -> String {
    let Some(width) = width else {
        return line.to_owned();
    };
    let hang = " ".repeat(hang);
    let options = Options::new(width)
        .subsequent_indent(&hang)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::fill(line, options)
}

/// What stands between blanks, and what stands between backticks with its blanks.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut rest = line;
    Box::new(std::iter::from_fn(move || {
        let (word, after) = rest.split_at(word_length(rest));
        rest = after;
        (!word.is_empty()).then(|| Word::from(word))
    }))
}

/// The length of the first word of `text` with the blanks around it.
fn word_length(text: &str) -> usize {
    let mut is_quoted = false;
    let mut before = None;
    for (at, c) in text.char_indices().skip_while(|(_, c)| *c == ' ') {
        if before == Some(' ') && c != ' ' && !is_quoted {
            return at;
        }
        is_quoted ^= c == '`';
        before = Some(c);
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn rows<const N: usize, const M: usize>(cells: [[&str; N]; M]) -> Vec<[String; N]> {
        cells.map(|row| row.map(output::visible)).to_vec()
    }

    #[test]
    fn columns_line_up() {
        let rows = rows([["a", "100", ""], ["longer", "1", "y"]]);
        let text = plain(&table(["NAME", "N", "X"], &rows, None));
        assert_eq!(text, "NAME    N    X\na       100\nlonger  1    y\n");
        assert_eq!(plain(&table(["NAME", "N", "X"], &rows, Some(14))), text);
    }

    #[test]
    fn columns_line_up_behind_wide_and_hidden_characters() {
        let rows = rows([
            ["漢字かなの", "1"],
            ["🦀", "2"],
            ["e\u{301}te\u{301}", "3"],
            ["a\u{202e}b", "4"],
        ]);
        let lines = [
            "NAME        N",
            "漢字かなの  1",
            "🦀          2",
            "e\u{301}te\u{301}         3",
            "a\\u202eb    4",
        ];
        let text = plain(&table(["NAME", "N"], &rows, Some(13)));
        assert_eq!(text, lines.join("\n") + "\n");
    }

    #[test]
    fn a_table_that_is_too_wide_becomes_blocks() {
        let rows = rows([["a", "100", ""], ["漢字", "1", "y"]]);
        let text = plain(&table(["NAME", "N", "MORE"], &rows, Some(12)));
        let lines = [
            "a",
            "  n     100",
            "  more",
            "漢字",
            "  n     1",
            "  more  y",
        ];
        let text: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(text, lines);
    }

    #[test]
    fn values_stand_behind_their_names_or_below_them() {
        let known = [
            ("size", "one two three four".to_owned()),
            ("path", "/a/path/of/some/length".to_owned()),
        ];
        let lines = [
            "x",
            "  size  one two",
            "        three",
            "        four",
            "  path",
            "    /a/path/of/some/length",
        ];
        let text = plain(&facts("x", &known, Some(17)));
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        assert_eq!(plain(&facts("x", &known, None)).lines().count(), 3);
    }

    #[test]
    fn lines_break_between_words_and_never_within_a_command() {
        let line = "  hint: save it with `plasmite follow chat --no-follow`, and look again";
        let lines = [
            "  hint: save it with",
            "    `plasmite follow chat --no-follow`,",
            "    and look again",
        ];
        assert_eq!(wrap(line, Some(30)), lines.join("\n"));
        assert_eq!(wrap(line, None), line);
        assert_eq!(wrap("", Some(30)), "");
    }

    #[test]
    fn styles_take_no_room() {
        let red = style::ERROR;
        let line = format!("{red}corrupt{red:#}  p: 1 issue");
        assert_eq!(wrap(&line, Some(19)), line);
        assert_eq!(plain(&wrap(&line, Some(18))), "corrupt  p: 1\n    issue");
    }
}
