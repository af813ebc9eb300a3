//! Rows of the index as bytes. Numbers are little-endian and of fixed length; what has no fixed
//! length comes last.

use std::sync::Arc;

use micronode_engine::journal::{KeptKey, MessageState};
use micronode_engine::mailbox::{Attempt, AttemptEnd};
use micronode_protocol::Address;

use crate::backend::BackendError;

/// In the place of a time: there is none.
const NEVER: u64 = u64::MAX;

/// A row that nobody can have written.
pub(super) fn damaged() -> BackendError {
    BackendError::Damaged("a row of the index is not one".to_owned())
}

fn optional(time: u64) -> Option<u64> {
    (time != NEVER).then_some(time)
}

/// Takes a row apart, from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackendError> {
        let (field, rest) = self.0.split_first_chunk().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u64(&mut self) -> Result<u64, BackendError> {
        self.array().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, BackendError> {
        self.array().map(u32::from_le_bytes)
    }

    fn rest_as_text(&self) -> Result<&'a str, BackendError> {
        std::str::from_utf8(self.0).map_err(|_| damaged())
    }

    fn end(&self) -> Result<(), BackendError> {
        self.0.is_empty().then_some(()).ok_or_else(damaged)
    }
}

/// A counter.
pub(super) fn encode_counter(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

pub(super) fn decode_counter(row: &[u8]) -> Result<u64, BackendError> {
    let mut fields = Fields(row);
    let value = fields.u64()?;
    fields.end()?;
    Ok(value)
}

/// Where the bytes of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file of their own.
    File(u64),
    /// Among those of [small objects](super::small).
    Slot(u64),
}

impl Place {
    /// Of the file, or slot.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::File(number) | Self::Slot(number) => number,
        }
    }
}

/// An object: place, size, when it was stored, when it expires; media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectRow<'a> {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) stored_at_wall_ms: u64,
    pub(super) expires_at_wall_ms: Option<u64>,
    /// Empty for none.
    pub(super) media_type: &'a str,
}

impl<'a> ObjectRow<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(33 + self.media_type.len());
        row.push(u8::from(matches!(self.place, Place::Slot(_))));
        row.extend(self.place.number().to_le_bytes());
        row.extend(self.size.to_le_bytes());
        row.extend(self.stored_at_wall_ms.to_le_bytes());
        row.extend(self.expires_at_wall_ms.unwrap_or(NEVER).to_le_bytes());
        row.extend(self.media_type.as_bytes());
        row
    }

    pub(super) fn decode(row: &'a [u8]) -> Result<Self, BackendError> {
        let mut fields = Fields(row);
        Ok(Self {
            place: match flag(&mut fields)? {
                false => Place::File(fields.u64()?),
                true => Place::Slot(fields.u64()?),
            },
            size: fields.u64()?,
            stored_at_wall_ms: fields.u64()?,
            expires_at_wall_ms: optional(fields.u64()?),
            media_type: fields.rest_as_text()?,
        })
    }
}

/// The bytes of one small object in a pack. They begin where those of the one before end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) slot: u64,
    pub(super) len: u32,
}

/// A pack: file; entries, of each its slot and length, in the order of slots.
pub(super) fn encode_pack(file: u64, entries: &[Entry]) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + 12 * entries.len());
    row.extend(file.to_le_bytes());
    for entry in entries {
        row.extend(entry.slot.to_le_bytes());
        row.extend(entry.len.to_le_bytes());
    }
    row
}

pub(super) fn decode_pack(row: &[u8]) -> Result<(u64, Vec<Entry>), BackendError> {
    let mut fields = Fields(row);
    let file = fields.u64()?;
    let mut entries = Vec::with_capacity(fields.0.len() / 12);
    while !fields.0.is_empty() {
        entries.push(Entry {
            slot: fields.u64()?,
            len: fields.u32()?,
        });
    }
    let is_ordered = entries.is_sorted_by(|one, next| one.slot < next.slot);
    if entries.is_empty() || !is_ordered {
        return Err(damaged());
    }
    Ok((file, entries))
}

