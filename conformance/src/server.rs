//! The server process of a case, on a port that the system chose.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{PATIENCE, process};

/// A pause between two tries.
const BREATH: Duration = Duration::from_millis(50);

/// A server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    command: ServerCommand,
    pub(crate) url: String,
}

/// How to start it.
#[derive(Clone, Debug)]
pub(crate) struct ServerCommand {
    pub(crate) program: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) unprivileged: bool,
}

impl Server {
    pub(crate) fn start(command: ServerCommand) -> Result<Server> {
        let asked = command
            .args
            .iter()
            .any(|arg| arg == "--bind" || arg.starts_with("--bind="));
        let bind = if asked { None } else { Some("127.0.0.1:0") };
        let (child, url) = start(&command, bind)?;
        Ok(Server {
            child,
            command,
            url,
        })
    }

    /// Ends the server and starts it again on the port that it had.
    pub(crate) fn restart(&mut self, signal: &str) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.stop(signal)?;
        }
        let address = self.url.split_once("://").context("no URL")?.1.to_owned();
        let (child, url) = start_again(&self.command, &address)?;
        self.child = child;
        self.url = url;
        Ok(())
    }

    pub(crate) fn stop(&mut self, signal: &str) -> Result<()> {
        process::signal(&self.child, signal)?;
        let status = process::wait(&mut self.child)?;
        if signal.trim_start_matches("SIG") == "TERM" && !status.success() {
            bail!("a server that is ended by SIGTERM shows {status} (QUOTA-6)");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server where there was one. While there was none, a connection to somewhere else may have been given the port.
fn start_again(how: &ServerCommand, address: &str) -> Result<(Child, String)> {
    let until = Instant::now() + PATIENCE;
    loop {
        match start(how, Some(address)) {
            Err(_) if TcpListener::bind(address).is_err() && Instant::now() < until => {
                std::thread::sleep(BREATH);
            }
            started => return started,
        }
    }
}

fn start(how: &ServerCommand, bind: Option<&str>) -> Result<(Child, String)> {
    let mut command: Command = process::unprivileged(&how.program, how.unprivileged);
    command.arg("serve");
    if let Some(bind) = bind {
        command.args(["--bind", bind]);
    }
    command
        .args(&how.args)
        .current_dir(&how.dir)
        .env("HOME", &how.dir)
        .env("PLASMITE_DIR", how.dir.join("pools"))
        .env("PLASMITE_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the server")?;
    let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
    let mut line = String::new();
    // Notes, such as a certificate's fingerprint, may come before the line that says where it listens.
    loop {
        line.clear();
        if stderr.read_line(&mut line)? == 0 {
            let status = process::wait(&mut child)?;
            bail!("the server did not start: {status}");
        }
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(url) = told["listening"].as_str() {
            // Its standard error is read on, so that it never waits for us.
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            return Ok((child, url.to_owned()));
        }
    }
}
