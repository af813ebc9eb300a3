//! One handshake: bounded in time, giving way like any connection that asks for nothing.

use super::stream::Counted;
use super::{Listener, Tls, TlsStream};
use crate::clock;
use crate::config::Pq;
use crate::metrics::tls::{Failure, Group, TlsMetrics};
use micronode_hardening::{DrainSignal, Slot};
use micronode_protocol::limits::{LINGER_BYTES, TLS_HANDSHAKE};
use rustls::{Error, HandshakeKind, InvalidMessage, NamedGroup, PeerIncompatible};
use std::future::poll_fn;
use std::io;
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
    let accept = acceptor.accept(Counted::new(tcp)).into_fallible();
    let handshake = async {
        match timeout_at(deadline, accept).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((error, io))) => {
                let failure = failure(&error, tls.pq());
                // A reset would overtake the alert.
                if error.get_ref().is_some() {
                    let _ = timeout_at(deadline, part(io.tcp)).await;
                }
                Err(failure)
            }
            Err(_) => Err(Failure::Timeout),
        }
    };
    let ended = tokio::select! {
        biased;
        ended = handshake => ended,
        () = poll_fn(|cx| slot.poll_evicted(cx)) => Err(Failure::Closed),
        () = drain.started() => Err(Failure::Closed),
    };
    match ended {
        Ok(stream) => {
            count(metrics, &stream);
            Some(TlsStream::new(stream))
        }
        Err(failure) => {
            metrics.failed(failure);
            None
        }
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

fn count(metrics: &TlsMetrics, stream: &server::TlsStream<Counted>) {
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
fn failure(error: &io::Error, pq: Pq) -> Failure {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    match tls {
        None => Failure::Closed,
        Some(Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon))
            if pq == Pq::Require =>
        {
            Failure::PqRequired
        }
        Some(Error::NoApplicationProtocol) => Failure::NoApplicationProtocol,
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
            Failure::ClientCertificate
        }
        Some(Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )) => Failure::ProtocolVersion,
        Some(Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        )) => Failure::NotTls,
        Some(_) => Failure::Other,
    }
}
