//! The language of caveats: what each one says, and nothing that it does not.
//!
//! A caveat is ASCII: a key, a space, an operator, a space, a value. One that is not exactly that,
//! has a key that is not known, or a value that does not parse, holds for nothing.
//!
//! | caveat | holds |
//! |---|---|
//! | `op = get,head` | for these operations |
//! | `obj = b3:…` | for this object |
//! | `name ^ prefix/` | for names that begin so |
//! | `queue = jobs` | for this queue |
//! | `before = 2026-01-02T03:04:05Z` | until then, and not at that time |
//! | `after = 2026-01-02T03:04:05Z` | from then on |
//! | `max-bytes = 65536` | for bodies of at most so many bytes |
//! | `rps = 50` | at this rate, for everything made of this token from here on |
//! | `peer = 127.0.0.0/8` | for peers in this network |

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, UNIX_EPOCH};

use super::network::Network;
use crate::Address;
use crate::name::{QueueRef, is_name_prefix};

macro_rules! operations {
    ($( $(#[$doc:meta])* $variant:ident = $word:literal; )*) => {
        /// An operation that a caveat can allow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Op { $( $(#[$doc])* $variant, )* }

        impl Op {
            /// Every operation; `ALL[op as usize] == op`.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The word for it in a caveat.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }
    };
}

operations! {
    /// Read an object or its manifest.
    Get = "get";
    /// Describe an object; ask whether it is there.
    Head = "head";
    /// Store an object.
    Put = "put";
    /// Delete an object.
    Delete = "delete";
    /// Read, list and watch names.
    NameRead = "name-read";
    /// Set and delete names.
    NameWrite = "name-write";
    /// Send to a queue.
    Send = "send";
    /// Receive from a queue, and all that comes of it.
    Recv = "recv";
    /// Listen to the bus.
    Events = "events";
    /// Purge, redrive, mint, and the admin plane.
    Admin = "admin";
}

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ops(u16);

impl Ops {
    /// All of them.
    pub const ALL: Self = Self((1 << Op::ALL.len()) - 1);
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(ops: &[Op]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < ops.len() {
            bits |= 1 << ops[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// Whether it is one of these.
    pub const fn has(self, op: Op) -> bool {
        self.0 & 1 << op as u8 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Words with commas between them, at least one.
    fn parse(text: &str) -> Option<Self> {
        text.split(',').try_fold(Self::NONE, |ops, word| {
            let op = Op::ALL.iter().find(|op| op.as_str() == word)?;
            Some(Self(ops.0 | Self::of(&[*op]).0))
        })
    }
}

/// A caveat that has been understood. It borrows its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caveat<'a> {
    /// These operations.
    Op(Ops),
    /// This object.
    Obj(Address),
    /// Names that begin so.
    Name(&'a str),
    /// This queue.
    Queue(&'a str),
    /// Until this time after the Unix epoch, excluded.
    Before(Duration),
    /// From this time after the Unix epoch on.
    After(Duration),
    /// Bodies of at most so many bytes.
    MaxBytes(u64),
    /// So many requests per second.
    Rps(NonZeroU32),
    /// Peers of this network.
    Peer(Network),
}

impl<'a> Caveat<'a> {
    /// What the bytes say; `None` for a caveat that is not known or is no caveat at all, which
    /// holds for nothing.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let printable = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let text = std::str::from_utf8(bytes).ok().filter(|_| printable)?;
        let mut words = text.splitn(3, ' ');
        let (key, operator, value) = (words.next()?, words.next()?, words.next()?);
        Some(match (key, operator) {
            ("op", "=") => Self::Op(Ops::parse(value)?),
            ("obj", "=") => Self::Obj(value.parse().ok()?),
            ("name", "^") if !value.is_empty() && is_name_prefix(value) => Self::Name(value),
            ("queue", "=") => QueueRef::parse(value).map(|_| Self::Queue(value))?,
            ("before", "=") => Self::Before(time(value)?),
            ("after", "=") => Self::After(time(value)?),
            ("max-bytes", "=") => Self::MaxBytes(number(value)?),
            ("rps", "=") => Self::Rps(NonZeroU32::new(number(value)?.try_into().ok()?)?),
            ("peer", "=") => Self::Peer(value.parse().ok()?),
            _ => return None,
        })
    }
}

/// Digits, as few as there can be.
fn number(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

/// RFC 3339 in UTC, at a whole second or a part of one, not before 1970. Leap seconds are none of
/// the clock that this is compared with.
fn time(text: &str) -> Option<Duration> {
    // The library is kinder: it takes a point without digits, bytes behind the zone, and a leap
    // second for the second before it.
    let (second, rest) = (text.get(17..19)?, text.get(19..)?);
    let zone = match rest.strip_prefix('.') {
        Some(part) if part.starts_with(|c: char| c.is_ascii_digit()) => {
            part.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    if second == "60" || !matches!(zone, "Z" | "+00:00") {
        return None;
    }
    let time = humantime::parse_rfc3339(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok()
}

/// The peer of a connection as caveats mean it: an IPv4 address is one in whatever form it came.
pub fn peer(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
#[path = "caveat_tests.rs"]
mod tests;
