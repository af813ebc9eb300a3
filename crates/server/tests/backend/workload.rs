//! Random changes such as an engine makes them.

use std::sync::Arc;

use bytes::Bytes;
use micronode_engine::journal::{KeptKey, MessageState};
use micronode_engine::mailbox::{Attempt, AttemptEnd};
use micronode_engine::store::Sealed;
use micronode_engine::{Budget, Change, Eviction, Now, Object, PutHead, Store, StoreConfig};
use micronode_protocol::Address;
use micronode_protocol::limits::INLINE_OBJECT_BYTES;
use micronode_server::backend::disk::MemoryDisk;
use micronode_server::backend::{Backend, BackendError, LocalBackend, OpenError};

use crate::model::{Model, NOW_WALL_MS};
use crate::random::Random;

pub(crate) const KEY: [u8; 32] = [7; 32];
/// With so many bytes of small objects, a pack is made of them: some ten objects of a workload.
pub(crate) const PACK_BYTES: u64 = 20_000;
const LATER_WALL_MS: u64 = NOW_WALL_MS + 1_000_000;

const NOW: Now = Now {
    mono_ms: 1,
    wall_ms: NOW_WALL_MS,
};

/// A store whose objects a test keeps.
pub(crate) fn store() -> Store {
    let config = StoreConfig {
        eviction: Eviction::Refuse,
        max_object_bytes: 1 << 24,
    };
    Store::new(config, Budget::new(1 << 28))
}

pub(crate) fn object(store: &Store, bytes: &[u8], media_type: Option<&str>) -> Arc<Object> {
    let head = PutHead {
        media_type,
        ..PutHead::default()
    };
    let mut upload = store.begin_put(NOW, head).unwrap();
    upload.write(bytes).unwrap();
    let stored = upload.finish(NOW).unwrap();
    store.get(NOW, &stored.address).unwrap()
}

pub(crate) fn stored(object: &Arc<Object>) -> Change {
    Change::ObjectStored {
        object: Arc::clone(object),
        place: None,
        expires_at_wall_ms: None,
    }
}

/// The same object once more, before anybody hears of it.
fn sealed(object: &Arc<Object>) -> Sealed {
    let mut upload = store().begin_put(NOW, PutHead::default()).unwrap();
    let mut reader = object.read(0..object.size());
    while let Some(piece) = reader.next_piece().unwrap() {
        upload.write(&piece).unwrap();
    }
    upload.seal().unwrap()
}

/// Has the objects of a batch staged, as they are before anybody hears of them.
pub(crate) fn stage(backend: &dyn Backend, batch: &[Change]) -> Result<Vec<Change>, BackendError> {
    let staging = backend.staging();
    let mut staged = batch.to_vec();
    for change in &mut staged {
        if let Change::ObjectStored { object, place, .. } = change {
            *place = staging.stage(&sealed(object))?;
        }
    }
    Ok(staged)
}

/// Stages and commits.
pub(crate) fn keep(backend: &mut dyn Backend, batch: &[Change]) -> Result<(), BackendError> {
    let batch = stage(backend, batch)?;
    backend.commit(&batch).map(drop)
}

/// Opens a backend that makes packs of a few objects.
pub(crate) fn open(disk: &MemoryDisk) -> Result<LocalBackend, OpenError> {
    let backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY)?;
    Ok(backend.packing_from(PACK_BYTES))
}

