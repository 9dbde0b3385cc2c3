//! Histories that break one rule each: a judge that lets one pass is of no use.

use super::specimen::{READER, begin, fail, history, insert, on_read, on_receipt, read};
use super::{Cut, Law, Rule, judge};
use crate::actor::{End, Life};
use crate::record::{Begin, Record};

/// Makes another history of the specimen.
type Change = fn(&mut Law, &mut [Life]);

/// Every rule, with what breaks it.
const BAD: &[(Rule, Change)] = &[
    (Rule::Content, |_, lives| {
        on_read(lives, 2, |_, _, digest, _| *digest += 1)
    }),
    (Rule::Content, |_, lives| {
        on_read(lives, 2, |_, batch, _, _| *batch = 77)
    }),
    (Rule::Unfounded, |_, lives| {
        on_read(lives, 4, |at, _, _, _| *at = 45)
    }),
    (Rule::OneSeq, |_, lives| {
        on_receipt(lives, 1, |first, last, _, _| (*first, *last) = (3, 3))
    }),
    (Rule::OneSeq, |_, lives| {
        // The one that nobody has acknowledged, in the place of one that somebody has.
        on_read(lives, 4, |at, batch, digest, _| {
            (*at, *batch, *digest) = (90, 2, 6)
        });
    }),
    (Rule::Once, |_, lives| {
        insert(lives, read(90, 5, 1, (0, 0), 1))
    }),
    (Rule::Once, |_, lives| {
        on_receipt(lives, 0, |first, last, _, _| *last = *first + 1)
    }),
    (Rule::Refused, |_, lives| {
        insert(lives, read(90, 5, 2, (1, 0), 5))
    }),
    (Rule::Whole, |_, lives| {
        // The second of its two messages has not come when the tail says that there is nothing more.
        lives[READER]
            .records
            .splice(4.., [Record::Nothing { asked: 35, next: 3 }]);
    }),
    (Rule::Whole, |_, lives| {
        insert(
            lives,
            Record::Bounds {
                asked: 41,
                at: 90,
                oldest: 1,
                newest: 2,
            },
        )
    }),
    (Rule::Order, |_, lives| {
        on_receipt(lives, 0, |first, last, _, _| (*first, *last) = (5, 5));
        lives[READER].records.truncate(2);
    }),
    (Rule::Nobody, |_, lives| {
        on_receipt(lives, 1, |first, last, _, _| (*first, *last) = (6, 6));
        lives[READER].records.truncate(2);
    }),
    (Rule::Nobody, |_, lives| {
        on_receipt(lives, 1, |first, last, _, _| {
            (*first, *last) = (1 << 60, 1 << 60)
        });
    }),
    (Rule::Time, |_, lives| {
        on_read(lives, 3, |_, _, _, time| *time = 111)
    }),
    (Rule::Time, |_, lives| {
        on_receipt(lives, 1, |_, _, time, clock| {
            (*time, *clock) = (105, Some(105))
        });
        on_read(lives, 4, |_, _, _, time| *time = 105);
    }),
    (Rule::Clock, |_, lives| {
        on_receipt(lives, 1, |_, _, _, clock| *clock = Some(119))
    }),
    (Rule::Course, |_, lives| {
        drop(lives[READER].records.remove(3))
    }),
    (Rule::Course, |_, lives| lives[READER].records.swap(2, 3)),
    (Rule::Course, |law, lives| {
        // A gap that is one too short.
        law.ring = 8;
        lives[READER].records.splice(
            2..4,
            [Record::Gap {
                at: 85,
                first: 1,
                last: 1,
            }],
        );
    }),
    (Rule::Lapped, |_, lives| {
        lives[READER].records.splice(
            2..4,
            [Record::Gap {
                at: 85,
                first: 1,
                last: 2,
            }],
        );
    }),
    (Rule::Lapped, |_, lives| {
        insert(
            lives,
            Record::Missing {
                asked: 85,
                at: 86,
                seq: 2,
            },
        )
    }),
    (Rule::Lapped, |_, lives| {
        insert(
            lives,
            Record::Bounds {
                asked: 85,
                at: 86,
                oldest: 2,
                newest: 4,
            },
        )
    }),
    (Rule::Fresh, |_, lives| {
        lives[READER].records.splice(
            4..,
            [
                read(41, 3, 1, (1, 1), 3),
                Record::Nothing { asked: 65, next: 4 },
            ],
        );
    }),
    (Rule::Fresh, |_, lives| {
        insert(
            lives,
            Record::Bounds {
                asked: 65,
                at: 66,
                oldest: 1,
                newest: 3,
            },
        )
    }),
    (Rule::Early, |_, lives| {
        insert(
            lives,
            Record::Bounds {
                asked: 31,
                at: 45,
                oldest: 1,
                newest: 4,
            },
        )
    }),
    (Rule::Start, |_, lives| begin(lives, Begin::Oldest, 3)),
    (Rule::Start, |_, lives| begin(lives, Begin::Newest, 4)),
    (Rule::Start, |_, lives| begin(lives, Begin::Newest, 9)),
    (Rule::Start, |_, lives| begin(lives, Begin::Last(2), 2)),
    (Rule::Start, |_, lives| begin(lives, Begin::Last(2), 4)),
    (Rule::Start, |_, lives| begin(lives, Begin::Seq(2), 3)),
    (Rule::Start, |_, lives| begin(lives, Begin::Since(110), 3)),
    (Rule::Start, |_, lives| begin(lives, Begin::Since(110), 1)),
    (Rule::Corrupt, |_, lives| fail(lives, "Corrupt")),
    (Rule::Corrupt, |law, lives| {
        law.damaged = Some(900);
        fail(lives, "Corrupt");
    }),
    (Rule::Corrupt, |_, lives| {
        insert(
            lives,
            Record::Damage {
                at: 90,
                text: String::new(),
            },
        )
    }),
    (Rule::NotFound, |_, lives| fail(lives, "NotFound")),
    (Rule::NotFound, |law, lives| {
        law.removed = Some(900);
        fail(lives, "NotFound");
    }),
    (Rule::Failed, |_, lives| fail(lives, "Io")),
    (Rule::Odd, |_, lives| {
        insert(
            lives,
            Record::Odd {
                text: String::new(),
            },
        )
    }),
    (Rule::Void, |law, _| {
        (law.removed, law.void) = (Some(41), Some(45))
    }),
    (Rule::Void, |law, _| {
        law.cut = Some(Cut {
            done: 45,
            ring_left: 400,
        })
    }),
    (Rule::Ended, |_, lives| lives[READER].end = End::Left),
    (Rule::Ended, |_, lives| lives[READER].end = End::Stuck),
    (Rule::Ended, |_, lives| {
        lives[READER].end = End::Broke("signal: 7 (SIGBUS)".to_owned())
    }),
];

