//! HTTP/2 with prior knowledge, or as it is agreed on over TLS. A task for each request that may be
//! in flight; the frames are the `h2` crate's.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request as HttpRequest, Uri};
use micronode_protocol::limits::ONE_SHOT_BYTES;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Endpoint, PATIENCE, RECONNECT_AFTER, http1};
use crate::load::check::Check;
use crate::load::content::Content;
use crate::load::plan::Request;
use crate::load::worker::{Job, Worker};
use crate::record::Outcome;

/// What the node may send ahead of what has been looked at: enough that this tool is not what it
/// waits for.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A connection that is open.
pub(crate) struct Connection {
    endpoint: Endpoint,
    first: SendRequest<Bytes>,
    frames: Frames,
}

/// What reads and writes the frames of a connection.
type Frames = h2::client::Connection<super::stream::Stream, Bytes>;

/// What the streams of a connection share: who to ask, and which connection that is.
struct Shared {
    endpoint: Endpoint,
    asked: RefCell<Option<SendRequest<Bytes>>>,
    number: Cell<u64>,
    /// One of them connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        let (first, frames) = connect(endpoint).await?;
        Ok(Self {
            endpoint: endpoint.clone(),
            first,
            frames,
        })
    }

    /// Asks what is due, as the worker's connections from `number` on, one for each stream.
    pub(crate) async fn run(self, worker: Rc<Worker>, number: usize) {
        let streams = self.endpoint.streams;
        tokio::task::spawn_local(self.frames);
        let shared = Rc::new(Shared {
            endpoint: self.endpoint,
            asked: RefCell::new(Some(self.first)),
            number: Cell::new(0),
            connecting: tokio::sync::Mutex::new(()),
        });
        let mut tasks = JoinSet::new();
        for stream in 0..streams {
            let (shared, worker) = (Rc::clone(&shared), Rc::clone(&worker));
            tasks.spawn_local(async move { shared.stream(&worker, number + stream).await });
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn connect(endpoint: &Endpoint) -> io::Result<(SendRequest<Bytes>, Frames)> {
    let stream = endpoint.target.connect().await?;
    let handshake = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake(stream);
    let greeted = timeout(PATIENCE, handshake).await;
    greeted
        .map_err(|_| io::ErrorKind::TimedOut)?
        .map_err(io::Error::other)
}

impl Shared {
    async fn stream(&self, worker: &Worker, number: usize) {
        let mut check = Check::default();
        while let Some(job) = worker.job(number).await {
            let Ok((asked, connection)) = self.connection(worker).await else {
                worker.end(&job, &Outcome::none(0), None);
                tokio::time::sleep(RECONNECT_AFTER).await;
                continue;
            };
            check.begin(job.is_verified);
            let exchange = exchange(&self.endpoint, asked, &job, &worker.content, &mut check);
            let error = match timeout(PATIENCE, exchange).await {
                Ok(Ok((status, receipt))) => {
                    let outcome = http1::judge(&check, &job, status, &worker.content);
                    worker.end(&job, &outcome, receipt);
                    continue;
                }
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            worker.end(&job, &Outcome::none(check.received), None);
            // A stream that was reset says nothing of the others.
            let is_alive = error.is_some_and(|error| error.is_reset());
            if !is_alive && self.number.get() == connection {
                *self.asked.borrow_mut() = None;
            }
        }
    }

    /// Whom to ask, and the number of that connection; a new one when there is none.
    async fn connection(&self, worker: &Worker) -> io::Result<(SendRequest<Bytes>, u64)> {
        if let Some(asked) = self.asked.borrow().clone() {
            return Ok((asked, self.number.get()));
        }
        let _turn = self.connecting.lock().await;
        if let Some(asked) = self.asked.borrow().clone() {
            return Ok((asked, self.number.get()));
        }
        let (asked, frames) = connect(&self.endpoint).await?;
        tokio::task::spawn_local(frames);
        worker.opened();
        self.number.set(self.number.get() + 1);
        *self.asked.borrow_mut() = Some(asked.clone());
        Ok((asked, self.number.get()))
    }
}

/// Sends a request and reads its answer: its status, and the receipt of a message.
async fn exchange(
    endpoint: &Endpoint,
    asked: SendRequest<Bytes>,
    job: &Job,
    content: &Content,
    check: &mut Check,
) -> Result<(u16, Option<crate::load::plan::Receipt>), h2::Error> {
    let mut asked = asked.ready().await?;
    let (head, ack) = head(endpoint, &job.request, content);
    let body = job.request.body();
    let has_body = ack.is_some() || body.is_some_and(|body| body.size > 0);
    let (answer, mut sending) = asked.send_request(head, !has_body)?;
    if let Some(ack) = ack {
        sending.send_data(ack, true)?;
    } else if let Some(body) = body.filter(|_| has_body) {
        let stamp = Bytes::copy_from_slice(&content.stamp(body));
        let rest = content.shared_rest(body);
        sending.send_data(stamp, rest.is_empty())?;
        if !rest.is_empty() {
            sending.send_data(rest, true)?;
        }
    }
    let (head, mut body) = answer.await?.into_parts();
    while let Some(piece) = poll_fn(|cx| body.poll_data(cx)).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        check.piece(&job.request, &piece);
    }
    let receipt = head.headers.get("receipt");
    let receipt = receipt.map(|receipt| receipt.as_bytes().into());
    Ok((head.status.as_u16(), receipt))
}

/// The head of a request; and the body of an ack.
fn head(
    endpoint: &Endpoint,
    request: &Request,
    content: &Content,
) -> (HttpRequest<()>, Option<Bytes>) {
    let queue = &endpoint.queue;
    let text = |address: &[u8]| String::from_utf8_lossy(address).into_owned();
    let (method, path) = match request {
        Request::Get(number) => {
            let address = text(&content.objects[*number as usize].text);
            (Method::GET, format!("/o/{address}"))
        }
        Request::Put(body) if body.size > ONE_SHOT_BYTES => {
            let address = content.address(body);
            (Method::PUT, format!("/o/{address}"))
        }
        Request::Put(_) => (Method::POST, "/put".to_owned()),
        Request::Echo(_) => (Method::POST, "/echo".to_owned()),
        Request::Send(_) => (Method::POST, format!("/mbox/{queue}/send")),
        Request::Receive => (Method::POST, format!("/mbox/{queue}/recv")),
        Request::Ack(_) => (Method::POST, format!("/mbox/{queue}/ack")),
    };
    let scheme = if endpoint.target.is_tls() {
        "https"
    } else {
        "http"
    };
    let uri = format!("{scheme}://{}{path}", endpoint.target.address);
    let mut head = HttpRequest::new(());
    *head.method_mut() = method;
    *head.uri_mut() =
        Uri::from_maybe_shared(Bytes::from(uri)).expect("paths of ours are ones of URIs");
    let fields = head.headers_mut();
    if let Some(token) = &endpoint.token
        && let Ok(value) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        fields.insert(AUTHORIZATION, value);
    }
    if let Request::Receive = request {
        let bytes = HeaderValue::from_static("application/octet-stream");
        fields.insert(ACCEPT, bytes);
    }
    let ack = match request {
        Request::Ack(receipt) => {
            let mut ack = BytesMut::from(&br#"{"receipts":[""#[..]);
            ack.extend_from_slice(receipt);
            ack.extend_from_slice(br#""]}"#);
            Some(ack.freeze())
        }
        _ => None,
    };
    let length = request.body().map(|body| body.size);
    if let Some(length) = length.or_else(|| ack.as_ref().map(Bytes::len)) {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    (head, ack)
}
