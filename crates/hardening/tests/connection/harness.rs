//! A small service behind `accept` and `serve`, and the client's side of a conversation.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use micronode_hardening::{
    ConnectionContext, ConnectionLimits, ConnectionSlots, Counters, Drain, Lease, Reason,
    SlowShare, SlowShareLimits, accept, plain_refusal, serve,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

pub const PIECE: usize = 64 * 1024;

/// Far longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(3600);

pub const LIMITS: ConnectionLimits = ConnectionLimits {
    head_deadline: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    progress_interval: Duration::from_secs(5),
    progress_min_rate: 4096,
    linger_time: Duration::from_secs(1),
    linger_bytes: 256 * 1024,
    head_bytes: 16 * 1024,
    head_fields: 64,
    h2_streams: 100,
    h2_pending_resets: 20,
    h2_stream_window: 256 * 1024,
    h2_connection_window: 1024 * 1024,
    h2_send_buffer: 128 * 1024,
    h2_control_burst: 1000,
    h2_control_per_second: 100,
};

/// Who gives way, and when.
pub const SLOW_SHARE: SlowShareLimits = SlowShareLimits {
    rate: 64 * 1024,
    window: Duration::from_secs(2),
    age: Duration::from_secs(5),
};

/// The same, for tests over loopback that have to wait in real time.
pub const QUICK: ConnectionLimits = ConnectionLimits {
    head_deadline: Duration::from_millis(300),
    progress_interval: Duration::from_millis(300),
    linger_time: Duration::from_millis(500),
    ..LIMITS
};

/// The service and everything around it.
pub struct Node {
    pub context: Arc<ConnectionContext>,
    pub slots: ConnectionSlots,
    pub drain: Drain,
    pub state: Arc<State>,
}

/// What the handlers share with the test.
#[derive(Debug)]
pub struct State {
    /// `/gate` waits for a permit.
    pub gate: Semaphore,
    /// Requests waiting at the gate.
    pub waiting: AtomicUsize,
    /// Response bytes that exist, wherever they are.
    pub held: AtomicUsize,
    /// What `/leased` answered has been taken back.
    pub revoked: AtomicBool,
}

impl Node {
    pub fn new(limits: ConnectionLimits, cap: usize) -> Self {
        Self {
            context: Arc::new(ConnectionContext {
                limits,
                counters: Arc::new(Counters::new()),
                bytes_in: Arc::new(AtomicU64::new(0)),
                bytes_out: Arc::new(AtomicU64::new(0)),
                slow_share: SlowShare::new(SLOW_SHARE),
                render: plain_refusal,
            }),
            slots: ConnectionSlots::new(cap),
            drain: Drain::new(),
            state: Arc::new(State {
                gate: Semaphore::new(0),
                waiting: AtomicUsize::new(0),
                held: AtomicUsize::new(0),
                revoked: AtomicBool::new(false),
            }),
        }
    }

    /// Serves one in-memory connection whose either direction holds `buffer` bytes.
    pub fn connect(&self, buffer: usize) -> Client<DuplexStream> {
        let (ours, theirs) = duplex(buffer);
        let slot = self.slots.admit().expect("a free slot");
        let state = Arc::clone(&self.state);
        tokio::spawn(serve(
            theirs,
            slot,
            Arc::clone(&self.context),
            service_fn(move |request| handle(Arc::clone(&state), request)),
            self.drain.signal(),
        ));
        Client { io: ours }
    }

    /// Listens on loopback.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let context = Arc::clone(&self.context);
        let state = Arc::clone(&self.state);
        let drain = self.drain.signal();
        tokio::spawn(accept(
            listener,
            self.slots.clone(),
            Arc::clone(&self.context.counters),
            plain_refusal,
            move |stream, _, slot| {
                let state = Arc::clone(&state);
                let service = service_fn(move |request| handle(Arc::clone(&state), request));
                let context = Arc::clone(&context);
                tokio::spawn(serve(stream, slot, context, service, drain.clone()));
            },
        ));
        address
    }

    pub fn counted(&self, reason: Reason) -> u64 {
        self.context.counters.get(reason)
    }

    pub fn held(&self) -> usize {
        self.state.held.load(Ordering::SeqCst)
    }
}

