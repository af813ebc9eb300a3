//! Grants, their exchange, and taking them back.

use crate::oap::{self, Oap};
use crate::support::{Node, wait_until};
use crate::{Ask, assert_both, narrowed};
use micronode_client::{Issuer, Seed};
use micronode_protocol::capability::base64url;
use micronode_protocol::capability::grant::Statement;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than what a connection buffers anywhere.
const LONG: usize = 24 * 1024 * 1024;

/// Two issuers, of which a node knows the first, and that node's configuration.
struct Desk {
    known: Issuer,
    unknown: Issuer,
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let [known, unknown] = [(); 2].map(|()| Issuer::from_seed(&Seed::generate()));
        let desk = Self {
            known,
            unknown,
            directory: tempfile::tempdir().unwrap(),
        };
        desk.configure(&[]);
        desk
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("node.toml")
    }

    /// Writes the configuration, with what is denied.
    fn configure(&self, deny: &[String]) {
        let key = self.known.key();
        let (ed25519, mldsa65) = (key.ed25519_text(), key.mldsa65_text());
        let text = format!(
            "[auth]\ndeny = {deny:?}\n[[issuers]]\ned25519 = \"{ed25519}\"\nmldsa65 = \"{mldsa65}\"\n"
        );
        std::fs::write(self.file(), text).unwrap();
    }

    /// A node that exchanges as much as a test likes.
    fn node(&self) -> Node {
        let file = self.file();
        let flags = ["--rps", "0", "--config", file.to_str().unwrap()];
        let mut command = Node::guarded_command(&flags);
        command.env("MICRO_AUTH__EXCHANGE_RPS", "1000");
        Node::spawn(command)
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A statement that is good for an hour.
fn statement<'a>(nonce: u8, caveats: &[&'a str]) -> Statement<'a> {
    Statement {
        audience: "",
        subject: "ci",
        not_before: now() - 1,
        not_after: now() + 3600,
        nonce: [nonce; 16],
        caveats: caveats.to_vec(),
    }
}

/// The status of an exchange over both protocols, and the token that it gave.
#[track_caller]
fn exchange(node: &Node, grant: &[u8]) -> (u16, Option<String>) {
    let http = node.request("POST", "/cap/exchange", &[], grant);
    let text = node.request(
        "POST",
        "/cap/exchange",
        &[],
        base64url::encode(grant).as_bytes(),
    );
    assert_eq!(text.status, http.status, "{}", text.text());
    let oap = Oap::greet(node.oap()).call(oap::EXCHANGE, grant);
    assert_eq!(oap.status(), http.status, "{}", http.text());
    let token = (http.status == 200).then(|| http.json()["token"].as_str().unwrap().to_owned());
    (http.status, token)
}

#[test]
fn a_grant_gives_a_token_that_carries_its_caveats() {
    let desk = Desk::new();
    let node = desk.node();
    let grant = desk
        .known
        .grant(&statement(1, &["op = put,get", "max-bytes = 3"]))
        .unwrap();
    let (status, token) = exchange(&node, &grant);
    assert_eq!(status, 200);
    let token = narrowed(&token.unwrap(), &[]);
    assert_both(&node, Some(&token), Ask::Put(b"abc"), 200);
    assert_both(&node, Some(&token), Ask::Get(b"abc"), 200);
    assert_both(&node, Some(&token), Ask::Put(b"abcd"), 403);
    assert_both(&node, Some(&token), Ask::Delete(b"abc"), 403);
    let everything = desk.known.grant(&statement(2, &[])).unwrap();
    let token = narrowed(&exchange(&node, &everything).1.unwrap(), &[]);
    assert_both(&node, Some(&token), Ask::Mint, 200);
    // A caveat that this node does not know leaves nothing of it.
    let unknown = desk.known.grant(&statement(3, &["overlay = x"])).unwrap();
    let token = narrowed(&exchange(&node, &unknown).1.unwrap(), &[]);
    assert_both(&node, Some(&token), Ask::Get(b"abc"), 403);
}

