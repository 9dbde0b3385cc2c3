//! Who may do what: credentials, their verbs and pools.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::answer::Refusal;
use super::pools::PoolName;
use crate::platform::is_for_others;
use crate::{Error, ErrorKind, Result};

/// The largest token or credentials file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// What a request wants to do with a pool. [AUTH-3]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    Read,
    Append,
    Create,
    Delete,
}

/// What the server allows at all, whatever the credential. [AUTH-11]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing that changes a pool.
    ReadOnly,
    /// Nothing that tells what is in one.
    WriteOnly,
    /// Everything.
    #[default]
    ReadWrite,
}

impl Mode {
    fn allows(self, verb: Verb) -> bool {
        match self {
            Mode::ReadOnly => verb == Verb::Read,
            Mode::WriteOnly => verb != Verb::Read,
            Mode::ReadWrite => true,
        }
    }

    /// Whether pools can be changed through this server.
    pub(super) fn can_write(self) -> bool {
        self != Mode::ReadOnly
    }
}

/// Where credentials come from.
#[derive(Clone, Default)]
pub enum Credentials {
    /// None: everybody may do what the mode allows.
    #[default]
    Open,
    /// One token, given directly. For development: it is in the list of processes.
    Token(String),
    /// A file whose first line is a token.
    TokenFile(std::path::PathBuf),
    /// A file of named credentials. [AUTH-9]
    File(std::path::PathBuf),
}

/// Never shows a token. [AUTH-6]
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Open => f.write_str("Open"),
            Credentials::Token(_) => f.write_str("Token"),
            Credentials::TokenFile(path) => f.debug_tuple("TokenFile").field(path).finish(),
            Credentials::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The credentials in force.
pub(super) struct Access {
    mode: Mode,
    /// `None` if none are asked for.
    credentials: Option<Vec<Arc<Credential>>>,
}

struct Credential {
    name: String,
    digest: [u8; 32],
    /// `None` for all pools.
    pools: Option<GlobSet>,
    verbs: Vec<Verb>,
}

/// Whoever made a request.
#[derive(Clone)]
pub(super) struct Caller {
    mode: Mode,
    /// `None` where no credentials are asked for.
    credential: Option<Arc<Credential>>,
}

impl Access {
    /// Reads the credentials.
    pub(super) fn load(mode: Mode, from: &Credentials) -> Result<Access> {
        let credentials = match from {
            Credentials::Open => None,
            Credentials::Token(token) => Some(vec![Credential::of_all(token)]),
            Credentials::TokenFile(path) => Some(vec![Credential::of_all(&read_token(path)?)]),
            Credentials::File(path) => Some(read_credentials(path)?),
        };
        Ok(Access {
            mode,
            credentials: credentials
                .map(|credentials| credentials.into_iter().map(Arc::new).collect()),
        })
    }

    /// Who makes a request with this `authorization`. [AUTH-1]
    pub(super) fn caller(&self, authorization: Option<&HeaderValue>) -> Result<Caller, Refusal> {
        let Some(credentials) = &self.credentials else {
            return Ok(self.as_caller(None));
        };
        let token = authorization.and_then(bearer).ok_or_else(|| {
            unauthorized(
                "the request shows no credential",
                "send the header `authorization: Bearer TOKEN`",
            )
        })?;
        let digest = digest(token);
        // Every credential is compared, and each in full, so that time tells nothing. [AUTH-5]
        let mut found = None;
        for credential in credentials {
            if bool::from(credential.digest.ct_eq(&digest)) {
                found = Some(credential);
            }
        }
        match found {
            Some(credential) => Ok(self.as_caller(Some(Arc::clone(credential)))),
            None => Err(unauthorized(
                "the request's credential is not known",
                "check the token, and that the server has read its file since it changed",
            )),
        }
    }

    fn as_caller(&self, credential: Option<Arc<Credential>>) -> Caller {
        Caller {
            mode: self.mode,
            credential,
        }
    }
}

impl Caller {
    /// The credential's name, for the log.
    pub(super) fn name(&self) -> Option<&str> {
        self.credential
            .as_ref()
            .map(|credential| credential.name.as_str())
    }

