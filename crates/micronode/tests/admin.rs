//! What the node says about itself: health, version, metrics, and its own description.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use support::{Node, address, object, wait_until};

#[test]
fn a_node_that_has_started_is_healthy_and_ready() {
    let node = Node::start();
    let health = node.ask("GET", "/healthz");
    assert_eq!((health.status, health.text()), (200, "ok\n"));
    let ready = node.ask("GET", "/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json(),
        serde_json::json!({ "ready": true, "degraded": false, "missing": [], "retry_after": 0 })
    );
    assert_eq!(ready.field("cache-control"), Some("no-store"));
    assert_eq!(ready.field("retry-after"), None);
}

#[test]
fn the_version_tells_the_build_and_the_limits_in_force() {
    let node = Node::with(&["--rps", "7", "--in-flight", "33", "--memory", "32MiB"]);
    let version = node.ask("GET", "/version").json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["rustc"].as_str().unwrap().starts_with("rustc 1."));
    assert!(!version["revision"].as_str().unwrap().is_empty());
    assert!(version["features"].is_array());
    assert!(version["amnesia"].is_object() && version["pq"].is_string());
    let limits = &version["limits"];
    assert_eq!(limits["limits.rps"], "7");
    assert_eq!(limits["limits.in_flight"], "33");
    assert_eq!(limits["limits.one_shot_body"], "1MiB");
    assert_eq!(limits["memory.budget"], 32 << 20);
}

#[test]
fn the_admin_plane_answers_to_get_and_head_only() {
    let node = Node::start();
    for path in ["/healthz", "/readyz", "/metrics", "/version"] {
        assert_eq!(node.ask("HEAD", path).status, 200);
        for method in ["POST", "PUT", "DELETE", "BREW"] {
            let response = node.ask(method, path);
            response.assert_problem("method_not_allowed");
            assert_eq!(response.field("allow"), Some("GET, HEAD"));
        }
    }
    for path in ["/healthz/", "/put", "/o/x", "/.env"] {
        node.ask("GET", path).assert_problem("not_found");
    }
    // And the data plane knows nothing of it.
    node.get("/metrics", &[]).assert_problem("not_found");
    node.get("/healthz", &[]).assert_problem("not_found");
}

#[test]
fn the_description_lists_every_route_that_answers() {
    let node = Node::start();
    let response = node.get("/openapi.json", &[]);
    assert_eq!(response.field("content-type"), Some("application/json"));
    let document = response.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            described.insert(format!("{} {path}", method.to_uppercase()));
            assert!(operation["responses"].as_object().unwrap().len() > 1);
        }
    }
    let expected = [
        "POST /put",
        "GET /o/{addr}",
        "HEAD /o/{addr}",
        "PUT /o/{addr}",
        "DELETE /o/{addr}",
        "GET /o/{addr}/manifest",
        "HEAD /o/{addr}/manifest",
        "POST /has",
        "GET /n",
        "HEAD /n",
        "GET /n/{name}",
        "HEAD /n/{name}",
        "PUT /n/{name}",
        "DELETE /n/{name}",
        "GET /mbox/{queue}",
        "HEAD /mbox/{queue}",
        "DELETE /mbox/{queue}",
        "POST /mbox/{queue}/send",
        "POST /mbox/{queue}/recv",
        "POST /mbox/{queue}/ack",
        "POST /mbox/{queue}/nack",
        "POST /mbox/{queue}/extend",
        "POST /mbox/{queue}/redrive",
        "GET /events",
        "POST /echo",
        "POST /cap/exchange",
        "POST /cap/mint",
        "GET /openapi.json",
        "HEAD /openapi.json",
    ];
    assert_eq!(described, expected.map(str::to_owned).into());
    // None of what is described is unknown or refused for its method.
    for operation in described {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path
            .replace("{addr}", &address(b"absent"))
            .replace("{name}", "absent")
            .replace("{queue}", "absent");
        // The one answer that does not end has tests of its own.
        if path == "/events" {
            continue;
        }
        let response = node.request(method, &path, &[], b"");
        assert!(!matches!(response.status, 405 | 501), "{operation}");
        let unknown = String::from_utf8_lossy(&response.body).contains("no such path");
        assert!(!unknown, "{operation}");
    }
    // Every reference leads somewhere.
    let text = response.text();
    for reference in text.split("\"$ref\": \"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

/// A sample line as `name{labels} value`: the name, the labels in order, the value.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("labels end");
    assert!(!name.is_empty());
    assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "{line}"
    );
    let labels = labels
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| {
            let (name, value) = label.split_once("=\"").expect("a label");
            let value = value.strip_suffix('"').expect("a quoted value");
            assert!(!value.contains(['"', '\\', '\n']), "{line}");
            (name.to_owned(), value.to_owned())
        })
        .collect();
    (name.to_owned(), labels, value.parse().expect("a number"))
}

