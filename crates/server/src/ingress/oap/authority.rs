//! Who makes the requests of a connection, and whether they still may.

use super::long_frame::LongFrame;
use super::question;
use super::session::Session;
use crate::authority::{Failed, Holder, Presented};
use crate::call::{CallError, Needs};
use crate::guard::admission;
use micronode_hardening::Transport;
use micronode_protocol::capability::caveat::Ops;
use micronode_protocol::capability::{Access, Resource};
use micronode_protocol::limits::AUTHORITY_RECHECK;
use micronode_protocol::operation::{CONTROL, Operation};
use std::sync::Arc;
use tokio::time::Instant;

impl<I: Transport> Session<I> {
    /// HELLO: who makes the requests that bring no capability of their own.
    pub(super) fn introduce(&mut self, cap: &[u8], now: Instant) -> Result<(), CallError> {
        if !cap.is_empty() {
            let access = Access {
                ops: Ops::NONE,
                resource: Resource::Each,
                body: 0,
            };
            let presented = Presented::Bytes(cap);
            self.holder = admission::authority(&self.node, &presented, &access, self.peer, now)?;
        }
        Ok(())
    }

    /// Who makes a request: whom its own capability names, or else the connection's; `None` for one
    /// that cannot be a capability. `body` is the least that the request's body can have.
    pub(super) fn authority(
        &self,
        operation: Operation,
        cap: Option<&[u8]>,
        body: u64,
        now: Instant,
    ) -> Result<Option<Arc<Holder>>, CallError> {
        let Needs::Capability(ops) = question::needs(operation) else {
            return Ok(None);
        };
        let access = Access {
            ops,
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
}
