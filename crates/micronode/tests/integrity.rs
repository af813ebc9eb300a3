//! What happens when stored bytes no longer match their address: nobody ever gets a wrong byte.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::{Node, address, object};

const GROUP: usize = 64 * 1024;

/// Checks every verb on an object that is known to be damaged.
#[track_caller]
fn assert_quarantined(node: &Node, path: &str) {
    node.get(path, &[]).assert_problem("integrity_fail");
    node.get(path, &[("range", "bytes=0-0")])
        .assert_problem("integrity_fail");
    node.get(&format!("{path}/manifest"), &[])
        .assert_problem("integrity_fail");
    let head = node.head(path, &[]);
    assert_eq!((head.status, head.field("etag")), (502, None));
    let question = json!([path.strip_prefix("/o/").unwrap()]);
    let has = node.request("POST", "/has", &[], question.to_string().as_bytes());
    assert_eq!(has.json(), json!([false]));
}

#[test]
fn damage_in_the_first_piece_is_502_and_quarantines() {
    let node = Node::start();
    for (count, bytes) in [object(1), object(GROUP), object(3 * GROUP)]
        .iter()
        .enumerate()
    {
        let path = node.store(bytes);
        assert_eq!(node.get(&path, &[]).status, 200);
        node.corrupt(&path, 0);
        node.get(&path, &[]).assert_problem("integrity_fail");
        let found = count as f64 + 1.0;
        assert_eq!(node.metric("integrity_fail_total"), Some(found));
        let read = node.metric("chunks_read_total");
        assert_quarantined(&node, &path);
        assert_eq!(node.metric("chunks_read_total"), read, "refused at once");
        assert_eq!(
            node.metric("integrity_fail_total"),
            Some(found),
            "counted once"
        );
    }
}

#[test]
fn a_damaged_object_can_be_deleted() {
    let node = Node::start();
    let path = node.store(&object(2 * GROUP));
    node.corrupt(&path, GROUP);
    node.get(&path, &[("range", "bytes=-1")])
        .assert_problem("integrity_fail");
    assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
    node.get(&path, &[]).assert_problem("not_found");
    node.wait_until_empty();
}

#[test]
fn putting_a_damaged_object_again_heals_it() {
    let node = Node::start();
    let bytes = object(3 * GROUP);
    let path = format!("/o/{}", address(&bytes));
    let put = |fields: &[(&str, &str)]| {
        let response = node.request("PUT", &path, fields, &bytes);
        assert!(matches!(response.status, 200 | 201), "{}", response.text());
    };
    put(&[("content-type", "text/plain")]);
    node.corrupt(&path, 2 * GROUP);
    node.get(&path, &[("range", "bytes=-5")])
        .assert_problem("integrity_fail");
    // Wrong bytes do not heal, and do not harm what can still be healed.
    node.request("PUT", &path, &[], b"wrong")
        .assert_problem("digest_mismatch");
    assert_quarantined(&node, &path);

    put(&[("content-type", "text/html")]);
    let response = node.get(&path, &[]);
    assert!(response.status == 200 && response.body == bytes);
    assert_eq!(
        response.field("content-type"),
        Some("text/plain"),
        "the first stays"
    );
    assert_eq!(node.head(&path, &[]).status, 200);
    assert_eq!(node.metric("objects"), Some(1.0));
    assert_eq!(node.metric("object_bytes"), Some(bytes.len() as f64));

    // One copy is held, not two.
    assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
    node.wait_until_empty();
}

#[test]
fn damage_found_on_the_way_cuts_the_answer_short() {
    let node = Node::start();
    let bytes = object(20 * GROUP);
    for (fields, start, end) in [
        (&[][..], 0, bytes.len()),
        (&[("range", "bytes=100-1000000")], 100, 1_000_001),
    ] {
        // Healed, where it has been damaged before.
        let path = format!("/o/{}", address(&bytes));
        node.request("PUT", &path, &[], &bytes);
        let found = node.metric("integrity_fail_total").unwrap();
        node.corrupt(&path, 9 * GROUP + 77);
        let mut connection = node.connect();
        connection.send_head("GET", &path, fields);
        let head = connection.response_head().unwrap();
        let promised: usize = head.field("content-length").unwrap().parse().unwrap();
        assert_eq!(promised, end - start);
        let delivered = connection.until_closed();
        assert!(delivered.len() <= 9 * GROUP - start, "{}", delivered.len());
        assert!(bytes[start..].starts_with(&delivered), "no wrong byte");
        assert_eq!(node.metric("integrity_fail_total"), Some(found + 1.0));
        assert_quarantined(&node, &path);
    }
}

/// Every part begins with a verified piece before the head is sent, so that damage there is 502.
#[test]
fn damage_in_any_part_of_several_ranges_is_never_delivered() {
    let node = Node::start();
    let bytes = object(6 * GROUP);
    let path = node.store(&bytes);
    node.corrupt(&path, 4 * GROUP);
    let field = format!("bytes=0-9,{}-{}", 4 * GROUP + 5, 4 * GROUP + 9);
    node.get(&path, &[("range", &field)])
        .assert_problem("integrity_fail");
    assert_quarantined(&node, &path);
}

#[test]
fn a_range_pays_only_for_the_groups_that_it_touches() {
    let node = Node::start();
    let bytes = object(6 * GROUP);
    let path = node.store(&bytes);
    node.corrupt(&path, 3 * GROUP);
    let before = node.metric("chunks_read_total").unwrap();
    for (first, last) in [(0, 3 * GROUP - 1), (4 * GROUP, 6 * GROUP - 1)] {
        let field = format!("bytes={first}-{last}");
        let response = node.get(&path, &[("range", &field)]);
        assert_eq!(response.status, 206);
        assert!(response.body == bytes[first..=last]);
    }
    assert_eq!(node.metric("chunks_read_total"), Some(before + 5.0));
    assert_eq!(node.metric("integrity_fail_total"), Some(0.0));
    assert_eq!(node.head(&path, &[]).status, 200, "nobody has noticed yet");

    let field = format!("bytes={}-{}", 3 * GROUP - 1, 3 * GROUP);
    let mut connection = node.connect();
    connection.send_head("GET", &path, &[("range", &field)]);
    // What was not yet written when the damage was found, be it the head, may be lost with it.
    let answer = connection.until_closed();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let delivered = end.map_or(&[][..], |end| &answer[end + 4..]);
    assert!(bytes[3 * GROUP - 1..3 * GROUP].starts_with(delivered));
    assert_quarantined(&node, &path);
}
