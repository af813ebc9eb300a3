//! Queues and events. Queues are told apart by their names only where the operator has said so:
//! names are the users' own words.

use super::Page;
use crate::clock;
use crate::node::Node;
use micronode_engine::mailbox::QueueDepth;
use micronode_protocol::limits::METRIC_QUEUES;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// The label of all queues that have none of their own.
const OTHER: &str = "other";

pub(super) fn queues(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let depths = depths(node);
    let by_state = depths.iter().flat_map(|queue| {
        let states = [
            ("ready", queue.ready),
            ("leased", queue.leased),
            ("delayed", queue.delayed),
            ("dead", queue.dead),
        ];
        states.map(|(state, count)| {
            let labels = [("queue", &*queue.name), ("state", state)];
            (labels, ConstGauge::new(count as i64))
        })
    });
    page.family(
        "mailbox_depth",
        "Messages in queues, by state",
        MetricType::Gauge,
        by_state,
    )?;
    let oldest = depths.iter().map(|queue| {
        let seconds = queue.oldest_ready_ms.unwrap_or(0) as f64 / 1e3;
        ([("queue", &*queue.name)], ConstGauge::new(seconds))
    });
    page.family(
        "mailbox_oldest_ready_seconds",
        "For how long the message that is next could have been received",
        MetricType::Gauge,
        oldest,
    )?;

    let counters = node.mailbox.counters();
    page.counter(
        "mailbox_visibility_timeout",
        "Leases that ran out",
        counters.visibility_timeouts,
    )?;
    page.counter(
        "mailbox_dlq",
        "Messages that became dead letters",
        counters.dead_lettered,
    )?;
    page.histogram(
        "mailbox_send_latency_seconds",
        "The engine's part of sending a message",
        &node.metrics.mailbox_send,
    )?;
    page.histogram(
        "mailbox_recv_latency_seconds",
        "The engine's part of leasing messages, without the wait",
        &node.metrics.mailbox_recv,
    )?;
    page.histogram(
        "mailbox_ack_latency_seconds",
        "The engine's part of acknowledging messages",
        &node.metrics.mailbox_ack,
    )
}

/// The first queues by name, if their names may be told, and then all others as one.
fn depths(node: &Node) -> Vec<QueueDepth> {
    let most = match node.config.load().metrics.queue_names {
        true => METRIC_QUEUES,
        false => 0,
    };
    let depths = node.mailbox.depths(clock::now(), most);
    let (mut queues, mut other) = (depths.queues, depths.other);
    // Two samples under one label would spoil the page.
    if let Some(index) = queues.iter().position(|queue| queue.name == OTHER) {
        other += &queues.remove(index);
    }
    OTHER.clone_into(&mut other.name);
    queues.push(other);
    queues
}

