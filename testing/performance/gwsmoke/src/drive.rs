//! Speaking to a node: one module for each protocol.

pub(crate) mod heads;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod oap;
pub(crate) mod outgoing;
pub(crate) mod parse;
pub(crate) mod patience;
pub(crate) mod peer;
pub(crate) mod resp;
pub(crate) mod stream;
mod tls;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::load::worker::Worker;
use crate::spec::Proto;
use peer::Peer;
use stream::Target;

/// How long an answer may take, and a connection to be opened. The node's own patience is 5 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts to connect, so that a node that is gone is not flooded.
const RECONNECT_AFTER: Duration = Duration::from_millis(10);

/// What a connection needs to know.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) proto: Proto,
    pub(crate) target: Target,
    /// What requests present.
    pub(crate) token: Option<String>,
    /// Where messages go.
    pub(crate) queue: String,
    /// Requests in flight on a connection, where the protocol has several.
    pub(crate) streams: usize,
    /// What is there instead of a node, to compare with.
    pub(crate) peer: Option<Peer>,
}

impl Endpoint {
    /// How many wait for requests on one connection.
    pub(crate) fn tasks(&self) -> usize {
        match self.proto {
            Proto::Http1 | Proto::Oap => 1,
            Proto::Http2 => self.streams,
        }
    }
}

/// A connection that is open and has not been asked anything.
pub(crate) enum Driver {
    Http1(Box<http1::Connection>),
    Http2(Box<http2::Connection>),
    Oap(Box<oap::Connection>),
    Redis(Box<peer::Redis>),
}

impl Driver {
    /// Opens a connection.
    pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        if let Some(Peer::Redis { keys }) = endpoint.peer {
            let connection = peer::Redis::open(&endpoint.target, keys).await?;
            return Ok(Self::Redis(Box::new(connection)));
        }
        match endpoint.proto {
            Proto::Http1 => {
                let connection = http1::Connection::open(endpoint).await?;
                Ok(Self::Http1(Box::new(connection)))
            }
            Proto::Oap => {
                let connection = oap::Connection::open(endpoint).await?;
                Ok(Self::Oap(Box::new(connection)))
            }
            Proto::Http2 => {
                let connection = http2::Connection::open(endpoint).await?;
                Ok(Self::Http2(Box::new(connection)))
            }
        }
    }

    /// Asks what is due until there is no more, as the worker's connections from `number` on; there
    /// are [`Endpoint::tasks`] of them.
    pub(crate) async fn run(self, worker: Rc<Worker>, number: usize) {
        match self {
            Self::Http2(connection) => connection.run(worker, number).await,
            Self::Http1(connection) => connection.run(worker, number).await,
            Self::Oap(connection) => connection.run(worker, number).await,
            Self::Redis(connection) => connection.run(worker, number).await,
        }
    }
}
