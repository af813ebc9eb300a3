//! A token is one of this node's, whole and as it was made, or it is none.

use crate::oap::{self, Oap};
use crate::support::Node;
use crate::{Ask, assert_both, narrowed, over_oap};
use micronode_protocol::capability::base64url;

const OBJECT: &[u8] = b"an object";

fn stocked() -> Node {
    let node = Node::guarded(&[]);
    let operator = narrowed(node.token(), &[]);
    assert_both(&node, Some(&operator), Ask::Put(OBJECT), 200);
    node
}

#[test]
fn every_single_bit_counts() {
    let node = stocked();
    let token = narrowed(node.token(), &["op = get"]);
    let path = format!("/o/b3:{}", blake3::hash(OBJECT));
    let mut http = node.connect();
    let mut client = Oap::greet(node.oap());
    let get = oap::get(&oap::hash(OBJECT), 0, 0);
    for bit in 0..8 * token.len() {
        let mut flipped = token.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            client.call_as(&flipped, oap::GET, &get).status(),
            401,
            "bit {bit}"
        );
    }
    // In the text of it every bit that a character of a field can have.
    let text = base64url::encode(&token);
    for bit in 0..8 * text.len() {
        let mut flipped = text.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if flipped[bit / 8].is_ascii_graphic() {
            let field = format!("Bearer {}", String::from_utf8(flipped).unwrap());
            let answer = http.request("GET", &path, &[("authorization", &field)], b"");
            assert_eq!(answer.status, 401, "bit {bit}");
        }
    }
    assert_both(&node, Some(&token), Ask::Get(OBJECT), 200);
}

