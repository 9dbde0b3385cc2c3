//! The arrows of the house, as tests.
//!
//! Guards against what no compiler refuses and every reviewer gets tired of looking for: a storage rule that is
//! copied into an interface, a clock that finds its way into the core, a second table of exit codes. Every rule comes
//! with a snippet that breaks it, so that no rule can pass for having stopped to look.
//!
//! When one of these stops you, the rule is mostly right. Where it is not, its list of exceptions wants a reason.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One rule: what it is called, how it judges a file, and a file that breaks it.
struct Rule {
    name: &'static str,
    judge: fn(&Source) -> Vec<String>,
    broken: (&'static str, &'static str),
}

const RULES: &[Rule] = &[
    Rule {
        name: "the core imports no interface and no platform module",
        judge: core_imports_no_outer_layer,
        broken: ("core/plan.rs", "use super::super::platform::clock;"),
    },
    Rule {
        name: "the core uses no crate but those that compute",
        judge: core_uses_listed_crates,
        broken: ("core/plan.rs", "use libc::c_int;"),
    },
    Rule {
        name: "the core has no async, no network, no clock, no environment and no files",
        judge: core_is_cut_off,
        broken: (
            "core/wait.rs",
            "fn f() { let t = std::time::Instant::now(); }",
        ),
    },
    Rule {
        name: "only the core knows rings, frames and seqs",
        judge: outer_layers_use_the_core_as_listed,
        broken: (
            "cli/feed.rs",
            "use crate::core::{error::Error, frame::FrameHeader};",
        ),
    },
    Rule {
        name: "the client of the protocol knows the API and the shapes on the wire only",
        judge: remote_is_a_client,
        broken: ("remote/tail.rs", "use crate::serve::stream;"),
    },
    Rule {
        name: "the platform knows of the core its contract only",
        judge: platform_uses_the_contract_only,
        broken: ("platform/lock.rs", "use crate::core::layout::INTENT;"),
    },
    Rule {
        name: "the platform knows nothing of messages",
        judge: platform_has_no_message_semantics,
        broken: ("platform/lock.rs", "fn f(seq: u64) {}"),
    },
    Rule {
        name: "one table maps kinds of errors to codes",
        judge: codes_are_in_one_table,
        broken: (
            "cli/mod.rs",
            "fn f(k: ErrorKind) -> u8 { match k { ErrorKind::Usage | ErrorKind::Io => 2 } }",
        ),
    },
    Rule {
        name: "`Internal` is constructed only where a list says so",
        judge: internal_is_listed,
        broken: (
            "api/pool.rs",
            "fn f() -> Error { Error::new(ErrorKind::Internal, \"?\") }",
        ),
    },
    Rule {
        name: "planning is pure: nothing in plan.rs can reach a memory",
        judge: plan_is_pure,
        broken: ("core/plan.rs", "fn f(m: &impl Memory) {}"),
    },
    Rule {
        name: "those that read store nothing",
        judge: stores_are_listed,
        broken: ("core/read.rs", "fn f(m: &M) { m.store(0, 1, Relaxed); }"),
    },
    Rule {
        name: "unsafe is for the platform",
        judge: unsafe_is_for_the_platform,
        broken: ("api/pool.rs", "fn f() { unsafe { g() } }"),
    },
    Rule {
        name: "every unsafe block says what makes it sound",
        judge: unsafe_is_explained,
        broken: ("platform/fork.rs", "fn f() { unsafe { g() } }"),
    },
    Rule {
        name: "what is of one operating system is in the platform",
        judge: systems_are_for_the_platform,
        broken: ("api/client.rs", "use std::os::unix::fs::MetadataExt;"),
    },
    Rule {
        name: "no slice and no reference points into shared memory",
        judge: nothing_shared_is_lent,
        broken: (
            "platform/mapped.rs",
            "fn f() { std::slice::from_raw_parts(p, n); }",
        ),
    },
    Rule {
        name: "a binary uses the library and declares no module of its own",
        judge: binaries_declare_no_modules,
        broken: ("main.rs", "mod core;"),
    },
    Rule {
        name: "functions stay short",
        judge: functions_are_short,
        broken: ("api/pool.rs", LONG_FUNCTION),
    },
    Rule {
        name: "files stay readable",
        judge: files_are_short,
        broken: ("api/pool.rs", LONG_FILE),
    },
];

