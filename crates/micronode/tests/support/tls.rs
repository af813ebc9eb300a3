//! Certificates made for a test, and a TLS client that shows what was agreed on.

use super::connection::narrow;
use super::{Node, PATIENCE, Response, wait_until};
use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub const HYBRID: &str = "X25519MLKEM768";
pub const CLASSICAL: &str = "X25519";

/// An authority of the test's own, and a directory for what it signs.
pub struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each has a name of its own, by which it is looked for.
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().to_str().unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let authority = Self {
            directory,
            issuer: Issuer::new(params, key),
            certificate,
        };
        std::fs::write(authority.file("ca.pem"), authority.certificate.pem()).unwrap();
        authority
    }

    /// A file of its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// A certificate for loopback and its key, in the files `NAME.pem` and `NAME.key`.
    pub fn issue(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let names = ["localhost", "127.0.0.1"].map(ToOwned::to_owned);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.to_vec()).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        for (end, pem) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
            // In one step, so that a node never reads half of it.
            let (new, file) = (self.file("new"), self.file(&format!("{name}.{end}")));
            std::fs::write(&new, pem).unwrap();
            std::fs::rename(&new, file).unwrap();
        }
        vec![certificate.der().clone()]
    }

    /// A node with a certificate of this authority, and `flags`.
    pub fn node(&self, flags: &[&str]) -> Node {
        self.issue("node");
        let (cert, key) = (self.path("node.pem"), self.path("node.key"));
        let tls = ["--rps", "0", "--tls-cert", &cert, "--tls-key", &key];
        Node::with(&[&tls, flags].concat())
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> Client {
        Client {
            trusts: self.certificate.der().clone(),
            groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
            identity: None,
            protocols: Vec::new(),
        }
    }
}

/// How a client goes about it.
#[derive(Clone)]
pub struct Client {
    trusts: CertificateDer<'static>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    identity: Option<(PathBuf, PathBuf)>,
    protocols: Vec<Vec<u8>>,
}

impl Client {
    /// With X25519 alone.
    pub fn classical(mut self) -> Self {
        self.groups = vec![kx_group::X25519];
        self
    }

    /// Offers these protocols.
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// Presents a certificate that `authority` has issued under `name`.
    pub fn presenting(mut self, authority: &Authority, name: &str) -> Self {
        let files = ["pem", "key"].map(|end| authority.file(&format!("{name}.{end}")));
        let [cert, key] = files;
        self.identity = Some((cert, key));
        self
    }

    /// Ready to connect: connections of one config resume each other's sessions, whatever their
    /// age, and would send early data if they could.
    pub fn config(&self) -> Arc<ClientConfig> {
        let mut provider = default_provider();
        provider.kx_groups.clone_from(&self.groups);
        let mut roots = RootCertStore::empty();
        roots.add(self.trusts.clone()).unwrap();
        let builder = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(NoTime))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(cert).unwrap()],
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config.enable_early_data = true;
        Arc::new(config)
    }

    /// One connection whose session nobody else resumes.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Secured> {
        connect(&self.config(), address)
    }

    /// The same over a socket that can hold a few KiB of what it is sent.
    pub fn connect_narrowly(&self, address: SocketAddr) -> io::Result<Secured> {
        secure(&self.config(), narrow(address), address)
    }
}

/// A clock that stands still, so that a client thinks every ticket fresh.
#[derive(Debug)]
struct NoTime;

impl TimeProvider for NoTime {
    fn current_time(&self) -> Option<UnixTime> {
        // 2030, when every certificate of a test is valid.
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            1_900_000_000,
        )))
    }
}

/// A connection whose handshake is over on this side.
pub struct Secured {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    host: SocketAddr,
}

/// Connects and holds the handshake.
pub fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<Secured> {
    secure(config, TcpStream::connect(address)?, address)
}

fn secure(config: &Arc<ClientConfig>, tcp: TcpStream, address: SocketAddr) -> io::Result<Secured> {
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    let name = ServerName::from(address.ip());
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(session, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let host = address;
    Ok(Secured { stream, host })
}

impl Secured {
    /// The protocol that was agreed on.
    pub fn protocol(&self) -> Option<&str> {
        let name = self.stream.conn.alpn_protocol()?;
        Some(std::str::from_utf8(name).unwrap())
    }

    /// The group of the key exchange.
    pub fn group(&self) -> String {
        let group = self.stream.conn.negotiated_key_exchange_group().unwrap();
        format!("{:?}", group.name())
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the node presented.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        self.stream.conn.peer_certificates().unwrap()
    }

    /// One request over HTTP/1.1 without a body.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        let mut response = self.get_head(path)?;
        let length = response.field("content-length").unwrap().parse().unwrap();
        response.body = self.exactly(length)?;
        Ok(response)
    }

    /// The same, the body left on the connection.
    pub fn get_head(&mut self, path: &str) -> io::Result<Response> {
        self.get_head_with(path, "")
    }

    /// The same with a capability, and all of the answer.
    pub fn get_as(&mut self, token: &str, path: &str) -> io::Result<Response> {
        let authorization = format!("authorization: Bearer {token}\r\n");
        let mut response = self.get_head_with(path, &authorization)?;
        let length = response.field("content-length").unwrap().parse().unwrap();
        response.body = self.exactly(length)?;
        Ok(response)
    }

    fn get_head_with(&mut self, path: &str, fields: &str) -> io::Result<Response> {
        let host = self.host;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n");
        self.stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1)?);
        }
        Ok(Response::parse(&head))
    }

    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The pin of the public key of the private one in `file`.
pub fn pin(file: &Path) -> String {
    let key = KeyPair::from_pem(&std::fs::read_to_string(file).unwrap()).unwrap();
    let hash = default_provider().cipher_suites.iter().find_map(|suite| {
        let hash = suite.tls13()?.common.hash_provider;
        (hash.algorithm() == HashAlgorithm::SHA256).then_some(hash)
    });
    let hash = hash.unwrap().hash(&key.subject_public_key_info());
    format!("sha256//{}", BASE64_STANDARD.encode(hash))
}

/// How many handshakes the node has counted with `group`.
pub fn handshakes(node: &Node, group: &str, resumed: bool) -> f64 {
    let sample = format!("tls_handshakes_total{{kx=\"{group}\",resumed=\"{resumed}\"}}");
    node.metric(&sample).unwrap()
}

/// How many of them came to nothing for `reason`.
pub fn failures(node: &Node, reason: &str) -> f64 {
    let sample = format!("tls_handshake_failures_total{{reason=\"{reason}\"}}");
    node.metric(&sample).unwrap()
}

/// Waits until `count` of them have come to nothing for `reason`. A peer has its alert before the
/// node has counted it.
pub fn wait_for_failures(node: &Node, reason: &str, count: f64) {
    wait_until(reason, || failures(node, reason) == count);
}
