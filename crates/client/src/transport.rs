//! HTTP/1.1 to one node: the only module that knows of sockets and of the HTTP library.
//!
//! Sends one request, waits no longer than allowed, and gives back a successful [`Answer`] or an
//! error that says what happened. Retrying, addresses and verification are for its callers.

use std::error::Error as StdError;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::{ClientOptions, Error, TransportError, error};

/// Bytes read of an error answer; a problem document is far smaller.
const PROBLEM_BYTES: usize = 16 * 1024;

/// Less than a node keeps an idle connection, so that a request rarely meets a closing one.
const IDLE: Duration = Duration::from_secs(30);

/// Pieces of a request body. An `Err` is a failure to read what shall be sent.
type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// Connections to one node.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: legacy::Client<HttpConnector, RequestBody>,
    /// `http://host:port`, without a path.
    origin: String,
    options: Arc<ClientOptions>,
}

impl Transport {
    pub(crate) fn new(url: &str, options: Arc<ClientOptions>) -> Result<Self, Error> {
        let origin = origin(url).map_err(|reason| Error::InvalidUrl {
            url: without_user(url),
            reason,
        })?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.timeouts.connect));
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.connections.get())
            .build(connector);
        Ok(Transport {
            http,
            origin,
            options,
        })
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// A request to `path`, which starts with `/` and needs no escaping.
    pub(crate) fn request(&self, method: Method, path: &str) -> Outgoing {
        let uri = Uri::try_from(format!("{}{path}", self.origin))
            .expect("an origin and an address make a URI");
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if let Some(token) = &self.options.token {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, token.header().clone());
        }
        Outgoing {
            request,
            sent: None,
        }
    }

    /// Sends a request. Any status but 2xx is an error.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<Answer, Error> {
        let timeouts = self.options.timeouts;
        let answer = self.http.request(outgoing.request);
        let answer = match outgoing.sent {
            None => within(timeouts.connect + timeouts.read, answer).await?,
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
pub(crate) struct Outgoing {
    request: Request<RequestBody>,
    /// Pieces of the body taken so far, when there is one.
    sent: Option<Arc<AtomicU64>>,
}

impl Outgoing {
    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    /// Gives the request a body: of `length` bytes, or chunked where that is not known.
    pub(crate) fn body(
        mut self,
        length: Option<u64>,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
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
}

/// A successful answer: its head, and a body still to be read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: AnswerBody,
}

impl Answer {
    /// A header's value, when it is there and is text.
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body's length, when it was declared.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.body.size_hint().exact()
    }

    /// The whole body, of at most `limit` bytes.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, Error> {
        const TOO_LONG: Error = Error::Protocol("it is longer than any such answer");
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
            let frame = frame.map_err(|error| TransportError::Connection(error.into()))?;
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
        return TransportError::Connect(error.into()).into();
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
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
    TransportError::Connection(error.into()).into()
}

/// The scheme and authority of a node's URL, which has nothing else.
fn origin(url: &str) -> Result<String, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
    let authority = uri
        .authority()
        .ok_or("it has no host; write http://HOST:PORT")?;
    if authority.as_str().contains('@') {
        return Err("it contains a user; rights come from a token");
    }
    let host = authority.host().len();
    if authority.as_str().len() > host && authority.port_u16().is_none() {
        // It would be left out, and the scheme's own port asked instead.
        return Err("its port is not a number up to 65535");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("it has a path; a node is served at the root");
    }
    match uri.scheme_str() {
        Some("http") => Ok(format!("http://{authority}")),
        Some("https") => Err("this client speaks plain http only"),
        _ => Err("it does not start with http://"),
    }
}

/// A URL to repeat in an error: what stands before an `@` may be a password.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_is_named_by_scheme_and_authority() {
        for url in [
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/",
            "http://[::1]:8080",
            "http://node",
        ] {
            assert_eq!(origin(url).unwrap(), url.trim_end_matches('/'));
        }
        for (url, reason) in [
            ("", "not a URL"),
            ("http://", "not a URL"),
            ("/o/", "no host"),
            ("127.0.0.1:8080", "does not start"),
            ("https://node", "plain http"),
            ("ftp://node", "does not start"),
            ("http://node/path", "has a path"),
            ("http://node/?q", "has a path"),
            ("http://user:secret@node", "a user"),
            ("http://node:99999", "its port"),
            ("http://[::1]:99999", "its port"),
            ("http://node:", "its port"),
        ] {
            let found = origin(url).unwrap_err();
            assert!(found.contains(reason), "{url}: {found}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let options = Arc::default();
        let error = Transport::new("http://user:secret@node", options)
            .err()
            .unwrap()
            .to_string();
        assert!(
            !error.contains("secret") && error.contains("@node"),
            "{error}"
        );
    }
}