/// Histories that look odd, and are right.
const GOOD: &[Change] = &[
    |_, _| {},
    |law, lives| {
        law.ring = 8;
        lives[READER].records.splice(
            2..4,
            [Record::Gap {
                at: 85,
                first: 1,
                last: 2,
            }],
        );
    },
    |law, lives| {
        law.damaged = Some(80);
        fail(lives, "Corrupt");
    },
    |law, lives| {
        (law.removed, law.void) = (Some(49), Some(50));
        fail(lives, "NotFound");
    },
    |law, _| {
        law.cut = Some(Cut {
            done: 55,
            ring_left: 400,
        })
    },
    |law, _| {
        law.cut = Some(Cut {
            done: 45,
            ring_left: 448,
        })
    },
    // Whoever was killed had appended, before anybody knew.
    |_, lives| insert(lives, read(90, 5, 2, (2, 0), 6)),
    |_, lives| begin(lives, Begin::Since(111), 4),
    |_, lives| begin(lives, Begin::Last(3), 2),
    // A writer was killed before it knew, and its messages were overwritten before anybody read them.
    |law, lives| {
        law.ring = 8;
        lives[0].records.truncate(4);
        lives[READER].records.splice(
            2..5,
            [Record::Gap {
                at: 85,
                first: 1,
                last: 3,
            }],
        );
    },
];

/// Checks the judge itself; what it got wrong.
pub(crate) fn run() -> Result<String, String> {
    for (i, change) in (0..).zip(GOOD) {
        let (mut law, mut lives) = history();
        change(&mut law, &mut lives);
        if let Some(finding) = judge(&law, &lives).findings.first() {
            return Err(format!(
                "the checker takes good history {i} for a bad one: {finding}"
            ));
        }
    }
    let known = BAD.iter().filter(|(rule, change)| {
        let (mut law, mut lives) = history();
        change(&mut law, &mut lives);
        let finds = judge(&law, &lives).findings;
        let is_known = finds.iter().any(|finding| finding.rule == *rule);
        if !is_known {
            eprintln!("the checker does not know a bad history: {rule:?}, found {finds:?}");
        }
        is_known
    });
    let (known, all) = (known.count(), BAD.len());
    let told = format!("the checker knows a bad history: {known} of {all}");
    let unbroken = Rule::ALL
        .iter()
        .find(|rule| BAD.iter().all(|(broken, _)| broken != *rule));
    match unbroken {
        Some(rule) => Err(format!("no history breaks the rule {rule:?}")),
        None if known < all => Err(told),
        None => Ok(told),
    }
}
