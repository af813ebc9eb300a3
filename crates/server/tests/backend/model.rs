//! What should be kept, in plain maps: told the changes, or what a backend gives back.

use std::collections::BTreeMap;
use std::io::BufRead;

use micronode_engine::Change;
use micronode_engine::journal::{KeptKey, MessageState};
use micronode_protocol::Address;
use micronode_server::backend::restore::{KeptMessage, KeptObject};
use micronode_server::backend::{Backend, Loaded, Restore, RestoreError};
use parking_lot::Mutex;

/// Before any time that a test speaks of.
pub(crate) const NOW_WALL_MS: u64 = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) objects: BTreeMap<Address, Object>,
    pub(crate) names: BTreeMap<String, (Address, u64)>,
    pub(crate) revision: u64,
    pub(crate) queues: BTreeMap<u64, Queue>,
    pub(crate) next_queue: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) size: u64,
    pub(crate) media_type: Option<String>,
    pub(crate) stored_at_wall_ms: u64,
    pub(crate) expires_at_wall_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) last_sequence: u64,
    pub(crate) messages: BTreeMap<u64, Message>,
    pub(crate) keys: BTreeMap<[u8; 32], KeptKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) body: Vec<u8>,
    pub(crate) sent_wall_ms: u64,
    pub(crate) state: MessageState,
}

impl Model {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::ObjectStored {
                object,
                expires_at_wall_ms,
                ..
            } => {
                let kept = Object {
                    size: object.size(),
                    media_type: object.media_type().map(str::to_owned),
                    stored_at_wall_ms: object.stored_at_wall_ms(),
                    expires_at_wall_ms,
                };
                self.objects.insert(*object.address(), kept);
            }
            Change::ObjectExtended {
                address,
                expires_at_wall_ms,
            } => {
                let object = self.objects.get_mut(&address).unwrap();
                object.expires_at_wall_ms = expires_at_wall_ms;
            }
            Change::ObjectRemoved { address } => {
                self.objects.remove(&address);
            }
            Change::NameSet {
                name,
                address,
                revision,
            } => {
                self.names.insert(name.to_string(), (address, revision));
                self.revision = revision;
            }
            Change::NameRemoved { name, revision } => {
                self.names.remove(&*name);
                self.revision = revision;
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
                self.next_queue = self.next_queue.max(queue + 1);
                let queue = self.queues.entry(queue).or_default();
                queue.name = name.to_string();
                queue.last_sequence = sequence;
                let state = MessageState {
                    visible_at_wall_ms,
                    ..MessageState::default()
                };
                let message = Message {
                    body: body.to_vec(),
                    sent_wall_ms,
                    state,
                };
                queue.messages.insert(sequence, message);
                queue.keys.extend(key.map(|key| (key.key, key)));
            }
            Change::MessageChanged {
                queue,
                sequence,
                state,
            } => {
                let queue = self.queues.get_mut(&queue).unwrap();
                queue.messages.get_mut(&sequence).unwrap().state = state;
            }
            Change::MessageRemoved { queue, sequence } => {
                let queue = self.queues.get_mut(&queue).unwrap();
                queue.messages.remove(&sequence).unwrap();
            }
            Change::KeyForgotten { queue, key } => {
                let queue = self.queues.get_mut(&queue).unwrap();
                queue.keys.remove(&key).unwrap();
            }
            Change::QueueForgotten { queue } => {
                self.queues.remove(&queue).unwrap();
            }
        }
    }
}

/// A model that is told what a backend has kept, and verifies it.
#[derive(Default)]
struct Returned {
    objects: Mutex<BTreeMap<Address, Object>>,
    rest: Model,
    queue: u64,
    /// When the last key is.
    forgotten_wall_ms: u64,
}

impl Restore for Returned {
    fn object(&self, object: &KeptObject<'_>, bytes: &mut dyn BufRead) -> Result<(), RestoreError> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        if Address::of(&all) != object.address {
            return Err(RestoreError::Damaged);
        }
        assert_eq!(all.len() as u64, object.size);
        let kept = Object {
            size: object.size,
            media_type: object.media_type.map(str::to_owned),
            stored_at_wall_ms: object.stored_at_wall_ms,
            expires_at_wall_ms: object.expires_at_wall_ms,
        };
        let twice = self.objects.lock().insert(object.address, kept);
        assert_eq!(twice, None);
        Ok(())
    }

    fn name(&mut self, name: &str, address: Address, revision: u64) -> Result<(), RestoreError> {
        if !self.objects.lock().contains_key(&address) {
            return Err(RestoreError::Damaged);
        }
        self.rest.names.insert(name.to_owned(), (address, revision));
        Ok(())
    }

    fn revision(&mut self, revision: u64) {
        self.rest.revision = revision;
    }

    fn queue(&mut self, number: u64, name: &str, last_sequence: u64) -> Result<(), RestoreError> {
        let queue = Queue {
            name: name.to_owned(),
            last_sequence,
            ..Queue::default()
        };
        self.queue = number;
        self.forgotten_wall_ms = 0;
        assert_eq!(self.rest.queues.insert(number, queue), None);
        Ok(())
    }

    fn message(&mut self, message: &KeptMessage<'_>) -> Result<(), RestoreError> {
        let queue = self.rest.queues.get_mut(&self.queue).unwrap();
        if let Some((before, _)) = queue.messages.last_key_value() {
            assert!(*before < message.sequence);
        }
        let kept = Message {
            body: message.body.to_vec(),
            sent_wall_ms: message.sent_wall_ms,
            state: message.state.clone(),
        };
        queue.messages.insert(message.sequence, kept);
        Ok(())
    }

    fn key(&mut self, key: KeptKey) -> Result<(), RestoreError> {
        let queue = self.rest.queues.get_mut(&self.queue).unwrap();
        assert!(self.forgotten_wall_ms <= key.expires_at_wall_ms);
        self.forgotten_wall_ms = key.expires_at_wall_ms;
        assert_eq!(queue.keys.insert(key.key, key), None);
        Ok(())
    }

    fn next_queue(&mut self, number: u64) {
        self.rest.next_queue = number;
    }
}

/// What a backend has kept.
pub(crate) fn load(
    backend: &mut dyn Backend,
) -> Result<(Model, Loaded), micronode_server::backend::LoadError> {
    load_at(backend, NOW_WALL_MS)
}

pub(crate) fn load_at(
    backend: &mut dyn Backend,
    now_wall_ms: u64,
) -> Result<(Model, Loaded), micronode_server::backend::LoadError> {
    let mut returned = Returned::default();
    let loaded = backend.load(now_wall_ms, &mut returned)?;
    let mut model = returned.rest;
    model.objects = returned.objects.into_inner();
    Ok((model, loaded))
}
