//! The protocol-neutral request and reply: one enum of operations, one way in.
//!
//! An ingress turns bytes into a [`Call`] and a [`Reply`] into bytes; it decides nothing else. A
//! new operation is one variant here, one arm in `dispatch`, and one arm in each ingress.

pub(crate) mod failure;
pub(crate) mod name;
pub(crate) mod queue;

use crate::authority::{Mint, Scope};
use crate::feed::Feed;
use crate::waiting::Wait;
use bytes::Bytes;
use http_body::Body;
use micronode_engine::mailbox::{QueueStats, Redriven, Sent};
use micronode_engine::names::{Expected, NameEntry};
use micronode_engine::{Object, Stored};
use micronode_hardening::{BodyError, Reason, Refusal};
use micronode_protocol::capability::caveat::Ops;
use micronode_protocol::{Address, ErrorCode, limits};
use name::{Name, NameList, NameSet};
use queue::{Message, Messages, Queue, Receive, Settle, Settled, Subscribe};
use std::{borrow::Cow, pin::Pin, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// A request body as pieces, already capped, paced and decoded by the guard.
pub(crate) type CallBody = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

/// The media type of an object that was stored without one.
pub(crate) const DEFAULT_MEDIA_TYPE: &str = "application/octet-stream";

/// One operation, as every ingress expresses it.
pub(crate) enum Call {
    /// The body back: the soak workload.
    Echo { body: CallBody },
    /// Store a body.
    Put(Put),
    /// What needs no body.
    Command(Command),
}

/// An operation that is complete as soon as it is understood, and answered without waiting.
pub(crate) enum Command {
    /// Nothing: that it is answered is the answer.
    Ping,
    /// An object to read (or to describe: the ingress reads no byte that it does not send).
    Get { address: Address },
    /// Which of these objects are here. What the holder may not know of is not asked for.
    Has { addresses: Vec<Option<Address>> },
    /// Delete and wipe.
    Delete { address: Address },
    /// Make a token of a token.
    Mint(Mint),
    /// Make a token of a grant.
    Exchange { grant: Zeroizing<Vec<u8>> },

    /// Where a name points.
    NameGet { name: Name, scope: Scope },
    /// The object that a name points at.
    NameRead { name: Name, scope: Scope },
    /// Point a name at an object.
    NameSet(NameSet),
    /// Remove a name.
    NameDelete { name: Name, expected: Expected },
    /// A page of names.
    NameList(NameList),
    /// Names and their changes as they come.
    NameWatch { prefix: String, scope: Scope },

    /// Put a message into a queue.
    Send(Message),
    /// Lease messages, and wait for some if there are none.
    Receive(Receive),
    /// Lease messages as they come.
    Subscribe(Subscribe),
    /// Acknowledge, give back or keep messages.
    Settle(Settle),
    /// How many messages are in what state.
    QueueStats { queue: Queue },
    /// Throw all messages of a queue away.
    Purge { queue: Queue },
    /// Bring dead letters back.
    Redrive { queue: Queue, limit: u32 },

    /// What happens, from after the event with this id on; from now on for none.
    Events { after: Option<String>, scope: Scope },
}

/// Whether a change needs room on disk. What frees some, and what lets queues be emptied, goes on
/// where there is little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Needed,
    Spared,
}

impl Call {
    /// What it takes to keep what this changes; `None` if it changes nothing that lasts.
    pub(crate) fn keeps(&self) -> Option<Room> {
        match self {
            Self::Echo { .. } => None,
            Self::Put(_) => Some(Room::Needed),
            Self::Command(command) => command.keeps(),
        }
    }
}

impl Command {
    fn keeps(&self) -> Option<Room> {
        match self {
            Self::NameSet(_) | Self::Send(_) => Some(Room::Needed),
            Self::Delete { .. }
            | Self::NameDelete { .. }
            | Self::Receive(_)
            | Self::Settle(_)
            | Self::Purge { .. }
            | Self::Redrive { .. } => Some(Room::Spared),
            Self::Ping
            | Self::Get { .. }
            | Self::Has { .. }
            | Self::Mint(_)
            | Self::Exchange { .. }
            | Self::NameGet { .. }
            | Self::NameRead { .. }
            | Self::NameList(_)
            | Self::NameWatch { .. }
            | Self::Subscribe(_)
            | Self::QueueStats { .. }
            | Self::Events { .. } => None,
        }
    }
}

/// A token that was made, as text.
pub(crate) struct Token {
    pub(crate) text: Zeroizing<String>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub(crate) expires_ms: u64,
}

