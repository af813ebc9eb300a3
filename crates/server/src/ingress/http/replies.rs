//! Replies about names and queues as HTTP responses.

use super::body::ReplyBody;
use super::messages::MessageList;
use super::respond::{JSON, json, status, untrusted_content};
use crate::call::DEFAULT_MEDIA_TYPE;
use crate::call::queue::{Messages, Settled};
use crate::clock;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use micronode_engine::mailbox::QueueStats;
use micronode_engine::names::NameEntry;
use serde::Serialize;

pub(super) const fn created_or_ok(created: bool) -> StatusCode {
    if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

#[derive(Serialize)]
pub(super) struct NameReply<'a> {
    pub(super) name: &'a str,
    pub(super) address: String,
    pub(super) revision: u64,
}

#[derive(Serialize)]
struct NamesReply<'a> {
    names: Vec<NameReply<'a>>,
    next: Option<&'a str>,
}

pub(super) fn names(method: &Method, entries: &[NameEntry], more: bool) -> Response<ReplyBody> {
    let names = entries.iter().map(|entry| NameReply {
        name: &entry.name,
        address: entry.address.to_string(),
        revision: entry.revision,
    });
    let page = NamesReply {
        names: names.collect(),
        next: entries.last().filter(|_| more).map(|last| &*last.name),
    };
    described(method, &page)
}

#[derive(Serialize)]
pub(super) struct SentReply {
    pub(super) id: String,
    pub(super) duplicate: bool,
}

/// Messages in JSON.
pub(super) fn list(messages: Messages) -> Response<ReplyBody> {
    let list = MessageList::new(messages);
    let length = HeaderValue::from(list.remaining());
    let mut response = Response::new(ReplyBody::Messages(list));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

#[derive(Serialize)]
struct ResultsReply<'a> {
    results: Vec<ResultReply<'a>>,
}

#[derive(Serialize)]
struct ResultReply<'a> {
    receipt: &'a str,
    code: &'static str,
}

pub(super) fn results(settled: &Settled) -> Response<ReplyBody> {
    let each = settled.receipts.iter().zip(&settled.verdicts);
    let results = each.map(|(receipt, verdict)| ResultReply {
        receipt,
        code: verdict.as_str(),
    });
    let results = results.collect();
    json(StatusCode::OK, &ResultsReply { results })
}

#[derive(Serialize)]
pub(super) struct PurgedReply {
    pub(super) removed: u64,
}

#[derive(Serialize)]
pub(super) struct RedrivenReply {
    pub(super) moved: u32,
    pub(super) left: u32,
}

/// How many messages are in what state; over OAP too.
#[derive(Serialize)]
pub(crate) struct StatsReply {
    ready: u64,
    leased: u64,
    delayed: u64,
    dead: u64,
    bytes: u64,
}

impl From<QueueStats> for StatsReply {
    fn from(stats: QueueStats) -> Self {
        Self {
            ready: stats.ready,
            leased: stats.leased,
            delayed: stats.delayed,
            dead: stats.dead,
            bytes: stats.bytes,
        }
    }
}

/// JSON that HEAD asks about too.
pub(super) fn described(method: &Method, value: &impl Serialize) -> Response<ReplyBody> {
    let mut response = json(StatusCode::OK, value);
    if *method == Method::HEAD {
        let length = HeaderValue::from(response.body().size_hint().lower());
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        *response.body_mut() = ReplyBody::empty();
    }
    response
}

/// One message as it is.
pub(super) fn raw(mut messages: Messages) -> Response<ReplyBody> {
    let Some(message) = messages.pop() else {
        return status(StatusCode::NO_CONTENT);
    };
    let mut response = Response::new(ReplyBody::full(message.body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(DEFAULT_MEDIA_TYPE),
    );
    for (name, value) in [
        ("message-id", message.id.to_string()),
        ("receipt", message.receipt.to_string()),
        ("attempt", message.attempt.to_string()),
        ("enqueued-at", clock::rfc3339(message.enqueued_wall_ms)),
    ] {
        headers.insert(name, HeaderValue::try_from(value).expect("printable ASCII"));
    }
    untrusted_content(headers);
    response
}
