//! Queues with at-least-once delivery, in memory.
//!
//! A message is sent to a queue, leased to one receiver at a time, and gone once it is acked. A
//! lease that runs out, or is given back, makes it visible again; after too many of them it is a
//! dead letter of its queue. Receivers that find nothing wait in order, and one message that
//! becomes visible wakes one of them.
//!
//! A queue has a lock of its own. Bodies are copied and wiped, hashes made and wakers woken without
//! it, and how long it is held is bounded: by the messages that are received or settled at once,
//! the leases that a command ends by the way, or a turn of what goes on for longer. Locks nest in
//! these ways only: the map of a shard before a queue, a queue before the agenda.
//!
//! What lasts of it is told to a journal, see [`Mailbox::journaled`], and can be put back from
//! there, see [`Mailbox::restore_queue`].
//!
//! Not here: waiting itself, who may use which queue, what names are well formed, where messages
//! are kept.

mod agenda;
mod body;
mod chunks;
mod delivery;
mod directory;
mod effects;
mod heap;
mod keys;
mod lane;
mod message;
mod queue;
mod quota;
mod receipt;
mod receiver;
mod restore;
mod secrets;
mod slab;
mod stats;
mod text;
mod turns;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Waker;

use micronode_protocol::limits::{QUEUE_OVERHEAD_BYTES, SWEEP_QUEUES};
use micronode_protocol::name::QueueRef;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

pub use delivery::{Attempt, AttemptEnd, Delivery, MessageId};
pub use message::{Idempotency, Send, SendError, Sent};
pub use micronode_protocol::operation::Verdict;
pub use quota::MailboxConfig;
pub use receipt::Receipt;
pub use receiver::Receiver;
pub use restore::{RestoreError, Restoring};
pub use secrets::MailboxKeys;
pub use stats::{Depths, MailboxCounters, QueueDepth, QueueStats, Quota};
pub use text::Text;
pub use turns::{Purge, Redrive, Redriven};

use crate::Now;
use crate::budget::{Budget, MemoryKind};
use crate::journal::Journal;
use agenda::Agenda;
use directory::{Directory, Entry, Queues};
use effects::Effects;
use queue::{Queue, Settlement, Terms};
use quota::{Bounds, Totals};

/// The queues of a node. Clones share them.
#[derive(Clone)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

struct Shared {
    bounds: Bounds,
    totals: Totals,
    budget: Budget,
    keys: MailboxKeys,
    journal: Option<Arc<dyn Journal>>,
    /// The number of the next queue: as many as there have been, or more.
    next_queue: AtomicU64,
    directory: Directory,
    agenda: Mutex<Agenda>,
}

