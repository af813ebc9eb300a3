//! Speaking to a node: one module for each protocol.

pub(crate) mod heads;
pub(crate) mod http1;
pub(crate) mod outgoing;
pub(crate) mod parse;
pub(crate) mod patience;
pub(crate) mod stream;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::load::worker::Worker;
use crate::spec::Proto;
use stream::Target;

/// How long an answer may take, and a connection to be opened. The node's own patience is 5 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) proto: Proto,
    pub(crate) target: Target,
    /// What requests present.
    pub(crate) token: Option<String>,
    /// Where messages go.
    pub(crate) queue: String,
    /// Requests in flight on a connection, where the protocol has several.
    pub(crate) streams: usize,
}

/// A connection that is open and has not been asked anything.
pub(crate) enum Driver {
    Http1(Box<http1::Connection>),
}

impl Driver {
    /// Opens a connection.
    pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint.proto {
            Proto::Http1 => {
                let connection = http1::Connection::open(endpoint).await?;
                Ok(Self::Http1(Box::new(connection)))
            }
            Proto::Http2 | Proto::Oap => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Asks what is due for this connection, the worker's `number`, until there is no more.
    pub(crate) async fn run(self, worker: Rc<Worker>, number: usize) {
        match self {
            Self::Http1(connection) => connection.run(worker, number).await,
        }
    }
}
