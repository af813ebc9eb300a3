//! One handshake: bounded in time, giving way like any connection that asks for nothing.

use super::{Listener, Tls, TlsStream};
use crate::clock;
use crate::config::Pq;
use crate::metrics::tls::{Failure, Group, TlsMetrics};
use micronode_hardening::{DrainSignal, Slot};
use micronode_protocol::limits::{LINGER_BYTES, TLS_HANDSHAKE};
use rustls::{Error, HandshakeKind, InvalidMessage, NamedGroup, PeerIncompatible};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::{TlsAcceptor, server};

/// Holds a handshake on `tcp`. `None` when it failed, took too long or gave way to a newcomer; the
/// peer has been told what TLS can tell it.
pub(crate) async fn handshake(
    tls: &Tls,
    metrics: &TlsMetrics,
    listener: Listener,
    tcp: TcpStream,
    slot: &Slot,
    drain: &DrainSignal,
) -> Option<TlsStream> {
    let deadline = clock::instant() + TLS_HANDSHAKE;
    let acceptor = TlsAcceptor::from(tls.config(listener));
    let accept = acceptor.accept(tcp).into_fallible();
    let mut gives_way = pin!(gives_way(slot, drain));
    let accepted = tokio::select! {
        biased;
        accepted = timeout_at(deadline, accept) => accepted,
        () = &mut gives_way => {
            metrics.failed(Failure::Closed);
            return None;
        }
    };
    match accepted {
        Ok(Ok(stream)) => {
            count(metrics, &stream);
            return Some(TlsStream { tls: stream });
        }
        Ok(Err((error, io))) => {
            let alert = error
                .get_ref()
                .and_then(|error| error.downcast_ref::<Error>());
            metrics.failed(alert.map_or(Failure::Closed, |error| failure(error, tls.pq())));
            if alert.is_some() {
                // A reset would overtake the alert.
                tokio::select! {
                    _ = timeout_at(deadline, part(io)) => {}
                    () = gives_way => {}
                }
            }
        }
        Err(_) => metrics.failed(Failure::Timeout),
    }
    None
}

/// Returns when the place is needed for another, or the node shuts down.
async fn gives_way(slot: &Slot, drain: &DrainSignal) {
    tokio::select! {
        () = poll_fn(|cx| slot.poll_evicted(cx)) => {}
        () = drain.started() => {}
    }
}

/// Closes the sending side, and discards what the peer still sends.
async fn part(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut bytes = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match tcp.read(&mut bytes).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

fn count(metrics: &TlsMetrics, stream: &server::TlsStream<TcpStream>) {
    let session = stream.get_ref().1;
    let group = session.negotiated_key_exchange_group();
    let group = match group.map(|group| group.name()) {
        Some(NamedGroup::X25519MLKEM768) => Group::Hybrid,
        _ => Group::Classical,
    };
    metrics.succeeded(
        group,
        session.handshake_kind() == Some(HandshakeKind::Resumed),
    );
}

/// The reason, as the metric knows it.
fn failure(error: &Error, pq: Pq) -> Failure {
    match error {
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) if pq == Pq::Require => {
            Failure::PqRequired
        }
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => Failure::ProtocolVersion,
        Error::NoApplicationProtocol => Failure::NoApplicationProtocol,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Failure::ClientCertificate,
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Failure::NotTls,
        _ => Failure::Other,
    }
}
