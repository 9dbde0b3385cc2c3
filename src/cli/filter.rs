//! `--where`: jq filters over whole envelopes, by jaq.
//!
//! A filter only decides; what is printed is always the stored text. It sees the message and the clock and nothing
//! else: the builtins that reach the environment, other inputs, the diagnostics or the process are left out.
//!
//! A filter can run for ever, so the places that must end a command (signals, `--timeout`) do not rely on it to come
//! back, and it can ask for memory without end, so the watchdog looks at that as well. It can also recurse without
//! bound. Every definition in a filter therefore begins with a look at the stack, and
//! filters run on a thread with plenty of it; see [`on_filter_thread`].

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use jaq_core::box_iter::box_once;
use jaq_core::compile::Undefined;
use jaq_core::data::JustLut;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::Fun;
use jaq_core::path::Part;
use jaq_core::{Compiler, Ctx, Exn, Native, Vars};
use jaq_json::Val;
use memchr::memchr;

use super::output;
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;

type Data = JustLut<Val>;

/// The longest filter that is accepted. Parsing recurses, so this bounds the stack that it takes.
const MAX_FILTER_BYTES: usize = 64 * 1024;
/// The stack of the thread that filters run on, reserved but not taken until it is used.
const STACK_BYTES: usize = 512 * 1024 * 1024;
/// How much of it definitions may recurse into. The rest is for what the builtins do with deep values.
const RECURSION_BYTES: usize = 128 * 1024 * 1024;

/// Builtins with effects beyond their output.
const LEFT_OUT: [&str; 8] = [
    "env",
    "halt",
    "halt_error",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "input_line_number",
];
/// The builtin that looks at the stack. No filter can name it, since `!` begins no identifier.
const GUARD: &str = "!guard";
/// The definition that holds the filter itself.
const FILTER: &str = "plasmite_filter";
/// What a halt means here: the guard found too little stack. Not an error value, so that `try` cannot catch it.
const TOO_DEEP: i32 = 1;

thread_local! {
    /// The address of the stack at which filters start.
    static STACK_START: Cell<usize> = const { Cell::new(0) };
}

/// The message that a filter runs on at this moment, or 0. There is one filter thread at most.
static RUNNING_ON: AtomicU64 = AtomicU64::new(0);
/// The length of the envelope of that message.
static ENVELOPE_BYTES: AtomicU64 = AtomicU64::new(0);

/// Filters that a message has to pass, all of them.
pub(crate) struct Filters {
    filters: Vec<Filter>,
    envelope: Vec<u8>,
}

struct Filter {
    text: String,
    compiled: jaq_core::Filter<Data>,
}

impl Filters {
    /// Compiles the filters. `Usage` names the filter, the place and what is wrong there.
    pub(crate) fn compile(texts: &[String]) -> Result<Filters> {
        let filters = texts
            .iter()
            .map(|text| Filter::compile(text))
            .collect::<Result<_>>()?;
        Ok(Filters {
            filters,
            envelope: Vec::new(),
        })
    }

