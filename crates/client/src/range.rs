//! Byte ranges as people and HTTP write them: `A-B` (both included), `A-` and `-N` (the last N).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Part of an object whose size is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first offset to the last one, both included; an end behind the object's end is
    /// the object's end.
    Between(u64, u64),
    /// From this offset to the end.
    From(u64),
    /// The last so many bytes; the whole object when it has fewer.
    Last(u64),
}

/// The text is not a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a range is `A-B` with A ≤ B, `A-`, or `-N` for the last N bytes")]
pub struct InvalidRange;

impl ByteRange {
    /// The offsets in an object of `size` bytes, or `None` where the two do not overlap: the same
    /// rule as that of HTTP for a single range.
    pub fn resolve(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            ByteRange::Between(first, last) => first..last.saturating_add(1).min(size),
            ByteRange::From(first) => first..size,
            ByteRange::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

impl FromStr for ByteRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let number = |digits: &str| -> Result<u64, InvalidRange> {
            // `parse` alone would also take a sign.
            if digits.starts_with('+') {
                return Err(InvalidRange);
            }
            digits.parse().map_err(|_| InvalidRange)
        };
        match text.split_once('-').ok_or(InvalidRange)? {
            ("", count) => Ok(ByteRange::Last(number(count)?)),
            (first, "") => Ok(ByteRange::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    Err(InvalidRange)
                } else {
                    Ok(ByteRange::Between(first, last))
                }
            }
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::Between(first, last) => write!(f, "{first}-{last}"),
            ByteRange::From(first) => write!(f, "{first}-"),
            ByteRange::Last(count) => write!(f, "-{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn resolves_as_http_does() {
        for (text, size, expected) in [
            ("0-0", 10, Some(0..1)),
            ("0-9", 10, Some(0..10)),
            ("0-10", 10, Some(0..10)),
            ("9-9", 10, Some(9..10)),
            ("10-10", 10, None),
            ("3-18446744073709551615", 10, Some(3..10)),
            ("3-", 10, Some(3..10)),
            ("10-", 10, None),
            ("-1", 10, Some(9..10)),
            ("-99", 10, Some(0..10)),
            ("-0", 10, None),
            ("0-", 0, None),
            ("-1", 0, None),
        ] {
            assert_eq!(
                text.parse::<ByteRange>().map(|range| range.resolve(size)),
                Ok(expected),
                "{text} of {size}"
            );
        }
    }

    #[test]
    fn what_is_not_a_range_is_refused() {
        for text in [
            "",
            "-",
            "1",
            "a-b",
            "2-1",
            "--1",
            "+1-2",
            "1-+2",
            "-+1",
            "1-2-3",
            " 1-2",
            "18446744073709551616-",
        ] {
            assert_eq!(text.parse::<ByteRange>(), Err(InvalidRange), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(first: u64, last: u64) {
            for range in [ByteRange::Between(first.min(last), first.max(last)), ByteRange::From(first), ByteRange::Last(last)] {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
        }
    }
}
