//! One case on one surface: its steps, one after another, each held against what is expected and what always holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::case::{Case, Step};
use crate::files;
use crate::ledger::{Ledger, Progress, check_error, check_info};
use crate::observe::{normalise, trace};
use crate::pattern::{mismatch, short};
use crate::pool_file;
use crate::saboteur::{Sabotaged, Saboteur};
use crate::server::{Server, ServerCommand};
use crate::surface::{self, Abi, Adapter, Kind, Place, Surface};
use crate::vars::{Bound, Names, fill, fill_step};

/// More appends than this are what fills a ring, whatever way it goes.
const MANY: usize = 50;

/// What a case is run against.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    /// The same, where everybody may run it.
    pub(crate) public_program: PathBuf,
    /// The shared library, and the same where everybody may load it.
    pub(crate) abi: Abi,
    pub(crate) public_abi: Abi,
    /// A server that runs already.
    pub(crate) url: Option<String>,
    /// The command of an adapter, and what it can do.
    pub(crate) adapter: Option<(String, Vec<String>)>,
    pub(crate) saboteur: Option<&'static Saboteur>,
}

impl Target {
    pub(crate) fn can(&self, word: &str) -> bool {
        match &self.adapter {
            Some((_, can)) => can.iter().any(|able| able == word),
            None if self.url.is_some() => {
                matches!(word, "batch" | "live" | "actors" | "remote" | "max")
            }
            None => self.kind.can().contains(&word),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) failure: Option<Failure>,
    pub(crate) steps: Vec<Done>,
    pub(crate) millis: u64,
    /// What other surfaces are compared by.
    #[serde(skip)]
    pub(crate) trace: Vec<(String, Value)>,
}

/// The step at which a case failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// Its place among the steps, counted from 1: `3`, or `3.1.2` inside others.
    pub(crate) step: String,
    pub(crate) request: Value,
    pub(crate) expected: Value,
    pub(crate) observed: Value,
    pub(crate) why: String,
}

/// A step that was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Done {
    pub(crate) step: String,
    pub(crate) request: Value,
    pub(crate) observed: Value,
}

/// A case that is being run.
struct Run<'a> {
    case: &'a Case,
    target: &'a Target,
    root: TempDir,
    server: Mutex<Option<Server>>,
    servers: Mutex<BTreeMap<String, Server>>,
    actors: Mutex<BTreeMap<String, Actor>>,
    ledger: Mutex<Ledger>,
    progress: Mutex<BTreeMap<(String, String), (String, Progress)>>,
    locks: Mutex<BTreeMap<String, File>>,
    /// Tails that could not be opened: a program that follows says so later than a call does, so all say it at the
    /// first read.
    unopened: Mutex<BTreeMap<(String, String), Value>>,
}

type Actor = Arc<Mutex<Box<dyn Surface>>>;

/// The steps of one thread: what it has bound, and what it has done.
struct Thread {
    bound: Bound,
    done: Vec<Done>,
    trace: Vec<(String, Value)>,
}

