//! Why a connection ended. Every call that was under way is told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use micronode_protocol::frame::FrameError;

use super::super::IDLE;
use crate::{Error, TransportError};

#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the node closed it")]
    Closed,
    #[error(transparent)]
    Failed(Arc<io::Error>),
    /// What the node said before it closed it.
    #[error("{0}")]
    Told(Arc<Error>),
    #[error("the node sent what is no frame: {0}")]
    Malformed(FrameError),
    #[error("the node asks, and only a client may")]
    Asked,
    #[error("nothing moved for {0:?}")]
    Silent(Duration),
    #[error("unused for {IDLE:?}")]
    Idle,
    #[error("it has no user any more")]
    Unused,
    #[error("the runtime that it belonged to is gone")]
    Abandoned,
}

impl Ended {
    /// What a call is told.
    pub(super) fn error(&self) -> Error {
        match self {
            Ended::Silent(time) => TransportError::Stalled(*time),
            other => TransportError::Connection(Box::new(other.clone())),
        }
        .into()
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Failed(Arc::new(error))
    }
}
