//! The command line of the suite.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::json;

use crate::matrix::{self, Matrix};
use crate::report::{self, Report};
use crate::runner::Target;
use crate::suite::{self, CaseReport};
use crate::surface::{self, Abi, Adapter, Kind, Surface};
use crate::{case, clause, files, selftest};

/// Run the cases of the specification against every surface
#[derive(Parser)]
#[command(name = "conformance")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Break each surface on purpose, and see that the cases notice
    Selftest {
        /// Only these saboteurs
        #[arg(long, value_name = "NAME")]
        saboteur: Vec<String>,
    },
    /// Lock the text of the clauses as it is now
    Lock,
    /// Answer the adapter protocol for a surface of this project
    #[command(hide = true)]
    Adapter {
        surface: String,
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        url: Option<String>,
        #[arg(long)]
        token: Option<String>,
    },
}

#[derive(Args)]
struct RunArguments {
    /// Only the case of this name, or those whose names begin so
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Read the cases from another directory
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Only these surfaces
    #[arg(long, value_name = "NAME")]
    surface: Vec<String>,
    /// Run against another program with this command line
    #[arg(long, value_name = "PATH", group = "implementation")]
    cli: Option<PathBuf>,
    /// Run against a server that runs already
    #[arg(long, value_name = "URL", group = "implementation")]
    http: Option<String>,
    /// Run against another build of the C ABI's header
    #[arg(long, value_name = "FILE", group = "implementation")]
    abi: Option<PathBuf>,
    /// Run against an adapter
    #[arg(long, value_name = "COMMAND", group = "implementation")]
    adapter: Option<String>,
    /// Write the reports there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
}

/// Does what the process was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = set_signals_up() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    let result = match arguments.command {
        Some(Command::Adapter {
            surface,
            dir,
            url,
            token,
        }) => Kind::named(&surface)
            .context("there is no such surface")
            .and_then(|kind| surface::serve_protocol(kind, &dir, url.as_deref(), token.as_deref()))
            .map(|()| true),
        Some(Command::Selftest { saboteur }) => run_selftest(&arguments.run, &saboteur),
        Some(Command::Lock) => lock().map(|()| true),
        None => run(&arguments.run),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn set_signals_up() -> Result<()> {
    // Files are cut under handles of this process, and that must end no process (ERR-18).
    plasmite::install_sigbus_guard()?;
    // Under `nohup` every process ignores SIGHUP, and the programs under test would inherit that. A handler is not
    // inherited: what this process starts has the default again. The run itself goes on to its end.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default())?;
    Ok(())
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn root() -> &'static Path {
    home().parent().unwrap_or(home())
}

fn lock() -> Result<()> {
    let clauses = clause::read_all(root())?;
    for moved in clause::moved(&clauses, &home().join("clauses.lock.json"))? {
        println!("{moved}");
    }
    clause::write_lock(&clauses, &home().join("clauses.lock.json"))
}

fn run_selftest(arguments: &RunArguments, only: &[String]) -> Result<bool> {
    let cases = case::load(&home().join("cases"), &home().join("case.schema.json"))?;
    let public = tempfile::Builder::new()
        .prefix("conformance-bin-")
        .tempdir()?;
    let targets = targets(arguments, public.path())?;
    Ok(selftest::run_all(&cases, &targets, arguments.jobs, only))
}

fn run(arguments: &RunArguments) -> Result<bool> {
    let (started, clock) = (jiff::Timestamp::now(), Instant::now());
    let dir = arguments
        .cases
        .clone()
        .unwrap_or_else(|| home().join("cases"));
    let mut cases = case::load(&dir, &home().join("case.schema.json"))?;
    let wanted = |case: &case::Case| {
        arguments
            .case
            .iter()
            .any(|name| case.name.starts_with(name.as_str()))
    };
    cases.retain(|case| arguments.case.is_empty() || wanted(case));
    if cases.is_empty() {
        bail!("there is no case of that name");
    }
    let public = tempfile::Builder::new()
        .prefix("conformance-bin-")
        .tempdir()?;
    let targets = targets(arguments, public.path())?;
    // One server has one set of pools.
    let jobs = if arguments.http.is_some() {
        1
    } else {
        arguments.jobs
    };
    let reports = suite::run_all(&cases, &targets, jobs, &progress);
    // The matrix is that of the whole suite on the surfaces of this project.
    let whole = arguments.is_whole();
    let clauses = clause::read_all(root())?;
    let mut problems = Vec::new();
    let (mut matrix, mut kinds) = (Matrix::default(), Vec::new());
    if whole {
        problems.extend(clause::moved(&clauses, &home().join("clauses.lock.json"))?);
        matrix = matrix::build(home(), &clauses, &cases, &reports)?;
        problems.append(&mut matrix.problems);
        kinds = matrix::kinds(home(), &reports, &mut problems)?;
    }
    let report = Report {
        target: arguments.target(),
        time: started.to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        surfaces: targets.iter().map(|target| target.kind.name()).collect(),
        cases: reports,
        matrix,
        kinds,
        problems,
    };
    report::print(&report, whole);
    let out = arguments.out.clone().unwrap_or_else(default_out);
    report::write(&report, &out)?;
    println!("{}", out.join("index.html").display());
    Ok(report.is_good())
}

