//! Judges a whole history: what writers say they appended, beside what readers say they read.

mod appends;
mod book;
mod errors;
mod reads;
pub(crate) mod selfcheck;
mod specimen;

use std::fmt;

use crate::actor::Life;
use book::Book;

/// What must hold. Each has a history that breaks it, in `selfcheck`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What was read is what was appended, to the byte.
    Content,
    /// Nothing is read before somebody began to append it.
    Unfounded,
    /// A seq is that of one message.
    OneSeq,
    /// A message has one seq, and that of its receipt.
    Once,
    /// What was refused is not there.
    Refused,
    /// A batch is there whole or not at all.
    Whole,
    /// What was acknowledged before something else was begun has the lower seq.
    Order,
    /// Somebody has appended each seq.
    Nobody,
    /// Times never go back, and are one for a batch.
    Time,
    /// A time is the greater of the clock and the newest time. [NUM-2]
    Clock,
    /// A tail gives every seq in its order, or says that it is missing.
    Course,
    /// Only what was overwritten is missing.
    Lapped,
    /// What was acknowledged before a look at the pool is seen by it.
    Fresh,
    /// What was not begun is not seen.
    Early,
    /// A tail begins where it was told to.
    Start,
    /// Nothing is corrupt that nobody damaged.
    Corrupt,
    /// No pool is gone that nobody took away.
    NotFound,
    /// Nothing fails in another way.
    Failed,
    /// Nothing contradicts itself.
    Odd,
    /// Nothing is acknowledged into a file that is gone [PUT-10], nor beyond its end [PUT-9].
    Void,
    /// Processes end when they are killed or have failed, and then do.
    Ended,
}

impl Rule {
    /// All of them.
    const ALL: [Rule; 21] = [
        Rule::Content,
        Rule::Unfounded,
        Rule::OneSeq,
        Rule::Once,
        Rule::Refused,
        Rule::Whole,
        Rule::Order,
        Rule::Nobody,
        Rule::Time,
        Rule::Clock,
        Rule::Course,
        Rule::Lapped,
        Rule::Fresh,
        Rule::Early,
        Rule::Start,
        Rule::Corrupt,
        Rule::NotFound,
        Rule::Failed,
        Rule::Odd,
        Rule::Void,
        Rule::Ended,
    ];
}

/// What happened to a pool, and so what may be seen of it.
#[derive(Clone, Debug)]
pub(crate) struct Law {
    /// The pool's UUID.
    pub(crate) pool: u128,
    /// The bytes of its ring.
    pub(crate) ring: u64,
    /// When somebody began to damage it.
    pub(crate) damaged: Option<u64>,
    /// When somebody began to take it away.
    pub(crate) removed: Option<u64>,
    /// From when on no append may be begun that is acknowledged.
    pub(crate) void: Option<u64>,
    /// Where the file was cut.
    pub(crate) cut: Option<Cut>,
}

/// A file that was cut, and never grew again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// When that was done.
    pub(crate) done: u64,
    /// How many bytes of the ring are still there.
    pub(crate) ring_left: u64,
}

/// One rule that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    pub(crate) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// What is being found.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, text: impl Into<String>) {
        self.0.push(Finding {
            rule,
            text: text.into(),
        });
    }

    fn unless(&mut self, holds: bool, rule: Rule, text: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, text());
        }
    }
}

/// What a history comes to.
pub(crate) struct Verdict {
    /// All that is wrong with it.
    pub(crate) findings: Vec<Finding>,
    /// Messages whose writers do not know what became of them.
    pub(crate) open: u64,
    /// How often the ring was filled, at least.
    pub(crate) laps: u64,
}

/// Judges a pool's history. `lives` are of all processes that had to do with it, and maybe of others.
pub(crate) fn judge(law: &Law, lives: &[Life]) -> Verdict {
    let mut findings = Findings::default();
    let book = Book::of(law, lives, &mut findings);
    appends::judge(law, &book, &mut findings);
    reads::judge(law, &book, lives, &mut findings);
    errors::judge(law, lives, &mut findings);
    Verdict {
        findings: findings.0,
        open: book.open(),
        laps: book.laps(law),
    }
}