#[test]
fn the_house_keeps_its_rules() {
    let sources = sources();
    assert!(sources.len() > 30, "the sources were not found");
    let broken: Vec<String> = sources
        .iter()
        .flat_map(|source| RULES.iter().flat_map(move |rule| report(rule, source)))
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_rule_sees_what_breaks_it() {
    for rule in RULES {
        let (path, text) = rule.broken;
        let source = Source::new(path, text.to_owned());
        assert!(!report(rule, &source).is_empty(), "{}", rule.name);
    }
}

#[test]
fn no_exception_outlives_its_reason() {
    let sources = sources();
    let find = |path: &str| sources.iter().find(|source| source.path == path);
    for (path, module, _) in CORE_USERS {
        let uses = find(path).is_some_and(|source| core_modules(source).contains_key(*module));
        assert!(
            uses,
            "{path} no longer uses core::{module}: strike it from the list"
        );
    }
    for (path, count, _) in INTERNAL {
        let found = find(path).map_or(0, count_internal);
        assert_eq!(found, *count, "uses of `ErrorKind::Internal` in {path}");
    }
    for (path, _) in STORERS {
        assert!(
            find(path).is_some_and(|s| s.has_call("store")),
            "{path} stores nothing"
        );
    }
    for (path, _) in OF_ONE_SYSTEM {
        let uses = find(path).is_some_and(|source| {
            let mut paths = source.paths.iter();
            paths.any(|(_, path)| is_of_one_system(path))
        });
        assert!(uses, "{path} is the same on all systems by now");
    }
    for (path, lines, _) in LONG_FILES {
        let found = find(path).map_or(0, |source| source.text.lines().count());
        assert!(
            found > FILE_LINES && found <= *lines,
            "{path} has {found} lines"
        );
    }
    for (path, name, _) in LONG_FUNCTIONS {
        let long = find(path).is_some_and(|s| {
            s.functions()
                .iter()
                .any(|f| f.name == *name && f.lines > FUNCTION_LINES)
        });
        assert!(long, "{path}: {name} is short by now");
    }
}

#[test]
fn each_end_of_a_synchronisation_names_the_other() {
    let spec = include_str!("../spec/protocol/SPEC.md");
    let (_, table) = spec.split_once("## 2. Sync points").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let named: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert!(named.len() >= 7, "{named:?}");
    let code: String = sources().into_iter().map(|source| source.text).collect();
    for name in named {
        let ends = code
            .lines()
            .filter(|line| line.trim_end().ends_with(&format!("// {name}")))
            .count();
        assert!(
            ends >= 2,
            "{name} marks {ends} ends of a synchronisation in the source"
        );
    }
}

// ---- The rules, in the order of the table.

fn core_imports_no_outer_layer(source: &Source) -> Vec<String> {
    const OUTER: [&str; 9] = [
        "api", "cli", "serve", "remote", "abi", "wire", "policy", "platform", "main",
    ];
    if !source.is_in("core/") {
        return vec![];
    }
    let is_outer = |path: &Vec<String>| {
        path.len() > 1 && path[0] == "crate" && OUTER.contains(&path[1].as_str())
    };
    source
        .paths
        .iter()
        .filter(|(_, path)| is_outer(path))
        .map(describe)
        .collect()
}

fn core_uses_listed_crates(source: &Source) -> Vec<String> {
    const CRATES: [&str; 6] = [
        "crate",
        "std",
        "crc32c",
        "memchr",
        "serde_json",
        "thiserror",
    ];
    if !source.is_in("core/") || source.is_test() {
        return vec![];
    }
    let imports = source.imports.iter();
    imports
        .filter(|(_, path)| !CRATES.contains(&path[0].as_str()))
        .map(describe)
        .collect()
}

fn core_is_cut_off(source: &Source) -> Vec<String> {
    const BANNED: [&str; 11] = [
        "std::net",
        "std::env",
        "std::fs",
        "std::io",
        "std::os",
        "std::process",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "std::time::UNIX_EPOCH",
        "tokio",
    ];
    if !source.is_in("core/") || source.is_test() {
        return vec![];
    }
    let is_banned = |path: &str| {
        BANNED
            .iter()
            .any(|ban| path == *ban || path.starts_with(&format!("{ban}::")))
    };
    let mut found: Vec<String> = source
        .paths
        .iter()
        .filter(|(_, path)| is_banned(&path.join("::")))
        .map(describe)
        .collect();
    found.extend(source.idents(&["async", "await", "println", "eprintln", "thread_local"]));
    found
}

/// Modules of the core that anybody may use: they say what an error is and what is JSON, and neither is a storage rule.
const COMMON: [&str; 2] = ["error", "json"];

/// Who else uses what of the core, and why. The API is the one adapter over storage; what is above uses the API.
const CORE_USERS: &[(&str, &str, &str)] = &[
    (
        "api/archive/import.rs",
        "geometry",
        "the new pool's dimensions",
    ),
    (
        "api/archive/reader.rs",
        "geometry",
        "whether an archive's pool is possible, and the longest line it could give",
    ),
    (
        "api/draft.rs",
        "frame",
        "an `Entry` is how messages are handed to an append",
    ),
    (
        "api/draft.rs",
        "geometry",
        "the dimensions of what is filled",
    ),
    ("api/draft.rs", "header", "a new pool's identity"),
    ("api/draft.rs", "pool", "formatting and filling"),
    ("api/fill.rs", "frame", "an `Entry` is what is filled in"),
    (
        "api/fill.rs",
        "geometry",
        "the size of a pool that would take all messages",
    ),
    ("api/resize.rs", "frame", "an `Entry` is what is filled in"),
    (
        "api/resize.rs",
        "geometry",
        "the new pool has dimensions of its own",
    ),
    (
        "api/salvage.rs",
        "geometry",
        "the new pool has the dimensions of the old one",
    ),
    ("api/salvage.rs", "salvage", "what is adapted"),
    ("api/mod.rs", "salvage", "hands the manifest's types on"),
    (
        "api/batch.rs",
        "frame",
        "an `Entry` is how messages are handed to an append",
    ),
    (
        "api/client.rs",
        "geometry",
        "a new pool's dimensions, from what was asked for",
    ),
    (
        "api/client.rs",
        "header",
        "what to say of a file that is no pool",
    ),
    (
        "api/client.rs",
        "layout",
        "default size, header size, and where the bell's two words are",
    ),
    ("api/client.rs", "memory", "how long to wait for the lock"),
    ("api/client.rs", "pool", "opening and deleting"),
    (
        "api/client.rs",
        "verify",
        "the report on a pool that does not open",
    ),
    (
        "api/message.rs",
        "read",
        "a message owns the copy that was read",
    ),
    ("api/mod.rs", "verify", "hands the report's types on"),
    ("api/pool.rs", "append", "what stamps an append gets"),
    ("api/pool.rs", "layout", "the format version, for `info`"),
    ("api/pool.rs", "memory", "how long to wait for the lock"),
    ("api/pool.rs", "pool", "what is adapted"),
    ("api/pool.rs", "verify", "the report that it returns"),
    ("api/tail.rs", "cursor", "what is adapted"),
    (
        "api/tail.rs",
        "memory",
        "is generic over it, as the core is",
    ),
    ("api/tail.rs", "pool", "what is adapted"),
    ("api/tail.rs", "wait", "sleeping until there is more"),
];

fn outer_layers_use_the_core_as_listed(source: &Source) -> Vec<String> {
    if source.is_in("core/") || source.is_in("platform/") || source.is_test() {
        return vec![];
    }
    let is_listed = |module: &str| {
        CORE_USERS
            .iter()
            .any(|(path, listed, _)| *path == source.path && *listed == module)
    };
    let used = core_modules(source).into_iter();
    used.filter(|(module, _)| !COMMON.contains(&module.as_str()) && !is_listed(module))
        .map(|(module, line)| format!("{line}: uses core::{module}"))
        .collect()
}

fn remote_is_a_client(source: &Source) -> Vec<String> {
    const KNOWN: [&str; 8] = [
        "api",
        "wire",
        "policy",
        // Who may use the file that a token is in.
        "platform",
        "remote",
        "Error",
        "ErrorKind",
        "Result",
    ];
    if !source.is_in("remote/") {
        return vec![];
    }
    let is_unknown = |path: &Vec<String>| {
        path.len() > 1 && path[0] == "crate" && !KNOWN.contains(&path[1].as_str())
    };
    source
        .paths
        .iter()
        .filter(|(_, path)| is_unknown(path))
        .map(describe)
        .collect()
}

fn platform_uses_the_contract_only(source: &Source) -> Vec<String> {
    if !source.is_in("platform/") {
        return vec![];
    }
    let used = core_modules(source).into_iter();
    used.filter(|(module, _)| !["memory", "error"].contains(&module.as_str()))
        .map(|(module, line)| format!("{line}: uses core::{module}"))
        .collect()
}

fn platform_has_no_message_semantics(source: &Source) -> Vec<String> {
    match source.is_in("platform/") {
        true => source.idents(&[
            "seq",
            "tags",
            "payload",
            "Message",
            "Frame",
            "FrameHeader",
            "ring_size",
        ]),
        false => vec![],
    }
}

fn codes_are_in_one_table(source: &Source) -> Vec<String> {
    if source.path == "policy.rs" || source.is_test() {
        return vec![];
    }
    let code = &source.code;
    let names_kind = |at: usize| code[at].text == "ErrorKind" && code.get(at + 3).is_some();
    (0..code.len())
        .filter(|&at| names_kind(at) && maps_to_number(&code[at + 4..]))
        .map(|at| {
            format!(
                "{}: gives ErrorKind::{} a number",
                code[at].line,
                code[at + 3].text
            )
        })
        .collect()
}

/// Whether what follows the name of a kind is `=> 7` or `, 7`, perhaps behind more alternatives.
fn maps_to_number(rest: &[Token]) -> bool {
    let is_alternative = |token: &&Token| {
        matches!(token.text.as_str(), "|" | ":")
            || token.text.starts_with(|c: char| c.is_ascii_uppercase())
    };
    let mut rest = rest.iter().skip_while(is_alternative);
    let joint = match rest.next().map(|token| token.text.as_str()) {
        Some("=") => rest.next().is_some_and(|token| token.text == ">"),
        found => found == Some(","),
    };
    joint
        && rest
            .next()
            .is_some_and(|token| token.text.starts_with(|c: char| c.is_ascii_digit()))
}

/// Where a condition that cannot happen is named as such: file, how often, and what rules it out.
const INTERNAL: &[(&str, usize, &str)] = &[
    (
        "platform/mapped.rs",
        1,
        "the kernel never maps page zero unless asked to",
    ),
    (
        "cli/mod.rs",
        2,
        "a panic, and the exit code when even reporting it panics",
    ),
    ("cli/output.rs", 1, "our own shapes always serialise"),
    ("abi/mod.rs", 1, "our own shapes always serialise"),
    ("abi/error.rs", 1, "a panic"),
    ("abi/handle.rs", 1, "nobody opens so many handles"),
    (
        "serve/answer.rs",
        1,
        "our own shapes always serialise, and storage work neither panics nor is cancelled",
    ),
];

fn internal_is_listed(source: &Source) -> Vec<String> {
    let defines = ["core/error.rs", "policy.rs"].contains(&source.path.as_str());
    let listed = INTERNAL
        .iter()
        .find(|(path, ..)| *path == source.path)
        .map_or(0, |(_, count, _)| *count);
    match count_internal(source) {
        count if count > listed && !defines => {
            vec![format!(
                "0: names ErrorKind::Internal {count} times, {listed} are listed"
            )]
        }
        _ => vec![],
    }
}

fn count_internal(source: &Source) -> usize {
    let is_internal = |path: &Vec<String>| path.ends_with(&["ErrorKind".into(), "Internal".into()]);
    source
        .paths
        .iter()
        .filter(|(_, path)| is_internal(path))
        .count()
}

fn plan_is_pure(source: &Source) -> Vec<String> {
    const BANNED: [&str; 12] = [
        "Memory", "memory", "Pool", "pool", "store", "load", "Cell", "RefCell", "Mutex", "static",
        "unsafe", "atomic",
    ];
    match source.path == "core/plan.rs" {
        true => source.idents(&BANNED),
        false => vec![],
    }
}

/// Who in the core stores, and what.
const STORERS: &[(&str, &str)] = &[
    ("core/append.rs", "frames and control words, under the lock"),
    ("core/checkpoint.rs", "checkpoints, under the lock"),
    ("core/heap.rs", "implements the memory of tests"),
    ("core/index.rs", "hints, for an append and a recovery"),
    ("core/memory.rs", "states the contract"),
    ("core/pool.rs", "a new pool, and the mark of a deleted one"),
    ("core/recover.rs", "what a crash left, under the lock"),
    ("core/summed.rs", "a word and its CRC, under the lock"),
];

fn stores_are_listed(source: &Source) -> Vec<String> {
    let listed = STORERS.iter().any(|(path, _)| *path == source.path);
    if !source.is_in("core/") || source.is_test() || listed {
        return vec![];
    }
    match source.has_call("store") || source.has_call("copy_in") {
        true => vec!["0: stores into a memory".to_owned()],
        false => vec![],
    }
}

fn unsafe_is_for_the_platform(source: &Source) -> Vec<String> {
    match source.is_in("platform/") || source.is_in("abi/") {
        true => vec![],
        false => source.idents(&["unsafe"]),
    }
}

fn unsafe_is_explained(source: &Source) -> Vec<String> {
    let code = &source.all_code;
    let blocks = code
        .windows(2)
        .filter(|pair| pair[0].text == "unsafe" && matches!(pair[1].text.as_str(), "{" | "impl"))
        .count();
    let reasons = source
        .text
        .lines()
        .filter(|line| line.trim_start().starts_with("// SAFETY: "))
        .count();
    match blocks == reasons {
        true => vec![],
        false => vec![format!(
            "0: {blocks} unsafe blocks and {reasons} SAFETY comments"
        )],
    }
}

/// Who beside the platform names what only one kind of system has, and why.
const OF_ONE_SYSTEM: &[(&str, &str)] = &[];

fn systems_are_for_the_platform(source: &Source) -> Vec<String> {
    let is_listed = OF_ONE_SYSTEM.iter().any(|(path, _)| *path == source.path);
    if source.is_in("platform/") || source.is_test() || is_listed {
        return vec![];
    }
    let mut found: Vec<String> = source
        .paths
        .iter()
        .filter(|(_, path)| is_of_one_system(path))
        .map(describe)
        .collect();
    found.extend(source.idents(&["target_os", "target_vendor", "unix", "windows"]));
    found
}

fn is_of_one_system(path: &[String]) -> bool {
    const CRATES: [&str; 3] = ["libc", "rustix", "signal_hook"];
    let begins = |start: &[&str]| path.iter().take(start.len()).eq(start);
    CRATES.contains(&path[0].as_str())
        || begins(&["std", "os"])
        || begins(&["tokio", "signal", "unix"])
}

fn nothing_shared_is_lent(source: &Source) -> Vec<String> {
    // What a caller in C lends is its own memory, and no pool's.
    if source.is_in("abi/") {
        return vec![];
    }
    source.idents(&[
        "from_raw_parts",
        "from_raw_parts_mut",
        "Mmap",
        "MmapMut",
        "slice_from_raw_parts",
    ])
}

fn binaries_declare_no_modules(source: &Source) -> Vec<String> {
    match source.path == "main.rs" || source.is_in("bin/") {
        true => source.idents(&["mod"]),
        false => vec![],
    }
}

const FUNCTION_LINES: usize = 60;

/// Functions that are longer, and why. Nothing is added here lightly.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[(
    "cli/filter.rs",
    "visit",
    "one arm for each kind of term that jaq knows",
)];

