//! Caveats: any line says what a plain reading of the table says, or nothing; and all lines
//! together allow what each of them allows, in whatever order.
//!
//! An input is text, a caveat on each line. What is tried with them lies on the bounds of what they
//! say: their objects, names, queues, times, lengths and networks, and what is next to those.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use micronode_protocol::Address;
use micronode_protocol::capability::caveat::{Caveat, Op, Ops};
use micronode_protocol::capability::{Access, Resource, Rights};
use micronode_protocol::limits::{NAME_BYTES, QUEUE_NAME_BYTES};

/// Lines that are read: everything is tried with everything.
const LINES: usize = 8;

fuzz_target!(|input: &[u8]| {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').take(LINES).collect();
    let mut said = Vec::new();
    for line in &lines {
        let (caveat, plain) = (Caveat::parse(line), read(line));
        let same = match (&caveat, &plain) {
            (Some(caveat), Some(plain)) => plain.is(caveat),
            (caveat, plain) => caveat.is_none() && plain.is_none(),
        };
        assert!(same, "{caveat:?} is not {plain:?}");
        said.push(plain);
    }
    let sets = [
        rights(lines.iter()),
        rights(lines.iter().rev()),
        rights(lines[..lines.len() - 1].iter()),
    ];
    hold(&said, &sets);
    allow(&said, &sets);
});

fn rights<'a>(lines: impl Iterator<Item = &'a &'a [u8]>) -> Rights {
    let mut rights = Rights::default();
    lines.for_each(|line| rights.narrow(Caveat::parse(line).as_ref()));
    rights
}

/// What is allowed by all lines, by all in the other order, and by all but the last.
fn compare(expected: bool, sets: &[Rights; 3], allowed: impl Fn(&Rights) -> bool) {
    let [all, reversed, fewer] = sets.each_ref().map(allowed);
    assert_eq!((all, reversed), (expected, expected), "{sets:#?}");
    assert!(fewer || !all, "a caveat widens: {sets:#?}");
}

/// Times and peers.
fn hold(said: &[Option<Said<'_>>], sets: &[Rights; 3]) {
    let (mut times, mut peers) = (vec![Duration::ZERO], vec!["::1".parse().expect("one")]);
    let tick = Duration::from_nanos(1);
    for said in said.iter().flatten() {
        match said {
            Said::Before(time) | Said::After(time) => {
                times.extend([time.saturating_sub(tick), *time, *time + tick]);
            }
            Said::Peer(address, _) => {
                let last = match address {
                    IpAddr::V4(it) => Ipv4Addr::from(u32::from(*it) ^ 1).into(),
                    IpAddr::V6(it) => (u128::from(*it) ^ 1 << 64).to_be_bytes().into(),
                };
                peers.extend([*address, last, Ipv4Addr::LOCALHOST.into()]);
            }
            _ => {}
        }
    }
    for now in times {
        for peer in &peers {
            let holds = |said: &Option<Said<'_>>| {
                said.as_ref().is_some_and(|said| match said {
                    Said::Before(time) => now < *time,
                    Said::After(time) => now >= *time,
                    Said::Peer(address, count) => {
                        bits(*peer).starts_with(&bits(*address)[..*count])
                            && peer.is_ipv4() == address.is_ipv4()
                    }
                    _ => true,
                })
            };
            compare(said.iter().all(holds), sets, |it| {
                it.hold(now, *peer).is_ok()
            });
        }
    }
}

