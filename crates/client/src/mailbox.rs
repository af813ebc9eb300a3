//! Queues: messages that are received under a lease, and gone when they are acknowledged.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use micronode_protocol::idempotency::is_idempotency_key;
use micronode_protocol::limits::{
    DELAY_MAX, RECEIPTS, RECEIVE_MESSAGES, VISIBILITY, VISIBILITY_MAX, WAIT_MAX,
};
use micronode_protocol::name::QueueRef;
use micronode_protocol::operation::Verdict;
use serde::Deserialize;
use tokio::time::Instant;

use crate::retry::pause_if_early;
use crate::{Client, Error};

/// How a message is sent.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// By what the node knows the message again.
    pub key: Key,
    /// Nobody receives it before this has passed, up to 7 days. Sent in milliseconds.
    pub delay: Option<Duration>,
}

/// An idempotency key: a message that is sent again under the key of one that was sent in the last
/// ten minutes (unless the node is set up otherwise) is not a second one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// A new one for each call, so that a call that is repeated sends one message.
    ///
    /// A queue remembers 65 536 keys and refuses messages beyond that: for more than a hundred
    /// messages a second, [`Key::None`] is the one.
    #[default]
    Random,
    /// This one, of 1 to 255 printable ASCII characters, with no space at its ends.
    Given(String),
    /// None. A call is not repeated when the message may have been sent.
    None,
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The node's name for it.
    pub id: String,
    /// It had been sent before, under the same key.
    pub duplicate: bool,
}

/// How messages are received.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveOptions {
    /// At most so many; 256 at once.
    pub max: usize,
    /// How long to wait for the first of them. A node waits for 4 s; for longer, it is asked again.
    pub wait: Duration,
    /// How long they are nobody else's, from 1 ms to 12 hours; then they may be received again.
    pub visibility: Duration,
}

impl Default for ReceiveOptions {
    /// One message, without waiting, for 30 s.
    fn default() -> Self {
        ReceiveOptions {
            max: 1,
            wait: Duration::ZERO,
            visibility: VISIBILITY,
        }
    }
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The node's name for it.
    pub id: String,
    /// For this delivery: what acknowledges, returns or prolongs it.
    pub receipt: String,
    /// The number of this delivery, from 1.
    pub attempt: u32,
    /// When it was sent, by the node's clock.
    pub enqueued_at: SystemTime,
    /// What was sent.
    pub body: Bytes,
    /// Of a dead letter: what became of its deliveries before. OAP does not tell.
    pub history: Vec<Attempt>,
}

/// A delivery that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it was received.
    pub leased_at: SystemTime,
    /// When that was over.
    pub ended_at: SystemTime,
    /// It was returned; otherwise its lease ended.
    pub nacked: bool,
}

/// Messages of a queue, and what they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct QueueStats {
    /// May be received now.
    pub ready: u64,
    /// Received and not yet acknowledged.
    pub leased: u64,
    /// May not be received yet.
    pub delayed: u64,
    /// Received too often, and moved to the queue's dead letters.
    pub dead: u64,
    /// Bytes of the node's memory.
    pub bytes: u64,
}

/// What came of a redrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Redriven {
    /// Dead letters that are ordinary messages again.
    pub moved: u32,
    /// Those that are still dead.
    pub left: u32,
}

/// What is done with the lease of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settle {
    Ack,
    Nack { delay: Duration },
    Extend { visibility: Duration },
}

impl Client {
    /// Sends a message to a queue, which is there as soon as it is sent to. 413 if the message is
    /// longer than the node takes, 256 KiB unless it is set up otherwise; 422 if another one was
    /// sent under its key; 429, after some attempts, if a bound of the queue is reached.
    pub async fn send(
        &self,
        queue: &str,
        body: Bytes,
        options: &SendOptions,
    ) -> Result<Sent, Error> {
        check_source(queue)?;
        let key = match &options.key {
            Key::Random => random_key(),
            Key::Given(key) => Some(check_key(key)?.to_owned()),
            Key::None => None,
        };
        let delay = options.delay.unwrap_or_default();
        check_delay(delay)?;
        let send = || {
            let key = key.as_deref().unwrap_or_default();
            self.transport.send(queue, key, delay, body.clone())
        };
        match key {
            Some(_) => self.repeat(send).await,
            None => self.repeat_refused(send).await,
        }
    }

    /// Receives messages: those that are there, or the first that come while it waits; none when
    /// there were none. Whoever does not acknowledge them in time will see them again, and so will
    /// a caller whose answer was lost.
    pub async fn receive(
        &self,
        queue: &str,
        options: &ReceiveOptions,
    ) -> Result<Vec<Message>, Error> {
        check_queue(queue)?;
        check_visibility(options.visibility)?;
        let max = options.max.clamp(1, RECEIVE_MESSAGES) as u16;
        let ends = Instant::now() + options.wait.min(DAY);
        loop {
            let asked = Instant::now();
            let left = ends.saturating_duration_since(asked);
            let (wait, visibility) = (left.min(WAIT_MAX), options.visibility);
            let receive = || self.transport.receive(queue, max, wait, visibility);
            let messages = self.repeat(receive).await?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            let early = pause_if_early(asked, wait).await;
            if left <= WAIT_MAX && !early {
                return Ok(messages);
            }
        }
    }

