//! Who may do what: every rule over both protocols, on the real binary.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod caveats;
mod grants;
mod keys;
mod links;
mod pymacaroons;
mod resources;
mod silence;
mod strangers;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use micronode_protocol::capability::{Macaroon, base64url};
use support::oap::{self, Oap};
use support::{Node, Response};

/// The bytes of a token, narrowed by each of the caveats in turn.
fn narrowed(token: &str, caveats: &[&str]) -> Vec<u8> {
    let token = base64url::decode(token.as_bytes(), 8192).unwrap();
    caveats.iter().fold(token, |token, caveat| {
        let token = Macaroon::parse(&token).unwrap();
        token.attenuate(caveat.as_bytes()).unwrap()
    })
}

/// What is asked of a node, over whatever protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask<'a> {
    Get(&'a [u8]),
    Manifest(&'a [u8]),
    Head(&'a [u8]),
    Has(&'a [u8]),
    Put(&'a [u8]),
    /// With the address of what is put.
    PutTo(&'a [u8]),
    Delete(&'a [u8]),
    Echo(&'a [u8]),
    Mint,
}

impl Ask<'_> {
    /// Everything, about `bytes`.
    fn all(bytes: &[u8]) -> [Ask<'_>; 9] {
        [
            Ask::Get(bytes),
            Ask::Manifest(bytes),
            Ask::Head(bytes),
            Ask::Has(bytes),
            Ask::Put(bytes),
            Ask::PutTo(bytes),
            Ask::Delete(bytes),
            Ask::Echo(bytes),
            Ask::Mint,
        ]
    }
}

/// The status of the answer over HTTP.
fn over_http(node: &Node, token: Option<&[u8]>, ask: Ask<'_>) -> u16 {
    http_answer(node, token, ask).status
}

fn http_answer(node: &Node, token: Option<&[u8]>, ask: Ask<'_>) -> Response {
    let field = token.map(|token| format!("Bearer {}", base64url::encode(token)));
    let fields: Vec<(&str, &str)> = field.iter().map(|it| ("authorization", &**it)).collect();
    let object = |bytes| format!("/o/b3:{}", blake3::hash(bytes));
    let (method, path, body) = match ask {
        Ask::Get(bytes) => ("GET", object(bytes), vec![]),
        Ask::Manifest(bytes) => ("GET", object(bytes) + "/manifest", vec![]),
        Ask::Head(bytes) => ("HEAD", object(bytes), vec![]),
        Ask::Has(bytes) => {
            let asked = format!("[\"b3:{}\"]", blake3::hash(bytes));
            ("POST", "/has".to_owned(), asked.into_bytes())
        }
        Ask::Put(bytes) => ("POST", "/put".to_owned(), bytes.to_vec()),
        Ask::PutTo(bytes) => ("PUT", object(bytes), bytes.to_vec()),
        Ask::Delete(bytes) => ("DELETE", object(bytes), vec![]),
        Ask::Echo(bytes) => ("POST", "/echo".to_owned(), bytes.to_vec()),
        Ask::Mint => ("POST", "/cap/mint".to_owned(), b"{}".to_vec()),
    };
    node.request(method, &path, &fields, &body)
}

/// The status of the answer over OAP, where the token is the request's own; and over a connection
/// that has it from HELLO, where that must be the same.
fn over_oap(node: &Node, token: Option<&[u8]>, ask: Ask<'_>) -> u16 {
    let (operation, payload) = match ask {
        Ask::Get(bytes) => (oap::GET, oap::get(&oap::hash(bytes), 0, 0)),
        Ask::Manifest(bytes) => (oap::MANIFEST, oap::hash(bytes).to_vec()),
        Ask::Head(bytes) => (oap::HEAD, oap::hash(bytes).to_vec()),
        Ask::Has(bytes) => (oap::HAS, oap::hash(bytes).to_vec()),
        Ask::Put(bytes) => (oap::PUT, [oap::plain_put(), bytes.to_vec()].concat()),
        Ask::PutTo(bytes) => {
            let fields = oap::put(&oap::hash(bytes), 0, "");
            (oap::PUT, [fields, bytes.to_vec()].concat())
        }
        Ask::Delete(bytes) => (oap::DELETE, oap::hash(bytes).to_vec()),
        Ask::Echo(bytes) => (oap::ECHO, bytes.to_vec()),
        Ask::Mint => (oap::MINT, b"{}".to_vec()),
    };
    let token = token.unwrap_or_default();
    let status = Oap::greet(node.oap())
        .call_as(token, operation, &payload)
        .status();
    // In parts, the body behind the fields: the same stages at another time.
    let mut client = Oap::greet(node.oap());
    let id = client.new_id();
    let mut first = oap::Frame::request(id, operation, oap::START, &payload);
    first.cap = token.to_vec();
    client.send_frame(&first);
    client.end(id, operation, b"");
    let in_parts = client.reply(id).status();
    // What was deleted is not there a second time, and what was put is.
    let same = |status| if status == 204 { 404 } else { status };
    if status < 400 && matches!(ask, Ask::Delete(_)) {
        assert_eq!(in_parts, same(status));
    } else {
        assert_eq!(in_parts / 100, status / 100, "{ask:?} in parts");
    }
    status
}

/// Checks that the answer over both protocols is of this class: 2xx, or the status itself.
#[track_caller]
fn assert_both(node: &Node, token: Option<&[u8]>, ask: Ask<'_>, expected: u16) {
    for (protocol, status) in [
        ("HTTP", over_http(node, token, ask)),
        ("OAP", over_oap(node, token, ask)),
    ] {
        let is_expected = match expected {
            200 => status < 300,
            expected => status == expected,
        };
        assert!(is_expected, "{protocol} {ask:?}: {status}, not {expected}");
    }
}
