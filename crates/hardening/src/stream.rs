//! The byte stream under one connection, watched.
//!
//! Notes what moves and what does not, holds HTTP/2 peers to their allowance of control frames,
//! ends HTTP/1 requests whose bodies have two ends, and keeps the HTTP/1 implementation's own terse answers to unreadable requests off the wire,
//! so that the service's rendering of the refusal can take their place.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::activity::Activity;
use crate::flood::FloodMeter;
use crate::framing::HeadScan;
use crate::unsent;

/// What an HTTP/2 connection with prior knowledge begins with (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A byte stream that a connection can be served on.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes closing discard what has been written and not been taken by the peer, so that a
    /// peer that does not read cannot make the kernel keep it.
    fn discard_on_close(&self) {}

    /// Bytes written that the peer has not acknowledged, where the transport can tell: a writer
    /// that is blocked sees a slow reader's progress only by this.
    fn unacknowledged(&self) -> u64 {
        0
    }
}

impl Transport for TcpStream {
    fn discard_on_close(&self) {
        // Failing leaves the kernel's own, longer, patience.
        let _ = self.set_zero_linger();
    }

    fn unacknowledged(&self) -> u64 {
        unsent::unacknowledged(self)
    }
}

impl Transport for DuplexStream {}

/// What the stream carries.
#[derive(Debug)]
enum Carries {
    /// Not known yet, or nothing any more: bytes pass.
    Anything,
    Http1(HeadScan),
    /// Boxed: most connections are HTTP/1.
    Http2(Box<FloodMeter>),
}

#[derive(Debug)]
pub(crate) struct WatchedStream<I: Transport> {
    io: I,
    activity: Arc<Activity>,
    carries: Carries,
    /// Bytes that were read to tell the protocol, until they have been read again.
    prefix: [u8; PREFACE.len()],
    prefix_len: usize,
    prefix_read: usize,
    /// HTTP/1: the last three bytes read.
    tail: [u8; 3],
}

impl<I: Transport> WatchedStream<I> {
    pub(crate) fn new(io: I, activity: Arc<Activity>) -> Self {
        Self {
            io,
            activity,
            carries: Carries::Anything,
            prefix: [0; PREFACE.len()],
            prefix_len: 0,
            prefix_read: 0,
            tail: [0; 3],
        }
    }

    /// Ready with whether the connection begins with the HTTP/2 preface, as soon as the bytes
    /// read so far can tell. They will be read again. The end of the stream is an error.
    pub(crate) fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let prefix = &self.prefix[..self.prefix_len];
            if !PREFACE.starts_with(prefix) {
                return Poll::Ready(Ok(false));
            }
            if prefix.len() == PREFACE.len() {
                return Poll::Ready(Ok(true));
            }
            let mut buffer = ReadBuf::new(&mut self.prefix[self.prefix_len..]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            let count = buffer.filled().len();
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.prefix_len += count;
            self.activity.read.fetch_add(count as u64, Relaxed);
        }
    }

    /// The bytes read to tell the protocol.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix[..self.prefix_len]
    }

    pub(crate) fn carry_http1(&mut self) {
        self.carries = Carries::Http1(HeadScan::default());
    }

    pub(crate) fn carry_http2(&mut self, meter: FloodMeter) {
        self.carries = Carries::Http2(Box::new(meter));
    }

    /// From here on bytes pass unobserved, apart from being counted.
    pub(crate) fn carry_anything(&mut self) {
        self.carries = Carries::Anything;
    }

    /// The implementation's own answer to a request that it could not read.
    fn is_unasked(&self) -> bool {
        matches!(self.carries, Carries::Http1(_))
            && self.activity.flushed.load(Relaxed)
            && !self.activity.in_progress()
    }

    fn note_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let activity = &*self.activity;
        match &mut self.carries {
            Carries::Anything => {}
            Carries::Http1(scan) => {
                let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
                if !activity.in_progress() && !bytes.iter().all(blank) {
                    if !activity.head_open.swap(true, Relaxed) {
                        *scan = HeadScan::default();
                    }
                    if scan.read(bytes).is_err() {
                        activity.ambiguous.store(true, Relaxed);
                        return Err(io::Error::other("a body with two ends"));
                    }
                }
                shift_in(&mut self.tail, bytes);
                let ends_head = self.tail == *b"\n\r\n" || self.tail.ends_with(b"\n\n");
                activity.head_cut.store(!ends_head, Relaxed);
            }
            Carries::Http2(meter) => {
                let written = activity.written.load(Relaxed);
                if meter.read(bytes, written, Instant::now).is_err() {
                    activity.flooded.store(true, Relaxed);
                    return Err(io::Error::other("too many control frames"));
                }
                activity.head_open.store(meter.head_open(), Relaxed);
                activity.frame_open.store(meter.frame_open(), Relaxed);
            }
        }
        Ok(())
    }

    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = result {
            self.activity.written.fetch_add(*count as u64, Relaxed);
        }
        let blocked = result.is_pending();
        self.activity.write_blocked.store(blocked, Relaxed);
        if blocked {
            let unsent = self.io.unacknowledged();
            self.activity.unsent.store(unsent, Relaxed);
        }
    }
}

/// Keeps the last three of all the bytes seen.
fn shift_in(tail: &mut [u8; 3], bytes: &[u8]) {
    let kept = bytes.len().min(3);
    tail.rotate_left(kept);
    tail[3 - kept..].copy_from_slice(&bytes[bytes.len() - kept..]);
}

impl<I: Transport> Drop for WatchedStream<I> {
    fn drop(&mut self) {
        if self.activity.discard.load(Relaxed) {
            self.io.discard_on_close();
        }
    }
}

impl<I: Transport> AsyncRead for WatchedStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let from_prefix = this.prefix_read < this.prefix_len;
        if from_prefix {
            let prefix = &this.prefix[this.prefix_read..this.prefix_len];
            let count = prefix.len().min(buffer.remaining());
            buffer.put_slice(&prefix[..count]);
            this.prefix_read += count;
            // The flood meter reads from after the preface.
            if matches!(this.carries, Carries::Http2(_)) {
                return Poll::Ready(Ok(()));
            }
        } else {
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        }
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() {
            this.activity.ended.store(buffer.remaining() > 0, Relaxed);
            return Poll::Ready(Ok(()));
        }
        if !from_prefix {
            this.activity.read.fetch_add(bytes.len() as u64, Relaxed);
        }
        Poll::Ready(this.note_read(bytes))
    }
}

impl<I: Transport> AsyncWrite for WatchedStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_unasked() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_unasked() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        // HTTP/1 flushes when it has written everything it has.
        if !self.activity.in_progress() {
            self.activity.flushed.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An HTTP/1 connection is shut down after its last word, which may not have been said.
        if matches!(self.carries, Carries::Http1(_)) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
