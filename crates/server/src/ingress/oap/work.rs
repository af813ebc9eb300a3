//! Carrying requests out: at once, if they are whole, or as work of their own.

use super::inbox::{Chunks, InboxBody};
use super::memory;
use super::question::{self, Asked};
use super::terms::Terms;
use crate::authority::{Holder, Scope};
use crate::buffer::collect;
use crate::call::{Call, CallBody, CallError, Command, Reply};
use crate::clock;
use crate::dispatch::dispatch;
use crate::guard::admission::{self, Permits};
use crate::node::Node;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Abortable, BoxFuture};
use http_body_util::{BodyExt, Full};
use micronode_hardening::{BodyPolicy, Deadline, GuardedBody, Permit};
use micronode_protocol::capability::caveat::Ops;
use micronode_protocol::capability::{Access, Resource};
use micronode_protocol::limits::{
    DURATION_MAX, GRANT_DEADLINE, GRANT_TEXT_BYTES, MINT_BYTES, OAP_INLINE_BYTES, ONE_SHOT_DEADLINE,
};
use micronode_protocol::operation::{FieldsError, Operation, PutRequest, SendRequest};
use std::sync::Arc;
use tokio::time::Instant;

/// What has become of a request that was not answered at once.
pub(super) struct Done {
    pub(super) corr_id: u64,
    pub(super) result: Result<(Asked, Reply, Permits), CallError>,
}

/// A request at work, which ends when its stream is cancelled.
pub(super) type Work = Abortable<BoxFuture<'static, Done>>;

/// Whether a request that is whole is answered at once. Others on this thread have turns while a
/// long queue is emptied, the names of one object are looked for among all that there are, or the
/// disk is waited for.
pub(super) fn is_at_hand(node: &Node, operation: Operation, holder: Option<&Arc<Holder>>) -> bool {
    match operation {
        Operation::Ping
        | Operation::Echo
        | Operation::Exchange
        | Operation::Mint
        | Operation::ObjectGet
        | Operation::ObjectHas
        | Operation::ObjectHead
        | Operation::ObjectManifest
        | Operation::NameGet
        | Operation::NameRead
        | Operation::NameWatch
        | Operation::Subscribe
        | Operation::QueueStats
        | Operation::Events => true,
        // Anything else may change what is kept.
        _ if node.keeper.is_some() => false,
        Operation::Purge | Operation::Redrive => false,
        Operation::NameList => !holder.is_some_and(|it| it.sees_one_object()),
        _ => true,
    }
}

/// Carries out a request that is whole and at hand. An owned payload pins no read buffer.
pub(super) fn at_once(
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
                    ops: Ops::NONE,
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
            Ok((Asked::Other, Reply::Echo(bytes)))
        }
        Operation::ObjectPut => {
            let (fields, length) = question::put_fields(&payload)?.ok_or(FieldsError::Truncated)?;
            let body = payload.slice(length..);
            let declared = Some(body.len() as u64);
            let body: CallBody = Box::pin(Full::new(body).map_err(|never| match never {}));
            let call = Call::Put(question::put(&fields, declared, body)?);
            Ok((Asked::Other, at_hand(call)?))
        }
        _ => {
            let (asked, command) = question::command(operation, &payload, holder)?;
            check_message(node, &command)?;
            Ok((asked, at_hand(Call::Command(command))?))
        }
    }
}

/// A request that comes in parts, or has to wait for a permit.
pub(super) struct Asking {
    pub(super) operation: Operation,
    pub(super) holder: Option<Arc<Holder>>,
    pub(super) permit: Option<Permit>,
    pub(super) body: InboxBody,
    pub(super) is_one_frame: bool,
    pub(super) started: Instant,
}

/// Carries it out.
pub(super) async fn work(node: Arc<Node>, corr_id: u64, asking: Asking) -> Done {
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
    let permits = admission::facet(node, Terms::of(operation).facet, permit)?;
    let watch = guarded.watch();
    let work = async {
        let chunks = Chunks::new(guarded, is_one_frame);
        let (asked, call) = match operation {
            Operation::Echo => {
                let body = Box::pin(chunks);
                (Asked::Other, Call::Echo { body })
            }
            Operation::ObjectPut => {
                let length = |payload: &[u8]| Ok(question::put_fields(payload)?.map(|(_, it)| it));
                let (fields, rest) = chunks.split_fields(PutRequest::BYTES_MAX, length).await?;
                let (fields, _) = question::put_fields(&fields)?.ok_or(FieldsError::Truncated)?;
                let put = question::put(&fields, None, Box::pin(rest))?;
                (Asked::Other, Call::Put(put))
            }
            Operation::Send => {
                let length = |payload: &[u8]| Ok(SendRequest::parse(payload)?.map(|(_, it)| it));
                let (fields, rest) = chunks.split_fields(SendRequest::BYTES_MAX, length).await?;
                let body = collect(Box::pin(rest), &node.store).await?.into_bytes();
                let scope = Scope::of(holder.as_ref());
                let command = question::send(&SendRequest::decode(&fields)?, body, &scope)?;
                check_message(node, &command)?;
                (Asked::Other, Call::Command(command))
            }
            _ => {
                let payload = collect(Box::pin(chunks), &node.store).await?.into_bytes();
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

/// An upload streams; everything else is small enough to be taken as one. Bounds what is in front
/// of a body together with it.
pub(super) fn policy(node: &Node, operation: Operation) -> BodyPolicy {
    match operation {
        Operation::ObjectPut => BodyPolicy::Streamed {
            // The store has the last word on the object's size; the fields come on top of it.
            cap: (node.limits.streamed.cap()).saturating_add(PutRequest::BYTES_MAX as u64),
            // Only whole frames are seen here. The session sees their bytes, and has the pace.
            interval: DURATION_MAX,
            min_rate: 0,
        },
        Operation::Send => match node.message() {
            BodyPolicy::OneShot { cap, deadline } => BodyPolicy::OneShot {
                cap: cap + SendRequest::BYTES_MAX as u64,
                deadline,
            },
            streamed @ BodyPolicy::Streamed { .. } => streamed,
        },
        Operation::Exchange => node.limits.one_shot_of(GRANT_TEXT_BYTES, GRANT_DEADLINE),
        Operation::Mint => node.limits.one_shot_of(MINT_BYTES, ONE_SHOT_DEADLINE),
        _ => node.limits.one_shot,
    }
}

/// The body of a message alone.
fn check_message(node: &Node, command: &Command) -> Result<(), CallError> {
    if let Command::Send(message) = command {
        node.message().check_length(message.body.len() as u64)?;
    }
    Ok(())
}
