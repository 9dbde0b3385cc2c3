//! Credentials and certificates. [REMOTE-9] to [REMOTE-12]

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;

use plasmite::serve::{Credentials, Tls};

use crate::support::{Fake, Place, answer};

fn token_file(place: &Place, name: &str, text: &str) -> String {
    let path = place.file(name);
    write(&path, text).unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn requests_carry_the_token() {
    let place = Place::new();
    let file = token_file(&place, "token", "hush-hush\nmore\n");
    let server = place
        .serve_with(|options| options.credentials = Credentials::TokenFile(file.clone().into()));
    let url = format!("{}/p", server.url);
    place
        .run(&format!("pool create {url} --token-file {file}"))
        .ok();
    place.run(&format!("feed {url} 1 --token hush-hush")).ok();
    place.run(&format!("feed {url} 1")).fails(6, "Permission");
    let wrong = place.run(&format!("fetch {url} 1 --token not-that"));
    assert!(!wrong.err.contains("not-that"), "{wrong:?}");
    wrong.fails(6, "Permission");
    place
        .run(&format!("fetch {url} 1 --token x --token-file {file}"))
        .fails(2, "Usage");
    set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    place
        .run(&format!("fetch {url} 1 --token-file {file}"))
        .fails(6, "Permission");
}

#[test]
fn a_redirect_is_not_followed() {
    let thief = Fake::answering(vec![answer(200, "{}")]);
    let moved = format!(
        "HTTP/1.1 307 Moved\r\nplasmite-version: 0\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        thief.url
    );
    let fake = Fake::answering(vec![moved]);
    Place::new()
        .run(&format!("pool info {} --token hush", fake.url))
        .fails(8, "Io");
    let head = fake.requests.try_iter().next().unwrap();
    assert!(
        head.to_lowercase().contains("authorization: bearer hush"),
        "{head}"
    );
    assert!(thief.asked().is_empty());
}

#[test]
fn certificates_are_checked_unless_told_otherwise() {
    let place = Place::new();
    let written = plasmite::serve::init::init(&place.file("tls"), &[], false).unwrap();
    let (cert, key) = (written.cert.clone(), written.key.clone());
    let server = place.serve_with(|options| {
        options.tls = Tls::Files {
            cert: cert.clone(),
            key,
        }
    });
    let url = format!("{}/p", server.url);
    let error = place.run(&format!("pool create {url}")).fails(8, "Io");
    assert!(
        error["hint"].as_str().unwrap().contains("--tls-ca"),
        "{error}"
    );
    place
        .run(&format!("pool create {url} --tls-ca {}", cert.display()))
        .ok();
    let run = place.run(&format!("feed {url} 1 --tls-skip-verify"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("unsafe"), "{}", run.err);
    let plain = url.replace("https", "http");
    place.run(&format!("pool info {plain}")).fails(8, "Io");
    place
        .run(&format!(
            "pool info {url} --tls-ca {}",
            place.file("p.plasmite").display()
        ))
        .fails(2, "Usage");
}
