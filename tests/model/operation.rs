//! What is done to a pool, without knowing what is in it: whatever names a message is a share of what there is.

use std::fmt;

use plasmite::Durability;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest_state_machine::ReferenceStateMachine;

/// The pages of the largest pool.
const PAGES: usize = 64;
/// Few, so that filters often match.
const TAGS: [&str; 4] = ["a", "b", "é\"", ""];
/// JSON that has to come back as it was spelt.
const SCALARS: [&str; 9] = [
    "null",
    "-0",
    "1.0",
    "1e400",
    "12345678901234567890123",
    "\"\"",
    "\"\\u00e9\\n\"",
    "\"日本\"",
    "{\"k\":1,\"k\":2}",
];

/// The dimensions of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) size_bytes: u64,
    pub(crate) index_capacity: Option<u64>,
}

/// What is the same all through a case. One that hardly flushes comes to what an even mix does not: a pool that has
/// lapped all that was flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) shape: Shape,
    /// How likely an append is to be flushed.
    flushes: f64,
    /// How likely a message is to be of several pages.
    is_large: f64,
}

/// One thing to do, and to judge. `second` asks for another handle of the same process.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Append {
        drafts: Vec<Draft>,
        durability: Durability,
        second: bool,
    },
    /// A message of just the largest size, or of one word more.
    AppendLargest {
        over: bool,
        durability: Durability,
    },
    /// With stamps that leave seqs out.
    Import {
        drafts: Vec<(Draft, Step)>,
        durability: Durability,
    },
    Refuse(Refusal),
    Flush {
        second: bool,
    },
    Get {
        seq: Seq,
        second: bool,
    },
    /// Reads a tail to its end.
    Tail {
        plan: Plan,
        ending: Ending,
        second: bool,
    },
    /// Replaces the tail that is kept.
    Follow(Plan),
    /// Reads on with the tail that is kept, so many steps at most.
    Continue(usize),
    Reopen,
    Recreate(Shape),
    /// For each page: whether it is as it is now, rather than as it was when the last flush had returned.
    LosePower(Pages),
    /// Flips a bit of a retained message for a while.
    Damage {
        message: Index,
        byte: Index,
        bit: u8,
    },
}

/// Some of all pages.
#[derive(Clone)]
pub(crate) struct Pages(pub(crate) Vec<bool>);

/// A message to be.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Compact JSON.
    value: String,
    /// Whether it is given with white space, which goes.
    spaced: bool,
    /// So many characters more.
    filling: usize,
    tags: Vec<&'static str>,
}

/// How far a stamp is from the one before, beyond the least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) seqs: u64,
    pub(crate) nanos: u64,
}

/// An append that is `Usage`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Empty,
    NotJson,
    SeqAgain,
    TimeGoesBack,
    StampMissing,
}

/// A seq to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seq {
    Retained(Index),
    /// Any that was given or left out, 0, or one of the next few.
    Any(Index),
    Last,
}

/// A time to ask for: that of a message, or one nanosecond off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    Of(Index, i64),
    Last,
}

/// Where a tail begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Newest,
    Oldest,
    Seq(Seq),
    Time(Moment),
    Last(u64),
}

/// A tail to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) from: Origin,
    pub(crate) until: Option<Moment>,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) max: Option<u64>,
    pub(crate) stops_at_gaps: bool,
    pub(crate) notify: bool,
}

/// What keeps a tail from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It does not follow.
    CaughtUp,
    /// Its timeout is zero.
    Timeout,
    /// It is asked what there is now.
    Deadline,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.iter().map(|is_in| if *is_in { '1' } else { '0' });
        f.write_str(&digits.collect::<String>())
    }
}

impl Draft {
    /// A message of nothing but filling.
    pub(crate) fn plain(filling: usize) -> Draft {
        Draft {
            value: "0".to_owned(),
            spaced: false,
            filling,
            tags: Vec::new(),
        }
    }

    /// The JSON text to give, and the text to be stored. No other number gives the same bytes, so a message that is
    /// mistaken for another shows.
    pub(crate) fn texts(&self, number: u64) -> (String, String) {
        let filling = noise(number, self.filling);
        let stored = format!("[{number},{},\"{filling}\"]", self.value);
        let given = match self.spaced {
            true => format!(" [\n{number} ,{}\t, \"{filling}\" ]\r\n", self.value),
            false => stored.clone(),
        };
        (given, stored)
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        self.tags.iter().map(|tag| (*tag).to_owned()).collect()
    }
}

fn noise(seed: u64, len: usize) -> String {
    let mut text = String::with_capacity(len + 16);
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    while text.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(len);
    text
}

/// Any operation, at any time.
pub(crate) struct Operations;

impl ReferenceStateMachine for Operations {
    type State = Habits;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Habits> {
        let flushes = select(vec![0.2, 0.0, 0.05, 0.5]);
        let is_large = select(vec![0.2, 0.0, 0.8]);
        (shape(), flushes, is_large)
            .prop_map(|(shape, flushes, is_large)| Habits {
                shape,
                flushes,
                is_large,
            })
            .boxed()
    }