#[test]
fn metrics_are_well_formed_and_have_the_names_of_the_contract() {
    let node = Node::start();
    let path = node.store(&object(100_000));
    node.get(&path, &[]);
    // Counted when the last byte is out, which the client may see first.
    let timed = "request_latency_seconds_count{route=\"/o/{addr}\",method=\"GET\"}";
    wait_until("the read to be timed", || node.metric(timed) == Some(1.0));
    let response = node.ask("GET", "/metrics");
    let media_type = response.field("content-type").unwrap();
    assert!(
        media_type.starts_with("application/openmetrics-text"),
        "{media_type}"
    );
    let text = response.text();
    assert!(text.ends_with("\n# EOF\n"));

    let mut types = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut labels_of = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next().unwrap(), words.next().unwrap());
            match kind {
                "TYPE" => assert!(
                    types.insert(name, words.next().unwrap()).is_none(),
                    "{name} twice"
                ),
                "HELP" => assert!(!words.next().unwrap().is_empty()),
                "UNIT" => {}
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, mut labels, value) = sample(line);
        assert!(value >= 0.0 || value.is_infinite(), "{line}");
        assert!(
            series.insert(line.rsplit_once(' ').unwrap().0),
            "{line} twice"
        );
        let family = ["_total", "_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| {
                name.strip_suffix(suffix)
                    .filter(|family| types.contains_key(family))
            })
            .unwrap_or(&name);
        assert!(types.contains_key(family), "{line} has no type");
        labels.retain(|(name, _)| name != "le");
        let names: Vec<String> = labels.into_iter().map(|(name, _)| name).collect();
        labels_of.insert(name, names.join(","));
    }
    for (name, labels) in [
        ("http_requests_total", "route,method,status"),
        ("request_latency_seconds_bucket", "route,method"),
        ("request_latency_seconds_sum", "route,method"),
        ("request_latency_seconds_count", "route,method"),
        ("inflight_requests", "route"),
        ("rejected_total", "reason"),
        ("storage_get_latency_seconds_bucket", ""),
        ("storage_put_latency_seconds_bucket", ""),
        ("chunks_read_total", ""),
        ("chunks_written_total", ""),
        ("integrity_fail_total", ""),
        ("bytes_in_total", "plane"),
        ("bytes_out_total", "plane"),
        ("objects", ""),
        ("object_bytes", ""),
        ("memory_budget_bytes", ""),
        ("memory_used_bytes", "kind"),
        ("evictions_total", "reason"),
        ("service_restarts_total", "task"),
        ("ready_state", ""),
        ("ready_transitions_total", "to,reason"),
        ("micronode_info", "version,revision,amnesia,pq"),
        ("process_cpu_seconds_total", ""),
        ("process_resident_memory_bytes", ""),
        ("process_start_time_seconds", ""),
        ("process_open_fds", ""),
        ("process_max_fds", ""),
    ] {
        assert_eq!(
            labels_of.get(name).map(String::as_str),
            Some(labels),
            "{name}"
        );
    }
}

#[test]
fn requests_are_counted_under_templates_that_no_client_can_widen() {
    let node = Node::start();
    let path = node.store(b"x");
    for target in [path.as_str(), "/o/b3:0", "/nowhere", "/nowhere/else?x=y"] {
        node.get(target, &[]);
        node.request("BREW", target, &[], b"");
    }
    for (labels, count) in [
        ("route=\"/o/{addr}\",method=\"PUT\",status=\"201\"", 1.0),
        ("route=\"/o/{addr}\",method=\"GET\",status=\"200\"", 1.0),
        ("route=\"/o/{addr}\",method=\"GET\",status=\"400\"", 1.0),
        ("route=\"/o/{addr}\",method=\"OTHER\",status=\"405\"", 2.0),
        ("route=\"unknown\",method=\"GET\",status=\"404\"", 2.0),
        ("route=\"unknown\",method=\"OTHER\",status=\"404\"", 2.0),
    ] {
        let sample = format!("http_requests_total{{{labels}}}");
        assert_eq!(node.metric(&sample), Some(count), "{labels}");
    }
    let text = node.ask("GET", "/metrics").text().to_owned();
    assert!(!text.contains("nowhere") && !text.contains("b3:"));
}
