//! Requests to queues.

use super::Target;
use super::query::{Query, parse_duration};
use crate::authority::Scope;
use crate::buffer::{Collected, collect};
use crate::call::queue::{Message, Receive, Settle, Settling, check_delay, check_key};
use crate::call::{CallBody, CallError, Command};
use http::{HeaderMap, HeaderName, header, request::Parts};
use micronode_engine::Store;
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::VISIBILITY;
use serde::Deserialize;
use std::time::Duration;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DELAY: HeaderName = HeaderName::from_static("delay");

pub(super) async fn send(
    head: &Parts,
    target: Target,
    body: CallBody,
    store: &Store,
    scope: &Scope,
) -> Result<Command, CallError> {
    let delay = match text(&head.headers, &DELAY)? {
        Some(text) => check_delay(parse_duration("Delay", text)?)?,
        None => Duration::ZERO,
    };
    let key = text(&head.headers, &IDEMPOTENCY_KEY)?;
    let key = key.map(|key| check_key(key).map(|()| (key.to_owned(), scope.holder_id())));
    Ok(Command::Send(Message {
        queue: target.queue()?,
        delay,
        key: key.transpose()?,
        body: collect(body, store).await?.into_bytes(),
    }))
}

/// A field that stands once and is text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, CallError> {
    let mut fields = headers.get_all(name).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    match (field.to_str(), fields.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(CallError::new(
            ErrorCode::BadRequest,
            format!("{name} stands once and is printable ASCII"),
        )),
    }
}

/// Whether one message is asked for as it is, instead of several in JSON.
pub(super) fn wants_bytes(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).map(|value| value.as_bytes());
    accept.is_some_and(|accept| {
        let media_type = accept.trim_ascii();
        media_type.eq_ignore_ascii_case(b"application/octet-stream")
    })
}

pub(super) fn receive(head: &Parts, target: Target) -> Result<Command, CallError> {
    let query = Query::parse(head.uri.query(), &["max", "wait", "visibility"])?;
    let max = query.number("max")?.unwrap_or(1);
    let max = if wants_bytes(&head.headers) {
        max.min(1)
    } else {
        max
    };
    let wait = query.duration("wait")?.unwrap_or_default();
    let visibility = query.duration("visibility")?.unwrap_or(VISIBILITY);
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    Receive::new(target.queue()?, max, wait, visibility).map(Command::Receive)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipts {
    receipts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Returned {
    receipts: Vec<String>,
    delay: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    receipts: Vec<String>,
    visibility: String,
}

pub(super) async fn ack(
    target: Target,
    body: CallBody,
    store: &Store,
) -> Result<Command, CallError> {
    let body = collect(body, store).await?;
    let Receipts { receipts } = json(&body, r#"{"receipts":[…]}"#)?;
    Settle::new(target.queue()?, receipts, Settling::Ack).map(Command::Settle)
}

pub(super) async fn nack(
    target: Target,
    body: CallBody,
    store: &Store,
) -> Result<Command, CallError> {
    let body = collect(body, store).await?;
    let Returned { receipts, delay } = json(&body, r#"{"receipts":[…],"delay":"5s"}"#)?;
    let delay = delay
        .map(|text| parse_duration("delay", &text))
        .transpose()?;
    let how = Settling::Nack(delay.unwrap_or_default());
    Settle::new(target.queue()?, receipts, how).map(Command::Settle)
}

pub(super) async fn extend(
    target: Target,
    body: CallBody,
    store: &Store,
) -> Result<Command, CallError> {
    let body = collect(body, store).await?;
    let Kept {
        receipts,
        visibility,
    } = json(&body, r#"{"receipts":[…],"visibility":"30s"}"#)?;
    let how = Settling::Extend(parse_duration("visibility", &visibility)?);
    Settle::new(target.queue()?, receipts, how).map(Command::Settle)
}

fn json<'a, T: Deserialize<'a>>(body: &'a Collected, form: &'static str) -> Result<T, CallError> {
    serde_json::from_slice(body)
        .map_err(|_| CallError::new(ErrorCode::BadRequest, format!("the body must be {form}")))
}

pub(super) fn redrive(head: &Parts, target: Target) -> Result<Command, CallError> {
    let query = Query::parse(head.uri.query(), &["limit"])?;
    Ok(Command::Redrive {
        queue: target.queue()?,
        limit: query.number("limit")?.unwrap_or(0),
    })
}
