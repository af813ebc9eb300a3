//! The streams of one connection: what each has still to send, and what has come for it.
//!
//! A table without I/O, behind one lock. Callers put requests in and take answers out; the
//! connection's task [fills](Streams::fill) its queue from here and hands in what it
//! [receives](Streams::receive). Neither ever waits for the other: what is queued to go is bounded
//! by the queue's owner and one piece per stream, and what has come by what each caller allowed.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use micronode_protocol::codec::{Decoded, Encoder, Frame};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header, Kind};
use micronode_protocol::limits::{OAP_CHUNK_BYTES, OAP_WRITE_AHEAD_BYTES};
use micronode_protocol::operation::{CONTROL, HELLO, Operation};
use tokio::sync::OwnedSemaphorePermit;

use super::super::TOO_EARLY;
use super::call::Failed;
use super::ended::Ended;
use super::notices::{Notice, Notices};
use super::stream::{End, Request, Sent, Stream};
use crate::{Error, error};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// As many as there are slots, and those whose answers have come whole.
    open: HashMap<u64, Stream>,
    last_id: u64,
    /// Streams with something to send, in turn.
    turns: VecDeque<u64>,
    /// Streams whose first frame is queued, and where in the bytes of the connection it begins.
    beginning: VecDeque<(u64, u64)>,
    /// Where the bytes of the connection end that a write is just taking.
    leaving: u64,
    /// The stream that has no room for what is told on it.
    full: Option<u64>,
    /// Streams that were given up and of which the node has to be told.
    cancelled: Vec<u64>,
    /// What the node said on no stream of ours, which is how it says why it closes.
    told: Option<Arc<Error>>,
    /// Why nothing more can be written. What the node said before that may still come.
    broken: Option<Ended>,
    ended: Option<Ended>,
}

impl Streams {
    // --- For the caller of one stream ------------------------------------------------------

    /// Opens a stream and queues its request.
    ///
    /// # Errors
    ///
    /// If the connection takes no more of them.
    pub(super) fn open(
        &mut self,
        request: Request,
        slot: OwnedSemaphorePermit,
    ) -> Result<u64, Ended> {
        if let Some(closed) = self.closed() {
            return Err(closed.clone());
        }
        self.last_id += 1;
        let stream = Stream::new(request, slot);
        self.open.insert(self.last_id, stream);
        self.turns.push_back(self.last_id);
        Ok(self.last_id)
    }

    fn stream(&mut self, id: u64) -> &mut Stream {
        let stream = self.open.get_mut(&id);
        stream.expect("a stream is there as long as its call")
    }

    /// Until some of the request has left.
    pub(super) fn poll_begun(
        &mut self,
        id: u64,
        context: &Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let stream = self.stream(id);
        match &stream.end {
            Some(End::Failed(_) | End::Told) => Poll::Ready(Err(stream.failure())),
            _ if stream.begun => Poll::Ready(Ok(())),
            _ => stream.wait(context, true),
        }
    }

    /// Until all that was given of the body is queued to go, and more can be given.
    ///
    /// # Errors
    ///
    /// If there is an answer, which nothing should be added to.
    pub(super) fn poll_room(&mut self, id: u64, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let stream = self.stream(id);
        match &stream.end {
            Some(End::Failed(_) | End::Told) => Poll::Ready(Err(stream.failure().error)),
            _ if stream.status.is_some() => Poll::Ready(Err(TOO_EARLY)),
            _ if stream.sent == Sent::Start && stream.request.body.is_empty() => {
                Poll::Ready(Ok(()))
            }
            _ => stream.wait(context, true),
        }
    }

    /// Until an answer begins; its status.
    pub(super) fn poll_answered(
        &mut self,
        id: u64,
        context: &Context<'_>,
    ) -> Poll<Result<u16, Failed>> {
        let stream = self.stream(id);
        match (stream.status, &stream.end) {
            (Some(status), _) => Poll::Ready(Ok(status)),
            (None, Some(_)) => Poll::Ready(Err(stream.failure())),
            (None, None) => stream.wait(context, false),
        }
    }

