//! Why an open loop: a node that stands still for a second is charged for all who would have come
//! meanwhile; a closed loop hardly notices.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use gwsmoke::node::Node;
use gwsmoke::result::LoadResult;
use gwsmoke::spec::LoadSpec;
use rustix::process::Signal;
use support::{measure, node};

const SECOND: Duration = Duration::from_secs(1);

fn spec(rate_rps: Option<f64>) -> LoadSpec {
    LoadSpec {
        rate_rps,
        connections: 8,
        duration_s: 10.0,
        warm_up_s: 0.0,
        ..LoadSpec::default()
    }
}

/// Measures a node that is paused for a second in the middle.
fn paused(node: &Node, spec: &LoadSpec) -> LoadResult {
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| measure(spec, node));
        std::thread::sleep(4 * SECOND);
        node.signal(Signal::STOP).unwrap();
        std::thread::sleep(SECOND);
        node.signal(Signal::CONT).unwrap();
        measured.join().unwrap()
    })
}

/// Of ten seconds a tenth are due while the node stands still, and wait for half a second on
/// average: 5 of 100 for more than that, 1 for more than nine tenths of it.
#[test]
fn a_pause_of_a_second_is_seen_by_an_open_loop_and_not_by_a_closed_one() {
    let nodes = [(); 2].map(|()| node(&["--rps", "0"]));
    let (open, closed) = std::thread::scope(|scope| {
        let open = scope.spawn(|| paused(&nodes[0], &spec(Some(400.0))));
        let closed = paused(&nodes[1], &spec(None));
        (open.join().unwrap(), closed)
    });
    let latency = &open.latency_ms;
    assert_eq!((open.requests, open.errors), (4000, 0));
    assert!(latency.p99 >= 800.0 && latency.p95 >= 400.0, "{latency:?}");
    // As many requests as connections were held up, of tens of thousands.
    let latency = &closed.latency_ms;
    assert_eq!(closed.errors, 0);
    assert!(latency.max >= 900.0, "it was paused: {latency:?}");
    assert!(latency.p99 < 800.0 && latency.p95 < 400.0, "{latency:?}");
    // The open loop shows when: whatever waited was answered in at most two of its seconds.
    let slow = open.timeline.iter().filter(|each| each.p99_ms >= 800.0);
    assert!((1..=2).contains(&slow.count()), "{:?}", open.timeline);
    let answered = open.timeline.iter().map(|each| each.answered);
    assert_eq!(answered.sum::<u64>(), 4000);
}
