//! A TCP proxy on loopback that makes a path longer: every byte comes out a while after it went in.
//!
//! Bytes are delayed, not serialised: what is written while other bytes are on their way follows
//! them at the same distance, so pipelined requests stay pipelined and nothing is throttled. Order
//! is kept, a half-close is passed on behind the bytes before it, and a peer that does not read
//! holds up its sender as it would on a longer wire. The opening of a connection is not delayed:
//! what is measured through a proxy is measured on connections that are open.
//!
//! One thread for each direction reads and says when a piece is due, another waits and writes. Two
//! more threads for a connection cost nothing that is measured, and they wake within some ten µs,
//! where the timers of a runtime count in milliseconds.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::clock::now;

/// Bytes of one direction of one connection that may be on their way at once. With 60 ms of delay
/// that is 270 MiB/s for each connection: more than a connection of these scenarios moves, so that
/// the cap bounds memory and shapes nothing.
pub const IN_FLIGHT_BYTES: usize = 16 << 20;
/// Connections at once; more wait to be accepted.
pub const CONNECTIONS: usize = 512;
/// Most that is read at once, and so the size of a piece.
const PIECE_BYTES: usize = 64 * 1024;
/// What a piece costs beside its bytes, so that a peer who writes single bytes is bounded too.
const PIECE_OVERHEAD: usize = 64;
/// How often a full proxy looks for a free place.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A running proxy. Ends, with all its connections, with this value.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    /// Of each direction.
    delay: Duration,
    stopping: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

/// Both sockets and the threads between them.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    pipes: [Arc<Pipe>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy in front of `target`, which has to be on loopback, on a free port of 127.0.0.1. It
    /// adds half of `round_trip` in each direction.
    pub fn start(target: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        if !target.ip().is_loopback() {
            let error = format!("{target} is not on loopback");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            delay: round_trip / 2,
            stopping: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
        });
        let accepted = Arc::clone(&shared);
        let accepting = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accepted.accept(&listener))?;
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // The accept loop waits in the kernel; one more connection lets it look at the flag.
        let _woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
        let connections = std::mem::take(&mut *self.shared.connections.lock());
        for connection in &connections {
            connection.cut();
        }
        for thread in connections.into_iter().flat_map(|it| it.threads) {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn accept(&self, listener: &TcpListener) {
        for client in listener.incoming() {
            if !self.wait_for_a_place() {
                return;
            }
            // A connection that fails here is one that its client sees closed.
            if let Ok(client) = client
                && let Ok(connection) = self.connect(client)
            {
                self.connections.lock().push(connection);
            }
        }
    }

    /// Whether to go on, once there is a place.
    fn wait_for_a_place(&self) -> bool {
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return false;
            }
            let mut connections = self.connections.lock();
            connections.retain(|it| !it.threads.iter().all(JoinHandle::is_finished));
            if connections.len() < CONNECTIONS {
                return true;
            }
            drop(connections);
            thread::sleep(FULL_PAUSE);
        }
    }

    fn connect(&self, client: TcpStream) -> io::Result<Connection> {
        let server = TcpStream::connect(self.target)?;
        // A proxy that gathers small writes would add a delay of its own.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut connection = Connection {
            pipes: [(); 2].map(|()| Arc::new(Pipe::new(IN_FLIGHT_BYTES))),
            threads: Vec::with_capacity(4),
            client,
            server,
        };
        if let Err(error) = connection.start(self.delay) {
            connection.cut();
            return Err(error);
        }
        Ok(connection)
    }
}

impl Connection {
    fn start(&mut self, delay: Duration) -> io::Result<()> {
        let ways = [
            (&self.client, &self.server, &self.pipes[0]),
            (&self.server, &self.client, &self.pipes[1]),
        ];
        for (from, to, pipe) in ways {
            let (source, into) = (from.try_clone()?, Arc::clone(pipe));
            let reading = thread::Builder::new().name("proxy-read".to_owned());
            self.threads
                .push(reading.spawn(move || read(source, &into, delay))?);
            let (source, target) = (from.try_clone()?, to.try_clone()?);
            let out = Arc::clone(pipe);
            let writing = thread::Builder::new().name("proxy-write".to_owned());
            self.threads
                .push(writing.spawn(move || write(&source, target, &out))?);
        }
        Ok(())
    }

