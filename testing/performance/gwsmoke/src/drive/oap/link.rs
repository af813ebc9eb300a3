//! A connection's frames, in and out.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame};
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::limits::OAP_FRAME_BYTES;
use micronode_protocol::operation::{CONTROL, HELLO, Hello, Operation, Welcome};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use crate::drive::stream::Stream;
use crate::drive::{Endpoint, PATIENCE};

/// Slices of one write.
const SLICES: usize = 16;

/// What has been said on a connection so far.
pub(super) struct Link {
    stream: Stream,
    decoder: Decoder,
    encoder: Encoder,
    is_flushed: bool,
}

impl Link {
    /// Connects and says HELLO.
    pub(super) async fn open(endpoint: &Endpoint) -> io::Result<(Self, Welcome)> {
        let stream = endpoint.target.connect().await?;
        let mut link = Self {
            stream,
            decoder: Decoder::new(OAP_FRAME_BYTES),
            encoder: Encoder::new(),
            is_flushed: false,
        };
        let token = endpoint.token.as_deref().unwrap_or_default();
        let capability = BASE64_URL_SAFE_NO_PAD.decode(token);
        let capability = capability.map_err(io::Error::other)?;
        let header = Header {
            flags: Flags::REQ.with(Flags::WHOLE),
            code: HELLO,
            app: CONTROL,
            ..Header::default()
        };
        let hello = Hello {
            ua: concat!("gwsmoke/", env!("CARGO_PKG_VERSION")).to_owned(),
            accept_comp: false,
        };
        link.encoder
            .push(&header, &capability, &hello.encode(), Bytes::new());
        let answer = timeout(PATIENCE, async {
            loop {
                if let Some(frame) = link.next()? {
                    return Ok(frame);
                }
                let read = poll_fn(|cx| {
                    if let Poll::Ready(Err(error)) = link.poll_write(cx) {
                        return Poll::Ready(Err(error));
                    }
                    link.poll_read(cx)
                });
                if read.await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
        });
        let answer = answer.await.map_err(|_| io::ErrorKind::TimedOut)??;
        if answer.header.code != 200 {
            let told = String::from_utf8_lossy(&answer.payload).into_owned();
            return Err(io::Error::other(format!("HELLO is refused: {told}")));
        }
        let welcome = Welcome::decode(&answer.payload).map_err(io::Error::other)?;
        Ok((link, welcome))
    }

    /// The next frame that is whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match self.decoder.next() {
                Ok(Some(Decoded::Frame(frame))) => return Ok(Some(frame)),
                Ok(Some(Decoded::Skipped(_))) => {}
                Ok(None) => {
                    // The node sends no frame that is longer than a chunk with its fields, but it
                    // may.
                    if self.decoder.long_frame().is_none() {
                        return Ok(None);
                    }
                    self.decoder.grant();
                    return Ok(None);
                }
                Err(malformed) => return Err(io::Error::other(malformed.error)),
            }
        }
    }

    /// Where requests are queued.
    pub(super) fn queue(&mut self) -> &mut Encoder {
        self.is_flushed = false;
        &mut self.encoder
    }

    /// Bytes that have been written.
    pub(super) fn written(&self) -> u64 {
        self.encoder.written()
    }

    /// Queues an answer to the node's question whether anybody is there.
    pub(super) fn pong(&mut self) {
        let header = Header {
            flags: Flags::EVENT.with(Flags::WHOLE),
            code: Operation::Ping.code(),
            app: CONTROL,
            ..Header::default()
        };
        self.queue().push(&header, b"", b"", Bytes::new());
    }

    /// Writes what is queued; ready when all of it has been.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        while self.encoder.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.encoder.slices(&mut slices);
            let written = stream.as_mut().poll_write_vectored(cx, &slices[..count]);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.encoder.advance(written),
            }
        }
        if !self.is_flushed {
            ready!(stream.poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is there into the decoder.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut spare = self.decoder.spare();
        pin!(self.stream.read_buf(&mut spare)).poll(cx)
    }
}
