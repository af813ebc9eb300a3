//! The capability that a request brings: in `Authorization`, or, for one object, in its link.

use super::routes::{Operation, Route};
use crate::authority::Presented;
use http::request::Parts;
use http::{HeaderMap, Method, header};

const SCHEME: &[u8] = b"Bearer ";

/// What the head of a request for `operation` brings as its authority. A capability in a place
/// where none is looked for is a mistake that had better be seen.
pub(crate) fn presented<'a>(operation: &Operation, head: &'a Parts) -> Presented<'a> {
    let mut links = link(head.uri.query().unwrap_or_default());
    let Some(token) = links.next() else {
        return in_field(&head.headers);
    };
    let is_only = links.next().is_none() && !head.headers.contains_key(header::AUTHORIZATION);
    let is_readable = operation.route == Route::Object && operation.method == Method::GET;
    if is_only && is_readable {
        Presented::Link(token.as_bytes())
    } else {
        Presented::Malformed
    }
}

/// What `Authorization` brings.
pub(crate) fn in_field(headers: &HeaderMap) -> Presented<'_> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Presented::Nothing;
    };
    match field.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && fields.next().is_none() => {
            Presented::Text(token)
        }
        _ => Presented::Malformed,
    }
}

/// The values of `cap` in a query. A token needs no escaping, so none is undone.
fn link(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .filter_map(|pair| match pair.split_once('=') {
            Some(("cap", token)) => Some(token),
            None if pair == "cap" => Some(""),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::Request;

    fn of(method: &Method, path: &str, fields: &[&str]) -> String {
        let (route, _) = Route::of(path.split('?').next().unwrap());
        let mut request = Request::builder().method(method).uri(path);
        for field in fields {
            request = request.header("authorization", *field);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        match presented(route.operation(method).unwrap(), &head) {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
            Presented::Link(text) => format!("link {}", String::from_utf8_lossy(text)),
            Presented::Bytes(_) => unreachable!("HTTP is text"),
            Presented::Malformed => "malformed".to_owned(),
        }
    }

    #[test]
    fn a_token_stands_in_one_place_once() {
        for (method, path, fields, expected) in [
            (Method::GET, "/o/x", &[][..], "nothing"),
            (Method::GET, "/o/x", &["Bearer abc"], "text abc"),
            (Method::GET, "/o/x", &["bEARER abc"], "text abc"),
            (Method::GET, "/o/x?capped=1", &["Bearer abc"], "text abc"),
            (Method::GET, "/o/x", &["Bearer  abc"], "text  abc"),
            (Method::GET, "/o/x", &["Basic abc"], "malformed"),
            (Method::GET, "/o/x", &["Bearer"], "malformed"),
            (Method::GET, "/o/x", &["abc"], "malformed"),
            (Method::GET, "/o/x", &["Bearer a", "Bearer a"], "malformed"),
            (Method::GET, "/o/x?cap=abc", &[], "link abc"),
            (Method::GET, "/o/x?a=b&cap=abc", &[], "link abc"),
            (Method::GET, "/o/x?cap=", &[], "link "),
            (Method::GET, "/o/x?cap", &[], "link "),
            (Method::GET, "/o/x?cap=a&cap=a", &[], "malformed"),
            (Method::GET, "/o/x?cap=a", &["Bearer a"], "malformed"),
            (Method::HEAD, "/o/x?cap=abc", &[], "malformed"),
            (Method::GET, "/o/x/manifest?cap=abc", &[], "malformed"),
            (Method::PUT, "/o/x?cap=abc", &[], "malformed"),
        ] {
            assert_eq!(
                of(&method, path, fields),
                expected,
                "{method} {path} {fields:?}"
            );
        }
    }
}
