//! The clauses of `spec/**/SPEC.md`, and the lock that shows when the text of one has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde::Serialize;
use sha2::{Digest, Sha256};

const SPECS: [&str; 7] = [
    "v0",
    "api/v0",
    "remote/v0",
    "abi/v0",
    "format",
    "protocol",
    "crash",
];

static OPENING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\*\*\[([A-Z]+-[0-9]+)\]\*\* (.+)$").expect("a fixed expression")
});

/// One requirement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Clause {
    pub(crate) id: String,
    pub(crate) text: String,
    /// The document, as `v0` or `remote/v0`.
    pub(crate) spec: &'static str,
    pub(crate) level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Level {
    Must,
    Should,
}

impl Clause {
    pub(crate) fn family(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }

    fn hash(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Every clause, in the order of the documents.
pub(crate) fn read_all(root: &Path) -> Result<Vec<Clause>> {
    let mut clauses = Vec::new();
    for spec in SPECS {
        let path = root.join("spec").join(spec).join("SPEC.md");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let before = clauses.len();
        clauses.extend(text.lines().filter_map(|line| clause(line, spec)));
        ensure!(clauses.len() > before, "no clause in {}", path.display());
    }
    let mut seen = BTreeMap::new();
    for clause in &clauses {
        let twice = seen.insert(&clause.id, clause.spec);
        ensure!(twice.is_none(), "{} is in two documents", clause.id);
    }
    Ok(clauses)
}

fn clause(line: &str, spec: &'static str) -> Option<Clause> {
    let found = OPENING.captures(line)?;
    let text = found[2].to_owned();
    let level = if text.contains("MUST") {
        Level::Must
    } else {
        Level::Should
    };
    Some(Clause {
        id: found[1].to_owned(),
        text,
        spec,
        level,
    })
}

/// What has moved since the lock was written: a line for each clause.
pub(crate) fn moved(clauses: &[Clause], lock: &Path) -> Result<Vec<String>> {
    let locked: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(lock).unwrap_or_else(|_| b"{}".to_vec()))?;
    let mut moved: Vec<String> = clauses
        .iter()
        .filter_map(|clause| match locked.get(&clause.id) {
            None => Some(format!("{} is new, and not locked", clause.id)),
            Some(hash) if *hash != clause.hash() => {
                Some(format!("{} was reworded: {}", clause.id, clause.text))
            }
            Some(_) => None,
        })
        .collect();
    let gone = locked
        .keys()
        .filter(|id| !clauses.iter().any(|clause| clause.id == **id));
    moved.extend(gone.map(|id| format!("{id} is locked, and gone")));
    Ok(moved)
}

pub(crate) fn write_lock(clauses: &[Clause], lock: &Path) -> Result<()> {
    let hashes: BTreeMap<&str, String> = clauses
        .iter()
        .map(|clause| (clause.id.as_str(), clause.hash()))
        .collect();
    Ok(fs::write(
        lock,
        serde_json::to_string_pretty(&hashes)? + "\n",
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_read_with_its_level() {
        let clause = clause("**[MSG-2]** It SHOULD be so.", "v0").unwrap();
        assert_eq!(
            (clause.id.as_str(), clause.family(), clause.level),
            ("MSG-2", "MSG", Level::Should)
        );
        assert!(super::clause("See **[MSG-2]** for more.", "v0").is_none());
    }
}