/// Operations, what they are done to, and bodies. What is not understood is not a matter of these.
fn allow(said: &[Option<Said<'_>>], sets: &[Rights; 3]) {
    let mut things = vec![Thing::None, Thing::Each, Thing::Object(Address::of(b""))];
    let mut bodies = vec![0, u64::MAX];
    for said in said.iter().flatten() {
        match said {
            Said::Obj(text) => things.push(Thing::Object(text.parse().expect("an address"))),
            Said::Name(text) => things.extend([
                Thing::Name((*text).to_owned()),
                Thing::Name(format!("{text}x")),
                Thing::Name(text[1..].to_owned()),
            ]),
            Said::Queue(text) => things.extend([
                Thing::Queue((*text).to_owned()),
                Thing::Queue(format!("{text}x")),
            ]),
            Said::MaxBytes(bytes) => bodies.extend([*bytes, bytes.saturating_add(1)]),
            _ => {}
        }
    }
    let pointers: Vec<Thing> = things
        .iter()
        .filter_map(|thing| match thing {
            Thing::Name(name) => Some(name),
            _ => None,
        })
        .flat_map(|name| {
            let objects = things.iter().filter_map(|thing| match thing {
                Thing::Object(address) => Some(Some(*address)),
                _ => None,
            });
            let objects = objects.chain([None]);
            objects.map(|object| Thing::Pointer(name.clone(), object))
        })
        .collect();
    things.extend(pointers);
    let operations: Vec<Option<Op>> = Op::ALL.iter().copied().map(Some).chain([None]).collect();
    for thing in &things {
        for body in &bodies {
            for op in &operations {
                let allows = |said: &Said<'_>| said.allows(*op, thing, *body);
                let access = Access {
                    ops: op.map_or(Ops::NONE, |op| Ops::of(&[op])),
                    resource: thing.resource(),
                    body: *body,
                };
                let expected = said.iter().flatten().all(allows);
                compare(expected, sets, |it| it.allow(&access).is_ok());
            }
        }
    }
}

/// What an operation is done to.
#[derive(Debug)]
enum Thing {
    None,
    Each,
    Object(Address),
    Name(String),
    /// A name, and what it points at, as far as that is known.
    Pointer(String, Option<Address>),
    Queue(String),
}

impl Thing {
    fn resource(&self) -> Resource<'_> {
        match self {
            Self::None => Resource::None,
            Self::Each => Resource::Each,
            Self::Object(address) => Resource::Object(address),
            Self::Name(name) => Resource::Name(name),
            Self::Pointer(name, object) => Resource::Pointer(name, object.as_ref()),
            Self::Queue(queue) => Resource::Queue(queue),
        }
    }
}

/// What a caveat says, as plainly as it can be had from its text.
#[derive(Debug)]
enum Said<'a> {
    Op(Vec<&'a str>),
    Obj(&'a str),
    Name(&'a str),
    Queue(&'a str),
    Before(Duration),
    After(Duration),
    MaxBytes(u64),
    Rps(u64),
    /// A network: an address, and how many of its bits count.
    Peer(IpAddr, usize),
}

impl Said<'_> {
    /// Whether it is what the caveat says; of networks, whatever peers they have.
    fn is(&self, caveat: &Caveat<'_>) -> bool {
        match (self, caveat) {
            (Self::Op(words), Caveat::Op(ops)) => {
                let mut all = Op::ALL.iter();
                all.all(|op| ops.has(*op) == words.contains(&op.as_str()))
            }
            (Self::Obj(text), Caveat::Obj(address)) => *text == address.to_string(),
            (Self::Name(text), Caveat::Name(name)) => text == name,
            (Self::Queue(text), Caveat::Queue(queue)) => text == queue,
            (Self::Before(time), Caveat::Before(before)) => time == before,
            (Self::After(time), Caveat::After(after)) => time == after,
            (Self::MaxBytes(bytes), Caveat::MaxBytes(most)) => bytes == most,
            (Self::Rps(rate), Caveat::Rps(rps)) => *rate == u64::from(rps.get()),
            (Self::Peer(..), Caveat::Peer(_)) => true,
            _ => false,
        }
    }

    /// The table, for one caveat alone.
    fn allows(&self, op: Option<Op>, thing: &Thing, body: u64) -> bool {
        match (self, thing) {
            (Self::Op(words), _) => op.is_none_or(|op| words.contains(&op.as_str())),
            (Self::MaxBytes(most), _) => body <= *most,
            (Self::Obj(_) | Self::Name(_) | Self::Queue(_), Thing::Each) => true,
            (Self::Obj(text), Thing::Object(address)) => *text == address.to_string(),
            (Self::Obj(text), Thing::Pointer(_, object)) => {
                object.is_none_or(|address| *text == address.to_string())
            }
            (Self::Name(prefix), Thing::Name(name) | Thing::Pointer(name, _)) => {
                name.starts_with(prefix)
            }
            (Self::Queue(text), Thing::Queue(queue)) => text == queue,
            (Self::Obj(_) | Self::Name(_) | Self::Queue(_), _) => false,
            _ => true,
        }
    }
}

const OPERATIONS: [&str; 10] = [
    "get",
    "head",
    "put",
    "delete",
    "name-read",
    "name-write",
    "send",
    "recv",
    "events",
    "admin",
];

/// No value has a space, so there are three words.
fn read(line: &[u8]) -> Option<Said<'_>> {
    let text = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    let [key, operator, value] = words[..] else {
        return None;
    };
    let is_word = |text: &str, extra: &str| {
        let of = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c);
        !text.is_empty() && text.chars().all(of)
    };
    Some(match (key, operator) {
        ("op", "=") => {
            let words: Vec<&str> = value.split(',').collect();
            let are_known = words.iter().all(|word| OPERATIONS.contains(word));
            are_known.then_some(Said::Op(words))?
        }
        ("obj", "=") => {
            let digits = value.strip_prefix("b3:")?;
            let is_hex = |c| matches!(c, '0'..='9' | 'a'..='f');
            let is_hash = digits.len() == 64 && digits.chars().all(is_hex);
            is_hash.then_some(Said::Obj(value))?
        }
        ("name", "^") => {
            let fits = is_word(value, "._-/") && value.len() <= NAME_BYTES;
            // The last part may not be written out yet; those before it are whole.
            let is_part = |part: &&str| !["", ".", ".."].contains(part);
            let parts: Vec<&str> = value.split('/').collect();
            let (last, before) = parts.split_last()?;
            let fits = fits && before.iter().all(is_part);
            (fits && (is_part(last) || value.len() < NAME_BYTES)).then_some(Said::Name(value))?
        }
        ("queue", "=") => {
            let queue = value.strip_suffix(".dlq").unwrap_or(value);
            let fits = is_word(queue, "._-") && queue.len() <= QUEUE_NAME_BYTES;
            let fits = fits && !queue.ends_with(".dlq");
            fits.then_some(Said::Queue(value))?
        }
        ("before", "=") => Said::Before(time(value)?),
        ("after", "=") => Said::After(time(value)?),
        ("max-bytes", "=") => Said::MaxBytes(number(value)?),
        ("rps", "=") => {
            let rate = number(value)?;
            let is_rate = (1..=u64::from(u32::MAX)).contains(&rate);
            is_rate.then_some(Said::Rps(rate))?
        }
        ("peer", "=") => {
            let (address, count) = value.split_once('/')?;
            let (address, count) = (address.parse().ok()?, number(count)?);
            let bits = bits(address);
            // Nothing is set behind the bits that count.
            let behind = bits.get(usize::try_from(count).ok()?..)?;
            (!behind.contains('1')).then_some(Said::Peer(address, bits.len() - behind.len()))?
        }
        _ => return None,
    })
}

