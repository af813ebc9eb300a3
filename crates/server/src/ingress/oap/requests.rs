//! From the events of a connection to answers: guard, work, reply.

use super::answer::render;
use super::inbox::inbox;
use super::question::{self, Asked};
use super::session::Session;
use super::stream::{EchoBody, Stream, StreamState};
use super::terms::Terms;
use super::work::{Asking, Done, at_once, is_at_hand, work};
use super::{memory, pace::Moved};
use crate::authority::Holder;
use crate::call::{CallError, Needs, Reply};
use crate::clock;
use crate::guard::admission::{self, InProgress};
use crate::ingress::http::problem;
use crate::metrics::OAP;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::abortable;
use micronode_hardening::{Permit, Progress, Transport};
use micronode_protocol::ErrorCode;
use micronode_protocol::connection::{Event, Part};
use micronode_protocol::limits::OAP_REQUEST_BYTES;
use micronode_protocol::operation::{CONTROL, Operation, Welcome};
use std::sync::Arc;
use tokio::time::Instant;

/// The frame that opens a stream.
struct Opening {
    part: Part,
    /// Its payload pins no read buffer.
    is_owned: bool,
    /// It was admitted before it came.
    admitted: Option<(Permit, Option<Arc<Holder>>)>,
}

impl<I: Transport> Session<I> {
    pub(super) fn event(&mut self, event: Event, now: Instant) {
        // These are of the first frame to come since.
        let (long_frame, skipped_for) = (self.long_frame.take(), self.skipped_for.take());
        match event {
            Event::Hello { corr_id, cap, .. } => match self.introduce(&cap, now) {
                Ok(()) => {
                    let oap = &self.node.limits.oap;
                    let max_frame = u32::try_from(oap.max_frame).unwrap_or(u32::MAX);
                    let max_streams = u32::try_from(oap.max_streams).unwrap_or(u32::MAX);
                    self.connection
                        .welcome(&Welcome::new(max_frame, max_streams));
                }
                Err(error) => {
                    self.refuse(corr_id, CONTROL, &error);
                    self.end();
                }
            },
            Event::Request {
                corr_id,
                app,
                code,
                cap,
                mut part,
            } => {
                self.turn += OAP_REQUEST_BYTES;
                let is_owned = long_frame.is_some() || part.compressed;
                let admitted = long_frame.and_then(|frame| {
                    let arrived = frame.arrive(std::mem::take(&mut part.payload));
                    part.payload = arrived.payload;
                    Some((arrived.permit?, arrived.holder))
                });
                let operation = Operation::of(app, code);
                let result =
                    operation
                        .ok_or_else(question::no_such_operation)
                        .and_then(|operation| {
                            let part = Opening {
                                part,
                                is_owned,
                                admitted,
                            };
                            self.request(corr_id, operation, &cap, part, now)
                        });
                if let Err(error) = result {
                    self.refuse(corr_id, app, &error);
                }
            }
            Event::Body { corr_id, mut part } => {
                if let Some(long_frame) = long_frame {
                    part.payload = long_frame.arrive(part.payload).payload;
                }
                self.body(corr_id, part);
            }
            Event::Cancelled { corr_id } => self.forget(corr_id),
            Event::Fault(fault) => {
                let error = match skipped_for {
                    Some(error) if fault.code == ErrorCode::Degraded => error,
                    _ => CallError::new(fault.code, fault.detail),
                };
                self.refuse(fault.corr_id, fault.app, &error);
                if fault.fatal {
                    self.end();
                }
            }
        }
    }

    /// A request begins: the stages in the order of refusal, and its answer, if it needs no
    /// waiting.
    fn request(
        &mut self,
        corr_id: u64,
        operation: Operation,
        cap: &Bytes,
        opening: Opening,
        now: Instant,
    ) -> Result<(), CallError> {
        let node = Arc::clone(&self.node);
        let Terms {
            route,
            cost,
            facet,
            needs,
        } = Terms::of(operation);
        let mut in_progress = InProgress::begin(&node, route, OAP, now);

        let Opening {
            part,
            is_owned,
            admitted,
        } = opening;
        let (permit, holder) = match admitted {
            Some((permit, holder)) => (Some(permit), holder),
            None => {
                let holder = self.authority(operation, Some(cap), 0, now)?;
                let permit = match needs {
                    Needs::Capability(_) => {
                        admission::admit_at_once(&node, cost, holder.as_deref(), now)?
                    }
                    Needs::Grant => Some(admission::admit_grant(&node, cost, now)?),
                };
                self.check_draining()?;
                (permit, holder)
            }
        };
        in_progress.holder = holder;
        let holder = in_progress.holder.as_ref();

        let is_one_frame = part.end;
        let payload = self.payload(part)?;
        let permit = match permit {
            Some(permit) if is_one_frame && is_at_hand(&node, operation, holder) => {
                in_progress.permits = Some(admission::facet(&node, facet, permit)?);
                let called = clock::instant();
                let (asked, reply) = at_once(&node, operation, holder, payload, is_owned)?;
                return self.begin_answer(corr_id, asked, reply, in_progress, called);
            }
            permit => permit,
        };

        let (inbox, body) = inbox(&self.backlog);
        let mut echo = (operation == Operation::Echo).then(EchoBody::default);
        if let Some(echo) = &mut echo {
            self.owed += echo.add(payload.len(), is_one_frame);
        }
        inbox.put(payload, is_one_frame);
        let asking = Asking {
            operation,
            holder: holder.cloned(),
            permit,
            body,
            is_one_frame,
            started: now,
        };
        let work = work(node, corr_id, asking);
        let (work, abort) = abortable(work.boxed());
        self.work.push(work);
        let pace = (operation == Operation::ObjectPut).then(Progress::default);
        let stream = Stream {
            moved: Moved::new(now),
            state: StreamState::Asking {
                inbox,
                abort,
                pace,
                echo,
            },
            in_progress,
        };
        self.streams.insert(corr_id, stream);
        Ok(())
    }

