//! Messages on their way out, one behind the other.

use super::answer::chunk;
use bytes::Bytes;
use micronode_engine::mailbox::Delivery;
use micronode_protocol::limits::OAP_CHUNK_BYTES;
use micronode_protocol::operation;
use std::vec;

const HEAD_BYTES: usize = operation::Delivery::HEAD_BYTES_MAX;

/// Writes what is in front of the body of a message.
pub(super) fn encode_head(message: &Delivery, buffer: &mut Vec<u8>) {
    let (id, receipt) = (message.id.text(), message.receipt.text());
    let head = operation::Delivery {
        id: &id,
        receipt: &receipt,
        attempt: message.attempt,
        enqueued_ms: message.enqueued_wall_ms,
        body: &message.body,
    };
    head.encode(buffer);
}

/// Messages as the body of an answer. Those that fit a chunk together are copied together; the body
/// of a longer one stays where it is.
pub(super) struct Deliveries {
    /// What is left of a long body, whose head has gone.
    body: Bytes,
    rest: vec::IntoIter<Delivery>,
    /// Bytes of all bodies that are left.
    owed: usize,
}

impl Deliveries {
    pub(super) fn new(messages: Vec<Delivery>) -> Self {
        Self {
            body: Bytes::new(),
            owed: messages.iter().map(|message| message.body.len()).sum(),
            rest: messages.into_iter(),
        }
    }

    /// The next bytes, at most a chunk of them; empty when none are left.
    pub(super) fn next(&mut self) -> Bytes {
        if !self.body.is_empty() {
            let more = chunk(&mut self.body);
            self.owed -= more.len();
            return more;
        }
        let all = self.owed + HEAD_BYTES * self.rest.len();
        let mut together = Vec::with_capacity(all.min(OAP_CHUNK_BYTES));
        while let Some(message) = self.rest.as_slice().first() {
            let length = HEAD_BYTES + message.body.len();
            let fits = together.len() + length <= OAP_CHUNK_BYTES;
            if !fits && !together.is_empty() {
                break;
            }
            encode_head(message, &mut together);
            let message = self.rest.next().expect("it has been looked at");
            if !fits {
                self.body = message.body;
                break;
            }
            together.extend_from_slice(&message.body);
            self.owed -= message.body.len();
        }
        together.into()
    }

    pub(super) fn is_over(&self) -> bool {
        self.body.is_empty() && self.rest.len() == 0
    }

    /// Bytes of messages that are held for this answer, whatever becomes of them in their queue.
    pub(super) fn owed(&self) -> usize {
        self.owed
    }
}
