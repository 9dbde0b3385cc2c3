//! Credentials and certificates. [REMOTE-9] to [REMOTE-12]

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;

use plasmite::serve::{Credentials, Tls, check};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

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

/// A certificate for these names, made to last until this year, and its key: as files.
fn certificate(place: &Place, name: &str, names: &[&str], until: i32) -> (String, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let cert_file = token_file(place, &format!("{name}.crt"), &cert.pem());
    let key_file = token_file(place, &format!("{name}.key"), &key.serialize_pem());
    (cert_file, key_file)
}

fn files((cert, key): &(String, String)) -> Tls {
    Tls::Files {
        cert: cert.into(),
        key: key.into(),
    }
}

/// Guards against a client that takes any certificate for which it has a name of trust.
#[test]
fn certificates_that_are_expired_or_of_another_name_are_refused() {
    let place = Place::new();
    let expired = certificate(&place, "expired", &["127.0.0.1"], 2021);
    let other = certificate(&place, "other", &["example.org"], 2100);
    let good = certificate(&place, "good", &["127.0.0.1"], 2100);
    for (pair, is_good) in [(&expired, false), (&other, false), (&good, true)] {
        let server = place.serve_with(|options| options.tls = files(pair));
        let run = place.run(&format!("pool list {} --tls-ca {}", server.url, pair.0));
        match is_good {
            true => drop(run.ok()),
            false => {
                let error = run.fails(8, "Io");
                assert!(
                    error["causes"].to_string().contains("certificate"),
                    "{error}"
                );
            }
        }
    }
}

/// Guards against a server that starts with a key that is not its certificate's, and fails each client.
#[test]
fn a_certificate_and_a_key_that_do_not_go_together_are_refused() {
    let place = Place::new();
    let one = certificate(&place, "one", &["127.0.0.1"], 2100);
    let two = certificate(&place, "two", &["127.0.0.1"], 2100);
    let mut options = plasmite::serve::ServeOptions::new(place.path());
    options.tls = files(&one);
    assert!(check(&options).is_empty());
    options.tls = files(&(one.0, two.1));
    let problems = check(&options);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].kind(), plasmite::ErrorKind::Usage);
}
