//! What a TLS handshake costs the node when there is no network: full with and without the
//! post-quantum part, and resumed, with an ECDSA and an RSA certificate. Client and server are
//! joined by buffers; times are those of the server alone, up to its tickets being written.
#![allow(missing_docs, reason = "the macros of criterion make public items")]
#![allow(
    clippy::disallowed_methods,
    reason = "only the server's part of an iteration is timed"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use micronode_server::EmbeddedNode;
use micronode_server::config::{Sources, load};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::client::Resumption;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn server(key: &KeyPair) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let directory = tempfile::tempdir().expect("a directory");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(key).expect("a certificate");
    let file = |name: &str, pem: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).expect("a file");
        path.to_str().expect("a name in UTF-8").to_owned()
    };
    let loaded = load(Sources {
        file: None,
        env: [],
        flags: vec![
            ("tls.cert", file("cert", certificate.pem())),
            ("tls.key", file("key", key.serialize_pem())),
        ],
    });
    let config = EmbeddedNode::tls_config(&loaded.expect("a configuration"));
    let config = config.expect("files that belong together");
    (config.expect("TLS is on"), certificate.der().clone())
}

fn client(trusts: &CertificateDer<'static>, group: &'static dyn SupportedKxGroup) -> ClientConfig {
    let mut provider = default_provider();
    provider.kx_groups = vec![group];
    let mut roots = RootCertStore::empty();
    roots.add(trusts.clone()).expect("a certificate");
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The server's time for one handshake, and whether a session was resumed.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Duration, bool) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut time = Duration::ZERO;
    let mut timed = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        time += started.elapsed();
    };
    let mut server_side = None;
    timed(&mut || {
        server_side = Some(ServerConnection::new(Arc::clone(server)).expect("a server"));
    });
    let mut server = server_side.expect("made above");
    let mut bytes = Vec::with_capacity(16 * 1024);
    while client.wants_write() || server.wants_write() {
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("room");
        }
        let mut answer = Vec::with_capacity(16 * 1024);
        timed(&mut || {
            let mut unread = &bytes[..];
            while !unread.is_empty() {
                server.read_tls(&mut unread).expect("room");
                server.process_new_packets().expect("no fault");
            }
            while server.wants_write() {
                server.write_tls(&mut answer).expect("room");
            }
        });
        let mut unread = &answer[..];
        while !unread.is_empty() {
            client.read_tls(&mut unread).expect("room");
            client.process_new_packets().expect("no fault");
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    (
        time,
        server.handshake_kind() == Some(HandshakeKind::Resumed),
    )
}

fn handshakes(c: &mut Criterion) {
    let keys = [
        ("ecdsa_p256", KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)),
        (
            "rsa_2048",
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        ),
    ];
    for (certificate, key) in keys {
        let (server, trusts) = server(&key.expect("a key"));
        let mut group = c.benchmark_group(format!("handshake_{certificate}"));
        for (kind, exchange, resumed) in [
            ("classical", kx_group::X25519, false),
            ("hybrid", kx_group::X25519MLKEM768, false),
            ("classical_resumed", kx_group::X25519, true),
            ("hybrid_resumed", kx_group::X25519MLKEM768, true),
        ] {
            let mut client = client(&trusts, exchange);
            if !resumed {
                client.resumption = Resumption::disabled();
            }
            let client = Arc::new(client);
            if resumed {
                // The first tickets.
                handshake(&server, &client);
            }
            group.bench_function(kind, |b| {
                b.iter_custom(|count| {
                    let one = |_| {
                        let (time, was_resumed) = handshake(&server, &client);
                        assert_eq!(was_resumed, resumed);
                        time
                    };
                    (0..count).map(one).sum()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
