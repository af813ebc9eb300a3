//! What is not content and still somebody's: media types, keys of messages, tokens.
//!
//! Names are not here: the bus of events has the latest of them, for whoever follows it.

use crate::canary::{Canary, node};
use crate::support::{Node, address};
use serde_json::json;

#[test]
fn a_media_type_goes_with_its_object() {
    let node = node(&[]);
    let canary = Canary::word();
    let kind = format!("text/{}", canary.text());
    let put = node.request("POST", "/put", &[("content-type", &kind)], b"typed");
    assert_eq!(put.status, 201);
    let path = format!("/o/{}", address(b"typed"));
    canary.check("a media type", &node, || {
        assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
    });
}

#[test]
fn no_idempotency_key_is_kept_as_it_was_sent() {
    let node = node(&[]);
    let (canary, key) = (Canary::new(), Canary::word());
    let fields = [("idempotency-key", key.text())];
    let sent = node.request("POST", "/mbox/jobs/send", &fields, &canary.bytes);
    assert_eq!(sent.status, 201, "{}", sent.text());
    // The message is there, and its key is already forgotten.
    key.assert_gone("a key", &node);
    canary.check("a message with a key", &node, || {
        let purged = node.request("DELETE", "/mbox/jobs", &[], b"");
        assert_eq!(purged.json(), json!({ "removed": 1 }));
    });
}

#[test]
fn a_token_goes_with_its_connection() {
    let node = Node::guarded(&[]);
    let minted = node.request(
        "POST",
        "/cap/mint",
        &[("authorization", &format!("Bearer {}", node.token()))],
        json!({ "caveats": ["op = get"], "ttl": "10m" })
            .to_string()
            .as_bytes(),
    );
    let minted = minted.json()["token"].as_str().unwrap().to_owned();
    let canary = Canary::word().also(minted.as_bytes());
    let mut client = node.connect();
    let bearer = format!("Bearer {minted}");
    let path = format!("/o/{}", address(b"none"));
    let answer = client.request("GET", &path, &[("authorization", &bearer)], b"");
    assert_eq!(answer.status, 404);
    canary.check("a token", &node, || drop(client));
}
