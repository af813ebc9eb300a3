//! A connection inside TLS, as the ingresses see it.

use micronode_hardening::Transport;
use pin_project_lite::pin_project;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server;

pin_project! {
    /// See the [module](self).
    #[derive(Debug)]
    pub(crate) struct TlsStream {
        #[pin]
        pub(super) tls: server::TlsStream<TcpStream>,
    }
}

impl TlsStream {
    /// The protocol that was agreed on.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.tls.get_ref().1.alpn_protocol()
    }
}

impl Transport for TlsStream {
    fn discard_on_close(&self) {
        self.tls.get_ref().0.discard_on_close();
    }

    /// Without what waits in the session: at most 64 KiB, and nearly all of that whenever a write
    /// blocks, so that it does not hide whether the peer moves.
    fn unacknowledged(&self) -> u64 {
        self.tls.get_ref().0.unacknowledged()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().tls.poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().tls.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().tls.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().tls.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().tls.poll_shutdown(cx)
    }
}
