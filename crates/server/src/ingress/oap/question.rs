//! What a request asks: its payload as a call.

use crate::authority::{Holder, Mint, Scope};
use crate::call::name::{Name, NameList, NameSet, check_prefix};
use crate::call::queue::{
    Message, Queue, Receive, Settle, Settling, Subscribe, check_delay, check_key,
};
use crate::call::{CallBody, CallError, Command, Put, bad_media_type, check_media_type};
use bytes::Bytes;
use micronode_engine::names::{Expected, Tag};
use micronode_protocol::limits::{DURATION_MAX, LIST_NAMES_DEFAULT, VISIBILITY};
use micronode_protocol::operation::{
    AckRequest, EXPECT_ABSENT, EXPECT_ANY, EventsRequest, ExtendRequest, FieldsError, GetRequest,
    NackRequest, NameDeleteRequest, NameListRequest, NameReadRequest, NameRequest, NameSetRequest,
    NameWatchRequest, Operation, PutRequest, QueueRequest, ReceiveRequest, RedriveRequest,
    SendRequest, SubscribeRequest, decode_addresses,
};
use micronode_protocol::{Address, ErrorCode};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What an answer must look like, where its reply does not say so.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// All of an object, or a part.
    Get {
        offset: u64,
        length: u64,
    },
    Head,
    Manifest,
    /// What the reply says.
    Other,
}

