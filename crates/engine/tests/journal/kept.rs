//! The list of changes, and what plain maps make of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use micronode_engine::Object;
use micronode_engine::journal::{Change, Journal, KeptKey, MessageState};
use micronode_protocol::Address;
use parking_lot::Mutex;

/// A change as it is kept. Nothing in it is the engine's memory, which would stay charged.
#[derive(Clone)]
pub(crate) enum Record {
    Stored(Address, KeptObject),
    Other(Change),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptObject {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: Option<String>,
    pub(crate) stored_at_wall_ms: u64,
    pub(crate) expires_at_wall_ms: Option<u64>,
    pub(crate) place: Option<u64>,
}

#[derive(Clone)]
pub(crate) struct KeptMessage {
    pub(crate) body: Bytes,
    pub(crate) sent_wall_ms: u64,
    pub(crate) state: MessageState,
}

#[derive(Clone)]
pub(crate) struct KeptQueue {
    pub(crate) name: String,
    pub(crate) last_sequence: u64,
    pub(crate) messages: BTreeMap<u64, KeptMessage>,
    pub(crate) keys: BTreeMap<[u8; 32], KeptKey>,
}

/// All that is kept.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) objects: BTreeMap<Address, KeptObject>,
    pub(crate) names: BTreeMap<String, (Address, u64)>,
    pub(crate) revision: u64,
    pub(crate) queues: BTreeMap<u64, KeptQueue>,
    pub(crate) next_queue: u64,
}

/// The journal of one start.
#[derive(Default)]
pub(crate) struct Recording {
    records: Mutex<Vec<Record>>,
    /// It lets others go first: whoever records a change after releasing its lock is overtaken.
    pub(crate) hesitates: AtomicBool,
}

pub(crate) fn bytes_of(object: &Arc<Object>) -> Vec<u8> {
    let mut reader = object.read(0..object.size());
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// What a store says about an object.
pub(crate) fn describe(
    object: &Arc<Object>,
    place: Option<u64>,
    expires_at_wall_ms: Option<u64>,
) -> KeptObject {
    KeptObject {
        bytes: bytes_of(object),
        media_type: object.media_type().map(String::from),
        stored_at_wall_ms: object.stored_at_wall_ms(),
        expires_at_wall_ms,
        place,
    }
}

impl Journal for Recording {
    fn record(&self, change: Change) {
        let record = match change {
            Change::ObjectStored {
                object,
                place,
                expires_at_wall_ms,
            } => Record::Stored(
                *object.address(),
                describe(&object, place, expires_at_wall_ms),
            ),
            Change::MessageSent {
                queue,
                name,
                sequence,
                body,
                sent_wall_ms,
                visible_at_wall_ms,
                key,
            } => Record::Other(Change::MessageSent {
                queue,
                name,
                sequence,
                body: Bytes::copy_from_slice(&body),
                sent_wall_ms,
                visible_at_wall_ms,
                key,
            }),
            other => Record::Other(other),
        };
        if self.hesitates.load(Relaxed) {
            (0..3).for_each(|_| std::thread::yield_now());
        }
        self.records.lock().push(record);
    }
}

impl Recording {
    pub(crate) fn len(&self) -> usize {
        self.records.lock().len()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().clone()
    }
}

impl Kept {
    /// What is kept after the first `count` records of a start that began with this.
    pub(crate) fn after(&self, records: &[Record]) -> Self {
        let mut kept = self.clone();
        for record in records {
            kept.apply(record);
        }
        kept
    }

    /// Makes a change, which must be one that can be made now.
    fn apply(&mut self, record: &Record) {
        match record {
            Record::Stored(address, object) => {
                assert_eq!(Address::of(&object.bytes), *address);
                self.objects.insert(*address, object.clone());
            }
            Record::Other(change) => self.change(change),
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::ObjectStored { .. } => unreachable!("kept as a copy"),
            Change::ObjectExtended {
                address,
                expires_at_wall_ms,
            } => {
                let object = self.objects.get_mut(address).expect("it was stored");
                // `None` is later than any time, and nothing is later than that.
                let until = |at: Option<u64>| at.unwrap_or(u64::MAX);
                assert!(until(*expires_at_wall_ms) > until(object.expires_at_wall_ms));
                object.expires_at_wall_ms = *expires_at_wall_ms;
            }
            Change::ObjectRemoved { address } => {
                let removed = self.objects.remove(address);
                assert!(removed.is_some(), "removed while it was there");
                let named = self.names.values().any(|(named, _)| named == address);
                assert!(!named, "a name keeps its object");
            }
            Change::NameSet {
                name,
                address,
                revision,
            } => {
                assert!(self.objects.contains_key(address), "stored before named");
                assert!(*revision > self.revision);
                self.revision = *revision;
                self.names.insert(name.to_string(), (*address, *revision));
            }
            Change::NameRemoved { name, revision } => {
                assert!(*revision > self.revision);
                self.revision = *revision;
                self.names.remove(&**name).expect("it was set");
            }
            sent @ Change::MessageSent { .. } => self.sent(sent),
            Change::MessageChanged {
                queue,
                sequence,
                state,
            } => {
                let messages = &mut self.queue(*queue).messages;
                messages.get_mut(sequence).expect("it was sent").state = state.clone();
            }
            Change::MessageRemoved { queue, sequence } => {
                let removed = self.queue(*queue).messages.remove(sequence);
                assert!(removed.is_some(), "removed while it was there");
            }
            Change::KeyForgotten { queue, key } => {
                self.queue(*queue).keys.remove(key).expect("it was kept");
            }
            Change::QueueForgotten { queue } => {
                let queue = self.queues.remove(queue).expect("it was sent to");
                assert!(queue.messages.is_empty() && queue.keys.is_empty());
            }
        }
    }

    fn sent(&mut self, sent: &Change) {
        let Change::MessageSent {
            queue: number,
            name,
            sequence,
            body,
            sent_wall_ms,
            visible_at_wall_ms,
            key,
        } = sent
        else {
            unreachable!("a message that was sent");
        };
        if !self.queues.contains_key(number) {
            assert!(*number >= self.next_queue, "a number is not used again");
            let same = self.queues.values().any(|queue| *queue.name == **name);
            assert!(!same, "the queue of that name was forgotten before");
            self.next_queue = number + 1;
        }
        let queue = self.queues.entry(*number).or_insert_with(|| KeptQueue {
            name: name.to_string(),
            last_sequence: 0,
            messages: BTreeMap::new(),
            keys: BTreeMap::new(),
        });
        assert_eq!(
            (&*queue.name, queue.last_sequence + 1),
            (&**name, *sequence)
        );
        queue.last_sequence = *sequence;
        let message = KeptMessage {
            body: body.clone(),
            sent_wall_ms: *sent_wall_ms,
            state: MessageState {
                visible_at_wall_ms: *visible_at_wall_ms,
                ..MessageState::default()
            },
        };
        queue.messages.insert(*sequence, message);
        if let Some(key) = key {
            assert_eq!(key.sequence, *sequence);
            queue.keys.insert(key.key, *key);
        }
    }

    fn queue(&mut self, number: u64) -> &mut KeptQueue {
        self.queues.get_mut(&number).expect("it was sent to")
    }
}