    /// Ends both directions at once; what is on its way is dropped.
    fn cut(&self) {
        for pipe in &self.pipes {
            pipe.abandon();
        }
        for socket in [&self.client, &self.server] {
            // Fails when the peer is gone already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Puts what comes into the pipe, until there is no more or nobody to give it to.
fn read(mut source: TcpStream, pipe: &Pipe, delay: Duration) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let end = match source.read(&mut buffer) {
            Ok(0) => End::Closed,
            Ok(count) => {
                let due = now() + delay;
                if pipe.push(due, buffer[..count].into()) {
                    continue;
                }
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => End::Broken,
        };
        pipe.end(now() + delay, end);
        return;
    }
}

/// Writes what is due, and passes on how it ended.
fn write(source: &TcpStream, mut target: TcpStream, pipe: &Pipe) {
    loop {
        match pipe.pop() {
            Popped::Piece(bytes) => {
                if target.write_all(&bytes).is_err() {
                    break;
                }
            }
            Popped::End(End::Closed) => {
                let _told = target.shutdown(Shutdown::Write);
                return;
            }
            Popped::End(End::Broken) => break,
            Popped::Abandoned => return,
        }
    }
    // Nobody takes any more, or nothing more can come: both sides are told.
    pipe.abandon();
    for socket in [source, &target] {
        let _told = socket.shutdown(Shutdown::Both);
    }
}

/// What is on its way in one direction.
struct Pipe {
    /// Most bytes, [`PIECE_OVERHEAD`] of each piece included, beyond which nothing more goes in.
    cap: usize,
    state: Mutex<State>,
    /// There is room, or nobody takes any more.
    room: Condvar,
    /// Something came.
    came: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<(Instant, Box<[u8]>)>,
    bytes: usize,
    end: Option<(Instant, End)>,
    abandoned: bool,
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// In order: the other direction goes on.
    Closed,
    /// By a reset.
    Broken,
}

#[derive(Debug, PartialEq, Eq)]
enum Popped {
    Piece(Box<[u8]>),
    End(End),
    Abandoned,
}

impl Pipe {
    fn new(cap: usize) -> Self {
        Self {
            cap,
            state: Mutex::default(),
            room: Condvar::new(),
            came: Condvar::new(),
        }
    }

    /// Puts a piece behind the others, once there is room; whether somebody will take it.
    fn push(&self, due: Instant, bytes: Box<[u8]>) -> bool {
        let cost = bytes.len() + PIECE_OVERHEAD;
        let mut state = self.state.lock();
        // A piece larger than the cap passes alone.
        while state.bytes > 0 && state.bytes + cost > self.cap && !state.abandoned {
            self.room.wait(&mut state);
        }
        if state.abandoned {
            return false;
        }
        state.bytes += cost;
        state.pieces.push_back((due, bytes));
        self.came.notify_one();
        true
    }

    /// Nothing follows.
    fn end(&self, due: Instant, end: End) {
        self.state.lock().end = Some((due, end));
        self.came.notify_one();
    }

    /// Nobody takes any more, and nobody should give.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.pieces.clear();
        state.bytes = 0;
        self.room.notify_all();
        self.came.notify_all();
    }

    /// The next piece or the end, once it is due.
    fn pop(&self) -> Popped {
        let mut state = self.state.lock();
        loop {
            if state.abandoned {
                return Popped::Abandoned;
            }
            let next = state.pieces.front().map(|(due, _)| *due);
            let Some(due) = next.or(state.end.map(|(due, _)| due)) else {
                self.came.wait(&mut state);
                continue;
            };
            if now() < due {
                self.came.wait_until(&mut state, due);
                continue;
            }
            let Some((_, bytes)) = state.pieces.pop_front() else {
                return state
                    .end
                    .map_or(Popped::Abandoned, |(_, end)| Popped::End(end));
            };
            state.bytes -= bytes.len() + PIECE_OVERHEAD;
            self.room.notify_one();
            return Popped::Piece(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::mpsc::sync_channel;

    fn piece(length: usize) -> Box<[u8]> {
        vec![7; length].into()
    }

    #[test]
    fn a_full_pipe_takes_nothing_more_until_something_has_left() {
        let pipe = Arc::new(Pipe::new(1000));
        let due = now();
        assert!(pipe.push(due, piece(900)));
        let (sender, pushed) = sync_channel(1);
        let into = Arc::clone(&pipe);
        let pushing = thread::spawn(move || sender.send(into.push(due, piece(900))));
        // It can come through only if the cap does not hold.
        let early = pushed.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err(), "there was no room");
        assert_eq!(pipe.pop(), Popped::Piece(piece(900)));
        assert_eq!(pushed.recv_timeout(Duration::from_secs(20)), Ok(true));
        assert_eq!(pipe.pop(), Popped::Piece(piece(900)));
        pushing.join().unwrap().unwrap();
    }

    #[test]
    fn single_bytes_are_bounded_by_what_they_cost() {
        let pipe = Pipe::new(1000);
        let fit = 1000 / (1 + PIECE_OVERHEAD);
        for _ in 0..fit {
            assert!(pipe.push(now(), piece(1)));
        }
        let state = pipe.state.lock();
        assert!(state.bytes + 1 + PIECE_OVERHEAD > pipe.cap);
    }

    #[test]
    fn what_is_larger_than_the_cap_passes_alone() {
        let pipe = Pipe::new(10);
        assert!(pipe.push(now(), piece(900)));
        assert_eq!(pipe.pop(), Popped::Piece(piece(900)));
    }

    #[test]
    fn the_end_comes_behind_the_pieces() {
        let pipe = Pipe::new(1000);
        assert!(pipe.push(now(), piece(1)));
        pipe.end(now(), End::Closed);
        assert_eq!(pipe.pop(), Popped::Piece(piece(1)));
        assert_eq!(pipe.pop(), Popped::End(End::Closed));
    }

    #[test]
    fn who_waits_is_let_go_when_a_pipe_is_abandoned() {
        let pipe = Arc::new(Pipe::new(100));
        assert!(pipe.push(now() + Duration::from_secs(3600), piece(90)));
        let (into, out) = (Arc::clone(&pipe), Arc::clone(&pipe));
        let pushing = thread::spawn(move || into.push(now(), piece(90)));
        let popping = thread::spawn(move || out.pop());
        pipe.abandon();
        assert!(!pushing.join().unwrap());
        assert_eq!(popping.join().unwrap(), Popped::Abandoned);
    }

    #[test]
    fn only_loopback_is_reached() {
        let target = "192.0.2.1:80".parse().unwrap();
        let refused = Proxy::start(target, Duration::ZERO).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
