//! Text and numbers as they stand in a report.

use std::fmt::{self, Display, Formatter, Write};

/// Text that came with data, in an element or in a quoted attribute of HTML and SVG.
///
/// Characters that would be markup are escaped. Those that a page may not hold, or that turn the
/// direction of what stands around them, are shown as U+FFFD.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(character)?,
                _ if is_unfit(character) => f.write_char(char::REPLACEMENT_CHARACTER)?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

fn is_unfit(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_none =
        matches!(character, '\u{fdd0}'..='\u{fdef}') || (u32::from(character) & 0xfffe) == 0xfffe;
    character.is_control() || turns || is_none
}

/// A number with at most three digits that matter, and its thousands apart: `0.0123`, `1.23`,
/// `123`, `12 346`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size < 5e-7 {
        return "0".to_owned();
    }
    if size >= 99.95 {
        return grouped(value);
    }
    // Digits behind the point, so that there are three in all; never more than six.
    let decimals = (2 - size.log10().floor() as i32).clamp(1, 6);
    let text = format!("{size:.*}", decimals.unsigned_abs() as usize);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{text}")
}

/// A whole number, its thousands apart by a space that does not break.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() * 2);
    if value < 0.0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count.
pub(super) fn count(value: u64) -> String {
    grouped(value as f64)
}

/// Bytes in the largest binary unit that leaves at least one: `64 KiB`.
pub(super) fn bytes(value: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = value as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{} {}", number(size), units[unit])
}

/// What may be missing; a dash if it is.
pub(super) fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

/// A date and a time of day in UTC.
pub(super) fn moment(unix_s: u64) -> String {
    // The last second of the year 9999; what is beyond it is no date.
    let within = unix_s.min(253_402_300_799);
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(within);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_markup_is_escaped_and_what_would_mislead_is_shown() {
        let hostile = "</title><script>alert('x')</script> \"&\u{202e}\0\u{fffe}";
        assert_eq!(
            Escaped(hostile).to_string(),
            "&lt;/title&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(Escaped("µs – ✓").to_string(), "µs – ✓");
    }

    #[test]
    fn numbers_have_three_digits_that_matter() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (0.5, "0.5"),
            (1.0, "1"),
            (1.239, "1.24"),
            (12.345, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (12_345.6, "12\u{202f}346"),
            (1_234_567.0, "1\u{202f}234\u{202f}567"),
            (-0.25, "−0.25"),
            (-1500.0, "−1\u{202f}500"),
            (0.000_000_1, "0"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1\u{202f}023 B"),
            (1024, "1 KiB"),
            (1 << 20, "1 MiB"),
            (13 * (1 << 20) + (1 << 19), "13.5 MiB"),
            (24 << 30, "24 GiB"),
        ] {
            assert_eq!(bytes(value), text, "{value}");
        }
    }

    #[test]
    fn a_moment_is_a_date_whatever_the_number() {
        assert_eq!(moment(1_795_478_400), "2026-11-24 00:00:00 UTC");
        assert_eq!(moment(u64::MAX), "9999-12-31 23:59:59 UTC");
    }
}
