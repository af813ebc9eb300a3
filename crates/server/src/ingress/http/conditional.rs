//! Preconditions of RFC 9110 §13 on immutable objects, in the order of §13.2.2.
//!
//! An object's entity tag is its address, so it is always strong and never changes.

use crate::call::CallError;
use http::{HeaderMap, HeaderValue, Method, header};
use micronode_protocol::{Address, ErrorCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The entity tag of an object: its address in quotes.
pub(crate) fn etag(address: &Address) -> HeaderValue {
    let mut quoted = [b'"'; Address::TEXT_BYTES + 2];
    quoted[1..=Address::TEXT_BYTES].copy_from_slice(&address.to_text());
    HeaderValue::from_bytes(&quoted).expect("an address is a field value")
}

/// What the preconditions of a request ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on, and honour `Range` if there is one.
    Serve,
    /// Go on with the whole object: `If-Range` names another representation.
    ServeWhole,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates all preconditions of a GET or HEAD for an object with this entity tag (quotes
/// included) that was stored at `modified_ms`, in Unix milliseconds.
pub(crate) fn evaluate(
    method: &Method,
    headers: &HeaderMap,
    etag: &str,
    modified_ms: u64,
) -> Verdict {
    let modified = UNIX_EPOCH + Duration::from_secs(modified_ms / 1000);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |name| text(name).and_then(|value| httpdate::parse_http_date(value).ok());

    if headers.contains_key(header::IF_MATCH) {
        if !list_matches(headers, &header::IF_MATCH, etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if date(header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if list_matches(headers, &header::IF_NONE_MATCH, etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if date(header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        return Verdict::NotModified;
    }
    match text(header::IF_RANGE) {
        Some(validator)
            if *method == Method::GET && !same_representation(validator, etag, modified) =>
        {
            Verdict::ServeWhole
        }
        _ => Verdict::Serve,
    }
}

/// Whether a request that changes the object may go on: `If-Match` is absent or names it.
pub(crate) fn may_change(headers: &HeaderMap, address: &Address) -> bool {
    let names = |tag: &str| list_matches(headers, &header::IF_MATCH, tag, Comparison::Strong);
    !headers.contains_key(header::IF_MATCH)
        || names(etag(address).to_str().expect("an address is ASCII"))
}

/// 412.
pub(crate) fn failed() -> CallError {
    CallError::new(
        ErrorCode::PreconditionFailed,
        "a precondition of the request does not hold",
    )
}

/// `If-Range` takes one strong entity tag, or a date that equals `Last-Modified` exactly.
fn same_representation(validator: &str, etag: &str, modified: SystemTime) -> bool {
    if validator.starts_with('"') {
        validator == etag
    } else {
        httpdate::parse_http_date(validator).is_ok_and(|date| date == modified)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether any element of the field (over all its lines) is `*` or the entity tag. Our tags hold
/// no comma, so splitting at commas can only miss tags that are not ours.
fn list_matches(
    headers: &HeaderMap,
    name: &header::HeaderName,
    etag: &str,
    comparison: Comparison,
) -> bool {
    let elements = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','));
    elements.map(str::trim).any(|element| {
        let opaque = match comparison {
            Comparison::Weak => element.strip_prefix("W/").unwrap_or(element),
            Comparison::Strong => element,
        };
        opaque == "*" || opaque == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"b3:aa\"";
    const MODIFIED_MS: u64 = 784_111_777_500; // Sun, 06 Nov 1994 08:49:37.5 GMT
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn verdict(fields: &[(&'static str, &str)]) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field value"));
        }
        evaluate(&Method::GET, &headers, ETAG, MODIFIED_MS)
    }

    #[test]
    fn entity_tags() {
        assert_eq!(verdict(&[]), Verdict::Serve);
        assert_eq!(verdict(&[("if-none-match", ETAG)]), Verdict::NotModified);
        assert_eq!(
            verdict(&[("if-none-match", "W/\"b3:aa\"")]),
            Verdict::NotModified
        );
        assert_eq!(
            verdict(&[("if-none-match", "\"x\" , \"b3:aa\"")]),
            Verdict::NotModified
        );
        assert_eq!(
            verdict(&[("if-none-match", "\"x\""), ("if-none-match", "*")]),
            Verdict::NotModified
        );
        assert_eq!(verdict(&[("if-none-match", "b3:aa")]), Verdict::Serve);
        assert_eq!(verdict(&[("if-match", "\"x\"")]), Verdict::Failed);
        assert_eq!(verdict(&[("if-match", "W/\"b3:aa\"")]), Verdict::Failed);
        assert_eq!(verdict(&[("if-match", ETAG)]), Verdict::Serve);
        assert_eq!(verdict(&[("if-match", "*")]), Verdict::Serve);
    }

    #[test]
    fn dates_count_only_without_the_matching_tag_field() {
        assert_eq!(
            verdict(&[("if-modified-since", DATE)]),
            Verdict::NotModified
        );
        assert_eq!(verdict(&[("if-modified-since", BEFORE)]), Verdict::Serve);
        assert_eq!(
            verdict(&[("if-modified-since", "yesterday")]),
            Verdict::Serve
        );
        assert_eq!(
            verdict(&[("if-modified-since", DATE), ("if-none-match", "\"x\"")]),
            Verdict::Serve
        );
        assert_eq!(verdict(&[("if-unmodified-since", BEFORE)]), Verdict::Failed);
        assert_eq!(verdict(&[("if-unmodified-since", DATE)]), Verdict::Serve);
    }

    #[test]
    fn if_range_names_the_same_representation_or_the_range_is_ignored() {
        assert_eq!(verdict(&[("if-range", ETAG)]), Verdict::Serve);
        assert_eq!(verdict(&[("if-range", DATE)]), Verdict::Serve);
        assert_eq!(verdict(&[("if-range", BEFORE)]), Verdict::ServeWhole);
        assert_eq!(verdict(&[("if-range", "W/\"b3:aa\"")]), Verdict::ServeWhole);
        assert_eq!(verdict(&[("if-range", "\"x\"")]), Verdict::ServeWhole);
    }
}