/// Makes changes that fit those before.
pub(crate) struct Workload {
    random: Random,
    store: Store,
    pub(crate) model: Model,
    revision: u64,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            store: store(),
            model: Model::default(),
            revision: 0,
        }
    }

    /// The next changes, of which there is at least one.
    pub(crate) fn batch(&mut self) -> Vec<Change> {
        let most = 1 + self.random.below(8);
        let mut batch = Vec::new();
        while (batch.len() as u64) < most {
            if let Some(change) = self.change() {
                self.model.apply(&change);
                batch.push(change);
            }
        }
        batch
    }

    fn change(&mut self) -> Option<Change> {
        match self.random.below(16) {
            0..=2 => Some(self.put()),
            3 => {
                let address = self.an_object()?;
                Some(Change::ObjectExtended {
                    address,
                    expires_at_wall_ms: self.time(),
                })
            }
            4 => {
                let address = self.an_object()?;
                let mut names = self.model.names.values();
                let is_pinned = names.any(|(pinned, _)| *pinned == address);
                (!is_pinned).then_some(Change::ObjectRemoved { address })
            }
            5 | 6 => {
                let address = self.an_object()?;
                self.revision += 1;
                Some(Change::NameSet {
                    name: format!("name/{}", self.random.below(5)).into(),
                    address,
                    revision: self.revision,
                })
            }
            7 => {
                let name = self.random.choose(self.model.names.keys())?;
                self.revision += 1;
                Some(Change::NameRemoved {
                    name: name.as_str().into(),
                    revision: self.revision,
                })
            }
            8..=10 => Some(self.send()),
            11 | 12 => {
                let (queue, sequence) = self.a_message()?;
                Some(Change::MessageChanged {
                    queue,
                    sequence,
                    state: self.state(),
                })
            }
            13 | 14 => {
                let (queue, sequence) = self.a_message()?;
                Some(Change::MessageRemoved { queue, sequence })
            }
            _ => self.forget(),
        }
    }

    /// Of a new object, or in place of one that was found damaged.
    fn put(&mut self) -> Change {
        if self.random.below(6) == 0
            && let Some(address) = self.an_object()
        {
            return stored(&self.store.get(NOW, &address).unwrap());
        }
        let len = match self.random.below(4) {
            0 => INLINE_OBJECT_BYTES + 1 + self.random.below(40_000),
            1 => self.random.below(INLINE_OBJECT_BYTES + 1),
            _ => self.random.below(200),
        };
        let bytes = self.random.bytes(len);
        let media_type = (self.random.below(2) == 0).then_some("text/plain");
        let object = object(&self.store, &bytes, media_type);
        Change::ObjectStored {
            object,
            place: None,
            expires_at_wall_ms: self.time(),
        }
    }

    fn an_object(&mut self) -> Option<Address> {
        self.random.choose(self.model.objects.keys()).copied()
    }

    fn a_message(&mut self) -> Option<(u64, u64)> {
        let queues = self.model.queues.iter();
        let all = queues
            .flat_map(|(number, queue)| queue.messages.keys().map(|sequence| (*number, *sequence)));
        self.random.choose(all)
    }

    fn time(&mut self) -> Option<u64> {
        (self.random.below(2) == 0).then(|| LATER_WALL_MS + self.random.below(1_000))
    }

    fn send(&mut self) -> Change {
        let known = self.random.choose(self.model.queues.keys()).copied();
        let queue = match known {
            Some(known) if self.random.below(4) > 0 => known,
            _ => self.model.next_queue,
        };
        let last = self.model.queues.get(&queue).map(|it| it.last_sequence);
        let sequence = last.map_or(0, |last| last + 1);
        let len = match self.random.below(8) {
            0 => self.random.below(10_000),
            _ => self.random.below(100),
        };
        let key = (self.random.below(3) == 0).then(|| KeptKey {
            key: self.random.bytes(32).try_into().unwrap(),
            body: self.random.bytes(32).try_into().unwrap(),
            sequence,
            expires_at_wall_ms: LATER_WALL_MS + self.random.below(1_000),
        });
        Change::MessageSent {
            queue,
            name: format!("queue/{queue}").into(),
            sequence,
            body: Bytes::from(self.random.bytes(len)),
            sent_wall_ms: NOW_WALL_MS + sequence,
            visible_at_wall_ms: self.time(),
            key,
        }
    }

    fn state(&mut self) -> MessageState {
        let attempts = self.random.below(4);
        let attempt = |number| Attempt {
            leased_wall_ms: NOW_WALL_MS + number,
            ended_wall_ms: NOW_WALL_MS + 2 * number,
            end: match number % 2 {
                0 => AttemptEnd::Expired,
                _ => AttemptEnd::Nacked,
            },
        };
        MessageState {
            is_dead: self.random.below(3) == 0,
            attempts: u32::try_from(attempts).unwrap(),
            visible_at_wall_ms: self.time(),
            history: (attempts > 0).then(|| (0..attempts).map(attempt).collect()),
        }
    }

    /// A key, or a queue that has nothing any more.
    fn forget(&mut self) -> Option<Change> {
        let queue = self.random.choose(self.model.queues.keys()).copied()?;
        let it = &self.model.queues[&queue];
        if let Some(key) = it.keys.keys().next() {
            return Some(Change::KeyForgotten { queue, key: *key });
        }
        it.messages
            .is_empty()
            .then_some(Change::QueueForgotten { queue })
    }
}
