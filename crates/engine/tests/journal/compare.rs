//! Whether a node is what it was before, or what was kept, as far as anybody can tell.

use std::collections::BTreeMap;

use micronode_engine::mailbox::{Attempt, Delivery, MessageId, QueueStats, Verdict};
use micronode_engine::names::{Expected, NameEntry};
use micronode_engine::{DeleteError, GetError};
use micronode_protocol::Address;
use micronode_protocol::name::QueueRef;

use crate::kept::{Kept, KeptObject, describe};
use crate::lanes;
use crate::node::Node;

/// Longer than any test.
const LONG_MS: u64 = 1 << 40;

/// A lease, and where it was given.
pub(crate) type Lease = (QueueRef<'static>, Delivery);

/// A message as it comes out next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    lane: (&'static str, bool),
    /// When it was visible; for one that was at once, when it was looked for.
    visible_wall_ms: u64,
    attempt: u32,
    body: Vec<u8>,
    enqueued_wall_ms: u64,
    history: Vec<Attempt>,
}

impl Seen {
    fn new(of: QueueRef<'static>, visible_wall_ms: u64, delivery: &Delivery) -> Self {
        Self {
            lane: (of.queue, of.is_dead),
            visible_wall_ms,
            attempt: delivery.attempt,
            body: delivery.body.to_vec(),
            enqueued_wall_ms: delivery.enqueued_wall_ms,
            history: delivery.history.as_deref().unwrap_or_default().to_vec(),
        }
    }
}

type Messages = BTreeMap<MessageId, Seen>;

/// All messages that are not leased, each when it is visible. Those that are together come in the
/// order in which they were sent.
fn drain(node: &mut Node) -> Messages {
    let mut messages = Messages::new();
    loop {
        let mut waiting = 0;
        for of in lanes() {
            let got = node.receive(of, usize::MAX, LONG_MS);
            assert!(got.is_sorted_by(|one, next| one.id < next.id), "in order");
            for delivery in got {
                let seen = Seen::new(of, node.now.wall_ms, &delivery);
                let twice = messages.insert(delivery.id, seen);
                assert_eq!(twice, None, "a message comes out once");
            }
            let stats = node.mailbox.stats(node.now, of).unwrap_or_default();
            assert_eq!(stats.ready, 0);
            waiting += stats.delayed;
        }
        if waiting == 0 {
            return messages;
        }
        let next = node.mailbox.next_deadline().expect("a delay ends");
        node.advance(next - node.now.mono_ms);
        node.sweep();
    }
}

fn object(node: &Node, address: &Address) -> Result<KeptObject, GetError> {
    let object = node.store.get(node.now, address)?;
    Ok(describe(&object, None, object.expires_at_wall_ms(node.now)))
}

fn names(node: &Node) -> Vec<NameEntry> {
    let mut entries = Vec::new();
    assert!(!node.names.list("", "", usize::MAX, &mut entries));
    entries
}

fn stats(node: &Node) -> Vec<Option<QueueStats>> {
    let stats = |of| node.mailbox.stats(node.now, of);
    lanes().map(stats).collect()
}

/// As it is when nothing is leased any more.
fn unleased(stats: Option<QueueStats>) -> Option<QueueStats> {
    stats.map(|stats| QueueStats {
        ready: stats.ready + stats.leased,
        leased: 0,
        ..stats
    })
}

/// The message of a lease as it comes out when the lease is none any more.
fn given_back(node: &Node, (of, delivery): &Lease) -> Seen {
    let mut seen = Seen::new(*of, node.now.wall_ms, delivery);
    seen.lane.1 |= seen.attempt >= node.setup.config.max_deliveries;
    seen.attempt += 1;
    seen
}

