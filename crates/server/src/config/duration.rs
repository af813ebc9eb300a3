//! Durations as operators and clients write them: a whole number and a unit, `500ms`, `5s`,
//! `10m`, `1h`, `30d`.
//!
//! Used for configuration and for request headers such as `Expires-In`. Not for sums (`1m30s`) or
//! fractions: one value has one spelling per unit, and a bare number is an error because nobody
//! can tell its unit.

use std::fmt;
use std::time::Duration;

use micronode_protocol::limits::DURATION_MAX;

/// Units and their length in milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It does not start with a digit.
    #[error("expected a whole number and a unit, such as 5s")]
    Number,
    /// A number alone.
    #[error("a duration needs a unit: ms, s, m, h or d")]
    NoUnit,
    /// The unit is none of ours.
    #[error("unknown unit of time: use ms, s, m, h or d")]
    Unit,
    /// Longer than [`DURATION_MAX`].
    #[error("longer than 36500d")]
    TooLong,
}

/// Parses `<digits><unit>`, unit `ms`, `s`, `m`, `h` or `d`; at most [`DURATION_MAX`], so the
/// result can be added to any clock. Allocates nothing.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::Number);
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit);
    }
    let (_, unit_ms) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(DurationError::Unit)?;
    // Digits only, so a failure is an overflow.
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let millis = number.checked_mul(*unit_ms).ok_or(DurationError::TooLong)?;
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX {
        Err(DurationError::TooLong)
    } else {
        Ok(duration)
    }
}

/// Displays a duration in the largest unit that states it exactly, so that [`parse`] reads it
/// back; below a millisecond it is cut.
#[derive(Debug, Clone, Copy)]
pub struct Text(pub Duration);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let (unit, unit_ms) = UNITS
            .iter()
            .find(|(_, unit_ms)| millis.is_multiple_of(u128::from(*unit_ms)))
            .expect("one millisecond divides every number of them");
        write!(f, "{}{unit}", millis / u128::from(*unit_ms))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_and_shown() {
        for (text, millis, shown) in [
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("500ms", 500, "500ms"),
            ("5s", 5000, "5s"),
            ("5000ms", 5000, "5s"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("10m", 600_000, "10m"),
            ("1h", 3_600_000, "1h"),
            ("30d", 2_592_000_000, "30d"),
            ("007s", 7000, "7s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(Text(duration).to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_a_duration_says_why() {
        use DurationError::{NoUnit, Number, TooLong, Unit};
        for (text, error) in [
            ("", Number),
            ("s", Number),
            ("-5s", Number),
            ("+5s", Number),
            (" 5s", Number),
            ("٥s", Number),
            ("5", NoUnit),
            ("5 s", Unit),
            ("5s ", Unit),
            ("5S", Unit),
            ("1.5s", Unit),
            ("1m30s", Unit),
            ("5us", Unit),
            ("5é", Unit),
            ("36501d", TooLong),
            ("3153600000001ms", TooLong),
            ("18446744073709551615ms", TooLong),
            ("18446744073709551615d", TooLong),
            ("99999999999999999999999s", TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_longest_duration_is_accepted() {
        assert_eq!(parse("36500d").unwrap(), DURATION_MAX);
        assert_eq!(parse("3153600000000ms").unwrap(), DURATION_MAX);
    }

    proptest! {
        #[test]
        fn shown_durations_read_back(millis in 0..=DURATION_MAX.as_millis() as u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&Text(duration).to_string()), Ok(duration));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,24}") {
            if let Ok(duration) = parse(&text) {
                prop_assert!(duration <= DURATION_MAX);
            }
        }
    }
}