/// Every bit of an address as a digit.
fn bits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
        IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
    }
}

/// Digits that are written back alike.
fn number(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// `2026-01-02T03:04:05Z`, perhaps with `.` and digits, of which nine count, before the `Z`, or
/// with `+00:00` for it.
fn time(text: &str) -> Option<Duration> {
    let text = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix("+00:00"))?;
    let (text, fraction) = match text.split_once('.') {
        Some((text, fraction)) => (text, Some(fraction)),
        None => (text, None),
    };
    let pattern = "dddd-dd-ddTdd:dd:dd";
    let fits = |(c, p): (char, char)| if p == 'd' { c.is_ascii_digit() } else { c == p };
    if text.len() != pattern.len() || !text.chars().zip(pattern.chars()).all(fits) {
        return None;
    }
    let field = |from: usize, to: usize| text[from..to].parse::<u64>().expect("digits");
    let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
    let (hour, minute, second) = (field(11, 13), field(14, 16), field(17, 19));
    let is_leap = |year: u64| {
        let is_century = year.is_multiple_of(100);
        year.is_multiple_of(if is_century { 400 } else { 4 })
    };
    let months = |year| {
        let february = if is_leap(year) { 29 } else { 28 };
        [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    };
    let month = usize::try_from(month).ok()?.checked_sub(1)?;
    let is_date = year >= 1970 && (1..=*months(year).get(month)?).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: u64 = (1970..year).flat_map(months).sum();
    let days = years + months(year)[..month].iter().sum::<u64>() + day - 1;
    let nanos = match fraction {
        Some("") => return None,
        Some(digits) if digits.chars().all(|c| c.is_ascii_digit()) => {
            format!("{digits:0<9}")[..9].parse().expect("nine digits")
        }
        Some(_) => return None,
        None => 0,
    };
    Some(Duration::new(
        ((days * 24 + hour) * 60 + minute) * 60 + second,
        nanos,
    ))
}
