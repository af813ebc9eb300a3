//! HTTP/1.1 to one node: the only module that knows of the HTTP library.

use std::error::Error as StdError;
use std::io;
use std::ops::Range;
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
use micronode_protocol::Address;
use micronode_protocol::limits::HAS_ADDRESSES;
use micronode_protocol::operation::TOKEN_TEXT_BYTES;
use serde::Deserialize;
use tokio::time::timeout;

use super::origin::Origin;
use super::{
    IDLE, NOT_A_RECEIPT, NOT_THE_RANGE, PROBLEM_BYTES, Pieces, Receipt, TOO_LONG, Upload, minted,
};
use crate::credentials::Credentials;
use crate::{ClientOptions, Error, Minted, ObjectInfo, TransportError, error, tls};

/// Bytes of the answer to an upload; the document has three short members.
const RECEIPT_BYTES: usize = 4096;

/// Bytes of one answer to `has`: `false` and a comma per address, with room for white space.
const HAS_ANSWER_BYTES: usize = 16 * HAS_ADDRESSES + 1024;

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

/// A node's answer to an upload.
#[derive(Deserialize)]
struct ReceiptDocument {
    address: String,
    size: u64,
    expires_at: Option<String>,
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
            ("https", tls::config(&options.tls, b"http/1.1")?)
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

    pub(super) async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        let answer = self.call(Method::HEAD, &format!("/o/{address}")).await?;
        let size = answer
            .header(header::CONTENT_LENGTH)
            .and_then(|length| length.parse().ok());
        Ok(ObjectInfo {
            size: size.ok_or(Error::Protocol("it has no Content-Length"))?,
            content_type: answer.header(header::CONTENT_TYPE).map(str::to_owned),
            kept_for: answer.header(header::CACHE_CONTROL).and_then(max_age),
        })
    }

    pub(super) async fn manifest(&self, address: &Address, limit: usize) -> Result<Bytes, Error> {
        self.call(Method::GET, &format!("/o/{address}/manifest"))
            .await?
            .collect(limit)
            .await
    }

    pub(super) async fn has(&self, addresses: &[Address]) -> Result<Vec<bool>, Error> {
        let texts: Vec<String> = addresses.iter().map(Address::to_string).collect();
        let question = serde_json::to_vec(&texts).expect("strings are JSON");
        let request = self
            .request(Method::POST, "/has")
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .bytes(question.into());
        let answer = self.send(request).await?.collect(HAS_ANSWER_BYTES).await?;
        serde_json::from_slice(&answer).map_err(|_| Error::Protocol("it is not a list of booleans"))
    }

    pub(super) async fn delete(&self, address: &Address) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("/o/{address}"))
            .await
            .map(drop)
    }

    pub(super) async fn read(
        &self,
        address: &Address,
        range: Range<u64>,
        size: u64,
    ) -> Result<AnswerBody, Error> {
        let request = self.request(Method::GET, &format!("/o/{address}"));
        if range == (0..size) {
            return Ok(self.send(request).await?.body);
        }
        let (start, last) = (range.start, range.end - 1);
        let range =
            HeaderValue::try_from(format!("bytes={start}-{last}")).expect("digits are text");
        let answer = self.send(request.header(header::RANGE, range)).await?;
        let given = answer.header(header::CONTENT_RANGE);
        if answer.status != StatusCode::PARTIAL_CONTENT
            || given != Some(&format!("bytes {start}-{last}/{size}"))
        {
            return Err(NOT_THE_RANGE);
        }
        Ok(answer.body)
    }

    pub(super) async fn put(&self, upload: &Upload, pieces: Pieces) -> Result<Receipt, Error> {
        let mut request = match &upload.expected {
            Some(address) => self.request(Method::PUT, &format!("/o/{address}")),
            None => self.request(Method::POST, "/put"),
        };
        if let Some(expires_in) = upload.expires_in {
            let value = HeaderValue::try_from(format!("{}ms", expires_in.as_millis()))
                .expect("digits are text");
            request = request.header(header::HeaderName::from_static("expires-in"), value);
        }
        if let Some(content_type) = &upload.content_type {
            let value = HeaderValue::from_str(content_type)
                .map_err(|_| Error::InvalidContentType(content_type.escape_debug().to_string()))?;
            request = request.header(header::CONTENT_TYPE, value);
        }
        let answer = self.send(request.body(upload.length, pieces)).await?;
        let existed = answer.status == StatusCode::OK;
        let document: ReceiptDocument =
            serde_json::from_slice(&answer.collect(RECEIPT_BYTES).await?)
                .map_err(|_| NOT_A_RECEIPT)?;
        Ok(Receipt {
            address: document.address.parse().map_err(|_| NOT_A_RECEIPT)?,
            size: document.size,
            existed,
            expires_at: document.expires_at,
        })
    }

    pub(super) async fn echo(&self, bytes: Bytes) -> Result<Bytes, Error> {
        let limit = bytes.len();
        let request = self.request(Method::POST, "/echo").bytes(bytes);
        self.send(request).await?.collect(limit).await
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
            .send(request)
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
        self.send(self.request(method, path)).await
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
        }
    }

    /// Sends a request. Any status but 2xx is an error.
    async fn send(&self, outgoing: Outgoing) -> Result<Answer, Error> {
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
struct Outgoing {
    request: Request<RequestBody>,
    /// Pieces of the body taken so far, when there is one.
    sent: Option<Arc<AtomicU64>>,
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

    /// Gives the request a body that is at hand.
    fn bytes(self, bytes: Bytes) -> Self {
        self.body(Some(bytes.len() as u64), stream::iter([Ok(bytes)]).boxed())
    }
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

/// The `max-age` of a `Cache-Control` value.
fn max_age(cache_control: &str) -> Option<Duration> {
    let seconds = cache_control
        .split(',')
        .find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_found_among_directives() {
        assert_eq!(
            max_age("private, max-age=60, immutable"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(max_age("max-age=31536000"), Some(ObjectInfo::FOR_EVER));
        for none in ["", "no-store", "max-age=", "max-age=-1", "s-maxage=60"] {
            assert_eq!(max_age(none), None, "{none:?}");
        }
    }
}