pub(crate) fn run(case: &Case, target: &Target) -> Outcome {
    let start = Instant::now();
    let mut thread = Thread {
        bound: Bound::new(),
        done: Vec::new(),
        trace: Vec::new(),
    };
    let failure = match Run::new(case, target) {
        Ok(run) => run.steps(&case.steps, "", &mut thread).err(),
        Err(error) => Some(Box::new(Failure {
            step: "0".into(),
            request: Value::Null,
            expected: Value::Null,
            observed: Value::Null,
            why: format!("the case cannot be set up: {error:#}"),
        })),
    };
    Outcome {
        failure: failure.map(|failure| *failure),
        steps: thread.done,
        millis: start.elapsed().as_millis() as u64,
        trace: thread.trace,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, target: &'a Target) -> Result<Run<'a>> {
        let root = tempfile::Builder::new().prefix("conformance-").tempdir()?;
        if case.unprivileged {
            files::give_away(root.path())?;
        }
        let run = Run {
            case,
            target,
            root,
            server: Mutex::new(None),
            servers: Mutex::default(),
            actors: Mutex::default(),
            ledger: Mutex::default(),
            progress: Mutex::default(),
            locks: Mutex::default(),
            unopened: Mutex::default(),
        };
        if let Some(token) = &case.server.token {
            files::write(
                &run.root.path().join("client.token"),
                token.as_bytes(),
                case.unprivileged,
            )?;
            files::chmod(&run.root.path().join("client.token"), 0o600)?;
        }
        if target.url.is_some() {
            run.empty_server()?;
        }
        if target.kind.is_remote() && target.url.is_none() {
            for (name, text) in &case.server.files {
                let text = crate::vars::plain(&fill(&text.as_str().into(), &Bound::new(), &run));
                files::write(
                    &run.root.path().join(name),
                    text.as_bytes(),
                    case.unprivileged,
                )?;
                files::chmod(&run.root.path().join(name), 0o600)?;
            }
            *lock(&run.server) = Some(Server::start(run.server_command(&case.server.args))?);
        }
        Ok(run)
    }

    /// A server that was there before the case has to have no pools; it is given to the suite.
    fn empty_server(&self) -> Result<()> {
        let mut surface = surface::open(self.target.kind, &self.place(), "main")?;
        let mut ask = |request: Value| Ok(surface.call(request.as_object().context("an object")?));
        let listed: Result<Value> = ask(json!({"op": "list"}));
        for pool in listed?["ok"]["pools"].as_array().into_iter().flatten() {
            let deleted: Result<Value> = ask(json!({"op": "delete", "pool": pool["name"]}));
            anyhow::ensure!(
                deleted?.get("ok").is_some(),
                "cannot delete {}",
                pool["name"]
            );
        }
        Ok(())
    }

    fn server_command(&self, args: &[String]) -> ServerCommand {
        let bound = Bound::new();
        let filled = |arg: &String| crate::vars::plain(&fill(&arg.as_str().into(), &bound, self));
        ServerCommand {
            program: self.program().to_owned(),
            dir: self.root.path().to_owned(),
            args: args.iter().map(filled).collect(),
            unprivileged: self.case.unprivileged,
        }
    }

    fn program(&self) -> &Path {
        if self.case.unprivileged {
            &self.target.public_program
        } else {
            &self.target.program
        }
    }

    fn place(&self) -> Place {
        let own = lock(&self.server).as_ref().map(|server| server.url.clone());
        Place {
            dir: self.root.path().to_owned(),
            program: self.program().to_owned(),
            abi: match self.case.unprivileged {
                true => self.target.public_abi.clone(),
                false => self.target.abi.clone(),
            },
            url: own.or_else(|| self.target.url.clone()),
            token: self.case.server.token.clone(),
            unprivileged: self.case.unprivileged,
        }
    }

    fn actor(&self, name: &str) -> Result<Actor> {
        if let Some(actor) = lock(&self.actors).get(name) {
            return Ok(actor.clone());
        }
        let mut opened = match &self.target.adapter {
            Some((command, _)) => Box::new(Adapter::start(command)?),
            None => surface::open(self.target.kind, &self.place(), name)?,
        };
        if let Some(saboteur) = self.target.saboteur {
            opened = Box::new(Sabotaged::new(saboteur, opened));
        }
        if self.target.adapter.is_some() {
            let pools = self.place().pools();
            let reset = json!({"op": "reset", "dir": pools});
            opened.call(reset.as_object().context("an object")?);
        }
        let actor = Arc::new(Mutex::new(opened));
        lock(&self.actors).insert(name.to_owned(), actor.clone());
        Ok(actor)
    }

    fn pool_file(&self, pool: &str) -> PathBuf {
        if pool.contains('/') {
            return PathBuf::from(pool);
        }
        let name = pool.strip_suffix(".plasmite").unwrap_or(pool);
        self.place().pools().join(format!("{name}.plasmite"))
    }

    fn steps(&self, steps: &[Step], prefix: &str, thread: &mut Thread) -> Result<(), Box<Failure>> {
        for (i, step) in steps.iter().enumerate() {
            self.step(step, &format!("{prefix}{}", i + 1), thread)?;
        }
        Ok(())
    }

    fn step(&self, step: &Step, place: &str, thread: &mut Thread) -> Result<(), Box<Failure>> {
        let mut request = fill_step(step, &thread.bound, &Files { run: self, step });
        let expect = request
            .remove("expect")
            .map(|expect| fill(&expect, &thread.bound, self));
        let bind = request.remove("bind");
        let in_trace = request
            .remove("trace")
            .and_then(|value| value.as_bool())
            .unwrap_or(true);
        let done = thread.done.len();
        let fail = |why: String, observed: Value| {
            Box::new(Failure {
                step: place.to_owned(),
                request: recorded(&Value::Object(request.clone())),
                expected: recorded(&expect.clone().unwrap_or_else(|| json!({"ok": {}}))),
                observed: recorded(&observed),
                why,
            })
        };
        if let Some(inner) = self.composite(&request, place, thread) {
            return inner;
        }
        let observed = match self.perform(&request, place, thread) {
            Ok(observed) => observed,
            Err(error) => return Err(fail(format!("{error:#}"), Value::Null)),
        };
        thread.done.insert(
            done,
            Done {
                step: place.to_owned(),
                request: recorded(&Value::Object(request.clone())),
                observed: recorded(&observed),
            },
        );
        if let Some(why) = unexpected(expect.as_ref(), &observed) {
            return Err(fail(why, observed));
        }
        for (name, pointer) in bind
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let found = found_at(&observed, pointer.as_str().unwrap_or_default());
            let Some(found) = found else {
                return Err(fail(
                    format!("there is nothing at {pointer} to bind to {name}"),
                    observed,
                ));
            };
            thread.bound.insert(name.clone(), found);
        }
        let own = matches!(
            request.get("do").and_then(Value::as_str),
            Some(
                "cli"
                    | "http"
                    | "serve"
                    | "write"
                    | "eof"
                    | "output"
                    | "signal"
                    | "exit"
                    | "file"
                    | "probe"
            )
        );
        if in_trace && !own {
            let mut shown = trace(&observed);
            // The words of a file's header differ by its boot, its wake-ups and its checkpoints.
            if let Some(inspected) = shown.get_mut("ok").and_then(Value::as_object_mut) {
                inspected.remove("fields");
            }
            thread.trace.push((place.to_owned(), shown));
        }
        Ok(())
    }

    /// Steps that hold others.
    fn composite(
        &self,
        step: &Step,
        place: &str,
        thread: &mut Thread,
    ) -> Option<Result<(), Box<Failure>>> {
        let steps = step.get("steps").and_then(Value::as_array)?;
        let inner = |value: &Value| value.as_object().cloned();
        match step.get("do").and_then(Value::as_str)? {
            "repeat" => {
                let steps: Vec<Step> = steps.iter().filter_map(inner).collect();
                let before = thread.bound.get("i").cloned();
                for i in 1..=step.get("times").and_then(Value::as_u64).unwrap_or(1) {
                    thread.bound.insert("i".into(), i.into());
                    if let Err(failure) = self.steps(&steps, &format!("{place}.{i}."), thread) {
                        return Some(Err(failure));
                    }
                }
                match before {
                    Some(before) => thread.bound.insert("i".into(), before),
                    None => thread.bound.remove("i"),
                };
                Some(Ok(()))
            }
            "parallel" => {
                let threads: Vec<Vec<Step>> = steps
                    .iter()
                    .map(|steps| {
                        steps
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(inner)
                            .collect()
                    })
                    .collect();
                Some(self.parallel(&threads, place, thread))
            }
            _ => None,
        }
    }

    fn parallel(
        &self,
        all: &[Vec<Step>],
        place: &str,
        thread: &mut Thread,
    ) -> Result<(), Box<Failure>> {
        let bound = &thread.bound;
        let ended: Vec<(Thread, Result<(), Box<Failure>>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter()
                .enumerate()
                .map(|(i, steps)| {
                    scope.spawn(move || {
                        let mut own = Thread {
                            bound: bound.clone(),
                            done: Vec::new(),
                            trace: Vec::new(),
                        };
                        let result = self.steps(steps, &format!("{place}.{}.", i + 1), &mut own);
                        (own, result)
                    })
                })
                .collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined
                .map(|ended| ended.expect("a thread of a case does not panic"))
                .collect()
        });
        let mut first = Ok(());
        for (own, result) in ended {
            thread.done.extend(own.done);
            thread.trace.extend(own.trace);
            first = first.and(result);
        }
        first
    }

    /// Does a step and returns what was observed. An error is one of the suite or of what always holds.
    fn perform(&self, step: &Step, place: &str, thread: &mut Thread) -> Result<Value> {
        let what = step
            .get("do")
            .and_then(Value::as_str)
            .context("a step without `do`")?;
        match what {
            "append_many" => self.append_many(step, thread),
            "probe" => self.probe(step, place, thread),
            "kill" => self.kill(step),
            "restart" => self.restart(step),
            "serve" => self.serve(step),
            "inspect" => {
                let file = self.pool_file(surface::text(step, "pool")?);
                Ok(json!({"ok": pool_file::inspect(&file)?}))
            }
            "patch" => {
                let pool = surface::text(step, "pool")?;
                lock(&self.ledger).touch(pool);
                Ok(json!({"ok": pool_file::patch(&self.pool_file(pool), step)?}))
            }
            "file" => self.file_step(step),
            "lock" => {
                let pool = surface::text(step, "pool")?;
                let file = File::open(self.pool_file(pool))?;
                fs2::FileExt::lock_exclusive(&file)?;
                lock(&self.locks).insert(pool.to_owned(), file);
                Ok(json!({"ok": {}}))
            }
            "unlock" => {
                let pool = surface::text(step, "pool")?;
                lock(&self.locks)
                    .remove(pool)
                    .context("the runner holds no such lock")?;
                Ok(json!({"ok": {}}))
            }
            _ => self.operation(what, step),
        }
    }

    /// Asks the surface, and holds the answer against what always holds.
    fn operation(&self, what: &str, step: &Step) -> Result<Value> {
        let mut request = step.clone();
        request.remove("do");
        request.insert("op".into(), what.into());
        let actor_name = match request.remove("actor") {
            Some(Value::String(name)) => name,
            _ => "main".to_owned(),
        };
        let tail = (
            actor_name.clone(),
            surface::text(&request, "tail")
                .unwrap_or_default()
                .to_owned(),
        );
        if what == "read"
            && let Some(failed) = lock(&self.unopened).get(&tail)
        {
            return Ok(failed.clone());
        }
        let actor = self.actor(&actor_name)?;
        let before = now();
        let answer = lock(&actor).call(&request);
        let after = now();
        if let Some(why) = answer.get("broken") {
            bail!("{}", why.as_str().unwrap_or_default());
        }
        if answer.get("unimplemented").is_some() {
            bail!("`{what}` is not implemented here");
        }
        let mut observed = answer
            .as_object()
            .context("an answer is an object")?
            .clone();
        observed.remove("id");
        let observed = normalise(&Value::Object(observed)).map_err(|why| anyhow!(why))?;
        let mut observed = observed;
        if what == "tail" && observed.get("error").is_some() && observed.get("items").is_none() {
            observed["items"] = json!([]);
        }
        self.always(what, &actor_name, &request, &observed, (&before, &after))?;
        if what == "open_tail" && observed.get("error").is_some() {
            observed["items"] = json!([]);
            lock(&self.unopened).insert(tail, observed);
            return Ok(json!({"ok": {}}));
        }
        Ok(observed)
    }

    fn always(
        &self,
        what: &str,
        actor: &str,
        request: &Step,
        observed: &Value,
        times: (&str, &str),
    ) -> Result<()> {
        let ok = observed.get("ok");
        anyhow::ensure!(
            ok.is_some() || observed.get("error").is_some(),
            "neither `ok` nor `error`: {}",
            short(observed)
        );
        if let Some(error) = observed.get("error") {
            let by_http = self.target.kind == Kind::Http;
            check_error(error, observed.get("code"), by_http)?;
        }
        let pool = request
            .get("pool")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut ledger = lock(&self.ledger);
        match (what, ok) {
            ("create" | "delete", Some(_)) => ledger.forget(&pool),
            ("append", Some(ok)) => {
                let data = request.get("data").and_then(Value::as_str);
                ledger.receipt(&pool, &ok["receipt"], data, times)?;
            }
            ("append_stream", Some(ok)) => {
                let data = surface::texts(request, "records");
                let receipts = ok["receipts"].as_array().context("no receipts")?;
                anyhow::ensure!(
                    receipts.len() == data.len(),
                    "{} receipts for {} messages",
                    receipts.len(),
                    data.len()
                );
                for (receipt, data) in receipts.iter().zip(&data) {
                    ledger.receipt(&pool, receipt, Some(data), times)?;
                }
            }
            ("append_batch", Some(ok)) => {
                let messages = request
                    .get("messages")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                let data: Vec<_> = messages.map(|message| message["data"].as_str()).collect();
                let receipts = ok["receipts"].as_array().context("no receipts")?;
                anyhow::ensure!(
                    receipts.len() == data.len(),
                    "{} receipts for {} messages",
                    receipts.len(),
                    data.len()
                );
                for (receipt, data) in receipts.iter().zip(data) {
                    if request.contains_key("stamps") {
                        ledger.stamped(&pool, receipt, data)?;
                    } else {
                        ledger.receipt(&pool, receipt, data, times)?;
                    }
                }
            }
            ("info", Some(ok)) => check_info(&ok["info"])?,
            ("get", Some(ok)) => {
                ledger.read(&pool, &ok["message"])?;
                let asked = request.get("seq");
                anyhow::ensure!(
                    ok["message"].get("seq") == asked,
                    "asked for message {asked:?}, came {}",
                    ok["message"]["seq"]
                );
            }
            ("open_tail", Some(_)) => {
                let tail = surface::text(request, "tail")?.to_owned();
                let progress = Progress::new(request.get("start"), filtered(request));
                lock(&self.progress).insert((actor.to_owned(), tail), (pool, progress));
            }
            ("tail", _) => {
                let mut progress = Progress::new(request.get("start"), filtered(request));
                check_all(&mut ledger, &pool, &mut progress, observed)?;
            }
            ("read", _) => {
                let tail = surface::text(request, "tail")?.to_owned();
                let mut all = lock(&self.progress);
                let (pool, progress) = all
                    .get_mut(&(actor.to_owned(), tail))
                    .context("no such tail")?;
                check_all(&mut ledger, pool, progress, observed)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn append_many(&self, step: &Step, thread: &mut Thread) -> Result<Value> {
        let count = surface::number(step, "count").context("no count")?;
        let before = thread.bound.get("i").cloned();
        let requests: Vec<Step> = (1..=count)
            .map(|i| {
                thread.bound.insert("i".into(), i.into());
                // `$i` of a repeat around this step was filled in before; this one is its own.
                let mut request = fill_step(step, &thread.bound, self);
                request.remove("count");
                request
            })
            .collect();
        match before {
            Some(before) => thread.bound.insert("i".into(), before),
            None => thread.bound.remove("i"),
        };
        // Where each would be a process of its own, many are one stream. `feed` may make batches of it.
        if self.target.kind.is_cli() && requests.len() > MANY {
            return self.append_stream(&requests);
        }
        let mut last = Value::Null;
        for request in &requests {
            last = self.operation("append", request)?;
            if last.get("error").is_some() {
                break;
            }
        }
        Ok(last)
    }

    fn append_stream(&self, requests: &[Step]) -> Result<Value> {
        let Some(first) = requests.first() else {
            return Ok(json!({"ok": {}}));
        };
        let data: Vec<&str> = requests
            .iter()
            .filter_map(|request| request.get("data")?.as_str())
            .collect();
        let mut request = first.clone();
        request.remove("data");
        request.insert("records".into(), data.into());
        let mut observed = self.operation("append_stream", &request)?;
        if let Some(receipts) = observed
            .pointer_mut("/ok/receipts")
            .and_then(Value::as_array_mut)
        {
            let last = receipts.pop().unwrap_or_default();
            observed = json!({"ok": {"receipt": last}});
        }
        Ok(observed)
    }

    fn probe(&self, step: &Step, _place: &str, _thread: &mut Thread) -> Result<Value> {
        let deadline = Instant::now() + crate::PATIENCE;
        let mut append = Map::new();
        append.insert("pool".into(), step.get("pool").context("no pool")?.clone());
        append.insert("data".into(), "\"probe\"".into());
        let mut read = Map::new();
        for name in ["tail", "actor"] {
            if let Some(value) = step.get(name) {
                read.insert(name.into(), value.clone());
            }
        }
        read.insert("count".into(), 1.into());
        read.insert("patience_ms".into(), 50.into());
        let mut newest = 0;
        let mut seen = None;
        while seen.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "the tail shows no message");
            let appended = self.operation("append", &append)?;
            newest = appended["ok"]["receipt"]["seq"]
                .as_u64()
                .context("no seq")?;
            let items = self.operation("read", &read)?;
            seen = items["ok"]["items"][0]["message"]["seq"].as_u64();
        }
        read.remove("patience_ms");
        while seen.is_some_and(|seen| seen < newest) {
            let items = self.operation("read", &read)?;
            seen = items["ok"]["items"][0]["message"]["seq"].as_u64();
        }
        Ok(json!({"ok": {"last": newest}}))
    }

    fn kill(&self, step: &Step) -> Result<Value> {
        let name = surface::text(step, "actor")?;
        let actor = lock(&self.actors).remove(name);
        let actor = actor.with_context(|| format!("there is no actor {name}"))?;
        // An actor that is being asked right now is killed all the same once its answer is in.
        lock(&actor).kill();
        lock(&self.progress).retain(|(actor, _), _| actor != name);
        lock(&self.unopened).retain(|(actor, _), _| actor != name);
        Ok(json!({"ok": {}}))
    }

    fn restart(&self, step: &Step) -> Result<Value> {
        let signal = step.get("signal").and_then(Value::as_str).unwrap_or("TERM");
        if let Some(server) = lock(&self.server).as_mut() {
            if step.get("stop").and_then(Value::as_bool) == Some(true) {
                server.stop(signal)?;
            } else {
                server.restart(signal)?;
            }
            return Ok(json!({"ok": {}}));
        }
        for actor in lock(&self.actors).values() {
            lock(actor).call(json!({"op": "reopen"}).as_object().context("an object")?);
        }
        Ok(json!({"ok": {}}))
    }

    fn serve(&self, step: &Step) -> Result<Value> {
        let name = surface::text(step, "as")?.to_owned();
        let server = Server::start(self.server_command(&surface::texts(step, "args")))?;
        let url = server.url.clone();
        lock(&self.servers).insert(name, server);
        Ok(json!({"ok": {"url": url}}))
    }

    fn file_step(&self, step: &Step) -> Result<Value> {
        let harmless = ["read", "exists", "stat", "chmod", "mkdir", "mkfifo"];
        if !harmless.iter().any(|name| step.contains_key(*name)) {
            lock(&self.ledger).touch_all();
        }
        let observed = files::step(step, self.root.path(), self.case.unprivileged)?;
        Ok(json!({"ok": observed}))
    }
}

