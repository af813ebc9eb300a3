//! Request bodies under a content coding, inflated within bounds.
//!
//! A compressed body is a program that the peer wrote for our memory and processor. What it may
//! make us do is bounded four ways: output against the input paid for it, output in all, the
//! window that a decoder keeps, and input that yields nothing. Every bound holds while the body
//! runs, before the offending piece reaches anyone.
//!
//! Not for responses, and not for more than one coding: a coding inside a coding multiplies every
//! bound.

mod brotli;
mod decoded;
mod gzip;
mod inflate;
mod zstd;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::{Reason, Refusal};

pub use decoded::DecodedBody;

/// Largest piece that a decoder hands on, in bytes. It keeps one such buffer.
pub const PIECE_BYTES: usize = 64 * 1024;

/// A content coding that is decoded (the IANA HTTP content coding registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames, without dictionaries.
    Zstd,
    /// RFC 7932, without large windows.
    Brotli,
}

/// The bounds of one decoder. A bound that is met exactly passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecompressLimits {
    /// Output ≤ `ratio` × input, at the end and, where the head declared the length of the
    /// compressed body, at every point against that length ...
    pub ratio: u64,
    /// ... and output ≤ `ratio` × (input so far) + `slack` while running, in bytes.
    pub slack: u64,
    /// Output at most, in bytes.
    pub absolute: u64,
    /// Largest window of a zstd frame, log2 of bytes; from 10 to 31.
    pub zstd_window_log: u32,
    /// Largest window of a brotli stream, log2 of bytes; from 10 to 24.
    pub brotli_window_bits: u32,
    /// Input in a row that may yield nothing, in bytes. A zstd block, which yields only when it is
    /// complete, is waited for even when it is longer.
    pub silent_bytes: u64,
}

impl Coding {
    /// An upper bound on the memory that one decoder holds, in bytes: what to charge for it before
    /// it exists.
    pub const fn memory(self, limits: &DecompressLimits) -> usize {
        let decoder = match self {
            Self::Gzip => gzip::MEMORY,
            Self::Zstd => zstd::memory(limits.zstd_window_log),
            Self::Brotli => brotli::memory(limits.brotli_window_bits),
        };
        decoder + PIECE_BYTES
    }
}

/// The coding of a request body: `None` when there is none to undo. More than one, or one that is
/// not decoded here, is refused with [`Reason::UnsupportedEncoding`].
pub fn request_coding(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(unsupported());
    }
    let named = |name: &str| value.as_bytes().eq_ignore_ascii_case(name.as_bytes());
    if named("gzip") || named("x-gzip") {
        Ok(Some(Coding::Gzip))
    } else if named("zstd") {
        Ok(Some(Coding::Zstd))
    } else if named("br") {
        Ok(Some(Coding::Brotli))
    } else if named("identity") {
        Ok(None)
    } else {
        Err(unsupported())
    }
}

fn unsupported() -> Refusal {
    Refusal::new(
        Reason::UnsupportedEncoding,
        "one content coding at most: gzip, zstd or br",
    )
}

fn malformed() -> Refusal {
    Refusal::new(
        Reason::BadEncoding,
        "the request body does not decode under its content coding",
    )
}

fn window_too_large() -> Refusal {
    Refusal::new(
        Reason::DecompressBound,
        "the compressed body asks for too large a window",
    )
}

#[cfg(test)]
mod tests;