const LONG_FUNCTION: &str = concat!(
    "fn f() {",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "}"
);

fn functions_are_short(source: &Source) -> Vec<String> {
    let is_listed = |function: &&Function| {
        LONG_FUNCTIONS
            .iter()
            .any(|(path, name, _)| *path == source.path && *name == function.name)
    };
    let functions = source.functions();
    let long = functions
        .iter()
        .filter(|function| function.lines > FUNCTION_LINES);
    long.filter(|function| !is_listed(function))
        .map(|function| {
            format!(
                "{}: `{}` has {} lines; {FUNCTION_LINES} is the most",
                function.line, function.name, function.lines
            )
        })
        .collect()
}

const FILE_LINES: usize = 700;

/// Files that are longer, up to how many lines, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];

const LONG_FILE: &str = include_str!("../Cargo.lock");

fn files_are_short(source: &Source) -> Vec<String> {
    let most = LONG_FILES
        .iter()
        .find(|(path, ..)| *path == source.path)
        .map_or(FILE_LINES, |(_, lines, _)| *lines);
    match source.text.lines().count() {
        lines if lines > most => vec![format!("0: has {lines} lines; {most} is the most")],
        _ => vec![],
    }
}

// ---- What a source file is, to a rule.

/// A file below `src/`: its tokens, so that comments and strings are out of the way, and the paths it names.
struct Source {
    path: String,
    text: String,
    /// All tokens, those of tests included.
    all_code: Vec<Token>,
    /// The tokens of what ships.
    code: Vec<Token>,
    /// Every path that what ships names, resolved against the crate: `super::x` in `core/plan.rs` is `crate::core::x`.
    paths: Vec<(usize, Vec<String>)>,
    /// Those of them that stand in a `use`.
    imports: Vec<(usize, Vec<String>)>,
}

