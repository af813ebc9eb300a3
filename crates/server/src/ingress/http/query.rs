//! The parameters of a query: those that an operation knows, each at most once.

use super::routes::decode_segment;
use crate::call::CallError;
use crate::config::duration;
use micronode_protocol::ErrorCode;
use std::borrow::Cow;
use std::time::Duration;

/// See the [module](self).
pub(super) struct Query<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// What a query says of `known` parameters. A misspelt one is told, rather than ignored.
    pub(super) fn parse(query: Option<&'a str>, known: &[&'static str]) -> Result<Self, CallError> {
        let pairs = query.unwrap_or_default().split('&');
        let mut found = Vec::with_capacity(known.len());
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(key) = known.iter().find(|known| **known == key) else {
                return Err(bad_request(format!(
                    "parameters here are: {}",
                    known.join(", ")
                )));
            };
            if found.iter().any(|(other, _)| other == key) {
                return Err(bad_request(format!("{key} may be given once")));
            }
            found.push((*key, decode_segment(value)));
        }
        Ok(Self(found))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let mut found = self.0.iter();
        found
            .find(|(known, _)| *known == key)
            .map(|(_, text)| &**text)
    }

    /// Digits.
    pub(super) fn number(&self, key: &str) -> Result<Option<u32>, CallError> {
        let parse = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.ok_or_else(|| bad_request(format!("{key} takes a number")))
        };
        self.text(key).map(parse).transpose()
    }

    /// A number with its unit.
    pub(super) fn duration(&self, key: &str) -> Result<Option<Duration>, CallError> {
        let parse = |text| parse_duration(key, text);
        self.text(key).map(parse).transpose()
    }
}

/// A duration that a client gives as `key`.
pub(super) fn parse_duration(key: &str, text: &str) -> Result<Duration, CallError> {
    duration::parse(text).map_err(|_| {
        bad_request(format!(
            "{key} takes a duration such as 500ms, 4s, 10m or 1h"
        ))
    })
}

fn bad_request(detail: String) -> CallError {
    CallError::new(ErrorCode::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters_are_known_and_given_once() {
        let parse = |query| Query::parse(Some(query), &["max", "wait"]);
        let query = parse("max=7&&wait=4%73").unwrap();
        assert_eq!(query.number("max"), Ok(Some(7)));
        assert_eq!(query.duration("wait"), Ok(Some(Duration::from_secs(4))));
        assert_eq!(parse("").unwrap().number("max"), Ok(None));
        for wrong in ["maxx=7", "max=7&max=7", "cap", "Max=7"] {
            let code = parse(wrong).err().map(|error| error.code);
            assert_eq!(code, Some(ErrorCode::BadRequest), "{wrong}");
        }
        for wrong in ["max=", "max=-1", "max=+1", "max=4294967296", "max"] {
            assert!(parse(wrong).unwrap().number("max").is_err(), "{wrong}");
        }
        for wrong in ["wait=4", "wait", "wait=s"] {
            assert!(parse(wrong).unwrap().duration("wait").is_err(), "{wrong}");
        }
    }
}
