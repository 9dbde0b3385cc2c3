//! URLs of pools and servers.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::api::PoolRef;
use crate::{Error, ErrorKind, Result};

/// What a pool's file name ends with, and a reference may.
pub(super) const SUFFIX: &str = ".plasmite";

/// A server, and perhaps a pool of it: `http(s)://HOST[:PORT][/POOL]`, or `.../v0/pools[/POOL]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteRef {
    /// The server's URL, whose path ends with `/`; the protocol's paths come behind it.
    base: Url,
    pool: Option<String>,
}

impl RemoteRef {
    /// Whether this is meant to be a URL, rather than a pool's name or path.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("http://") || text.starts_with("https://")
    }

    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// `Usage` for anything else, for a URL with a user, a query or a fragment, and for a name that no pool can have.
    pub fn parse(text: &str) -> Result<RemoteRef> {
        if !RemoteRef::is_url(text) {
            return Err(no_reference(text, "is no URL of a server"));
        }
        let url = Url::parse(text)
            .map_err(|cause| no_reference(text, "is not a whole URL").caused_by(cause))?;
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated, since it holds a secret.
            return Err(Error::new(ErrorKind::Usage, "the URL has a user in it")
                .hint("give a token in a file with --token-file"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(no_reference(text, "has a query or a fragment in it"));
        }
        let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
        let (before, pool) = split(&segments)
            .ok_or_else(|| no_reference(text, "is neither a server nor a pool of it"))?;
        let pool = pool.map(|name| pool_name(text, name)).transpose()?;
        let mut path = String::from("/");
        before
            .iter()
            .for_each(|segment| path += &format!("{segment}/"));
        let mut base = url.clone();
        base.set_path(&path);
        Ok(RemoteRef { base, pool })
    }

    /// The pool's name, if the URL names a pool.
    pub fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        self.base.as_str()
    }

    /// The server's URL, to make others from.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }
}

impl FromStr for RemoteRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<RemoteRef> {
        RemoteRef::parse(text)
    }
}

impl fmt::Display for RemoteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())?;
        f.write_str(self.pool().unwrap_or_default())
    }
}

/// What stands before the protocol's own paths, and the name behind.
fn split<'a>(segments: &'a [&'a str]) -> Option<(&'a [&'a str], Option<&'a str>)> {
    let (segments, pool) = match segments {
        [rest @ .., "v0", "pools"] | [rest @ .., "v0", "pools", ""] => return Some((rest, None)),
        [rest @ .., "v0", "pools", pool] | [rest @ .., "v0", "pools", pool, ""] => {
            return Some((rest, Some(pool)));
        }
        [rest @ .., ""] => (rest, None),
        [rest @ .., pool] => (rest, Some(*pool)),
        [] => (segments, None),
    };
    match (segments, pool) {
        ([], pool) => Some((&[], pool)),
        ([pool], None) => Some((&[], Some(pool))),
        _ => None,
    }
}

fn pool_name(text: &str, segment: &str) -> Result<String> {
    let name = percent_decoded(segment)
        .ok_or_else(|| no_reference(text, "has a name in it that is not UTF-8"))?;
    let name = name.strip_suffix(SUFFIX).unwrap_or(&name);
    PoolRef::named(name)?;
    Ok(name.to_owned())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn no_reference(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("`{}` {why}", text.escape_debug()))
        .hint("write it as http://HOST:PORT/POOL, or without /POOL for the server itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_and_pools() {
        for (text, server, pool) in [
            ("http://h:9700", "http://h:9700/", None),
            ("http://h:9700/", "http://h:9700/", None),
            ("https://h/v0/pools", "https://h/", None),
            ("https://h/chat", "https://h/", Some("chat")),
            ("https://h/chat/", "https://h/", Some("chat")),
            ("https://h/chat.plasmite", "https://h/", Some("chat")),
            ("http://h/v0/pools/chat", "http://h/", Some("chat")),
            ("http://h/a/b/v0/pools/chat", "http://h/a/b/", Some("chat")),
            (
                "http://[::1]:9700/%C3%BC%20x",
                "http://[::1]:9700/",
                Some("ü x"),
            ),
            ("http://h/100%", "http://h/", Some("100%")),
        ] {
            let parsed = RemoteRef::parse(text).unwrap();
            assert_eq!((parsed.server(), parsed.pool()), (server, pool), "{text}");
        }
    }

    #[test]
    fn anything_else_is_usage() {
        for text in [
            "chat",
            "ftp://h/chat",
            "http://",
            "http://u:secret@h/chat",
            "http://h/chat?x=1",
            "http://h/chat#x",
            "http://h/a/b",
            "http://h/a%2Fb",
            "http://h/%FF",
        ] {
            let error = RemoteRef::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }
}