    /// The next piece of the answer; `None` only at the end of a complete one.
    pub(super) fn poll_next(
        &mut self,
        id: u64,
        context: &Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        let stream = self.stream(id);
        if let Some(piece) = stream.received.pop() {
            return Poll::Ready(Ok(Some(piece)));
        }
        match &stream.end {
            Some(End::Complete) => Poll::Ready(Ok(None)),
            Some(_) => Poll::Ready(Err(stream.failure().error)),
            None => stream.wait(context, false),
        }
    }

    /// The next thing that is told before an answer; whether the connection has waited for it to
    /// be taken.
    pub(super) fn poll_notice(
        &mut self,
        id: u64,
        context: &Context<'_>,
    ) -> Poll<Result<(Notice, bool), Error>> {
        let waited = self.full.take_if(|full| *full == id).is_some();
        let stream = self.stream(id);
        if let Some(notice) = stream.notices.as_mut().and_then(Notices::pop) {
            return Poll::Ready(Ok((notice, waited)));
        }
        match &stream.end {
            Some(_) => Poll::Ready(Err(stream.failure().error)),
            None => stream.wait(context, false),
        }
    }

    /// Whether a caller waits for its request to leave, rather than for an answer.
    pub(super) fn waits_to_send(&mut self, id: u64) -> bool {
        self.stream(id).waits_to_send()
    }

    /// Goes on with a request that has [room](Self::poll_room).
    pub(super) fn send(&mut self, id: u64, piece: Bytes, last: bool) {
        let closed = self.closed().is_some();
        let stream = self.stream(id);
        debug_assert!(stream.request.body.is_empty() && !stream.request.last);
        let something = last || !piece.is_empty();
        stream.request.body = piece;
        stream.request.last = last;
        if something && !closed {
            self.turns.push_back(id);
        }
    }

    /// Closes a stream whose caller has gone. The node is told, unless it has nothing more to do
    /// for the stream or has never heard of it.
    pub(super) fn close(&mut self, id: u64) {
        let Some(stream) = self.open.remove(&id) else {
            return;
        };
        self.turns.retain(|turn| *turn != id);
        self.full.take_if(|full| *full == id);
        let over = stream.answered && stream.sent == Sent::End;
        if stream.sent != Sent::Nothing && !over && self.closed().is_none() {
            self.cancelled.push(id);
        }
    }

    // --- For the task of the connection ----------------------------------------------------

    /// Whether no stream is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Why no stream is opened any more and nothing is sent, if so: the connection has ended, or
    /// only its [answers](Self::break_off) are waited for.
    pub(super) fn closed(&self) -> Option<&Ended> {
        self.ended.as_ref().or(self.broken.as_ref())
    }

    /// Queues frames until as much is queued as is sent ahead of the socket: streams take turns,
    /// a chunk each, in the order of their opening.
    pub(super) fn fill(&mut self, encoder: &mut Encoder) {
        for id in self.cancelled.drain(..) {
            let header = Header {
                flags: Flags::REQ.with(Flags::END),
                code: HELLO,
                app: CONTROL,
                corr_id: id,
                ..Header::default()
            };
            encoder.push(&header, &[], &[], Bytes::new());
        }
        while encoder.queued() < OAP_WRITE_AHEAD_BYTES {
            let Some(id) = self.turns.pop_front() else {
                return;
            };
            let stream = self.stream(id);
            if stream.end.is_some() {
                // Answered before it was all there: nobody wants the rest.
                continue;
            }
            let request = &mut stream.request;
            let chunk = request.body.len().min(OAP_CHUNK_BYTES);
            let chunk = request.body.split_to(chunk);
            let rests = !request.body.is_empty();
            let ends = request.last && !rests;
            let mut flags = Flags::REQ;
            let begins = stream.sent == Sent::Nothing;
            if begins {
                flags = flags.with(Flags::START);
            }
            if ends {
                flags = flags.with(Flags::END);
            }
            let header = Header {
                flags,
                code: request.operation.code(),
                app: request.operation.app(),
                corr_id: id,
                ..Header::default()
            };
            let fields = mem::take(&mut request.fields);
            let begins_at = encoder.end();
            encoder.push(&header, &[], &fields, chunk);
            stream.sent = if ends { Sent::End } else { Sent::Start };
            stream.settle();
            if !rests && !ends {
                stream.wake_sender();
            }
            if rests {
                self.turns.push_back(id);
            }
            if begins {
                self.beginning.push_back((id, begins_at));
            }
        }
    }

