//! Waivers: regressions that are known, with who has to mend them and until when they are let pass.
//!
//! ```toml
//! [[waiver]]
//! metric = "get-1k.latency_ms.p95"          # or the end of it: "latency_ms.p95", of all scenarios
//! issue = "https://github.com/hyperium/hyper/issues/1234"
//! expires = "2026-12-31"                    # the last day on which it holds, in UTC
//! ```
//!
//! A file with a waiver that has expired, that has no link, or whose metric no gate knows, is an
//! error as a whole: what it was to allow has to be looked at again, whether it happened today or
//! not.

use serde::Deserialize;

use crate::date::Date;
use crate::failure::Failure;

/// What may be waived by its key: those of the gate's measures and budgets.
pub fn keys() -> impl Iterator<Item = &'static str> {
    use crate::gate::{Budget, Measure};
    let measures = Measure::ALL.into_iter().map(Measure::key);
    measures.chain(Budget::ALL.into_iter().map(Budget::key))
}

/// All waivers of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waivers(Vec<Waiver>);

/// A regression that is let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// What it is about: the name of a metric, or the end of it from a dot on.
    pub metric: String,
    /// Where the one who has to mend it was told.
    pub issue: String,
    /// The last day on which it holds.
    pub expires: Date,
}

/// As it is written. What is missing is told by name of its waiver, so nothing is required here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    waiver: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    metric: Option<String>,
    issue: Option<String>,
    expires: Option<Day>,
}

/// A day, with or without quotes around it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Day {
    Text(String),
    Toml(toml::value::Datetime),
}

