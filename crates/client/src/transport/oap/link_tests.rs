#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::{hint, thread};

use bytes::Bytes;
use futures_util::FutureExt;
use micronode_protocol::codec::Decoder;
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::limits::OAP_FRAME_BYTES;
use micronode_protocol::operation::Operation;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

/// A connection, its socket, and the node's end of it.
fn link(streams: usize) -> (Arc<Link>, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (node, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let opened = Opened {
        socket: Box::new(tokio::net::TcpStream::from_std(socket.try_clone().unwrap()).unwrap()),
        decoder: Decoder::new(OAP_FRAME_BYTES),
        streams,
    };
    (Link::start(opened), socket, node)
}

fn ping() -> Request {
    Request {
        operation: Operation::Ping,
        fields: Vec::new(),
        body: Bytes::new(),
        last: true,
        allowed: 0,
        room: None,
    }
}

/// A connection that could not be written to was as good as any until the node closed it: calls
/// queued on it and waited for their time to be over.
#[tokio::test]
async fn no_call_joins_a_connection_that_cannot_be_written_to() {
    let (link, socket, mut node) = link(2);
    let first = link.open(ping()).await.unwrap();
    first.begun().await.unwrap();
    // From now on a write fails, and the node has not closed.
    socket.shutdown(Shutdown::Write).unwrap();
    let second = link.open(ping()).await.unwrap();
    let waits = timeout(SOON, link.open(ping())).await.unwrap();
    assert!(matches!(waits, Err(Ended::Failed(_))));
    assert!(!link.is_open());
    assert!(matches!(link.open(ping()).await, Err(Ended::Failed(_))));
    // What was sent before may be answered.
    let answer = Header {
        len: HEADER_BYTES as u32,
        flags: Flags::RESP.with(Flags::WHOLE),
        code: 200,
        corr_id: 1,
        ..Header::default()
    };
    node.write_all(&answer.encode()).unwrap();
    let answered = timeout(SOON, first.answered()).await.unwrap();
    assert_eq!(answered.unwrap(), 200);
    assert!(second.answered().now_or_never().is_none());
    // Once nobody waits any more it has no use.
    drop((first, second));
    let ended = async {
        while link.streams().ended().is_none() {
            yield_now().await;
        }
    };
    timeout(SOON, ended).await.unwrap();
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
        let (link, socket, mut node) = link(1);
        drop(socket);
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