    /// Takes note that bytes of the connection up to `end` are about to be written. Until it is
    /// [known](Self::written) how many were, any of them may have left.
    pub(super) fn writing(&mut self, end: u64) {
        self.leaving = end;
    }

    /// Takes note of how many bytes of the connection have been written.
    pub(super) fn written(&mut self, written: u64) {
        self.leaving = written;
        while let Some((id, _)) = self.beginning.pop_front_if(|(_, at)| *at < written) {
            if let Some(stream) = self.open.get_mut(&id) {
                stream.begin();
            }
        }
    }

    /// Whether a frame that is longer than a read buffer is worth the memory.
    pub(super) fn wants(&self, header: &Header) -> bool {
        let payload = header.len as usize - HEADER_BYTES;
        let stream = self.open.get(&header.corr_id);
        let allowed = stream
            .filter(|stream| stream.end.is_none())
            .map_or(0, |stream| match header.kind() {
                Kind::Resp if header.code < 400 => stream.request.allowed,
                Kind::Event => stream.request.room.map_or(0, |room| room.bytes),
                _ => 0,
            });
        payload <= allowed
    }

    /// Whether nothing more may be received before a caller takes what was told to it.
    pub(super) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Hands in a frame. The stream of a ping that wants an answer comes back.
    ///
    /// # Errors
    ///
    /// If the connection cannot go on.
    pub(super) fn receive(&mut self, decoded: Decoded) -> Result<Option<u64>, Ended> {
        let (header, payload) = match decoded {
            Decoded::Frame(Frame {
                header, payload, ..
            }) => (header, Some(payload)),
            Decoded::Skipped(header) => (header, None),
        };
        match header.kind() {
            Kind::Req => Err(Ended::Asked),
            Kind::Event => {
                let ping = (Operation::Ping.app(), Operation::Ping.code());
                if (header.app, header.code) == ping {
                    return Ok(Some(header.corr_id));
                }
                if let Some(stream) = self.open.get_mut(&header.corr_id)
                    && stream.tell(&header, payload)
                {
                    self.full = Some(header.corr_id);
                }
                Ok(None)
            }
            Kind::Resp => {
                self.answer(&header, payload);
                Ok(None)
            }
        }
    }

    /// Takes a frame of an answer; one without a payload was too long to be read.
    fn answer(&mut self, header: &Header, payload: Option<Bytes>) {
        let id = header.corr_id;
        let Some(stream) = self.open.get_mut(&id).filter(|stream| !stream.answered) else {
            // Of a stream that was given up, or the node's last words.
            if header.code >= 400 && (id == 0 || id > self.last_id) {
                let error = error::from_frame(header.code, &payload.unwrap_or_default());
                self.told = Some(Arc::new(error));
            }
            return;
        };
        stream.answered = header.flags.has(Flags::END);
        stream.settle();
        if header.code >= 400 {
            let error = error::from_frame(header.code, &payload.unwrap_or_default());
            return stream.fail(error, false);
        }
        if let Err(error) = stream.take(header, payload) {
            return stream.fail(error, false);
        }
        if stream.answered && stream.end.is_none() {
            stream.end = Some(End::Complete);
        }
        stream.wake();
    }

    /// Nothing more can be written. Streams that are open wait for what may still come.
    pub(super) fn break_off(&mut self, broken: Ended) {
        self.broken = Some(broken);
        self.turns.clear();
        self.cancelled.clear();
    }

    /// The connection has ended: no stream opens any more, and those that were still waiting for
    /// something fail. Only the first reason counts.
    pub(super) fn end(&mut self, ended: Ended) {
        if self.ended.is_some() {
            return;
        }
        let ended = match (ended, &self.told, &self.broken) {
            (Ended::Closed | Ended::Failed(_), Some(told), _) => Ended::Told(Arc::clone(told)),
            (Ended::Closed | Ended::Failed(_), None, Some(broken)) => broken.clone(),
            (ended, ..) => ended,
        };
        self.written(self.leaving);
        for stream in self.open.values_mut() {
            let unsent = !stream.begun;
            stream.fail(ended.error(), unsent);
            stream.slot = None;
        }
        self.turns.clear();
        self.beginning.clear();
        self.cancelled.clear();
        self.ended = Some(ended);
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