    /// Acknowledges messages: they are done, and gone. The verdicts are in the order of the
    /// receipts. When the answer of a first attempt was lost, the next may find nothing left to
    /// acknowledge and say so. Takes one request for every 256 receipts: an error leaves open which
    /// of them it had been done for.
    pub async fn ack<R: AsRef<str>>(
        &self,
        queue: &str,
        receipts: &[R],
    ) -> Result<Vec<Verdict>, Error> {
        self.settle(queue, Settle::Ack, receipts).await
    }

    /// Returns messages to their queue, to be received again after `delay` has passed, up to 7
    /// days. The verdicts are as those of [`Client::ack`].
    pub async fn nack<R: AsRef<str>>(
        &self,
        queue: &str,
        delay: Duration,
        receipts: &[R],
    ) -> Result<Vec<Verdict>, Error> {
        check_delay(delay)?;
        self.settle(queue, Settle::Nack { delay }, receipts).await
    }

    /// Has messages stay nobody else's for `visibility` from now, 1 ms to 12 hours. The verdicts are
    /// as those of [`Client::ack`].
    pub async fn extend<R: AsRef<str>>(
        &self,
        queue: &str,
        visibility: Duration,
        receipts: &[R],
    ) -> Result<Vec<Verdict>, Error> {
        check_visibility(visibility)?;
        let extend = Settle::Extend { visibility };
        self.settle(queue, extend, receipts).await
    }

    /// Takes one request for every [`RECEIPTS`].
    async fn settle<R: AsRef<str>>(
        &self,
        queue: &str,
        settle: Settle,
        receipts: &[R],
    ) -> Result<Vec<Verdict>, Error> {
        check_queue(queue)?;
        let receipts: Vec<&str> = receipts.iter().map(AsRef::as_ref).collect();
        let mut verdicts = Vec::with_capacity(receipts.len());
        for some in receipts.chunks(RECEIPTS) {
            let settled = || self.transport.settle(queue, settle, some);
            let answer = self.repeat(settled).await?;
            if answer.len() != some.len() {
                return Err(Error::Protocol("it speaks of another number of receipts"));
            }
            verdicts.extend(answer);
        }
        Ok(verdicts)
    }

    /// The messages of a queue, counted. 404 if it was never sent to.
    pub async fn queue_stats(&self, queue: &str) -> Result<QueueStats, Error> {
        check_queue(queue)?;
        self.repeat(|| self.transport.queue_stats(queue)).await
    }

    /// Removes all messages of a queue, also those that are leased; how many. 404 if it was never
    /// sent to. Is not repeated when it may have been done.
    pub async fn purge(&self, queue: &str) -> Result<u64, Error> {
        check_queue(queue)?;
        self.repeat_refused(|| self.transport.purge(queue)).await
    }

    /// Moves dead letters of a queue back into it, the oldest first, and at most `limit` of them
    /// where that is not 0. 404 if it was never sent to. Is not repeated when it may have been done.
    pub async fn redrive(&self, queue: &str, limit: u32) -> Result<Redriven, Error> {
        check_source(queue)?;
        let redrive = || self.transport.redrive(queue, limit);
        self.repeat_refused(redrive).await
    }
}

/// Zero stands for something else over OAP, and what is shorter would be cut to it.
const VISIBILITY_MIN: Duration = Duration::from_millis(1);

/// Nobody waits for longer in one call.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn check_queue(queue: &str) -> Result<(), Error> {
    QueueRef::parse(queue)
        .map(drop)
        .ok_or_else(|| Error::Invalid {
            what: "a queue",
            given: queue.escape_debug().to_string(),
            rule: "1 to 80 of a-z, 0-9, `.`, `_` and `-`; behind them, `.dlq` stands for its dead letters",
        })
}

/// What is sent to, and its dead letters come back to.
fn check_source(queue: &str) -> Result<(), Error> {
    check_queue(queue)?;
    let is_dead = QueueRef::parse(queue).is_some_and(|it| it.is_dead);
    (!is_dead).then_some(()).ok_or_else(|| Error::Invalid {
        what: "a queue to send to or to redrive",
        given: queue.to_owned(),
        rule: "it stands for the dead letters of the queue without `.dlq`",
    })
}

fn check_delay(delay: Duration) -> Result<(), Error> {
    (delay <= DELAY_MAX)
        .then_some(())
        .ok_or_else(|| Error::Invalid {
            what: "a delay",
            given: format!("{delay:?}"),
            rule: "up to 7 days",
        })
}

pub(crate) fn check_visibility(visibility: Duration) -> Result<(), Error> {
    (VISIBILITY_MIN..=VISIBILITY_MAX)
        .contains(&visibility)
        .then_some(())
        .ok_or_else(|| Error::Invalid {
            what: "the time of a lease",
            given: format!("{visibility:?}"),
            rule: "1 ms to 12 hours",
        })
}

fn check_key(key: &str) -> Result<&str, Error> {
    is_idempotency_key(key)
        .then_some(key)
        .ok_or_else(|| Error::Invalid {
            what: "an idempotency key",
            given: key.escape_debug().to_string(),
            rule: "1 to 255 printable ASCII characters, with no space at its ends",
        })
}

/// Without randomness there is no key, and no repeating under one.
fn random_key() -> Option<String> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(key))
}
