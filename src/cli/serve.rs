//! `serve`, `serve init` and `serve check`.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use super::args::{Global, JsonFlag, whole_number};
use super::output::{self, visible};
use super::size::parse_size;
use super::{Outcome, signals};
use crate::core::error::{Error, ErrorKind, Result};
use crate::moment::parse_duration;
use crate::platform::{Hangups, raise_file_limit};
use crate::policy;
use crate::serve::{self, Bound, Credentials, Limits, Mode, Reloader, ServeOptions, Tls, init};
use crate::wire::{ErrorFields, error_fields};

/// What is logged: a filter as tracing-subscriber reads it.
const LOG_VARIABLE: &str = "PLASMITE_LOG";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServeArgs {
    #[command(subcommand)]
    command: Option<ServeCommand>,
    #[command(flatten)]
    flags: ServeFlags,
}

#[derive(Debug, Subcommand)]
enum ServeCommand {
    /// Write a token, a certificate and its key
    #[command(
        after_help = "It says how to serve with them.\n\nExample:\n  plasmite serve init --out-dir secrets --address 192.168.1.7"
    )]
    Init(InitArgs),
    /// Say what would keep a server with these flags from serving; bind nothing
    #[command(
        after_help = "Example:\n  plasmite serve check --bind 0.0.0.0:9700 --allow-non-loopback --access read-only"
    )]
    Check(Box<CheckArgs>),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Where the files go
    #[arg(long, value_name = "DIR", default_value = ".")]
    out_dir: PathBuf,
    /// An address that others will use, for the certificate; repeatable
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    json: JsonFlag,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    flags: ServeFlags,
    #[command(flatten)]
    json: JsonFlag,
}

/// `--access`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccessFlag {
    ReadOnly,
    WriteOnly,
    ReadWrite,
}

#[derive(Debug, Args)]
struct ServeFlags {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9700")]
    bind: SocketAddr,
    /// What is allowed at all
    #[arg(long, value_enum, value_name = "WHAT", default_value = "read-write")]
    access: AccessFlag,
    /// A file whose first line is the token that every request has to show
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "credentials_file"])]
    token_file: Option<PathBuf>,
    /// The token itself, for development: it shows in the list of processes
    #[arg(long, value_name = "TOKEN", conflicts_with = "credentials_file")]
    token: Option<String>,
    /// A JSON file of named credentials, each for some pools and verbs
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// The server's certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make a certificate for as long as the server runs
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
    /// An origin whose pages may use the server, scheme and host as a browser sends them; repeatable
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// Bind an address that other machines can reach
    #[arg(long)]
    allow_non_loopback: bool,
    /// Let writes from other machines travel in the clear
    #[arg(long)]
    insecure_no_tls: bool,
    /// The largest request body: bytes, or with K, M or G
    #[arg(long, value_name = "S", default_value = "1M", value_parser = parse_size)]
    max_body_bytes: u64,
    /// The longest that a tail may last, in milliseconds; 0 for no limit
    #[arg(long, value_name = "MS", default_value = "30000", value_parser = whole_number)]
    max_tail_timeout_ms: u64,
    /// How many tails may be open at once
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_most_a_million)]
    max_tail_concurrency: usize,
    /// How many connections may be open at once
    #[arg(long, value_name = "N", default_value = "1024", value_parser = at_most_a_million)]
    max_connections: usize,
    /// How many requests may wait for storage at once
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_most_a_million)]
    max_storage_concurrency: usize,
    /// How long a request's head may take
    #[arg(long, value_name = "D", default_value = "10s", value_parser = parse_duration)]
    header_timeout: Duration,
    /// How long a request's body may make no progress
    #[arg(long, value_name = "D", default_value = "30s", value_parser = parse_duration)]
    body_timeout: Duration,
    /// How long requests may take to end once the server shuts down
    #[arg(long, value_name = "D", default_value = "10s", value_parser = parse_duration)]
    shutdown_timeout: Duration,
}

pub(super) fn run(global: &Global, args: &ServeArgs) -> Outcome {
    match &args.command {
        None => listen(global, &args.flags),
        Some(ServeCommand::Init(args)) => write_files(args),
        Some(ServeCommand::Check(args)) => check(global, args),
    }
}

fn listen(global: &Global, flags: &ServeFlags) -> Outcome {
    let options = flags.options(global)?;
    log_to_stderr();
    // As many connections as the system allows. [QUOTA-7]
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot start the threads of the server")
                .hint("raise the limit on threads")
                .caused_by(cause)
        })?;
    runtime.block_on(async {
        let bound = serve::bind(options).await?;
        announce(&bound);
        tokio::spawn(reload_on_hangup(bound.reloader()));
        let (end, ended) = oneshot::channel();
        let end = std::sync::Mutex::new(Some(end));
        signals::end_gracefully(move || {
            let end = end.lock().ok().and_then(|mut end| end.take());
            if let Some(end) = end {
                end.send(()).ok();
            }
        });
        bound
            .run(async {
                ended.await.ok();
            })
            .await;
        Ok::<(), Error>(())
    })?;
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(0)
}

/// Says where the server answers. [SERVE-1]
fn announce(bound: &Bound) {
    #[derive(Serialize)]
    struct Listening<'a> {
        listening: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        fingerprint_sha256: Option<&'a str>,
    }
    let listening = bound.url();
    let text = match bound.fingerprint() {
        None => format!("listening on {listening}"),
        Some(fingerprint) => {
            format!("listening on {listening}, its certificate's SHA-256 is {fingerprint}")
        }
    };
    output::notice(
        text,
        &Listening {
            listening,
            fingerprint_sha256: bound.fingerprint(),
        },
    );
}