impl Waivers {
    /// The waivers of a file's `text`, as they hold on the day `today`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] when it is no such file, or one of its waivers is none: incomplete,
    /// expired, without a link, of a metric that there is not.
    pub fn parse(text: &str, today: Date) -> Result<Self, Failure> {
        let file: File = toml::from_str(text).map_err(|e| Failure::usage(e.to_string()))?;
        let waivers = file.waiver.into_iter().enumerate();
        waivers
            .map(|(index, written)| Waiver::check(written, index + 1, today))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The waiver for a metric, named in full (`get-1k.latency_ms.p95`), if there is one.
    pub fn of(&self, metric: &str) -> Option<&Waiver> {
        let is_end = |end: &str| {
            let before = metric.strip_suffix(end);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        self.0.iter().find(|waiver| is_end(&waiver.metric))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Waiver> {
        self.0.iter()
    }
}

impl Waiver {
    fn check(written: Written, number: usize, today: Date) -> Result<Self, Failure> {
        let metric = written.metric.unwrap_or_default();
        let wrong = |what: String| Failure::usage(format!("waiver {number} ({metric}): {what}"));
        let is_known = |key: &str| {
            let scenario = metric.strip_suffix(key);
            scenario.is_some_and(|s| s.is_empty() || (s.len() > 1 && s.ends_with('.')))
        };
        if !keys().any(is_known) {
            let keys: Vec<_> = keys().collect();
            return Err(wrong(format!(
                "`metric` has to be one of {}, with or without a scenario and a dot before it",
                keys.join(", ")
            )));
        }
        let issue = written.issue.unwrap_or_default();
        if !is_link(&issue) {
            return Err(wrong(format!(
                "`issue` has to link to where it is to be mended, as https://HOST/PATH, and is \
                 {issue:?}"
            )));
        }
        let expires = match written.expires {
            Some(Day::Text(text)) => text,
            Some(Day::Toml(day)) => day.to_string(),
            None => String::new(),
        };
        let expires: Date = expires
            .parse()
            .map_err(|error| wrong(format!("`expires` is {expires:?}: {error}")))?;
        if expires < today {
            return Err(wrong(format!(
                "it expired on {expires}: mend what it is about, or say anew until when it is let \
                 pass"
            )));
        }
        Ok(Self {
            metric,
            issue,
            expires,
        })
    }
}

/// Whether it leads somewhere: a page of a host, not the host alone.
fn is_link(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let place = rest.and_then(|rest| rest.split_once('/'));
    let is_clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    is_clean && place.is_some_and(|(host, path)| !host.is_empty() && !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: &str = "2026-11-24";
    const ISSUE: &str = "https://github.com/hyperium/hyper/issues/1";

    fn parse(text: &str) -> Result<Waivers, String> {
        let today = TODAY.parse().expect("a date");
        Waivers::parse(text, today).map_err(|failure| {
            assert_eq!(failure.exit() as u8, 2);
            failure.to_string()
        })
    }

    fn one(metric: &str, issue: &str, expires: &str) -> String {
        format!("[[waiver]]\nmetric = {metric:?}\nissue = {issue:?}\nexpires = {expires}\n")
    }

    #[test]
    fn a_waiver_is_for_a_scenario_or_for_all() {
        let text = one("get-1k.latency_ms.p95", ISSUE, "\"2026-12-31\"");
        let waivers = parse(&text).expect("a waiver");
        assert!(waivers.of("get-1k.latency_ms.p95").is_some());
        assert_eq!(waivers.of("get-64k.latency_ms.p95"), None);
        assert_eq!(waivers.of("slow-get-1k.latency_ms.p95"), None);
        assert_eq!(waivers.of("get-1k.achieved_rps"), None);

        let text = one("latency_ms.p95", ISSUE, "\"2026-12-31\"");
        let waivers = parse(&text).expect("a waiver");
        assert!(waivers.of("mixed.operations.put.latency_ms.p95").is_some());
        let waiver = waivers.of("anything.latency_ms.p95");
        let waiver = waiver.expect("for all scenarios");
        assert_eq!(waiver.issue, ISSUE);
        assert_eq!(waiver.expires.to_string(), "2026-12-31");
    }

    #[test]
    fn it_holds_up_to_its_day() {
        for (expires, holds) in [
            ("\"2026-11-24\"", true),
            ("2026-11-24", true),
            ("2026-11-25", true),
            ("\"2026-11-23\"", false),
            ("2026-11-23", false),
        ] {
            let parsed = parse(&one("errors", ISSUE, expires));
            assert_eq!(parsed.is_ok(), holds, "{expires}: {parsed:?}");
            if let Err(text) = parsed {
                assert!(text.contains("errors") && text.contains("expired on 2026-11-23"));
            }
        }
    }

    #[test]
    fn one_without_a_link_is_an_error() {
        for issue in [
            "",
            "hyper#1",
            "https://",
            "https://github.com",
            "https://github.com/",
            "see https://github.com/x/y",
            "ftp://a.b/c",
        ] {
            let text = parse(&one("errors", issue, TODAY)).expect_err(issue);
            assert!(text.contains("`issue`"), "{text}");
        }
        let without = format!("[[waiver]]\nmetric = \"errors\"\nexpires = \"{TODAY}\"\n");
        assert!(parse(&without).expect_err("no link").contains("`issue`"));
    }

    #[test]
    fn what_is_incomplete_or_unknown_is_an_error() {
        for (text, told) in [
            ("[[waiver]]\n".to_owned(), "`metric`"),
            (one("p96", ISSUE, TODAY), "`metric`"),
            (one(".errors", ISSUE, TODAY), "`metric`"),
            (one("get-1k", ISSUE, TODAY), "`metric`"),
            (one("errors", ISSUE, "\"soon\""), "`expires`"),
            (one("errors", ISSUE, "2026-11-25T00:00:00Z"), "`expires`"),
            (
                format!("[[waiver]]\nmetric = \"errors\"\nissue = \"{ISSUE}\"\n"),
                "`expires`",
            ),
            (
                format!("{}reason = \"x\"\n", one("errors", ISSUE, TODAY)),
                "reason",
            ),
            ("[[waivers]]\n".to_owned(), "waivers"),
            ("waiver = 1".to_owned(), "waiver"),
            ("not toml".to_owned(), ""),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn an_expired_one_is_not_hidden_by_others() {
        let text = [
            one("errors", ISSUE, "2027-01-01"),
            one("refusals", ISSUE, "2020-01-01"),
        ];
        assert!(
            parse(&text.concat())
                .expect_err("expired")
                .contains("waiver 2")
        );
    }

    #[test]
    fn none_are_fine() {
        assert_eq!(parse(""), Ok(Waivers::default()));
    }

    proptest! {
        #[test]
        fn expiry_is_a_comparison_of_days(today in 0_u64..40_000, expires in 0_u64..40_000) {
            let day = |days: u64| Date::of_unix_s(days * 86_400);
            let text = one("errors", ISSUE, &day(expires).to_string());
            prop_assert_eq!(Waivers::parse(&text, day(today)).is_ok(), expires >= today);
        }

        #[test]
        fn nothing_that_is_read_panics(text in ".{0,200}") {
            let _read = parse(&text);
        }
    }
}
