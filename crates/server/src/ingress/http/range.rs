//! Byte ranges of RFC 9110 §14: parsing and resolving `Range` against a size.
//!
//! A field that does not follow the grammar is ignored, as the RFC asks; ranges that are many or
//! overlap are answered whole, so that a client cannot multiply its bytes.

use micronode_protocol::limits::RANGES_PER_REQUEST;
use std::ops::Range;

/// What a `Range` field means for an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The whole object: no field, one that is not understood, or ranges not worth serving.
    Whole,
    /// Non-empty ranges within the object, in the order asked.
    Ranges(Vec<Range<u64>>),
    /// Understood, and nothing of it overlaps the object: 416.
    Unsatisfiable,
}

/// Resolves the value of a `Range` field against an object of `size` bytes.
pub(crate) fn select(field: &str, size: u64) -> Selection {
    let Some(specs) = field
        .split_once('=')
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))
        .map(|(_, specs)| specs)
    else {
        return Selection::Whole;
    };
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut asked = 0;
    for spec in specs.split(',') {
        let spec = spec.trim_matches([' ', '\t']);
        if spec.is_empty() {
            continue; // The list rule allows empty elements.
        }
        asked += 1;
        if asked > RANGES_PER_REQUEST {
            return Selection::Whole;
        }
        match resolve(spec, size) {
            None => return Selection::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => ranges.push(range),
        }
    }
    match (asked, ranges.is_empty()) {
        (0, _) => Selection::Whole,
        (_, true) => Selection::Unsatisfiable,
        _ if overlap(&ranges) => Selection::Whole,
        _ => Selection::Ranges(ranges),
    }
}

/// One range-spec: `None` when malformed, an empty range when it does not overlap the object.
fn resolve(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = digits(last)?;
        return Some(size.saturating_sub(suffix)..size);
    }
    let first = digits(first)?;
    let end = if last.is_empty() {
        size
    } else {
        let last = digits(last)?;
        if last < first {
            return None;
        }
        last.saturating_add(1).min(size)
    };
    Some(first.min(end)..end)
}

/// A number of ASCII digits only; one too large for any object is the largest number.
fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn overlap(ranges: &[Range<u64>]) -> bool {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    sorted.windows(2).any(|pair| pair[1].start < pair[0].end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(range: Range<u64>) -> Selection {
        Selection::Ranges(vec![range])
    }

    #[test]
    fn single_ranges() {
        assert_eq!(select("bytes=0-0", 10), one(0..1));
        assert_eq!(select("bytes=0-9", 10), one(0..10));
        assert_eq!(select("bytes=0-10", 10), one(0..10));
        assert_eq!(select("bytes=9-", 10), one(9..10));
        assert_eq!(select("bytes=-3", 10), one(7..10));
        assert_eq!(select("bytes=-30", 10), one(0..10));
        assert_eq!(select("BYTES=2-3", 10), one(2..4));
        assert_eq!(select("bytes=0-99999999999999999999999", 10), one(0..10));
    }

    #[test]
    fn unsatisfiable_ranges() {
        assert_eq!(select("bytes=10-", 10), Selection::Unsatisfiable);
        assert_eq!(select("bytes=10-20", 10), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-0", 10), Selection::Unsatisfiable);
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-1", 0), Selection::Unsatisfiable);
        assert_eq!(
            select("bytes=99999999999999999999-", 10),
            Selection::Unsatisfiable
        );
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "lines=0-1",
            "bytes=5-3",
            "bytes=a-b",
            "bytes=-",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0 -1",
        ] {
            assert_eq!(select(field, 10), Selection::Whole, "{field}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_and_drop_what_is_beyond_the_end() {
        assert_eq!(
            select("bytes=4-5, 0-1,20-30", 10),
            Selection::Ranges(vec![4..6, 0..2])
        );
    }

    #[test]
    fn overlapping_or_too_many_ranges_are_answered_whole() {
        assert_eq!(select("bytes=0-5,5-6", 10), Selection::Whole);
        let list = |n: usize| {
            format!(
                "bytes={}",
                (0..n)
                    .map(|i| format!("{0}-{0}", i * 2))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        };
        assert!(
            matches!(select(&list(RANGES_PER_REQUEST), 1000), Selection::Ranges(ranges) if ranges.len() == RANGES_PER_REQUEST)
        );
        assert_eq!(
            select(&list(RANGES_PER_REQUEST + 1), 1000),
            Selection::Whole
        );
    }

    proptest! {
        #[test]
        fn any_field_gives_ranges_within_the_object(field in "(bytes=)?[-0-9, a]{0,40}", size in 0u64..100) {
            if let Selection::Ranges(ranges) = select(&field, size) {
                let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                prop_assert!(total <= size);
                prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
            }
        }
    }
}
