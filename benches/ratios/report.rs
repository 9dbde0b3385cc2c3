//! The rows: on the terminal as they come, in files at the end.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::page;
use crate::plot::Figure;
use crate::settings::{Result, Settings, report_dir, source_dir};
use crate::timing::Best;

/// What is good enough.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    RatioAtMost(f64),
    RatioAtLeast(f64),
    ValueAtMost(f64),
    ValueAtLeast(f64),
}

/// One figure, its floor if it has one, and what was asked of it.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) floor: Option<f64>,
    pub(crate) ratio: Option<f64>,
    /// One that is kept is enough. None where a figure is only shown.
    pub(crate) bars: Vec<Bar>,
    pub(crate) ok: bool,
    pub(crate) note: Option<String>,
}

impl Row {
    /// A figure beside its floor.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, best: Best) -> Row {
        Row {
            floor: Some(rounded(best.floor)),
            ratio: Some(rounded(best.product / best.floor)),
            ..Row::alone(name, unit, best.product)
        }
    }

    /// A figure without a floor.
    pub(crate) fn alone(name: impl Into<String>, unit: &'static str, value: f64) -> Row {
        Row {
            name: name.into(),
            value: rounded(value),
            unit,
            floor: None,
            ratio: None,
            bars: Vec::new(),
            ok: true,
            note: None,
        }
    }

    /// With one bar more.
    pub(crate) fn bar(mut self, bar: Bar) -> Row {
        self.bars.push(bar);
        self
    }

    /// With a word behind it.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Row {
        self.note = Some(note.into());
        self
    }

    /// The bars as text; `-` if there are none.
    pub(crate) fn bar_text(&self) -> String {
        let texts: Vec<String> = self.bars.iter().map(|bar| bar.text()).collect();
        if texts.is_empty() {
            "-".to_owned()
        } else {
            texts.join(" or ")
        }
    }

    fn is_kept(&self) -> bool {
        self.bars.is_empty() || self.bars.iter().any(|bar| bar.is_kept_by(self))
    }
}

impl Bar {
    fn is_kept_by(self, row: &Row) -> bool {
        match self {
            Bar::RatioAtMost(most) => row.ratio.is_some_and(|ratio| ratio <= most),
            Bar::RatioAtLeast(least) => row.ratio.is_some_and(|ratio| ratio >= least),
            Bar::ValueAtMost(most) => row.value <= most,
            Bar::ValueAtLeast(least) => row.value >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Bar::RatioAtMost(most) => format!("<= {}x", short(most)),
            Bar::RatioAtLeast(least) => format!(">= {}x", short(least)),
            Bar::ValueAtMost(most) => format!("<= {}", short(most)),
            Bar::ValueAtLeast(least) => format!(">= {}", short(least)),
        }
    }
}

/// What was measured, on what.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    pub(crate) machine: Machine,
    pub(crate) command: String,
    /// A glance, good for no conclusion.
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// An empty report; prints the head of the table.
    pub(crate) fn new(settings: &Settings) -> Report {
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::describe(settings.data_dir(), source_dir()),
            command: command(),
            quick: settings.quick,
            rows: Vec::new(),
            figures: Vec::new(),
        };
        println!("{}", report.machine.line());
        println!("each figure is the best of its turns; 1 KB of JSON a message unless said\n");
        println!(
            "{:<48} {:>10} {:>10} {:<13} {:>7}  {:<18}",
            "", "product", "floor", "", "ratio", "bar"
        );
        report
    }

    /// Adds a row, and prints it.
    pub(crate) fn add(&mut self, mut row: Row) {
        row.ok = row.is_kept();
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let line = format!(
            "{:<48} {:>10} {:>10} {:<13} {:>7}  {:<18} {} {}",
            row.name,
            digits(row.value),
            or_dash(row.floor.map(digits)),
            row.unit,
            or_dash(row.ratio.map(|ratio| format!("{ratio:.2}x"))),
            row.bar_text(),
            if row.ok { "" } else { "MISSED" },
            row.note.as_deref().unwrap_or(""),
        );
        println!("{}", line.trim_end());
        self.rows.push(row);
    }

    /// Writes report, plots and page, and says whether the run is good: all bars kept, unless they do not count.
    pub(crate) fn finish(self, settings: &Settings) -> Result<bool> {
        let dir = report_dir();
        fs::create_dir_all(&dir)?;
        let json = dir.join("report.json");
        fs::write(&json, serde_json::to_string_pretty(&self)? + "\n")?;
        let mut written = vec![json, self.publish(&dir)?];
        if settings.docs {
            written.push(self.publish(&source_dir().join("docs"))?);
        }
        println!();
        for path in written {
            println!("written to {}", path.display());
        }
        let missed = self.rows.iter().filter(|row| !row.ok).count();
        if missed > 0 {
            println!("{missed} of {} rows missed their bar", self.rows.len());
        }
        Ok(missed == 0 || settings.no_fail)
    }

    /// Writes the page, and the plots beside it.
    fn publish(&self, dir: &Path) -> Result<std::path::PathBuf> {
        let plots = dir.join(page::PLOTS);
        if plots.exists() {
            fs::remove_dir_all(&plots)?;
        }
        fs::create_dir_all(&plots)?;
        for figure in &self.figures {
            fs::write(plots.join(figure.file_name()), figure.to_svg())?;
        }
        let path = dir.join(page::FILE);
        fs::write(&path, page::render(self, &page::Peers::read(&report_dir())))?;
        Ok(path)
    }
}

/// The command that did this, as one would type it.
fn command() -> String {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if args.is_empty() {
        "make bench".to_owned()
    } else {
        format!("make bench ARGS='{}'", args.join(" "))
    }
}

/// Three decimals: what comes after them is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// For people: as many decimals as say something.
pub(crate) fn digits(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

/// At most one decimal, and none where it is zero.
fn short(value: f64) -> String {
    format!("{}", (value * 10.0).round() / 10.0)
}