impl Mailbox {
    /// A mailbox without queues that takes its memory from `budget`. Receipts are made with one of
    /// `keys`: those of another start are none here.
    pub fn new(config: MailboxConfig, budget: Budget, keys: MailboxKeys) -> Self {
        let bounds = Bounds::default();
        bounds.store(config);
        let shared = Shared {
            bounds,
            totals: Totals::default(),
            budget,
            next_queue: AtomicU64::new(0),
            directory: Directory::new(&keys.start),
            keys,
            journal: None,
            agenda: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Tells `journal` of every change that lasts, under the lock of the queue.
    ///
    /// # Panics
    ///
    /// If the mailbox has clones already, whose changes might have gone unrecorded.
    #[must_use]
    pub fn journaled(mut self, journal: Arc<dyn Journal>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("journaled before it is shared");
        shared.journal = Some(journal);
        self
    }

    /// Changes the bounds from now on. What is there already stays.
    pub fn configure(&self, config: MailboxConfig) {
        self.shared.bounds.store(config);
    }

    /// Sends a message; the queue need not exist.
    ///
    /// # Errors
    ///
    /// If the message, or its queue, is one too many or too large, or if its key was used for
    /// another. What was sent before under its key is a duplicate, whatever is full.
    pub fn send(&self, now: Now, queue: &str, message: Send<'_>) -> Result<Sent, SendError> {
        let sent = self.try_send(now, queue, message);
        sent.inspect_err(|error| self.count_exhausted(error))
    }

    fn count_exhausted(&self, error: &SendError) {
        if let SendError::Quota(quota) = error {
            self.shared.totals.count_exhausted(*quota);
        }
    }

    fn try_send(&self, now: Now, queue: &str, message: Send<'_>) -> Result<Sent, SendError> {
        let terms = self.terms(now);
        if message.body.len() > terms.config.max_body {
            return Err(SendError::TooLarge);
        }
        let bytes = message.body.len() as u64;
        let (share, mut body) = match self.shared.totals.add_message(&terms.config, bytes) {
            Ok(share) => {
                let body = body::copy(&self.shared.budget, message.body);
                (Some(share), body.map_err(SendError::from))
            }
            Err(quota) => (None, Err(SendError::Quota(quota))),
        };
        loop {
            let entry = match (self.find(queue), &body) {
                (Some(entry), _) => entry,
                (None, Ok(_)) => self.find_or_create(now, queue)?,
                // Nor was it sent before, to a queue that does not exist.
                (None, Err(error)) => return Err(*error),
            };
            let fingerprint = message
                .idempotency
                .map(|of| entry.fingerprint(&of, message.body));
            let outcome = self.with(&entry, &terms, |queue, _| {
                let sent = queue.send(&terms, &mut body, message.delay_ms, fingerprint);
                (sent, queue.may_be_forgotten(0))
            });
            let Some((sent, may_be_forgotten)) = outcome else {
                continue;
            };
            if may_be_forgotten {
                self.forget(&entry, 0);
            }
            if let (
                Ok(Sent {
                    duplicate: false, ..
                }),
                Some(share),
            ) = (&sent, share)
            {
                share.keep();
            }
            return sent;
        }
    }

    /// Somebody who waits for messages of `queue`, which need not exist. With `credit`, at most so
    /// many messages are leased at once that were received through it.
    ///
    /// # Errors
    ///
    /// If the queue is new, and one too many or not within the memory budget.
    pub fn receiver(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        credit: Option<u16>,
    ) -> Result<Receiver, SendError> {
        let terms = self.terms(now);
        loop {
            let entry = match self.find(queue.queue) {
                Some(entry) => entry,
                None => self
                    .find_or_create(now, queue.queue)
                    .inspect_err(|error| self.count_exhausted(error))?,
            };
            let number = self.with(&entry, &terms, |it, _| it.join(queue.is_dead, credit));
            if let Some(number) = number {
                return Ok(Receiver::new(self.clone(), entry, queue.is_dead, number));
            }
        }
    }

    /// Leases up to `max` messages that are visible now, those first that were sent first, and
    /// not more than a mebibyte of bodies unless the first alone is longer.
    pub fn receive(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        max: usize,
        visibility_ms: u64,
        out: &mut Vec<Delivery>,
    ) {
        let terms = self.terms(now);
        let before = out.len();
        if let Some(entry) = self.find(queue.queue) {
            self.with(&entry, &terms, |it, _| {
                it.receive(&terms, queue.is_dead, 0, max, visibility_ms, out);
            });
            entry.seal(queue.is_dead, &mut out[before..]);
        }
    }

    /// Removes messages.
    pub fn ack(&self, now: Now, queue: QueueRef<'_>, receipts: &[&str], out: &mut Vec<Verdict>) {
        self.settle(now, queue, Settlement::Ack, receipts, out);
    }

    /// Gives messages back, which counts as a delivery that failed. They are visible again after
    /// `delay_ms`, where their age puts them.
    pub fn nack(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        delay_ms: u64,
        receipts: &[&str],
        out: &mut Vec<Verdict>,
    ) {
        self.settle(now, queue, Settlement::Nack { delay_ms }, receipts, out);
    }

    /// Lets leases end `visibility_ms` from now, also if that is earlier than they would have.
    pub fn extend(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        visibility_ms: u64,
        receipts: &[&str],
        out: &mut Vec<Verdict>,
    ) {
        let settlement = Settlement::Extend { visibility_ms };
        self.settle(now, queue, settlement, receipts, out);
    }

    /// One verdict for each receipt, in order.
    fn settle(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        settlement: Settlement,
        receipts: &[&str],
        out: &mut Vec<Verdict>,
    ) {
        let before = out.len();
        out.resize(before + receipts.len(), Verdict::Unknown);
        let Some(entry) = self.find(queue.queue) else {
            return;
        };
        let terms = self.terms(now);
        let key = entry.receipts(queue.is_dead);
        let named: SmallVec<[_; 1]> = receipts.iter().map(|receipt| key.verify(receipt)).collect();
        self.with(&entry, &terms, |it, effects| {
            for (verdict, named) in out[before..].iter_mut().zip(named) {
                if let Some(named) = named {
                    *verdict = it.settle_lease(&terms, named, settlement, effects);
                }
            }
        });
    }

    /// What a queue holds; `None` if it was never sent to, or was forgotten.
    pub fn stats(&self, now: Now, queue: QueueRef<'_>) -> Option<QueueStats> {
        let entry = self.find(queue.queue)?;
        self.with(&entry, &self.terms(now), |it, _| it.stats(queue.is_dead))?
    }

    /// Begins to remove all messages of a queue, whatever their state. What is sent from now on
    /// stays. `None` as for [`stats`](Self::stats).
    pub fn purge(&self, now: Now, queue: QueueRef<'_>) -> Option<Purge> {
        let entry = self.find(queue.queue)?;
        let horizon = self.with(&entry, &self.terms(now), |it, _| {
            it.stats(queue.is_dead).map(|_| it.last_sequence())
        })??;
        Some(Purge::new(self.clone(), entry, queue.is_dead, horizon))
    }

    /// Begins to move up to `limit` dead letters back to their queue, the oldest first; for 0 as
    /// many as are visible now. They keep their ids; their deliveries are counted anew. `None` as
    /// for [`stats`](Self::stats).
    pub fn redrive(&self, now: Now, queue: &str, limit: u32) -> Option<Redrive> {
        let entry = self.find(queue)?;
        let stats = self.with(&entry, &self.terms(now), |it, _| it.stats(true))??;
        // Not more than there are now, so that it ends while others die.
        let most = match limit {
            0 => stats.ready,
            limit => stats.ready.min(u64::from(limit)),
        };
        Some(Redrive::new(self.clone(), entry, most))
    }

    /// When [`sweep`](Self::sweep) has something to do, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.shared.agenda.lock().next()
    }

    /// Wakes `waker`, once, when [`next_deadline`](Self::next_deadline) has become earlier.
    pub fn wake_when_earlier(&self, waker: &Waker) {
        let before = self.shared.agenda.lock().wake_when_earlier(waker);
        drop(before);
    }

    /// Does what is due: ends leases and delays, forgets keys, and queues that are not used. True
    /// if more is due: call again soon.
    pub fn sweep(&self, now: Now) -> bool {
        let terms = self.terms(now);
        for _ in 0..SWEEP_QUEUES {
            let due = self.shared.agenda.lock().pop_due(now.mono_ms);
            let Some((at_ms, entry)) = due else {
                return false;
            };
            let mut queue = entry.queue.lock();
            if queue.is_forgotten {
                continue;
            }
            if queue.scheduled_ms == at_ms {
                queue.scheduled_ms = u64::MAX;
            }
            queue.sweep(&terms);
            let may_be_forgotten = queue.may_be_forgotten(now.mono_ms);
            self.finish(&entry, queue, Effects::default());
            if may_be_forgotten {
                self.forget(&entry, now.mono_ms);
            }
        }
        self.next_deadline().is_some_and(|next| next <= now.mono_ms)
    }

    /// What each of the first `most` queues by name holds, and all others together. Dead letters
    /// are a state of the queue that they came from, so that each message counts once.
    pub fn depths(&self, now: Now, most: usize) -> Depths {
        let mut queues = Vec::new();
        for entry in self.shared.directory.entries() {
            let queue = entry.queue.lock();
            queues.extend(queue.stats(false).map(|stats| QueueDepth {
                name: entry.name.to_string(),
                ready: stats.ready,
                leased: stats.leased,
                delayed: stats.delayed,
                dead: stats.dead,
                oldest_ready_ms: queue.oldest_ready_ms(now),
            }));
        }
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut other = QueueDepth::default();
        for queue in queues.drain(most.min(queues.len())..) {
            other += &queue;
        }
        Depths { queues, other }
    }

    /// What has happened since the start.
    pub fn counters(&self) -> MailboxCounters {
        let mut sum = MailboxCounters {
            quota_exhausted: self.shared.totals.exhausted(),
            ..MailboxCounters::default()
        };
        for shard in self.shared.directory.iter() {
            // Under one lock, so that a queue that is being forgotten counts once.
            let queues = shard.read();
            sum += queues.forgotten;
            for entry in queues.iter() {
                sum += entry.queue.lock().counters;
            }
        }
        sum
    }

    /// Removes everything but those who wait. For the end of a mailbox's life: the journal is not
    /// told, so that what was kept stays so.
    pub fn clear(&self) {
        for entry in self.shared.directory.entries() {
            let mut effects = Effects::default();
            let mut queue = entry.queue.lock();
            queue.clear(&mut effects);
            self.finish(&entry, queue, effects);
            self.forget(&entry, 0);
        }
    }

    fn terms(&self, now: Now) -> Terms<'_> {
        Terms {
            now,
            config: self.shared.bounds.load(),
            budget: &self.shared.budget,
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Entry>> {
        let (shard, hash) = self.shared.directory.of(name);
        shard.read().get(name, hash).cloned()
    }

    /// At the bound of queues, ones that are empty make room: they are kept for those who ask what
    /// is in them.
    fn find_or_create(&self, now: Now, name: &str) -> Result<Arc<Entry>, SendError> {
        match self.try_find_or_create(now, name) {
            Err(SendError::Quota(Quota::Queues)) => {
                self.forget_unused();
                self.try_find_or_create(now, name)
            }
            found => found,
        }
    }

    /// Forgets what is unused of the queues that are looked after next, which are those that have
    /// been unused for long.
    fn forget_unused(&self) {
        let next = self.shared.agenda.lock().first(SWEEP_QUEUES);
        for entry in next {
            self.forget(&entry, u64::MAX);
        }
    }

    fn try_find_or_create(&self, now: Now, name: &str) -> Result<Arc<Entry>, SendError> {
        let (shard, hash) = self.shared.directory.of(name);
        let mut queues = shard.write();
        if let Some(entry) = queues.get(name, hash) {
            return Ok(Arc::clone(entry));
        }
        self.create(&mut queues, (name, hash), now, || {
            self.shared.next_queue.fetch_add(1, Relaxed)
        })
    }

    /// Makes a queue that is not there.
    fn create(
        &self,
        queues: &mut Queues,
        (name, hash): (&str, u64),
        now: Now,
        number: impl FnOnce() -> u64,
    ) -> Result<Arc<Entry>, SendError> {
        let shared = &self.shared;
        let cost = QUEUE_OVERHEAD_BYTES + name.len() as u64;
        let charge = shared.budget.charge(MemoryKind::Messages, cost)?;
        shared.totals.add_queue().map_err(SendError::Quota)?;
        let entry = Arc::new(Entry::new(
            &shared.keys,
            number(),
            (name, hash),
            shared.journal.as_ref(),
            now,
            charge,
        ));
        queues.insert(Arc::clone(&entry));
        Ok(entry)
    }

    /// Runs a command on a queue, after what is due in it. `None` if it was forgotten since it was
    /// found: it is as if it had not been.
    fn with<R>(
        &self,
        entry: &Arc<Entry>,
        terms: &Terms<'_>,
        command: impl FnOnce(&mut Queue, &mut Effects) -> R,
    ) -> Option<R> {
        let mut effects = Effects::default();
        let mut queue = entry.queue.lock();
        if queue.is_forgotten {
            return None;
        }
        queue.settle(terms);
        let outcome = command(&mut queue, &mut effects);
        self.finish(entry, queue, effects);
        Some(outcome)
    }

    /// What follows on every change of a queue; most of it once the queue is unlocked.
    fn finish(&self, entry: &Arc<Entry>, mut queue: MutexGuard<'_, Queue>, mut effects: Effects) {
        queue.wake(&mut effects);
        let (scheduled_ms, next_ms) = (queue.scheduled_ms, queue.next_deadline());
        if next_ms < scheduled_ms {
            queue.scheduled_ms = next_ms;
            let mut agenda = self.shared.agenda.lock();
            let waker = agenda.advance(entry, scheduled_ms, next_ms);
            effects.woken.extend(waker);
        }
        drop(queue);
        self.shared
            .totals
            .remove_messages(effects.messages, effects.bytes);
        effects.run();
    }

    /// Forgets a queue that may be, by what [`Queue::may_be_forgotten`] says.
    fn forget(&self, entry: &Arc<Entry>, now_ms: u64) {
        let mut queues = self.shared.directory.of_entry(entry).write();
        let mut queue = entry.queue.lock();
        if queue.is_forgotten || !queue.may_be_forgotten(now_ms) {
            return;
        }
        queue.is_forgotten = true;
        queue.record_forgotten();
        queues.remove(entry);
        queues.forgotten += queue.counters;
        self.shared.agenda.lock().remove(entry, queue.scheduled_ms);
        self.shared.totals.remove_queue();
    }
}
