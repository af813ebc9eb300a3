//! The engine of one start, with its journal and its clocks.

use std::sync::Arc;

use micronode_engine::journal::Journal;
use micronode_engine::mailbox::{
    Delivery, Idempotency, Mailbox, MailboxConfig, MailboxKeys, Redriven, Send, SendError, Sent,
    Verdict,
};
use micronode_engine::names::{Expected, NameSet, SetError};
use micronode_engine::{
    Budget, Eviction, Names, Now, PutError, PutHead, Store, StoreConfig, Stored,
};
use micronode_protocol::Address;
use micronode_protocol::name::QueueRef;

use crate::WALL_MS;
use crate::kept::{Kept, Recording};

const MIB: u64 = 1 << 20;
/// For two large objects and some small ones.
const STORE_BYTES: u64 = 140_000;

/// What does not change from one start to the next.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) eviction: Eviction,
    pub(crate) store_bytes: u64,
    pub(crate) mailbox_bytes: u64,
    pub(crate) config: MailboxConfig,
}

impl Setup {
    pub(crate) const fn new(eviction: Eviction) -> Self {
        Self {
            eviction,
            store_bytes: STORE_BYTES,
            mailbox_bytes: MIB,
            config: crate::CONFIG,
        }
    }
}

/// Engines share nothing but what was kept. Starts are counted, and no two have the same keys or
/// the same monotonic clock. Clones share all but the time.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) setup: Setup,
    pub(crate) start: u8,
    pub(crate) store: Store,
    pub(crate) names: Names,
    pub(crate) mailbox: Mailbox,
    pub(crate) journal: Arc<Recording>,
    /// What was kept when it started.
    pub(crate) before: Kept,
    pub(crate) now: Now,
}

/// Runs `turn` until it says that it was the last.
fn all_turns<R>(turn: impl FnMut() -> Option<R>) -> R {
    std::iter::repeat_with(turn).flatten().next().expect("ends")
}

/// The media types that objects are put with.
pub(crate) fn media_type(of: u8) -> Option<&'static str> {
    [None, Some("text/plain"), Some("application/json")][usize::from(of) % 3]
}