#[test]
fn what_stands_behind_or_before_a_token_is_no_part_of_it() {
    let node = stocked();
    let token = narrowed(node.token(), &[]);
    let path = format!("/o/b3:{}", blake3::hash(OBJECT));
    let text = base64url::encode(&token);
    for field in [
        format!("Bearer {text}="),
        format!("Bearer {text}A"),
        format!("Bearer {text} "),
        format!("Bearer  {text}"),
        format!("Bearer {text},{text}"),
        format!("Basic {text}"),
        format!("Bearer {}", text.replace('-', "+").replace('_', "/") + "+"),
        text.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        let answer = node.get(&path, &[("authorization", &field)]);
        // White space around a field is no part of its value.
        let expected = if field.ends_with(' ') && field.contains(&text) {
            200
        } else {
            401
        };
        assert_eq!(answer.status, expected, "{field:?}");
    }
    let field = format!("bearer {text}");
    assert_eq!(node.get(&path, &[("authorization", &field)]).status, 200);
    let twice = [("authorization", &*field), ("authorization", &*field)];
    assert_eq!(node.get(&path, &twice).status, 401);

    for cap in [
        [&token[..], &[0]].concat(),
        token[..token.len() - 1].to_vec(),
        vec![0],
        vec![2; 8192],
        vec![2; 8193],
    ] {
        assert_both(&node, Some(&cap), Ask::Echo(b"x"), 401);
    }
    // HTTP has no room for a longer one.
    assert_eq!(over_oap(&node, Some(&[2; 60_000]), Ask::Echo(b"x")), 401);
    assert!(node.metric(r#"auth_failures_total{reason="too_long"}"#) >= Some(2.0));
}

#[test]
fn caveats_stay_where_they_are_and_are_at_most_32() {
    let node = stocked();
    let token = narrowed(node.token(), &["op = get,put", "op = get", "max-bytes = 5"]);
    let caveat = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        [&[2, length], text.as_bytes(), &[0]].concat()
    };
    let caveats = ["op = get,put", "op = get", "max-bytes = 5"].map(caveat);
    let [first, second, third] = &caveats;
    let whole = caveats.concat();
    let at = token
        .windows(whole.len())
        .position(|window| window == whole)
        .unwrap();
    let rebuilt = |middle: &[&[u8]]| {
        let (head, tail) = (&token[..at], &token[at + whole.len()..]);
        [head, &middle.concat(), tail].concat()
    };
    assert_both(
        &node,
        Some(&rebuilt(&[first, second, third])),
        Ask::Get(OBJECT),
        200,
    );
    for forged in [
        rebuilt(&[first, second]),
        rebuilt(&[first, third]),
        rebuilt(&[first]),
        rebuilt(&[]),
        rebuilt(&[second, first, third]),
        rebuilt(&[first, second, third, third]),
    ] {
        assert_both(&node, Some(&forged), Ask::Get(OBJECT), 401);
    }

    let full = narrowed(node.token(), &["op = get"; 32]);
    assert_both(&node, Some(&full), Ask::Get(OBJECT), 200);
    // No library of ours makes the 33rd: the bytes of one more caveat in front of the end.
    let mut more = full;
    let end = more.len() - 35;
    more.splice(end..end, caveat("op = get"));
    assert_both(&node, Some(&more), Ask::Get(OBJECT), 401);
    assert!(node.metric(r#"auth_failures_total{reason="too_many_caveats"}"#) >= Some(1.0));
}

#[test]
fn the_tokens_of_other_nodes_are_none() {
    let node = stocked();
    let same_name = Node::guarded(&[]);
    let mut command = Node::guarded_command(&[]);
    command.env("MICRO_AUTH__NAME", "another");
    let other_name = Node::spawn(command);
    for (stranger, reason) in [(&same_name, "key"), (&other_name, "location")] {
        let token = narrowed(stranger.token(), &[]);
        assert_both(&node, Some(&token), Ask::Get(OBJECT), 401);
        let failures = node.metric(&format!("auth_failures_total{{reason=\"{reason}\"}}"));
        assert!(failures >= Some(2.0), "{reason}: {failures:?}");
    }
}

/// The answers of one status are the same, whatever the reason.
#[test]
fn an_answer_does_not_tell_what_a_token_lacks() {
    let node = stocked();
    let good = narrowed(node.token(), &["op = get"]);
    let answers = |tokens: &[Option<Vec<u8>>], ask: Ask<'_>| -> Vec<String> {
        let texts = tokens.iter().map(|token| {
            let answer = crate::http_answer(&node, token.as_deref(), ask);
            let id = answer.field("x-corr-id").unwrap();
            answer.text().replace(id, "id")
        });
        texts.collect()
    };
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let unauthenticated = [None, Some(vec![1, 2, 3]), Some(broken), Some(vec![2; 9000])];
    let ended = narrowed(node.token(), &["before = 2020-01-01T00:00:00Z"]);
    let unknown = narrowed(node.token(), &["nonsense"]);
    let forbidden = [Some(good), Some(ended), Some(unknown)];
    for answers in [
        answers(&unauthenticated, Ask::Put(OBJECT)),
        answers(&forbidden, Ask::Put(OBJECT)),
    ] {
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:#?}"
        );
    }
}

/// In development mode nobody needs a token, and who brings one is held to it.
#[test]
fn a_token_that_is_presented_in_development_mode_must_hold() {
    let node = Node::start();
    let bearer = |token: &str| format!("Bearer {token}");
    let status = |method: &str, path: &str, token: &str| {
        node.request(method, path, &[("authorization", &bearer(token))], b"x")
            .status
    };
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
    assert_eq!(status("POST", "/echo", node.token()), 200);
    assert_eq!(status("POST", "/echo", "nonsense"), 401);
    let reader = base64url::encode(&narrowed(node.token(), &["op = get"]));
    assert_eq!(status("POST", "/put", &reader), 403);
    assert_eq!(status("POST", "/put", node.token()), 201);
    let minted = node.request("POST", "/cap/mint", &[], br#"{"caveats":["op = get"]}"#);
    let minted = minted.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(
        (
            status("POST", "/put", &minted),
            status("POST", "/echo", &minted)
        ),
        (403, 200)
    );
}
