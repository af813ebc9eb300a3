//! Replies as HTTP responses: status, representation fields, ranges and preconditions.

use super::body::ReplyBody;
use super::conditional::{self, Verdict};
use super::multipart::Multipart;
use super::problem::Failure;
use super::queue::wants_bytes;
use super::range::{Selection, select};
use super::replies::{
    NameReply, PurgedReply, RedrivenReply, SentReply, StatsReply, created_or_ok, described, list,
    names, raw, results,
};
use super::routes::{Operation, Route};
use super::sse::EventStream;
use crate::call::{CallError, DEFAULT_MEDIA_TYPE, Reply, Token};
use crate::feed::Feed;
use crate::ingress::pieces::Pieces;
use crate::node::Node;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use micronode_engine::mailbox::Redriven;
use micronode_engine::{Now, Object, Stored};
use micronode_protocol::ErrorCode;
use serde::Serialize;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// `Cache-Control` of an object that never expires; one year is what caches understand as ever.
const YEAR_SECONDS: u64 = 365 * 24 * 3600;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The response of a reply to `operation`.
pub(crate) fn respond(
    node: &Arc<Node>,
    operation: &Operation,
    head: &Parts,
    reply: Reply,
    now: Now,
) -> Result<Response<ReplyBody>, Failure> {
    match reply {
        Reply::Object(object) if operation.route == Route::Manifest => {
            Ok(manifest(&operation.method, &object, now)?)
        }
        Reply::Object(object) => representation(&operation.method, &head.headers, &object, now),
        Reply::Named(object, revision) => {
            let mut response = representation(&operation.method, &head.headers, &object, now)?;
            pointer_fields(response.headers_mut(), &object, revision);
            Ok(response)
        }
        Reply::Stored(stored) => Ok(created(&stored)),
        Reply::Has(answers) => Ok(json(StatusCode::OK, &answers)),
        Reply::Echo(bytes) => {
            let mut response = Response::new(ReplyBody::full(bytes));
            let media_type = head.headers.get(header::CONTENT_TYPE).cloned();
            let media_type = media_type.unwrap_or(HeaderValue::from_static(DEFAULT_MEDIA_TYPE));
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type);
            untrusted_content(response.headers_mut());
            Ok(response)
        }
        Reply::Token(token) => Ok(secret(&token)),
        Reply::Deleted | Reply::Pong => Ok(status(StatusCode::NO_CONTENT)),
        Reply::NameSet {
            name,
            address,
            revision,
            created,
        } => Ok(json(
            created_or_ok(created),
            &NameReply {
                name: &name,
                address: address.to_string(),
                revision,
            },
        )),
        Reply::Names(entries, more) => Ok(names(&operation.method, &entries, more)),
        Reply::Sent(sent) => Ok(json(
            created_or_ok(!sent.duplicate),
            &SentReply {
                id: sent.id.to_string(),
                duplicate: sent.duplicate,
            },
        )),
        Reply::Messages(messages) if wants_bytes(&head.headers) => Ok(raw(messages)),
        Reply::Messages(messages) => Ok(list(messages)),
        Reply::Settled(settled) => Ok(results(&settled)),
        Reply::QueueStats(stats) => Ok(described(&operation.method, &StatsReply::from(stats))),
        Reply::Purged(removed) => Ok(json(StatusCode::OK, &PurgedReply { removed })),
        Reply::Redriven(Redriven { moved, left }) => {
            Ok(json(StatusCode::OK, &RedrivenReply { moved, left }))
        }
        Reply::Feed(feed) => Ok(stream(node, feed)),
        Reply::Pointer(..) => unreachable!("only OAP asks for it"),
        Reply::Waits(_) => unreachable!("the guard has waited for it"),
    }
}

