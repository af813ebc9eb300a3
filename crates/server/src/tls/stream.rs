//! A connection inside TLS, as the ingresses see it.

use micronode_hardening::Transport;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server;

/// Bytes of a record beyond what it carries: its header, the type inside and the tag.
const RECORD_OVERHEAD: u64 = 5 + 1 + 16;
/// What a record carries at most.
const RECORD_BYTES: u64 = 16 * 1024;

/// A TCP stream that counts what it has taken.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) tcp: TcpStream,
    written: u64,
}

impl Counted {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, written: 0 }
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.written += count as u64;
        }
        written
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct TlsStream {
    tls: server::TlsStream<Counted>,
    /// Bytes of records made for the socket to take.
    sealed: u64,
}

impl TlsStream {
    pub(super) fn new(tls: server::TlsStream<Counted>) -> Self {
        Self { tls, sealed: 0 }
    }

    /// The protocol that was agreed on.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.tls.get_ref().1.alpn_protocol()
    }

    fn seal(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let (socket, session) = self.tls.get_ref();
        if !session.wants_write() {
            self.sealed = socket.written;
        } else if let Poll::Ready(Ok(count)) = written {
            let count = count as u64;
            self.sealed += count + RECORD_OVERHEAD * count.div_ceil(RECORD_BYTES);
        }
        written
    }
}

impl Transport for TlsStream {
    fn discard_on_close(&self) {
        self.tls.get_ref().0.tcp.discard_on_close();
    }

    /// What waits in the session counts too. While a peer reads slowly, its socket is filled up
    /// from there, and by the socket alone nothing would seem to move.
    fn unacknowledged(&self) -> u64 {
        let socket = self.tls.get_ref().0;
        socket.tcp.unacknowledged() + self.sealed.saturating_sub(socket.written)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tls).poll_write(cx, bytes);
        self.seal(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tls).poll_write_vectored(cx, slices);
        self.seal(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
