//! An engine that is told to a backend is the same again after a restart.

use std::sync::Arc;

use micronode_engine::mailbox::{Idempotency, MailboxKeys, Send};
use micronode_engine::names::Expected;
use micronode_engine::{
    Budget, Change, Eviction, Journal, Mailbox, MailboxConfig, Names, Now, PutHead, Store,
    StoreConfig,
};
use micronode_protocol::Address;
use micronode_protocol::name::QueueRef;
use micronode_server::backend::disk::{Loss, MemoryDisk};
use micronode_server::backend::restore::Unfit;
use micronode_server::backend::{Backend, EngineRestore, LoadError, Loaded, LocalBackend};
use parking_lot::Mutex;

use crate::random::Random;
use crate::workload::KEY;

const BUDGET: u64 = 64 * 1024 * 1024;

#[derive(Default)]
struct Recorder(Mutex<Vec<Change>>);

impl Journal for Recorder {
    fn record(&self, change: Change) {
        self.0.lock().push(change);
    }
}

/// A start of a node: an engine, and the backend that is told of it.
struct Start {
    now: Now,
    backend: LocalBackend,
    journal: Arc<Recorder>,
    store: Store,
    names: Names,
    mailbox: Mailbox,
}

impl Start {
    fn new(disk: &MemoryDisk, now: Now, budget: u64) -> Result<(Self, Loaded), LoadError> {
        let (start, loaded) = Self::evicting(disk, now, budget, Eviction::Refuse)?;
        assert_eq!(start.journal.0.lock().len(), 0, "nothing has changed");
        Ok((start, loaded))
    }

    fn evicting(
        disk: &MemoryDisk,
        now: Now,
        budget: u64,
        eviction: Eviction,
    ) -> Result<(Self, Loaded), LoadError> {
        let mut backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap();
        let journal = Arc::new(Recorder::default());
        let told = || Arc::clone(&journal) as Arc<dyn Journal>;
        let budget = Budget::new(budget);
        let config = StoreConfig {
            eviction,
            max_object_bytes: BUDGET,
        };
        let store = Store::new(config, budget.clone()).journaled(told());
        let names = Names::new(store.clone(), budget.clone()).journaled(told());
        let config = MailboxConfig {
            max_messages: 100,
            max_bytes: BUDGET,
            max_messages_total: 100,
            max_bytes_total: BUDGET,
            max_body: 100_000,
            max_deliveries: 2,
            window_ms: 60_000,
        };
        let start = [u8::try_from(now.mono_ms % 251).unwrap(); 32];
        let keys = MailboxKeys::new(backend.mailbox_key(), start);
        let mailbox = Mailbox::new(config, budget, keys).journaled(told());
        let engine = (store.clone(), names.clone(), mailbox.clone());
        let mut restore = EngineRestore::new(now, engine.0, engine.1, engine.2);
        let loaded = backend.load(now.wall_ms, &mut restore)?;
        let start = Self {
            now,
            backend,
            journal,
            store,
            names,
            mailbox,
        };
        Ok((start, loaded))
    }

    fn commit(&mut self) {
        let batch = std::mem::take(&mut *self.journal.0.lock());
        self.backend.commit(&batch).unwrap();
    }

    fn put(&mut self, bytes: &[u8], ttl_ms: Option<u64>) -> Address {
        let head = PutHead {
            ttl_ms,
            media_type: Some("text/plain"),
            ..PutHead::default()
        };
        let mut upload = self.store.begin_put(self.now, head).unwrap();
        upload.write(bytes).unwrap();
        let sealed = upload.seal().unwrap();
        let place = self.backend.staging().stage(&sealed).unwrap();
        let stored = sealed.insert(self.now, place).unwrap();
        if let (true, Some(place)) = (stored.existed, place) {
            self.backend.staging().discard(place);
        }
        self.commit();
        stored.address
    }

    fn read(&self, address: &Address) -> Option<Vec<u8>> {
        let object = self.store.get(self.now, address).ok()?;
        assert_eq!(object.media_type(), Some("text/plain"));
        let mut reader = object.read(0..object.size());
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            bytes.extend_from_slice(&piece);
        }
        Some(bytes)
    }
}

const QUEUE: QueueRef<'_> = QueueRef {
    queue: "jobs",
    is_dead: false,
};

