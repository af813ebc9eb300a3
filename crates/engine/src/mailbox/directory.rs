//! The queues by name.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use micronode_protocol::limits::QUEUE_SHARDS;
use parking_lot::{Mutex, RwLock};
use zeroize::Zeroizing;

use super::Idempotency;
use super::delivery::Delivery;
use super::keys::Fingerprint;
use super::queue::Queue;
use super::receipt::ReceiptKey;
use super::stats::MailboxCounters;
use crate::Now;
use crate::budget::Charge;

/// A queue with what never changes about it, and with its lock.
pub(super) struct Entry {
    pub(super) name: Box<str>,
    /// Counts the queues that there were, so that one that is made anew does not take the receipts
    /// of the one before it.
    pub(super) number: u64,
    receipts: [ReceiptKey; 2],
    fingerprints: Zeroizing<[u8; 32]>,
    pub(super) queue: Mutex<Queue>,
    /// Last, so that it is given back after the memory is gone.
    _charge: Charge,
}

impl Entry {
    /// All keys of a queue come from that of the mailbox, each for one purpose.
    pub(super) fn new(key: &[u8; 32], number: u64, name: &str, now: Now, charge: Charge) -> Self {
        let derive = |purpose: u8| {
            let mut hasher = blake3::Hasher::new_keyed(key);
            hasher.update(&[purpose]);
            hasher.update(&number.to_be_bytes());
            hasher.update(name.as_bytes());
            Zeroizing::new(*hasher.finalize().as_bytes())
        };
        let mut id = [0; 8];
        id.copy_from_slice(&derive(3)[..8]);
        Self {
            name: name.into(),
            number,
            receipts: [ReceiptKey(derive(0)), ReceiptKey(derive(1))],
            fingerprints: derive(2),
            queue: Mutex::new(Queue::new(u64::from_be_bytes(id), now)),
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

/// All maps, each behind a lock of its own.
pub(super) struct Directory([Shard; QUEUE_SHARDS]);

/// On a cache line of its own, so that the locks of two shards do not slow each other down.
#[repr(align(64))]
#[derive(Default)]
pub(super) struct Shard(pub(super) RwLock<Queues>);

/// The queues of one shard. Hashing is keyed, because peers choose the names.
#[derive(Default)]
pub(super) struct Queues {
    by_name: HashSet<ByName>,
    /// What was counted in queues that are forgotten.
    pub(super) forgotten: MailboxCounters,
}

struct ByName(Arc<Entry>);

impl Directory {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Shard::default()))
    }

    /// Spreads names evenly that nobody chose to crowd one shard. Who does gains little: the lock
    /// is shared, and the map under it is keyed.
    pub(super) fn of(&self, name: &str) -> &RwLock<Queues> {
        let hash = name.bytes().fold(0xcbf2_9ce4_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        &self.0[(hash ^ hash >> 16) as usize % QUEUE_SHARDS].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RwLock<Queues>> {
        self.0.iter().map(|Shard(queues)| queues)
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
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name).map(|ByName(entry)| entry)
    }

    pub(super) fn insert(&mut self, entry: Arc<Entry>) {
        let new = self.by_name.insert(ByName(entry));
        debug_assert!(new, "looked up before");
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        self.by_name.remove(&*entry.name);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_name.iter().map(|ByName(entry)| entry)
    }
}

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}
