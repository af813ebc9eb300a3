//! TLS of the listeners: who the node is, who a client has to be, and which key exchange is good
//! enough. Made whole at start and replaced whole by a reload; what has been said over a connection
//! goes on under what it began with.
//!
//! Not for what is spoken inside: a handshake ends with a stream and the protocol that was agreed
//! on, and the ingress takes it from there.

mod certificate;
mod error;
mod handshake;
mod stream;
mod tickets;

use crate::config;
use crate::config::Pq;
use arc_swap::ArcSwap;
use bytes::Bytes;
use certificate::SelfSigned;
use micronode_hardening::Refusal;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tickets::Ticketer;

pub use error::TlsError;
pub(crate) use handshake::handshake;
pub(crate) use stream::TlsStream;

/// Tickets sent after a handshake. A client uses each once, and gets the next with every connection
/// that it opens. A second one, for clients that open two at once, would cost all the others.
const TICKETS: usize = 1;

/// Told to a newcomer for whom there is no place: an alert, fatal, of an internal error.
pub(crate) fn raw(_: &Refusal) -> Bytes {
    Bytes::from_static(&[21, 3, 3, 0, 2, 2, 80])
}

/// Where a handshake is held, which decides what may be agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Http,
    Oap,
    Admin,
}

impl Listener {
    /// OAP's name in the negotiation.
    pub(crate) const OAP_PROTOCOL: &[u8] = b"oap/1";

