//! The real node over every protocol: what is counted here is what the node counts.
#![allow(clippy::unwrap_used)]

mod support;

use gwsmoke::result::LoadResult;
use gwsmoke::spec::{LoadSpec, Proto, Size, Workload};
use support::{measure, node};

const PROTOS: [Proto; 3] = [Proto::Http1, Proto::Http2, Proto::Oap];

fn spec(proto: Proto, workload: Workload) -> LoadSpec {
    LoadSpec {
        proto,
        workload,
        rate_rps: Some(200.0),
        duration_s: 1.0,
        warm_up_s: 0.0,
        connections: 4,
        streams: 4,
        read_ratio: 0.5,
        verify_all: true,
        sizes: [(256, 8.0), (100_000, 2.0), (3 << 20, 0.2)]
            .map(|(bytes, weight)| Size { bytes, weight })
            .to_vec(),
        ..LoadSpec::default()
    }
}

/// What the node's counters of requests rose by.
fn counted(result: &LoadResult, parts: &[&str]) -> f64 {
    let counters = result.server_counters.iter();
    let these = counters.filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
    these.map(|(_, rise)| rise).sum()
}

#[test]
fn objects_are_put_and_read_over_every_protocol_with_and_without_tls() {
    for flags in [&["--rps", "0"][..], &["--rps", "0", "--tls-self-signed"]] {
        let node = node(flags);
        for proto in PROTOS {
            let spec = LoadSpec {
                tls: node.is_tls,
                ..spec(proto, Workload::Objects)
            };
            let result = measure(&spec, &node);
            let context = format!("{proto:?} {flags:?} {result:?}");
            assert_eq!((result.requests, result.errors), (200, 0), "{context}");
            assert_eq!(result.verified, 200, "{context}");
            let (gets, puts) = (&result.operations["get"], &result.operations["put"]);
            assert_eq!(gets.requests + puts.requests, 200);
            let of_node = |what: &str| counted(&result, &["latency_seconds_count", what]);
            assert_eq!(of_node("storage_get"), gets.requests as f64, "{context}");
            assert_eq!(of_node("storage_put"), puts.requests as f64, "{context}");
            assert_eq!(result.status_counts["201"], puts.requests, "new bytes each");
            assert!(result.server_rss_bytes_max.unwrap() > 1 << 20);
            assert!(result.server_cpu_us_per_request.unwrap() > 1.0);
            assert!(!result.node.version.is_empty());
        }
        node.stop().unwrap();
    }
}

#[test]
fn messages_are_sent_taken_and_acknowledged() {
    let node = node(&["--rps", "0"]);
    for proto in PROTOS {
        let spec = LoadSpec {
            sizes: vec![Size {
                bytes: 256,
                weight: 1.0,
            }],
            rate_rps: Some(500.0),
            ..spec(proto, Workload::Mailbox)
        };
        let result = measure(&spec, &node);
        let context = format!("{proto:?} {result:?}");
        assert_eq!((result.requests, result.errors), (500, 0), "{context}");
        let of = |kind: &str| result.operations[kind].requests;
        let empty = result.status_counts.get("204").copied().unwrap_or(0);
        assert_eq!(result.status_counts["201"], of("send"), "{context}");
        assert_eq!(result.verified, of("receive") - empty, "{context}");
        // An ack is asked before anything else; the last ones may not have come to it.
        assert!(of("ack") <= of("receive") - empty, "{context}");
        assert!(of("ack") + 16 >= of("receive") - empty, "{context}");
        let acks = counted(&result, &["mailbox_ack_latency_seconds_count"]);
        assert_eq!(acks, of("ack") as f64, "{context}");
    }
}

#[test]
fn what_a_node_refuses_is_no_error_and_no_answer_as_asked() {
    let node = node(&["--rps", "50"]);
    let spec = LoadSpec {
        objects: 8,
        sizes: LoadSpec::default().sizes,
        ..spec(Proto::Http1, Workload::Objects)
    };
    let result = measure(&spec, &node);
    let refused = result.status_counts["429"];
    assert!(refused > 100, "{result:?}");
    assert_eq!((result.requests, result.errors), (200, 0));
    assert_eq!(
        counted(&result, &["rejected_total", "rate_limited"]),
        refused as f64
    );
    let course = &result.timeline;
    assert_eq!(course.iter().map(|each| each.refused).sum::<u64>(), refused);
    assert_eq!(
        course.iter().map(|each| each.answered).sum::<u64>(),
        200 - refused
    );
}
