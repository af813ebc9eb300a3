//! From the events of a connection to answers: guard, work, reply.

use super::answer::render;
use super::inbox::{Chunks, InboxBody, inbox};
use super::long_frame::LongFrame;
use super::question::{self, Asked};
use super::session::Session;
use super::stream::{EchoBody, Stream, StreamState};
use super::{memory, pace::Moved};
use crate::authority::{Failed, Holder, Presented};
use crate::buffer::collect;
use crate::call::{Call, CallBody, CallError, Needs, Reply};
use crate::clock;
use crate::dispatch::dispatch;
use crate::guard::admission::{self, InProgress, Permits};
use crate::ingress::http::problem;
use crate::metrics::OAP;
use crate::node::Node;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Abortable, BoxFuture, abortable};
use http_body_util::{BodyExt, Full};
use micronode_hardening::{BodyPolicy, Deadline, GuardedBody, Permit, Progress, Transport};
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::{Access, Resource};
use micronode_protocol::connection::{Event, Part};
use micronode_protocol::limits::{
    AUTHORITY_RECHECK, DURATION_MAX, GRANT_TEXT_BYTES, MINT_BYTES, OAP_INLINE_BYTES,
    OAP_REQUEST_BYTES,
};
use micronode_protocol::operation::{CONTROL, Operation, PutRequest, Welcome};
use std::sync::Arc;
use tokio::time::Instant;

/// What has become of a request that was not answered at once.
pub(super) struct Done {
    pub(super) corr_id: u64,
    pub(super) result: Result<(Asked, Reply, Permits), CallError>,
}

/// The frame that opens a stream.
struct Opening {
    part: Part,
    /// Its payload pins no read buffer.
    is_owned: bool,
    /// It was admitted before it came.
    admitted: Option<(Permit, Option<Arc<Holder>>)>,
}

