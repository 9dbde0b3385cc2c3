//! A real server process on a port that the system chose, and a client that hides nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Ends a read that hangs, far beyond what any takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Server {
    pub(crate) fn start(flags: &[&str]) -> Server {
        Server::start_in(tempfile::tempdir().unwrap(), flags)
    }

    pub(crate) fn start_in(dir: TempDir, flags: &[&str]) -> Server {
        Server::run(Command::new(env!("CARGO_BIN_EXE_plasmite")), dir, flags)
    }

    /// A server that is started with these limits on open files, as the shell's `ulimit` takes them.
    pub(crate) fn start_with_files(limits: &str, flags: &[&str]) -> Server {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("ulimit {limits} && exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_plasmite"));
        Server::run(shell, tempfile::tempdir().unwrap(), flags)
    }

    fn run(mut program: Command, dir: TempDir, flags: &[&str]) -> Server {
        let mut child = program
            .args(["serve", "--bind", "127.0.0.1:0"])
            .args(flags)
            .env("PLASMITE_DIR", dir.path().join("pools"))
            .env("PLASMITE_LOG", "off")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let url = told["listening"].as_str().unwrap().to_owned();
        Server {
            child,
            address: url.split_once("://").unwrap().1.to_owned(),
            dir,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pool_file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("pools/{name}.plasmite"))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The limits that the system holds the server to, as Linux shows them.
    pub(crate) fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap()
    }

    /// How many times the server has a pool's file open, as Linux shows it.
    pub(crate) fn times_open(&self, name: &str) -> usize {
        let file = self.pool_file(name).canonicalize().unwrap();
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        open.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|it| it == file))
            .count()
    }

    pub(crate) fn signal(&self, signal: i32) {
        // The process is our own child, and not yet waited for.
        let pid = self.child.id().to_string();
        let name = format!("-{signal}");
        assert!(
            Command::new("kill")
                .args([name, pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end that somebody asked for.
    pub(crate) fn end(mut self) -> (Option<i32>, TempDir) {
        let code = self.child.wait().unwrap().code();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        (code, dir)
    }

    /// Sends a request as it stands; its answer is read when asked for.
    pub(crate) fn send(&self, request: &str) -> Connection {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        (&stream).write_all(request.as_bytes()).unwrap();
        Connection(BufReader::new(stream))
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.starts_with("host:")) {
            request += &format!("host: {}\r\n", self.address);
        }
        for header in headers {
            request += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        let mut connection = self.send(&format!("{request}connection: close\r\n\r\n{body}"));
        connection.answer()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &["content-type: application/json"], body)
    }

    pub(crate) fn create(&self, pool: &str) {
        let answer = self.post("/v0/pools", &format!(r#"{{"pool":"{pool}"}}"#));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub(crate) fn append(&self, pool: &str, data: &str) -> Answer {
        let body = format!(r#"{{"data":{data}}}"#);
        let answer = self.post(&format!("/v0/pools/{pool}/append"), &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An open connection with an answer to come.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// The status line and the headers.
    pub(crate) fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            head += &line.to_ascii_lowercase();
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (
            status.unwrap_or_else(|| panic!("no status in {head:?}")),
            head,
        )
    }

    /// The whole answer, up to the end of the connection.
    pub(crate) fn answer(&mut self) -> Answer {
        let (status, head) = self.head();
        let mut body = String::new();
        if head.contains("transfer-encoding: chunked") {
            while let Some(chunk) = self.chunk() {
                body += &chunk;
            }
        } else {
            self.0.read_to_string(&mut body).unwrap();
        }
        Answer { status, head, body }
    }

    /// The next chunk of a chunked body; `None` at its proper end. Panics if the body is cut off.
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.0.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16)
            .unwrap_or_else(|_| panic!("the body was cut off: {size:?}"));
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    /// Whatever else comes, up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).ok();
        rest
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The kind of an error that came with its status.
    pub(crate) fn kind(&self) -> String {
        let body = self.json();
        assert!(body["error"]["message"].is_string(), "{body}");
        body["error"]["kind"].as_str().unwrap().to_owned()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).unwrap();
        self.body.lines().map(line).collect()
    }
}