/// A name: address, revision.
pub(super) fn encode_name(address: &Address, revision: u64) -> [u8; 40] {
    let mut row = [0; 40];
    row[..32].copy_from_slice(address.as_bytes());
    row[32..].copy_from_slice(&revision.to_le_bytes());
    row
}

pub(super) fn decode_name(row: &[u8]) -> Result<(Address, u64), BackendError> {
    let mut fields = Fields(row);
    let name = (Address::from_bytes(fields.array()?), fields.u64()?);
    fields.end()?;
    Ok(name)
}

/// A queue: last sequence; name.
pub(super) fn encode_queue(last_sequence: u64, name: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + name.len());
    row.extend(last_sequence.to_le_bytes());
    row.extend(name.as_bytes());
    row
}

pub(super) fn decode_queue(row: &[u8]) -> Result<(u64, &str), BackendError> {
    let mut fields = Fields(row);
    Ok((fields.u64()?, fields.rest_as_text()?))
}

/// How long the row of a message is.
pub(super) fn message_len(body: &[u8]) -> usize {
    8 + body.len()
}

/// A message: when it was sent; body. `row` is as long as [`message_len`] says.
pub(super) fn encode_message(sent_wall_ms: u64, body: &[u8], row: &mut [u8]) {
    row[..8].copy_from_slice(&sent_wall_ms.to_le_bytes());
    row[8..].copy_from_slice(body);
}

pub(super) fn decode_message(row: &[u8]) -> Result<(u64, &[u8]), BackendError> {
    let mut fields = Fields(row);
    Ok((fields.u64()?, fields.0))
}

/// A message's state: whether it is dead, attempts, end of its delay; failed deliveries, of each
/// when it began, when it ended, how.
pub(super) fn encode_state(state: &MessageState) -> Vec<u8> {
    let history = state.history.as_deref().unwrap_or_default();
    let mut row = Vec::with_capacity(13 + 17 * history.len());
    row.push(u8::from(state.is_dead));
    row.extend(state.attempts.to_le_bytes());
    row.extend(state.visible_at_wall_ms.unwrap_or(NEVER).to_le_bytes());
    for attempt in history {
        row.extend(attempt.leased_wall_ms.to_le_bytes());
        row.extend(attempt.ended_wall_ms.to_le_bytes());
        row.push(match attempt.end {
            AttemptEnd::Expired => 0,
            AttemptEnd::Nacked => 1,
        });
    }
    row
}

pub(super) fn decode_state(row: &[u8]) -> Result<MessageState, BackendError> {
    let mut fields = Fields(row);
    let is_dead = flag(&mut fields)?;
    let attempts = fields.u32()?;
    let visible_at_wall_ms = optional(fields.u64()?);
    let mut history = Vec::new();
    while !fields.0.is_empty() {
        history.push(Attempt {
            leased_wall_ms: fields.u64()?,
            ended_wall_ms: fields.u64()?,
            end: match flag(&mut fields)? {
                false => AttemptEnd::Expired,
                true => AttemptEnd::Nacked,
            },
        });
    }
    Ok(MessageState {
        is_dead,
        attempts,
        visible_at_wall_ms,
        history: (!history.is_empty()).then(|| Arc::from(history)),
    })
}

fn flag(fields: &mut Fields<'_>) -> Result<bool, BackendError> {
    match fields.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(damaged()),
    }
}

/// An idempotency key: body's hash, sequence, expiry.
pub(super) fn encode_key(key: &KeptKey) -> [u8; 48] {
    let mut row = [0; 48];
    row[..32].copy_from_slice(&key.body);
    row[32..40].copy_from_slice(&key.sequence.to_le_bytes());
    row[40..].copy_from_slice(&key.expires_at_wall_ms.to_le_bytes());
    row
}

pub(super) fn decode_key(key: &[u8; 32], row: &[u8]) -> Result<KeptKey, BackendError> {
    let mut fields = Fields(row);
    let kept = KeptKey {
        key: *key,
        body: fields.array()?,
        sequence: fields.u64()?,
        expires_at_wall_ms: fields.u64()?,
    };
    fields.end()?;
    Ok(kept)
}
