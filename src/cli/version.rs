//! `version`.

use serde::Serialize;

use super::args::JsonFlag;
use super::{Outcome, output};

/// The same under every name that the program goes by.
#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

pub(super) fn run(flag: JsonFlag) -> Outcome {
    let version = Version {
        name: "plasmite",
        version: env!("CARGO_PKG_VERSION"),
    };
    if flag.json || !output::stdout_is_terminal() {
        output::print_json(&version)?;
    } else {
        output::print_text(&format!("{} {}\n", version.name, version.version))?;
    }
    Ok(0)
}