    /// What is offered, most wanted first.
    fn protocols(self) -> Vec<Vec<u8>> {
        let offered: &[&[u8]] = match self {
            Self::Http => &[b"h2", b"http/1.1", Self::OAP_PROTOCOL],
            Self::Oap => &[Self::OAP_PROTOCOL],
            Self::Admin => &[b"h2", b"http/1.1"],
        };
        offered.iter().map(|name| name.to_vec()).collect()
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Tls {
    pq: Pq,
    self_signed: Option<SelfSigned>,
    ticket_ttl: Duration,
    in_force: ArcSwap<Material>,
}

/// All that a reload replaces.
#[derive(Debug)]
pub(crate) struct Material {
    chain: Vec<CertificateDer<'static>>,
    client_ca: Vec<CertificateDer<'static>>,
    tickets: Arc<Ticketer>,
    /// By [`Listener`].
    configs: [Arc<ServerConfig>; 3],
}

impl Tls {
    /// What `config` asks for, which may be nothing. A self-signed certificate is for `localhost`,
    /// the loopback addresses and `addresses`.
    pub(crate) fn new(
        config: &config::Tls,
        addresses: &[IpAddr],
        now_ms: u64,
    ) -> Result<Option<Self>, TlsError> {
        error::check_combination(config)?;
        if !config.is_on() {
            return Ok(None);
        }
        let self_signed = config
            .self_signed
            .then(|| SelfSigned::new(addresses))
            .transpose()?;
        let material = Material::load(config, self_signed.as_ref(), |_| {
            Arc::new(Ticketer::new(config.ticket_ttl, now_ms))
        })?;
        Ok(Some(Self {
            pq: config.pq,
            self_signed,
            ticket_ttl: config.ticket_ttl,
            in_force: ArcSwap::from_pointee(material),
        }))
    }

    /// What `config` asks for while a node runs with `tls`. Nothing changes before
    /// [`apply`](Self::apply).
    pub(crate) fn reload(
        tls: Option<&Self>,
        config: &config::Tls,
        now_ms: u64,
    ) -> Result<Option<Material>, TlsError> {
        error::check_combination(config)?;
        let tls = match tls {
            None if !config.is_on() => return Ok(None),
            Some(tls) if config.is_on() => tls,
            _ => {
                return Err(TlsError::Combination(
                    "TLS cannot be turned on or off while the node runs: \
                     restart the node, or restore tls.cert and tls.key",
                ));
            }
        };
        let before = tls.in_force.load();
        let material = Material::load(config, tls.self_signed.as_ref(), |client_ca| {
            // A ticket stands for a chain that was verified when it was made: whoever was trusted
            // before has to be verified anew. Handshakes that are going on keep the old keys, so
            // that none of them makes a ticket under the new ones.
            if client_ca == before.client_ca {
                Arc::clone(&before.tickets)
            } else {
                Arc::new(Ticketer::new(tls.ticket_ttl, now_ms))
            }
        })?;
        Ok(Some(material))
    }

    /// From now on handshakes are held with `material`. Returns the keys whose files say something
    /// else than before.
    pub(crate) fn apply(&self, material: Material) -> Vec<&'static str> {
        let before = self.in_force.load_full();
        let changed = [
            ("tls.cert", material.chain != before.chain),
            ("tls.client_ca", material.client_ca != before.client_ca),
        ];
        self.in_force.store(Arc::new(material));
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }

    /// Replaces the key of session tickets when it is time to.
    pub(crate) fn tick(&self, now_ms: u64) {
        self.in_force.load().tickets.rotate(now_ms);
    }

    /// How old the key of session tickets is, and the one before it while it opens any.
    pub(crate) fn ticket_ages_ms(&self, now_ms: u64) -> (u64, Option<u64>) {
        self.in_force.load().tickets.ages_ms(now_ms)
    }

    /// The posture towards key exchange.
    pub(crate) fn pq(&self) -> Pq {
        self.pq
    }

    /// The pin of a certificate that was made here.
    pub(crate) fn pin(&self) -> Option<&str> {
        self.self_signed.as_ref().map(SelfSigned::pin)
    }

    /// What handshakes are held with from now on.
    pub(crate) fn config(&self, listener: Listener) -> Arc<ServerConfig> {
        Arc::clone(&self.in_force.load().configs[listener as usize])
    }
}

impl Material {
    /// `config` has TLS on, and makes sense.
    fn load(
        config: &config::Tls,
        self_signed: Option<&SelfSigned>,
        tickets: impl FnOnce(&[CertificateDer<'static>]) -> Arc<Ticketer>,
    ) -> Result<Self, TlsError> {
        let mut provider = default_provider();
        provider.kx_groups = match config.pq {
            Pq::Prefer => vec![kx_group::X25519MLKEM768, kx_group::X25519],
            Pq::Require => vec![kx_group::X25519MLKEM768],
            Pq::Off => vec![kx_group::X25519],
        };
        // In this order, whatever the client's: AES-128 and SHA-256 have instructions of their own,
        // SHA-384 has none and is a tenth of a resumption. What a quantum computer gains on AES is
        // nothing that the length of this key would have to make up for (NIST category 1).
        provider.cipher_suites = vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ];
        let provider = Arc::new(provider);
        let identity = match (self_signed, &config.cert, &config.key) {
            (Some(own), ..) => own.identity(),
            (None, Some(cert), Some(key)) => certificate::identity(cert, key, &provider)?,
            (None, ..) => unreachable!("TLS is on by a certificate, which has its key"),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has the suites of TLS 1.3");
        let (builder, client_ca) = match &config.client_ca {
            None => (builder.with_no_client_auth(), Vec::new()),
            Some(path) => {
                let authorities = certificate::certificates("tls.client_ca", path)?;
                let wrong = |error: rustls::Error| {
                    TlsError::wrong("tls.client_ca", path, error.to_string())
                };
                let mut roots = RootCertStore::empty();
                for authority in &authorities {
                    roots.add(authority.clone()).map_err(wrong)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .expect("there are roots, and no lists of revocations");
                (builder.with_client_cert_verifier(verifier), authorities)
            }
        };
        let tickets = tickets(&client_ca);
        let chain = identity.cert.clone();
        let mut base = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        base.ticketer = Arc::clone(&tickets) as _;
        base.ignore_client_order = true;
        base.send_tls13_tickets = TICKETS;
        base.session_storage = Arc::new(NoServerSessionStorage {});
        // No early data, ever: it could be replayed.
        base.max_early_data_size = 0;
        let of = |listener: Listener| {
            let mut config = base.clone();
            config.alpn_protocols = listener.protocols();
            Arc::new(config)
        };
        Ok(Self {
            configs: [of(Listener::Http), of(Listener::Oap), of(Listener::Admin)],
            chain,
            client_ca,
            tickets,
        })
    }
}
