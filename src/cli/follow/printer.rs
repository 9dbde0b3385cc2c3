//! How messages are printed, and what is missing between them.

use serde::Serialize;

use crate::api::{Gap, Message};
use crate::cli::args::StreamFormat;
use crate::cli::{Stop, layout, output, pretty};

/// Prints messages in the form that was asked for.
pub(in crate::cli) struct Printer {
    format: StreamFormat,
    has_colour: bool,
    data_only: bool,
}

impl Printer {
    pub(in crate::cli) fn new(format: StreamFormat, data_only: bool) -> Printer {
        Printer {
            format,
            has_colour: output::stdout_has_colour(),
            data_only,
        }
    }

    pub(in crate::cli) fn print(&self, message: &Message) -> Result<(), Stop> {
        output::print(|out| match (self.format, self.data_only) {
            (StreamFormat::Jsonl, false) => {
                message.write_envelope(out);
                out.push(b'\n');
            }
            (StreamFormat::Jsonl, true) => {
                out.extend_from_slice(message.data_json().as_bytes());
                out.push(b'\n');
            }
            // The terminal may have been made narrower meanwhile.
            (StreamFormat::Pretty, false) => {
                pretty::write_message(message, self.has_colour, layout::stdout_width(), out);
            }
            (StreamFormat::Pretty, true) => {
                pretty::write_data(message, self.has_colour, layout::stdout_width(), out);
            }
        })
    }
}

/// Reports what is missing of the pool that was named so, behind all that was printed.
pub(in crate::cli) fn report_gap(pool: &str, gap: Gap) -> Result<(), Stop> {
    output::flush()?;
    let count = gap.last - gap.first + 1;
    let text = match count {
        1 => format!("message {} of {pool} is missing", gap.first),
        _ => format!(
            "{count} messages of {pool} are missing, {} to {}",
            gap.first, gap.last
        ),
    };
    let (first, last) = (gap.first, gap.last);
    let missing = Range { first, last };
    let drop = Drop {
        kind: "drop",
        pool,
        missing,
        count,
    };
    output::notice(text, &Notice { notice: drop });
    Ok(())
}

/// The notice about missing messages.
#[derive(Serialize)]
struct Notice<'a> {
    notice: Drop<'a>,
}

#[derive(Serialize)]
struct Drop<'a> {
    kind: &'static str,
    pool: &'a str,
    missing: Range,
    count: u64,
}

#[derive(Serialize)]
struct Range {
    first: u64,
    last: u64,
}