pub(super) fn events(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let dropped = node.events.dropped();
    let dropped = dropped
        .iter()
        .map(|(route, count)| ([("route", &**route)], ConstCounter::new(*count)));
    page.family(
        "route_dropped",
        "Events that found no room in the queue of their route",
        MetricType::Counter,
        dropped,
    )?;
    page.counter(
        "bus_published",
        "Events published",
        node.events.bus.published(),
    )?;
    // Nothing within the node subscribes: routes are a part of publishing.
    let lagged = [("internal", 0), ("external", node.events.bus.lagged())];
    let lagged =
        lagged.map(|(subscriber, count)| ([("subscriber", subscriber)], ConstCounter::new(count)));
    page.family(
        "bus_lagged",
        "Events that subscribers were too slow for",
        MetricType::Counter,
        lagged,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{registry, scrape};
    use super::*;
    use crate::config::{Config, Sources, load};
    use micronode_engine::mailbox::Send;
    use micronode_protocol::name::QueueRef;
    use std::sync::Arc;

    fn node() -> Arc<Node> {
        let loaded = load(Sources {
            file: None,
            env: [],
            flags: vec![
                ("memory.budget", "64MiB".to_owned()),
                ("limits.mailbox.max_deliveries", "1".to_owned()),
            ],
        });
        Arc::new(Node::new(&loaded.unwrap(), None))
    }

    fn tell_names(node: &Node) {
        let mut config = Config::clone(&node.config.load());
        config.metrics.queue_names = true;
        node.apply(config);
    }

    fn send(node: &Node, queue: &str, delay_ms: u64) {
        let message = Send {
            body: b"x",
            delay_ms,
            idempotency: None,
        };
        node.mailbox.send(clock::now(), queue, message).unwrap();
    }

    fn lease(node: &Node, queue: &str, max: usize) -> Vec<String> {
        let queue = QueueRef::parse(queue).unwrap();
        let mut leased = Vec::new();
        node.mailbox
            .receive(clock::now(), queue, max, 60_000, &mut leased);
        leased.iter().map(|it| it.receipt.to_string()).collect()
    }

    /// The samples of a family, without its name.
    fn samples(node: &Arc<Node>, family: &str) -> Vec<String> {
        let text = scrape(&registry(Arc::clone(node))).unwrap();
        let samples = text.lines().filter_map(|line| line.strip_prefix(family));
        samples.map(ToOwned::to_owned).collect()
    }

    fn depth_of(queue: &str, counts: [u64; 4]) -> Vec<String> {
        let states = ["ready", "leased", "delayed", "dead"].into_iter();
        let sample = |(state, count)| format!("{{queue=\"{queue}\",state=\"{state}\"}} {count}");
        states.zip(counts).map(sample).collect()
    }

    #[test]
    fn every_message_has_one_state_and_names_are_told_on_demand() {
        let node = node();
        assert_eq!(samples(&node, "mailbox_depth"), depth_of("other", [0; 4]));
        for _ in 0..4 {
            send(&node, "a", 0);
        }
        send(&node, "a", 60_000);
        send(&node, "b", 0);
        let receipts = lease(&node, "a", 2);
        let queue = QueueRef::parse("a").unwrap();
        let mut verdicts = Vec::new();
        node.mailbox
            .nack(clock::now(), queue, 0, &[&receipts[0]], &mut verdicts);
        // A dead letter that somebody looks at is one still.
        assert_eq!(lease(&node, "a.dlq", 1).len(), 1);

        assert_eq!(
            samples(&node, "mailbox_depth"),
            depth_of("other", [3, 1, 1, 1])
        );
        assert_eq!(samples(&node, "mailbox_dlq_total"), [" 1"]);
        tell_names(&node);
        let mut expected = depth_of("a", [2, 1, 1, 1]);
        expected.extend(depth_of("b", [1, 0, 0, 0]));
        expected.extend(depth_of("other", [0; 4]));
        assert_eq!(samples(&node, "mailbox_depth"), expected);
    }

    #[test]
    fn the_first_queues_by_name_have_metrics_of_their_own() {
        let node = node();
        tell_names(&node);
        for index in 0..=METRIC_QUEUES {
            send(&node, &format!("q{index:03}"), 0);
        }
        let depths = samples(&node, "mailbox_depth");
        assert_eq!(depths.len(), 4 * (METRIC_QUEUES + 1));
        assert_eq!(depths[..4], depth_of("q000", [1, 0, 0, 0]));
        assert_eq!(
            depths[4 * (METRIC_QUEUES - 1)..],
            [
                depth_of(&format!("q{:03}", METRIC_QUEUES - 1), [1, 0, 0, 0]),
                depth_of("other", [1, 0, 0, 0])
            ]
            .concat()
        );
        assert_eq!(
            samples(&node, "mailbox_oldest_ready_seconds").len(),
            METRIC_QUEUES + 1
        );
    }

    /// A queue may be called like the label of those that have none.
    #[test]
    fn a_queue_called_other_is_one_of_the_others() {
        let node = node();
        tell_names(&node);
        send(&node, "other", 0);
        send(&node, "z", 60_000);
        let mut expected = depth_of("z", [0, 0, 1, 0]);
        expected.extend(depth_of("other", [1, 0, 0, 0]));
        assert_eq!(samples(&node, "mailbox_depth"), expected);
    }

    #[test]
    fn the_oldest_is_told_in_seconds() {
        let node = node();
        send(&node, "a", 0);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let oldest = samples(&node, "mailbox_oldest_ready_seconds");
        let seconds: f64 = oldest[0].rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!((0.02..5.0).contains(&seconds), "{oldest:?}");
    }
}