/// In a step on files, a pool is its file.
struct Files<'a> {
    run: &'a Run<'a>,
    step: &'a Step,
}

impl Names for Files<'_> {
    fn pool(&self, name: &str) -> String {
        match self.step.get("do").and_then(Value::as_str) {
            Some("file") => Names::file(self.run, name),
            _ => self.run.pool(name),
        }
    }

    fn file(&self, name: &str) -> String {
        Names::file(self.run, name)
    }

    fn dir(&self) -> String {
        self.run.dir()
    }

    fn url(&self, server: Option<&str>) -> String {
        self.run.url(server)
    }
}

impl Names for Run<'_> {
    fn pool(&self, name: &str) -> String {
        self.place().reference(self.target.kind.is_remote(), name)
    }

    fn file(&self, name: &str) -> String {
        self.pool_file(name).to_string_lossy().into_owned()
    }

    fn dir(&self) -> String {
        self.root.path().to_string_lossy().into_owned()
    }

    fn url(&self, server: Option<&str>) -> String {
        match server {
            Some(name) => lock(&self.servers)
                .get(name)
                .map(|server| server.url.clone())
                .unwrap_or_default(),
            None => self.place().url.unwrap_or_default(),
        }
    }
}

fn check_all(
    ledger: &mut Ledger,
    pool: &str,
    progress: &mut Progress,
    observed: &Value,
) -> Result<()> {
    let items = observed
        .pointer("/ok/items")
        .or_else(|| observed.get("items"));
    let items = items
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    progress.check(items)?;
    for item in items {
        if item["message"].is_object() {
            ledger.read(pool, &item["message"])?;
        }
    }
    Ok(())
}

