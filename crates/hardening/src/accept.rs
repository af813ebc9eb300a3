//! Accepting connections, whatever happens.
//!
//! The loop survives what `accept` can fail with: a peer that has gone again costs nothing, and a
//! process that is out of file descriptors asks an idle connection to leave and tries again
//! soon. A newcomer that there is no slot for is told so and not just dropped.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use crate::refusal::{Counters, Reason, Refusal};
use crate::slots::{ConnectionSlots, Slot};

/// Wait after a failed accept; doubles up to [`BACKOFF_MAX`] while they keep failing.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(200);

/// Bytes that the kernel takes for a connection before they are sent: beyond this the peer is
/// waited for where it can be seen, so a peer that does not read costs at most this and its own
/// receive window.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Refused newcomers kept open at once, so that their answer arrives ...
const TURNED_AWAY: usize = 16;
/// ... each for at most this long.
const TURNED_AWAY_FOR: Duration = Duration::from_secs(1);

/// When a newcomer without a slot may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Accepts connections for ever and hands each to `on_connection` with its slot. Ends when
/// dropped.
///
/// A newcomer for which there is no slot is sent `render` of the refusal, which is counted.
pub async fn accept<F>(
    listener: TcpListener,
    slots: ConnectionSlots,
    counters: Arc<Counters>,
    render: fn(&Refusal) -> Bytes,
    mut on_connection: F,
) where
    F: FnMut(TcpStream, SocketAddr, Slot),
{
    let mut backoff = BACKOFF_MIN;
    let mut turned_away = TurnedAway::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = turned_away.next_end() => {
                turned_away.end_oldest();
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff = BACKOFF_MIN;
                prepare(&stream);
                // Whoever comes meanwhile could not be admitted either.
                match slots.admit_soon().await {
                    Some(slot) => on_connection(stream, peer, slot),
                    None => {
                        counters.count(Reason::Overloaded);
                        let refusal = Refusal::new(Reason::Overloaded, "too many connections")
                            .with_retry_after(RETRY_AFTER);
                        turned_away.refuse(stream, &render(&refusal));
                    }
                }
            }
            // The peer has gone again, or the call was interrupted.
            Err(error) if is_transient(&error) => {}
            Err(error) => {
                let evicted = slots.evict_longest_idle();
                say(&error, evicted);
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

/// The system's number and word for the error, and nothing that may have been put into it.
fn say(error: &io::Error, evicted: bool) {
    let (kind, number) = (error.kind(), error.raw_os_error());
    tracing::warn!(%kind, number, evicted, "cannot accept a connection");
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A socket that lacks an option still serves, so failures do not matter here: the peer may have
/// gone, which the first read will tell.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

/// Newcomers that have been refused and have not been closed: closing before their request has
/// arrived would answer it with a reset, which overtakes the refusal.
#[derive(Debug, Default)]
struct TurnedAway {
    /// Oldest first, with the time to close it.
    sockets: VecDeque<(Instant, TcpStream)>,
}

impl TurnedAway {
    fn refuse(&mut self, stream: TcpStream, answer: &[u8]) {
        let socket = SockRef::from(&stream);
        // A new socket has room for an answer. If this one does not, it is not waited for.
        let _ = socket.send(answer);
        let _ = socket.shutdown(Shutdown::Write);
        if self.sockets.len() == TURNED_AWAY {
            self.end_oldest();
        }
        self.sockets
            .push_back((Instant::now() + TURNED_AWAY_FOR, stream));
    }

    async fn next_end(&self) {
        match self.sockets.front() {
            Some((end, _)) => sleep_until(*end).await,
            None => pending().await,
        }
    }

    fn end_oldest(&mut self) {
        if let Some((_, stream)) = self.sockets.pop_front() {
            // Closing with unread bytes resets the connection.
            let mut unread = [0; 4096];
            let _ = stream.try_read(&mut unread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_newcomers_are_kept_open_than_the_cap() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        let mut turned_away = TurnedAway::default();
        let mut clients = Vec::new();
        for count in 1..=TURNED_AWAY + 1 {
            clients.push(TcpStream::connect(address).await.expect("a connection"));
            let (stream, _) = listener.accept().await.expect("a connection");
            turned_away.refuse(stream, b"no");
            assert_eq!(turned_away.sockets.len(), count.min(TURNED_AWAY));
        }
        let oldest = turned_away.sockets.front().expect("the cap is not zero");
        let peer = oldest.1.peer_addr().expect("still open");
        assert_eq!(
            Ok(peer),
            clients[1].local_addr().map_err(drop),
            "the oldest has gone"
        );
    }
}