/// What a request costs the node, which decides what is shed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Stores bytes: shed first.
    Write,
    /// Holds bytes for its own duration only: shed with everything that allocates.
    Buffer,
    /// Reads what is there: shed last.
    Read,
    /// Gives memory back, or takes none: never shed.
    Free,
}

/// The part of the node that a request works on, whose permits it takes; `None` takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facet {
    None,
    StorageRead,
    StorageWrite,
    Index,
    Mailbox,
}

/// What a request must bring to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A capability that allows one of these operations; none for what any valid one allows.
    Capability(Ops),
    /// A grant, which is looked at when it is there.
    Grant,
}

/// What an upload says about itself before its bytes arrive.
pub(crate) struct Put {
    /// The address the body must hash to, if the client named one.
    pub(crate) expected: Option<Address>,
    /// Length of the decoded body in bytes, where it is known.
    pub(crate) declared: Option<u64>,
    /// Time to live from the end of the upload.
    pub(crate) ttl: Option<Duration>,
    /// The media type to keep with the object.
    pub(crate) media_type: Option<String>,
    /// The bytes.
    pub(crate) body: CallBody,
}

/// What came of a [`Call`].
pub(crate) enum Reply {
    /// The body of an echo.
    Echo(Bytes),
    /// An upload that is stored.
    Stored(Stored),
    /// An object, held readable for as long as this lives.
    Object(Arc<Object>),
    /// One answer per asked address, in order.
    Has(Vec<bool>),
    /// Deleted.
    Deleted,
    /// A token.
    Token(Token),
    /// The answer to a ping.
    Pong,

    /// Where a name points, and the revision of that.
    Pointer(Address, u64),
    /// What a name points at, and the revision of that.
    Named(Arc<Object>, u64),
    /// A name has been set; `created` if there was none.
    NameSet {
        name: Name,
        address: Address,
        revision: u64,
        created: bool,
    },
    /// A page of names, and whether more follow.
    Names(Vec<NameEntry>, bool),

    /// A message has been sent.
    Sent(Sent),
    /// Messages that were leased.
    Messages(Messages),
    /// There is none yet.
    Waits(Box<Wait>),
    /// What became of leases.
    Settled(Settled),
    /// How many messages are in what state.
    QueueStats(QueueStats),
    /// So many messages have been thrown away.
    Purged(u64),
    /// Dead letters have been brought back.
    Redriven(Redriven),
    /// An answer that goes on.
    Feed(Box<Feed>),
}

/// A failed operation: the public code, what to tell the caller, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct CallError {
    pub(crate) code: ErrorCode,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
}

impl CallError {
    /// An error whose detail is known at compile time; retryable refusals ask for one second.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = matches!(code.status(), 429 | 503).then_some(Duration::from_secs(1));
        Self {
            code,
            detail: detail.into(),
            retry_after,
        }
    }
}

/// The media type of a put, which every ingress gives back in a header field: the node keeps it as
/// the client wrote it, and does not interpret it.
pub(crate) fn check_media_type(text: &str) -> Result<(), CallError> {
    let printable = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    if (1..=limits::MEDIA_TYPE_BYTES).contains(&text.len()) && text.bytes().all(printable) {
        return Ok(());
    }
    Err(bad_media_type())
}

/// A media type that is none.
pub(crate) fn bad_media_type() -> CallError {
    CallError::new(
        ErrorCode::BadRequest,
        "a media type is ASCII of at most 255 characters",
    )
}

/// The one translation of the hardening layer's reasons into public codes.
pub(crate) fn code_of(reason: Reason) -> ErrorCode {
    ErrorCode::from_code(reason.as_str()).unwrap_or(ErrorCode::Overloaded)
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(code_of(refusal.reason), refusal.detail);
        Self {
            retry_after: refusal.retry_after.or(error.retry_after),
            ..error
        }
    }
}

impl From<BodyError> for CallError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Refused(refusal) => refusal.into(),
            BodyError::Transport(error) => match error.downcast::<Self>() {
                // An ingress has found a fault in the body that only its own protocol has.
                Ok(error) => *error,
                // The peer is gone or broke its framing: nobody is likely to read this answer.
                Err(_) => Self::new(
                    ErrorCode::BadRequest,
                    "the request body ended before it was complete",
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_public_code_with_the_same_status() {
        for reason in Reason::ALL {
            let code =
                ErrorCode::from_code(reason.as_str()).expect("a public code of the same name");
            assert_eq!(code.status(), reason.status().as_u16(), "{reason:?}");
        }
    }
}
