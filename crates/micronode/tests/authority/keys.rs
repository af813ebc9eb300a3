//! Keys come and go, and tokens with them; the operator's stays.

use crate::oap;
use crate::support::{Node, wait_until};
use crate::{Ask, assert_both, narrowed, over_http};
use micronode_protocol::capability::base64url;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Mints over HTTP; the answer.
fn mint(node: &Node, document: &str) -> Value {
    let bearer = format!("Bearer {}", node.token());
    let fields = [("authorization", &*bearer)];
    let answer = node.request("POST", "/cap/mint", &fields, document.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    answer.json()
}

fn token_of(answer: &Value) -> Vec<u8> {
    narrowed(answer["token"].as_str().unwrap(), &[])
}

/// Seconds from now to the end that the answer tells.
fn life(answer: &Value) -> f64 {
    let ends = humantime::parse_rfc3339(answer["expires_at"].as_str().unwrap()).unwrap();
    let left = ends.duration_since(SystemTime::now());
    left.unwrap_or_default().as_secs_f64()
}

#[test]
fn a_minted_token_has_its_callers_caveats_and_those_asked_for() {
    let node = Node::guarded(&[]);
    let usual = mint(&node, "{}");
    assert!((890.0..=900.0).contains(&life(&usual)), "{usual}");
    let narrow = mint(
        &node,
        r#"{"caveats":["op = admin,put","max-bytes = 2"],"ttl":"1h"}"#,
    );
    assert!((3590.0..=3600.0).contains(&life(&narrow)), "{narrow}");
    let narrow = token_of(&narrow);
    assert_both(&node, Some(&narrow), Ask::Put(b"12"), 200);
    assert_both(&node, Some(&narrow), Ask::Put(b"123"), 403);
    assert_both(&node, Some(&narrow), Ask::Get(b"12"), 403);

    // One of it, over OAP, is no wider, whatever it asks for, and ends no later.
    let document = br#"{"caveats":["op = get,put,admin","max-bytes = 9"],"ttl":"24h"}"#;
    let reply = oap::Oap::greet_as(node.oap(), &narrow).call(oap::MINT, document);
    let payload = reply.payload();
    let (text, expires) = payload[2..].split_at(payload.len() - 10);
    assert_eq!(
        usize::from(u16::from_be_bytes([payload[0], payload[1]])),
        text.len()
    );
    let child = base64url::decode(text, 8192).unwrap();
    assert_both(&node, Some(&child), Ask::Put(b"12"), 200);
    assert_both(&node, Some(&child), Ask::Put(b"123"), 403);
    assert_both(&node, Some(&child), Ask::Get(b"12"), 403);
    let expires = Duration::from_millis(u64::from_be_bytes(expires.try_into().unwrap()));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(expires < now + Duration::from_secs(3601), "{expires:?}");
}

#[test]
fn what_cannot_be_minted_is_said_so() {
    let node = Node::guarded(&[]);
    let bearer = format!("Bearer {}", node.token());
    for (document, word) in [
        ("", "the body must be"),
        (r#"{"ttl":"25h"}"#, "at most 24h"),
        (r#"{"ttl":"30"}"#, "such as 90s"),
        (r#"{"caveats":["op = get","op = fly"]}"#, "caveat 2"),
    ] {
        let fields = [("authorization", &*bearer)];
        let answer = node.request("POST", "/cap/mint", &fields, document.as_bytes());
        answer.assert_problem("bad_request");
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    let full = narrowed(node.token(), &["op = admin"; 32]);
    assert_both(&node, Some(&full), Ask::Mint, 400);
}

#[test]
fn tokens_end_with_their_key_and_the_operators_does_not() {
    let mut command = Node::guarded_command(&["--rps", "0"]);
    command
        .env("MICRO_AUTH__KEY_TTL", "2s")
        .env("MICRO_AUTH__TOKEN_TTL", "2s");
    let node = Node::spawn(command);
    let long = mint(&node, r#"{"ttl":"1h"}"#);
    assert!(life(&long) <= 4.0, "it says when its key ends: {long}");
    let token = token_of(&long);
    assert_both(&node, Some(&token), Ask::Echo(b"x"), 200);
    wait_until("the end of its key", || {
        over_http(&node, Some(&token), Ask::Echo(b"x")) >= 400
    });
    assert!(life(&long) <= 0.5, "not before its time");
    assert_both(
        &node,
        Some(&token_of(&mint(&node, "{}"))),
        Ask::Echo(b"x"),
        200,
    );
    let operator = narrowed(node.token(), &[]);
    assert_both(&node, Some(&operator), Ask::Echo(b"x"), 200);
}

/// Nobody learns what another has sent, or stands in its way, by guessing its idempotency keys.
#[test]
fn an_idempotency_key_is_its_holders_alone() {
    let node = Node::guarded(&[]);
    let tokens = [mint(&node, "{}"), mint(&node, "{}")].map(|answer| token_of(&answer));
    let send = |token: &[u8], body: &[u8]| {
        let bearer = format!("Bearer {}", base64url::encode(token));
        let fields = [("authorization", &*bearer), ("idempotency-key", "order-7")];
        node.request("POST", "/mbox/jobs/send", &fields, body)
    };
    let [one, other] = &tokens;
    assert_eq!(send(one, b"mine").status, 201);
    assert_eq!(send(other, b"another's").status, 201);
    // A narrower token is the same holder's.
    let bearer = base64url::encode(one);
    let narrower = narrowed(&bearer, &["op = send"]);
    assert_eq!(send(&narrower, b"mine").status, 200);
    send(&narrower, b"changed").assert_problem("idempotency_mismatch");
}
