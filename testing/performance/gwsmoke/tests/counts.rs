//! What is counted is what happened: against servers that say how many requests they saw, how long
//! they took, and what they did wrong.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use gwsmoke::result::LoadResult;
use gwsmoke::spec::{LoadSpec, Proto};
use support::{Deed, Script, at, echo, http1, http2, measure, oap};

const MS: Duration = Duration::from_millis(1);

const PROTOS: [Proto; 3] = [Proto::Http1, Proto::Http2, Proto::Oap];

fn serve(proto: Proto, script: Script) -> String {
    match proto {
        Proto::Http1 => http1::serve(script),
        Proto::Http2 => http2::serve(script),
        Proto::Oap => oap::serve(script),
    }
}

fn sum(result: &LoadResult) -> u64 {
    result.status_counts.values().sum()
}

#[test]
fn an_open_loop_asks_as_often_as_it_says_and_counts_what_the_server_took() {
    for proto in PROTOS {
        let script = Script::new(|_| Deed::Echo(20 * MS));
        let node = at(&serve(proto, script.clone()));
        let spec = LoadSpec {
            proto,
            verify_all: true,
            threads: 2,
            ..echo(Some(100.0), 1.0)
        };
        let result = measure(&spec, &node);
        assert_eq!((result.requests, script.seen()), (100, 100), "{proto:?}");
        assert_eq!((result.errors, result.unsent), (0, 0), "{proto:?}");
        assert_eq!(result.status_counts["200"], 100);
        assert_eq!(result.verified, 100);
        assert_eq!((result.sent_bytes, result.received_bytes), (10_000, 10_000));
        assert_eq!(result.offered_rps, 100.0);
        let latency = &result.latency_ms;
        assert!(latency.p50 >= 20.0 && latency.p50 < 1000.0, "{latency:?}");
        assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
        assert_eq!(result.operations["echo"].requests, 100);
        let answered: u64 = result.timeline.iter().map(|each| each.answered).sum();
        assert_eq!(answered, 100);
        assert_eq!(result.connections_opened, 4);
    }
}

#[test]
fn a_closed_loop_asks_again_upon_the_answer() {
    for proto in PROTOS {
        let script = Script::new(|_| Deed::Echo(10 * MS));
        let node = at(&serve(proto, script.clone()));
        let spec = LoadSpec {
            proto,
            ..echo(None, 1.0)
        };
        let result = measure(&spec, &node);
        assert_eq!(result.requests, script.seen(), "{proto:?}");
        assert_eq!(result.errors, 0);
        // Four connections, each for a second of at least 10 ms a request.
        assert!((4..=400).contains(&result.requests), "{}", result.requests);
        assert!(result.latency_ms.p50 >= 10.0);
        assert_eq!(result.offered_rps, result.achieved_rps);
    }
}

/// Requests in flight on one connection are at most as many as the spec says, and more than one.
#[test]
fn streams_share_a_connection() {
    for proto in [Proto::Http2, Proto::Oap] {
        let script = Script::new(|_| Deed::Echo(5 * MS));
        let node = at(&serve(proto, script.clone()));
        let spec = LoadSpec {
            proto,
            connections: 1,
            streams: 8,
            ..echo(Some(200.0), 1.0)
        };
        let result = measure(&spec, &node);
        assert_eq!((result.requests, script.seen()), (200, 200), "{proto:?}");
        assert_eq!((result.errors, result.connections_opened), (0, 1));
    }
}

/// Ten requests a second fit, a hundred are due: what is never sent is told as such.
#[test]
fn what_is_due_and_never_sent_is_an_error() {
    let script = Script::new(|_| Deed::Echo(100 * MS));
    let node = at(&http1::serve(script.clone()));
    let spec = LoadSpec {
        connections: 1,
        ..echo(Some(200.0), 1.0)
    };
    let result = measure(&spec, &node);
    assert_eq!(result.requests, 200);
    assert!(result.unsent >= 139, "60 at most fit into 6 s");
    assert_eq!(sum(&result), 200);
    assert_eq!(result.status_counts["none"], result.errors);
    assert_eq!(result.status_counts["200"], 200 - result.errors);
    // Those that waited are charged for it.
    assert!(result.latency_ms.max > 1000.0, "{:?}", result.latency_ms);
    assert!(result.achieved_rps <= 10.0);
    assert_eq!(script.seen() + result.unsent, 200);
}

