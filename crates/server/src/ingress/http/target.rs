//! What the path of a request names.

use super::parse_address;
use super::routes::{Route, decode_segment};
use crate::call::CallError;
use crate::call::name::Name;
use crate::call::queue::Queue;
use micronode_protocol::{Address, ErrorCode};

/// See the [module](self).
pub(crate) enum Target {
    None,
    Object(Address),
    Name(Name),
    Queue(Queue),
}

impl Target {
    /// What the `{addr}`, `{name}` or `{queue}` of a route is.
    pub(crate) fn of(route: Route, segment: &str) -> Result<Self, CallError> {
        let text = decode_segment(segment);
        Ok(match route {
            Route::Object | Route::Manifest => Self::Object(parse_address(&text)?),
            Route::Name => Self::Name(Name::parse(&text)?),
            Route::Send | Route::Redrive => Self::Queue(Queue::parse_live(&text)?),
            Route::Receive | Route::Ack | Route::Nack | Route::Extend | Route::Queue => {
                Self::Queue(Queue::parse(&text)?)
            }
            _ => Self::None,
        })
    }

    pub(super) fn object(self) -> Result<Address, CallError> {
        match self {
            Self::Object(address) => Ok(address),
            _ => Err(missing("an address is missing")),
        }
    }

    pub(super) fn name(self) -> Result<Name, CallError> {
        match self {
            Self::Name(name) => Ok(name),
            _ => Err(missing("a name is missing")),
        }
    }

    pub(super) fn queue(self) -> Result<Queue, CallError> {
        match self {
            Self::Queue(queue) => Ok(queue),
            _ => Err(missing("a queue is missing")),
        }
    }
}

fn missing(detail: &'static str) -> CallError {
    CallError::new(ErrorCode::NotFound, detail)
}