    /// Whether every filter yields at least one value that is neither `false` nor `null` for the envelope that
    /// `write` writes. `Usage`, naming `seq`, if a filter fails (WHERE-5). An envelope that no filter can be given is
    /// reported, and passes none (WHERE-12).
    pub(crate) fn pass(&mut self, seq: u64, write: impl FnOnce(&mut Vec<u8>)) -> Result<bool> {
        if self.filters.is_empty() {
            return Ok(true);
        }
        let value = match self.read(seq, write) {
            Ok(value) => value,
            Err(error) => {
                // Whoever wrote this message must not be able to end every command that reads it.
                output::report(&error);
                return Ok(false);
            }
        };
        ENVELOPE_BYTES.store(self.envelope.len() as u64, Ordering::Relaxed);
        for filter in &self.filters {
            if !filter.passes(seq, &value).map_err(|error| error.seq(seq))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read(&mut self, seq: u64, write: impl FnOnce(&mut Vec<u8>)) -> Result<Val> {
        self.envelope.clear();
        write(&mut self.envelope);
        replace_lone_surrogates(&mut self.envelope);
        jaq_json::read::parse_single(&self.envelope).map_err(|cause| {
            failed("cannot be given to a filter, and is passed over", cause).seq(seq)
        })
    }
}

/// Whether a filter is running, and so cannot be expected to notice anything.
pub(crate) fn is_running() -> bool {
    running_on().is_some()
}

/// The seq of the message that a filter is running on.
pub(crate) fn running_on() -> Option<u64> {
    Some(RUNNING_ON.load(Ordering::Relaxed)).filter(|&seq| seq != 0)
}

/// How much memory a filter may take: plenty for any honest one, as a multiple of the message where that is large.
pub(crate) fn memory_limit() -> u64 {
    ENVELOPE_BYTES
        .load(Ordering::Relaxed)
        .saturating_mul(64)
        .saturating_add(1 << 30)
}

/// Ends the process with the code of `Usage`, instead of a crash, if a filter uses up the stack after all.
///
/// Definitions that recurse too deep fail as any filter does. What remains is recursion inside jaq itself, over values
/// nested millions deep for instance, which only a filter that builds such a value can reach.
pub(crate) fn exit_on_overflow() {
    let usage = i32::from(crate::policy::exit_code(ErrorKind::Usage));
    // Without this such a filter still ends the process, only less well, so a failure is not worth an error.
    crate::platform::exit_on_abort(usage).ok();
}

/// Runs `work` on a thread that filters may run on.
pub(crate) fn on_filter_thread<T: Send, E: Send + From<Error>>(
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("filter".to_owned())
            .stack_size(STACK_BYTES);
        let handle = thread.spawn_scoped(scope, work).map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot start a thread for the filter")
                .hint("check the limits on memory and processes")
                .caused_by(cause)
        })?;
        handle
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Filter {
    fn compile(text: &str) -> Result<Filter> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("a filter of {} bytes is too long", text.len()),
            )
            .hint(format!("filters may have up to {MAX_FILTER_BYTES} bytes")));
        }
        let mut body = parse(text)?;
        guard_definitions(&mut body);
        let body = guarded(body);
        let compiled = link(text, body)?;
        Ok(Filter {
            text: text.to_owned(),
            compiled,
        })
    }

    fn passes(&self, seq: u64, value: &Val) -> Result<bool> {
        RUNNING_ON.store(seq, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.any_truthy(value.clone())));
        RUNNING_ON.store(0, Ordering::Relaxed);
        outcome.unwrap_or_else(|_| Err(self.failed("asks for more than jq can compute")))
    }

    fn any_truthy(&self, value: Val) -> Result<bool> {
        let here = 0u8;
        STACK_START.set(std::ptr::from_ref(&here).addr());
        let ctx = Ctx::<Data>::new(&self.compiled.lut, Vars::new([]));
        for output in self.compiled.id.run((ctx, value)) {
            match output {
                Ok(Val::Null | Val::Bool(false)) => {}
                Ok(_) => return Ok(true),
                Err(exception) => return Err(self.failure(exception)),
            }
        }
        Ok(false)
    }

    fn failure(&self, exception: Exn<'_, Val>) -> Error {
        match exception.get_err() {
            Ok(error) => self.failed(&echo(&error.to_string())),
            Err(exception) if exception.clone().get_halt().is_ok() => {
                self.failed("recurses too deep")
            }
            Err(_) => self.failed("breaks out of a label that is not there"),
        }
    }

    fn failed(&self, what: &str) -> Error {
        Error::new(ErrorKind::Usage, format!("the filter '{}' failed: {what}", echo(&self.text)))
            .hint("select the messages that it fits first, as in '(.data.n? // 0) > 1', or fetch this one to see its shape")
    }
}

