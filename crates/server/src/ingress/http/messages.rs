//! Messages as JSON, one at a time: bodies stay where they are until it is their turn.

use crate::call::queue::Messages;
use crate::clock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use micronode_engine::mailbox::{Attempt, AttemptEnd, Delivery};
use serde::Serialize;
use std::vec;

const BEGIN: &[u8] = b"{\"messages\":[";
const END: &[u8] = b"]}";

/// `{"messages":[…]}` on its way.
pub(crate) struct MessageList {
    /// Each with what comes before its body.
    messages: vec::IntoIter<(Vec<u8>, Bytes)>,
    is_begun: bool,
    remaining: u64,
}

#[derive(Serialize)]
struct Head {
    id: String,
    receipt: String,
    attempt: u32,
    enqueued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Past>>,
}

/// A delivery that came to nothing.
#[derive(Serialize)]
struct Past {
    leased_at: String,
    ended_at: String,
    end: &'static str,
}

impl From<&Attempt> for Past {
    fn from(attempt: &Attempt) -> Self {
        Self {
            leased_at: clock::rfc3339(attempt.leased_wall_ms),
            ended_at: clock::rfc3339(attempt.ended_wall_ms),
            end: match attempt.end {
                AttemptEnd::Expired => "expired",
                AttemptEnd::Nacked => "nacked",
            },
        }
    }
}

/// A message up to its body, with the quote that begins that; and the body.
fn parts(message: Delivery) -> (Vec<u8>, Bytes) {
    let history = message.history.as_ref();
    let head = Head {
        id: message.id.to_string(),
        receipt: message.receipt.to_string(),
        attempt: message.attempt,
        enqueued_at: clock::rfc3339(message.enqueued_wall_ms),
        history: history.map(|attempts| attempts.iter().map(Past::from).collect()),
    };
    let mut text = serde_json::to_vec(&head).expect("our own messages always serialise");
    text.pop();
    text.extend_from_slice(b",\"body\":\"");
    (text, message.body)
}

const BEHIND_BODY: &[u8] = b"\"}";

fn length((head, body): &(Vec<u8>, Bytes)) -> usize {
    head.len() + body.len().div_ceil(3) * 4 + BEHIND_BODY.len()
}

impl MessageList {
    pub(super) fn new(messages: Messages) -> Self {
        let messages: Vec<_> = messages.into_iter().map(parts).collect();
        let commas = messages.len().saturating_sub(1);
        let lengths: usize = messages.iter().map(length).sum();
        Self {
            messages: messages.into_iter(),
            is_begun: false,
            remaining: (BEGIN.len() + lengths + commas + END.len()) as u64,
        }
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(super) fn next(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        let mut text = Vec::new();
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let message = self.messages.next();
        match (&message, is_first) {
            (_, true) => text.extend_from_slice(BEGIN),
            (Some(_), false) => text.push(b','),
            (None, false) => {}
        }
        if let Some(mut message) = message {
            text.reserve_exact(length(&message) + END.len());
            let (head, body) = &mut message;
            text.append(head);
            let begin = text.len();
            text.resize(begin + body.len().div_ceil(3) * 4, 0);
            STANDARD
                .encode_slice(&*body, &mut text[begin..])
                .expect("it has the length of its coding");
            text.extend_from_slice(BEHIND_BODY);
        }
        if self.messages.len() == 0 {
            text.extend_from_slice(END);
        }
        self.remaining -= text.len() as u64;
        Some(text.into())
    }
}