/// Waits until `condition` holds, in steps that are short in real time.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

async fn handle(
    state: Arc<State>,
    mut request: Request<Incoming>,
) -> Result<Response<Pieces>, Infallible> {
    let path = request.uri().path().to_owned();
    let (status, length) = match path.split('/').collect::<Vec<_>>()[1..] {
        ["gate"] => {
            state.waiting.fetch_add(1, Ordering::SeqCst);
            state.gate.acquire().await.unwrap().forget();
            state.waiting.fetch_sub(1, Ordering::SeqCst);
            (StatusCode::OK, 5)
        }
        ["pause", seconds] => {
            sleep(Duration::from_secs(seconds.parse().unwrap())).await;
            (StatusCode::OK, 5)
        }
        // As many bytes as were sent.
        ["read"] => {
            let mut length = 0;
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                length += frame.data_ref().map_or(0, Bytes::len);
            }
            (StatusCode::OK, length)
        }
        ["refuse"] => (StatusCode::PAYLOAD_TOO_LARGE, 5),
        ["bytes" | "leased" | "waiting", length] => (StatusCode::OK, length.parse().unwrap()),
        _ => (StatusCode::OK, 5),
    };
    let mut response = Response::builder().status(status);
    if path.starts_with("/leased/") {
        let state = Arc::clone(&state);
        response = response.extension(Lease::new(move || !state.revoked.load(Ordering::SeqCst)));
    }
    if path.starts_with("/waiting/") {
        response = response.extension(Lease::new(|| true).of_a_waiter());
    }
    let left = length;
    Ok(response.body(Pieces { state, left }).unwrap())
}

/// A response body of pieces that are accounted for until they are dropped.
pub struct Pieces {
    state: Arc<State>,
    left: usize,
}

struct Held {
    bytes: Vec<u8>,
    state: Arc<State>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.state
            .held
            .fetch_sub(self.bytes.len(), Ordering::SeqCst);
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.min(PIECE);
        if length == 0 {
            return Poll::Ready(None);
        }
        self.left -= length;
        self.state.held.fetch_add(length, Ordering::SeqCst);
        let held = Held {
            bytes: vec![b'x'; length],
            state: Arc::clone(&self.state),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(held)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// The client's side of a connection.
pub struct Client<I> {
    pub io: I,
}

impl Client<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self {
            io: TcpStream::connect(address).await.unwrap(),
        }
    }

    /// A client whose kernel takes only a few KiB for it, so that it reads as slowly as it seems.
    pub async fn connect_with_small_window(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self {
            io: socket.connect(address).await.unwrap(),
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Client<I> {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    pub async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.io.read_to_end(&mut bytes)).await;
        read.expect("the server closes").expect("it does not reset");
        String::from_utf8(bytes).unwrap()
    }

    /// Waits for the server to close, in whatever way; returns how long that took.
    pub async fn closed(&mut self) -> Duration {
        let start = Instant::now();
        let mut bytes = [0; 4096];
        while timeout(PATIENCE, self.io.read(&mut bytes))
            .await
            .expect("the server closes")
            .is_ok_and(|count| count > 0)
        {}
        start.elapsed()
    }

    /// One response with a declared length: its head and its body.
    pub async fn response(&mut self) -> (String, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.io.read_u8())
                .await
                .expect("a response");
            head.push(byte.expect("a whole head"));
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("a declared length");
        let mut body = vec![0; length.parse().unwrap()];
        self.io.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    /// Asks for `/` and gets it.
    pub async fn is_served(&mut self) {
        self.get("/").await;
        let (head, body) = self.response().await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body, b"xxxxx");
    }
}
