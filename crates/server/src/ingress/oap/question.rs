//! What a request asks: its operation's cost and route, and its payload as a call.

use crate::authority::{Holder, Mint};
use crate::call::{
    CallBody, CallError, Command, Cost, Facet, Needs, Put, bad_media_type, check_media_type,
};
use crate::ingress::http::routes::Route;
use micronode_protocol::capability::caveat::{Op, Ops};
use micronode_protocol::limits::DURATION_MAX;
use micronode_protocol::operation::decode_addresses;
use micronode_protocol::operation::{FieldsError, GetRequest, Operation, PutRequest};
use micronode_protocol::{Address, ErrorCode};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What an answer must look like.
pub(super) enum Asked {
    /// No fields, no body.
    Nothing,
    Echo,
    Get(GetRequest),
    Put,
    Has,
    Head,
    Manifest,
    Token,
}

impl Asked {
    /// Whether the answer is read from the store.
    pub(super) const fn reads(&self) -> bool {
        matches!(self, Self::Get(_) | Self::Head | Self::Manifest)
    }
}

/// The operation that is asked for. Names, queues and events are not served yet.
pub(super) fn operation(app: u16, code: u16) -> Option<Operation> {
    Operation::of(app, code).filter(|operation| operation.app() < Operation::NameGet.app())
}

/// What a request costs the node: the same as over HTTP.
pub(super) const fn cost(operation: Operation) -> Cost {
    match operation {
        Operation::ObjectPut => Cost::Write,
        Operation::Echo | Operation::ObjectHas => Cost::Buffer,
        Operation::ObjectGet | Operation::ObjectHead | Operation::ObjectManifest => Cost::Read,
        Operation::Ping | Operation::Exchange | Operation::Mint | Operation::ObjectDelete => {
            Cost::Free
        }
        _ => Cost::Free,
    }
}

/// What it works on: the same as over HTTP.
pub(super) const fn facet(operation: Operation) -> Facet {
    match operation {
        Operation::ObjectPut => Facet::StorageWrite,
        Operation::ObjectGet | Operation::ObjectHead | Operation::ObjectManifest => {
            Facet::StorageRead
        }
        _ => Facet::None,
    }
}

/// What a request must bring: the same as over HTTP.
pub(super) const fn needs(operation: Operation) -> Needs {
    Needs::Capability(match operation {
        Operation::Exchange => return Needs::Grant,
        Operation::Ping | Operation::Echo => Ops::NONE,
        Operation::Mint => Ops::of(&[Op::Admin]),
        Operation::ObjectGet | Operation::ObjectManifest => Ops::of(&[Op::Get]),
        Operation::ObjectHead | Operation::ObjectHas => Ops::of(&[Op::Head]),
        Operation::ObjectPut => Ops::of(&[Op::Put]),
        Operation::ObjectDelete => Ops::of(&[Op::Delete]),
        _ => Ops::NONE,
    })
}

/// The route that does the same: what the request is timed as.
pub(super) const fn route(operation: Operation) -> Route {
    match operation {
        Operation::Echo => Route::Echo,
        Operation::ObjectPut => Route::Put,
        Operation::ObjectHas => Route::Has,
        Operation::ObjectGet | Operation::ObjectHead | Operation::ObjectDelete => Route::Object,
        Operation::ObjectManifest => Route::Manifest,
        Operation::Exchange => Route::Exchange,
        Operation::Mint => Route::Mint,
        _ => Route::Unknown,
    }
}

