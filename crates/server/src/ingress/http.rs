//! The HTTP ingress: requests to [`Call`], [`Reply`] to responses. Rules live elsewhere.

pub(crate) mod arrival;
pub(crate) mod body;
mod conditional;
pub(crate) mod correlation;
mod messages;
mod multipart;
mod name;
pub(crate) mod openapi;
pub(crate) mod origin;
pub(crate) mod presented;
pub(crate) mod problem;
mod query;
mod queue;
mod range;
pub(crate) mod replies;
pub(crate) mod respond;
pub(crate) mod routes;
mod sse;
mod target;

pub(crate) use respond::respond;
pub(crate) use target::Target;

use crate::authority::{Holder, Mint, Scope};
use crate::buffer::collect;
use crate::call::{Call, CallBody, CallError, Command, Put, check_media_type};
use crate::config::duration;
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use micronode_engine::Store;
use micronode_protocol::{Address, ErrorCode, limits};
use routes::{Operation, Route};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

fn parse_address(text: &str) -> Result<Address, CallError> {
    text.parse().map_err(|_| {
        CallError::new(
            ErrorCode::BadAddress,
            "an address is b3: and 64 lowercase hex digits",
        )
    })
}

/// The value of `Content-Length`, which the HTTP library has already checked.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Refuses a transfer coding that nobody undoes: the HTTP library only looks for `chunked` as the
/// last one, and would deliver the bytes of the others as if they were the body.
pub(crate) fn check_transfer_coding(headers: &HeaderMap) -> Result<(), CallError> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(chunked) && codings.next().is_none() {
        return Ok(());
    }
    Err(CallError::new(
        ErrorCode::BadRequest,
        "chunked, once, is the only transfer coding that is understood",
    ))
}

/// The [`Call`] of a request whose head is admitted and whose body is guarded. `declared` is the
/// length of the decoded body, where it is known.
pub(crate) async fn call(
    operation: &Operation,
    head: &Parts,
    target: Target,
    declared: Option<u64>,
    body: CallBody,
    store: &Store,
    holder: Option<&Arc<Holder>>,
) -> Result<Call, CallError> {
    let scope = || Scope::of(holder);
    Ok(match (operation.route, &operation.method) {
        (Route::Put, _) => Call::Put(put(head, None, declared, body)?),
        (Route::Object, &Method::PUT) => {
            Call::Put(put(head, Some(target.object()?), declared, body)?)
        }
        (Route::Object, &Method::DELETE) => {
            let address = target.object()?;
            if !conditional::may_change(&head.headers, &address) {
                return Err(conditional::failed());
            }
            Call::Command(Command::Delete { address })
        }
        (Route::Object | Route::Manifest, _) => Call::Command(Command::Get {
            address: target.object()?,
        }),
        (Route::Has, _) => Call::Command(Command::Has {
            addresses: addresses(&collect(body, store).await?)?,
        }),
        (Route::Exchange, _) => {
            let grant = collect(body, store).await?;
            let grant = Zeroizing::new(grant.to_vec());
            Call::Command(Command::Exchange { grant })
        }
        (Route::Mint, _) => {
            let document = collect(body, store).await?;
            Call::Command(Command::Mint(Mint::parse(&document, holder.cloned())?))
        }
        (Route::Echo, _) => Call::Echo { body },
        (Route::Names, _) => Call::Command(name::list(head, scope())?),
        (Route::Name, &Method::PUT) => Call::Command(name::set(head, target, body, store).await?),
        (Route::Name, &Method::DELETE) => Call::Command(name::delete(head, target)?),
        (Route::Name, _) => Call::Command(Command::NameRead {
            name: target.name()?,
            scope: scope(),
        }),
        (Route::Send, _) => Call::Command(queue::send(head, target, body, store, &scope()).await?),
        (Route::Receive, _) => Call::Command(queue::receive(head, target)?),
        (Route::Ack, _) => Call::Command(queue::ack(target, body, store).await?),
        (Route::Nack, _) => Call::Command(queue::nack(target, body, store).await?),
        (Route::Extend, _) => Call::Command(queue::extend(target, body, store).await?),
        (Route::Redrive, _) => Call::Command(queue::redrive(head, target)?),
        (Route::Queue, &Method::DELETE) => Call::Command(Command::Purge {
            queue: target.queue()?,
        }),
        (Route::Queue, _) => Call::Command(Command::QueueStats {
            queue: target.queue()?,
        }),
        (Route::Events, _) => Call::Command(Command::Events {
            after: last_event_id(&head.headers),
            scope: scope(),
        }),
        (Route::OpenApi | Route::Unknown, _) => {
            return Err(CallError::new(ErrorCode::NotFound, "no such operation"));
        }
    })
}

fn put(
    head: &Parts,
    expected: Option<Address>,
    declared: Option<u64>,
    body: CallBody,
) -> Result<Put, CallError> {
    let ttl = head
        .headers
        .get("expires-in")
        .map(|value| value.to_str().unwrap_or_default())
        .map(parse_ttl)
        .transpose()?;
    let media_type = head
        .headers
        .get(header::CONTENT_TYPE)
        .map(media_type)
        .transpose()?;
    Ok(Put {
        expected,
        declared,
        ttl,
        media_type,
        body,
    })
}

/// Where a client that listens again has come to. What cannot be an id is one of another life.
fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("last-event-id")?;
    let text = value.to_str().unwrap_or_default();
    Some(text.chars().take(limits::EVENT_ID_CHARS + 1).collect())
}

fn parse_ttl(text: &str) -> Result<Duration, CallError> {
    let ttl = duration::parse(text).ok().filter(|ttl| !ttl.is_zero());
    ttl.ok_or_else(|| {
        CallError::new(
            ErrorCode::BadRequest,
            "Expires-In takes a duration such as 500ms, 30s, 10m or 1h",
        )
    })
}

fn media_type(value: &HeaderValue) -> Result<String, CallError> {
    let text = value.to_str().unwrap_or_default();
    check_media_type(text).map(|()| text.to_owned())
}

fn addresses(body: &[u8]) -> Result<Vec<Option<Address>>, CallError> {
    let texts: Vec<&str> = serde_json::from_slice(body).map_err(|_| {
        CallError::new(
            ErrorCode::BadRequest,
            "the body must be a JSON array of addresses",
        )
    })?;
    if texts.len() > limits::HAS_ADDRESSES {
        return Err(CallError::new(
            ErrorCode::BadRequest,
            "at most 4096 addresses may be asked for at once",
        ));
    }
    texts
        .into_iter()
        .map(|text| parse_address(text).map(Some))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `has` used to undo percent-encoding inside of JSON, where an address has one spelling.
    #[test]
    fn percent_encoding_belongs_to_paths_and_not_to_json() {
        let address_of_nothing = Address::of(b"");
        let encoded = address_of_nothing.to_string().replace(':', "%3A");
        let target = Target::of(Route::Object, &encoded);
        assert!(matches!(target, Ok(Target::Object(address)) if address == address_of_nothing));
        let asked = format!("[\"{address_of_nothing}\",\"{encoded}\"]");
        let refused = addresses(asked.as_bytes()).map_err(|error| error.code);
        assert_eq!(refused, Err(ErrorCode::BadAddress));
    }
}
