//! What is appended, what is kept of it, and when.

use plasmite::{Batch, Durability, EndReason, ErrorKind, Gap, Next, Start, Tags, Timestamp};

use crate::support::{append, drain, fill, fixture, kind_of, name, retained};

/// MSG: what goes in comes out to the byte, but for white space outside strings.
#[test]
fn json_survives_to_the_byte() {
    let fixture = fixture();
    let pool = fixture.pool();
    let digits = "9".repeat(400);
    for (text, stored) in [
        (
            r#" { "b" : 1 , "a" : 2 , "b" : 3 } "#,
            r#"{"b":1,"a":2,"b":3}"#,
        ),
        ("1.50e+03", "1.50e+03"),
        (digits.as_str(), digits.as_str()),
        (r#""\u00e9 é \ud800 a  b""#, r#""\u00e9 é \ud800 a  b""#),
        ("\n[\n]\n", "[]"),
    ] {
        let seq = append(&pool, text);
        let message = pool.get(seq).unwrap();
        assert_eq!(message.data_json(), stored);
        let mut line = Vec::new();
        message.write_envelope(&mut line);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            format!(
                r#"{{"seq":{seq},"time":"{}","meta":{{"tags":[]}},"data":{stored}}}"#,
                message.time()
            )
        );
        assert_eq!(serde_json::to_string(&message).unwrap(), line);
    }
}

/// APPEND-1, APPEND-3, APPEND-7, APPEND-8, APPEND-10
#[test]
fn what_cannot_be_appended_is_usage_and_leaves_no_trace() {
    let fixture = fixture();
    let pool = fixture.pool();
    let deep = "[".repeat(101) + &"]".repeat(101);
    for bad in ["", "{", "1 2", "nul", "\"\u{1}\"", deep.as_str()] {
        assert_eq!(
            kind_of(pool.append_json(bad.as_bytes(), &Tags::none(), Durability::Fast)),
            ErrorKind::Usage,
            "{bad}"
        );
    }
    assert_eq!(
        kind_of(pool.append_json(b"\"\xff\"", &Tags::none(), Durability::Fast)),
        ErrorKind::Usage
    );
    let unnamed = std::collections::BTreeMap::from([(vec![1], 1)]);
    assert_eq!(
        kind_of(pool.append(&unnamed, &Tags::none(), Durability::Fast)),
        ErrorKind::Usage
    );
    assert_eq!(
        kind_of(pool.append_batch(&Batch::new(), Durability::Fast)),
        ErrorKind::Usage
    );

    let room = pool.max_batch_bytes() as usize - 48 - 2;
    let mut batch = Batch::new();
    batch.push(&"x".repeat(room + 1), &Tags::none()).unwrap();
    assert!(batch.frame_bytes() > pool.max_batch_bytes());
    let error = pool.append_batch(&batch, Durability::Fast).unwrap_err();
    assert!(
        error
            .message()
            .contains(&pool.max_batch_bytes().to_string()),
        "{error}"
    );
    batch.clear();
    batch.push(&"x".repeat(room), &Tags::none()).unwrap();
    assert_eq!(batch.frame_bytes(), pool.max_batch_bytes());
    assert_eq!(
        pool.append_batch(&batch, Durability::Fast)
            .unwrap()
            .first_seq,
        1
    );
    assert_eq!(pool.get(1).unwrap().data_json().len(), room + 2);
}

/// APPEND-6, APPEND-11, STAMP-1 to STAMP-7, LOSS-1
#[test]
fn stamps_are_kept_and_their_holes_are_gaps() {
    let fixture = fixture();
    let pool = fixture.pool();
    let mut batch = Batch::new();
    for n in 0..3 {
        batch.push(&n, &Tags::none()).unwrap();
    }
    let at = Timestamp::from_nanos;
    let now = Timestamp::now().as_nanos();
    let stamps = [(2, at(now)), (5, at(now)), (6, at(now + 1))];
    let receipt = pool
        .append_batch_at(&batch, &stamps, Durability::Flush)
        .unwrap();
    assert_eq!(
        (receipt.first_seq, receipt.last_seq, receipt.time),
        (2, 6, at(now + 1))
    );
    assert_eq!(receipt.durability, Durability::Flush);
    assert_eq!(pool.get(5).unwrap().time(), at(now));
    assert_eq!(kind_of(pool.get(4)), ErrorKind::NotFound);
    let gap = |first, last| (0, Next::Gap(Gap { first, last }));
    let message = |seq| (seq, Next::Message);
    assert_eq!(
        drain(pool.tail(retained(Start::Seq(1))).unwrap()),
        [
            gap(1, 1),
            message(2),
            gap(3, 4),
            message(5),
            message(6),
            (0, Next::End(EndReason::CaughtUp))
        ]
    );
    for bad in [
        [(6, at(now + 1)); 3],
        [(7, at(now)), (8, at(now)), (9, at(now))],
    ] {
        assert_eq!(
            kind_of(pool.append_batch_at(&batch, &bad, Durability::Fast)),
            ErrorKind::Usage
        );
    }
    assert_eq!(
        kind_of(pool.append_batch_at(&batch, &stamps[..2], Durability::Fast)),
        ErrorKind::Usage
    );
    assert_eq!(append(&pool, "0"), 7);
}

/// DUR-4, DUR-7
#[test]
fn a_flush_covers_what_others_appended() {
    let fixture = fixture();
    let pool = fixture.pool();
    let other = fixture.client.open_pool(&name()).unwrap();
    fill(&pool, 3);
    other.flush().unwrap();
    other.flush().unwrap();
    assert_eq!(Durability::default(), Durability::Fast);
    let receipt = pool.append(&1, &Tags::none(), Durability::Flush).unwrap();
    assert_eq!(
        (receipt.first_seq, receipt.durability),
        (4, Durability::Flush)
    );
}

/// A clock that was set back repeats the newest time, and says so.
#[test]
fn a_clock_behind_the_newest_message_is_told() {
    let fixture = fixture();
    let pool = fixture.pool();
    let mut batch = Batch::new();
    batch.push(&0, &Tags::none()).unwrap();
    let ahead = Timestamp::from_nanos(Timestamp::now().as_nanos() + 3_600_000_000_000);
    pool.append_batch_at(&batch, &[(1, ahead)], Durability::Fast)
        .unwrap();
    assert_eq!(
        pool.append(&1, &Tags::none(), Durability::Fast)
            .unwrap()
            .time,
        ahead
    );
    assert!(pool.info().unwrap().metrics.age.clock_behind_ms.unwrap() > 3_500_000);
    let report = pool.verify().unwrap();
    assert!(!report.is_corrupt());
    assert_eq!(report.issues.len(), 1);
}
