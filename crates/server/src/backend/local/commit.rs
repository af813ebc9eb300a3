//! A batch of changes becomes one transaction of the index.
//!
//! Every change says what is to be there, or no more, so making it twice is making it once.

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use micronode_engine::Change;
use micronode_engine::journal::{KeptKey, MessageState};
use micronode_protocol::Address;
use redb::{ReadableTable, Table, WriteTransaction};

use super::index::{
    Index, KEYS, MESSAGES, META, MessageKey, NAMES, NEXT_FILE, NEXT_QUEUE, QUEUES, REVISION, STATES,
};
use super::packing::Packing;
use super::rows;
use super::small::SmallObjects;
use crate::backend::{BackendError, Committed};
use objects::Objects;

type Bytes = &'static [u8];
type Kept = Result<(), BackendError>;

/// What has become of a batch.
pub(super) struct Done {
    pub(super) committed: Committed,
    /// By how many bytes there is less in the index than before, where that is much (bodies and
    /// small objects).
    pub(super) freed: i64,
}

/// Keeps the batch, and first what moves with it. Files that the index names no more are added to
/// `obsolete`.
pub(super) fn commit(
    index: &Index,
    small: &mut SmallObjects,
    packing: Packing,
    batch: &[Change],
    obsolete: &mut BTreeSet<u64>,
) -> Result<Done, BackendError> {
    let transaction = index.write()?;
    let (packs, moved) = packing.apply(&transaction, small)?;
    let mut done = {
        let objects = Objects::begin(&transaction, small, packing, obsolete)?;
        let mut writing = Writing::begin(&transaction, objects)?;
        for change in batch {
            writing.apply(change)?;
        }
        writing.finish()?
    };
    transaction.commit()?;
    small.is_settled();
    // Not before: the next batch need not replace the same packs.
    obsolete.extend(packs);
    done.freed += moved;
    Ok(done)
}

/// The tables while a batch is written.
struct Writing<'t> {
    meta: Table<'t, &'static str, Bytes>,
    objects: Objects<'t>,
    names: Table<'t, &'static str, Bytes>,
    queues: Table<'t, u64, Bytes>,
    messages: Table<'t, MessageKey, Bytes>,
    states: Table<'t, MessageKey, Bytes>,
    keys: Table<'t, (u64, &'static [u8; 32]), Bytes>,
    /// Queues that were sent to, with the last number: one row for all that a batch sends.
    sent: BTreeMap<u64, (Arc<str>, u64)>,
    next_queue: u64,
    revision: u64,
    freed: i64,
}

impl<'t> Writing<'t> {
    fn begin(
        transaction: &'t WriteTransaction,
        objects: Objects<'t>,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            objects,
            names: transaction.open_table(NAMES)?,
            queues: transaction.open_table(QUEUES)?,
            messages: transaction.open_table(MESSAGES)?,
            states: transaction.open_table(STATES)?,
            keys: transaction.open_table(KEYS)?,
            sent: BTreeMap::new(),
            next_queue: 0,
            revision: 0,
            freed: 0,
        })
    }

    fn apply(&mut self, change: &Change) -> Kept {
        match change {
            Change::ObjectStored {
                object,
                place,
                expires_at_wall_ms,
            } => self.objects.store(object, *place, *expires_at_wall_ms),
            Change::ObjectExtended {
                address,
                expires_at_wall_ms,
            } => self.objects.extend(address, *expires_at_wall_ms),
            Change::ObjectRemoved { address } => self.objects.remove(address),
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

    fn set_name(&mut self, name: &str, address: &Address, revision: u64) -> Kept {
        self.revision = self.revision.max(revision);
        let row = rows::encode_name(address, revision);
        self.names.insert(name, &row[..])?;
        Ok(())
    }

    fn send(&mut self, message: MessageKey, body: &[u8], sent_wall_ms: u64) -> Kept {
        let len = rows::message_len(body);
        self.freed -= len as i64;
        let mut row = self.messages.insert_reserve(message, len)?;
        rows::encode_message(sent_wall_ms, body, row.as_mut());
        Ok(())
    }

    /// A message that is there no more has been removed since, in a batch that was committed
    /// before.
    fn change(&mut self, message: MessageKey, state: &MessageState) -> Kept {
        if self.messages.get(message)?.is_some() {
            self.set_state(message, state)?;
        }
        Ok(())
    }

    fn set_state(&mut self, message: MessageKey, state: &MessageState) -> Kept {
        if *state == MessageState::default() {
            self.states.remove(message)?;
        } else {
            let row = rows::encode_state(state);
            self.states.insert(message, &row[..])?;
        }
        Ok(())
    }

    fn keep_key(&mut self, queue: u64, key: &KeptKey) -> Kept {
        let row = rows::encode_key(key);
        self.keys.insert((queue, &key.key), &row[..])?;
        Ok(())
    }

    /// All that it has, though there should be nothing.
    fn forget_queue(&mut self, queue: u64) -> Kept {
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
    fn finish(mut self) -> Result<Done, BackendError> {
        for (queue, (name, last_sequence)) in std::mem::take(&mut self.sent) {
            self.next_queue = self.next_queue.max(queue + 1);
            let row = rows::encode_queue(last_sequence, &name);
            self.queues.insert(queue, &row[..])?;
        }
        for (counter, least) in [
            (NEXT_QUEUE, self.next_queue),
            (REVISION, self.revision),
            (NEXT_FILE, self.objects.next_file),
        ] {
            self.raise(counter, least)?;
        }
        Ok(Done {
            committed: self.objects.committed,
            freed: self.freed + self.objects.freed,
        })
    }

    /// Counters never go back.
    fn raise(&mut self, counter: &str, least: u64) -> Kept {
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
