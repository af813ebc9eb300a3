//! A bit of everything that a node does, over both ingresses, with a canary in each place where a
//! peer can put something; and requests that are refused.

use super::oap::{self, Oap};
use super::{Connection, Node, Response, address};
use micronode_protocol::capability::base64url;
use serde_json::json;

/// What must not be found anywhere afterwards.
pub struct Canary {
    pub body: String,
    pub name: String,
    pub queue: String,
    /// The operator's token.
    pub token: String,
}

impl Canary {
    /// One that no other test has.
    pub fn new(node: &Node) -> Self {
        Self {
            body: "canary-body-5f1c9a77 ".repeat(300),
            name: "canary-name-8d20b3e1/leaf".to_owned(),
            queue: "canary-queue-47ac06f2".to_owned(),
            token: node.token().to_owned(),
        }
    }

    /// All of it as it may stand in a text, and some more spellings.
    pub fn traces(&self) -> Vec<String> {
        let hash = blake3::hash(self.body.as_bytes()).to_hex();
        // A part would do for a reader with patience.
        let parts = self.token.as_bytes().chunks_exact(24);
        let parts = parts.map(|part| String::from_utf8(part.to_vec()).unwrap());
        let bytes = base64url::decode(self.token.as_bytes(), 8192).unwrap();
        let mut traces: Vec<String> = parts.collect();
        traces.extend([
            "canary".to_owned(),
            "Y2FuYXJ5".to_owned(),
            "[99, 97, 110, 97, 114, 121".to_owned(),
            hash[..16].to_owned(),
            // As the standard library prints bytes.
            format!("{:?}", &bytes[bytes.len() - 8..])[1..].to_owned(),
            format!("{:?}", &blake3::hash(self.body.as_bytes()).as_bytes()[..6])
                .trim_end_matches(']')
                .to_owned(),
        ]);
        traces
    }
}

/// One request over HTTP, under the operator's token.
fn http(node: &Node, canary: &Canary, method: &str, path: &str, body: &[u8]) -> Response {
    let bearer = format!("Bearer {}", canary.token);
    node.request(method, path, &[("authorization", &bearer)], body)
}

#[track_caller]
fn served(node: &Node, canary: &Canary, method: &str, path: &str, body: &[u8]) -> Response {
    let response = http(node, canary, method, path, body);
    let status = response.status;
    assert!(
        status < 300,
        "{method} {path}: {status} {}",
        response.text()
    );
    response
}