impl Asked {
    /// Whether the answer is read from the store.
    pub(super) const fn reads(self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// The command of an operation, from its whole payload, for who makes it.
pub(super) fn command(
    operation: Operation,
    payload: &Bytes,
    holder: Option<&Arc<Holder>>,
) -> Result<(Asked, Command), CallError> {
    let scope = || Scope::of(holder);
    let address = || Ok::<_, CallError>(Address::from_bytes(*exactly(payload)?));
    let command = match operation {
        Operation::ObjectGet => {
            let GetRequest {
                address,
                offset,
                length,
            } = GetRequest::decode(payload)?;
            return Ok((Asked::Get { offset, length }, Command::Get { address }));
        }
        Operation::ObjectHead => {
            let address = address()?;
            return Ok((Asked::Head, Command::Get { address }));
        }
        Operation::ObjectManifest => {
            let address = address()?;
            return Ok((Asked::Manifest, Command::Get { address }));
        }
        Operation::NameRead => {
            let request = NameReadRequest::decode(payload)?;
            let (offset, length) = (request.offset, request.length);
            let name = Name::parse(request.name)?;
            let scope = scope();
            return Ok((
                Asked::Get { offset, length },
                Command::NameRead { name, scope },
            ));
        }

        Operation::ObjectDelete => Command::Delete {
            address: address()?,
        },
        Operation::ObjectHas => {
            let addresses = decode_addresses(payload).map_err(|error| match error {
                FieldsError::TooLong => {
                    bad_request("at most 4096 addresses may be asked for at once")
                }
                error => error.into(),
            })?;
            let addresses = addresses.into_iter().map(Some).collect();
            Command::Has { addresses }
        }
        Operation::Exchange => {
            let grant = Zeroizing::new(payload.to_vec());
            Command::Exchange { grant }
        }
        Operation::Mint => Command::Mint(Mint::parse(payload, holder.cloned())?),
        Operation::Ping => {
            exactly::<0>(payload)?;
            Command::Ping
        }

        Operation::NameGet => Command::NameGet {
            name: Name::parse(NameRequest::decode(payload)?.name)?,
            scope: scope(),
        },
        Operation::NameSet => {
            let request = NameSetRequest::decode(payload)?;
            Command::NameSet(NameSet {
                name: Name::parse(request.name)?,
                address: request.address,
                expected: expected(request.expected),
            })
        }
        Operation::NameDelete => {
            let request = NameDeleteRequest::decode(payload)?;
            Command::NameDelete {
                name: Name::parse(request.name)?,
                expected: expected(request.expected),
            }
        }
        Operation::NameList => {
            let request = NameListRequest::decode(payload)?;
            let limit = match request.limit {
                0 => LIST_NAMES_DEFAULT,
                limit => limit.into(),
            };
            let (prefix, after) = (request.prefix, request.after);
            Command::NameList(NameList::new(prefix, after, limit, scope())?)
        }
        Operation::NameWatch => {
            let NameWatchRequest { prefix } = NameWatchRequest::decode(payload)?;
            check_prefix(prefix)?;
            Command::NameWatch {
                prefix: prefix.to_owned(),
                scope: scope(),
            }
        }

        Operation::Send => {
            let (fields, length) = SendRequest::parse(payload)?.ok_or(FieldsError::Truncated)?;
            send(&fields, payload.slice(length..), &scope())?
        }
        Operation::Receive => {
            let request = ReceiveRequest::decode(payload)?;
            let queue = Queue::parse(request.queue)?;
            let (max, wait) = (request.max.into(), millis(request.wait_ms));
            let visibility = visibility(request.visibility_ms);
            Command::Receive(Receive::new(queue, max, wait, visibility)?)
        }
        Operation::Subscribe => {
            let request = SubscribeRequest::decode(payload)?;
            let queue = Queue::parse(request.queue)?;
            let visibility = visibility(request.visibility_ms);
            Command::Subscribe(Subscribe::new(queue, request.credit, visibility)?)
        }
        Operation::Ack => {
            let (request, receipts) = AckRequest::decode_with_receipts(payload)?;
            settle(request.queue, &receipts, Settling::Ack)?
        }
        Operation::Nack => {
            let (request, receipts) = NackRequest::decode_with_receipts(payload)?;
            let how = Settling::Nack(millis(request.delay_ms));
            settle(request.queue, &receipts, how)?
        }
        Operation::Extend => {
            let (request, receipts) = ExtendRequest::decode_with_receipts(payload)?;
            let how = Settling::Extend(visibility(request.visibility_ms));
            settle(request.queue, &receipts, how)?
        }
        Operation::QueueStats => Command::QueueStats {
            queue: Queue::parse(QueueRequest::decode(payload)?.queue)?,
        },
        Operation::Purge => Command::Purge {
            queue: Queue::parse(QueueRequest::decode(payload)?.queue)?,
        },
        Operation::Redrive => {
            let request = RedriveRequest::decode(payload)?;
            Command::Redrive {
                queue: Queue::parse_live(request.queue)?,
                limit: request.limit,
            }
        }

        Operation::Events => {
            let EventsRequest { last_id } = EventsRequest::decode(payload)?;
            Command::Events {
                after: (!last_id.is_empty()).then(|| last_id.to_owned()),
                scope: scope(),
            }
        }

        Operation::Echo | Operation::ObjectPut => unreachable!("these have a body that streams"),
    };
    Ok((Asked::Other, command))
}

/// A payload that is nothing but `N` bytes.
fn exactly<const N: usize>(payload: &[u8]) -> Result<&[u8; N], FieldsError> {
    match payload.first_chunk::<N>() {
        Some(fields) if payload.len() == N => Ok(fields),
        Some(_) => Err(FieldsError::Trailing),
        None => Err(FieldsError::Truncated),
    }
}

/// What a name has to be for a change.
fn expected(revision: u64) -> Expected {
    match revision {
        EXPECT_ABSENT => Expected::Absent,
        EXPECT_ANY => Expected::Any,
        revision => Expected::OneOf(vec![Tag::Revision(revision)]),
    }
}

fn millis(time: u32) -> Duration {
    Duration::from_millis(time.into())
}

fn visibility(time: u32) -> Duration {
    match time {
        0 => VISIBILITY,
        time => millis(time),
    }
}

/// The command of a send whose fields have come; `body` is all that follows them.
pub(super) fn send(
    fields: &SendRequest<'_>,
    body: Bytes,
    scope: &Scope,
) -> Result<Command, CallError> {
    let key = match fields.key {
        "" => None,
        key => Some(check_key(key).map(|()| (key.to_owned(), scope.holder_id()))?),
    };
    Ok(Command::Send(Message {
        queue: Queue::parse_live(fields.queue)?,
        delay: check_delay(millis(fields.delay_ms))?,
        key,
        body,
    }))
}

fn settle(queue: &str, receipts: &[&str], how: Settling) -> Result<Command, CallError> {
    let receipts = receipts.iter().map(|receipt| (*receipt).to_owned());
    Settle::new(Queue::parse(queue)?, receipts.collect(), how).map(Command::Settle)
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

/// A payload that is not the fields of its operation.
impl From<FieldsError> for CallError {
    fn from(error: FieldsError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

fn bad_request(detail: &'static str) -> CallError {
    CallError::new(ErrorCode::BadRequest, detail)
}

/// An operation that is not there.
pub(super) fn no_such_operation() -> CallError {
    let detail = "no such operation; docs/protocol.md lists them";
    CallError::new(ErrorCode::NotFound, detail)
}
