//! Handshakes: which key exchange, which version, which protocol, for how long, and for whom.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::oap::{END, Frame, HELLO, START};
use support::tls::{
    Authority, CLASSICAL, HYBRID, connect, failures, handshakes, wait_for_failures,
};
use support::{Node, PATIENCE, sockets, wait_until};

const SPEC: &str = "/openapi.json";

#[test]
fn prefer_serves_hybrid_and_classical_clients() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    for (client, group) in [
        (authority.client(), HYBRID),
        (authority.client().classical(), CLASSICAL),
    ] {
        let mut connection = client.connect(node.http).unwrap();
        assert_eq!(connection.group(), group);
        assert_eq!(connection.get(SPEC).unwrap().status, 200);
        assert_eq!(handshakes(&node, group, false), 1.0);
    }
    assert_eq!(node.ask("GET", "/version").json()["pq"], "prefer");
}

#[test]
fn require_refuses_classical_clients_and_counts_them() {
    let authority = Authority::new();
    let node = authority.node(&["--pq", "require"]);
    let refused = authority.client().classical().connect(node.http);
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("HandshakeFailure"), "{error}");
    wait_for_failures(&node, "pq_required", 1.0);
    assert_eq!(node.metric("pq_downgrade_refused_total"), Some(1.0));

    let mut hybrid = authority.client().connect(node.http).unwrap();
    assert_eq!(hybrid.group(), HYBRID);
    assert_eq!(hybrid.get(SPEC).unwrap().status, 200);
    let info = node.ask("GET", "/metrics");
    assert!(info.text().contains("pq=\"require\""));
}

#[test]
fn off_is_classical_even_with_a_hybrid_client() {
    let authority = Authority::new();
    let node = authority.node(&["--pq", "off"]);
    let connection = authority.client().connect(node.http).unwrap();
    assert_eq!(connection.group(), CLASSICAL);
}

/// A ClientHello of TLS 1.2 that lacks nothing else: an ECDSA suite, X25519, a signature scheme.
fn hello_of_tls_1_2() -> Vec<u8> {
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 4, 0, 2, 0, 29],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 11, 0, 2, 1, 0],
        &[0, 23, 0, 0],
    ];
    let extensions = extensions.concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

#[test]
fn tls_1_2_and_what_is_no_tls_are_told_so_by_an_alert() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    const PROTOCOL_VERSION: u8 = 70;
    const DECODE_ERROR: u8 = 50;
    for (said, alert, reason) in [
        (hello_of_tls_1_2(), PROTOCOL_VERSION, "protocol_version"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), DECODE_ERROR, "not_tls"),
    ] {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&said).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!((answer[0], &answer[5..]), (21, &[2, alert][..]), "{reason}");
        drop(stream);
        wait_for_failures(&node, reason, 1.0);
    }
}

#[test]
fn a_peer_that_goes_away_is_counted_as_closed() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    drop(TcpStream::connect(node.http).unwrap());
    wait_for_failures(&node, "closed", 1.0);
}

#[test]
fn the_protocol_agreed_on_chooses_the_ingress() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    let offering = |protocols: &[&str]| authority.client().offering(protocols);

    let http1 = offering(&["http/1.1"]).connect(node.http);
    let mut http1 = http1.unwrap();
    assert_eq!(http1.protocol(), Some("http/1.1"));
    assert_eq!(http1.get(SPEC).unwrap().status, 200);

    let http2 = offering(&["http/1.1", "h2"]).connect(node.http);
    let mut http2 = http2.unwrap();
    assert_eq!(http2.protocol(), Some("h2"), "the node chooses");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
    http2.stream.write_all(&preface).unwrap();
    assert_eq!(http2.exactly(9).unwrap()[3], 4, "settings come first");

    let hello = Frame::request(0, HELLO, START | END, b"{}").encode();
    for address in [node.http, node.oap()] {
        let mut oap = offering(&["oap/1"]).connect(address).unwrap();
        assert_eq!(oap.protocol(), Some("oap/1"));
        oap.stream.write_all(&hello).unwrap();
        assert_eq!(oap.exactly(38).unwrap()[8..10], 200_u16.to_be_bytes());
    }

    // Without a word about it, the listener decides.
    let mut silent = authority.client().connect(node.http).unwrap();
    assert_eq!(silent.get(SPEC).unwrap().status, 200);
    let mut silent = authority.client().connect(node.oap()).unwrap();
    silent.stream.write_all(&hello).unwrap();
    assert_eq!(silent.exactly(38).unwrap()[8..10], 200_u16.to_be_bytes());

    for (address, protocols) in [(node.http, "spdy/3"), (node.oap(), "h2")] {
        let refused = offering(&[protocols]).connect(address).err().unwrap();
        let error = refused.to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
    }
    wait_for_failures(&node, "no_application_protocol", 2.0);
}

