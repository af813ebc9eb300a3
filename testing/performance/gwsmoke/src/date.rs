//! Days of the calendar, without a clock.

use std::fmt;
use std::str::FromStr;

const DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const SECONDS_PER_DAY: u64 = 86_400;

/// A day of the Gregorian calendar, in UTC. An earlier one is less than a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u32,
    month: u32,
    day: u32,
}

/// What a date has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a date is a day of the calendar, written YYYY-MM-DD")]
pub struct NotADate;

impl Date {
    /// `None` if there is no such day.
    pub fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let exists = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        (exists && (1970..=9999).contains(&year)).then_some(Self { year, month, day })
    }

    /// The day of a time since 1970; after the year 9999, its last day.
    pub fn of_unix_s(seconds: u64) -> Self {
        let mut days = seconds / SECONDS_PER_DAY;
        for year in 1970..=9999 {
            for month in 1..=12 {
                let of_month = u64::from(days_of(year, month));
                if days < of_month {
                    // Less than 31.
                    let day = days as u32 + 1;
                    return Self { year, month, day };
                }
                days -= of_month;
            }
        }
        Self {
            year: 9999,
            month: 12,
            day: 31,
        }
    }
}

fn days_of(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    DAYS[month as usize - 1] + u32::from(is_leap && month == 2)
}

impl FromStr for Date {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let number = |range: std::ops::Range<usize>| {
            let digits = text.get(range)?;
            // `parse` alone takes a sign.
            let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            are_digits.then(|| digits.parse().ok())?
        };
        let separators = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        if text.len() != 10 || !separators {
            return Err(NotADate);
        }
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let parts = year.zip(month).zip(day);
        parts
            .and_then(|((year, month), day)| Self::new(year, month, day))
            .ok_or(NotADate)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_that_are_known() {
        let of = |seconds| Date::of_unix_s(seconds).to_string();
        assert_eq!(of(0), "1970-01-01");
        assert_eq!(of(86_399), "1970-01-01");
        assert_eq!(of(951_782_400), "2000-02-29");
        assert_eq!(of(1_795_478_400), "2026-11-24");
        assert_eq!(of(4_107_542_400), "2100-03-01");
        assert_eq!(of(u64::MAX), "9999-12-31");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-11-31",
            "2026-02-29",
            "2100-02-29",
            "2026-00-01",
            "2026-13-01",
            "2026-01-00",
            "2026-1-1",
            "26-01-01",
            "2026/01/01",
            "2026-01-01T00:00",
            " 2026-01-01",
            "2026-01-0x",
            "+026-01-01",
            "2026-+1-01",
            "1969-12-31",
            "never",
            "20２6-1-01",
        ] {
            assert_eq!(text.parse::<Date>(), Err(NotADate), "{text:?}");
        }
        assert!("2024-02-29".parse::<Date>().is_ok());
    }

    proptest! {
        #[test]
        fn a_date_is_read_as_it_is_written(days in 0_u64..2_900_000) {
            let date = Date::of_unix_s(days * SECONDS_PER_DAY);
            prop_assert_eq!(date.to_string().parse::<Date>(), Ok(date));
        }

        #[test]
        fn days_follow_each_other(days in 0_u64..2_900_000) {
            let (today, tomorrow) = (days * SECONDS_PER_DAY, (days + 1) * SECONDS_PER_DAY);
            prop_assert!(Date::of_unix_s(today) < Date::of_unix_s(tomorrow));
            prop_assert_eq!(Date::of_unix_s(today), Date::of_unix_s(tomorrow - 1));
        }

        #[test]
        fn nothing_that_is_read_panics(text in ".{0,12}") {
            let _read = text.parse::<Date>();
        }
    }
}
