//! Connections over TLS, one after the other, for whoever measures what they cost the node
//! (`cargo xtask measure tls`).
//!
//! ```text
//! handshakes certificates DIR                 makes ecdsa.pem, rsa.pem and their .key
//! handshakes parts DIR                        times what a handshake is made of
//! handshakes connect HOW HOST:PORT CA COUNT   HOW is plain, classical, hybrid or resumed
//! ```
//!
//! A connection is: connect, handshake, one GET of 1 KiB, close. Before those that are counted, one
//! stores the object.
#![allow(
    clippy::disallowed_methods,
    reason = "it looks at the clock to time things"
)]

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, SignatureScheme,
    StreamOwned,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const OBJECT_BYTES: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(10);
/// Of one part, to be timed, at a time ...
const REPEATS: u32 = 10;
/// ... and so often: the least counts, since others use the machine too.
const BATCHES: usize = 200;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["certificates", directory] => certificates(Path::new(directory)),
        ["parts", directory] => parts(Path::new(directory)),
        ["connect", how, node, ca, count] => {
            connect(how, node.parse()?, Path::new(ca), count.parse()?)
        }
        _ => Err("handshakes certificates DIR | parts DIR | connect HOW HOST:PORT CA COUNT".into()),
    }
}

fn certificates(directory: &Path) -> Outcome<()> {
    let keys = [
        ("ecdsa", KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?),
        (
            "rsa",
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        ),
    ];
    for (name, key) in keys {
        let params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        let certificate = params.self_signed(&key)?;
        let file = |end| directory.join(format!("{name}.{end}"));
        std::fs::write(file("pem"), certificate.pem())?;
        std::fs::write(file("key"), key.serialize_pem())?;
    }
    Ok(())
}

/// Prints a line of `NAME MICROSECONDS` for each part, on the side of the node.
fn parts(directory: &Path) -> Outcome<()> {
    let groups = [
        ("classical", kx_group::X25519),
        ("hybrid", kx_group::X25519MLKEM768),
    ];
    for (name, group) in groups {
        let client = group.start()?;
        let micros = timed(|| {
            let completed = group.start_and_complete(client.pub_key());
            black_box(completed.is_ok())
        });
        println!("{name} {micros:.2}");
    }
    let schemes = [
        ("ecdsa", SignatureScheme::ECDSA_NISTP256_SHA256),
        ("rsa", SignatureScheme::RSA_PSS_SHA256),
    ];
    for (name, scheme) in schemes {
        let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key")))?;
        let key = default_provider().key_provider.load_private_key(key)?;
        let signer = key
            .choose_scheme(&[scheme])
            .ok_or("the key cannot sign so")?;
        let micros = timed(|| black_box(signer.sign(&[7; 130]).is_ok()));
        println!("{name} {micros:.2}");
    }
    Ok(())
}

fn timed(mut part: impl FnMut() -> bool) -> f64 {
    let mut batch = || {
        let started = Instant::now();
        for _ in 0..REPEATS {
            assert!(part());
        }
        started.elapsed().as_secs_f64() * 1e6 / f64::from(REPEATS)
    };
    (0..BATCHES).map(|_| batch()).fold(f64::INFINITY, f64::min)
}

fn connect(how: &str, node: SocketAddr, ca: &Path, count: u32) -> Outcome<()> {
    let object = [7; OBJECT_BYTES];
    let path = format!("/o/b3:{}", blake3::hash(&object).to_hex());
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: {node}\r\ncontent-length: {OBJECT_BYTES}\r\n\r\n");
    let put = [head.as_bytes(), &object].concat();
    let get = format!("GET {path} HTTP/1.1\r\nhost: {node}\r\n\r\n");
    let (group, resumed) = match how {
        "plain" => {
            exchange(&mut dial(node)?, &put)?;
            return (0..count).try_for_each(|_| exchange(&mut dial(node)?, get.as_bytes()));
        }
        "classical" => (kx_group::X25519, false),
        "hybrid" => (kx_group::X25519MLKEM768, false),
        "resumed" => (kx_group::X25519MLKEM768, true),
        _ => return Err(format!("{how}: expected plain, classical, hybrid or resumed").into()),
    };
    let mut provider = default_provider();
    provider.kx_groups = vec![group];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !resumed {
        config.resumption = Resumption::disabled();
    }
    let config = Arc::new(config);
    // Also brings the first ticket.
    once(&config, node, &put)?;
    for _ in 0..count {
        let got = once(&config, node, get.as_bytes())?;
        if got != (group.name(), resumed) {
            return Err(format!("a connection is not as it was asked for: {got:?}").into());
        }
    }
    Ok(())
}

/// One connection with one request; its key exchange, and whether a session was resumed.
fn once(
    config: &Arc<ClientConfig>,
    node: SocketAddr,
    request: &[u8],
) -> Outcome<(NamedGroup, bool)> {
    let session = ClientConnection::new(Arc::clone(config), ServerName::from(node.ip()))?;
    let mut stream = StreamOwned::new(session, dial(node)?);
    exchange(&mut stream, request)?;
    let session = &stream.conn;
    let group = session
        .negotiated_key_exchange_group()
        .ok_or("no key exchange")?;
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok((group.name(), resumed))
}

fn dial(node: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect_timeout(&node, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Sends a request and reads its answer.
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Outcome<()> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // The answer to GET is at least as long as the object, that to PUT is shorter.
    let ends = |answer: &[u8]| {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        head.is_some_and(|head| request.starts_with(b"PUT") || answer.len() >= head + OBJECT_BYTES)
    };
    while !ends(&answer) {
        match stream.read(&mut piece)? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    if !answer.starts_with(b"HTTP/1.1 20") {
        return Err(String::from_utf8_lossy(&answer).into());
    }
    Ok(())
}