impl Node {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::empty(setup, 1, WALL_MS)
    }

    fn empty(setup: Setup, start: u8, wall_ms: u64) -> Self {
        let journal: Arc<Recording> = Arc::default();
        let kept_by = || Arc::clone(&journal) as Arc<dyn Journal>;
        let budget = Budget::new(setup.store_bytes);
        let config = StoreConfig {
            eviction: setup.eviction,
            max_object_bytes: MIB,
        };
        let store = Store::new(config, budget.clone()).journaled(kept_by());
        let names = Names::new(store.clone(), budget).journaled(kept_by());
        let keys = MailboxKeys::new([7; 32], [start; 32]);
        let budget = Budget::new(setup.mailbox_bytes);
        Self {
            setup,
            start,
            store,
            names,
            mailbox: Mailbox::new(setup.config, budget, keys).journaled(kept_by()),
            journal,
            before: Kept::default(),
            now: Now {
                // Far from 0 at some starts, and near at others.
                mono_ms: u64::from(start) % 3 * 1_000_000,
                wall_ms,
            },
        }
    }

    /// The next start: with what was kept, and nothing else.
    pub(crate) fn restored(&self, kept: &Kept, downtime_ms: u64) -> Self {
        let mut node = Self::empty(self.setup, self.start + 1, self.now.wall_ms + downtime_ms);
        node.put_back(kept);
        assert_eq!(node.journal.len(), 0, "what is put back is not recorded");
        node.before = kept.clone();
        node
    }

    /// Names follow their object, so that it does not make room for others.
    fn put_back(&self, kept: &Kept) {
        for (address, object) in &kept.objects {
            let head = PutHead {
                expected: Some(*address),
                declared: Some(object.bytes.len() as u64),
                ttl_ms: None,
                media_type: object.media_type.as_deref(),
            };
            let mut upload = self.store.begin_put(self.now, head).unwrap();
            upload.write(&object.bytes).unwrap();
            let sealed = upload.seal().unwrap();
            let expires = object.expires_at_wall_ms;
            sealed.restore(self.now, object.stored_at_wall_ms, expires);
            for (name, (named, revision)) in &kept.names {
                if named == address {
                    let restored = self.names.restore(self.now, name, address, *revision);
                    restored.unwrap();
                }
            }
        }
        self.names.restore_revision(kept.revision);
        self.mailbox.restore_numbers(kept.next_queue);
        for (number, queue) in &kept.queues {
            let restoring = &mut self
                .mailbox
                .restore_queue(self.now, *number, &queue.name, queue.last_sequence)
                .unwrap();
            for (sequence, message) in &queue.messages {
                let (body, sent) = (&message.body, message.sent_wall_ms);
                let restored = restoring.message(*sequence, body, sent, &message.state);
                restored.unwrap();
            }
            let mut keys: Vec<_> = queue.keys.values().copied().collect();
            keys.sort_unstable_by_key(|key| (key.expires_at_wall_ms, key.sequence));
            for key in keys {
                restoring.key(key).unwrap();
            }
        }
    }

    /// What is kept by now.
    pub(crate) fn kept(&self) -> Kept {
        self.before.after(&self.journal.records())
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
    }

    /// Does all that is due.
    pub(crate) fn sweep(&self) {
        while self.store.expire(self.now).more {}
        while self.mailbox.sweep(self.now) {}
    }

    pub(crate) fn put(
        &self,
        bytes: &[u8],
        ttl_ms: Option<u64>,
        media_type: Option<&str>,
        place: Option<u64>,
    ) -> Result<Stored, PutError> {
        let head = PutHead {
            declared: Some(bytes.len() as u64),
            ttl_ms,
            media_type,
            ..PutHead::default()
        };
        let mut upload = self.store.begin_put(self.now, head)?;
        upload.write(bytes)?;
        upload.seal()?.insert(self.now, place)
    }

    pub(crate) fn name(&self, name: &str, address: &Address) -> Result<NameSet, SetError> {
        let any = &Expected::Any;
        self.names.set(self.now, name, address, any, |_| ())
    }

    pub(crate) fn send(
        &self,
        queue: &str,
        body: &[u8],
        delay_ms: u64,
        key: Option<&str>,
    ) -> Result<Sent, SendError> {
        let message = Send {
            body,
            delay_ms,
            idempotency: key.map(|key| Idempotency {
                holder: [9; 32],
                key,
            }),
        };
        self.mailbox.send(self.now, queue, message)
    }

    pub(crate) fn receive(&self, of: QueueRef<'_>, most: usize, ms: u64) -> Vec<Delivery> {
        let mut out = Vec::new();
        self.mailbox.receive(self.now, of, most, ms, &mut out);
        out
    }

    pub(crate) fn ack(&self, of: QueueRef<'_>, delivery: &Delivery) -> Verdict {
        let (receipt, mut out) = (delivery.receipt.to_string(), Vec::new());
        self.mailbox.ack(self.now, of, &[&receipt], &mut out);
        out[0]
    }

    pub(crate) fn nack(&self, of: QueueRef<'_>, delivery: &Delivery, delay_ms: u64) -> Verdict {
        let (receipt, mut out) = (delivery.receipt.to_string(), Vec::new());
        let mailbox = &self.mailbox;
        mailbox.nack(self.now, of, delay_ms, &[&receipt], &mut out);
        out[0]
    }

    pub(crate) fn extend(&self, of: QueueRef<'_>, delivery: &Delivery, ms: u64) -> Verdict {
        let (receipt, mut out) = (delivery.receipt.to_string(), Vec::new());
        self.mailbox.extend(self.now, of, ms, &[&receipt], &mut out);
        out[0]
    }

    pub(crate) fn purge(&self, of: QueueRef<'_>) -> Option<u64> {
        let mut purge = self.mailbox.purge(self.now, of)?;
        Some(all_turns(|| purge.turn(self.now)))
    }

    pub(crate) fn redrive(&self, of: &str, limit: u32) -> Option<Redriven> {
        let mut redrive = self.mailbox.redrive(self.now, of, limit)?;
        Some(all_turns(|| redrive.turn(self.now)))
    }
}