/// The command of an operation without a body, from its whole payload.
pub(super) fn command(
    operation: Operation,
    payload: &[u8],
    holder: Option<&Arc<Holder>>,
) -> Result<(Asked, Command), CallError> {
    let address = || Ok::<_, CallError>(Address::from_bytes(*exactly(payload)?));
    Ok(match operation {
        Operation::ObjectGet => {
            let request = GetRequest::decode(payload).map_err(bad_fields)?;
            let address = request.address;
            (Asked::Get(request), Command::Get { address })
        }
        Operation::ObjectHead => (
            Asked::Head,
            Command::Get {
                address: address()?,
            },
        ),
        Operation::ObjectManifest => (
            Asked::Manifest,
            Command::Get {
                address: address()?,
            },
        ),
        Operation::ObjectDelete => (
            Asked::Nothing,
            Command::Delete {
                address: address()?,
            },
        ),
        Operation::ObjectHas => {
            let addresses = decode_addresses(payload).map_err(|error| match error {
                FieldsError::TooLong => {
                    bad_request("at most 4096 addresses may be asked for at once")
                }
                _ => truncated(),
            })?;
            let addresses = addresses.into_iter().map(Some).collect();
            (Asked::Has, Command::Has { addresses })
        }
        Operation::Exchange => {
            let grant = Zeroizing::new(payload.to_vec());
            (Asked::Token, Command::Exchange { grant })
        }
        Operation::Mint => {
            let mint = Mint::parse(payload, holder.cloned())?;
            (Asked::Token, Command::Mint(mint))
        }
        Operation::Ping => {
            exactly::<0>(payload)?;
            (Asked::Nothing, Command::Ping)
        }
        Operation::Echo | Operation::ObjectPut => unreachable!("these have a body"),
        _ => return Err(no_such_operation()),
    })
}

/// A payload that is nothing but fields of `N` bytes.
fn exactly<const N: usize>(payload: &[u8]) -> Result<&[u8; N], CallError> {
    match payload.first_chunk::<N>() {
        Some(fields) if payload.len() == N => Ok(fields),
        Some(_) => Err(bad_request("more bytes than this operation has fields")),
        None => Err(truncated()),
    }
}

/// A payload that is not the fields of its operation.
fn bad_fields(error: FieldsError) -> CallError {
    CallError::new(error.code(), error.to_string())
}

/// The call of an upload whose fields have come.
pub(super) fn put(
    fields: &PutRequest<'_>,
    declared: Option<u64>,
    body: CallBody,
) -> Result<Put, CallError> {
    let ttl = Duration::from_millis(fields.ttl_ms);
    if ttl > DURATION_MAX {
        return Err(bad_request("a time to live is at most a hundred years"));
    }
    let media_type = match fields.media_type {
        "" => None,
        text => Some(check_media_type(text).map(|()| text.to_owned())?),
    };
    Ok(Put {
        expected: fields.expected,
        declared,
        ttl: (!ttl.is_zero()).then_some(ttl),
        media_type,
        body,
    })
}

/// The fields of an upload and how many bytes they are; `None` while some are missing.
pub(super) fn put_fields(payload: &[u8]) -> Result<Option<(PutRequest<'_>, usize)>, CallError> {
    // The media type is the only field that can be wrong before it is all there.
    PutRequest::parse(payload).map_err(|_| bad_media_type())
}

/// A request that ended in the middle of its fields.
pub(super) fn truncated() -> CallError {
    CallError::new(
        ErrorCode::Truncated,
        "the request ends before its fields do",
    )
}

fn bad_request(detail: &'static str) -> CallError {
    CallError::new(ErrorCode::BadRequest, detail)
}

/// An operation that is not there.
pub(super) fn no_such_operation() -> CallError {
    let detail = "no such operation; docs/protocol.md lists them";
    CallError::new(ErrorCode::NotFound, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn an_operation_costs_and_needs_what_it_does_over_http() {
        for operation in Operation::ALL {
            let method = match operation {
                Operation::Echo
                | Operation::ObjectPut
                | Operation::ObjectHas
                | Operation::Exchange
                | Operation::Mint => Method::POST,
                Operation::ObjectGet | Operation::ObjectManifest => Method::GET,
                Operation::ObjectHead => Method::HEAD,
                Operation::ObjectDelete => Method::DELETE,
                // There is no such thing over HTTP.
                _ => continue,
            };
            let same = route(*operation).operation(&method);
            let same = same.expect("the route has the method");
            assert_eq!(cost(*operation), same.cost, "{}", operation.name());
            assert_eq!(needs(*operation), same.needs, "{}", operation.name());
        }
    }
}