/// Events as they come.
fn stream(node: &Arc<Node>, feed: Box<Feed>) -> Response<ReplyBody> {
    let events = EventStream::new(Arc::clone(node), feed);
    let mut response = Response::new(ReplyBody::Events(events));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is said of an object that was found by its name: the name may point elsewhere next time.
fn pointer_fields(headers: &mut HeaderMap, object: &Object, revision: u64) {
    let location = ["/o/", &object.address().to_string()].concat();
    headers.insert(
        header::CONTENT_LOCATION,
        HeaderValue::try_from(location).expect("an address is a field value"),
    );
    headers.insert("name-revision", HeaderValue::from(revision));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
}

/// A response without a body.
pub(crate) fn status(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    response
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<ReplyBody> {
    let bytes = serde_json::to_vec(value).expect("our own replies always serialise");
    let mut response = Response::new(ReplyBody::full(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

#[derive(Serialize)]
struct TokenReply<'a> {
    token: &'a str,
    expires_at: String,
}

/// A token: for who asked, and for nobody's cache.
fn secret(token: &Token) -> Response<ReplyBody> {
    let reply = TokenReply {
        token: &token.text,
        expires_at: crate::clock::rfc3339(token.expires_ms),
    };
    let mut response = json(StatusCode::OK, &reply);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Serialize)]
struct StoredReply {
    address: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

fn created(stored: &Stored) -> Response<ReplyBody> {
    let address = stored.address.to_string();
    let location =
        HeaderValue::try_from(["/o/", &address].concat()).expect("an address is a field value");
    let reply = StoredReply {
        address,
        size: stored.size,
        expires_at: stored.expires_at_wall_ms.map(crate::clock::rfc3339),
    };
    let mut response = json(
        if stored.existed {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        },
        &reply,
    );
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn manifest(
    method: &Method,
    object: &Arc<Object>,
    now: Now,
) -> Result<Response<ReplyBody>, CallError> {
    let [head, values] = object.encoded_manifest();
    let length = (head.len() + values.len()) as u64;
    let mut response = Response::new(ReplyBody::empty());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.micronode.manifest"),
    );
    headers.insert(header::ETAG, conditional::etag(object.address()));
    headers.insert(header::CACHE_CONTROL, cache_control(object, now));
    untrusted_content(headers);
    fill(&mut response, method, length, || {
        Ok(ReplyBody::Manifest(Some(head), values))
    })?;
    Ok(response)
}

/// An object, whole or in ranges, under its preconditions.
fn representation(
    method: &Method,
    asked: &HeaderMap,
    object: &Arc<Object>,
    now: Now,
) -> Result<Response<ReplyBody>, Failure> {
    let etag = conditional::etag(object.address());
    let etag_text = etag.to_str().expect("an address is ASCII");
    let verdict = conditional::evaluate(method, asked, etag_text, object.stored_at_wall_ms());
    let mut response = Response::new(ReplyBody::empty());
    object_fields(response.headers_mut(), object, &etag, now);

    match verdict {
        Verdict::Failed => return Err(conditional::failed().into()),
        Verdict::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Verdict::Serve | Verdict::ServeWhole => {}
    }
    let media_type = object.media_type().unwrap_or(DEFAULT_MEDIA_TYPE);
    let media_type_field =
        HeaderValue::from_str(media_type).unwrap_or(HeaderValue::from_static(DEFAULT_MEDIA_TYPE));
    let size = object.size();
    match selection(method, verdict, asked, size) {
        Selection::Unsatisfiable => {
            let error = CallError::new(
                ErrorCode::RangeUnsatisfiable,
                format!("the object has {size} bytes"),
            );
            let size =
                HeaderValue::try_from(format!("bytes */{size}")).expect("digits are a field value");
            return Err(Failure {
                error,
                field: Some((header::CONTENT_RANGE, size)),
            });
        }
        Selection::Whole => {
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type_field);
            fill(&mut response, method, size, || whole(object, 0..size))?;
        }
        Selection::Ranges(ranges) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            if let [range] = ranges.as_slice() {
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, media_type_field);
                headers.insert(header::CONTENT_RANGE, content_range(range, size));
                fill(&mut response, method, range.end - range.start, || {
                    whole(object, range.clone())
                })?;
            } else {
                // No object holds its own hash, so none can pose as other parts than it has.
                let boundary = object.address().to_string().split_off("b3:".len());
                let multipart = Multipart::new(object, &ranges, media_type, &boundary)?;
                let media_type =
                    HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    media_type.expect("hex digits are a field value"),
                );
                let length = multipart.remaining();
                fill(&mut response, method, length, || {
                    Ok(ReplyBody::Multipart(multipart))
                })?;
            }
        }
    }
    Ok(response)
}

/// `Range` is defined for GET only, and only as far as the preconditions let it stand.
fn selection(method: &Method, verdict: Verdict, asked: &HeaderMap, size: u64) -> Selection {
    if *method != Method::GET || verdict == Verdict::ServeWhole {
        return Selection::Whole;
    }
    let mut fields = asked.get_all(header::RANGE).iter();
    match (
        fields.next().and_then(|field| field.to_str().ok()),
        fields.next(),
    ) {
        (Some(field), None) => select(field, size),
        _ => Selection::Whole,
    }
}

fn whole(object: &Arc<Object>, range: Range<u64>) -> Result<ReplyBody, CallError> {
    Ok(ReplyBody::Object(Pieces::new(object.read(range))?))
}

/// Sets the body, or for HEAD only the length that the body would have: HEAD reads no bytes.
fn fill(
    response: &mut Response<ReplyBody>,
    method: &Method,
    length: u64,
    body: impl FnOnce() -> Result<ReplyBody, CallError>,
) -> Result<(), CallError> {
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if *method != Method::HEAD {
        *response.body_mut() = body()?;
    }
    Ok(())
}

/// What was read by a link is kept by nobody, and the link is told to nobody.
pub(crate) fn linked(headers: &mut HeaderMap) {
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-store"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
}

fn object_fields(headers: &mut HeaderMap, object: &Object, etag: &HeaderValue, now: Now) {
    headers.reserve(12);
    headers.insert(header::ETAG, etag.clone());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, cache_control(object, now));
    let modified = UNIX_EPOCH + Duration::from_millis(object.stored_at_wall_ms());
    let modified =
        HeaderValue::try_from(httpdate::fmt_http_date(modified)).expect("a date is a field value");
    headers.insert(header::LAST_MODIFIED, modified);
    untrusted_content(headers);
}

/// Whatever is stored is somebody else's content: a browser must neither guess its type, run it,
/// nor let another site embed it.
pub(super) fn untrusted_content(headers: &mut HeaderMap) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
}

fn cache_control(object: &Object, now: Now) -> HeaderValue {
    let remaining = object
        .expires_at_wall_ms(now)
        .map(|at| at.saturating_sub(now.wall_ms) / 1000);
    match remaining.filter(|&seconds| seconds < YEAR_SECONDS) {
        None => HeaderValue::from_static("private, max-age=31536000, immutable"),
        Some(seconds) => HeaderValue::try_from(format!("private, max-age={seconds}, immutable"))
            .expect("digits are a field value"),
    }
}

fn content_range(range: &Range<u64>, size: u64) -> HeaderValue {
    let mut text = [0u8; 80]; // "bytes " and three u64 of at most 20 digits
    let mut rest = text.as_mut_slice();
    write!(rest, "bytes {}-{}/{size}", range.start, range.end - 1).expect("three numbers fit");
    let unused = rest.len();
    let length = text.len() - unused;
    HeaderValue::from_bytes(&text[..length]).expect("digits are a field value")
}