#[test]
fn a_token_ends_no_later_than_its_grant() {
    let desk = Desk::new();
    let node = desk.node();
    let short = Statement {
        not_after: now() + 2,
        ..statement(1, &[])
    };
    let token = narrowed(
        &exchange(&node, &desk.known.grant(&short).unwrap())
            .1
            .unwrap(),
        &[],
    );
    wait_until("the end of the grant", || {
        crate::over_http(&node, Some(&token), Ask::Echo(b"x")) == 403
    });
    assert!(now() >= short.not_after);
}

#[test]
fn what_is_not_a_grant_for_this_node_now_is_refused() {
    let desk = Desk::new();
    let node = desk.node();
    let sign = |statement: &Statement<'_>| desk.known.grant(statement).unwrap();
    let good = sign(&statement(1, &["op = get"]));
    let (ed25519, mldsa65) = (good.len() - 64 - 3309, good.len() - 3309);
    let flipped = |at: usize| {
        let mut grant = good.clone();
        grant[at] ^= 1;
        grant
    };
    // The signatures of another issuer over the same statement.
    let mut swapped = [good.clone(), good.clone()];
    let others = desk.unknown.grant(&statement(1, &["op = get"])).unwrap();
    swapped[0][ed25519..mldsa65].copy_from_slice(&others[ed25519..mldsa65]);
    swapped[1][mldsa65..].copy_from_slice(&others[mldsa65..]);
    let late = Statement {
        not_before: 1,
        not_after: now() - 1,
        ..statement(1, &[])
    };
    let early = Statement {
        not_before: now() + 100,
        ..statement(1, &[])
    };
    let elsewhere = Statement {
        audience: "another",
        ..statement(1, &[])
    };
    let here = Statement {
        audience: "micronode",
        ..statement(1, &[])
    };
    assert_eq!(exchange(&node, &sign(&here)).0, 200);
    for (what, grant, status, reason) in [
        ("Ed25519 wrong", flipped(ed25519), 401, "grant_signature"),
        ("ML-DSA-65 wrong", flipped(mldsa65), 401, "grant_signature"),
        (
            "caveat changed",
            flipped(ed25519 - 1),
            401,
            "grant_signature",
        ),
        (
            "Ed25519 of another",
            swapped[0].clone(),
            401,
            "grant_signature",
        ),
        (
            "ML-DSA-65 of another",
            swapped[1].clone(),
            401,
            "grant_signature",
        ),
        (
            "ML-DSA-65 missing",
            good[..mldsa65].to_vec(),
            401,
            "grant_malformed",
        ),
        (
            "Ed25519 missing",
            [&good[..ed25519], &good[mldsa65..]].concat(),
            401,
            "grant_malformed",
        ),
        (
            "one byte more",
            [&good[..], &[0]].concat(),
            401,
            "grant_malformed",
        ),
        ("nothing", vec![], 401, "grant_malformed"),
        ("unknown issuer", others, 401, "grant_issuer"),
        (
            "audience changed",
            flipped(4 + 32 + 1),
            401,
            "grant_malformed",
        ),
        ("over", sign(&late), 403, "grant_time"),
        ("not yet", sign(&early), 403, "grant_time"),
        ("for another node", sign(&elsewhere), 403, "grant_audience"),
    ] {
        let sample = format!("auth_failures_total{{reason=\"{reason}\"}}");
        let before = node.metric(&sample).unwrap();
        assert_eq!(exchange(&node, &grant).0, status, "{what}");
        assert_eq!(node.metric(&sample), Some(before + 3.0), "{what}");
    }
}