struct Token {
    text: String,
    line: usize,
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

impl Source {
    fn new(path: &str, text: String) -> Source {
        let stream: TokenStream =
            if path.ends_with(".rs") && !text.starts_with("# This file is auto") {
                text.parse().unwrap_or_else(|e| panic!("{path}: {e}"))
            } else {
                TokenStream::new()
            };
        let shipped = without_tests(stream.clone());
        let mut source = Source {
            path: path.to_owned(),
            text,
            all_code: flat(stream),
            code: flat(shipped.clone()),
            paths: vec![],
            imports: vec![],
        };
        let module = module_of(path);
        collect_paths(shipped, &module, &mut source);
        source
    }

    fn is_in(&self, directory: &str) -> bool {
        self.path.starts_with(directory)
    }

    fn is_test(&self) -> bool {
        const HELPERS: [&str; 2] = ["platform/spawned.rs", "platform/witness.rs"];
        self.path.ends_with("tests.rs")
            || self.path.contains("/tests/")
            || HELPERS.contains(&self.path.as_str())
    }

    /// Where what ships has one of these words.
    fn idents(&self, words: &[&str]) -> Vec<String> {
        let banned = |token: &&Token| words.contains(&token.text.as_str());
        self.code
            .iter()
            .filter(banned)
            .map(|token| format!("{}: `{}`", token.line, token.text))
            .collect()
    }

