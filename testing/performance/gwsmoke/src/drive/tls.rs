//! TLS 1.3 towards a node whose key is known by its hash: as the client does it, under the protocol
//! that is measured.

use std::sync::Arc;

use micronode_client::{Pin, TlsOptions};
use rustls::ClientConfig;

use crate::failure::Failure;
use crate::spec::Proto;

/// How connections that speak `proto` are made, to the node whose public key has the hash `pin`.
pub(super) fn config(pin: Option<&str>, proto: Proto) -> Result<Arc<ClientConfig>, Failure> {
    let pin = Pin::new(pin.unwrap_or_default());
    let options = TlsOptions {
        pin: Some(pin.map_err(|error| Failure::usage(format!("--pin: {error}")))?),
        ..TlsOptions::default()
    };
    let protocol: &[u8] = match proto {
        Proto::Http1 => b"http/1.1",
        Proto::Http2 => b"h2",
        Proto::Oap => b"oap/1",
    };
    let config = options.client_config(protocol);
    config.map_err(|error| Failure::wrong(format!("TLS: {error}")))
}
