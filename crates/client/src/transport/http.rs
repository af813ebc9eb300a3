//! HTTP/1.1 to one node: the only module that knows of the HTTP library. What is asked of objects,
//! names and queues, and the stream of events, are in the modules below it.

mod events;
mod mailbox;
mod name;
mod object;
mod sse;
mod watch;

pub(crate) use events::Events;
pub(crate) use watch::Watch;

use std::error::Error as StdError;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use micronode_protocol::operation::TOKEN_TEXT_BYTES;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::origin::Origin;
use super::{IDLE, PROBLEM_BYTES, Pieces, TOO_LONG, minted};
use crate::credentials::Credentials;
use crate::{ClientOptions, Error, Minted, TransportError, error, tls};

const NOT_HTTP: Error = Error::Protocol("it is not HTTP; is this the port of another protocol?");

/// Bytes of an answer with a token, with room for white space and members to come.
const TOKEN_ANSWER_BYTES: usize = TOKEN_TEXT_BYTES + 1024;

/// Pieces of a request body. An `Err` is a failure to read what shall be sent.
type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// Connections to one node.
#[derive(Debug)]
pub(super) struct Http {
    http: legacy::Client<HttpsConnector<HttpConnector>, RequestBody>,
    /// The URL, without a path.
    origin: String,
    options: Arc<ClientOptions>,
    credentials: Arc<Credentials>,
}

/// A node's answer to a mint or an exchange.
#[derive(Deserialize)]
struct TokenDocument<'a> {
    token: &'a str,
    expires_at: &'a str,
}

impl Http {
    pub(super) fn new(
        origin: &Origin,
        options: Arc<ClientOptions>,
        credentials: Arc<Credentials>,
    ) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.timeouts.connect));
        connector.enforce_http(false);
        let (scheme, tls) = if origin.tls {
            ("https", options.tls.client_config(b"http/1.1")?)
        } else {
            ("http", tls::unused())
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.connections.get())
            .build(HttpsConnector::from((connector, tls)));
        Ok(Http {
            http,
            origin: format!("{scheme}://{}", origin.authority),
            options,
            credentials,
        })
    }

    pub(super) async fn echo(&self, bytes: Bytes) -> Result<Bytes, Error> {
        let limit = bytes.len();
        let request = self.request(Method::POST, "/echo").bytes(bytes);
        self.answer(request).await?.collect(limit).await
    }

    /// HTTP has no ping of its own: an empty echo is as cheap.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        self.echo(Bytes::new()).await.map(drop)
    }

    pub(super) async fn mint(&self, document: Bytes) -> Result<Minted, Error> {
        let request = self.request(Method::POST, "/cap/mint").bytes(document);
        self.token(request).await
    }

    pub(super) async fn exchange(&self, grant: Bytes) -> Result<Minted, Error> {
        let mut request = self.request(Method::POST, "/cap/exchange").bytes(grant);
        // The grant is its own authority.
        request.request.headers_mut().remove(header::AUTHORIZATION);
        self.token(request).await
    }

    /// Sends a request that is answered with a token.
    async fn token(&self, request: Outgoing) -> Result<Minted, Error> {
        let answer = self
            .answer(request)
            .await?
            .collect(TOKEN_ANSWER_BYTES)
            .await?;
        minted(answer, |answer| {
            let document: TokenDocument<'_> = serde_json::from_slice(answer).ok()?;
            let expires_at = humantime::parse_rfc3339(document.expires_at).ok()?;
            Some((document.token, expires_at))
        })
    }

    /// Sends a request without a body.
    async fn call(&self, method: Method, path: &str) -> Result<Answer, Error> {
        self.answer(self.request(method, path)).await
    }

    /// A request to `path`, which starts with `/` and needs no escaping.
    fn request(&self, method: Method, path: &str) -> Outgoing {
        let uri = Uri::try_from(format!("{}{path}", self.origin))
            .expect("an origin and an address make a URI");
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if let Some(lease) = self.credentials.current() {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, lease.token().header().clone());
        }
        Outgoing {
            request,
            sent: None,
            wait: Duration::ZERO,
        }
    }

    /// Sends a request. Any status but 2xx is an error.
    async fn answer(&self, outgoing: Outgoing) -> Result<Answer, Error> {
        let timeouts = self.options.timeouts;
        let answer = self.http.request(outgoing.request);
        let answer = match outgoing.sent {
            None => within(timeouts.connect + timeouts.read + outgoing.wait, answer).await?,
            Some(sent) => while_moving(timeouts.connect + timeouts.write, &sent, answer).await?,
        }
        .map_err(request_failed)?;
        let (head, body) = answer.into_parts();
        let mut body = AnswerBody {
            body,
            read: timeouts.read,
        };
        if head.status.is_success() {
            return Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            });
        }
        // An error answer whose body fails is still that error.
        let mut document = BytesMut::new();
        while let Ok(Some(piece)) = body.next().await {
            document.extend_from_slice(&piece);
            if document.len() > PROBLEM_BYTES {
                break;
            }
        }
        Err(error::from_answer(head.status, &head.headers, &document))
    }
}

