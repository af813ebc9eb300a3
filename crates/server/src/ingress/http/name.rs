//! Requests for names.

use super::query::Query;
use super::{Target, parse_address};
use crate::authority::Scope;
use crate::buffer::collect;
use crate::call::name::{NameList, NameSet};
use crate::call::{CallBody, CallError, Command};
use http::{HeaderMap, header, request::Parts};
use micronode_engine::Store;
use micronode_engine::names::{Expected, Tag};
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::{LIST_NAMES, LIST_NAMES_DEFAULT};
use serde::Deserialize;

pub(super) fn list(head: &Parts, scope: Scope) -> Result<Command, CallError> {
    let query = Query::parse(head.uri.query(), &["prefix", "after", "limit"])?;
    let limit = query.number("limit")?.map_or(LIST_NAMES_DEFAULT, |limit| {
        usize::try_from(limit).unwrap_or(LIST_NAMES + 1)
    });
    let (prefix, after) = (query.text("prefix"), query.text("after"));
    let (prefix, after) = (prefix.unwrap_or_default(), after.unwrap_or_default());
    NameList::new(prefix, after, limit, scope).map(Command::NameList)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointer<'a> {
    #[serde(borrow)]
    address: std::borrow::Cow<'a, str>,
}

pub(super) async fn set(
    head: &Parts,
    target: Target,
    body: CallBody,
    store: &Store,
) -> Result<Command, CallError> {
    let (name, expected) = (target.name()?, expected(&head.headers)?);
    let body = collect(body, store).await?;
    let pointer: Pointer<'_> = serde_json::from_slice(&body).map_err(|_| {
        CallError::new(
            ErrorCode::BadRequest,
            r#"the body must be {"address":"b3:…"}"#,
        )
    })?;
    Ok(Command::NameSet(NameSet {
        name,
        address: parse_address(&pointer.address)?,
        expected,
    }))
}

pub(super) fn delete(head: &Parts, target: Target) -> Result<Command, CallError> {
    Ok(Command::NameDelete {
        name: target.name()?,
        expected: expected(&head.headers)?,
    })
}

/// What a name has to be for a change: `If-Match` takes revisions, the entity tags that GET gives,
/// or `*` for any; `If-None-Match` takes `*`, for a name that is new.
fn expected(headers: &HeaderMap) -> Result<Expected, CallError> {
    let is_new = headers.contains_key(header::IF_NONE_MATCH);
    let elements = |name| {
        headers
            .get_all(name)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
    };
    if is_new {
        let only_any = elements(header::IF_NONE_MATCH).all(|element| element == b"*");
        return if only_any && !headers.contains_key(header::IF_MATCH) {
            Ok(Expected::Absent)
        } else {
            Err(CallError::new(
                ErrorCode::BadRequest,
                "If-None-Match takes * here, and not together with If-Match",
            ))
        };
    }
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(Expected::Any);
    }
    let mut tags = Vec::new();
    for element in elements(header::IF_MATCH) {
        if element == b"*" {
            return Ok(Expected::Exists);
        }
        let is_quoted = element.len() > 1 && element.ends_with(b"\"");
        if !(is_quoted && (element.starts_with(b"\"") || element.starts_with(b"W/\""))) {
            // It would never match, and the client would try for ever.
            return Err(CallError::new(
                ErrorCode::BadRequest,
                r#"If-Match takes *, or revisions and entity tags in quotes, like "7""#,
            ));
        }
        // Another server's tag is no reason to refuse: it just matches nothing.
        tags.extend(tag(element));
    }
    Ok(Expected::OneOf(tags))
}

fn tag(element: &[u8]) -> Option<Tag> {
    let opaque = element.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let opaque = std::str::from_utf8(opaque).ok()?;
    if let Ok(address) = opaque.parse() {
        return Some(Tag::Address(address));
    }
    let canonical = opaque.bytes().all(|byte| byte.is_ascii_digit()) && !opaque.starts_with('0');
    opaque.parse().ok().filter(|_| canonical).map(Tag::Revision)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use micronode_protocol::Address;

    fn of(fields: &[(&'static str, &str)]) -> Result<Expected, ErrorCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        expected(&headers).map_err(|error| error.code)
    }

    #[test]
    fn preconditions_take_revisions_and_entity_tags() {
        let address = Address::of(b"x");
        let etag = format!("\"{address}\"");
        let one_of = |tags: &[Tag]| Ok(Expected::OneOf(tags.to_vec()));
        for (fields, expected) in [
            (&[][..], Ok(Expected::Any)),
            (&[("if-none-match", "*")], Ok(Expected::Absent)),
            (&[("if-match", "*")], Ok(Expected::Exists)),
            (&[("if-match", "\"7\"")], one_of(&[Tag::Revision(7)])),
            (
                &[("if-match", "\"7\", \"8\""), ("if-match", &etag)],
                one_of(&[Tag::Revision(7), Tag::Revision(8), Tag::Address(address)]),
            ),
            // Weak, of others, and numbers with another spelling match nothing.
            (
                &[("if-match", "W/\"7\", \"x\", \"07\", \"+7\", \"\"")],
                one_of(&[]),
            ),
            (&[("if-match", "7")], Err(ErrorCode::BadRequest)),
            (&[("if-match", "\"7\", \"8")], Err(ErrorCode::BadRequest)),
            (&[("if-match", "\"")], Err(ErrorCode::BadRequest)),
            (&[("if-match", "")], Err(ErrorCode::BadRequest)),
            (&[("if-none-match", "\"7\"")], Err(ErrorCode::BadRequest)),
            (
                &[("if-none-match", "*"), ("if-match", "\"7\"")],
                Err(ErrorCode::BadRequest),
            ),
        ] {
            assert_eq!(of(fields), expected, "{fields:?}");
        }
    }
}
