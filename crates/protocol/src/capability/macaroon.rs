//! Macaroons: the bytes of a token, and its chain of signatures.
//!
//! The binary format V2 of libmacaroons, so that any macaroon library can read a token and narrow
//! it: a version byte, then packets of a type, a length (a varint) and so many bytes.
//!
//! ```text
//! 02
//! 01 length location          the node's name; not covered by the signature
//! 02 length identifier
//! 00
//! 02 length caveat  00        any number of times
//! 00
//! 06 20     signature         32 bytes
//! ```
//!
//! The signature is a chain of HMAC-SHA256. It begins with the identifier under a key that only
//! the node has, and each caveat is signed with the signature before it. So whoever holds a token
//! can add a caveat, and nobody can take one away:
//!
//! ```text
//! s(0) = HMAC(key, identifier)      s(n) = HMAC(s(n-1), caveat n)      signature = s(last)
//! ```
//!
//! Only what a node could have made itself is a token: third-party caveats, a length in more bytes
//! than it needs, or a byte too many are all malformed. That gives every token one spelling.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limits::{
    CAPABILITY_BYTES, CAPABILITY_CAVEATS, CAPABILITY_IDENTIFIER_BYTES, CAPABILITY_LOCATION_BYTES,
};

const VERSION: u8 = 2;
const END: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const SIGNATURE: u8 = 6;

/// Bytes of a signature, and of a key.
pub const SIGNATURE_BYTES: usize = 32;

/// What the library that defined macaroons derives a key from a secret with, so that a secret of
/// any length will do: HMAC under these bytes, filled up with zeros.
const KEY_GENERATOR: &[u8] = b"macaroons-key-generator";

/// A signature of the chain, wiped when it is dropped: whoever has one of an earlier caveat can
/// leave out the later ones.
pub type Signature = Zeroizing<[u8; SIGNATURE_BYTES]>;

/// Why bytes are no macaroon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MacaroonError {
    /// More bytes than a token may have.
    #[error("longer than 8 KiB")]
    TooLong,
    /// Not the format, or not its one spelling.
    #[error("not a macaroon of version 2 in its one spelling")]
    Malformed,
    /// More caveats than a token may have.
    #[error("more than 32 caveats")]
    TooManyCaveats,
}

/// The key at the root of a chain.
pub struct RootKey(Zeroizing<[u8; SIGNATURE_BYTES]>);

impl RootKey {
    /// The key of a secret.
    pub fn of(secret: &[u8]) -> Self {
        Self(sign(KEY_GENERATOR, secret))
    }
}

impl Clone for RootKey {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(…)")
    }
}

/// A macaroon that has been read and not been verified. It borrows the bytes it was read from.
#[derive(Clone, Copy)]
pub struct Macaroon<'a> {
    location: &'a [u8],
    identifier: &'a [u8],
    caveats: [&'a [u8]; CAPABILITY_CAVEATS],
    count: usize,
    signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Macaroon<'a> {
    /// Reads a macaroon, all of it and nothing else. Allocates and hashes nothing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MacaroonError> {
        if bytes.len() > CAPABILITY_BYTES {
            return Err(MacaroonError::TooLong);
        }
        let mut packets = Packets(bytes);
        let (location, identifier) = packets.head().ok_or(MacaroonError::Malformed)?;
        let mut caveats: [&[u8]; CAPABILITY_CAVEATS] = [&[]; CAPABILITY_CAVEATS];
        let mut count = 0;
        while let Some(caveat) = packets.caveat().ok_or(MacaroonError::Malformed)? {
            let place = caveats.get_mut(count);
            *place.ok_or(MacaroonError::TooManyCaveats)? = caveat;
            count += 1;
        }
        Ok(Self {
            location,
            identifier,
            caveats,
            count,
            signature: packets.signature().ok_or(MacaroonError::Malformed)?,
        })
    }

    /// Who says that it made the token. Not covered by the signature.
    pub fn location(&self) -> &'a [u8] {
        self.location
    }

    /// What the node that made the token finds its key by.
    pub fn identifier(&self) -> &'a [u8] {
        self.identifier
    }

    /// The caveats, in the order in which they were added.
    pub fn caveats(&self) -> &[&'a [u8]] {
        &self.caveats[..self.count]
    }

    /// Walks the chain from `key` and compares, in constant time, where it ends. `each` is handed
    /// every caveat's position and the signature over it, on a chain that may turn out to be
    /// another than the token's.
    #[must_use = "a chain that does not end in the token's signature proves nothing"]
    pub fn verify(&self, key: &RootKey, mut each: impl FnMut(usize, &Signature)) -> bool {
        let mut signature = sign(&*key.0, self.identifier);
        for (index, caveat) in self.caveats().iter().enumerate() {
            signature = sign(&*signature, caveat);
            each(index, &signature);
        }
        signature.ct_eq(self.signature).into()
    }

    /// The same macaroon with one more caveat: what any holder can make without asking the node.
    pub fn attenuate(&self, caveat: &[u8]) -> Result<Vec<u8>, MacaroonError> {
        self.attenuate_all([caveat])
    }

    /// The same macaroon with these caveats more.
    pub fn attenuate_all<'c>(
        &self,
        caveats: impl IntoIterator<Item = &'c [u8]>,
    ) -> Result<Vec<u8>, MacaroonError> {
        let mut builder = Builder {
            bytes: Vec::with_capacity(CAPABILITY_BYTES),
            signature: Zeroizing::new(*self.signature),
            count: 0,
        };
        builder.head(self.location, self.identifier);
        for caveat in self.caveats() {
            builder.packet(caveat);
        }
        for caveat in caveats {
            builder.caveat(caveat)?;
        }
        builder.finish()
    }
}

