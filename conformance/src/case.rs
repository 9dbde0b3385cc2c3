//! Cases: data of `cases/TOPIC/NAME.json`, held against `case.schema.json` when read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One step: an operation of a surface, or something that the runner does itself.
pub(crate) type Step = Map<String, Value>;

/// A case as it stands in its file; `README.md` says what the members mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// `TOPIC/NAME`.
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) clauses: Vec<String>,
    #[serde(default)]
    pub(crate) negative: Vec<String>,
    #[serde(default)]
    pub(crate) surfaces: Vec<String>,
    #[serde(default)]
    pub(crate) not: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    #[serde(default)]
    pub(crate) server: ServerPart,
    #[serde(default)]
    pub(crate) unprivileged: bool,
    #[serde(default)]
    pub(crate) expect_failure: BTreeMap<String, String>,
    pub(crate) steps: Vec<Step>,
}

/// How a case wants its server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerPart {
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Files that are there before it starts, readable by their owner only.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// What the surfaces show as their credential.
    #[serde(default)]
    pub(crate) token: Option<String>,
}

impl Case {
    /// What its steps ask for without saying so.
    pub(crate) fn implied_needs(&self) -> Vec<String> {
        fn collect(step: &Step, words: &mut BTreeSet<&'static str>) {
            match step.get("do").and_then(Value::as_str).unwrap_or_default() {
                "append_batch" => words.extend(["batch"]),
                "open_tail" => words.extend(["live"]),
                "verify" => words.extend(["verify"]),
                "inspect" | "patch" | "file" | "lock" => words.extend(["files"]),
                "kill" => words.extend(["processes"]),
                _ => {}
            }
            if step.contains_key("stamps") {
                words.insert("stamps");
            }
            if step
                .get("max")
                .and_then(Value::as_u64)
                .is_some_and(|max| max != 1)
            {
                words.insert("max");
            }
            if step
                .get("actor")
                .and_then(Value::as_str)
                .is_some_and(|actor| actor != "main")
            {
                words.insert("actors");
            }
            for step in substeps(step) {
                collect(step, words);
            }
        }
        let mut words = BTreeSet::new();
        for step in &self.steps {
            collect(step, &mut words);
        }
        if self.unprivileged {
            words.insert("files");
        }
        words.into_iter().map(str::to_owned).collect()
    }

    /// Whether it wants a server of its own: one with flags, or one that it may end.
    pub(crate) fn wants_own_server(&self) -> bool {
        fn ends(step: &Step) -> bool {
            let name = step.get("do").and_then(Value::as_str);
            matches!(name, Some("restart" | "serve"))
                || substeps(step).iter().any(|step| ends(step))
        }
        !self.server.args.is_empty() || self.steps.iter().any(ends)
    }

    /// Whether several processes, or a tail beside what is appended, are part of it.
    pub(crate) fn is_live(&self) -> bool {
        fn live(step: &Step) -> bool {
            let named = |name: &str| step.get("do").and_then(Value::as_str) == Some(name);
            named("open_tail")
                || named("parallel")
                || step.contains_key("actor")
                || step.contains_key("as")
                || substeps(step).iter().any(|step| live(step))
        }
        self.steps.iter().any(live)
    }
}

/// The steps inside a step.
pub(crate) fn substeps(step: &Step) -> Vec<&Step> {
    let Some(steps) = step.get("steps").and_then(Value::as_array) else {
        return Vec::new();
    };
    steps
        .iter()
        .flat_map(|step| match step {
            Value::Array(steps) => steps.iter().collect(),
            other => vec![other],
        })
        .filter_map(Value::as_object)
        .collect()
}

/// Reads every case below `dir`, in the order of their names.
pub(crate) fn load(dir: &Path, schema: &Path) -> Result<Vec<Case>> {
    let schema = fs::read_to_string(schema)?;
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
    let mut cases = Vec::new();
    for topic in sorted(dir)? {
        for file in sorted(&topic)? {
            let case = read(&file, &schema);
            cases.push(case.with_context(|| format!("in {}", file.display()))?);
        }
    }
    Ok(cases)
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("in {}", dir.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read(file: &Path, schema: &jsonschema::Validator) -> Result<Case> {
    let mut case = parse(&fs::read(file)?, schema)?;
    let part = |path: Option<&Path>| {
        let stem = path.and_then(Path::file_stem).unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    case.name = format!("{}/{}", part(file.parent()), part(Some(file)));
    Ok(case)
}

/// Reads the text of a case, which has no name yet.
pub(crate) fn parse(text: &[u8], schema: &jsonschema::Validator) -> Result<Case> {
    let value: Value = serde_json::from_slice(text)?;
    if let Some(error) = schema.iter_errors(&value).next() {
        bail!("{error} (at {})", error.instance_path());
    }
    let case: Case = serde_json::from_value(value)?;
    for clause in &case.negative {
        if !case.clauses.contains(clause) {
            bail!("`negative` names {clause}, which `clauses` does not");
        }
    }
    Ok(case)
}
