//! The mailbox against a plain list of messages that follows the documented rules.
//!
//! The model knows nothing of slots, lists, heaps or locks: it looks through all messages every
//! time, and predicts every answer and every wake exactly. Commands are read from bytes, so that
//! random ones and those of a fuzzer are the same.
//!
//! Small worlds meet every bound of the configuration often. Large ones go where a queue does
//! things in turns and keeps its messages in many pieces; tight ones have no memory for that.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Wake, Waker};

use micronode_engine::mailbox::{
    Attempt, AttemptEnd, Delivery, Idempotency, Mailbox, MailboxConfig, MailboxCounters,
    MailboxKeys, MessageId, QueueStats, Quota, Receiver, Redriven, Send, SendError, Verdict,
};
use micronode_engine::{Budget, MemoryKind, Now};
use micronode_protocol::limits::{QUEUE_IDLE, QUEUE_TURN_MESSAGES, SETTLE_MESSAGES};
use micronode_protocol::name::QueueRef;

/// The wall clock when the monotonic clock is at 0.
const WALL_MS: u64 = 1_700_000_000_000;
const NAMES: [&str; 2] = ["jobs", "mail"];
const SMALL: MailboxConfig = MailboxConfig {
    max_messages: 12,
    max_bytes: 500,
    max_messages_total: 18,
    max_bytes_total: 800,
    max_body: 100,
    max_deliveries: 3,
    window_ms: 200,
};
const LARGE: MailboxConfig = MailboxConfig {
    max_messages: 700,
    max_bytes: 30_000,
    max_messages_total: 1000,
    max_bytes_total: 40_000,
    ..SMALL
};
/// Of a tight world: enough for some hundred messages.
const TIGHT_BYTES: u64 = 120_000;
/// Below this, there may be no memory for what a queue needs next.
const LITTLE_BYTES: u64 = 1 << 16;
const LENGTHS: [usize; 8] = [0, 1, 8, 20, 20, 60, 100, 101];
const DELAYS_MS: [u64; 8] = [0, 0, 0, 0, 0, 3, 20, 150];
const VISIBILITIES_MS: [u64; 8] = [0, 1, 5, 20, 20, 60, 60, 300];
const STEPS_MS: [u64; 8] = [0, 1, 1, 4, 4, 20, 100, 700_000];
const RECEIVERS: usize = 5;

/// Where commands come from; `None` ends them.
pub(crate) type Bytes<'a> = &'a mut dyn FnMut() -> Option<u8>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Large,
    /// Large, without the memory for it: what comes back may lose its order, and its history.
    Tight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Lane {
    queue: usize,
    is_dead: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ready,
    Delayed { until_ms: u64 },
    Leased { until_ms: u64, lease: u64 },
}

#[derive(Debug)]
struct Message {
    id: MessageId,
    body: Vec<u8>,
    sent_wall_ms: u64,
    lane: Lane,
    state: State,
    attempts: u32,
    leased_wall_ms: u64,
    /// The receiver whose credit it uses.
    receiver: Option<u64>,
    history: Vec<Attempt>,
}

#[derive(Clone, Debug)]
struct Given {
    lane: Lane,
    text: String,
    lease: u64,
    incarnation: u64,
}

#[derive(Debug)]
struct Key {
    holder: [u8; 32],
    key: String,
    body: Vec<u8>,
    id: MessageId,
    until_ms: u64,
}

#[derive(Default)]
struct Queue {
    /// The next queue of that name is another one.
    incarnation: u64,
    exists: bool,
    was_sent_to: bool,
    used_ms: u64,
    keys: Vec<Key>,
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

struct Waiting {
    receiver: Receiver,
    number: u64,
    lane: Lane,
    credit: Option<u16>,
    place: Option<u64>,
    is_parked: bool,
    is_woken: bool,
    wakes: Arc<Wakes>,
    expected_wakes: u64,
}

pub(crate) struct World {
    mailbox: Mailbox,
    budget: Budget,
    size: Size,
    config: MailboxConfig,
    /// More is over in a queue than a command ends: which is unknown.
    is_behind: bool,
    now_ms: u64,
    queues: [Queue; NAMES.len()],
    /// In the order in which they were sent.
    messages: Vec<Message>,
    acked: HashSet<MessageId>,
    given: Vec<Given>,
    waiting: Vec<Waiting>,
    last: u64,
    steps: u64,
    counters: MailboxCounters,
}

fn name(lane: Lane) -> QueueRef<'static> {
    QueueRef {
        queue: NAMES[lane.queue],
        is_dead: lane.is_dead,
    }
}