fn message(body: &'static [u8]) -> Send<'static> {
    Send {
        body,
        delay_ms: 0,
        idempotency: Some(Idempotency {
            holder: [3; 32],
            key: "key",
        }),
    }
}

#[test]
fn an_engine_comes_back_from_a_cut() {
    let disk = MemoryDisk::new();
    let first_now = Now {
        mono_ms: 5_000,
        wall_ms: 1_000_000,
    };
    let (mut node, loaded) = Start::new(&disk, first_now, BUDGET).unwrap();
    assert_eq!(loaded, Loaded::default());
    let mut random = Random::new(1);
    let bytes: Vec<_> = [0, 10, 70_000, 300_000].map(|len| random.bytes(len)).into();
    let kept: Vec<_> = bytes.iter().map(|bytes| node.put(bytes, None)).collect();
    let again = node.put(&bytes[2], None);
    assert_eq!(again, kept[2]);
    let named = node.put(b"kept by a name", Some(1_000));
    let brief = node.put(b"kept by nothing", Some(1_000));
    let gone = node.put(&random.bytes(90_000), None);
    node.names
        .set(node.now, "name", &named, &Expected::Any, |_| ())
        .unwrap();
    node.names
        .set(node.now, "other", &gone, &Expected::Any, |_| ())
        .unwrap();
    node.names.delete("other", &Expected::Any, |_| ()).unwrap();
    node.store.delete(node.now, &gone).unwrap();
    let sent = node
        .mailbox
        .send(node.now, "jobs", message(b"work"))
        .unwrap();
    let mut deliveries = Vec::new();
    node.mailbox
        .receive(node.now, QUEUE, 1, 60_000, &mut deliveries);
    assert_eq!(deliveries[0].attempt, 1);
    node.commit();

    // The next start is on another monotonic clock, ten seconds later.
    let disk = disk.restart(Loss::All, 1);
    drop(node);
    let now = Now {
        mono_ms: 77,
        wall_ms: 1_010_000,
    };
    let (mut node, loaded) = Start::new(&disk, now, BUDGET).unwrap();
    let expected = Loaded {
        objects: 5,
        object_bytes: 370_010 + 14,
        names: 1,
        queues: 1,
        messages: 1,
        keys: 1,
        expired: 1,
        // Of what was deleted; that it was removed had not been synced.
        orphans: 1,
        ..Loaded::default()
    };
    assert_eq!(loaded, expected);
    for (address, bytes) in kept.iter().zip(&bytes) {
        assert_eq!(node.read(address).as_ref(), Some(bytes));
    }
    // Each start counts on from its clock, and what was given out stays.
    assert_eq!(node.names.get("name"), Some((named, 1_000_000_001)));
    assert_eq!(node.names.revision(), 1_010_000_000);
    assert_eq!(node.read(&named).unwrap(), b"kept by a name");
    assert_eq!(node.read(&brief), None);

    let twice = node
        .mailbox
        .send(node.now, "jobs", message(b"work"))
        .unwrap();
    assert_eq!((twice.duplicate, twice.id), (true, sent.id));
    deliveries.clear();
    node.mailbox
        .receive(node.now, QUEUE, 2, 60_000, &mut deliveries);
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].attempt, 2);
    assert_eq!(&deliveries[0].body[..], b"work");
    node.commit();
}

#[test]
fn what_does_not_fit_is_said_and_kept() {
    let disk = MemoryDisk::new();
    let now = Now {
        mono_ms: 1,
        wall_ms: 1_000_000,
    };
    let (mut node, _) = Start::new(&disk, now, BUDGET).unwrap();
    let mut random = Random::new(2);
    let bytes = random.bytes(2_000_000);
    let address = node.put(&bytes, None);
    drop(node);

    let error = Start::new(&disk, now, 1_000_000).err().unwrap();
    assert!(matches!(&error, LoadError::Unfit(Unfit::Object(_))));
    assert!(error.to_string().contains("memory budget"), "{error}");
    let (node, _) = Start::new(&disk, now, BUDGET).unwrap();
    assert_eq!(node.read(&address), Some(bytes));
}

/// Objects came back before the names that pin them, and made room for each other: a cache that was
/// started with less memory lost what names pointed at, and the names with it.
#[test]
fn where_there_is_too_little_room_only_what_no_name_points_at_makes_some() {
    let disk = MemoryDisk::new();
    let now = Now {
        mono_ms: 1,
        wall_ms: 1_000_000,
    };
    let mut random = Random::new(3);
    let (mut node, _) = Start::evicting(&disk, now, BUDGET, Eviction::Lru).unwrap();
    let objects: Vec<_> = (0..40).map(|_| random.bytes(50_000)).collect();
    let kept: Vec<_> = objects.iter().map(|bytes| node.put(bytes, None)).collect();
    for (number, address) in kept
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 4 == 0)
    {
        let name = format!("name-{number}");
        node.names
            .set(now, &name, address, &Expected::Any, |_| ())
            .unwrap();
    }
    node.commit();
    drop(node);

    let (mut node, loaded) = Start::evicting(&disk, now, 1_000_000, Eviction::Lru).unwrap();
    assert_eq!(
        (loaded.names, loaded.dropped_names, loaded.damaged),
        (10, 0, 0)
    );
    let there = |node: &Start| {
        let reads = kept.iter().map(|address| node.read(address).is_some());
        reads.collect::<Vec<_>>()
    };
    let back = there(&node);
    assert!(back.iter().step_by(4).all(|it| *it), "named objects stay");
    let count = back.iter().filter(|it| **it).count();
    assert!(
        (15..25).contains(&count),
        "as many as there is room for: {count}"
    );
    // What has made room is told, and so it is gone from the disk too.
    node.commit();
    drop(node);
    let (node, _) = Start::evicting(&disk, now, BUDGET, Eviction::Lru).unwrap();
    assert_eq!(there(&node), back);
    drop(node);

    // Named ones make none.
    let error = Start::evicting(&disk, now, 300_000, Eviction::Lru);
    assert!(matches!(error.err().unwrap(), LoadError::Unfit(_)));
    let (node, _) = Start::evicting(&disk, now, BUDGET, Eviction::Lru).unwrap();
    assert_eq!(there(&node), back, "nothing was dropped");
}
