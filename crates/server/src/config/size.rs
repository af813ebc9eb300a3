//! Sizes as operators write them: a whole number of bytes, alone or with a binary unit, `4096`,
//! `64KiB`, `1MiB`, `2GiB`.
//!
//! Decimal units (`MB`) are refused: half of their readers expect the binary ones.

use std::fmt;

/// Units and their size in bytes, largest first.
const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It does not start with a digit.
    #[error("expected a whole number of bytes or a size such as 64KiB")]
    Number,
    /// The unit is none of ours.
    #[error("unknown unit of size: use B, KiB, MiB, GiB or TiB")]
    Unit,
    /// More bytes than 64 bits can count.
    #[error("too large")]
    TooLarge,
}

/// Parses `<digits>` (bytes) or `<digits><unit>`, unit `B`, `KiB`, `MiB`, `GiB` or `TiB`.
/// The result is bytes. Allocates nothing.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::Number);
    }
    let unit = if unit.is_empty() { "B" } else { unit };
    let (_, unit_bytes) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(SizeError::Unit)?;
    // Digits only, so a failure is an overflow.
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    number.checked_mul(*unit_bytes).ok_or(SizeError::TooLarge)
}

/// Displays bytes in the largest unit that states them exactly, so that [`parse`] reads them
/// back.
#[derive(Debug, Clone, Copy)]
pub struct Text(pub u64);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let (unit, unit_bytes) = UNITS
            .iter()
            .find(|(_, unit_bytes)| self.0.is_multiple_of(*unit_bytes))
            .expect("one byte divides every number of them");
        write!(f, "{}{unit}", self.0 / unit_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0B"),
            ("0MiB", 0, "0B"),
            ("1", 1, "1B"),
            ("1023B", 1023, "1023B"),
            ("1024", 1024, "1KiB"),
            ("64KiB", 65_536, "64KiB"),
            ("1MiB", 1_048_576, "1MiB"),
            ("1536KiB", 1_572_864, "1536KiB"),
            ("2GiB", 2_147_483_648, "2GiB"),
            ("3TiB", 3_298_534_883_328, "3TiB"),
            ("18446744073709551615", u64::MAX, "18446744073709551615B"),
        ] {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed, bytes, "{text}");
            assert_eq!(Text(parsed).to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_a_size_says_why() {
        use SizeError::{Number, TooLarge, Unit};
        for (text, error) in [
            ("", Number),
            ("MiB", Number),
            ("-1", Number),
            ("1.5MiB", Unit),
            ("1 MiB", Unit),
            ("1MB", Unit),
            ("1mib", Unit),
            ("1K", Unit),
            ("1_024", Unit),
            ("1é", Unit),
            ("16777216TiB", TooLarge),
            ("18446744073709551616", TooLarge),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn shown_sizes_read_back(bytes: u64, shift in 0..64_u32) {
            // Shifting reaches small sizes and round ones alike.
            for bytes in [bytes >> shift, bytes << shift] {
                prop_assert_eq!(parse(&Text(bytes).to_string()), Ok(bytes));
            }
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,24}") {
            let _answered = parse(&text);
        }
    }
}