    fn transitions(habits: &Habits) -> BoxedStrategy<Operation> {
        prop_oneof![
            24 => append(habits),
            2 => (any::<bool>(), durability(habits))
                .prop_map(|(over, durability)| Operation::AppendLargest { over, durability }),
            4 => (vec((draft(habits), step()), 1..4), durability(habits))
                .prop_map(|(drafts, durability)| Operation::Import { drafts, durability }),
            2 => flush(habits),
            1 => refusal().prop_map(Operation::Refuse),
            3 => (seq(), any::<bool>()).prop_map(|(seq, second)| Operation::Get { seq, second }),
            8 => (plan(), ending(), any::<bool>())
                .prop_map(|(plan, ending, second)| Operation::Tail { plan, ending, second }),
            1 => plan().prop_map(Operation::Follow),
            6 => (1..40usize).prop_map(Operation::Continue),
            1 => Just(Operation::Reopen),
            1 => shape().prop_map(Operation::Recreate),
            3 => pages().prop_map(Operation::LosePower),
            2 => (any::<Index>(), any::<Index>(), 0..8u8)
                .prop_map(|(message, byte, bit)| Operation::Damage { message, byte, bit }),
        ]
        .boxed()
    }

    fn apply(habits: Habits, _: &Operation) -> Habits {
        habits
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let size = prop_oneof![3 => Just(64), 1 => 64..=256u64];
    // Eight slots are shared by many messages; sizes off a page's multiple leave a page that is cut short.
    let index_capacity = select(vec![Some(0), Some(8), None]);
    (size, select(vec![0, 8, 4003]), index_capacity).prop_map(|(kib, bytes, index_capacity)| {
        Shape {
            size_bytes: (kib * 1024 + bytes).min(256 * 1024),
            index_capacity,
        }
    })
}

fn append(habits: &Habits) -> impl Strategy<Value = Operation> + use<> {
    let drafts = prop_oneof![vec(draft(habits), 1), vec(draft(habits), 2..=6)];
    (drafts, durability(habits), any::<bool>()).prop_map(|(drafts, durability, second)| {
        Operation::Append {
            drafts,
            durability,
            second,
        }
    })
}

fn draft(habits: &Habits) -> impl Strategy<Value = Draft> + use<> {
    let filling = prop::bool::weighted(habits.is_large).prop_flat_map(|is_large| match is_large {
        true => (2000..9000usize).boxed(),
        false => prop_oneof![0..40usize, 100..2000usize].boxed(),
    });
    let tags = vec(select(TAGS.to_vec()), 0..3);
    (json(), any::<bool>(), filling, tags).prop_map(|(value, spaced, filling, tags)| Draft {
        value,
        spaced,
        filling,
        tags,
    })
}

fn json() -> impl Strategy<Value = String> {
    let scalar = select(SCALARS.to_vec()).prop_map(str::to_owned);
    scalar.prop_recursive(3, 8, 3, |inner| {
        vec(inner, 0..3).prop_map(|values| format!("[{}]", values.join(",")))
    })
}

fn durability(habits: &Habits) -> impl Strategy<Value = Durability> + use<> {
    prop::bool::weighted(habits.flushes).prop_map(|flushes| match flushes {
        true => Durability::Flush,
        false => Durability::Fast,
    })
}

fn flush(habits: &Habits) -> impl Strategy<Value = Operation> + use<> {
    // Where nothing is flushed, a look at the tail instead.
    let is_rare = habits.flushes == 0.0;
    any::<bool>().prop_map(move |second| match is_rare {
        true => Operation::Continue(1),
        false => Operation::Flush { second },
    })
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly without holes, and with the same time as the message before.
    let seqs = prop_oneof![2 => Just(0), 1 => 1..4u64];
    (seqs, 0..2u64).prop_map(|(seqs, nanos)| Step { seqs, nanos })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    select(vec![
        Refusal::Empty,
        Refusal::NotJson,
        Refusal::SeqAgain,
        Refusal::TimeGoesBack,
        Refusal::StampMissing,
    ])
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![
        4 => any::<Index>().prop_map(Seq::Retained),
        4 => any::<Index>().prop_map(Seq::Any),
        1 => Just(Seq::Last),
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        9 => (any::<Index>(), -1..=1i64).prop_map(|(message, off)| Moment::Of(message, off)),
        1 => Just(Moment::Last),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let from = prop_oneof![
        Just(Origin::Newest),
        Just(Origin::Oldest),
        seq().prop_map(Origin::Seq),
        moment().prop_map(Origin::Time),
        (0..60u64).prop_map(Origin::Last),
    ];
    let tags = prop_oneof![3 => Just(Vec::new()), 2 => vec(select(TAGS.to_vec()), 1..3)];
    let until = option::weighted(0.25, moment());
    let max = option::weighted(0.25, 0..12u64);
    (from, until, tags, max, any::<bool>(), any::<bool>()).prop_map(
        |(from, until, tags, max, stops_at_gaps, notify)| Plan {
            from,
            until,
            tags,
            max,
            stops_at_gaps,
            notify,
        },
    )
}

fn ending() -> impl Strategy<Value = Ending> {
    select(vec![Ending::CaughtUp, Ending::Timeout, Ending::Deadline])
}

fn pages() -> impl Strategy<Value = Pages> {
    // From nothing written back to all of it. One torn page among many is what comes closest to going unnoticed.
    let odds = select(vec![0.0, 0.1, 0.5, 0.9, 0.97, 1.0]);
    odds.prop_flat_map(|odds| vec(prop::bool::weighted(odds), PAGES))
        .prop_map(Pages)
}
