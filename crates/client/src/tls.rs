//! TLS towards a node: whom to trust, and who one is.
//!
//! TLS 1.3 only, with X25519MLKEM768 where the node has it. Nothing is read from disk here but the
//! system's authorities, and those only when nobody else is named.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible,
    RootCertStore, SignatureScheme,
};

/// Whom a client trusts over TLS, and what it presents. With nothing set, the system's authorities
/// are trusted.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Trusted instead of the system's.
    pub authorities: Option<Authorities>,
    /// The key that the node has to have. Without [`authorities`](Self::authorities), nothing else
    /// is asked of its certificate; with them, both.
    pub pin: Option<Pin>,
    /// Presented to a node that asks for it.
    pub identity: Option<Identity>,
}

impl TlsOptions {
    /// Whether something is asked that a connection without TLS would silently not give.
    pub(crate) fn is_set(&self) -> bool {
        self.authorities.is_some() || self.pin.is_some() || self.identity.is_some()
    }

    /// How rustls makes connections that speak `protocol`, with these options.
    ///
    /// # Errors
    ///
    /// If nobody is named and the system trusts nobody, or the client's certificate and key are no
    /// pair.
    pub fn client_config(&self, protocol: &[u8]) -> Result<Arc<ClientConfig>, InvalidTls> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has the suites of TLS 1.3");
        let roots = match (&self.authorities, self.pin) {
            (Some(authorities), _) => Some(authorities.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(Authorities::of_the_system()?),
        };
        let chain = roots.map(|Authorities(roots)| {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .expect("there are roots, and no lists of revocations")
        });
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier {
                pin: self.pin,
                chain,
                provider,
            }));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| InvalidTls(format!("the client's certificate: {error}")))?,
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

/// What cannot be used for TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTls(String);

/// Certificates that vouch for those of nodes.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Takes the certificates in a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidTls> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            let added = roots.add(certificate);
            added.map_err(|error| InvalidTls(format!("not an authority: {error}")))?;
        }
        Ok(Authorities(Arc::new(roots)))
    }

    fn of_the_system() -> Result<Self, InvalidTls> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let none =
                "this system has no certificate authorities: name one, or pin the node's key";
            return Err(InvalidTls(none.to_owned()));
        }
        Ok(Authorities(Arc::new(roots)))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(InvalidTls("holds no certificate as PEM".to_owned())),
    }
}

/// The hash of a node's public key, as the node prints it and as curl spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin([u8; SHA256_OUTPUT_LEN]);

impl Pin {
    /// Takes `sha256//` and the hash of the `SubjectPublicKeyInfo` in base64.
    pub fn new(text: &str) -> Result<Self, InvalidTls> {
        let hash = text
            .strip_prefix("sha256//")
            .and_then(|hash| BASE64_STANDARD.decode(hash).ok())
            .and_then(|hash| hash.try_into().ok());
        let expected = "a pin is sha256// and 44 characters of base64, as in the node's start line";
        hash.map(Pin).ok_or_else(|| InvalidTls(expected.to_owned()))
    }

    fn is_of(&self, certificate: &CertificateDer<'_>) -> Result<bool, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(digest(&SHA256, &key).as_ref() == self.0)
    }
}

/// A certificate of the client's own and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// Takes a chain and the key of its first certificate from PEM texts.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidTls> {
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| InvalidTls("holds no private key as PEM".to_owned()))?;
        Ok(Identity {
            chain: certificates(chain)?,
            key: Arc::new(key),
        })
    }
}

/// A configuration for connections that have no TLS, where a library wants one.
pub(crate) fn unused() -> Arc<ClientConfig> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has the suites of TLS 1.3")
        .with_root_certificates(RootCertStore::empty());
    Arc::new(builder.with_no_client_auth())
}

/// Checks the key, the chain, or both; and in any case that the node has the key.
#[derive(Debug)]
struct Verifier {
    pin: Option<Pin>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(pin) = &self.pin
            && !pin.is_of(end_entity)?
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match &self.chain {
            Some(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
            }
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The TLS error that `error` comes from, if it is one that the next attempt would meet again.
pub(crate) fn lasting_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            // A node that is full has no other words.
            let is_full = *tls == rustls::Error::AlertReceived(AlertDescription::InternalError);
            return (!is_full).then_some(tls);
        }
        // An I/O error does not count what it was made from among its sources.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pin_has_one_spelling() {
        let good = format!("sha256//{}=", "A".repeat(43));
        assert_eq!(Pin::new(&good).unwrap(), Pin([0; 32]));
        for bad in [
            String::new(),
            "A".repeat(43) + "=",
            format!("sha256//{}", "A".repeat(43)),
            format!("sha256//{}=", "A".repeat(42)),
            format!("sha1//{}=", "A".repeat(43)),
            format!("sha256//{}B=", "A".repeat(42)),
            format!("{good};{good}"),
        ] {
            assert!(Pin::new(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_pem_is_refused() {
        for text in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            assert!(Authorities::from_pem(text.as_bytes()).is_err(), "{text}");
            assert!(Identity::from_pem(text.as_bytes(), b"").is_err(), "{text}");
        }
    }

    #[test]
    fn a_full_node_is_asked_again_and_a_strange_one_is_not() {
        let wrapped = |error: rustls::Error| io::Error::other(io::Error::other(error));
        let strange = rustls::Error::from(CertificateError::UnknownIssuer);
        assert_eq!(lasting_cause(&wrapped(strange.clone())), Some(&strange));
        let full = rustls::Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(lasting_cause(&wrapped(full)), None);
        assert_eq!(lasting_cause(&io::Error::other("reset")), None);
    }
}