/// Asserts that `live` and what is restored of it answer alike, after `downtime_ms`, but for the
/// leases: those are ready again. What was sent under keys is sent again.
pub(crate) fn assert_survives(
    mut live: Node,
    leases: &[Lease],
    addresses: &[Address],
    keys: &BTreeMap<(&'static str, String), Vec<u8>>,
    downtime_ms: u64,
) {
    // What is due is done, and that a lease goes on for longer is nothing that lasts.
    live.sweep();
    stats(&live);
    let recorded = live.journal.len();
    let runs = |(of, delivery): &&Lease| live.extend(*of, delivery, LONG_MS) == Verdict::Ok;
    let leases: Vec<_> = leases.iter().filter(runs).collect();
    assert_eq!(live.journal.len(), recorded);

    let kept = live.kept();
    assert_eq!(kept.objects.len() as u64, live.store.stats().objects);
    let mut restored = live.restored(&kept, downtime_ms);
    live.advance(downtime_ms);
    live.sweep();
    restored.sweep();

    assert_eq!(names(&live), names(&restored));
    assert_eq!(live.names.revision(), restored.names.revision());
    for address in addresses {
        match object(&live, address) {
            // What is damaged in one memory is not where it is kept.
            Err(GetError::Integrity(_)) => assert!(object(&restored, address).is_ok()),
            alive => assert_eq!(alive, object(&restored, address)),
        }
    }
    let sums = |node: &Node| {
        let stats = node.store.stats();
        (stats.objects, stats.object_bytes, stats.pinned_bytes)
    };
    assert_eq!(sums(&live), sums(&restored));
    let both = [&live, &restored].map(stats);
    assert_eq!(
        both[0].iter().flatten().map(|it| it.leased).sum::<u64>(),
        leases.len() as u64
    );
    let [live_stats, restored_stats] = both;
    let unleased: Vec<_> = live_stats.into_iter().map(unleased).collect();
    assert_eq!(unleased, restored_stats);

    for ((queue, key), body) in keys {
        for body in [&b"another"[..], body] {
            let [live, restored] =
                [&live, &restored].map(|node| node.send(queue, body, 0, Some(key)));
            assert_eq!(live, restored, "{key} in {queue}");
        }
    }

    let mut expected = Messages::new();
    for lease in leases {
        expected.insert(lease.1.id, given_back(&live, lease));
    }
    expected.append(&mut drain(&mut live));
    assert_eq!(expected, drain(&mut restored));

    let end_ms = live.now.wall_ms.max(restored.now.wall_ms);
    let [live, restored] = [live, restored].map(|mut node| {
        node.advance(end_ms - node.now.wall_ms);
        let delete = |address| node.store.delete(node.now, address);
        let deleted: Vec<_> = addresses.iter().map(delete).collect();
        let any = &Expected::Any;
        let unname = |name: &NameEntry| node.names.delete(&name.name, any, |_| ());
        let unnamed: Vec<_> = names(&node).iter().map(unname).collect();
        (deleted, unnamed)
    });
    assert_eq!(live, restored);
}

/// Asserts that a node that has just been restored from `kept` holds that, and nothing else. It is
/// of no use afterwards.
pub(crate) fn assert_holds(mut node: Node, kept: &Kept) {
    let now = node.now;
    let expected = kept
        .names
        .iter()
        .map(|(name, (address, revision))| NameEntry {
            name: name.as_str().into(),
            address: *address,
            revision: *revision,
        });
    assert!(names(&node).into_iter().eq(expected));
    assert_eq!(node.names.revision(), kept.revision);

    assert_eq!(node.store.stats().objects, kept.objects.len() as u64);
    for (address, kept_object) in &kept.objects {
        let is_named = kept.names.values().any(|(named, _)| named == address);
        let ends = kept_object.expires_at_wall_ms;
        let is_over = ends.is_some_and(|at| at <= now.wall_ms);
        let expected = (is_named || !is_over).then(|| KeptObject {
            expires_at_wall_ms: ends.map(|at| at.max(now.wall_ms)),
            place: None,
            ..kept_object.clone()
        });
        assert_eq!(object(&node, address).ok(), expected);
        let deleted = node.store.delete(now, address);
        assert_eq!(deleted == Err(DeleteError::Pinned), is_named);
    }

    let mut expected: Vec<(&str, Seen)> = Vec::new();
    let mut sums = BTreeMap::new();
    for queue in kept.queues.values() {
        let name = lanes().find(|of| of.queue == queue.name).unwrap().queue;
        let [mut main, mut dead] = [QueueStats::default(); 2];
        for message in queue.messages.values() {
            let state = &message.state;
            let until = state.visible_at_wall_ms.filter(|at| *at > now.wall_ms);
            let lane = if state.is_dead { &mut dead } else { &mut main };
            lane.delayed += u64::from(until.is_some());
            lane.ready += u64::from(until.is_none());
            lane.bytes += message.body.len() as u64;
            let is_buried = state.attempts >= node.setup.config.max_deliveries;
            let seen = Seen {
                lane: (name, state.is_dead || is_buried),
                visible_wall_ms: until.unwrap_or(now.wall_ms),
                attempt: state.attempts + 1,
                body: message.body.to_vec(),
                enqueued_wall_ms: message.sent_wall_ms,
                history: state.history.as_deref().unwrap_or_default().to_vec(),
            };
            expected.push((name, seen));
        }
        main.dead = dead.ready + dead.delayed;
        main.bytes += dead.bytes;
        sums.insert((name, false), main);
        sums.insert((name, true), dead);
    }
    let sums: Vec<_> = lanes()
        .map(|of| sums.get(&(of.queue, of.is_dead)).copied())
        .collect();
    assert_eq!(stats(&node), sums);
    // By name, and then as they were sent.
    expected.sort_by_key(|(name, _)| *name);
    let mut drained: Vec<_> = drain(&mut node).into_values().collect();
    drained.sort_by_key(|seen| seen.lane.0);
    assert!(drained.into_iter().eq(expected.into_iter().map(|it| it.1)));
}