/// What has no answer when the run has been over for a while has none.
#[test]
fn a_server_that_says_nothing_has_answered_nothing() {
    std::thread::scope(|scope| {
        for proto in PROTOS {
            scope.spawn(move || {
                let script = Script::new(|_| Deed::Ignore);
                let node = at(&serve(proto, script.clone()));
                let spec = LoadSpec {
                    proto,
                    ..echo(Some(100.0), 0.5)
                };
                let result = measure(&spec, &node);
                assert_eq!((result.requests, result.errors), (50, 50), "{proto:?}");
                assert_eq!((script.seen(), result.unsent), (4, 46), "{proto:?}");
                assert_eq!(result.status_counts["none"], 50);
                assert_eq!(result.latency_ms.max, 0.0);
            });
        }
    });
}

/// One request in ten meets a fault of each kind; the others are answered.
#[test]
fn every_fault_is_counted_as_what_it_is() {
    for proto in PROTOS {
        for (deed, status, is_error, is_lost) in [
            (Deed::Shorten, "200", true, false),
            (Deed::Corrupt, "200", true, false),
            (Deed::Refuse, "503", false, false),
            (Deed::Fail, "500", true, false),
            (Deed::Garble, "none", true, true),
            (Deed::Close, "none", true, true),
            (Deed::Break, "none", true, true),
        ] {
            let script = Script::new(move |number| match number % 10 {
                5 => deed,
                _ => Deed::Echo(Duration::ZERO),
            });
            let node = at(&serve(proto, script.clone()));
            let spec = LoadSpec {
                proto,
                connections: 1,
                verify_all: true,
                ..echo(Some(200.0), 0.5)
            };
            let result = measure(&spec, &node);
            let context = format!("{proto:?} {deed:?} {result:?}");
            assert_eq!((result.requests, script.seen()), (100, 100), "{context}");
            assert_eq!(sum(&result), 100, "{context}");
            assert_eq!(result.errors, if is_error { 10 } else { 0 }, "{context}");
            let good = result
                .timeline
                .iter()
                .map(|each| each.answered)
                .sum::<u64>();
            assert_eq!(good, 90, "{context}");
            let of_status = result.status_counts[status];
            assert_eq!(
                of_status,
                if status == "200" { 100 } else { 10 },
                "{context}"
            );
            assert_eq!(result.verified, 90, "{context}");
            // A stream of HTTP/2 is reset, where others lose the connection.
            let is_lost = is_lost && (proto, deed) != (Proto::Http2, Deed::Break);
            let opened = if is_lost { 11 } else { 1 };
            assert_eq!(result.connections_opened, opened, "{context}");
        }
    }
}

#[test]
fn a_server_that_goes_away_is_an_error_for_each_request() {
    for proto in PROTOS {
        let script = Script::new(|_| Deed::Close);
        let node = at(&serve(proto, script.clone()));
        let spec = LoadSpec {
            proto,
            ..echo(Some(100.0), 0.5)
        };
        let result = measure(&spec, &node);
        assert_eq!((result.requests, result.errors), (50, 50), "{proto:?}");
        assert_eq!(result.status_counts["none"], 50);
        assert_eq!(result.achieved_rps, 0.0);
    }
}

#[test]
fn nobody_there_is_a_failure_before_anything_is_measured() {
    let node = at("http://127.0.0.1:1");
    let failed = gwsmoke::load::run(
        &echo(Some(100.0), 0.5),
        &node,
        &gwsmoke::progress::Progress::hidden(),
    );
    let told = failed.unwrap_err().to_string();
    assert!(told.starts_with("connecting to 127.0.0.1:1"), "{told}");
}
