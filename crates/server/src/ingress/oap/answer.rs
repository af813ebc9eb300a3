//! Replies as the fields and the body of an answer.

use super::question::Asked;
use crate::call::{CallError, DEFAULT_MEDIA_TYPE, Reply};
use crate::ingress::pieces::Pieces;
use bytes::Bytes;
use micronode_engine::{IntegrityError, Now, Object};
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::OAP_CHUNK_BYTES;
use micronode_protocol::operation::{GetReply, HeadReply, PutReply, TokenReply};
use std::sync::Arc;

/// A body on its way out, a chunk at a time.
pub(super) enum AnswerBody {
    /// Bytes at hand.
    Bytes(Bytes),
    /// A manifest: its head, and its chaining values in the object's own memory.
    Manifest(Bytes, Bytes),
    /// Bytes of an object; every piece is verified as it is asked for.
    Object(Pieces),
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
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Manifest(head, values) => head.is_empty() && values.is_empty(),
            Self::Object(pieces) => pieces.remaining() == 0,
        }
    }

    /// Bytes that are held for this answer alone.
    pub(super) fn owed(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Manifest(..) | Self::Object(_) => 0,
        }
    }
}

fn chunk(bytes: &mut Bytes) -> Bytes {
    bytes.split_to(bytes.len().min(OAP_CHUNK_BYTES))
}

/// The status and the body of an answer, whose fields are written into `fields`.
pub(super) fn render(
    asked: &Asked,
    reply: Reply,
    now: Now,
    fields: &mut Vec<u8>,
) -> Result<(u16, AnswerBody), CallError> {
    fields.clear();
    Ok(match (reply, asked) {
        (Reply::Object(object), Asked::Get(request)) => {
            let (is_part, range) = request.resolve(object.size()).ok_or_else(|| {
                CallError::new(
                    ErrorCode::RangeUnsatisfiable,
                    format!("the object has {} bytes", object.size()),
                )
            })?;
            let reply = GetReply {
                size: object.size(),
                offset: range.start,
                expires_ms: expires_ms(&object, now),
                media_type: media_type(&object),
            };
            reply.encode(fields);
            let pieces = Pieces::new(object.read(range))?;
            (if is_part { 206 } else { 200 }, AnswerBody::Object(pieces))
        }
        (Reply::Object(object), Asked::Manifest) => {
            let [head, values] = object.encoded_manifest();
            (200, AnswerBody::Manifest(head, values))
        }
        (Reply::Object(object), _) => {
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
        _ => (200, AnswerBody::EMPTY),
    })
}

fn expires_ms(object: &Object, now: Now) -> u64 {
    object.expires_at_wall_ms(now).unwrap_or(0)
}

fn media_type(object: &Arc<Object>) -> &str {
    object.media_type().unwrap_or(DEFAULT_MEDIA_TYPE)
}
