//! A batch of changes becomes one transaction of the index.
//!
//! Every change says what is to be there, or no more, so making it twice is making it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use micronode_engine::journal::{KeptKey, MessageState};
use micronode_engine::{Change, IntegrityError, Object};
use micronode_protocol::Address;
use redb::{ReadableTable, Table, WriteTransaction};

use super::index::{
    BYTES, Index, KEYS, MESSAGES, META, MessageKey, NAMES, NEXT_FILE, NEXT_QUEUE, OBJECTS, QUEUES,
    REVISION, STATES,
};
use super::rows::{self, ObjectRow};
use crate::backend::{BackendError, Committed};

type Bytes = &'static [u8];
type Done = Result<(), BackendError>;

/// Keeps the batch; also by how many bytes there is less in the index than before, where that is much
/// (bodies and small objects). Files that the index names no more are added to `obsolete`.
pub(super) fn commit(
    index: &Index,
    batch: &[Change],
    obsolete: &mut BTreeSet<u64>,
) -> Result<(Committed, i64), BackendError> {
    let transaction = index.write()?;
    let done = {
        let mut writing = Writing::begin(&transaction, obsolete)?;
        for change in batch {
            writing.apply(change)?;
        }
        writing.finish()?
    };
    transaction.commit()?;
    Ok(done)
}

/// The tables while a batch is written.
struct Writing<'t> {
    meta: Table<'t, &'static str, Bytes>,
    objects: Table<'t, &'static [u8; 32], Bytes>,
    bytes: Table<'t, &'static [u8; 32], Bytes>,
    names: Table<'t, &'static str, Bytes>,
    queues: Table<'t, u64, Bytes>,
    messages: Table<'t, MessageKey, Bytes>,
    states: Table<'t, MessageKey, Bytes>,
    keys: Table<'t, (u64, &'static [u8; 32]), Bytes>,
    obsolete: &'t mut BTreeSet<u64>,
    /// Queues that were sent to, with the last number: one row for all that a batch sends.
    sent: BTreeMap<u64, (Arc<str>, u64)>,
    next_queue: u64,
    revision: u64,
    next_file: u64,
    freed: i64,
    committed: Committed,
}

