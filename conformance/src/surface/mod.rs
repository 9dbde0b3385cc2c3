//! Surfaces: each answers the requests of the adapter protocol, whatever it drives.

mod adapter;
mod answer;
mod api;
mod api_remote;
mod cli;
mod http;
mod tail;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::PATIENCE;

pub(crate) use adapter::Adapter;
pub(crate) use answer::CODES;

/// What is asked of a surface: `op` and its members.
pub(crate) type Request = Map<String, Value>;

/// One actor of a case on one surface.
pub(crate) trait Surface: Send {
    /// An object with `ok`, or `error` and `code`, or `unimplemented`, or `broken` where the surface itself failed.
    fn call(&mut self, request: &Request) -> Value;

    /// Kills what the actor runs (SIGKILL).
    fn kill(&mut self);
}

/// Where a case takes place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A directory of its own, in which programs run.
    pub(crate) dir: PathBuf,
    /// The program behind the command line.
    pub(crate) program: PathBuf,
    /// The shared library, and the adapter that loads it.
    pub(crate) abi: Abi,
    /// Where the server listens, on surfaces that have one.
    pub(crate) url: Option<String>,
    pub(crate) token: Option<String>,
    /// Whether processes are started as a user to whom permissions apply.
    pub(crate) unprivileged: bool,
}

/// A build of the C ABI's header, and the program that drives it by the adapter protocol.
#[derive(Clone, Debug)]
pub(crate) struct Abi {
    pub(crate) library: PathBuf,
    pub(crate) adapter: PathBuf,
}

impl Place {
    pub(crate) fn pools(&self) -> PathBuf {
        self.dir.join("pools")
    }

    /// How the surface refers to a pool in a command line.
    pub(crate) fn reference(&self, remote: bool, pool: &str) -> String {
        match &self.url {
            Some(url) if remote => format!("{url}/{pool}"),
            _ => pool.to_owned(),
        }
    }
}

/// The surfaces there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Cli,
    Api,
    Http,
    CliRemote,
    ApiRemote,
    Abi,
    /// Somebody else's.
    Adapter,
}

impl Kind {
    /// Those of this project.
    pub(crate) const OWN: [Kind; 6] = [
        Kind::Cli,
        Kind::Api,
        Kind::Http,
        Kind::CliRemote,
        Kind::ApiRemote,
        Kind::Abi,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Cli => "cli",
            Kind::Api => "api",
            Kind::Http => "http",
            Kind::CliRemote => "cli-remote",
            Kind::ApiRemote => "api-remote",
            Kind::Abi => "abi",
            Kind::Adapter => "adapter",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Kind> {
        let mut all = Kind::OWN.into_iter().chain([Kind::Adapter]);
        all.find(|kind| kind.name() == name)
    }

    pub(crate) fn is_remote(self) -> bool {
        matches!(self, Kind::Http | Kind::CliRemote | Kind::ApiRemote)
    }

    pub(crate) fn is_cli(self) -> bool {
        matches!(self, Kind::Cli | Kind::CliRemote)
    }

    /// What a surface of this project can do; the words are those of `README.md`.
    pub(crate) fn can(self) -> &'static [&'static str] {
        match self {
            Kind::Cli => &["files", "live", "verify", "actors", "processes"],
            Kind::Api | Kind::Abi => &[
                "files",
                "batch",
                "live",
                "verify",
                "actors",
                "processes",
                "stamps",
                "max",
            ],
            Kind::Http => &[
                "files",
                "batch",
                "live",
                "actors",
                "processes",
                "remote",
                "max",
            ],
            Kind::CliRemote => &["files", "live", "actors", "processes", "remote"],
            Kind::ApiRemote => &[
                "files",
                "batch",
                "live",
                "actors",
                "processes",
                "remote",
                "max",
            ],
            Kind::Adapter => &[],
        }
    }
}

/// Opens the surface for one actor. Actors beside `main` are processes of their own where the surface would
/// otherwise live in this one.
pub(crate) fn open(kind: Kind, place: &Place, actor: &str) -> Result<Box<dyn Surface>> {
    let own_process = actor != "main" || place.unprivileged;
    Ok(match kind {
        Kind::Cli | Kind::CliRemote => Box::new(cli::Cli::new(place.clone(), kind.is_remote())),
        Kind::Http => Box::new(http::Http::new(place)?),
        Kind::Api | Kind::ApiRemote if own_process => Box::new(Adapter::own(kind, place)?),
        Kind::Api => Box::new(api::Api::new(&place.pools())),
        Kind::ApiRemote => {
            let url = place.url.as_deref().context("no server")?;
            Box::new(api_remote::ApiRemote::new(url, place.token.as_deref())?)
        }
        Kind::Abi => Box::new(Adapter::abi(place)?),
        Kind::Adapter => bail!("an adapter is opened by its command"),
    })
}

/// Answers the adapter protocol for a surface of this project: how an actor becomes a process.
pub(crate) fn serve_protocol(
    kind: Kind,
    dir: &Path,
    url: Option<&str>,
    token: Option<&str>,
) -> Result<()> {
    let mut surface: Box<dyn Surface> = match kind {
        Kind::Api => Box::new(api::Api::new(&dir.join("pools"))),
        Kind::ApiRemote => Box::new(api_remote::ApiRemote::new(url.context("no URL")?, token)?),
        _ => bail!("only `api` and `api-remote` answer the protocol"),
    };
    let (stdin, stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    adapter::answer_lines(&mut *surface, stdin, stdout)
}

/// Answers the adapter protocol by the library, over any two streams.
pub(crate) fn answer_by_library(
    pools: &Path,
    requests: impl BufRead,
    answers: impl Write,
) -> Result<()> {
    adapter::answer_lines(&mut api::Api::new(pools), requests, answers)
}

/// A member of a request that is text.
pub(crate) fn text<'a>(request: &'a Request, name: &str) -> Result<&'a str> {
    let value = request.get(name).and_then(Value::as_str);
    value.with_context(|| format!("a request without `{name}`"))
}

/// A member of a request that is a whole number, where it is there.
pub(crate) fn number(request: &Request, name: &str) -> Option<u64> {
    request.get(name).and_then(Value::as_u64)
}

/// A member of a request that is an array of texts, empty where it is not there.
pub(crate) fn texts(request: &Request, name: &str) -> Vec<String> {
    let items = request.get(name).and_then(Value::as_array);
    let texts = items.into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The bytes of `data` or `data_base64`.
pub(crate) fn data(request: &Request) -> Result<Vec<u8>> {
    use base64::Engine;
    if let Some(text) = request.get("data_base64").and_then(Value::as_str) {
        return Ok(base64::engine::general_purpose::STANDARD.decode(text)?);
    }
    Ok(text(request, "data")?.as_bytes().to_vec())
}

/// How many items a `read` wants, and for how long at most it waits, where running out of time is no failure.
pub(crate) fn wanted(request: &Request) -> (usize, Option<Duration>) {
    let count = number(request, "count").map_or(usize::MAX, |count| count as usize);
    (
        count,
        number(request, "patience_ms").map(Duration::from_millis),
    )
}

/// The members of an object in text, each as the text that it is: no number or string of somebody's data is touched.
pub(crate) fn members(text: &str) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(text).ok()
}

/// A member as a value; nothing if it is one that this program's numbers and strings cannot hold.
pub(crate) fn value(members: &BTreeMap<String, Box<RawValue>>, name: &str) -> Value {
    let text = members.get(name).map(|member| member.get());
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// A part of a URL.
pub(crate) fn percent_encoded(text: &str) -> String {
    let kept = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes()
        .map(|byte| {
            if kept(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
