//! Every caveat of the table, from both sides of its edge, over both protocols.

use crate::oap::{self, Oap};
use crate::support::{Node, chunked, wait_until};
use crate::{Ask, assert_both, http_answer, narrowed, over_http, over_oap};
use micronode_protocol::capability::{Macaroon, base64url};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const THIS: &[u8] = b"this object";
const THAT: &[u8] = b"that object, longer";

/// A node with two objects.
fn stocked() -> Node {
    let node = Node::guarded(&[]);
    let operator = narrowed(node.token(), &[]);
    for object in [THIS, THAT] {
        assert_both(&node, Some(&operator), Ask::Put(object), 200);
    }
    node
}

/// What the token allows of everything, in the order of [`Ask::all`].
#[track_caller]
fn assert_allows(node: &Node, caveats: &[&str], about: &[u8], allowed: [bool; 9]) {
    let token = narrowed(node.token(), caveats);
    for (ask, allowed) in Ask::all(about).into_iter().zip(allowed) {
        // Deleted things come back for the next one.
        if !allowed || !matches!(ask, Ask::Delete(_)) {
            assert_both(node, Some(&token), ask, if allowed { 200 } else { 403 });
            continue;
        }
        let operator = narrowed(node.token(), &[]);
        for delete in [over_http, over_oap] {
            assert_eq!(delete(node, Some(&token), ask), 204);
            assert_both(node, Some(&operator), Ask::Put(about), 200);
        }
    }
}

#[test]
fn an_operation_is_allowed_by_its_name_alone() {
    let node = stocked();
    //                      get    manif. head   has    put    put to delete echo  mint
    for (words, allowed) in [
        (
            "get",
            [true, true, false, false, false, false, false, true, false],
        ),
        (
            "head",
            [false, false, true, true, false, false, false, true, false],
        ),
        (
            "put",
            [false, false, false, false, true, true, false, true, false],
        ),
        (
            "delete",
            [false, false, false, false, false, false, true, true, false],
        ),
        (
            "admin",
            [false, false, false, false, false, false, false, true, true],
        ),
        (
            "send,recv,events,name-read,name-write",
            [false, false, false, false, false, false, false, true, false],
        ),
    ] {
        assert_allows(&node, &[&format!("op = {words}")], THIS, allowed);
    }
    // A second list narrows, and never widens.
    let get = [true, true, false, false, false, false, false, true, false];
    assert_allows(&node, &["op = get,put", "op = get,head"], THIS, get);
    let none = [false, false, false, false, false, false, false, true, false];
    assert_allows(&node, &["op = get", "op = put"], THIS, none);
}

#[test]
fn one_object_is_no_other_and_no_operation_without_one() {
    let node = stocked();
    let obj = format!("obj = b3:{}", blake3::hash(THIS));
    //             get   manif. head  has   put    put to delete echo   mint
    let this = [true, true, true, true, false, true, true, false, false];
    assert_allows(&node, &[&obj], THIS, this);
    let that = [false, false, false, true, false, false, false, false, false];
    assert_allows(&node, &[&obj], THAT, that);

    // Of many, those that are covered are told of.
    let token = narrowed(node.token(), &[&obj]);
    let asked = [THAT, THIS].map(|object| format!("\"b3:{}\"", blake3::hash(object)));
    let bearer = format!("Bearer {}", base64url::encode(&token));
    let body = format!("[{}]", asked.join(","));
    let has = node.request(
        "POST",
        "/has",
        &[("authorization", &bearer)],
        body.as_bytes(),
    );
    assert_eq!(has.text(), "[false,true]");
    let mut client = Oap::greet_as(node.oap(), &token);
    let asked = [THAT, THIS].map(oap::hash).concat();
    assert_eq!(client.call(oap::HAS, &asked).payload(), [0, 1]);
}

#[test]
fn names_and_queues_rule_out_objects() {
    let node = stocked();
    for caveat in ["name ^ builds/", "queue = jobs"] {
        // There are none yet, so nothing is left but what shows nothing.
        let has = [false, false, false, true, false, false, false, false, false];
        assert_allows(&node, &[caveat], THIS, has);
        let token = narrowed(node.token(), &[caveat]);
        assert_eq!(
            http_answer(&node, Some(&token), Ask::Has(THIS)).text(),
            "[false]"
        );
    }
}

#[test]
fn a_body_has_as_many_bytes_as_are_allowed() {
    let node = stocked();
    let most = format!("max-bytes = {}", THIS.len());
    let everything = [true; 9];
    assert_allows(&node, &[&most], THIS, everything);
    let reading = [true, true, true, true, false, false, true, false, true];
    assert_allows(&node, &[&most], THAT, reading);
    assert_allows(&node, &["max-bytes = 1000", &most], THAT, reading);

    // One that does not say how long it is, and one that is longer when it is decoded.
    let token = narrowed(node.token(), &["max-bytes = 100"]);
    let bearer = format!("Bearer {}", base64url::encode(&token));
    let authority = ("authorization", &*bearer);
    for (length, status) in [(100, 201), (101, 403)] {
        let chunked = chunked(&vec![7; length], 64);
        let fields = [authority, ("transfer-encoding", "chunked")];
        assert_eq!(
            node.request("POST", "/put", &fields, &chunked).status,
            status
        );
        let coded = zstd::bulk::compress(&vec![8; length], 3).unwrap();
        assert!(coded.len() < 100);
        let fields = [authority, ("content-encoding", "zstd")];
        assert_eq!(node.request("POST", "/put", &fields, &coded).status, status);
        let mut client = Oap::greet_as(node.oap(), &token);
        let reply = client.upload(oap::PUT, &oap::plain_put(), &vec![9; length]);
        assert_eq!(reply.status(), status);
    }
}

