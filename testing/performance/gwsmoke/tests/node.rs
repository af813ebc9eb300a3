//! The real node over every protocol: what is counted here is what the node counts.
#![allow(clippy::unwrap_used)]

mod support;

use gwsmoke::node::NodeArgs;
use gwsmoke::progress::Progress;
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

/// A refusal comes before the body is sent, and is the answer all the same.
#[test]
fn a_refusal_of_an_upload_that_goes_on_is_seen() {
    let node = node(&["--rps", "10"]);
    for proto in PROTOS {
        let spec = LoadSpec {
            rate_rps: Some(60.0),
            read_ratio: 0.0,
            streams: 1,
            sizes: vec![Size {
                bytes: 3 << 20,
                weight: 1.0,
            }],
            ..spec(proto, Workload::Objects)
        };
        let result = measure(&spec, &node);
        let context = format!("{proto:?} {result:?}");
        assert_eq!((result.requests, result.errors), (60, 0), "{context}");
        assert!(result.status_counts["429"] >= 30, "{context}");
        let known = result.status_counts.keys();
        assert!(
            known
                .into_iter()
                .all(|status| ["201", "429"].contains(&status.as_str()))
        );
    }
}

#[test]
fn a_node_of_which_only_the_urls_are_known_tells_of_itself() {
    let started = node(&["--rps", "0"]);
    let url = |address: std::net::SocketAddr| format!("http://{address}").parse().unwrap();
    let args = NodeArgs {
        url: vec![url(started.http().unwrap())],
        admin: Some(url(started.admin.unwrap())),
        ..NodeArgs::default()
    };
    let result = measure(
        &spec(Proto::Http1, Workload::Objects),
        &args.open(&[]).unwrap(),
    );
    assert_eq!(result.errors, 0);
    assert!(result.server_rss_bytes_max.unwrap() > 1 << 20);
    assert!(result.server_fds_max.unwrap() > 4);
    assert!(result.server_fds_limit.unwrap() > result.server_fds_max.unwrap());
    assert!(
        result
            .timeline
            .iter()
            .any(|each| each.server_cpu_cores.is_some())
    );
}

#[test]
fn a_node_with_another_key_is_not_spoken_to() {
    let mut node = node(&["--tls-self-signed"]);
    let spec = LoadSpec {
        tls: true,
        ..spec(Proto::Http1, Workload::Objects)
    };
    for (pin, told) in [
        (
            Some(format!("sha256//{}=", "A".repeat(43))),
            "connecting to",
        ),
        (Some("sha256//short".to_owned()), "--pin: "),
        (None, "--pin: "),
    ] {
        node.pin = pin;
        let failure = gwsmoke::load::run(&spec, &node, &Progress::hidden()).unwrap_err();
        assert!(failure.to_string().starts_with(told), "{failure}");
    }
    let plain = LoadSpec { tls: false, ..spec };
    let failure = gwsmoke::load::run(&plain, &node, &Progress::hidden()).unwrap_err();
    assert_eq!(failure.exit() as u8, 2, "{failure}");
}
