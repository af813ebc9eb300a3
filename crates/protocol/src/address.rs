//! Content addresses: `b3:` and 64 lowercase hexadecimal digits.
//!
//! An address is the plain BLAKE3-256 hash of an object's bytes, the value that `b3sum` prints.
//! It says nothing about how the object was uploaded or stored. Parsing is strict, so that one
//! object has exactly one spelling and an address can be compared, logged out and cached as text.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What every address starts with.
const PREFIX: [u8; 3] = *b"b3:";

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The address of an object: the BLAKE3-256 hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 32]);

/// The text is not `b3:` followed by 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an address is `b3:` followed by 64 lowercase hexadecimal digits")]
pub struct ParseAddressError;

impl Address {
    /// Length of the textual form in bytes; all of it ASCII.
    pub const TEXT_BYTES: usize = PREFIX.len() + 64;

    /// The address of `object`, hashed as a whole.
    pub fn of(object: &[u8]) -> Self {
        Self(*blake3::hash(object).as_bytes())
    }

    /// The address with this hash.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The textual form as ASCII, without going through a formatter: every response carries it.
    pub fn to_text(&self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [0; Self::TEXT_BYTES];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(&PREFIX);
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX_DIGITS[usize::from(byte >> 4)];
            pair[1] = HEX_DIGITS[usize::from(byte & 0x0f)];
        }
        text
    }

    /// Parses the textual form from bytes that need not be UTF-8, such as a path segment.
    ///
    /// # Errors
    ///
    /// Anything but the one spelling that [`Address::to_text`] gives.
    pub fn parse(text: &[u8]) -> Result<Self, ParseAddressError> {
        let digits = text.strip_prefix(&PREFIX).ok_or(ParseAddressError)?;
        if digits.len() != 64 {
            return Err(ParseAddressError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Ok(Self(hash))
    }
}

fn nibble(digit: u8) -> Result<u8, ParseAddressError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseAddressError),
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text();
        f.pad(std::str::from_utf8(&text).expect("prefix and digits are ASCII"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn the_empty_object_has_its_well_known_address() {
        assert_eq!(Address::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Address::of(b"")));
    }

    #[test]
    fn only_the_one_spelling_is_accepted() {
        let digits = &EMPTY[3..];
        for wrong in [
            String::new(),
            "b3:".to_owned(),
            digits.to_owned(),
            format!("B3:{digits}"),
            format!("b3-{digits}"),
            format!("b3:{}", digits.to_uppercase()),
            format!("b3:{}", &digits[..63]),
            format!("b3:{digits}0"),
            format!(" {EMPTY}"),
            format!("{EMPTY} "),
            EMPTY.replacen('f', "g", 1),
            EMPTY.replacen("af", "+f", 1),
            EMPTY.replacen("af", "é", 1),
        ] {
            assert_eq!(
                wrong.parse::<Address>(),
                Err(ParseAddressError),
                "{wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(hash: [u8; 32]) {
            let address = Address::from_bytes(hash);
            let text = address.to_text();
            prop_assert_eq!(Address::parse(&text), Ok(address));
            prop_assert_eq!(address.to_string().into_bytes(), text);
        }

        #[test]
        fn changing_one_byte_of_text_never_gives_the_same_address(
            hash: [u8; 32], at in 0..Address::TEXT_BYTES, with: u8,
        ) {
            let address = Address::from_bytes(hash);
            let mut text = address.to_text();
            prop_assume!(text[at] != with);
            text[at] = with;
            prop_assert_ne!(Address::parse(&text), Ok(address));
        }
    }
}
