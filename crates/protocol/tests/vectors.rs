//! Golden vectors, none of which this crate has made: what it makes of the bytes, and the bytes that
//! it makes.
//!
//! Those of OAP/1 were derived from the contract, those of grants and of signatures come from other
//! implementations. `vectors/*.json` are for others too; each says in `about` how it is read.
#![allow(clippy::unwrap_used)]

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;

#[path = "vectors/connection.rs"]
mod connection;
#[path = "vectors/frames.rs"]
mod frames;
#[path = "vectors/grant.rs"]
mod grant;
#[path = "vectors/payloads.rs"]
mod payloads;
#[path = "vectors/signatures.rs"]
mod signatures;

/// Bytes as a vector writes them.
#[derive(Deserialize, PartialEq)]
#[serde(from = "Pieces")]
struct Octets(Vec<u8>);

impl From<Bytes> for Octets {
    fn from(bytes: Bytes) -> Self {
        Self(bytes.into())
    }
}

/// Enough of them to see which they are.
impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = self;
        write!(
            f,
            "{:02x?} of {}",
            &bytes[..bytes.len().min(100)],
            bytes.len()
        )
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pieces {
    One(Piece),
    Several(Vec<Piece>),
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Piece {
    Hex(String),
    Text { text: String },
    Repeat { repeat: String, count: usize },
    Series { prefix: String, from: u64, to: u64 },
}

impl From<Pieces> for Octets {
    fn from(pieces: Pieces) -> Self {
        let pieces = match pieces {
            Pieces::One(piece) => vec![piece],
            Pieces::Several(pieces) => pieces,
        };
        Self(pieces.into_iter().flat_map(Piece::bytes).collect())
    }
}

impl Piece {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Hex(digits) => hex(&digits),
            Self::Text { text } => text.into_bytes(),
            Self::Repeat { repeat, count } => hex(&repeat).repeat(count),
            Self::Series { prefix, from, to } => (from..=to)
                .flat_map(|number| [&hex(&prefix)[..], &number.to_be_bytes()].concat())
                .collect(),
        }
    }
}

/// Pairs of digits, with white space between any two of them.
fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_ascii_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {digits:?}");
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