/// `target/conformance`, beside the programs that were built.
fn default_out() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own.parent().and_then(Path::parent).unwrap_or(root());
    target.join("conformance")
}

impl RunArguments {
    fn is_whole(&self) -> bool {
        self.case.is_empty()
            && self.cases.is_none()
            && self.surface.is_empty()
            && self.cli.is_none()
            && self.http.is_none()
            && self.abi.is_none()
            && self.adapter.is_none()
    }

    fn target(&self) -> String {
        if let Some(path) = &self.abi {
            return format!("the library {}", path.display());
        }
        match (&self.cli, &self.http, &self.adapter) {
            (Some(path), ..) => format!("the program {}", path.display()),
            (_, Some(url), _) => format!("the server {url}"),
            (.., Some(command)) => format!("the adapter `{command}`"),
            _ => "this project".to_owned(),
        }
    }
}

fn targets(arguments: &RunArguments, public: &Path) -> Result<Vec<Target>> {
    let own = std::env::current_exe()?;
    let program = match &arguments.cli {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("cannot find {}", path.display()))?,
        None => own.with_file_name("plasmite"),
    };
    let library = match &arguments.abi {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("cannot find {}", path.display()))?,
        None => default_library(&own),
    };
    let abi = Abi {
        library,
        adapter: home().join("abi/adapter.py"),
    };
    let (public_program, public_abi) = publish(&program, &own, &abi, public)?;
    let target = |kind| Target {
        kind,
        program: program.clone(),
        public_program: public_program.clone(),
        abi: abi.clone(),
        public_abi: public_abi.clone(),
        url: None,
        adapter: None,
        saboteur: None,
    };
    if let Some(command) = &arguments.adapter {
        let hello = json!({"op": "hello", "protocol": 1});
        let told = Adapter::start(command)?.call(hello.as_object().context("an object")?);
        let can = told["ok"]["can"]
            .as_array()
            .context("no answer to `hello`")?;
        let can = can
            .iter()
            .filter_map(|word| word.as_str())
            .map(str::to_owned)
            .collect();
        return Ok(vec![Target {
            adapter: Some((command.clone(), can)),
            ..target(Kind::Adapter)
        }]);
    }
    if let Some(url) = &arguments.http {
        return Ok(vec![Target {
            url: Some(url.trim_end_matches('/').to_owned()),
            ..target(Kind::Http)
        }]);
    }
    let kinds = match (&arguments.cli, &arguments.abi) {
        (Some(_), _) => vec![Kind::Cli],
        (_, Some(_)) => vec![Kind::Abi],
        _ => Kind::OWN.to_vec(),
    };
    let wanted = |kind: &Kind| {
        arguments.surface.is_empty() || arguments.surface.iter().any(|name| name == kind.name())
    };
    Ok(kinds.into_iter().filter(wanted).map(target).collect())
}

/// Where `make` puts the shared library, beside the programs that were built.
fn default_library(own: &Path) -> PathBuf {
    let target = own.parent().and_then(Path::parent).unwrap_or(root());
    target.join("library/prefix/lib/libplasmite.so")
}

/// Copies the programs and the library to where every user may run them.
fn publish(program: &Path, own: &Path, abi: &Abi, public: &Path) -> Result<(PathBuf, Abi)> {
    files::chmod(public, 0o755)?;
    let copy = |file: &Path| -> Result<PathBuf> {
        let copied = public.join(file.file_name().context("no name")?);
        if file.exists() {
            std::fs::copy(file, &copied)?;
            files::chmod(&copied, 0o755)?;
        }
        Ok(copied)
    };
    copy(own)?;
    copy(&program.with_file_name("pls"))?;
    let public_abi = Abi {
        library: copy(&abi.library)?,
        adapter: copy(&abi.adapter)?,
    };
    Ok((copy(program)?, public_abi))
}

fn progress(done: usize, all: usize, report: &CaseReport) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{done}/{all} {}", report.name);
        if done == all {
            eprint!("\r\x1b[K");
        }
    }
}