/// Reads the files again whenever SIGHUP comes. [AUTH-10]
async fn reload_on_hangup(reloader: Reloader) {
    let Ok(mut hangups) = Hangups::listen() else {
        return;
    };
    while hangups.next().await.is_some() {
        match reloader.reload() {
            Ok(()) => tracing::info!("files were read again"),
            Err(error) => {
                tracing::error!(
                    kind = error.kind().name(),
                    error = error.message(),
                    "files were refused, and what was read before stays in force"
                );
            }
        }
    }
}

/// Text on a terminal, one JSON object a line otherwise. [LOG-2]
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(io::stderr);
    // Fails only if there is a log already, which is as good.
    if io::stderr().is_terminal() {
        log.with_ansi(output::stderr_has_colour()).try_init().ok();
    } else {
        log.json().flatten_event(true).try_init().ok();
    }
}

fn write_files(args: &InitArgs) -> Outcome {
    #[derive(Serialize)]
    struct Files<'a> {
        token_file: &'a str,
        tls_cert: &'a str,
        tls_key: &'a str,
        fingerprint_sha256: &'a str,
        commands: [String; 2],
    }
    let written = init::init(&args.out_dir, &args.address, args.force)?;
    let [token, cert, key] = [&written.token_file, &written.cert, &written.key]
        .map(|path| path.to_string_lossy().into_owned());
    let host = args
        .address
        .first()
        .copied()
        .unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let beyond = if host.is_loopback() {
        ""
    } else {
        " --allow-non-loopback"
    };
    let at = SocketAddr::new(host, 9700);
    let [quoted_token, quoted_cert, quoted_key] = [&token, &cert, &key].map(|path| quoted(path));
    let commands = [
        format!(
            "plasmite serve --bind {at}{beyond} --token-file {quoted_token} --tls-cert {quoted_cert} --tls-key {quoted_key}"
        ),
        format!(
            "curl --cacert {quoted_cert} -H \"authorization: Bearer $(cat {quoted_token})\" https://{at}/v0/pools"
        ),
    ];
    if args.json.json || !output::stdout_is_terminal() {
        output::print_json(&Files {
            token_file: &token,
            tls_cert: &cert,
            tls_key: &key,
            fingerprint_sha256: &written.fingerprint,
            commands,
        })?;
    } else {
        output::print_text(&format!(
            "token        {}\ncertificate  {}\nkey          {}\nSHA-256      {}\n\nServe with\n  {}\nand try it with\n  {}\n",
            visible(&token),
            visible(&cert),
            visible(&key),
            written.fingerprint,
            visible(&commands[0]),
            visible(&commands[1]),
        ))?;
    }
    Ok(0)
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match path.chars().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

fn check(global: &Global, args: &CheckArgs) -> Outcome {
    #[derive(Serialize)]
    struct Checked {
        ok: bool,
        problems: Vec<ErrorFields>,
    }
    let problems = serve::check(&args.flags.options(global)?);
    if args.json.json || !output::stdout_is_terminal() {
        output::print_json(&Checked {
            ok: problems.is_empty(),
            problems: problems.iter().map(error_fields).collect(),
        })?;
    } else if problems.is_empty() {
        output::print_text(&format!("ok: would serve on {}\n", args.flags.bind))?;
    }
    output::flush()?;
    problems.iter().for_each(output::report);
    Ok(problems
        .first()
        .map_or(0, |problem| policy::exit_code(problem.kind())))
}

impl ServeFlags {
    fn options(&self, global: &Global) -> Result<ServeOptions> {
        Ok(ServeOptions {
            dir: global.client()?.dir().to_owned(),
            bind: self.bind,
            access: match self.access {
                AccessFlag::ReadOnly => Mode::ReadOnly,
                AccessFlag::WriteOnly => Mode::WriteOnly,
                AccessFlag::ReadWrite => Mode::ReadWrite,
            },
            credentials: self.credentials(),
            tls: self.tls(),
            cors_origins: self.cors_origin.clone(),
            allow_non_loopback: self.allow_non_loopback,
            insecure_no_tls: self.insecure_no_tls,
            limits: Limits {
                body_bytes: self.max_body_bytes,
                tail_timeout: Duration::from_millis(self.max_tail_timeout_ms),
                tails: self.max_tail_concurrency,
                connections: self.max_connections,
                storage: self.max_storage_concurrency,
                header_timeout: self.header_timeout,
                body_timeout: self.body_timeout,
                shutdown_timeout: self.shutdown_timeout,
            },
        })
    }

    fn credentials(&self) -> Credentials {
        if let Some(path) = &self.token_file {
            Credentials::TokenFile(path.clone())
        } else if let Some(token) = &self.token {
            Credentials::Token(token.clone())
        } else if let Some(path) = &self.credentials_file {
            Credentials::File(path.clone())
        } else {
            Credentials::Open
        }
    }

    fn tls(&self) -> Tls {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Tls::Files {
                cert: cert.clone(),
                key: key.clone(),
            },
            _ if self.tls_self_signed => Tls::SelfSigned,
            _ => Tls::Off,
        }
    }
}

fn at_most_a_million(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 0..=1_000_000) => Ok(number),
        _ => Err("a whole number up to 1000000".to_owned()),
    }
}