/// A request about to be sent.
struct Outgoing {
    request: Request<RequestBody>,
    /// Pieces of the body taken so far, when there is one.
    sent: Option<Arc<AtomicU64>>,
    /// How long the node was asked to wait before it answers.
    wait: Duration,
}

impl Outgoing {
    fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    /// Gives the request a body: of `length` bytes, or chunked where that is not known.
    fn body(mut self, length: Option<u64>, pieces: Pieces) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let pieces = pieces.map_ok(move |piece| {
            counted.fetch_add(1, Ordering::Relaxed);
            Frame::data(piece)
        });
        *self.request.body_mut() = StreamBody::new(pieces).boxed_unsync();
        self.sent = Some(sent);
        match length {
            Some(length) => self.header(header::CONTENT_LENGTH, length.into()),
            None => self,
        }
    }

    /// Gives the request a document for a body.
    fn json(self, document: &impl Serialize) -> Self {
        let document = serde_json::to_vec(document).expect("texts and numbers are JSON");
        self.header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )
        .bytes(document.into())
    }

    /// Gives the request a body that is at hand.
    fn bytes(self, bytes: Bytes) -> Self {
        self.body(Some(bytes.len() as u64), stream::iter([Ok(bytes)]).boxed())
    }
}

/// A duration as a node reads it.
fn ms(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// A value of a header that is made here, of characters that a header may have.
fn value(text: impl Into<String>) -> HeaderValue {
    HeaderValue::try_from(text.into()).expect("digits, letters and punctuation are text")
}

/// A successful answer: its head, and a body still to be read.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: AnswerBody,
}

impl Answer {
    /// A header's value, when it is there and is text.
    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body's length, when it was declared.
    fn length(&self) -> Option<u64> {
        self.body.body.size_hint().exact()
    }

    /// The whole body, a document of at most `limit` bytes, or `otherwise`.
    async fn document<T: DeserializeOwned>(
        self,
        limit: usize,
        otherwise: Error,
    ) -> Result<T, Error> {
        let answer = self.collect(limit).await?;
        serde_json::from_slice(&answer).map_err(|_| otherwise)
    }

    /// The whole body, of at most `limit` bytes.
    async fn collect(mut self, limit: usize) -> Result<Bytes, Error> {
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(TOO_LONG);
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = self.body.next().await? {
            if piece.len() > limit - whole.len() {
                return Err(TOO_LONG);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// The body of an answer. Dropping it before its end closes the connection.
pub(crate) struct AnswerBody {
    body: Incoming,
    read: Duration,
}

impl AnswerBody {
    /// The next piece; `None` only when the body came whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = within(self.read, self.body.frame()).await? {
            let frame = frame.map_err(|error| TransportError::Connection(error.into()).sorted())?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// Waits for `future`, at most for `time`.
async fn within<F: Future>(time: Duration, future: F) -> Result<F::Output, Error> {
    Ok(timeout(time, future)
        .await
        .map_err(|_| TransportError::Stalled(time))?)
}

/// Waits for `future` as long as `moved` changes at least every `time`.
async fn while_moving<F: Future>(
    time: Duration,
    moved: &AtomicU64,
    future: F,
) -> Result<F::Output, Error> {
    let mut future = pin!(future);
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        if let Ok(output) = timeout(time, &mut future).await {
            return Ok(output);
        }
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return Err(TransportError::Stalled(time).into());
        }
        before = now;
    }
}

/// Sorts a failed request: no connection, our own body, or the connection.
fn request_failed(error: legacy::Error) -> Error {
    if error.is_connect() {
        return TransportError::Connect(error.into()).sorted();
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if is_unreadable(inner) {
            return NOT_HTTP;
        }
        let own_body = inner
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_user);
        cause = inner.source();
        if let Some(error) = cause
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .filter(|_| own_body)
        {
            return Error::Source(io::Error::new(error.kind(), error.to_string()));
        }
    }
    TransportError::Connection(error.into()).sorted()
}

/// Whether what came is no answer of HTTP; one that merely ended is.
fn is_unreadable(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_parse)
}
