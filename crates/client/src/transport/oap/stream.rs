//! One stream: how far its request has gone, and what has come in answer.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::operation::Operation;
use tokio::sync::OwnedSemaphorePermit;

use super::super::TOO_LONG;
use super::call::Failed;
use super::notices::{Notices, Room};
use super::received::Received;
use crate::{Error, TransportError};

/// What opens a stream.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    /// In front of the body, in the first frame.
    pub(super) fields: Vec<u8>,
    /// The body, or the beginning of it.
    pub(super) body: Bytes,
    /// Nothing follows `body`.
    pub(super) last: bool,
    /// Bytes that a successful answer may have, fields included.
    pub(super) allowed: usize,
    /// For what is told on the stream before its answer, where something is.
    pub(super) room: Option<Room>,
}

/// How much of a request has been queued to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    Start,
    End,
}

/// What became of an answer.
#[derive(Debug)]
pub(super) enum End {
    /// The answer is complete.
    Complete,
    Failed(Failed),
    /// It failed, and the caller knows.
    Told,
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: Request,
    pub(super) sent: Sent,
    /// Some of the first frame has left this host.
    pub(super) begun: bool,
    /// Status of a successful answer, once it has begun.
    pub(super) status: Option<u16>,
    pub(super) received: Received,
    pub(super) notices: Option<Notices>,
    pub(super) end: Option<End>,
    /// The node has sent its last frame.
    pub(super) answered: bool,
    /// Who waits, and whether what is sent matters to them too.
    waiting: Option<(Waker, bool)>,
    /// Held until both sides have sent their last frame.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl Stream {
    pub(super) fn new(request: Request, slot: OwnedSemaphorePermit) -> Self {
        Stream {
            notices: request.room.map(Notices::new),
            request,
            sent: Sent::Nothing,
            begun: false,
            status: None,
            received: Received::default(),
            end: None,
            answered: false,
            waiting: None,
            slot: Some(slot),
        }
    }

    /// Remembers who waits: for the answer, and where said so for the request to go on.
    pub(super) fn wait<T>(&mut self, context: &Context<'_>, for_sending: bool) -> Poll<T> {
        self.waiting = Some((context.waker().clone(), for_sending));
        Poll::Pending
    }

    /// Whether its caller waits for the request to leave, rather than for an answer.
    pub(super) fn waits_to_send(&self) -> bool {
        !self.begun || matches!(self.waiting, Some((_, true)))
    }

    pub(super) fn wake(&mut self) {
        if let Some((waker, _)) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_sender(&mut self) {
        if let Some((_, true)) = self.waiting {
            self.wake();
        }
    }

    /// Ends the stream without success, unless it has ended already.
    pub(super) fn fail(&mut self, error: Error, unsent: bool) {
        if self.end.is_none() {
            self.end = Some(End::Failed(Failed { error, unsent }));
            self.wake();
        }
    }

    /// What the stream failed with, the first time.
    pub(super) fn failure(&mut self) -> Failed {
        match self.end.replace(End::Told) {
            Some(End::Failed(failed)) => failed,
            _ => Failed {
                error: TransportError::Truncated.into(),
                unsent: false,
            },
        }
    }

    /// Frees the slot of a stream that both sides have ended.
    pub(super) fn settle(&mut self) {
        if self.answered && self.sent == Sent::End {
            self.slot = None;
        }
    }

    /// Takes note that some of the request has left. What waits at the node for something to tell
    /// does not count there as a stream of those at once.
    pub(super) fn begin(&mut self) {
        self.begun = true;
        if self.notices.is_some() {
            self.slot = None;
        }
        self.wake_sender();
    }

    /// Takes an event frame; whether there is no room for another.
    pub(super) fn tell(&mut self, header: &Header, payload: Option<Bytes>) -> bool {
        let Some(notices) = self.notices.as_mut().filter(|_| self.end.is_none()) else {
            return false;
        };
        let pushed = notices.push(header, payload);
        let is_full = notices.is_full();
        match pushed {
            Ok(()) => self.wake(),
            Err(error) => self.fail(error, false),
        }
        is_full
    }

    /// Takes a frame of a successful answer.
    pub(super) fn take(&mut self, header: &Header, payload: Option<Bytes>) -> Result<(), Error> {
        if self.status.is_some() == header.flags.has(Flags::START) {
            return Err(Error::Protocol("its frames do not begin with START, once"));
        }
        if !(200..300).contains(&header.code) {
            return Err(Error::Protocol("it is neither a success nor an error"));
        }
        if header.flags.has(Flags::COMP) {
            return Err(Error::Protocol("it is compressed, which was not agreed on"));
        }
        let payload = payload
            .filter(|payload| payload.len() <= self.request.allowed)
            .ok_or(TOO_LONG)?;
        self.request.allowed -= payload.len();
        self.status = Some(header.code);
        self.received.push(payload);
        Ok(())
    }
}
