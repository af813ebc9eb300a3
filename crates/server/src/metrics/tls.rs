//! Counters of TLS: handshakes, and why they failed. Their labels are fixed sets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The key exchange of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Group {
    Hybrid,
    Classical,
}

impl Group {
    pub(super) const ALL: [(Self, &str); 2] = [
        (Self::Hybrid, "X25519MLKEM768"),
        (Self::Classical, "X25519"),
    ];
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was not over in time.
    Timeout,
    /// The peer has no post-quantum key exchange, and nothing else will do.
    PqRequired,
    /// It offered protocols, none of which is spoken here.
    NoApplicationProtocol,
    /// It presented no certificate, or one that is not accepted.
    ClientCertificate,
    /// It has no TLS 1.3.
    ProtocolVersion,
    /// What it says is not TLS.
    NotTls,
    /// Either side closed before the end; this one does for a newcomer, or to shut down.
    Closed,
    /// Anything else.
    Other,
}

impl Failure {
    pub(super) const ALL: [(Self, &str); 8] = [
        (Self::Timeout, "timeout"),
        (Self::PqRequired, "pq_required"),
        (Self::NoApplicationProtocol, "no_application_protocol"),
        (Self::ClientCertificate, "client_certificate"),
        (Self::ProtocolVersion, "protocol_version"),
        (Self::NotTls, "not_tls"),
        (Self::Closed, "closed"),
        (Self::Other, "other"),
    ];
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct TlsMetrics {
    /// By [`Group`], and whether a session was resumed.
    handshakes: [[AtomicU64; 2]; Group::ALL.len()],
    failures: [AtomicU64; Failure::ALL.len()],
}

impl TlsMetrics {
    pub(crate) fn succeeded(&self, group: Group, resumed: bool) {
        self.handshakes[group as usize][usize::from(resumed)].fetch_add(1, Relaxed);
    }

    pub(crate) fn failed(&self, failure: Failure) {
        self.failures[failure as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn handshakes(&self, group: Group, resumed: bool) -> u64 {
        self.handshakes[group as usize][usize::from(resumed)].load(Relaxed)
    }

    pub(super) fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize].load(Relaxed)
    }
}
