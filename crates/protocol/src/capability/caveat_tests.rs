#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::{NAME_BYTES, QUEUE_NAME_BYTES};

fn parse(text: &str) -> Option<Caveat<'_>> {
    Caveat::parse(text.as_bytes())
}

#[test]
fn every_caveat_of_the_table_is_understood() {
    let object = Address::of(b"x");
    let seconds = Duration::from_secs(1_767_323_045);
    let both = Ops(1 << Op::Get as u8 | 1 << Op::Head as u8);
    let obj = format!("obj = {object}");
    for (text, expected) in [
        ("op = get,head", Caveat::Op(both)),
        ("op = head,get,get", Caveat::Op(both)),
        (
            "op = get,head,put,delete,name-read,name-write,send,recv,events,admin",
            Caveat::Op(Ops::ALL),
        ),
        (&obj, Caveat::Obj(object)),
        ("name ^ prefix/", Caveat::Name("prefix/")),
        ("name ^ a", Caveat::Name("a")),
        ("queue = jobs", Caveat::Queue("jobs")),
        ("queue = jobs.dlq", Caveat::Queue("jobs.dlq")),
        ("before = 2026-01-02T03:04:05Z", Caveat::Before(seconds)),
        (
            "before = 2026-01-02T03:04:05+00:00",
            Caveat::Before(seconds),
        ),
        (
            "after = 2026-01-02T03:04:05.250Z",
            Caveat::After(seconds + Duration::from_millis(250)),
        ),
        ("max-bytes = 65536", Caveat::MaxBytes(65536)),
        ("max-bytes = 0", Caveat::MaxBytes(0)),
        ("rps = 50", Caveat::Rps(NonZeroU32::new(50).unwrap())),
        (
            "peer = 127.0.0.0/8",
            Caveat::Peer("127.0.0.0/8".parse().unwrap()),
        ),
    ] {
        assert_eq!(parse(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_not_exactly_a_caveat_is_none() {
    for text in [
        "",
        " ",
        "op",
        "op =",
        "op = ",
        "op=get",
        "op  = get",
        "op =  get",
        " op = get",
        "op = get ",
        "op = get\n",
        "op\t=\tget",
        "op == get",
        "op ^ get",
        "op != get",
        "OP = get",
        "op = GET",
        "op = get,",
        "op = ,get",
        "op = get, head",
        "op = get,list",
        "obj = b3:",
        "obj ^ b3:",
        "name = prefix/",
        "name ^ ",
        "name ^ /",
        "name ^ /a",
        "name ^ a//b",
        "name ^ ../",
        "name ^ A",
        "name ^ a b",
        "name ^ é",
        "queue ^ jobs",
        "queue = ",
        "queue = a/b",
        "queue = Jobs",
        "queue = .dlq",
        "queue = jobs.dlq.dlq",
        "before ^ 2026-01-02T03:04:05Z",
        "before = 2026-01-02T03:04:05",
        "before = 2026-01-02 03:04:05Z",
        "before = 2026-01-02T03:04:05+01:00",
        "before = 2026-01-02",
        "before = 2026-13-02T03:04:05Z",
        "before = 2026-02-30T03:04:05Z",
        "before = 1969-12-31T23:59:59Z",
        "before = 1767323045",
        "after = never",
        "max-bytes = -1",
        "max-bytes = +1",
        "max-bytes = 01",
        "max-bytes = 1KiB",
        "max-bytes = 0x10",
        "max-bytes = 18446744073709551616",
        "max-bytes < 5",
        "rps = 0",
        "rps = 05",
        "rps = 1.5",
        "rps = 4294967296",
        "peer = 127.0.0.1",
        "peer = localhost",
        "overlay = x",
        "time < 2020-01-01T00:00",
        "op = get\0",
        "op = g\u{e9}t",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
    assert_eq!(Caveat::parse(b"op = \xff"), None);
    let digits = "0".repeat(63);
    assert_eq!(parse(&format!("obj = b3:{digits}")), None);
    assert_eq!(parse(&format!("obj = b3:{digits}F")), None);
}

/// `after = …:60Z` held from second 59 on, and `…:05Z5.25Z` was second 5, as was a point without
/// digits: the library that reads times is kinder than RFC 3339.
#[test]
fn a_time_is_one_that_a_clock_shows() {
    for time in [
        "2016-12-31T23:59:60Z",
        "2026-01-02T03:04:60.5Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05.+00:00",
        "2026-01-02T03:04:05Z5.25Z",
        "2026-01-02T03:04:05ZZ",
        "2026-01-02T03:04:05Z+00:00",
        "2026-01-02T03:04:05+00:00Z",
        "2026-01-02T03:04:05.5ZZ",
    ] {
        for key in ["before", "after"] {
            assert_eq!(parse(&format!("{key} = {time}")), None, "{time}");
        }
    }
    for time in ["2016-12-31T23:59:59Z", "2026-01-02T03:04:05.0+00:00"] {
        assert!(parse(&format!("before = {time}")).is_some(), "{time}");
    }
}

#[test]
fn names_and_queues_have_their_caps() {
    for (key, cap) in [("name ^", NAME_BYTES), ("queue =", QUEUE_NAME_BYTES)] {
        assert!(parse(&format!("{key} {}", "x".repeat(cap))).is_some());
        assert!(parse(&format!("{key} {}", "x".repeat(cap + 1))).is_none());
    }
}

#[test]
fn an_operation_is_found_by_its_word_and_in_its_place() {
    for (index, op) in Op::ALL.iter().enumerate() {
        assert_eq!(*op as usize, index);
        assert_eq!(Ops::parse(op.as_str()), Some(Ops(1 << index)));
        assert!(Ops::ALL.has(*op));
    }
}

#[test]
fn a_peer_is_the_same_in_every_form() {
    assert_eq!(
        peer("::ffff:127.0.0.1".parse().unwrap()),
        peer("127.0.0.1".parse().unwrap())
    );
}