#[test]
fn exchanging_has_a_budget_of_its_own() {
    let desk = Desk::new();
    let mut command =
        Node::guarded_command(&["--rps", "0", "--config", desk.file().to_str().unwrap()]);
    command.env("MICRO_AUTH__EXCHANGE_RPS", "1");
    let node = Node::spawn(command);
    let good = desk.known.grant(&statement(1, &[])).unwrap();
    // What needs no signature to be refused takes nothing from it.
    for _ in 0..5 {
        assert_eq!(
            node.request("POST", "/cap/exchange", &[], b"MNG1").status,
            401
        );
    }
    let statuses: Vec<u16> = (0..5)
        .map(|_| node.request("POST", "/cap/exchange", &[], &good).status)
        .collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(node.metric(r#"quota_exhaustions_total{quota="exchange_rate"}"#) >= Some(1.0));
    let holder = narrowed(node.token(), &[]);
    assert_both(&node, Some(&holder), Ask::Echo(b"x"), 200);
}

/// Whoever brings nothing used to use up what exchanging needs.
#[test]
fn strangers_do_not_keep_anybody_from_exchanging() {
    let desk = Desk::new();
    let file = desk.file();
    let node = Node::spawn(Node::guarded_command(&[
        "--rps",
        "5",
        "--config",
        file.to_str().unwrap(),
    ]));
    let strangers: Vec<u16> = (0..60)
        .map(|_| crate::over_http(&node, None, Ask::Echo(b"x")))
        .collect();
    assert!(strangers.contains(&429), "{strangers:?}");
    let grant = desk.known.grant(&statement(1, &[])).unwrap();
    assert_eq!(exchange(&node, &grant).0, 200);
    assert_eq!(exchange(&node, b"MNG1").0, 401);
}

#[test]
fn a_grant_is_short_and_comes_as_it_is() {
    let desk = Desk::new();
    let node = desk.node();
    let exchange = |fields: &[(&str, &str)], body: &[u8]| {
        node.request("POST", "/cap/exchange", fields, body).status
    };
    assert_eq!(exchange(&[], &[b'A'; 16 * 1024]), 401);
    assert_eq!(exchange(&[], &[b'A'; 16 * 1024 + 1]), 413);
    assert_eq!(exchange(&[("content-encoding", "gzip")], b"x"), 415);
    let mut client = Oap::greet(node.oap());
    assert_eq!(client.call(oap::EXCHANGE, &[b'A'; 16 * 1024]).status(), 401);
    assert_eq!(
        client.call(oap::EXCHANGE, &[b'A'; 16 * 1024 + 1]).status(),
        413
    );
    assert_eq!(client.call(oap::EXCHANGE, &[b'A'; 100_000]).status(), 413);
    let body = vec![b'A'; 20 * 1024];
    assert_eq!(client.upload(oap::EXCHANGE, b"", &body).status(), 413);
}

/// A few dozen connections that sent next to nothing used to keep everybody from exchanging.
#[test]
fn slow_grants_do_not_keep_others_from_exchanging() {
    let desk = Desk::new();
    let file = desk.file();
    let flags = ["--rps", "0", "--config", file.to_str().unwrap()];
    let node = Node::spawn(Node::guarded_command(&flags));
    let mut slow: Vec<_> = (0..100)
        .map(|_| {
            let mut client = node.connect();
            client.send_head("POST", "/cap/exchange", &[("content-length", "4000")]);
            client.send(b"x");
            client
        })
        .collect();
    let grant = desk.known.grant(&statement(1, &[])).unwrap();
    assert_eq!(
        node.request("POST", "/cap/exchange", &[], &grant).status,
        200
    );
    let started = Instant::now();
    for client in &mut slow {
        assert_eq!(client.response("POST").status, 408);
    }
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

/// Each exchange used to begin a chain of its own, and so a rate of its own.
#[test]
fn a_rate_in_a_grant_is_one_rate_however_often_it_is_exchanged() {
    let desk = Desk::new();
    let node = desk.node();
    let grant = desk.known.grant(&statement(1, &["rps = 1"])).unwrap();
    let started = Instant::now();
    let admitted = (0..5)
        .filter(|_| {
            let token = narrowed(&exchange(&node, &grant).1.unwrap(), &[]);
            crate::over_http(&node, Some(&token), Ask::Echo(b"x")) == 200
        })
        .count();
    let seconds = started.elapsed().as_secs() as usize;
    assert!(
        (1..=1 + seconds).contains(&admitted),
        "{admitted} in {seconds} s"
    );
}

#[test]
fn what_is_denied_ends_within_a_second_of_the_reload() {
    let desk = Desk::new();
    let node = desk.node();
    let operator = format!("Bearer {}", node.token());
    let object = vec![7; LONG];
    let path = format!("/o/b3:{}", blake3::hash(&object));
    let stored = node.request("PUT", &path, &[("authorization", &operator)], &object);
    assert_eq!(stored.status, 201);
    let denials = [hex(&[1; 16]), hex(desk.known.key().id())];
    for (nonce, denied) in [(1, &denials[0]), (2, &denials[1])] {
        let grant = desk.known.grant(&statement(nonce, &[])).unwrap();
        let token = exchange(&node, &grant).1.unwrap();
        let bearer = format!("Bearer {token}");
        let cap = narrowed(&token, &[]);
        // Another grant of the same issuer is untouched by the denial of one.
        let other = desk.known.grant(&statement(9, &[])).unwrap();
        let other = narrowed(&exchange(&node, &other).1.unwrap(), &[]);

        let mut reader = node.connect();
        reader.send_head("GET", &path, &[("authorization", &bearer)]);
        assert_eq!(reader.response_head().unwrap().status, 200);
        let mut streaming = Oap::greet_as(node.oap(), &cap);
        let stream = streaming.ask(oap::GET, &oap::get(&oap::hash(&object), 0, 0));
        assert_eq!(streaming.frame().unwrap().code, 200);
        let mut upload = node.connect();
        upload.send_head(
            "POST",
            "/put",
            &[("authorization", &bearer), ("transfer-encoding", "chunked")],
        );
        upload.send(b"5\r\nhello\r\n");
        let mut greeted = Oap::greet_as(node.oap(), &cap);
        greeted.assert_alive();
        // A long frame of which the last byte is still to come.
        let mut long = Oap::greet_as(node.oap(), &cap);
        let payload = [oap::plain_put(), vec![1; 500_000]].concat();
        let frame = oap::Frame::request(7, oap::PUT, oap::WHOLE, &payload).encode();
        long.send(&frame[..frame.len() - 1]);

        desk.configure(std::slice::from_ref(denied));
        node.signal(rustix::process::Signal::HUP);
        wait_until("the reload", || {
            crate::over_http(&node, Some(&cap), Ask::Echo(b"x")) == 401
        });
        let reloaded = Instant::now();

        // An upload that waits for its body is told.
        assert_eq!(upload.response("POST").status, 401);
        // A download is cut: the reader gets what its own kernel holds, and no more.
        let rest = reader.until_closed();
        assert!(rest.len() < LONG - 1024 * 1024, "{} bytes", rest.len());
        let mut last = None;
        while let Some(frame) = streaming.frame() {
            last = Some((frame.corr_id, frame.code));
            if frame.has(oap::END) {
                break;
            }
        }
        assert_eq!(last, Some((stream, 401)));
        assert_eq!(greeted.call(oap::PING, b"").status(), 401);
        std::thread::sleep(Duration::from_millis(1200).saturating_sub(reloaded.elapsed()));
        long.send(&frame[frame.len() - 1..]);
        long.reply(7).assert_problem("unauthenticated");
        let took = reloaded.elapsed();
        assert!(took < Duration::from_millis(2500), "{took:?}");
        assert_eq!(exchange(&node, &grant).0, 401);
        let status = if denied.len() == 32 { 200 } else { 401 };
        assert_both(&node, Some(&other), Ask::Echo(b"x"), status);
        assert!(node.metric(r#"auth_failures_total{reason="ended"}"#) >= Some(3.0));
        desk.configure(&[]);
        node.signal(rustix::process::Signal::HUP);
        wait_until("the reload", || {
            crate::over_http(&node, Some(&other), Ask::Echo(b"x")) == 200
        });
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