#[test]
fn a_session_resumes_without_early_data_and_shows_in_the_metrics() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    let config = authority.client().config();
    let mut first = connect(&config, node.http).unwrap();
    assert!(!first.is_resumed());
    // The tickets come with the answer.
    assert_eq!(first.get(SPEC).unwrap().status, 200);

    let mut second = connect(&config, node.http).unwrap();
    assert!(second.is_resumed());
    assert!(!second.stream.conn.is_early_data_accepted());
    assert_eq!(second.get(SPEC).unwrap().status, 200);
    assert_eq!(handshakes(&node, HYBRID, false), 1.0);
    assert_eq!(handshakes(&node, HYBRID, true), 1.0);

    // Nor is it offered: a ticket that allowed it would make this writer.
    let name = rustls::pki_types::ServerName::from(node.http.ip());
    let mut third = rustls::ClientConnection::new(config, name).unwrap();
    assert!(third.early_data().is_none());
}

#[test]
fn a_captured_ticket_does_not_resume_when_its_keys_are_gone() {
    let authority = Authority::new();
    authority.issue("node");
    let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
    let mut command = Node::command(&["--tls-cert", &cert, "--tls-key", &key]);
    command.env("MICRO_TLS__TICKET_TTL", "1s");
    let node = Node::spawn(command);

    // Two tickets come with a full handshake; this client keeps them for ever.
    let config = authority.client().config();
    let mut first = connect(&config, node.http).unwrap();
    assert_eq!(first.get(SPEC).unwrap().status, 200);
    let mut fresh = connect(&config, node.http).unwrap();
    assert!(fresh.is_resumed());
    assert_eq!(fresh.get(SPEC).unwrap().status, 200);

    // The key, one more period, and the node's tick.
    std::thread::sleep(Duration::from_millis(2500));
    let mut late = connect(&config, node.http).unwrap();
    assert!(!late.is_resumed());
    assert_eq!(
        late.get(SPEC).unwrap().status,
        200,
        "it is served all the same"
    );
}

#[test]
fn silent_connections_are_cut_after_2_s_and_do_not_stop_others() {
    const SILENT: usize = 300;
    sockets(SILENT as u64);
    let authority = Authority::new();
    let node = authority.node(&[]);
    let since = Instant::now();
    let silent: Vec<TcpStream> = (0..SILENT)
        .map(|_| TcpStream::connect(node.http).unwrap())
        .collect();
    // Half of them begin, and stay there.
    for stream in silent.iter().step_by(2) {
        (&*stream).write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    }
    while since.elapsed() < Duration::from_millis(1500) {
        let began = Instant::now();
        let mut other = authority.client().connect(node.http).unwrap();
        assert_eq!(other.get(SPEC).unwrap().status, 200);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
        let after = since.elapsed().as_secs_f64();
        assert!((2.0..4.0).contains(&after), "after {after} s");
    }
    wait_for_failures(&node, "timeout", SILENT as f64);
}

#[test]
fn a_handshake_gives_way_to_newcomers() {
    let authority = Authority::new();
    authority.issue("node");
    let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
    let mut command = Node::command(&["--tls-cert", &cert, "--tls-key", &key]);
    command.env("MICRO_LIMITS__CONNECTIONS", "4");
    let node = Node::spawn(command);
    let silent: Vec<TcpStream> = (0..4)
        .map(|_| TcpStream::connect(node.http).unwrap())
        .collect();
    let mut newcomer = authority.client().connect(node.http).unwrap();
    assert_eq!(newcomer.get(SPEC).unwrap().status, 200);
    let mut oldest = &silent[0];
    oldest.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(oldest.read(&mut [0; 16]).unwrap_or(0), 0);
    wait_until("its end being counted", || failures(&node, "closed") >= 1.0);
}

#[test]
fn with_an_authority_for_clients_nobody_else_gets_in() {
    let (authority, others) = (Authority::new(), Authority::new());
    let client_ca = authority.path("ca.pem");
    let node = authority.node(&["--tls-client-ca", &client_ca]);
    authority.issue("client");
    others.issue("client");
    let client = authority.client();
    // A client has finished its part before the node looks at its certificate.
    let get = |client: &support::tls::Client| client.connect(node.http)?.get(SPEC);
    for (nobody, alert) in [
        (client.clone(), "CertificateRequired"),
        (client.clone().presenting(&others, "client"), "UnknownCA"),
    ] {
        let error = get(&nobody).unwrap_err().to_string();
        assert!(error.contains(alert), "{error}");
    }
    wait_for_failures(&node, "client_certificate", 2.0);
    let known = client.presenting(&authority, "client");
    assert_eq!(get(&known).unwrap().status, 200);
}
