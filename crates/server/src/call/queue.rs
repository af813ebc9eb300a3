//! The operations on queues.

use super::CallError;
use bytes::Bytes;
use micronode_engine::mailbox::{Delivery, Verdict};
use micronode_protocol::ErrorCode;
use micronode_protocol::idempotency::is_idempotency_key;
use micronode_protocol::limits::{
    DELAY_MAX, RECEIPTS, RECEIVE_MESSAGES, SUBSCRIPTION_CREDIT, VISIBILITY_MAX, WAIT_MAX,
};
use micronode_protocol::name::QueueRef;
use std::time::Duration;

/// A well-formed queue's name, of a queue or of its dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queue(Box<str>);

impl Queue {
    pub(crate) fn parse(text: &str) -> Result<Self, CallError> {
        if QueueRef::parse(text).is_some() {
            return Ok(Self(text.into()));
        }
        Err(CallError::new(
            ErrorCode::BadName,
            "a queue's name is 1 to 80 of a-z, 0-9, '.', '_' and '-'; its dead letters, which have \
             none of their own, are in the same with .dlq behind it",
        ))
    }

    /// A queue that may be sent to, and whose dead letters may be brought back.
    pub(crate) fn parse_live(text: &str) -> Result<Self, CallError> {
        let queue = Self::parse(text)?;
        if queue.as_ref().is_dead {
            return Err(CallError::new(
                ErrorCode::BadName,
                "this takes the queue's own name: what ends in .dlq has its dead letters, which only \
                 the node puts there",
            ));
        }
        Ok(queue)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_ref(&self) -> QueueRef<'_> {
        QueueRef::parse(&self.0).expect("it has been parsed before")
    }
}

/// What to do about one that is.
pub(crate) const MESSAGE_TOO_LARGE: &str =
    "larger than limits.mailbox.max_body; put it as an object, and send its address";

/// A message to be sent.
pub(crate) struct Message {
    pub(crate) queue: Queue,
    pub(crate) delay: Duration,
    /// With it, the same message is sent once; and whose key it is.
    pub(crate) key: Option<(String, [u8; 32])>,
    pub(crate) body: Bytes,
}

/// The delay of a message, or of its return.
pub(crate) fn check_delay(delay: Duration) -> Result<Duration, CallError> {
    within(delay, DELAY_MAX, "a delay is at most 7 days")
}

/// How long a message is leased.
pub(crate) fn check_visibility(visibility: Duration) -> Result<Duration, CallError> {
    if visibility.is_zero() {
        return Err(bad_request(
            "a lease takes some time: visibility is at least 1ms",
        ));
    }
    within(visibility, VISIBILITY_MAX, "visibility is at most 12h")
}

fn within(time: Duration, most: Duration, detail: &'static str) -> Result<Duration, CallError> {
    if time > most {
        return Err(bad_request(detail));
    }
    Ok(time)
}

/// An idempotency key.
pub(crate) fn check_key(text: &str) -> Result<(), CallError> {
    if is_idempotency_key(text) {
        return Ok(());
    }
    Err(bad_request(
        "an idempotency key is printable ASCII of at most 255 characters, with no space at its ends",
    ))
}

/// Messages to be leased.
pub(crate) struct Receive {
    pub(crate) queue: Queue,
    pub(crate) max: usize,
    /// Zero not to wait.
    pub(crate) wait: Duration,
    pub(crate) visibility: Duration,
}

impl Receive {
    /// As it was asked for; a longer wait is one of [`WAIT_MAX`].
    pub(crate) fn new(
        queue: Queue,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Self, CallError> {
        if !(1..=RECEIVE_MESSAGES).contains(&max) {
            return Err(bad_request("max: 1 to 256 messages are received at once"));
        }
        Ok(Self {
            queue,
            max,
            wait: wait.min(WAIT_MAX),
            visibility: check_visibility(visibility)?,
        })
    }
}

/// Messages that were leased.
pub(crate) type Messages = Vec<Delivery>;

/// Messages as they come.
pub(crate) struct Subscribe {
    pub(crate) queue: Queue,
    pub(crate) credit: u16,
    pub(crate) visibility: Duration,
}

impl Subscribe {
    pub(crate) fn new(queue: Queue, credit: u16, visibility: Duration) -> Result<Self, CallError> {
        if !(1..=SUBSCRIPTION_CREDIT).contains(&credit) {
            return Err(bad_request("credit is 1 to 1024 messages"));
        }
        Ok(Self {
            queue,
            credit,
            visibility: check_visibility(visibility)?,
        })
    }
}

/// What becomes of leases.
pub(crate) struct Settle {
    pub(crate) queue: Queue,
    pub(crate) receipts: Vec<String>,
    pub(crate) how: Settling,
}

/// See [`Settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settling {
    /// The message is done with.
    Ack,
    /// It goes back, after this long.
    Nack(Duration),
    /// The lease ends this long from now.
    Extend(Duration),
}

impl Settle {
    pub(crate) fn new(
        queue: Queue,
        receipts: Vec<String>,
        how: Settling,
    ) -> Result<Self, CallError> {
        if receipts.len() > RECEIPTS {
            return Err(bad_request("at most 256 receipts at once"));
        }
        match how {
            Settling::Ack => {}
            Settling::Nack(delay) => drop(check_delay(delay)?),
            Settling::Extend(visibility) => drop(check_visibility(visibility)?),
        }
        Ok(Self {
            queue,
            receipts,
            how,
        })
    }
}

/// A verdict on each receipt, in order.
pub(crate) struct Settled {
    pub(crate) receipts: Vec<String>,
    pub(crate) verdicts: Vec<Verdict>,
}

fn bad_request(detail: &'static str) -> CallError {
    CallError::new(ErrorCode::BadRequest, detail)
}
