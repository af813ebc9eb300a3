//! What a connection is bound by, and what it tells its owner.

use std::time::Duration;

use bytes::Bytes;

use crate::ErrorCode;
use crate::operation::Hello;

/// Bounds of a connection. The first two are told to the peer.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Bytes of a frame.
    pub max_frame: usize,
    /// Streams open at once that are not parked.
    pub max_streams: usize,
    /// Streams parked at once.
    pub max_parked: usize,
    /// HELLO comes within this of the connection's start.
    pub hello: Duration,
    /// A connection that owes no answer is closed after this.
    pub idle: Duration,
    /// One that owes answers to parked streams only is pinged when nothing has come for this long ...
    pub ping: Duration,
    /// ... and closed when nothing comes within this after a ping.
    pub ping_patience: Duration,
}

/// What a peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first frame. Nothing else comes before [`Connection::welcome`](super::Connection::welcome).
    Hello {
        /// The stream to answer it on.
        corr_id: u64,
        /// What the peer says of itself.
        hello: Hello,
        /// The authority of every request that brings none.
        cap: Bytes,
    },
    /// A stream has been opened.
    Request {
        /// The stream.
        corr_id: u64,
        /// The family of the operation.
        app: u16,
        /// The operation.
        code: u16,
        /// Its authority; empty for the connection's.
        cap: Bytes,
        /// The beginning of the payload.
        part: Part,
    },
    /// More of a request's payload.
    Body {
        /// The stream.
        corr_id: u64,
        /// What came.
        part: Part,
    },
    /// The peer does not want the answer any more. It gets none.
    Cancelled {
        /// The stream, which is closed.
        corr_id: u64,
    },
    /// Something that cannot be. What its stream was doing is over; the fault is to be told with
    /// [`Connection::refuse`](super::Connection::refuse).
    Fault(Fault),
}

/// The payload of one frame of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As it came.
    pub payload: Bytes,
    /// It is zstd.
    pub compressed: bool,
    /// It is the last of its request.
    pub end: bool,
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stream that is told.
    pub corr_id: u64,
    /// The family in the frame at fault.
    pub app: u16,
    /// The public code.
    pub code: ErrorCode,
    /// One sentence for people.
    pub detail: &'static str,
    /// The connection ends with the answer.
    pub fatal: bool,
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// HELLO did not come in time.
    Hello {
        /// Some of it did, so that an answer has something to answer.
        begun: bool,
    },
    /// Nothing was asked for too long.
    Idle,
    /// A ping was not answered.
    Silent,
}