fn choose<T: Copy>(of: &[T], byte: u8) -> T {
    of[usize::from(byte) % of.len()]
}

/// Until one of them says that it was the last.
pub(crate) fn all_turns<R>(turn: impl FnMut() -> Option<R>) -> R {
    std::iter::repeat_with(turn).flatten().next().expect("ends")
}

impl World {
    pub(crate) fn new(size: Size) -> Self {
        let budget = Budget::new(match size {
            Size::Tight => TIGHT_BYTES,
            _ => 1 << 20,
        });
        let config = match size {
            Size::Small => SMALL,
            _ => LARGE,
        };
        Self {
            mailbox: Mailbox::new(config, budget.clone(), MailboxKeys::new([7; 32], [8; 32])),
            budget,
            size,
            config,
            is_behind: false,
            now_ms: 1,
            queues: Default::default(),
            messages: Vec::new(),
            acked: HashSet::new(),
            given: Vec::new(),
            waiting: Vec::new(),
            last: 0,
            steps: 0,
            counters: MailboxCounters::default(),
        }
    }

    fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            wall_ms: WALL_MS + self.now_ms,
        }
    }

    /// Runs one command; false if there is none left.
    pub(crate) fn step(&mut self, bytes: Bytes<'_>) -> bool {
        self.try_step(bytes).is_some()
    }

    fn try_step(&mut self, bytes: Bytes<'_>) -> Option<()> {
        let command = bytes()?;
        self.is_behind = self.overdue() > SETTLE_MESSAGES;
        if self.is_behind && (command % 32 > 19 || !self.is_simple()) {
            self.sweep();
            self.is_behind = false;
        }
        match command % 32 {
            0..=8 => {
                let queue = usize::from(bytes()?) % NAMES.len();
                let (length, delay, key) = (bytes()?, bytes()?, bytes()?);
                let count = match self.size {
                    Size::Small => 1,
                    _ => 1 << (bytes()? % 8),
                };
                for i in 0..count {
                    self.send(
                        queue,
                        choose(&LENGTHS, length.wrapping_add(i)),
                        choose(&DELAYS_MS, delay),
                        key.wrapping_add(i),
                    );
                }
            }
            9..=13 => {
                let lane = self.lane(bytes()?);
                let (most, visibility) = (bytes()?, bytes()?);
                let most = self.most(most);
                self.receive(lane, most, choose(&VISIBILITIES_MS, visibility));
            }
            14..=19 => {
                let (how, which, where_, delay) = (bytes()?, bytes()?, bytes()?, bytes()?);
                self.settle_receipts(how, which, where_, delay);
            }
            20 => {
                let lane = self.lane(bytes()?);
                self.purge(lane);
            }
            21 => {
                let (queue, limit) = (bytes()?, bytes()?);
                // All of them, where it is not known which are the oldest.
                let limit = match self.size {
                    Size::Tight => 0,
                    _ => self.most(limit) as u32,
                };
                self.redrive(usize::from(queue) % NAMES.len(), limit);
            }
            22 => {
                let lane = self.lane(bytes()?);
                self.stats(lane);
            }
            23 => {
                let (lane, credit) = (self.lane(bytes()?), bytes()?);
                self.join(lane, credit);
            }
            24 => match bytes()? {
                which @ ..128 => self.leave(which),
                which => self.decline(which),
            },
            25 | 26 => {
                let which = bytes()?;
                self.poll(which);
            }
            27 => {
                let (which, most, visibility) = (bytes()?, bytes()?, bytes()?);
                let visibility_ms = choose(&VISIBILITIES_MS, visibility);
                let most = self.most(most);
                self.receive_through(which, most, visibility_ms);
            }
            28 => self.sweep(),
            29 if bytes()? < 16 => self.clear(),
            30 if self.size != Size::Tight => {
                self.config.max_deliveries = u32::from(bytes()? % 4) + 1;
                self.mailbox.configure(self.config);
            }
            _ => self.now_ms += choose(&STEPS_MS, bytes()?),
        }
        if self.is_behind {
            self.sweep();
        }
        self.steps += 1;
        self.check();
        Some(())
    }

    /// How many are received or moved at once.
    fn most(&self, byte: u8) -> usize {
        match self.size {
            Size::Small => usize::from(byte % 4),
            _ => usize::from(byte),
        }
    }

    /// Whether it makes no difference to anything but the order in which messages are received
    /// which of those that are over have ended.
    fn is_simple(&self) -> bool {
        let may_be_buried = |message: &Message| {
            let is_leased = matches!(message.state, State::Leased { .. });
            !message.lane.is_dead && !is_leased && message.attempts >= self.config.max_deliveries
        };
        self.waiting.is_empty() && !self.messages.iter().any(may_be_buried)
    }

    /// Messages of a queue whose lease or delay is over; of that which has the most.
    fn overdue(&self) -> usize {
        let mut overdue = [0; NAMES.len()];
        for message in &self.messages {
            match message.state {
                State::Leased { until_ms, .. } | State::Delayed { until_ms }
                    if until_ms <= self.now_ms =>
                {
                    overdue[message.lane.queue] += 1;
                }
                _ => {}
            }
        }
        overdue.into_iter().max().unwrap_or(0)
    }

    fn lane(&self, byte: u8) -> Lane {
        Lane {
            queue: usize::from(byte & 1),
            is_dead: byte & 6 == 6,
        }
    }

    // --- What happens by itself ---------------------------------------------------------------

    /// What is over in a queue ends.
    fn settle(&mut self, queue: usize) {
        let now_ms = self.now_ms;
        self.queues[queue].keys.retain(|key| now_ms < key.until_ms);
        for at in 0..self.messages.len() {
            if self.messages[at].lane.queue != queue {
                continue;
            }
            match self.messages[at].state {
                State::Delayed { until_ms } if until_ms <= now_ms => {
                    self.messages[at].state = State::Ready;
                }
                State::Leased { until_ms, .. } if until_ms <= now_ms => {
                    self.counters.visibility_timeouts += 1;
                    self.fail(at, AttemptEnd::Expired, WALL_MS + until_ms, 0);
                }
                _ => {}
            }
        }
    }

    fn fail(&mut self, at: usize, end: AttemptEnd, ended_wall_ms: u64, delay_ms: u64) {
        let message = &mut self.messages[at];
        message.receiver = None;
        message.state = match delay_ms {
            0 => State::Ready,
            _ => State::Delayed {
                until_ms: self.now_ms + delay_ms,
            },
        };
        if !message.lane.is_dead {
            message.history.push(Attempt {
                leased_wall_ms: message.leased_wall_ms,
                ended_wall_ms,
                end,
            });
            if message.attempts >= self.config.max_deliveries {
                self.bury(at);
            }
        }
    }

    fn bury(&mut self, at: usize) {
        self.messages[at].lane.is_dead = true;
        self.messages[at].state = State::Ready;
        self.counters.dead_lettered += 1;
    }

    /// A command comes to a queue that is there.
    fn touch(&mut self, queue: usize) {
        self.queues[queue].exists = true;
        self.queues[queue].used_ms = self.now_ms;
        self.settle(queue);
    }

    /// One is woken for every message that nobody was woken for.
    fn wake(&mut self, queue: usize) {
        for is_dead in [false, true] {
            let lane = Lane { queue, is_dead };
            let visible = self.ready(lane).len();
            loop {
                let woken = self
                    .waiting
                    .iter()
                    .filter(|it| it.lane == lane && it.is_woken);
                if woken.count() >= visible {
                    break;
                }
                let next = (0..self.waiting.len())
                    .filter(|at| {
                        let it = &self.waiting[*at];
                        it.lane == lane && it.is_parked && self.credit(it) > 0
                    })
                    .min_by_key(|at| self.waiting[*at].place);
                let Some(next) = next else { break };
                let next = &mut self.waiting[next];
                next.is_parked = false;
                next.is_woken = true;
                next.expected_wakes += 1;
            }
        }
    }

    fn credit(&self, waiting: &Waiting) -> usize {
        let uses = |message: &&Message| message.receiver == Some(waiting.number);
        waiting.credit.map_or(usize::MAX, |credit| {
            usize::from(credit).saturating_sub(self.messages.iter().filter(uses).count())
        })
    }

    fn forget(&mut self, queue: usize, now_ms: u64) {
        let it = &self.queues[queue];
        let is_unused = it.exists
            && it.keys.is_empty()
            && self
                .messages
                .iter()
                .all(|message| message.lane.queue != queue)
            && self
                .waiting
                .iter()
                .all(|waiting| waiting.lane.queue != queue);
        let idle_ms = QUEUE_IDLE.as_millis() as u64;
        if is_unused && (!it.was_sent_to || it.used_ms + idle_ms <= now_ms) {
            self.queues[queue] = Queue {
                incarnation: it.incarnation + 1,
                ..Queue::default()
            };
        }
    }

    /// Messages that can be received, in order.
    fn ready(&self, lane: Lane) -> Vec<usize> {
        (0..self.messages.len())
            .filter(|at| {
                let message = &self.messages[*at];
                message.lane == lane && matches!(message.state, State::Ready)
            })
            .collect()
    }

    fn held(&self, of: impl Fn(&Message) -> bool) -> (u64, u64) {
        let held = self.messages.iter().filter(|message| of(message));
        held.fold((0, 0), |(count, bytes), message| {
            (count + 1, bytes + message.body.len() as u64)
        })
    }

    // --- Commands -----------------------------------------------------------------------------

    fn send(&mut self, queue: usize, length: usize, delay_ms: u64, key: u8) {
        let body = vec![key >> 6; length];
        let holder = [key >> 5 & 1; 32];
        let name = format!("k{}", key >> 3 & 3);
        let idempotency = key
            .is_multiple_of(4)
            .then_some(Idempotency { holder, key: &name });
        let sent = self.mailbox.send(
            self.now(),
            NAMES[queue],
            Send {
                body: &body,
                delay_ms,
                idempotency,
            },
        );
        let expected = self.expect_sent(queue, &body, idempotency);
        if let Err(SendError::OverBudget(_)) = sent {
            assert!(matches!(expected, Ok(None) | Err(SendError::Quota(_))));
            self.assert_little_memory();
            self.wake(queue);
            self.forget(queue, 0);
            return;
        }
        match expected {
            Err(error) => assert_eq!(sent, Err(error)),
            Ok(Some(id)) => {
                let sent = sent.expect("a duplicate");
                assert_eq!((sent.id, sent.duplicate), (id, true));
                self.counters.duplicates += 1;
            }
            Ok(None) => {
                let sent = sent.expect("within every bound");
                assert!(!sent.duplicate);
                let is_new = self.messages.iter().all(|message| message.id != sent.id);
                assert!(
                    is_new && !self.acked.contains(&sent.id),
                    "ids are used once"
                );
                self.messages.push(Message {
                    id: sent.id,
                    body: body.clone(),
                    sent_wall_ms: self.now().wall_ms,
                    lane: Lane {
                        queue,
                        is_dead: false,
                    },
                    state: match delay_ms {
                        0 => State::Ready,
                        _ => State::Delayed {
                            until_ms: self.now_ms + delay_ms,
                        },
                    },
                    attempts: 0,
                    leased_wall_ms: 0,
                    receiver: None,
                    history: Vec::new(),
                });
                let until_ms = self.now_ms + self.config.window_ms;
                self.queues[queue].was_sent_to = true;
                self.queues[queue].keys.extend(idempotency.map(|it| Key {
                    holder: it.holder,
                    key: it.key.into(),
                    body,
                    id: sent.id,
                    until_ms,
                }));
                self.counters.sent += 1;
            }
        }
        if let Err(SendError::Quota(quota)) = expected {
            self.counters.quota_exhausted[quota as usize] += 1;
        }
        self.wake(queue);
    }

    fn assert_little_memory(&self) {
        assert_eq!(self.size, Size::Tight);
        assert!(self.budget.free() < LITTLE_BYTES);
    }

    /// Why a send is refused, or the id that it is told for an earlier one.
    fn expect_sent(
        &mut self,
        queue: usize,
        body: &[u8],
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Option<MessageId>, SendError> {
        let bytes = body.len() as u64;
        if body.len() > self.config.max_body {
            return Err(SendError::TooLarge);
        }
        let full = |(count, held): (u64, u64), most_messages: u64, most_bytes: u64| {
            if count >= most_messages {
                Err(SendError::Quota(Quota::Messages))
            } else if held + bytes > most_bytes {
                Err(SendError::Quota(Quota::Bytes))
            } else {
                Ok(())
            }
        };
        let total = full(
            self.held(|_| true),
            self.config.max_messages_total,
            self.config.max_bytes_total,
        );
        if !self.queues[queue].exists {
            total?;
        }
        self.touch(queue);
        let known = self.queues[queue].keys.iter().find(|known| {
            idempotency.is_some_and(|it| (it.holder, it.key) == (known.holder, &known.key))
        });
        if let Some(known) = known {
            return if known.body == body {
                Ok(Some(known.id))
            } else {
                Err(SendError::KeyReused)
            };
        }
        total?;
        full(
            self.held(|message| message.lane.queue == queue),
            self.config.max_messages,
            self.config.max_bytes,
        )?;
        Ok(None)
    }

    fn receive(&mut self, lane: Lane, most: usize, visibility_ms: u64) {
        let mut out = Vec::new();
        self.mailbox
            .receive(self.now(), name(lane), most, visibility_ms, &mut out);
        if self.queues[lane.queue].exists {
            self.touch(lane.queue);
            self.deliver(lane, None, most, visibility_ms, &out);
            self.wake(lane.queue);
        } else {
            assert!(out.is_empty());
        }
    }

    /// What was received is what had to be.
    fn deliver(
        &mut self,
        lane: Lane,
        receiver: Option<u64>,
        most: usize,
        visibility_ms: u64,
        out: &[Delivery],
    ) {
        let now = self.now();
        for delivery in out {
            assert!(
                !self.acked.contains(&delivery.id),
                "law: nothing acked is delivered again"
            );
            let message = self.messages.iter().find(|it| it.id == delivery.id);
            let message = message.expect("law: what is delivered was sent, and is there");
            assert!(
                !matches!(message.state, State::Leased { .. }),
                "law: a lease has one owner"
            );
            assert!(
                lane.is_dead || delivery.attempt <= self.config.max_deliveries,
                "law: deliveries within their limit"
            );
        }
        let expected = self.expect_delivered(lane, most, out);
        let ids: Vec<MessageId> = expected.iter().map(|at| self.messages[*at].id).collect();
        assert_eq!(
            out.iter().map(|delivery| delivery.id).collect::<Vec<_>>(),
            ids,
            "law: what is visible is delivered, in the order in which it was sent"
        );
        self.counters.delivered += out.len() as u64;
        for (at, delivery) in expected.into_iter().zip(out) {
            self.last += 1;
            let message = &mut self.messages[at];
            message.attempts += 1;
            message.leased_wall_ms = now.wall_ms;
            message.receiver = receiver;
            message.state = State::Leased {
                until_ms: self.now_ms + visibility_ms,
                lease: self.last,
            };
            assert_eq!(delivery.attempt, message.attempts);
            assert_eq!(delivery.enqueued_wall_ms, message.sent_wall_ms);
            assert_eq!(delivery.body, message.body);
            let history = delivery.history.as_deref().unwrap_or_default();
            if self.size == Size::Tight {
                let mut known = message.history.iter();
                assert!(history.iter().all(|it| known.any(|known| known == it)));
            } else {
                assert_eq!(history, message.history);
            }
            if self.given.len() == self.receipts() {
                self.given.remove(0);
            }
            self.given.push(Given {
                lane,
                text: delivery.receipt.to_string(),
                lease: self.last,
                incarnation: self.queues[lane.queue].incarnation,
            });
        }
    }

    /// What is to be received now; what has been delivered too often already is buried.
    fn expect_delivered(&mut self, lane: Lane, most: usize, out: &[Delivery]) -> Vec<usize> {
        let ready = self.ready(lane);
        if self.is_behind || self.size == Size::Tight {
            // Any of them, in any order; and all of them, if it is known which.
            let expected: Vec<usize> = out
                .iter()
                .filter_map(|delivery| {
                    let is_it = |at: &usize| self.messages[*at].id == delivery.id;
                    ready.iter().copied().find(is_it)
                })
                .collect();
            assert!(expected.len() <= most);
            assert!(self.is_behind || expected.len() == most.min(ready.len()));
            return expected;
        }
        let (mut expected, mut buried) = (Vec::new(), 0);
        for at in ready {
            if expected.len() == most || buried == QUEUE_TURN_MESSAGES {
                break;
            }
            if !lane.is_dead && self.messages[at].attempts >= self.config.max_deliveries {
                self.bury(at);
                buried += 1;
            } else {
                expected.push(at);
            }
        }
        expected
    }

    /// Receipts that are remembered, to be used again.
    fn receipts(&self) -> usize {
        match self.size {
            Size::Small => 48,
            _ => 600,
        }
    }

    /// Acks, gives back or extends under two receipts, or many, which may be the same, late, or of another
    /// queue than they are used for.
    fn settle_receipts(&mut self, how: u8, which: u8, where_: u8, delay: u8) {
        let pick = |shift: u8| {
            let at = usize::from(which >> shift & 15);
            // Mostly the latest.
            self.given
                .iter()
                .rev()
                .nth(if at < 13 { at } else { at * 3 })
                .cloned()
        };
        let mut used: Vec<Given> = if self.size != Size::Small && how & 8 != 0 {
            let latest = self.given.iter().rev().take(usize::from(which));
            latest.cloned().collect()
        } else {
            [pick(0), pick(4)].into_iter().flatten().collect()
        };
        let Some(first) = used.first() else { return };
        let lane = if where_ < 232 {
            first.lane
        } else {
            self.lane(where_)
        };
        if how & 0x80 != 0 {
            used.truncate(1);
        }
        if how & 0x70 == 0x70 {
            // A receipt that nobody was given.
            if let Some(forged) = used.last_mut() {
                let letter = if forged.text[11..].starts_with('A') {
                    "B"
                } else {
                    "A"
                };
                forged.text.replace_range(11..12, letter);
                forged.incarnation = u64::MAX;
            }
        }
        let (delay_ms, visibility_ms) =
            (choose(&DELAYS_MS, delay), choose(&VISIBILITIES_MS, delay));
        let texts: Vec<&str> = used.iter().map(|given| given.text.as_str()).collect();
        let now = self.now();
        let mut verdicts = Vec::new();
        match how % 4 {
            0 | 1 => self.mailbox.ack(now, name(lane), &texts, &mut verdicts),
            2 => self
                .mailbox
                .nack(now, name(lane), delay_ms, &texts, &mut verdicts),
            _ => self
                .mailbox
                .extend(now, name(lane), visibility_ms, &texts, &mut verdicts),
        }

        let exists = self.queues[lane.queue].exists;
        if exists {
            self.touch(lane.queue);
        }
        let mut expected = Vec::new();
        for given in &used {
            let is_known = exists
                && given.lane == lane
                && given.incarnation == self.queues[lane.queue].incarnation;
            if !is_known {
                expected.push(Verdict::Unknown);
                continue;
            }
            let leased = self.messages.iter().position(|message| {
                matches!(message.state, State::Leased { until_ms, lease }
                    if lease == given.lease && self.now_ms < until_ms)
            });
            let Some(at) = leased else {
                expected.push(Verdict::Late);
                continue;
            };
            expected.push(Verdict::Ok);
            match how % 4 {
                0 | 1 => {
                    self.acked.insert(self.messages.remove(at).id);
                    self.counters.acked += 1;
                }
                2 => self.fail(at, AttemptEnd::Nacked, now.wall_ms, delay_ms),
                _ => {
                    self.messages[at].state = State::Leased {
                        until_ms: self.now_ms + visibility_ms,
                        lease: given.lease,
                    };
                }
            }
        }
        assert_eq!(
            verdicts, expected,
            "law: a receipt is good for its own lease alone"
        );
        if exists {
            self.wake(lane.queue);
        }
    }

    fn purge(&mut self, lane: Lane) {
        let now = self.now();
        let purge = self.mailbox.purge(now, name(lane));
        let purged = purge.map(|mut it| all_turns(|| it.turn(now)));
        if !self.queues[lane.queue].exists {
            assert_eq!(purged, None);
            return;
        }
        // It looks first, and works in turns.
        self.touch(lane.queue);
        self.wake(lane.queue);
        let was_sent_to = self.queues[lane.queue].was_sent_to;
        let (count, _) = self.held(|message| message.lane == lane);
        assert_eq!(purged, was_sent_to.then_some(count));
        self.messages.retain(|message| message.lane != lane);
        self.counters.purged += count;
        self.wake(lane.queue);
    }

    fn redrive(&mut self, queue: usize, limit: u32) {
        let now = self.now();
        let redrive = self.mailbox.redrive(now, NAMES[queue], limit);
        let redriven = redrive.map(|mut it| all_turns(|| it.turn(now)));
        if !self.queues[queue].exists {
            assert_eq!(redriven, None);
            return;
        }
        self.touch(queue);
        self.wake(queue);
        if !self.queues[queue].was_sent_to {
            assert_eq!(redriven, None);
            return;
        }
        let dead = Lane {
            queue,
            is_dead: true,
        };
        let most = if limit == 0 {
            usize::MAX
        } else {
            limit as usize
        };
        let moved: Vec<usize> = self.ready(dead).into_iter().take(most).collect();
        for at in &moved {
            let message = &mut self.messages[*at];
            message.lane.is_dead = false;
            message.attempts = 0;
            message.history.clear();
        }
        let (left, _) = self.held(|message| message.lane == dead);
        let expected = Redriven {
            moved: moved.len() as u32,
            left: left as u32,
        };
        assert_eq!(redriven, Some(expected));
        self.counters.redriven += moved.len() as u64;
        self.wake(queue);
    }

    fn stats(&mut self, lane: Lane) {
        let stats = self.mailbox.stats(self.now(), name(lane));
        if !self.queues[lane.queue].exists {
            assert_eq!(stats, None);
            return;
        }
        self.touch(lane.queue);
        let here = |of: fn(&State) -> bool| {
            self.held(|message| message.lane == lane && of(&message.state))
                .0
        };
        let (dead, _) = self.held(|message| {
            message.lane.queue == lane.queue && message.lane.is_dead && !lane.is_dead
        });
        let (_, bytes) = self.held(|message| {
            message.lane == lane || message.lane.queue == lane.queue && !lane.is_dead
        });
        let expected = QueueStats {
            ready: here(|state| matches!(state, State::Ready)),
            leased: here(|state| matches!(state, State::Leased { .. })),
            delayed: here(|state| matches!(state, State::Delayed { .. })),
            dead,
            bytes,
        };
        let was_sent_to = self.queues[lane.queue].was_sent_to;
        assert_eq!(stats, was_sent_to.then_some(expected));
        self.wake(lane.queue);
    }

    fn join(&mut self, lane: Lane, credit: u8) {
        if self.waiting.len() == RECEIVERS {
            return;
        }
        let credit = credit
            .is_multiple_of(2)
            .then_some(u16::from(credit >> 1) % 4);
        let receiver = self.mailbox.receiver(self.now(), name(lane), credit);
        self.touch(lane.queue);
        let Ok(receiver) = receiver else {
            self.assert_little_memory();
            self.forget(lane.queue, 0);
            return;
        };
        self.last += 1;
        self.waiting.push(Waiting {
            receiver,
            number: self.last,
            lane,
            credit,
            place: None,
            is_parked: false,
            is_woken: false,
            wakes: Arc::default(),
            expected_wakes: 0,
        });
        self.wake(lane.queue);
    }

    fn which(&self, which: u8) -> Option<usize> {
        (!self.waiting.is_empty()).then(|| usize::from(which) % self.waiting.len())
    }

    fn leave(&mut self, which: u8) {
        let Some(at) = self.which(which) else { return };
        let gone = self.waiting.remove(at);
        let queue = gone.lane.queue;
        drop(gone);
        self.wake(queue);
        self.forget(queue, 0);
    }

    fn decline(&mut self, which: u8) {
        let Some(at) = self.which(which) else { return };
        let waiting = &mut self.waiting[at];
        waiting.receiver.decline();
        waiting.is_parked = false;
        waiting.is_woken = false;
        let queue = waiting.lane.queue;
        self.wake(queue);
    }

    fn poll(&mut self, which: u8) {
        let Some(at) = self.which(which) else { return };
        let now = self.now();
        let waker = Waker::from(Arc::clone(&self.waiting[at].wakes));
        let ready = self.waiting[at].receiver.poll_ready(now, &waker);
        let lane = self.waiting[at].lane;
        self.touch(lane.queue);
        let expected = !self.ready(lane).is_empty() && self.credit(&self.waiting[at]) > 0;
        assert_eq!(ready, expected, "law: who may receive something is told so");
        if !expected {
            self.last += 1;
            let waiting = &mut self.waiting[at];
            waiting.place.get_or_insert(self.last);
            waiting.is_parked = true;
            waiting.is_woken = false;
        }
        self.wake(lane.queue);
    }

    fn receive_through(&mut self, which: u8, most: usize, visibility_ms: u64) {
        let Some(at) = self.which(which) else { return };
        let now = self.now();
        let mut out = Vec::new();
        let waiting = &mut self.waiting[at];
        waiting.receiver.receive(now, most, visibility_ms, &mut out);
        let (lane, number) = (waiting.lane, waiting.number);
        self.touch(lane.queue);
        let most = most.min(self.credit(&self.waiting[at]));
        self.deliver(lane, Some(number), most, visibility_ms, &out);
        let waiting = &mut self.waiting[at];
        waiting.is_woken = false;
        if !out.is_empty() {
            waiting.place = None;
            waiting.is_parked = false;
        }
        self.wake(lane.queue);
    }

    /// Whether anything in a queue is over.
    fn next_deadline(&self, queue: usize) -> Option<u64> {
        let messages = self.messages.iter().filter(|it| it.lane.queue == queue);
        let ends = messages.filter_map(|message| match message.state {
            State::Ready => None,
            State::Leased { until_ms, .. } | State::Delayed { until_ms } => Some(until_ms),
        });
        let keys = self.queues[queue].keys.iter().map(|key| key.until_ms);
        ends.chain(keys).min()
    }

    fn sweep(&mut self) {
        let due = (0..NAMES.len())
            .filter_map(|queue| self.next_deadline(queue))
            .min();
        if let Some(due) = due {
            let told = self.mailbox.next_deadline();
            assert!(
                told.is_some_and(|told| told <= due),
                "law: what ends is swept in time: {told:?}, {due}"
            );
        }
        while self.mailbox.sweep(self.now()) {}
        for queue in 0..NAMES.len() {
            self.settle(queue);
            self.wake(queue);
            self.forget(queue, self.now_ms);
        }
        let told = self.mailbox.next_deadline();
        assert!(told.is_none_or(|told| told > self.now_ms));
    }

    fn clear(&mut self) {
        self.mailbox.clear();
        self.messages.clear();
        for queue in 0..NAMES.len() {
            self.queues[queue].keys.clear();
            self.queues[queue].was_sent_to = false;
            self.wake(queue);
            self.forget(queue, 0);
        }
    }

    // --- Laws ---------------------------------------------------------------------------------

    fn check(&self) {
        // What is over counts when somebody looks, which for both is the same moment. They look
        // through all that there is, which is slow.
        if self.steps.is_multiple_of(32) {
            assert_eq!(self.mailbox.counters(), self.counters);
        }
        for waiting in &self.waiting {
            assert_eq!(
                waiting.wakes.0.load(Relaxed),
                waiting.expected_wakes,
                "law: one message wakes one receiver, whoever came first"
            );
        }
    }

    /// Everything that is left can be received, and nothing is left of anything in the end.
    pub(crate) fn finish(mut self) {
        self.waiting.clear();
        for queue in 0..NAMES.len() {
            self.forget(queue, 0);
        }
        self.now_ms += 10_000_000;
        self.config.max_deliveries = u32::MAX;
        self.mailbox.configure(self.config);
        self.sweep();
        let mut seen = BTreeMap::new();
        for (queue, name) in NAMES.into_iter().enumerate() {
            for is_dead in [false, true] {
                let mut out = Vec::new();
                self.mailbox.receive(
                    self.now(),
                    QueueRef {
                        queue: name,
                        is_dead,
                    },
                    usize::MAX,
                    10,
                    &mut out,
                );
                for delivery in out {
                    seen.insert(delivery.id, Lane { queue, is_dead });
                }
            }
        }
        let expected: BTreeMap<MessageId, Lane> = self
            .messages
            .iter()
            .map(|message| (message.id, message.lane))
            .collect();
        assert_eq!(seen, expected, "law: nothing that was sent is lost");
        self.mailbox.clear();
        assert_eq!(self.budget.committed(), 0);
        assert_eq!(self.budget.used(MemoryKind::Messages), 0);
        assert_eq!(self.mailbox.next_deadline(), None);
    }
}
