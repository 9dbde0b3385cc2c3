//! Saboteurs: each wraps a surface and breaks one thing, to see that the cases notice.
//!
//! A saboteur changes what is asked or what is answered, and nothing in the product. It has to be caught by the
//! expectation of a case it names, on every surface where it applies, with nobody comparing surfaces.

mod changes;

use serde_json::Value;

pub(crate) use changes::SABOTEURS;

use crate::surface::{Kind, Request, Surface};

/// One way to break a surface.
pub(crate) struct Saboteur {
    pub(crate) name: &'static str,
    /// What it does, in words.
    pub(crate) does: &'static str,
    /// Names of cases, or beginnings of them, of which one has to fail.
    pub(crate) cases: &'static [&'static str],
    /// Where it applies.
    pub(crate) surfaces: &'static [Kind],
    pub(crate) breaks: Breaks,
}

/// Where it has its hand.
pub(crate) enum Breaks {
    /// In what is asked.
    Request(fn(&mut Request)),
    /// In what is answered to a request.
    Answer(fn(&Request, &mut Value)),
}

/// A surface with a saboteur in front of it.
pub(crate) struct Sabotaged {
    saboteur: &'static Saboteur,
    inner: Box<dyn Surface>,
}

impl Sabotaged {
    pub(crate) fn new(saboteur: &'static Saboteur, inner: Box<dyn Surface>) -> Sabotaged {
        Sabotaged { saboteur, inner }
    }
}

impl Surface for Sabotaged {
    fn call(&mut self, request: &Request) -> Value {
        match self.saboteur.breaks {
            Breaks::Request(change) => {
                let mut request = request.clone();
                change(&mut request);
                self.inner.call(&request)
            }
            Breaks::Answer(change) => {
                let mut answer = self.inner.call(request);
                change(request, &mut answer);
                answer
            }
        }
    }

    fn kill(&mut self) {
        self.inner.kill();
    }
}
