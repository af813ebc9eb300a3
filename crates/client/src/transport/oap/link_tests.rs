#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::{hint, thread};

use bytes::Bytes;
use futures_util::FutureExt;
use micronode_protocol::codec::Decoder;
use micronode_protocol::limits::OAP_FRAME_BYTES;
use micronode_protocol::operation::Operation;
use tokio::runtime;
use tokio::sync::oneshot;

use super::*;

/// A connection, and the node's end of it.
fn link(streams: usize) -> (Arc<Link>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (node, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let opened = Opened {
        socket: tokio::net::TcpStream::from_std(socket).unwrap(),
        decoder: Decoder::new(OAP_FRAME_BYTES),
        streams,
    };
    (Link::start(opened), node)
}

fn ping() -> Request {
    Request {
        operation: Operation::Ping,
        fields: Vec::new(),
        body: Bytes::new(),
        last: true,
        allowed: 0,
    }
}

/// A caller that gave a connection up while its task was writing was told that nothing had left of
/// a request that the node was about to read, and sent it again: a second delete is a 404.
#[test]
fn nothing_that_the_node_gets_was_called_unsent() {
    const ROUNDS: u32 = 400;
    const SPINS: u32 = 10_000_000;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let (done, wait) = oneshot::channel::<()>();
    // The task of the connection runs beside its caller.
    let task = thread::spawn(move || runtime.block_on(wait));
    let _context = handle.enter();
    for round in 0..ROUNDS {
        let (link, mut node) = link(1);
        let call = link.open(ping()).now_or_never().unwrap().unwrap();
        if round % 2 == 0 {
            // Before, while and after it is written.
            (0..40 * (round % 64)).for_each(|_| hint::spin_loop());
        } else {
            // The moment that it is there.
            node.set_nonblocking(true).unwrap();
            assert!((0..SPINS).any(|_| node.peek(&mut [0]).is_ok()));
            node.set_nonblocking(false).unwrap();
        }
        link.0.end(Ended::Silent(Duration::ZERO));
        let answered = call.answered().now_or_never().unwrap();
        let unsent = answered.unwrap_err().unsent;
        let mut came = Vec::new();
        let _ = node.read_to_end(&mut came);
        assert!(came.is_empty() || !unsent, "round {round}");
    }
    drop(done);
    let _ = task.join().unwrap();
}