    fn has_call(&self, method: &str) -> bool {
        let is_call = |three: &[Token]| {
            three[0].text == "." && three[1].text == method && three[2].text == "("
        };
        self.code.windows(3).any(is_call)
    }

    fn functions(&self) -> Vec<Function> {
        let code = &self.code;
        let starts = (0..code.len().saturating_sub(1))
            .filter(|&at| code[at].text == "fn" && is_name(&code[at + 1].text));
        starts.filter_map(|at| function(&code[at..])).collect()
    }
}

fn function(code: &[Token]) -> Option<Function> {
    let mut depth = 0;
    for token in code {
        match token.text.as_str() {
            ";" if depth == 0 => return None,
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if token.text == "}" && depth == 0 {
            let (line, name) = (code[0].line, code[1].text.clone());
            return Some(Function {
                name,
                line,
                lines: token.line - line + 1,
            });
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every file below `src/`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .replace('\\', "/");
                found.push(Source::new(&name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// `core/plan.rs` is the module `core::plan`; `core/mod.rs` and `core.rs` are `core`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" | "main" => vec![],
        path => path.split('/').map(str::to_owned).collect(),
    }
}

/// The modules of the core that a file names, each with the line where it does so first.
fn core_modules(source: &Source) -> BTreeMap<String, usize> {
    let mut modules = BTreeMap::new();
    for (line, path) in &source.paths {
        if let [first, second, module, ..] = path.as_slice()
            && (first.as_str(), second.as_str()) == ("crate", "core")
        {
            modules.entry(module.clone()).or_insert(*line);
        }
    }
    modules
}

fn report(rule: &Rule, source: &Source) -> Vec<String> {
    let found = (rule.judge)(source).into_iter();
    found
        .map(|what| format!("src/{}:{what} ({})", source.path, rule.name))
        .collect()
}

fn describe((line, path): &(usize, Vec<String>)) -> String {
    format!("{line}: uses {}", path.join("::"))
}

/// The tokens without any item that is marked `#[cfg(test)]`.
fn without_tests(stream: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let is_test = matches!(&tree, TokenTree::Punct(p) if p.as_char() == '#')
            && trees
                .peek()
                .is_some_and(|next| next.to_string().replace(' ', "") == "[cfg(test)]");
        if is_test {
            let ends = |tree: &TokenTree| match tree {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                tree => tree.to_string() == ";",
            };
            trees.by_ref().find(ends);
            continue;
        }
        kept.push(match tree {
            TokenTree::Group(group) => {
                let mut inner =
                    proc_macro2::Group::new(group.delimiter(), without_tests(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other => other,
        });
    }
    kept.into_iter().collect()
}

fn flat(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let (start, end) = (tree.span().start().line, tree.span().end().line);
        let mut push = |text: String, line| into.push(Token { text, line });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), start);
                flatten(group.stream(), into);
                into.push(Token {
                    text: close.to_owned(),
                    line: end,
                });
            }
            TokenTree::Literal(literal) => push(literal.to_string(), start),
            other => push(other.to_string(), start),
        }
    }
}

/// Notes every `a::b::c` in these tokens, with the trees of `use` taken apart.
fn collect_paths(stream: TokenStream, module: &[String], source: &mut Source) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    let mut in_use = false;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Ident(word) if word == "use" => in_use = true,
            // The new name behind `as` is no path.
            TokenTree::Ident(word) if in_use && word == "as" => at += 1,
            TokenTree::Ident(word) if word == "mod" => {
                if let (Some(name), Some(TokenTree::Group(body))) =
                    (trees.get(at + 1), trees.get(at + 2))
                {
                    let inner: Vec<String> =
                        module.iter().cloned().chain([name.to_string()]).collect();
                    collect_paths(body.stream(), &inner, source);
                    at += 2;
                }
            }
            TokenTree::Ident(_) => {
                let mut found = Vec::new();
                at = path_from(&trees, at, &[], &mut found);
                let resolved = found
                    .into_iter()
                    .map(|(line, path)| (line, resolve(path, module)));
                let resolved: Vec<_> = resolved.collect();
                if in_use {
                    source.imports.extend(resolved.iter().cloned());
                }
                source.paths.extend(resolved);
                continue;
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_use = false,
            TokenTree::Group(group) => collect_paths(group.stream(), module, source),
            _ => {}
        }
        at += 1;
    }
}

