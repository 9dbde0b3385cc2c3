//! One page that holds everything, in itself.

use maud::{DOCTYPE, html};

use super::Report;

pub(crate) fn render(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Plasmite conformance" } }
            body { h1 { "Plasmite conformance" } p { (report.cases.len()) " cases" } }
        }
    }
    .into_string()
}
