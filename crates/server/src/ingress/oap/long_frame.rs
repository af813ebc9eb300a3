//! A frame that does not fit the read buffer: whether it is worth reading, and what pays for it.
//!
//! Its header alone asks for up to 1 MiB. So the stages that a request goes through before its
//! body is read are gone through here, on the header, and its permit is held while the rest comes.

use super::pace::Moved;
use super::question;
use super::session::Session;
use super::terms::Terms;
use super::work::policy;
use crate::authority::Holder;
use crate::buffer::{paid, reserve_ahead};
use crate::call::{CallError, Needs};
use crate::guard::admission;
use bytes::Bytes;
use micronode_engine::{MemoryKind, Reservation};
use micronode_hardening::{BodyPolicy, Permit, Transport};
use micronode_protocol::ErrorCode;
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::operation::{Operation, PutRequest, SendRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A long frame that is being read.
pub(super) struct LongFrame {
    /// For all of it; filled as far as it has come.
    reservation: Reservation,
    /// Of the request that it opens.
    permit: Option<Permit>,
    /// Who makes that request.
    holder: Option<Arc<Holder>>,
    /// For a request that is taken as one: how long it may still be waited for.
    time_left: Option<Duration>,
    /// Since when it is.
    waiting: Option<Instant>,
    /// How fast it comes.
    pub(super) moved: Moved,
}

/// A long frame that has come whole, and what the request that it opens was given before.
pub(super) struct Arrived {
    pub(super) payload: Bytes,
    pub(super) permit: Option<Permit>,
    pub(super) holder: Option<Arc<Holder>>,
}

impl LongFrame {
    /// Takes note of whether the peer is waited for: the node's own pauses are not the peer's.
    pub(super) fn observe(&mut self, now: Instant, is_read: bool) {
        if let (Some(since), Some(left)) = (self.waiting.take(), &mut self.time_left) {
            *left = left.saturating_sub(now - since);
        }
        self.waiting = is_read.then_some(now);
    }

    /// When it comes too late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.waiting? + self.time_left?)
    }

    /// Who makes the request that it opens.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_deref()
    }

    /// Takes note of how many bytes of it have come.
    pub(super) fn fill(&mut self, came: u64) {
        let came = came.min(self.reservation.reserved());
        self.moved.set(came);
        self.reservation.fill(came - self.reservation.filled());
    }

    /// It is here: its payload, which pays for itself from now on.
    pub(super) fn arrive(mut self, payload: Bytes) -> Arrived {
        self.fill(u64::MAX);
        Arrived {
            payload: paid(payload, self.reservation),
            permit: self.permit,
            holder: self.holder,
        }
    }
}

impl<I: Transport> Session<I> {
    /// Decides about a long frame: it waits until nothing is left unread, for its answer may be as
    /// long; then it is paid for and read, or else thrown away as it comes.
    ///
    /// Asked when all work that was ready has been done, whose answers are unread then.
    pub(super) fn consider_long_frame(&mut self, now: Instant) {
        if self.connection.long_frame().is_some() && !self.connection.wants_long_frame() {
            return self.connection.skip_long_frame();
        }
        let Some((header, cap)) = self.connection.long_frame() else {
            return;
        };
        if self.unread() > 0 {
            return;
        }
        match self.admit_long_frame(header, cap, now) {
            Ok(mut long_frame) => {
                long_frame.fill(self.connection.arrived() as u64);
                self.long_frame = Some(long_frame);
                self.connection.grant_long_frame();
            }
            Err(error) => self.give_up_long_frame(error),
        }
    }

    /// The rest of the frame is thrown away as it comes, and then its stream is told why.
    pub(super) fn give_up_long_frame(&mut self, error: CallError) {
        self.long_frame = None;
        self.skipped_for = Some(error);
        self.connection.skip_long_frame();
    }

    fn admit_long_frame(
        &self,
        header: &Header,
        cap: &[u8],
        now: Instant,
    ) -> Result<LongFrame, CallError> {
        let (mut permit, mut holder, mut time_left) = (None, None, None);
        if header.flags.has(Flags::START) {
            let operation = Operation::of(header.app, header.code);
            let operation = operation.ok_or_else(question::no_such_operation)?;
            // One that is too long for a capability was not read, and is none.
            let is_read = cap.len() == usize::from(header.cap_len);
            let payload = header.len as usize - HEADER_BYTES - usize::from(header.cap_len);
            // What the fields take of it is known when they are there.
            let body = match operation {
                Operation::Echo => payload,
                Operation::ObjectPut => payload.saturating_sub(PutRequest::BYTES_MAX),
                Operation::Send => payload.saturating_sub(SendRequest::BYTES_MAX),
                _ => 0,
            };
            let cap = is_read.then_some(cap);
            holder = self.authority(operation, cap, body as u64, now)?;
            let terms = Terms::of(operation);
            if terms.needs == Needs::Grant {
                let detail = "a grant is far shorter than this";
                return Err(CallError::new(ErrorCode::BodyTooLarge, detail));
            }
            let (node, cost) = (&self.node, terms.cost);
            permit = match admission::admit_at_once(node, cost, holder.as_deref(), now)? {
                Some(permit) => Some(permit),
                // Nobody gives way for so much.
                None => Some(self.node.in_flight.acquire()?),
            };
            self.check_draining()?;
            let policy = policy(node, operation);
            if let BodyPolicy::OneShot { deadline, .. } = policy {
                policy.check_length(payload as u64)?;
                time_left = Some(deadline);
            }
        }
        let length = header.len as usize;
        Ok(LongFrame {
            reservation: reserve_ahead(&self.node.store, MemoryKind::Buffers, length)?,
            permit,
            holder,
            time_left,
            waiting: None,
            moved: Moved::new(now),
        })
    }
}
