//! The rows: on the terminal as they come, in a file at the end.

use std::env;
use std::fs;

use serde::Serialize;

use crate::machine::Machine;
use crate::peer::Result;
use crate::settings::{Settings, report_dir, source_dir};

/// The product beside one peer.
#[derive(Serialize)]
struct Row {
    operation: &'static str,
    peer: &'static str,
    product: f64,
    value: f64,
    unit: &'static str,
    ratio: f64,
    ok: bool,
}

/// What was measured, on what. `benches/ratios/page.rs` reads it.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    command: String,
    commit: String,
    left_out: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report; prints the head of the table.
    pub(crate) fn new(settings: &Settings) -> Report {
        let machine = Machine::describe(settings.data_dir(), source_dir());
        println!("{}", machine.line());
        println!("the product's time over the peer's; each is the best of its turns\n");
        println!(
            "{:<32} {:<32} {:>9} {:>9} {:<11} {:>6}",
            "", "peer", "plasmite", "peer", "", "ratio"
        );
        let args: Vec<String> = env::args().skip(1).collect();
        Report {
            commit: machine.commit.clone(),
            machine,
            command: match args.is_empty() {
                true => "make bench-peers".to_owned(),
                false => format!("make bench-peers ARGS='{}'", args.join(" ")),
            },
            left_out: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Says who is not there, and why.
    pub(crate) fn leave_out(&mut self, word: &str) {
        println!("left out: {word}");
        self.left_out.push(word.to_owned());
    }

    /// Adds a row, in microseconds per message, and prints it.
    pub(crate) fn add(
        &mut self,
        operation: &'static str,
        peer: &'static str,
        product: f64,
        value: f64,
    ) {
        let row = Row {
            operation,
            peer,
            product,
            value,
            unit: "us/message",
            ratio: product / value,
            ok: product < value,
        };
        let line = format!(
            "{:<32} {:<32} {:>9.2} {:>9.2} {:<11} {:>5.2}x {}",
            row.operation,
            row.peer,
            row.product,
            row.value,
            row.unit,
            row.ratio,
            if row.ok { "" } else { "BEHIND" },
        );
        println!("{}", line.trim_end());
        self.rows.push(row);
    }

    /// Writes `peers.json`, and says whether the product is ahead everywhere, or that does not count.
    pub(crate) fn finish(self, settings: &Settings) -> Result<bool> {
        let path = report_dir().join("peers.json");
        fs::create_dir_all(report_dir())?;
        fs::write(&path, serde_json::to_string_pretty(&self)? + "\n")?;
        println!("\nwritten to {}", path.display());
        let behind = self.rows.iter().filter(|row| !row.ok).count();
        if behind > 0 {
            println!("behind in {behind} of {} rows", self.rows.len());
        }
        Ok(behind == 0 || settings.no_fail)
    }
}
