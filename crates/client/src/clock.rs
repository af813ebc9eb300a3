//! The wall clock, read here and nowhere else: a node tells dates.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time from now to a date; none at all if it has passed.
pub(crate) fn until(date: SystemTime) -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "a date says nothing without the clock"
    )]
    let now = SystemTime::now();
    date.duration_since(now).unwrap_or_default()
}

/// A date in Unix milliseconds.
pub(crate) fn date(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms)
}

/// A date in RFC 3339, UTC, to the millisecond; `None` behind the year 9999, where it has no form.
pub(crate) fn rfc3339(unix_ms: u64) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", humantime::format_rfc3339_millis(date(unix_ms))).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_one_form_or_none() {
        assert_eq!(
            rfc3339(1_795_552_270_952).as_deref(),
            Some("2026-11-24T20:31:10.952Z")
        );
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(rfc3339(u64::MAX), None);
    }

    #[test]
    fn what_has_passed_is_no_time_away_and_the_last_date_is() {
        assert_eq!(until(date(0)), Duration::ZERO);
        assert!(until(date(u64::MAX)) > Duration::from_secs(1 << 40));
    }
}
