//! The task of one connection: bytes from the socket into the table of streams, and back. It waits
//! for the socket and never for a caller.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use micronode_protocol::codec::{Decoder, Encoder};
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::limits::OAP_WRITE_AHEAD_BYTES;
use micronode_protocol::operation::Operation;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::super::IDLE;
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
pub(super) async fn drive(shared: Arc<Shared>, socket: TcpStream, decoder: Decoder) {
    let calls = EndCalls(shared);
    let ended = serve(&calls.0, socket, decoder).await;
    calls.0.end(ended);
}

async fn serve(shared: &Shared, mut socket: TcpStream, mut decoder: Decoder) -> Ended {
    let (mut reader, writer) = socket.split();
    let mut encoder = Encoder::new();
    let mut resting: Option<Instant> = None;
    // What came together with the answer to HELLO.
    if let Err(ended) = receive(shared, &mut decoder, &mut encoder) {
        return ended;
    }
    loop {
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
        let mut spare = decoder.spare();
        tokio::select! {
            read = reader.read_buf(&mut spare) => {
                match read {
                    Ok(0) => return Ended::Closed,
                    Ok(_) => shared.progress.lock().read(),
                    Err(error) => return error.into(),
                }
                if let Err(ended) = receive(shared, &mut decoder, &mut encoder) {
                    return ended;
                }
            }
            ready = writer.writable(), if writes => {
                // A socket that takes everything must not keep other tasks from their turn.
                consume_budget().await;
                if let Err(error) = ready.and_then(|()| write(shared, &writer, &mut encoder)) {
                    shared.break_off(error.into());
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
fn write(shared: &Shared, writer: &WriteHalf<'_>, encoder: &mut Encoder) -> io::Result<()> {
    let mut slices = [IoSlice::new(b""); SLICES];
    let count = encoder.slices(&mut slices);
    {
        // A caller may end the connection at any time. What it takes for unsent must not leave
        // after that, and what is just leaving it must not take for unsent.
        let mut streams = shared.streams.lock();
        if streams.ended().is_some() {
            return Ok(());
        }
        streams.writing(encoder.end());
    }
    let offered = slices[..count].iter().map(|slice| slice.len()).sum();
    let result = match writer.try_write_vectored(&slices[..count]) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    };
    if let Ok(taken) = result {
        encoder.advance(taken);
        shared.progress.lock().written(taken, offered);
    }
    shared.streams.lock().written(encoder.written());
    result.map(drop)
}

/// Hands in all frames that are there.
fn receive(shared: &Shared, decoder: &mut Decoder, encoder: &mut Encoder) -> Result<(), Ended> {
    let mut streams = shared.streams.lock();
    loop {
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
                None => return Ok(()),
            },
            Err(malformed) => return Err(Ended::Malformed(malformed.error)),
        }
    }
}
