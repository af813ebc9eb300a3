//! RFC 9457 problem documents: how every refusal and failure looks on the wire.

use crate::call::CallError;
use crate::ingress::http::correlation;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use micronode_hardening::{Refusal, whole_seconds};
use micronode_protocol::ErrorCode;
use serde::Serialize;
use std::time::Duration;

/// A failed HTTP request: the error, and the one field that some statuses must carry
/// (`WWW-Authenticate` with 401, `Allow` with 405, `Content-Range` with 416).
pub(crate) struct Failure {
    pub(crate) error: CallError,
    pub(crate) field: Option<(HeaderName, HeaderValue)>,
}

impl<E: Into<CallError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let bearer = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        let field = (error.code == ErrorCode::Unauthenticated).then_some(bearer);
        Self { error, field }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    retryable: bool,
    corr_id: &'a str,
}

/// The document of an error, under the request's correlation id.
pub(crate) fn document(error: &CallError, corr_id: &str) -> Bytes {
    let code = error.code;
    let problem = Problem {
        r#type: &["urn:micronode:problem:", code.as_str()].concat(),
        title: code.title(),
        status: code.status(),
        detail: &error.detail,
        code: code.as_str(),
        retryable: code.retryable(),
        corr_id,
    };
    serde_json::to_vec(&problem)
        .expect("strings and numbers always serialise")
        .into()
}

/// The answer of a failure: status, `Retry-After` where it may be retried, and the document.
pub(crate) fn response(failure: Failure, corr_id: &str) -> Response<Bytes> {
    let document = document(&failure.error, corr_id);
    let mut response = bare(failure).map(|()| document);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

/// The same without the document.
pub(crate) fn bare(failure: Failure) -> Response<()> {
    let Failure { error, field } = failure;
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(error.code.status()).expect("the table holds valid statuses");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(after)));
    }
    headers.extend(field);
    response
}

/// `Retry-After`: an hour at most, whatever the wait.
fn retry_after(wait: Duration) -> u64 {
    whole_seconds(wait).min(3600)
}

/// A complete HTTP/1.1 response for a refusal that happens before a request exists, and so
/// outside of the HTTP library: a head that is late, too large or none at all, a connection over
/// the cap.
pub(crate) fn raw(refusal: &Refusal) -> Bytes {
    let error = &CallError::from(*refusal);
    let corr_id = correlation::made_up();
    let corr_id = corr_id.to_str().unwrap_or_default();
    let body = document(error, corr_id);
    let status = StatusCode::from_u16(error.code.status()).expect("the table holds valid statuses");
    let retry = error
        .retry_after
        .map(|after| format!("retry-after: {}\r\n", retry_after(after)))
        .unwrap_or_default();
    let mut raw = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nx-corr-id: {corr_id}\r\nconnection: close\r\n{retry}\r\n",
        body.len(),
    )
    .into_bytes();
    raw.extend_from_slice(&body);
    raw.into()
}
