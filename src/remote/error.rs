//! Errors that happened on a server, as they were there.

use serde::Deserialize;

use crate::{Error, ErrorKind};

/// The error that an error body reports, with the kind, message, hint, path, seq, offset and causes that it had. `None`
/// for what is no error body.
pub(super) fn read_error(text: &[u8]) -> Option<Error> {
    #[derive(Deserialize)]
    struct Body {
        error: ReportedError,
    }
    let body: Body = serde_json::from_slice(text).ok()?;
    body.error.into_error()
}

/// An error in JSON, as another process reported it.
#[derive(Debug, Deserialize)]
pub(super) struct ReportedError {
    kind: String,
    message: String,
    hint: Option<String>,
    path: Option<String>,
    seq: Option<u64>,
    offset: Option<u64>,
    #[serde(default)]
    causes: Vec<String>,
}

impl ReportedError {
    /// The error; `None` if its kind is none of ours.
    pub(super) fn into_error(self) -> Option<Error> {
        let mut kinds = ErrorKind::ALL.into_iter();
        let kind = kinds.find(|kind| kind.name() == self.kind)?;
        let mut error = Error::new(kind, self.message);
        if let Some(hint) = self.hint {
            error = error.hint(hint);
        }
        if let Some(path) = self.path {
            error = error.path(path);
        }
        if let Some(seq) = self.seq {
            error = error.seq(seq);
        }
        if let Some(offset) = self.offset {
            error = error.offset(offset);
        }
        let causes = self.causes.into_iter().rev();
        let chain = causes.fold(None, |next, text| Some(Box::new(Cause { text, next })));
        Some(match chain {
            Some(cause) => error.caused_by(*cause),
            None => error,
        })
    }
}

/// A cause of an error that happened in another process.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    #[source]
    next: Option<Box<Cause>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error_body;

    #[test]
    fn an_error_comes_back_as_it_went() {
        let text = r#"{"error":{"kind":"Io","message":"cannot sync","hint":"look at the disk","path":"/p","seq":99,"offset":7,"causes":["a","b"]}}"#;
        let read = read_error(text.as_bytes()).expect("an error body");
        assert_eq!(
            serde_json::to_string(&error_body(&read)).expect("plain fields"),
            text
        );
        let others = [r#"{"error":{"kind":"Odd","message":"x"}}"#, "{}", "<html>"];
        assert!(
            others
                .iter()
                .all(|text| read_error(text.as_bytes()).is_none())
        );
    }
}