    /// More of a request that is at work.
    fn body(&mut self, corr_id: u64, part: Part) {
        let (length, ends) = (part.payload.len(), part.end);
        let payload = self.payload(part);
        let Some(stream) = self.streams.get_mut(&corr_id) else {
            return;
        };
        stream.moved.add(length);
        match (payload, &mut stream.state) {
            (Ok(payload), StreamState::Asking { inbox, echo, .. }) => {
                if let Some(echo) = echo {
                    self.owed += echo.add(payload.len(), ends);
                }
                inbox.put(payload, ends);
            }
            // It is answered already, and will hear so.
            (Ok(_), StreamState::Answering { .. }) => {}
            (Err(error), _) => self.refuse(corr_id, CONTROL, &error),
        }
    }

    fn payload(&mut self, part: Part) -> Result<Bytes, CallError> {
        if part.compressed {
            let payload = memory::inflated(&self.node, &part.payload)?;
            self.turn += payload.len();
            Ok(payload)
        } else {
            Ok(part.payload)
        }
    }

    /// A request that was at work is done.
    pub(super) fn done(&mut self, done: Done) {
        let Some(stream) = self.streams.remove(&done.corr_id) else {
            return;
        };
        self.owed -= stream.state.owed();
        let mut in_progress = stream.in_progress;
        let answered = done.result.and_then(|(asked, reply, permits)| {
            in_progress.permits = Some(permits);
            let called = clock::instant();
            self.begin_answer(done.corr_id, asked, reply, in_progress, called)
        });
        if let Err(error) = answered {
            self.refuse(done.corr_id, CONTROL, &error);
        }
    }

    pub(super) fn begin_answer(
        &mut self,
        corr_id: u64,
        asked: Asked,
        reply: Reply,
        in_progress: InProgress,
        called: Instant,
    ) -> Result<(), CallError> {
        let reply = match reply {
            Reply::Waits(wait) => return self.park_receive(corr_id, wait, in_progress),
            Reply::Feed(feed) => return self.park_feed(corr_id, feed, in_progress),
            reply => reply,
        };
        let (code, body) = render(asked, reply, clock::now(), &mut self.fields)?;
        let mut body = body.counted(&self.held);
        let first = body.next()?;
        if asked.reads() {
            let latency = clock::instant() - called;
            self.node.metrics.storage_get.observe(latency);
        }
        let ends = body.is_over();
        let length = first.len();
        self.turn += length;
        self.connection
            .respond(corr_id, code, &self.fields, first, ends);
        if ends {
            self.hold(in_progress);
            return Ok(());
        }
        self.owed += body.owed();
        // Since now: it may have waited long before.
        let mut moved = Moved::new(called);
        moved.add(length);
        let stream = Stream {
            moved,
            state: StreamState::Answering { code, body },
            in_progress,
        };
        self.streams.insert(corr_id, stream);
        Ok(())
    }

    /// The next chunk of the stream whose turn it is.
    pub(super) fn go_on(&mut self, corr_id: u64) {
        let Some(stream) = self.streams.get_mut(&corr_id) else {
            return self.feed(corr_id);
        };
        let StreamState::Answering { code, body } = &mut stream.state else {
            return;
        };
        let owed = body.owed();
        match body.next() {
            Ok(chunk) => {
                let ends = body.is_over();
                self.owed -= owed - body.owed();
                stream.moved.add(chunk.len());
                self.turn += chunk.len();
                self.connection.respond_more(corr_id, *code, chunk, ends);
                if ends && let Some(stream) = self.streams.remove(&corr_id) {
                    self.hold(stream.in_progress);
                }
            }
            Err(error) => self.refuse(corr_id, CONTROL, &error.into()),
        }
    }

    /// Ends a stream, or a frame of none, with an error.
    pub(super) fn refuse(&mut self, corr_id: u64, app: u16, error: &CallError) {
        self.node.metrics.oap_rejected(error.code);
        self.forget(corr_id);
        let document = problem::document(error, &corr_id.to_string());
        self.turn += document.len();
        self.connection.refuse(corr_id, app, error.code, document);
    }

    /// Lets go of everything that a stream has here.
    fn forget(&mut self, corr_id: u64) {
        self.parked.remove(corr_id);
        if let Some(stream) = self.streams.remove(&corr_id) {
            self.owed -= stream.state.owed();
            if let StreamState::Asking { abort, .. } = stream.state {
                abort.abort();
            }
        }
    }
}