impl<'t> Writing<'t> {
    fn begin(
        transaction: &'t WriteTransaction,
        obsolete: &'t mut BTreeSet<u64>,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            objects: transaction.open_table(OBJECTS)?,
            bytes: transaction.open_table(BYTES)?,
            names: transaction.open_table(NAMES)?,
            queues: transaction.open_table(QUEUES)?,
            messages: transaction.open_table(MESSAGES)?,
            states: transaction.open_table(STATES)?,
            keys: transaction.open_table(KEYS)?,
            obsolete,
            sent: BTreeMap::new(),
            next_queue: 0,
            revision: 0,
            next_file: 0,
            freed: 0,
            committed: Committed::default(),
        })
    }

    fn apply(&mut self, change: &Change) -> Done {
        match change {
            Change::ObjectStored {
                object,
                place,
                expires_at_wall_ms,
            } => self.store(object, *place, *expires_at_wall_ms),
            Change::ObjectExtended {
                address,
                expires_at_wall_ms,
            } => self.extend(address, *expires_at_wall_ms),
            Change::ObjectRemoved { address } => self.remove_object(address),
            Change::NameSet {
                name,
                address,
                revision,
            } => self.set_name(name, address, *revision),
            Change::NameRemoved { name, revision } => {
                self.revision = self.revision.max(*revision);
                self.names.remove(&**name)?;
                Ok(())
            }
            Change::MessageSent {
                queue,
                name,
                sequence,
                body,
                sent_wall_ms,
                visible_at_wall_ms,
                key,
            } => {
                self.sent.insert(*queue, (Arc::clone(name), *sequence));
                self.send((*queue, *sequence), body, *sent_wall_ms)?;
                self.set_state(
                    (*queue, *sequence),
                    &MessageState {
                        visible_at_wall_ms: *visible_at_wall_ms,
                        ..MessageState::default()
                    },
                )?;
                key.map_or(Ok(()), |key| self.keep_key(*queue, &key))
            }
            Change::MessageChanged {
                queue,
                sequence,
                state,
            } => self.change((*queue, *sequence), state),
            Change::MessageRemoved { queue, sequence } => {
                if let Some(row) = self.messages.remove((*queue, *sequence))? {
                    self.freed += row.value().len() as i64;
                }
                self.states.remove((*queue, *sequence))?;
                Ok(())
            }
            Change::KeyForgotten { queue, key } => {
                self.keys.remove((*queue, key))?;
                Ok(())
            }
            Change::QueueForgotten { queue } => self.forget_queue(*queue),
        }
    }

    fn store(
        &mut self,
        object: &Arc<Object>,
        place: Option<u64>,
        expires_at_wall_ms: Option<u64>,
    ) -> Done {
        let address = object.address().as_bytes();
        // What was there goes in any case: it is replaced because it was damaged, or expired.
        self.remove_object(object.address())?;
        match place {
            Some(file) => {
                self.next_file = self.next_file.max(file + 1);
                // Committed before, by a batch of which nobody heard that it was.
                self.obsolete.remove(&file);
            }
            None => match bytes(object) {
                Ok(bytes) => {
                    self.freed -= bytes.len() as i64;
                    self.bytes.insert(address, &bytes[..])?;
                }
                Err(IntegrityError) => {
                    self.committed.damaged += 1;
                    return Ok(());
                }
            },
        }
        let row = ObjectRow {
            file: place,
            size: object.size(),
            stored_at_wall_ms: object.stored_at_wall_ms(),
            expires_at_wall_ms,
            media_type: object.media_type().unwrap_or_default(),
        };
        self.objects.insert(address, &row.encode()[..])?;
        Ok(())
    }

    fn extend(&mut self, address: &Address, expires_at_wall_ms: Option<u64>) -> Done {
        let Some(row) = self.objects.get(address.as_bytes())? else {
            return Ok(());
        };
        let extended = ObjectRow {
            expires_at_wall_ms,
            ..ObjectRow::decode(row.value())?
        };
        let extended = extended.encode();
        drop(row);
        self.objects.insert(address.as_bytes(), &extended[..])?;
        Ok(())
    }

    fn remove_object(&mut self, address: &Address) -> Done {
        let Some(row) = self.objects.remove(address.as_bytes())? else {
            return Ok(());
        };
        match ObjectRow::decode(row.value())?.file {
            Some(file) => drop(self.obsolete.insert(file)),
            None => {
                if let Some(row) = self.bytes.remove(address.as_bytes())? {
                    self.freed += row.value().len() as i64;
                }
            }
        }
        Ok(())
    }

    fn set_name(&mut self, name: &str, address: &Address, revision: u64) -> Done {
        self.revision = self.revision.max(revision);
        let row = rows::encode_name(address, revision);
        self.names.insert(name, &row[..])?;
        Ok(())
    }

    fn send(&mut self, message: MessageKey, body: &[u8], sent_wall_ms: u64) -> Done {
        let len = rows::message_len(body);
        self.freed -= len as i64;
        let mut row = self.messages.insert_reserve(message, len)?;
        rows::encode_message(sent_wall_ms, body, row.as_mut());
        Ok(())
    }

    /// A message that is there no more has been removed since, in a batch that was committed
    /// before.
    fn change(&mut self, message: MessageKey, state: &MessageState) -> Done {
        if self.messages.get(message)?.is_some() {
            self.set_state(message, state)?;
        }
        Ok(())
    }

    fn set_state(&mut self, message: MessageKey, state: &MessageState) -> Done {
        if *state == MessageState::default() {
            self.states.remove(message)?;
        } else {
            let row = rows::encode_state(state);
            self.states.insert(message, &row[..])?;
        }
        Ok(())
    }

    fn keep_key(&mut self, queue: u64, key: &KeptKey) -> Done {
        let row = rows::encode_key(key);
        self.keys.insert((queue, &key.key), &row[..])?;
        Ok(())
    }

    /// All that it has, though there should be nothing.
    fn forget_queue(&mut self, queue: u64) -> Done {
        self.next_queue = self.next_queue.max(queue + 1);
        self.sent.remove(&queue);
        self.queues.remove(queue)?;
        let messages = (queue, 0)..=(queue, u64::MAX);
        self.messages.retain_in(messages.clone(), |_, _| false)?;
        self.states.retain_in(messages, |_, _| false)?;
        let keys = (queue, &[0; 32])..=(queue, &[u8::MAX; 32]);
        self.keys.retain_in(keys, |_, _| false)?;
        Ok(())
    }

    /// What is written once for the whole batch.
    fn finish(mut self) -> Result<(Committed, i64), BackendError> {
        for (queue, (name, last_sequence)) in std::mem::take(&mut self.sent) {
            self.next_queue = self.next_queue.max(queue + 1);
            let row = rows::encode_queue(last_sequence, &name);
            self.queues.insert(queue, &row[..])?;
        }
        for (counter, least) in [
            (NEXT_QUEUE, self.next_queue),
            (REVISION, self.revision),
            (NEXT_FILE, self.next_file),
        ] {
            self.raise(counter, least)?;
        }
        Ok((self.committed, self.freed))
    }

    /// Counters never go back.
    fn raise(&mut self, counter: &str, least: u64) -> Done {
        let row = self.meta.get(counter)?.ok_or_else(rows::damaged)?;
        let value = rows::decode_counter(row.value())?;
        drop(row);
        if value < least {
            let row = rows::encode_counter(least);
            self.meta.insert(counter, &row[..])?;
        }
        Ok(())
    }
}

/// An object's bytes, verified. One piece for those that belong in the index.
fn bytes(object: &Arc<Object>) -> Result<bytes::Bytes, IntegrityError> {
    let mut reader = object.read(0..object.size());
    let first = reader.next_piece()?.unwrap_or_default();
    if reader.remaining() == 0 {
        return Ok(first);
    }
    let mut all = first.to_vec();
    while let Some(piece) = reader.next_piece()? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}
