//! The task of one connection: bytes from the socket into the table of streams, and back. It waits
//! for the socket and never for a caller.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use micronode_protocol::codec::{Decoder, Encoder};
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::limits::OAP_WRITE_AHEAD_BYTES;
use micronode_protocol::operation::Operation;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::super::IDLE;
use super::connect::Socket;
use super::ended::Ended;
use super::link::Shared;

/// Slices of one write: headers and chunks of what is sent ahead.
const SLICES: usize = 16;

/// Ends the calls however the task ends, also together with its runtime.
struct EndCalls(Arc<Shared>);

impl Drop for EndCalls {
    fn drop(&mut self) {
        self.0.end(Ended::Abandoned);
    }
}

/// Serves a connection until it ends.
pub(super) async fn drive(shared: Arc<Shared>, socket: Box<dyn Socket>, decoder: Decoder) {
    let calls = EndCalls(shared);
    let ended = serve(&calls.0, socket, decoder).await;
    calls.0.end(ended);
}

async fn serve(shared: &Shared, mut socket: Box<dyn Socket>, mut decoder: Decoder) -> Ended {
    // What was written may still be in the TLS session.
    let mut unflushed = false;
    let mut encoder = Encoder::new();
    let mut resting: Option<Instant> = None;
    loop {
        // What came together with the answer to HELLO, what was just read, and what had to wait
        // for a caller.
        let reads = match receive(shared, &mut decoder, &mut encoder) {
            Ok(reads) => reads,
            Err(ended) => return ended,
        };
        let (idle, writes) = {
            let mut streams = shared.streams.lock();
            if let Some(ended) = streams.ended() {
                return ended.clone();
            }
            let writes = streams.closed().is_none();
            if writes {
                streams.fill(&mut encoder);
            } else if streams.is_empty() {
                return Ended::Closed;
            }
            let queued = encoder.queued() > 0;
            (streams.is_empty() && !queued, writes && queued)
        };
        if idle {
            resting.get_or_insert_with(Instant::now);
        } else {
            resting = None;
        }
        // Both directions in one look, so that neither waits for the other; a socket that is always
        // ready ends a look by itself, for others to have a turn.
        let moved = poll_fn(|cx| {
            let mut wrote = Poll::Pending;
            if writes {
                wrote = poll_write(cx, shared, &mut socket, &mut encoder);
                unflushed = true;
            }
            if unflushed && let Poll::Ready(flushed) = Pin::new(&mut socket).poll_flush(cx) {
                unflushed = false;
                if flushed.is_err() {
                    wrote = Poll::Ready(flushed);
                }
            }
            let mut read = Poll::Pending;
            if reads {
                read = pin!(socket.read_buf(&mut decoder.spare())).poll(cx);
            }
            if wrote.is_pending() && read.is_pending() {
                return Poll::Pending;
            }
            Poll::Ready((wrote, read))
        });
        tokio::select! {
            (wrote, read) = moved => {
                if let Poll::Ready(Err(error)) = wrote {
                    shared.break_off(error.into());
                }
                match read {
                    Poll::Ready(Ok(0)) => return Ended::Closed,
                    Poll::Ready(Ok(_)) => shared.progress.lock().read(),
                    Poll::Ready(Err(error)) => return error.into(),
                    Poll::Pending => {}
                }
            }
            () = shared.work.notified() => {}
            () = sleep_until(resting.unwrap_or_else(Instant::now) + IDLE), if resting.is_some() => {
                let mut streams = shared.streams.lock();
                if streams.is_empty() {
                    streams.end(Ended::Idle);
                }
            }
        }
    }
}

/// Writes what the socket takes without waiting.
fn poll_write(
    cx: &mut Context<'_>,
    shared: &Shared,
    socket: &mut Box<dyn Socket>,
    encoder: &mut Encoder,
) -> Poll<io::Result<()>> {
    let mut slices = [IoSlice::new(b""); SLICES];
    let count = encoder.slices(&mut slices);
    {
        // A caller may end the connection at any time. What it takes for unsent must not leave
        // after that, and what is just leaving it must not take for unsent.
        let mut streams = shared.streams.lock();
        if streams.ended().is_some() {
            return Poll::Ready(Ok(()));
        }
        streams.writing(encoder.end());
    }
    let offered = slices[..count].iter().map(|slice| slice.len()).sum();
    let result = match Pin::new(socket).poll_write_vectored(cx, &slices[..count]) {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        result => result,
    };
    let taken = match result {
        Poll::Ready(Ok(taken)) => Some(taken),
        Poll::Pending => Some(0),
        Poll::Ready(Err(_)) => None,
    };
    if let Some(taken) = taken {
        encoder.advance(taken);
        shared.progress.lock().written(taken, offered);
    }
    shared.streams.lock().written(encoder.written());
    result.map_ok(drop)
}

/// Hands in all frames that are there, or until there is no room for what is told; whether more
/// may be read.
fn receive(shared: &Shared, decoder: &mut Decoder, encoder: &mut Encoder) -> Result<bool, Ended> {
    let mut streams = shared.streams.lock();
    loop {
        if streams.is_full() {
            return Ok(false);
        }
        match decoder.next() {
            Ok(Some(decoded)) => {
                let ping = streams.receive(decoded)?;
                // A node that reads nothing is not owed an answer.
                if let Some(corr_id) = ping
                    && encoder.queued() < OAP_WRITE_AHEAD_BYTES
                {
                    let header = Header {
                        flags: Flags::EVENT,
                        code: Operation::Ping.code(),
                        app: Operation::Ping.app(),
                        corr_id,
                        ..Header::default()
                    };
                    encoder.push(&header, &[], &[], Bytes::new());
                }
            }
            Ok(None) => match decoder.long_frame() {
                Some((header, _)) if streams.wants(header) => decoder.grant(),
                Some(_) => decoder.skip(),
                None => return Ok(true),
            },
            Err(malformed) => return Err(Ended::Malformed(malformed.error)),
        }
    }
}