/// Makes every escaped surrogate that has no partner U+FFFD, since a value of jq holds Unicode text only.
fn replace_lone_surrogates(json: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &json[at..]) {
        at += found;
        at += match (escaped_unit(json, at), escaped_unit(json, at + ESCAPE)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 2 * ESCAPE,
            (Some(0xd800..0xe000), _) => {
                json[at..at + ESCAPE].copy_from_slice(b"\\ufffd");
                ESCAPE
            }
            (Some(_), _) => ESCAPE,
            // The backslash, and the character that it stands before.
            (None, _) => 2,
        };
    }
}

/// The length of an escape that names a unit of UTF-16.
const ESCAPE: usize = b"\\ud800".len();

/// The unit of UTF-16 that the escape at `at` names.
fn escaped_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn parse(text: &str) -> Result<Term<&str>> {
    let tokens = load::Lexer::new(text).lex().map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(
            || not_jq(text, "", "a token"),
            |(expected, found)| not_jq(text, found, expected.as_str()),
        )
    })?;
    load::Parser::new(&tokens)
        .parse(|parser| parser.term())
        .map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or_else(
                || not_jq(text, "", "a term"),
                |(expected, found)| {
                    not_jq(
                        text,
                        load::lex::Token::opt_as_str(found, text),
                        expected.as_str(),
                    )
                },
            )
        })
}

/// Resolves the names in `body` and makes it ready to run.
fn link(text: &str, body: Term<&str>) -> Result<jaq_core::Filter<Data>> {
    let builtins = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let builtins = builtins
        .filter(|def| !LEFT_OUT.contains(&def.name))
        .map(as_part_of_the_filter);
    let filter = Def {
        name: FILTER,
        args: Vec::new(),
        body,
    };
    let defs = builtins.chain([filter]);
    let natives = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let funs = natives
        .filter(|(name, ..)| !LEFT_OUT.contains(name))
        .chain([guard()]);
    let arena = Arena::default();
    let main = File {
        code: FILTER,
        path: (),
    };
    let modules = Loader::new(defs).load(&arena, main);
    modules
        .map_err(|_| not_jq(text, "", "a filter"))
        .and_then(|modules| {
            let compiler = Compiler::default().with_funs(funs);
            compiler
                .compile(modules)
                .map_err(|errors| undefined(text, errors))
        })
}

/// Definitions of one program have to borrow from the same text, or what passes for it.
fn as_part_of_the_filter<'s>(builtin: Def<&'static str>) -> Def<&'s str> {
    builtin
}

fn undefined(text: &str, errors: jaq_core::compile::Errors<&str, ()>) -> Error {
    let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
    let Some((name, what)) = first else {
        return not_jq(text, "", "defined names");
    };
    let arity = match what {
        Undefined::Filter(arity) if arity > 0 => format!("/{arity}"),
        _ => String::new(),
    };
    bad_filter(
        text,
        name,
        &format!("there is no {} '{name}{arity}'", what.as_str()),
    )
}

/// Puts a look at the stack before the body of every definition, since only definitions recurse.
fn guard_definitions(term: &mut Term<&str>) {
    visit(term, &mut |term| {
        if let Term::Def(defs, _) = term {
            for def in defs {
                def.body = guarded(std::mem::take(&mut def.body));
            }
        }
    });
}

fn guarded(body: Term<&str>) -> Term<&str> {
    let guard = Term::Call(GUARD, Vec::new());
    Term::BinOp(Box::new(guard), BinaryOp::Pipe(None), Box::new(body))
}

