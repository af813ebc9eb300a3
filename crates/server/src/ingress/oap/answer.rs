//! Replies as the fields and the body of an answer.

use super::deliveries::{Deliveries, encode_head};
use super::memory::Held;
use super::question::Asked;
use crate::call::{CallError, DEFAULT_MEDIA_TYPE, Reply};
use crate::feed::Change;
use crate::ingress::http::replies::StatsReply;
use crate::ingress::pieces::Pieces;
use bytes::Bytes;
use micronode_engine::mailbox::Redriven;
use micronode_engine::{IntegrityError, Now, Object};
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::{OAP_CHUNK_BYTES, OAP_INLINE_BYTES};
use micronode_protocol::operation::{
    GetReply, HeadReply, NameEntry, NameReply, NameSetReply, PurgeReply, PutReply, RedriveReply,
    SendReply, TokenReply, resolve,
};
use std::sync::Arc;

/// A body on its way out, a chunk at a time.
pub(super) enum AnswerBody {
    /// Bytes at hand.
    Bytes(Bytes),
    /// A manifest: its head, and its chaining values in the object's own memory.
    Manifest(Bytes, Bytes),
    /// Bytes of an object; every piece is verified as it is asked for.
    Object(Pieces),
    /// Messages, one behind the other.
    Messages(Deliveries),
}

impl AnswerBody {
    const EMPTY: Self = Self::Bytes(Bytes::new());

    /// The next bytes, at most a chunk of them; empty when none are left.
    pub(super) fn next(&mut self) -> Result<Bytes, IntegrityError> {
        match self {
            Self::Bytes(bytes) => Ok(chunk(bytes)),
            Self::Manifest(head, values) if head.is_empty() => Ok(chunk(values)),
            Self::Manifest(head, _) => Ok(std::mem::take(head)),
            Self::Object(pieces) => pieces.next().transpose().map(Option::unwrap_or_default),
            Self::Messages(messages) => Ok(messages.next()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Manifest(head, values) => head.is_empty() && values.is_empty(),
            Self::Object(pieces) => pieces.remaining() == 0,
            Self::Messages(messages) => messages.is_over(),
        }
    }

    /// Bytes that are held for this answer alone.
    pub(super) fn owed(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Messages(messages) => messages.owed(),
            Self::Manifest(..) | Self::Object(_) => 0,
        }
    }

    /// The same, counted by `held` for as long as any slice of it is not written.
    pub(super) fn counted(self, held: &Held) -> Self {
        match self {
            // A shorter one is copied on its way out.
            Self::Bytes(bytes) if bytes.len() > OAP_INLINE_BYTES => Self::Bytes(held.count(bytes)),
            body => body,
        }
    }
}

/// The next of what is left.
pub(super) fn chunk(bytes: &mut Bytes) -> Bytes {
    bytes.split_to(bytes.len().min(OAP_CHUNK_BYTES))
}

