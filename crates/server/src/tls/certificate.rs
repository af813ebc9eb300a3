//! Certificates and their keys: read from files, or made in memory.

use super::TlsError;
use crate::regular_file;
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine};
use micronode_protocol::limits::TLS_FILE_BYTES;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use zeroize::Zeroizing;

/// The certificates of the file that `key` names; at least one.
pub(super) fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::wrong(
            key,
            path,
            "holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----",
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::wrong(
            key,
            path,
            format!("is not PEM as it should be: {error}"),
        )),
    }
}

/// The chain and the key of these files, which belong together.
pub(super) fn identity(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("tls.cert", cert)?;
    let pem = read("tls.key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let what = format!("holds no private key without a passphrase, as PEM: {error}");
        TlsError::wrong("tls.key", key, what)
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let what = format!("is not the key of the certificate in {}", cert.display());
            TlsError::wrong("tls.key", key, what)
        }
        rustls::Error::InvalidCertificate(_) => {
            TlsError::wrong("tls.cert", cert, error.to_string())
        }
        _ => TlsError::wrong("tls.key", key, error.to_string()),
    })
}

/// The file's bytes, wiped when they are no longer needed: some files hold keys.
fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        key,
        path: path.to_owned(),
        source,
    };
    let file = regular_file::open(path).map_err(unreadable)?;
    // With all the room that there may be, nothing is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(TLS_FILE_BYTES as usize + 1));
    file.take(TLS_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > TLS_FILE_BYTES {
        return Err(TlsError::TooLarge {
            key,
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// A certificate made here, for as long as the process lives. Its name is its pin.
#[derive(Debug)]
pub(super) struct SelfSigned {
    identity: CertifiedKey,
    pin: String,
}

impl SelfSigned {
    /// For `localhost`, the loopback addresses and `addresses`.
    pub(super) fn new(addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let failed = |error: &dyn ToString| TlsError::SelfSigned(error.to_string());
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let mut ips: Vec<IpAddr> = loopback
            .into_iter()
            .chain(addresses.iter().copied())
            .collect();
        ips.sort_unstable();
        ips.dedup();
        let names = ips.iter().map(ToString::to_string);
        let names: Vec<String> = std::iter::once("localhost".to_owned())
            .chain(names)
            .collect();

        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut params = CertificateParams::new(names).map_err(|error| failed(&error))?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "micronode, self-signed");
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        let pin = pin(&key.subject_public_key_info());
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let identity = CertifiedKey::from_der(
            vec![certificate.der().clone()],
            private.into(),
            &default_provider(),
        )
        .map_err(|error| failed(&error))?;
        Ok(Self { identity, pin })
    }

    pub(super) fn identity(&self) -> CertifiedKey {
        self.identity.clone()
    }

    pub(super) fn pin(&self) -> &str {
        &self.pin
    }
}

/// A public key as clients pin it: the hash of its `SubjectPublicKeyInfo`, spelled as curl does.
fn pin(public_key: &[u8]) -> String {
    let hash = digest(&SHA256, public_key);
    format!("sha256//{}", BASE64_STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use rustls::client::verify_server_name;
    use rustls::pki_types::ServerName;
    use rustls::server::ParsedCertificate;

    #[test]
    fn a_certificate_made_here_is_for_loopback_and_the_listeners() {
        let own = SelfSigned::new(&["192.0.2.7".parse().unwrap()]).unwrap();
        let certificate = ParsedCertificate::try_from(&own.identity.cert[0]).unwrap();
        let is_for = |name: &'static str| {
            verify_server_name(&certificate, &ServerName::try_from(name).unwrap()).is_ok()
        };
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7"] {
            assert!(is_for(name), "{name}");
        }
        for name in ["example.org", "192.0.2.8"] {
            assert!(!is_for(name), "{name}");
        }
        assert_eq!(own.pin, pin(&certificate.subject_public_key_info()));
    }

    #[test]
    fn a_pin_is_the_hash_in_base64() {
        let empty = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(pin(b""), empty);
    }
}
