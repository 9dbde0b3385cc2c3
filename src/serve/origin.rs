//! Pages in browsers: which may read, and that no other page can write. [ORIGIN-1] to [ORIGIN-4]

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};

use super::answer::Refusal;
use crate::{Error, ErrorKind};

/// The rules of one server.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    allowed: Vec<String>,
    is_loopback: bool,
}

impl Origins {
    pub(super) fn new(allowed: Vec<String>, is_loopback: bool) -> Origins {
        Origins {
            allowed,
            is_loopback,
        }
    }

    /// Refuses what a page from elsewhere may not do, and names that lead here by a trick of DNS.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        // HTTP/2 has the host in the URI.
        let host = uri
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| headers.get(HOST)?.to_str().ok());
        if self.is_loopback && host.is_some_and(|host| !is_of_loopback(host)) {
            return Err(forbidden(
                "the request's host is not a name of this machine's loopback",
                "use localhost or 127.0.0.1 in the URL",
            ));
        }
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let is_harmless = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let origin = origin.to_str().unwrap_or_default();
        if is_harmless
            || self.allowed.iter().any(|allowed| allowed == origin)
            || is_own(origin, host)
        {
            return Ok(());
        }
        Err(forbidden(
            "a page of another origin may not do that",
            "start the server with --cors-origin for that page's origin",
        ))
    }
}

/// Whether a page's origin is this very server, as the request names it.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == host
}

fn is_of_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn forbidden(what: &'static str, hint: &'static str) -> Refusal {
    Error::new(ErrorKind::Permission, what).hint(hint).into()
}