/// The status and the body of an answer, whose fields are written into `fields`.
pub(super) fn render(
    asked: Asked,
    reply: Reply,
    now: Now,
    fields: &mut Vec<u8>,
) -> Result<(u16, AnswerBody), CallError> {
    fields.clear();
    Ok(match (reply, asked) {
        (Reply::Object(object), Asked::Get { offset, length }) => {
            part(&object, offset, length, now, fields)?
        }
        (Reply::Named(object, revision), Asked::Get { offset, length }) => {
            let address = *object.address();
            NameReply { address, revision }.encode(fields);
            part(&object, offset, length, now, fields)?
        }
        (Reply::Object(object), Asked::Manifest) => {
            let [head, values] = object.encoded_manifest();
            (200, AnswerBody::Manifest(head, values))
        }
        (Reply::Object(object) | Reply::Named(object, _), _) => {
            let reply = HeadReply {
                size: object.size(),
                expires_ms: expires_ms(&object, now),
                media_type: media_type(&object),
            };
            reply.encode(fields);
            (200, AnswerBody::EMPTY)
        }
        (Reply::Stored(stored), _) => {
            let reply = PutReply {
                address: stored.address,
                size: stored.size,
                existed: stored.existed,
            };
            reply.encode(fields);
            (if stored.existed { 200 } else { 201 }, AnswerBody::EMPTY)
        }
        (Reply::Has(answers), _) => {
            let answers: Vec<u8> = answers.into_iter().map(u8::from).collect();
            (200, AnswerBody::Bytes(answers.into()))
        }
        (Reply::Echo(bytes), _) => (200, AnswerBody::Bytes(bytes)),
        (Reply::Token(token), _) => {
            let reply = TokenReply {
                token: &token.text,
                expires_ms: token.expires_ms,
            };
            reply.encode(fields);
            (200, AnswerBody::EMPTY)
        }
        (Reply::Deleted, _) => (204, AnswerBody::EMPTY),
        (Reply::Pong, _) => (200, AnswerBody::EMPTY),

        (Reply::Pointer(address, revision), _) => {
            NameReply { address, revision }.encode(fields);
            (200, AnswerBody::EMPTY)
        }
        (
            Reply::NameSet {
                revision, created, ..
            },
            _,
        ) => {
            NameSetReply { revision }.encode(fields);
            (if created { 201 } else { 200 }, AnswerBody::EMPTY)
        }
        (Reply::Names(entries, _), _) => {
            let mut bytes = Vec::new();
            for entry in entries {
                encode_change(&entry.into(), &mut bytes);
            }
            (200, AnswerBody::Bytes(bytes.into()))
        }

        (Reply::Sent(sent), _) => {
            let id = sent.id.text();
            let reply = SendReply {
                id: &id,
                duplicate: sent.duplicate,
            };
            reply.encode(fields);
            (if sent.duplicate { 200 } else { 201 }, AnswerBody::EMPTY)
        }
        (Reply::Messages(mut messages), _) => {
            if messages.len() > 1 {
                return Ok((200, AnswerBody::Messages(Deliveries::new(messages))));
            }
            let body = messages.pop().map(|message| {
                encode_head(&message, fields);
                message.body
            });
            (200, AnswerBody::Bytes(body.unwrap_or_default()))
        }
        (Reply::Settled(settled), _) => {
            fields.extend(settled.verdicts.iter().map(|verdict| *verdict as u8));
            (200, AnswerBody::EMPTY)
        }
        (Reply::QueueStats(counts), _) => {
            let document = serde_json::to_vec(&StatsReply::from(counts));
            let document = document.expect("our own replies always serialise");
            (200, AnswerBody::Bytes(document.into()))
        }
        (Reply::Purged(removed), _) => {
            PurgeReply { removed }.encode(fields);
            (200, AnswerBody::EMPTY)
        }
        (Reply::Redriven(Redriven { moved, left }), _) => {
            RedriveReply { moved, left }.encode(fields);
            (200, AnswerBody::EMPTY)
        }

        (Reply::Waits(_) | Reply::Feed(_), _) => unreachable!("these are parked"),
    })
}

/// All of an object or a part of it.
fn part(
    object: &Arc<Object>,
    offset: u64,
    length: u64,
    now: Now,
    fields: &mut Vec<u8>,
) -> Result<(u16, AnswerBody), CallError> {
    let (is_part, range) = resolve(offset, length, object.size()).ok_or_else(|| {
        CallError::new(
            ErrorCode::RangeUnsatisfiable,
            format!("the object has {} bytes", object.size()),
        )
    })?;
    let reply = GetReply {
        size: object.size(),
        offset: range.start,
        expires_ms: expires_ms(object, now),
        media_type: media_type(object),
    };
    reply.encode(fields);
    let pieces = Pieces::new(object.read(range))?;
    Ok((if is_part { 206 } else { 200 }, AnswerBody::Object(pieces)))
}

/// Where a name points.
pub(super) fn encode_change(change: &Change, buffer: &mut Vec<u8>) {
    let entry = NameEntry {
        name: &change.name,
        address: change.address,
        revision: change.revision,
    };
    entry.encode(buffer);
}

fn expires_ms(object: &Object, now: Now) -> u64 {
    object.expires_at_wall_ms(now).unwrap_or(0)
}

fn media_type(object: &Arc<Object>) -> &str {
    object.media_type().unwrap_or(DEFAULT_MEDIA_TYPE)
}
