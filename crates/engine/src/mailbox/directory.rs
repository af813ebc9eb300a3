//! The queues by name.

use std::sync::Arc;

use hashbrown::HashTable;
use micronode_protocol::limits::QUEUE_SHARDS;
use parking_lot::{Mutex, RwLock};
use siphasher::sip::SipHasher13;
use zeroize::Zeroizing;

use super::Idempotency;
use super::delivery::Delivery;
use super::keys::Fingerprint;
use super::queue::{Queue, Recorder};
use super::receipt::ReceiptKey;
use super::secrets::MailboxKeys;
use super::stats::MailboxCounters;
use crate::Now;
use crate::budget::Charge;
use crate::journal::Journal;

/// A queue with what never changes about it, and with its lock.
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    /// Of the name: where it is in the directory.
    hash: u64,
    /// Counts the queues that there were, so that one that is made anew does not take the receipts
    /// of the one before it, nor give out its ids again.
    pub(super) number: u64,
    receipts: [ReceiptKey; 2],
    fingerprints: Zeroizing<[u8; 32]>,
    pub(super) queue: Mutex<Queue>,
    /// Last, so that it is given back after the memory is gone.
    _charge: Charge,
}

impl Entry {
    /// All keys of a queue come from those of the mailbox, each for one purpose.
    pub(super) fn new(
        keys: &MailboxKeys,
        number: u64,
        (name, hash): (&str, u64),
        journal: Option<&Arc<dyn Journal>>,
        now: Now,
        charge: Charge,
    ) -> Self {
        let derive = |key: &[u8; 32], purpose: u8| {
            let mut hasher = blake3::Hasher::new_keyed(key);
            hasher.update(&[purpose]);
            hasher.update(&number.to_be_bytes());
            hasher.update(name.as_bytes());
            Zeroizing::new(*hasher.finalize().as_bytes())
        };
        let short = |purpose| {
            let mut key = Zeroizing::new([0; 16]);
            key.copy_from_slice(&derive(&keys.start, purpose)[..16]);
            ReceiptKey(key)
        };
        let mut id = [0; 8];
        id.copy_from_slice(&derive(&keys.lasting, 3)[..8]);
        let name: Arc<str> = name.into();
        let recorder = journal.map(|journal| Recorder {
            journal: Arc::clone(journal),
            queue: number,
            name: Arc::clone(&name),
        });
        Self {
            name,
            hash,
            number,
            receipts: [short(0), short(1)],
            fingerprints: derive(&keys.lasting, 2),
            queue: Mutex::new(Queue::new(u64::from_be_bytes(id), recorder, now)),
            _charge: charge,
        }
    }

    pub(super) fn receipts(&self, is_dead: bool) -> &ReceiptKey {
        &self.receipts[usize::from(is_dead)]
    }

    pub(super) fn seal(&self, is_dead: bool, deliveries: &mut [Delivery]) {
        for delivery in deliveries {
            self.receipts(is_dead).seal(&mut delivery.receipt);
        }
    }

    pub(super) fn fingerprint(&self, of: &Idempotency<'_>, body: &[u8]) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.fingerprints);
        hasher.update(&of.holder);
        hasher.update(of.key.as_bytes());
        Fingerprint {
            key: *hasher.finalize().as_bytes(),
            body: *blake3::keyed_hash(&self.fingerprints, body).as_bytes(),
        }
    }
}

/// All maps, each behind a lock of its own. Hashing is keyed, because peers choose the names.
pub(super) struct Directory {
    shards: [Shard; QUEUE_SHARDS],
    key: Zeroizing<[u8; 16]>,
}

/// On a cache line of its own, so that the locks of two shards do not slow each other down.
#[repr(align(64))]
#[derive(Default)]
pub(super) struct Shard(RwLock<Queues>);

/// The queues of one shard.
#[derive(Default)]
pub(super) struct Queues {
    by_name: HashTable<Arc<Entry>>,
    /// What was counted in queues that are forgotten.
    pub(super) forgotten: MailboxCounters,
}

impl Directory {
    /// Hashes names with a key that comes from that of the mailbox.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut derived = Zeroizing::new([0; 16]);
        let hash = blake3::keyed_hash(key, b"names of queues");
        derived.copy_from_slice(&hash.as_bytes()[..16]);
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            key: derived,
        }
    }

    /// The shard of a name, and its hash there.
    pub(super) fn of(&self, name: &str) -> (&RwLock<Queues>, u64) {
        let hash = SipHasher13::new_with_key(&self.key).hash(name.as_bytes());
        (self.shard(hash), hash)
    }

    pub(super) fn of_entry(&self, entry: &Entry) -> &RwLock<Queues> {
        self.shard(entry.hash)
    }

    /// By bits from the middle: the table takes those at both ends.
    fn shard(&self, hash: u64) -> &RwLock<Queues> {
        &self.shards[(hash >> 32) as usize % QUEUE_SHARDS].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RwLock<Queues>> {
        self.shards.iter().map(|Shard(queues)| queues)
    }

    /// Every queue, one shard after the other.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::new();
        for shard in self.iter() {
            entries.extend(shard.read().iter().cloned());
        }
        entries
    }
}

impl Queues {
    pub(super) fn get(&self, name: &str, hash: u64) -> Option<&Arc<Entry>> {
        self.by_name.find(hash, |entry| *entry.name == *name)
    }

    /// It was looked up before.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) {
        let hash = |entry: &Arc<Entry>| entry.hash;
        self.by_name.insert_unique(entry.hash, entry, hash);
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        let is_it = |it: &Arc<Entry>| it.number == entry.number;
        if let Ok(found) = self.by_name.find_entry(entry.hash, is_it) {
            found.remove();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_name.iter()
    }
}
