//! What the engine refuses, as callers are told.

use super::CallError;
use super::queue::MESSAGE_TOO_LARGE;
use micronode_engine::mailbox::{self, SendError};
use micronode_engine::names::{RemoveError, SetError};
use micronode_engine::{DeleteError, GetError, IntegrityError, OverBudget, PutError};
use micronode_protocol::ErrorCode;

fn not_found() -> CallError {
    CallError::new(ErrorCode::NotFound, "no such object here")
}

pub(crate) fn no_such_name() -> CallError {
    CallError::new(ErrorCode::NotFound, "no such name here")
}

pub(crate) fn no_such_queue() -> CallError {
    CallError::new(
        ErrorCode::NotFound,
        "no such queue here: one begins with the first message that is sent to it",
    )
}

impl From<DeleteError> for CallError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound => not_found(),
            DeleteError::Pinned => Self::new(
                ErrorCode::Pinned,
                "a name points at this object; remove the name first, or point it elsewhere",
            ),
        }
    }
}

impl From<SetError> for CallError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::NoObject => Self::new(
                ErrorCode::NotFound,
                "no such object here: put it before a name points at it",
            ),
            SetError::Precondition => name_changed(),
            SetError::Full => quota("the node has as many names as it may have"),
            SetError::OverBudget(error) => error.into(),
        }
    }
}

impl From<RemoveError> for CallError {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::NotFound => no_such_name(),
            RemoveError::Precondition => name_changed(),
        }
    }
}

fn name_changed() -> CallError {
    CallError::new(
        ErrorCode::PreconditionFailed,
        "the name is not as expected: read it again, and decide anew",
    )
}

fn quota(detail: &'static str) -> CallError {
    CallError::new(ErrorCode::QuotaExceeded, detail)
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge => Self::new(ErrorCode::BodyTooLarge, MESSAGE_TOO_LARGE),
            SendError::Quota(full) => quota(match full {
                mailbox::Quota::Queues => "the node has as many queues as it may have",
                mailbox::Quota::Messages => {
                    "there are as many messages as may be, leased ones and dead letters included; \
                     ack some, or purge"
                }
                mailbox::Quota::Bytes => {
                    "there are as many bytes as may be, of leased messages and dead letters too; \
                     ack some, or purge"
                }
                mailbox::Quota::Keys => {
                    "the queue remembers as many idempotency keys as it may, for ten minutes each \
                     unless configured otherwise; come back later, or send without one"
                }
            }),
            SendError::OverBudget(error) => error.into(),
            SendError::KeyReused => Self::new(
                ErrorCode::IdempotencyMismatch,
                "another message has been sent with this key",
            ),
        }
    }
}

/// Memory that the budget does not have: writes are shed until some is given back.
impl From<OverBudget> for CallError {
    fn from(_: OverBudget) -> Self {
        Self::new(
            ErrorCode::Degraded,
            "the memory budget is used up; delete objects or come back later",
        )
    }
}

impl From<GetError> for CallError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound(_) => not_found(),
            GetError::Integrity(error) => error.into(),
        }
    }
}

impl From<IntegrityError> for CallError {
    fn from(_: IntegrityError) -> Self {
        Self::new(
            ErrorCode::IntegrityFail,
            "stored bytes do not match their address; put the object again to heal it",
        )
    }
}

impl From<PutError> for CallError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::TooLarge { .. } => {
                Self::new(ErrorCode::BodyTooLarge, "larger than limits.max_object")
            }
            PutError::OverBudget(error) => error.into(),
            PutError::DigestMismatch => Self::new(
                ErrorCode::DigestMismatch,
                "the body does not hash to the address",
            ),
            PutError::LengthMismatch => Self::new(
                ErrorCode::BadRequest,
                "the body is not as long as it was declared",
            ),
        }
    }
}