/// RFC 3339 of so many milliseconds from now.
fn from_now(millis: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = (now.as_millis() as i64 + millis) as u64;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at)).to_string()
}

#[test]
fn a_token_begins_and_ends_on_time() {
    let node = stocked();
    let token = |caveat: &str| narrowed(node.token(), &["op = get", caveat]);
    let later = token(&format!("after = {}", from_now(700)));
    let soon = token(&format!("before = {}", from_now(700)));
    assert_both(&node, Some(&later), Ask::Get(THIS), 403);
    assert_both(&node, Some(&soon), Ask::Get(THIS), 200);
    let mut greeted = Oap::greet_as(node.oap(), &soon);
    let get = oap::get(&oap::hash(THIS), 0, 0);
    assert_eq!(greeted.call(oap::GET, &get).status(), 200);
    wait_until("its time", || {
        over_http(&node, Some(&later), Ask::Get(THIS)) == 200
    });
    assert_both(&node, Some(&later), Ask::Get(THIS), 200);
    assert_both(&node, Some(&soon), Ask::Get(THIS), 403);
    // The connection whose HELLO was good then is held to it now.
    assert_eq!(greeted.call(oap::GET, &get).status(), 403);
    for ended in [
        "before = 2020-01-01T00:00:00Z",
        "after = 2100-01-01T00:00:00Z",
    ] {
        assert_both(&node, Some(&token(ended)), Ask::Get(THIS), 403);
    }
}

#[test]
fn a_network_has_its_peers_and_no_others() {
    let node = stocked();
    for (network, status) in [
        ("127.0.0.0/8", 200),
        ("127.0.0.1/32", 200),
        ("127.0.0.0/31", 200),
        ("127.0.0.2/31", 403),
        ("10.0.0.0/8", 403),
        ("::1/128", 403),
        ("::/0", 403),
    ] {
        let token = narrowed(node.token(), &[&format!("peer = {network}")]);
        assert_both(&node, Some(&token), Ask::Get(THIS), status);
    }
}

#[test]
fn a_rate_is_shared_by_everything_that_is_made_of_the_token() {
    let node = stocked();
    let slow = narrowed(node.token(), &["rps = 1"]);
    let kin = [
        narrowed_more(&slow, "op = get"),
        narrowed_more(&slow, "op = get,head"),
    ];
    // One a second, whoever spends it, over whatever protocol.
    let spend = |tokens: [&[u8]; 2]| {
        let started = Instant::now();
        let statuses: Vec<u16> = (0..8)
            .map(|index| {
                let over = [over_http, once_over_oap][index % 2];
                over(&node, Some(tokens[index / 2 % 2]), Ask::Get(THIS))
            })
            .collect();
        let admitted = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(
            statuses.iter().filter(|status| **status == 429).count(),
            8 - admitted
        );
        (admitted, 1 + started.elapsed().as_secs() as usize + 1)
    };
    let (admitted, most) = spend([&kin[0], &kin[1]]);
    assert!((1..=most).contains(&admitted), "{admitted} of {most}");
    assert!(node.metric(r#"quota_exhaustions_total{quota="token_rate"}"#) >= Some(1.0));

    // Minting does not multiply it.
    let other = narrowed(node.token(), &["op = get,admin", "rps = 1"]);
    let bearer = format!("Bearer {}", base64url::encode(&other));
    let minted = node.request("POST", "/cap/mint", &[("authorization", &bearer)], b"{}");
    assert_eq!(minted.status, 200, "another chain has another bucket");
    let minted = narrowed(minted.json()["token"].as_str().unwrap(), &[]);
    let (admitted, most) = spend([&minted, &other]);
    assert!(admitted < most, "{admitted} of {most}: the mint was one");
}

fn narrowed_more(token: &[u8], caveat: &str) -> Vec<u8> {
    let token = Macaroon::parse(token).unwrap();
    token.attenuate(caveat.as_bytes()).unwrap()
}

fn once_over_oap(node: &Node, token: Option<&[u8]>, ask: Ask<'_>) -> u16 {
    let Ask::Get(bytes) = ask else { unreachable!() };
    let get = oap::get(&oap::hash(bytes), 0, 0);
    let mut client = Oap::greet(node.oap());
    client.call_as(token.unwrap(), oap::GET, &get).status()
}

#[test]
fn what_is_not_a_caveat_allows_nothing() {
    let node = stocked();
    for caveat in [
        "overlay = pr-1",
        "op = read",
        "op =get",
        " op = get",
        "before = tomorrow",
        "max-bytes = many",
        "peer = localhost",
        "rps = 0",
        "",
    ] {
        let token = narrowed(node.token(), &[caveat]);
        for ask in Ask::all(THIS) {
            assert_both(&node, Some(&token), ask, 403);
        }
    }
}