/// Reads one path, or one tree of them, that begins at `at`; returns where it ends.
fn path_from(
    trees: &[TokenTree],
    mut at: usize,
    prefix: &[String],
    into: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let line = trees[at].span().start().line;
    let mut path = prefix.to_vec();
    path.push(trees[at].to_string());
    at += 1;
    while is_colon(trees, at) && is_colon(trees, at + 1) {
        match trees.get(at + 2) {
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                branches(group.stream(), &path, into);
                return at + 3;
            }
            _ => break,
        }
        at += 3;
    }
    into.push((line, path));
    at
}

fn branches(stream: TokenStream, prefix: &[String], into: &mut Vec<(usize, Vec<String>)>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    for branch in trees.split(|tree| tree.to_string() == ",") {
        if !branch.is_empty() {
            path_from(branch, 0, prefix, into);
        }
    }
}

fn is_colon(trees: &[TokenTree], at: usize) -> bool {
    matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

fn resolve(mut path: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|word| *word == "super").count();
    let here = path[0] == "self" && path.len() > 1;
    if ups == 0 && !here {
        return path;
    }
    path.drain(..ups.max(1));
    let base = module[..module.len().saturating_sub(ups)].iter().cloned();
    ["crate".to_owned()]
        .into_iter()
        .chain(base)
        .chain(path)
        .collect()
}
