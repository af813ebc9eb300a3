//! A node without listeners, in the process of whoever wants to talk to it: for benches and tests
//! that leave the network out.

use crate::clock;
use crate::config::Loaded;
use crate::ingress::oap;
use crate::node::Node;
use crate::readiness::Readiness;
use crate::tls::{Listener, Tls, TlsError};
use micronode_hardening::{Drain, Transport};
use rustls::ServerConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A node that is ready and listens nowhere. It has no threads and no periodic tasks: nothing
/// expires by itself, and readiness does not change.
pub struct EmbeddedNode {
    node: Arc<Node>,
    drain: Drain,
}

impl EmbeddedNode {
    /// A node with this configuration, whose listeners are passed over.
    pub fn new(loaded: &Loaded) -> Self {
        let node = Arc::new(Node::new(loaded, None));
        node.readiness(Readiness::started);
        Self {
            node,
            drain: Drain::new(),
        }
    }

    /// What the data listener of such a node holds its handshakes with, if it speaks TLS.
    pub fn tls_config(loaded: &Loaded) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        let tls = Tls::new(&loaded.config.tls, &[], clock::now().mono_ms)?;
        Ok(tls.map(|tls| tls.config(Listener::Http)))
    }

    /// Speaks OAP on `io` until the connection ends; within a tokio runtime that has time. `None`
    /// when the node has as many connections as it may.
    pub fn serve_oap<I: Transport + 'static>(
        &self,
        io: I,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let slot = self.node.data_slots.admit()?;
        let node = Arc::clone(&self.node);
        Some(oap::serve(
            node,
            io,
            IpAddr::from(Ipv4Addr::LOCALHOST),
            slot,
            self.drain.signal(),
        ))
    }
}