impl std::fmt::Debug for Macaroon<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Macaroon(…)")
    }
}

/// Packets, read from the front.
struct Packets<'a>(&'a [u8]);

impl<'a> Packets<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The bytes of a packet of this type. Lengths are of two bytes at most: more would be longer
    /// than a token.
    fn packet(&mut self, kind: u8) -> Option<&'a [u8]> {
        if self.byte()? != kind {
            return None;
        }
        let low = self.byte()?;
        let length = if low < 0x80 {
            usize::from(low)
        } else {
            let high = self.byte()?;
            // No more digits, and not zero: that would be a longer spelling of a short length.
            if high == 0 || high >= 0x80 {
                return None;
            }
            usize::from(low & 0x7f) | usize::from(high) << 7
        };
        let (packet, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(packet)
    }

    fn head(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        if self.byte()? != VERSION {
            return None;
        }
        let location = self.packet(LOCATION)?;
        let identifier = self.packet(IDENTIFIER)?;
        let fits = (1..=CAPABILITY_LOCATION_BYTES).contains(&location.len())
            && (1..=CAPABILITY_IDENTIFIER_BYTES).contains(&identifier.len());
        (fits && self.byte()? == END).then_some((location, identifier))
    }

    /// The next caveat; `Some(None)` behind the last one.
    fn caveat(&mut self) -> Option<Option<&'a [u8]>> {
        if *self.0.first()? == END {
            self.byte();
            return Some(None);
        }
        let caveat = self.packet(IDENTIFIER)?;
        (self.byte()? == END).then_some(Some(caveat))
    }

    fn signature(&mut self) -> Option<&'a [u8; SIGNATURE_BYTES]> {
        let signature = self.packet(SIGNATURE)?;
        signature.try_into().ok().filter(|_| self.0.is_empty())
    }
}

/// A macaroon in the making.
pub struct Builder {
    bytes: Vec<u8>,
    signature: Signature,
    count: usize,
}

impl Builder {
    /// A macaroon without caveats.
    ///
    /// # Panics
    ///
    /// If location or identifier are empty or longer than their caps, which are the node's own.
    pub fn new(key: &RootKey, location: &[u8], identifier: &[u8]) -> Self {
        let mut builder = Self {
            bytes: Vec::new(),
            signature: sign(&*key.0, identifier),
            count: 0,
        };
        builder.head(location, identifier);
        builder
    }

    /// Adds a caveat.
    pub fn caveat(&mut self, caveat: &[u8]) -> Result<(), MacaroonError> {
        if caveat.len() > CAPABILITY_BYTES {
            return Err(MacaroonError::TooLong);
        }
        self.signature = sign(&*self.signature, caveat);
        self.packet(caveat);
        Ok(())
    }

    /// The token's bytes.
    pub fn finish(mut self) -> Result<Vec<u8>, MacaroonError> {
        if self.count > CAPABILITY_CAVEATS {
            return Err(MacaroonError::TooManyCaveats);
        }
        self.bytes.push(END);
        put(&mut self.bytes, SIGNATURE, &*self.signature);
        if self.bytes.len() > CAPABILITY_BYTES {
            return Err(MacaroonError::TooLong);
        }
        Ok(self.bytes)
    }

    fn head(&mut self, location: &[u8], identifier: &[u8]) {
        assert!((1..=CAPABILITY_LOCATION_BYTES).contains(&location.len()));
        assert!((1..=CAPABILITY_IDENTIFIER_BYTES).contains(&identifier.len()));
        self.bytes.push(VERSION);
        put(&mut self.bytes, LOCATION, location);
        put(&mut self.bytes, IDENTIFIER, identifier);
        self.bytes.push(END);
    }

    fn packet(&mut self, caveat: &[u8]) {
        put(&mut self.bytes, IDENTIFIER, caveat);
        self.bytes.push(END);
        self.count += 1;
    }
}

/// Appends a packet.
fn put(bytes: &mut Vec<u8>, kind: u8, packet: &[u8]) {
    bytes.push(kind);
    let mut length = packet.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(packet);
}

/// HMAC-SHA256 (RFC 2104).
fn sign(key: &[u8], message: &[u8]) -> Signature {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
#[path = "macaroon_tests.rs"]
mod tests;