fn filtered(request: &Step) -> bool {
    !surface::texts(request, "tags").is_empty()
}

/// A value as reports have it: no longer than anybody reads.
fn recorded(value: &Value) -> Value {
    const MOST: usize = 1000;
    match value {
        Value::String(text) if text.len() > MOST => {
            let start: String = text.chars().take(MOST / 4).collect();
            format!("{start}... ({} bytes)", text.len()).into()
        }
        Value::Array(items) => items.iter().map(recorded).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), recorded(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// What is at a JSON pointer into `ok` or `error`; behind a `#`, at one into the JSON that the text there is.
fn found_at(observed: &Value, pointer: &str) -> Option<Value> {
    let from = observed.get("ok").or_else(|| observed.get("error"))?;
    let (outer, inner) = pointer
        .split_once('#')
        .map_or((pointer, None), |(a, b)| (a, Some(b)));
    let found = from.pointer(outer)?;
    let Some(inner) = inner else {
        return Some(found.clone());
    };
    let json: Value = serde_json::from_str(found.as_str()?).ok()?;
    json.pointer(inner).cloned()
}

/// Why an observation is not what was expected.
fn unexpected(expect: Option<&Value>, observed: &Value) -> Option<String> {
    let wants_error = expect.is_some_and(|expect| expect.get("error").is_some());
    match (wants_error, observed.get("error")) {
        (false, Some(error)) => Some(format!(
            "expected success, observed the error {}",
            short(error)
        )),
        (true, None) => Some("expected an error, observed success".to_owned()),
        _ => mismatch(expect?, Some(observed)),
    }
}

fn now() -> String {
    let nanos = jiff::Timestamp::now();
    format!("{nanos:.9}")
}