    /// Refuses what this caller may not do. [AUTH-2]
    pub(super) fn may(&self, verb: Verb, pool: &PoolName) -> Result<(), Refusal> {
        self.has(verb)?;
        match &self.credential {
            Some(credential) if !credential.covers(pool.as_str()) => Err(forbidden(
                "this credential does not cover that pool",
                "use a credential that does, or have the pool added to this one",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses a list to a caller that may read nothing.
    pub(super) fn may_list(&self) -> Result<(), Refusal> {
        self.has(Verb::Read)
    }

    /// Whether the caller may know of this pool. [AUTH-4]
    pub(super) fn sees(&self, pool: &str) -> bool {
        self.has(Verb::Read).is_ok()
            && self
                .credential
                .as_ref()
                .is_none_or(|credential| credential.covers(pool))
    }

    fn has(&self, verb: Verb) -> Result<(), Refusal> {
        if !self.mode.allows(verb) {
            return Err(forbidden(
                "this server does not allow that",
                "ask for what it was started to serve, see --access",
            ));
        }
        match &self.credential {
            Some(credential) if !credential.verbs.contains(&verb) => Err(forbidden(
                "this credential does not allow that",
                "use a credential that does, or have the verb added to this one",
            )),
            _ => Ok(()),
        }
    }
}

impl Credential {
    fn of_all(token: &str) -> Credential {
        Credential {
            name: "token".to_owned(),
            digest: digest(token.as_bytes()),
            pools: None,
            verbs: vec![Verb::Read, Verb::Append, Verb::Create, Verb::Delete],
        }
    }

    fn covers(&self, pool: &str) -> bool {
        self.pools.as_ref().is_none_or(|pools| pools.is_match(pool))
    }
}

fn bearer(authorization: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = authorization.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn unauthorized(what: &'static str, hint: &'static str) -> Refusal {
    let error = Error::new(ErrorKind::Permission, what).hint(hint);
    Refusal::with_status(StatusCode::UNAUTHORIZED, error)
}

fn forbidden(what: &'static str, hint: &'static str) -> Refusal {
    Error::new(ErrorKind::Permission, what).hint(hint).into()
}

/// The first line of a token file. [AUTH-8]
pub(crate) fn read_token(path: &Path) -> Result<String> {
    let text = read_secret(path)?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "the token file has no token in its first line",
        )
        .hint("`plasmite serve init` writes one")
        .path(path));
    }
    Ok(token.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    credentials: Vec<CredentialLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialLine {
    name: String,
    token_sha256: String,
    pools: Vec<String>,
    verbs: Vec<Verb>,
}

fn read_credentials(path: &Path) -> Result<Vec<Credential>> {
    let text = read_secret(path)?;
    let refuse = |what: String| {
        Error::new(ErrorKind::Usage, format!("the credentials file is not as it should be: {what}"))
            .hint(r#"it holds {"credentials":[{"name":"ci","token_sha256":"HEX","pools":["build-*"],"verbs":["read","append"]}]}"#)
            .path(path)
    };
    let file: CredentialsFile =
        serde_json::from_str(&text).map_err(|cause| refuse(cause.to_string()))?;
    if file.credentials.is_empty() {
        return Err(refuse("it holds no credential".to_owned()));
    }
    let mut names = std::collections::HashSet::new();
    for line in &file.credentials {
        if !names.insert(line.name.as_str()) {
            return Err(refuse(format!("two credentials are named `{}`", line.name)));
        }
    }
    file.credentials
        .into_iter()
        .map(|line| line.check().map_err(&refuse))
        .collect()
}

impl CredentialLine {
    fn check(self) -> Result<Credential, String> {
        let name = self.name;
        let digest = from_hex(&self.token_sha256)
            .ok_or_else(|| format!("`token_sha256` of `{name}` is not 64 hexadecimal digits"))?;
        let mut pools = GlobSetBuilder::new();
        for pool in &self.pools {
            let glob = Glob::new(pool).map_err(|cause| format!("a pool of `{name}`: {cause}"))?;
            pools.add(glob);
        }
        let pools = pools.build().map_err(|cause| cause.to_string())?;
        Ok(Credential {
            name,
            digest,
            pools: Some(pools),
            verbs: self.verbs,
        })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Reads a file that only its owner may read. [AUTH-7]
pub(super) fn read_secret(path: &Path) -> Result<String> {
    let failed = |cause: std::io::Error| {
        let kind = match cause.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Io,
        };
        Error::new(kind, "a file with a secret cannot be read")
            .hint("check its path and who may read it")
            .path(path)
            .caused_by(cause)
    };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(
            Error::new(ErrorKind::Usage, "a secret has to be in a regular file")
                .hint("give the path of a file")
                .path(path),
        );
    }
    if is_for_others(&found) {
        return Err(Error::new(
            ErrorKind::Permission,
            "others than its owner may use a file with a secret",
        )
        .hint(format!("run `chmod 600 {}`", path.display()))
        .path(path));
    }
    let mut text = String::new();
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}