/// A request at work, which ends when its stream is cancelled.
pub(super) type Work = Abortable<BoxFuture<'static, Done>>;

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

    /// HELLO: who makes the requests that bring no capability of their own.
    fn introduce(&mut self, cap: &[u8], now: Instant) -> Result<(), CallError> {
        if !cap.is_empty() {
            let access = Access {
                op: None,
                resource: Resource::Each,
                body: 0,
            };
            let presented = Presented::Bytes(cap);
            self.holder = admission::authority(&self.node, &presented, &access, self.peer, now)?;
        }
        Ok(())
    }

    /// Who makes a request: whom its own capability names, or else the connection's. `None` is one
    /// that cannot be a capability.
    pub(super) fn authority(
        &self,
        operation: Operation,
        cap: Option<&[u8]>,
        body: u64,
        now: Instant,
    ) -> Result<Option<Arc<Holder>>, CallError> {
        let Needs::Capability(op) = question::needs(operation) else {
            return Ok(None);
        };
        let access = Access {
            op,
            resource: Resource::Each,
            body,
        };
        let presented = match (cap, &self.holder) {
            (Some([]), Some(holder)) => {
                admission::authority_again(&self.node, holder, &access, now)?;
                return Ok(Some(Arc::clone(holder)));
            }
            (Some([]), None) => Presented::Nothing,
            (Some(cap), _) => Presented::Bytes(cap),
            (None, _) => Presented::Malformed,
        };
        admission::authority(&self.node, &presented, &access, self.peer, now)
    }

    /// Ends what has lost its authority: streams, and a long frame on its way.
    pub(super) fn check_authority(&mut self, now: Instant) {
        let node = Arc::clone(&self.node);
        let ended = self.streams.iter().filter_map(|(corr_id, stream)| {
            let holder = stream.in_progress.holder.as_deref()?;
            (!node.stands(holder)).then_some(*corr_id)
        });
        for corr_id in ended.collect::<Vec<_>>() {
            self.refuse(corr_id, CONTROL, &Failed::Ended.error());
        }
        let arriving = self.long_frame.as_ref().and_then(LongFrame::holder);
        if arriving.is_some_and(|holder| !node.stands(holder)) {
            self.give_up_long_frame(Failed::Ended.error());
        }
        self.check_authority_at = Some(now + AUTHORITY_RECHECK);
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
        let cost = question::cost(operation);
        let mut in_progress = InProgress::begin(&node, question::route(operation), OAP, now);

        let Opening {
            part,
            is_owned,
            admitted,
        } = opening;
        let (permit, holder) = match admitted {
            Some((permit, holder)) => (Some(permit), holder),
            None => {
                let holder = self.authority(operation, Some(cap), 0, now)?;
                let permit = match question::needs(operation) {
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
            Some(permit) if is_one_frame => {
                in_progress.permits = Some(admission::facet(&node, cost, permit)?);
                let called = clock::instant();
                let (asked, reply) = at_once(&node, operation, holder, payload, is_owned)?;
                return self.begin_answer(corr_id, &asked, reply, in_progress, called);
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
            self.begin_answer(done.corr_id, &asked, reply, in_progress, called)
        });
        if let Err(error) = answered {
            self.refuse(done.corr_id, CONTROL, &error);
        }
    }

    fn begin_answer(
        &mut self,
        corr_id: u64,
        asked: &Asked,
        reply: Reply,
        in_progress: InProgress,
        called: Instant,
    ) -> Result<(), CallError> {
        let reply = match reply {
            // A shorter one is copied on its way out.
            Reply::Echo(bytes) if bytes.len() > OAP_INLINE_BYTES => {
                Reply::Echo(self.held.count(bytes))
            }
            reply => reply,
        };
        let (code, mut body) = render(asked, reply, clock::now(), &mut self.fields)?;
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
        let mut moved = Moved::new(in_progress.started);
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
            return;
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
        if let Some(stream) = self.streams.remove(&corr_id) {
            self.owed -= stream.state.owed();
            if let StreamState::Asking { abort, .. } = stream.state {
                abort.abort();
            }
        }
    }
}

/// Carries out a request that is whole. An owned payload pins no read buffer.
fn at_once(
    node: &Arc<Node>,
    operation: Operation,
    holder: Option<&Arc<Holder>>,
    payload: Bytes,
    is_owned: bool,
) -> Result<(Asked, Reply), CallError> {
    if operation != Operation::ObjectPut {
        policy(node, operation).check_length(payload.len() as u64)?;
    }
    let narrow = |call| admission::narrow(node, holder.map(Arc::as_ref), call);
    let at_hand = |call| {
        let reply = dispatch(node, narrow(call)?).now_or_never();
        reply.expect("what is at hand is not waited for")
    };
    match operation {
        // The same bytes go back, so they are not collected.
        Operation::Echo => {
            if let Some(holder) = holder {
                let access = Access {
                    op: None,
                    resource: Resource::None,
                    body: payload.len() as u64,
                };
                admission::authority_again(node, holder, &access, clock::instant())?;
            }
            // A short body is copied on its way out. A long one would keep the read buffer.
            let bytes = if payload.len() > OAP_INLINE_BYTES && !is_owned {
                memory::copy(node, &payload)?
            } else {
                payload
            };
            Ok((Asked::Echo, Reply::Echo(bytes)))
        }
        Operation::ObjectPut => {
            let (fields, length) =
                question::put_fields(&payload)?.ok_or_else(question::truncated)?;
            let body = payload.slice(length..);
            let declared = Some(body.len() as u64);
            let body: CallBody = Box::pin(Full::new(body).map_err(|never| match never {}));
            let call = Call::Put(question::put(&fields, declared, body)?);
            Ok((Asked::Put, at_hand(call)?))
        }
        _ => {
            let (asked, command) = question::command(operation, &payload, holder)?;
            Ok((asked, at_hand(Call::Command(command))?))
        }
    }
}

/// A request that comes in parts, or has to wait for a permit.
struct Asking {
    operation: Operation,
    holder: Option<Arc<Holder>>,
    permit: Option<Permit>,
    body: InboxBody,
    is_one_frame: bool,
    started: Instant,
}

/// Carries it out.
async fn work(node: Arc<Node>, corr_id: u64, asking: Asking) -> Done {
    let result = carry_out(&node, asking).await;
    Done { corr_id, result }
}

async fn carry_out(node: &Arc<Node>, asking: Asking) -> Result<(Asked, Reply, Permits), CallError> {
    let Asking {
        operation,
        holder,
        permit,
        body,
        is_one_frame,
        started,
    } = asking;
    let permit = match permit {
        Some(permit) => permit,
        None => admission::admit_in_place_of_another(node).await?,
    };
    let guarded = GuardedBody::new(body, None, &policy(node, operation), started)?;
    let permits = admission::facet(node, question::cost(operation), permit)?;
    let watch = guarded.watch();
    let work = async {
        let chunks = Chunks::new(guarded, is_one_frame);
        let (asked, call) = match operation {
            Operation::Echo => {
                let body = Box::pin(chunks);
                (Asked::Echo, Call::Echo { body })
            }
            Operation::ObjectPut => {
                let put =
                    |fields: &PutRequest<'_>, rest| question::put(fields, None, Box::pin(rest));
                (Asked::Put, Call::Put(chunks.after_put_fields(put).await?))
            }
            _ => {
                let payload = collect(Box::pin(chunks), &node.budget).await?;
                let (asked, command) = question::command(operation, &payload, holder.as_ref())?;
                (asked, Call::Command(command))
            }
        };
        let call = admission::narrow(node, holder.as_deref(), call)?;
        Ok::<_, CallError>((asked, dispatch(node, call).await?))
    };
    let (asked, reply) = Deadline::new(work, node.limits.request_deadline, watch).await??;
    Ok((asked, reply, permits))
}

/// An upload streams; everything else is small enough to be taken as one.
fn policy(node: &Node, operation: Operation) -> BodyPolicy {
    match operation {
        Operation::ObjectPut => {}
        Operation::Exchange => return node.limits.one_shot_of(GRANT_TEXT_BYTES),
        Operation::Mint => return node.limits.one_shot_of(MINT_BYTES),
        _ => return node.limits.one_shot,
    }
    BodyPolicy::Streamed {
        // The store has the last word on the object's size; the fields come on top of it.
        cap: (node.limits.streamed.cap()).saturating_add(PutRequest::BYTES_MAX as u64),
        // Only whole frames are seen here. The session sees their bytes, and has the pace.
        interval: DURATION_MAX,
        min_rate: 0,
    }
}