/// Everything over HTTP, once.
pub fn over_http(node: &Node, canary: &Canary) {
    let object = format!("/o/{}", address(canary.body.as_bytes()));
    let name = format!("/n/{}", canary.name);
    let queue = format!("/mbox/{}", canary.queue);
    let ask = |method, path: &str, body: &[u8]| served(node, canary, method, path, body);
    ask("PUT", &object, canary.body.as_bytes());
    ask("POST", "/put", canary.body.as_bytes());
    let read = ask("GET", &object, b"");
    assert_eq!(read.body, canary.body.as_bytes());
    ask("GET", &format!("{object}/manifest"), b"");
    let asked = json!([address(canary.body.as_bytes())]).to_string();
    ask("POST", "/has", asked.as_bytes());
    ask("POST", "/echo", canary.body.as_bytes());
    let target = json!({ "address": address(canary.body.as_bytes()) }).to_string();
    ask("PUT", &name, target.as_bytes());
    ask("GET", &name, b"");
    ask("GET", "/n?prefix=canary", b"");
    ask("DELETE", &name, b"");
    ask("POST", &format!("{queue}/send"), canary.body.as_bytes());
    let received = ask("POST", &format!("{queue}/recv?max=10"), b"").json();
    let messages = received["messages"].as_array().unwrap().iter();
    let receipts: Vec<_> = messages.map(|message| message["receipt"].clone()).collect();
    assert!(!receipts.is_empty(), "{received}");
    let receipts = json!({ "receipts": receipts }).to_string();
    ask("POST", &format!("{queue}/ack"), receipts.as_bytes());
    ask("GET", &queue, b"");
    ask("POST", "/cap/mint", br#"{"caveats":["op = get"]}"#);
    ask("DELETE", &object, b"");
}

/// Everything over OAP, once.
pub fn over_oap(node: &Node, canary: &Canary) {
    let token = base64url::decode(canary.token.as_bytes(), 8192).unwrap();
    let mut client = Oap::greet_as(node.oap(), &token);
    let body = canary.body.as_bytes();
    let hash = oap::hash(body);
    let mut ask = |operation, payload: &[u8]| {
        let reply = client.call(operation, payload);
        let status = reply.status();
        assert!(status < 300, "{operation:?}: {status}");
        reply.payload()
    };
    ask(oap::PUT, &[oap::plain_put(), body.to_vec()].concat());
    ask(oap::GET, &oap::get(&hash, 0, 0));
    ask(oap::HEAD, &hash);
    ask(oap::MANIFEST, &hash);
    ask(oap::HAS, &hash);
    ask(oap::ECHO, body);
    ask(oap::NAME_SET, &oap::name_set(&canary.name, &hash, 0));
    ask(oap::NAME_GET, &oap::str16(&canary.name));
    ask(oap::NAME_READ, &oap::name_read(&canary.name, 0, 0));
    ask(oap::NAME_LIST, &oap::name_list("", "", 10));
    let any = u64::MAX.to_be_bytes();
    ask(
        oap::NAME_DELETE,
        &[&oap::str16(&canary.name)[..], &any].concat(),
    );
    ask(oap::SEND, &oap::send(&canary.queue, "", 0, body));
    let payload = ask(oap::RECEIVE, &oap::receive(&canary.queue, 10, 0, 1000));
    let receipts = oap::deliveries(&payload);
    let receipts: Vec<String> = receipts.into_iter().map(|it| it.receipt).collect();
    assert!(!receipts.is_empty());
    ask(oap::ACK, &oap::settle(&canary.queue, None, &receipts));
    ask(oap::STATS, &oap::str16(&canary.queue));
    ask(oap::MINT, b"{}");
    ask(oap::DELETE, &hash);
}

/// What is refused, and what makes no sense at all; with the canary in it.
pub fn refused(node: &Node, canary: &Canary) {
    let object = format!("/o/{}", address(canary.body.as_bytes()));
    let status = |method, path: &str, body: &[u8]| http(node, canary, method, path, body).status;
    assert_eq!(status("GET", &object, b""), 404);
    assert_eq!(status("PUT", &object, b"other bytes"), 422);
    assert_eq!(status("GET", &format!("/{}", canary.name), b""), 404);
    assert!(status("PUT", &format!("/n/{}", canary.name), b"{canary") >= 400);
    assert!(status("POST", &format!("/mbox/{}/ack", canary.queue), b"canary") >= 400);
    assert!(status("PUT", "/n/CANARY//..", b"{}") >= 400);
    assert_eq!(node.get(&object, &[]).status, 401);
    let wrong = format!("Bearer {}x", canary.token);
    let fields = [("authorization", &*wrong)];
    assert_eq!(node.get(&object, &fields).status, 401);
    let link = format!("{object}?cap={}", canary.token);
    assert!(node.get(&link, &[]).status >= 400);
    // No HTTP, and no OAP.
    for at in [node.http, node.oap(), node.admin] {
        let mut peer = Connection::open(at);
        peer.send(format!("canary {} \r\n\0\r\n\r\n", canary.token).as_bytes());
        peer.until_closed();
    }
    let token = base64url::decode(canary.token.as_bytes(), 8192).unwrap();
    let mut client = Oap::greet_as(node.oap(), &token);
    let hash = oap::hash(canary.body.as_bytes());
    assert_eq!(client.call(oap::GET, &oap::get(&hash, 0, 0)).status(), 404);
    assert!(client.call(oap::NAME_SET, canary.body.as_bytes()).status() >= 400);
    assert!(client.call((9, 9), canary.body.as_bytes()).status() >= 400);
    assert!(Oap::greet(node.oap()).call(oap::HEAD, &hash).status() >= 400);
}
