//! Who may do what, and which pages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Server;

fn secret(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_token_opens_everything_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let token = secret(dir.path(), "token", "  s3cret \nrest\n");
    let server = Server::start(&["--token-file", token.to_str().unwrap()]);
    assert_eq!(server.get("/healthz").status, 200);
    for headers in [
        &[][..],
        &["authorization: Bearer wrong"],
        &["authorization: Basic s3cret"],
    ] {
        let answer = server.ask("GET", "/v0/pools", headers, "");
        assert_eq!((answer.status, answer.kind().as_str()), (401, "Permission"));
        assert!(
            answer.head.contains("www-authenticate: bearer"),
            "{}",
            answer.head
        );
        assert!(!answer.body.contains("s3cret"));
    }
    let known = server.ask("GET", "/v0/pools", &["authorization: bearer s3cret"], "");
    assert_eq!(known.status, 200);
}

#[test]
fn a_credential_has_its_verbs_and_its_pools() {
    let dir = tempfile::tempdir().unwrap();
    // SHA-256 of `reader` and of `writer`, as sha256sum prints them.
    let file = secret(
        dir.path(),
        "credentials.json",
        &format!(
            r#"{{"credentials":[
                {{"name":"r","token_sha256":"{}","pools":["build-*"],"verbs":["read"]}},
                {{"name":"w","token_sha256":"{}","pools":["*"],"verbs":["append","create"]}}]}}"#,
            sha256("reader"),
            sha256("writer"),
        ),
    );
    let server = Server::start(&["--credentials-file", file.to_str().unwrap()]);
    let json = "content-type: application/json";
    let (reader, writer) = (
        "authorization: Bearer reader",
        "authorization: Bearer writer",
    );
    for pool in ["build-1", "secret"] {
        let body = format!(r#"{{"pool":"{pool}"}}"#);
        assert_eq!(
            server
                .ask("POST", "/v0/pools", &[json, writer], &body)
                .status,
            200
        );
        assert_eq!(
            server
                .ask("POST", "/v0/pools", &[json, reader], &body)
                .status,
            403
        );
    }
    let list = server.ask("GET", "/v0/pools", &[reader], "").json();
    assert_eq!(list["pools"].as_array().unwrap().len(), 1);
    assert_eq!(server.ask("GET", "/v0/pools", &[writer], "").status, 403);
    let read = |pool: &str| {
        server
            .ask("GET", &format!("/v0/pools/{pool}/info"), &[reader], "")
            .status
    };
    // Whether a pool that may not be read is there is not told either.
    assert_eq!((read("build-1"), read("build-2")), (200, 404));
    assert_eq!((read("secret"), read("nobody")), (403, 403));
    let metrics = server.ask("GET", "/metrics", &[reader], "").body;
    assert!(
        metrics.contains("build-1") && !metrics.contains("secret"),
        "{metrics}"
    );
    // A file that is read again is in force at once; one that is refused changes nothing.
    fs::write(&file, "nonsense").unwrap();
    server.signal(1);
    fs::write(&file, fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(read("build-1"), 200);
    let one = format!(
        r#"{{"credentials":[{{"name":"r","token_sha256":"{}","pools":["*"],"verbs":["read"]}}]}}"#,
        sha256("reader")
    );
    fs::write(&file, one).unwrap();
    server.signal(1);
    while read("secret") != 200 {
        std::thread::yield_now();
    }
    assert_eq!(
        server
            .ask("POST", "/v0/pools", &[json, writer], "{}")
            .status,
        401
    );
}

fn sha256(text: &str) -> String {
    let script = format!("printf %s '{text}' | sha256sum");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn a_mode_holds_whatever_the_credential() {
    let server = Server::start(&["--access", "read-only"]);
    assert_eq!(server.get("/v0/pools").status, 200);
    assert_eq!(server.post("/v0/pools", r#"{"pool":"x"}"#).status, 403);
    assert_eq!(server.ask("DELETE", "/v0/pools/x", &[], "").status, 403);
    let server = Server::start(&["--access", "write-only"]);
    server.create("x");
    assert!(server.append("x", "1").status == 200);
    for path in [
        "/v0/pools",
        "/v0/pools/x/messages/1",
        "/v0/pools/x/tail",
        "/metrics",
    ] {
        assert_eq!(server.get(path).status, 403, "{path}");
    }
}

#[test]
fn pages_from_elsewhere_can_neither_write_nor_read() {
    let server = Server::start(&["--cors-origin", "https://good.example"]);
    server.create("chat");
    let json = "content-type: application/json";
    let post = |origin: &str| {
        server.ask(
            "POST",
            "/v0/pools/chat/append",
            &[json, origin],
            r#"{"data":1}"#,
        )
    };
    assert_eq!(post("origin: https://evil.example").status, 403);
    assert_eq!(post("origin: https://good.example.evil").status, 403);
    assert_eq!(post("origin: null").status, 403);
    let good = post("origin: https://good.example");
    assert_eq!(good.status, 200);
    assert!(
        good.head
            .contains("access-control-allow-origin: https://good.example\r\n")
    );
    assert_eq!(
        post(&format!("origin: http://{}", server.address())).status,
        200
    );
    let evil = server.ask("GET", "/v0/pools", &["origin: https://evil.example"], "");
    assert!(
        !evil.head.contains("access-control-allow-origin"),
        "{}",
        evil.head
    );
    let preflight = server.ask(
        "OPTIONS",
        "/v0/pools/chat/append",
        &[
            "origin: https://good.example",
            "access-control-request-method: POST",
        ],
        "",
    );
    assert!(preflight.status < 300 && preflight.head.contains("access-control-allow-methods"));
    let rebound = server.ask("GET", "/v0/pools", &["host: evil.example"], "");
    assert_eq!(
        (rebound.status, rebound.kind().as_str()),
        (403, "Permission")
    );
}

/// Guards against a cache that hands a page what was answered to a program: both are told what the answer depends on.
#[test]
fn an_answer_says_on_what_it_depends_whether_a_page_asked_or_not() {
    let server = Server::start(&["--cors-origin", "https://good.example"]);
    let told = |headers: &[&str]| {
        let head = server.ask("GET", "/v0/pools", headers, "").head;
        let is_told =
            |line: &&str| line.starts_with("vary:") || line.starts_with("access-control-expose");
        let mut told: Vec<String> = head.lines().filter(is_told).map(str::to_owned).collect();
        told.sort_unstable();
        told
    };
    let plain = told(&[]);
    assert_eq!(plain.len(), 2, "{plain:?}");
    assert_eq!(plain, told(&["origin: https://evil.example"]));
}

/// The exit code and the error of a `serve` that does not start.
fn refused(flags: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_plasmite"))
        .args(["serve", "check", "--json"])
        .args(flags)
        .env("PLASMITE_DIR", dir.path())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn what_would_be_unsafe_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let token = secret(dir.path(), "token", "t\n");
    let token = token.to_str().unwrap();
    let beyond = ["--bind", "0.0.0.0:9700"];
    let with = |more: &[&str]| refused(&[&beyond[..], more].concat());
    assert_eq!(refused(&[]).0, Some(0));
    assert_eq!(with(&[]).0, Some(2));
    assert_eq!(with(&["--allow-non-loopback"]).0, Some(2));
    assert_eq!(
        with(&["--allow-non-loopback", "--access", "read-only"]).0,
        Some(0)
    );
    assert_eq!(
        with(&["--allow-non-loopback", "--token-file", token]).0,
        Some(2)
    );
    assert_eq!(
        with(&["--allow-non-loopback", "--tls-self-signed"]).0,
        Some(2)
    );
    assert_eq!(
        with(&[
            "--allow-non-loopback",
            "--tls-self-signed",
            "--token-file",
            token
        ])
        .0,
        Some(0)
    );
    assert_eq!(
        with(&[
            "--allow-non-loopback",
            "--insecure-no-tls",
            "--token-file",
            token
        ])
        .0,
        Some(0)
    );
    assert_eq!(refused(&["--token", "x", "--token-file", token]).0, Some(2));
    assert_eq!(refused(&["--tls-cert", token]).0, Some(2));
    assert_eq!(refused(&["--cors-origin", "*"]).0, Some(2));
    assert_eq!(refused(&["--token-file", "/nowhere/token"]).0, Some(3));
    fs::set_permissions(token, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, error) = refused(&["--token-file", token]);
    assert_eq!(code, Some(6), "{error}");
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn what_init_writes_is_what_serve_takes() {
    let dir = tempfile::tempdir().unwrap();
    let init = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_plasmite"))
            .args(["serve", "init", "--out-dir"])
            .arg(dir.path())
            .args(more)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, said) = init(&[]);
    assert_eq!(code, Some(0), "{said}");
    for name in ["token", "cert.pem", "key.pem"] {
        let path = dir.path().join(name);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            name == "cert.pem" || !said.contains(text.trim()),
            "{name} is printed"
        );
    }
    assert_eq!(init(&[]).0, Some(4));
    assert_eq!(init(&["--force"]).0, Some(0));
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let flags = [
        "--token-file",
        &path("token"),
        "--tls-cert",
        &path("cert.pem"),
        "--tls-key",
        &path("key.pem"),
    ];
    assert_eq!(refused(&flags).0, Some(0));
}