/// Calls `f` on every term in `term`, parents first.
fn visit<'s>(term: &mut Term<&'s str>, f: &mut impl FnMut(&mut Term<&'s str>)) {
    f(term);
    match term {
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Break(_)
        | Term::Var(_)
        | Term::Arr(None) => {}
        Term::Str(_, parts) => {
            for part in parts {
                if let StrPart::Term(term) = part {
                    visit(term, f);
                }
            }
        }
        Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => visit(inner, f),
        Term::Obj(members) => {
            for (key, value) in members {
                visit(key, f);
                visit_all(value, f);
            }
        }
        Term::BinOp(left, op, right) => {
            visit(left, f);
            if let BinaryOp::Pipe(Some(pattern)) = op {
                visit_pattern(pattern, f);
            }
            visit(right, f);
        }
        Term::Fold(_, source, pattern, steps) => {
            visit(source, f);
            visit_pattern(pattern, f);
            visit_all(steps, f);
        }
        Term::TryCatch(body, catch) => {
            visit(body, f);
            if let Some(catch) = catch {
                visit(catch, f);
            }
        }
        Term::IfThenElse(branches, otherwise) => {
            for (condition, then) in branches {
                visit(condition, f);
                visit(then, f);
            }
            if let Some(otherwise) = otherwise {
                visit(otherwise, f);
            }
        }
        Term::Def(defs, body) => {
            for def in defs {
                visit(&mut def.body, f);
            }
            visit(body, f);
        }
        Term::Call(_, arguments) => visit_all(arguments, f),
        Term::Path(from, path) => {
            visit(from, f);
            for (part, _) in &mut path.0 {
                match part {
                    Part::Index(index) => visit(index, f),
                    Part::Range(start, end) => {
                        visit_all(start, f);
                        visit_all(end, f);
                    }
                }
            }
        }
    }
}

fn visit_all<'t, 's: 't>(
    terms: impl IntoIterator<Item = &'t mut Term<&'s str>>,
    f: &mut impl FnMut(&mut Term<&'s str>),
) {
    terms.into_iter().for_each(|term| visit(term, f));
}

fn visit_pattern<'s>(pattern: &mut Pattern<&'s str>, f: &mut impl FnMut(&mut Term<&'s str>)) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(patterns) => patterns
            .iter_mut()
            .for_each(|pattern| visit_pattern(pattern, f)),
        Pattern::Obj(members) => {
            for (key, pattern) in members {
                visit(key, f);
                visit_pattern(pattern, f);
            }
        }
    }
}

/// `.`, but for the look at the stack.
fn guard() -> Fun<Data> {
    let native = Native::new(|(_, value)| box_once(enough_stack().map(|()| value)))
        .with_paths(|(_, value)| box_once(enough_stack().map(|()| value)))
        .with_update(|(_, value), update| match enough_stack() {
            Ok(()) => update(value),
            Err(exception) => box_once(Err(exception)),
        });
    (GUARD, Box::default(), native)
}

fn enough_stack<'a>() -> Result<(), Exn<'a, Val>> {
    let here = 0u8;
    let used = STACK_START.get().abs_diff(std::ptr::from_ref(&here).addr());
    if used > RECURSION_BYTES {
        Err(Exn::halt(TOO_DEEP))
    } else {
        Ok(())
    }
}

fn not_jq(text: &str, found: &str, expected: &str) -> Error {
    let what = match found.chars().next() {
        None => format!("{expected} is missing at the end"),
        Some(_) => format!("expected {expected}, found '{}'", echo(found)),
    };
    bad_filter(text, found, &what)
}

/// `Usage` about the place in `text` where `found`, a part of it, begins.
fn bad_filter(text: &str, found: &str, what: &str) -> Error {
    let offset = found.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let offset = if found.is_empty() || offset > text.len() {
        text.len()
    } else {
        offset
    };
    let column = text
        .get(..offset)
        .map_or(offset, |before| before.chars().count())
        + 1;
    Error::new(
        ErrorKind::Usage,
        format!(
            "the filter '{}' is not valid jq: {what}, at character {column}",
            echo(text)
        ),
    )
    .offset(offset as u64)
    .hint("a filter is a jq expression over the whole message, such as '.data.level == \"error\"'")
}

fn failed(what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Usage, format!("this message {what}"))
        .hint("select messages by --tag instead")
        .caused_by(cause)
}

#[cfg(test)]
mod tests;
