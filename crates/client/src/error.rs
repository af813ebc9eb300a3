//! What can go wrong, sorted by what the caller can do about it.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use micronode_protocol::{Address, ErrorCode};
use serde::Deserialize;

use crate::InvalidTls;
use crate::tls;

/// How long a node that is busy (429, 503) is left alone where it cannot say for how long.
const BUSY: Duration = Duration::from_secs(1);

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node answered with an error.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// Bytes, a manifest or an answer that do not belong to the address. Never retried: the same
    /// source would give the same bytes.
    #[error(transparent)]
    Integrity(#[from] Integrity),
    /// The node was not reached, or the connection failed before the answer was complete.
    #[error(transparent)]
    Transport(#[from] Transport),
    /// The node does not have the certificate that it should have, or refuses that of this client.
    #[error("no secure connection to the node: {0}")]
    Tls(#[source] rustls::Error),
    /// The answer is not one that the contract of the wire allows.
    #[error("the answer is not one a micronode gives: {0}")]
    Protocol(&'static str),
    /// The client has no token that lives, and its grant was not exchanged for one.
    #[error("cannot exchange the grant for a token: {0}")]
    Grant(#[source] Arc<Error>),
    /// The bytes to upload could not be read.
    #[error("cannot read the bytes to upload: {0}")]
    Source(#[source] io::Error),
    /// The requested range does not overlap the object.
    #[error("the range lies outside the object, which has {size} bytes")]
    RangeUnsatisfiable {
        /// The object's size in bytes.
        size: u64,
    },
    /// The object is larger than the caller's bound.
    #[error("the object has {size} bytes, more than the {limit} asked for")]
    TooLarge {
        /// The object's size in bytes.
        size: u64,
        /// The caller's bound in bytes.
        limit: usize,
    },
    /// The client was set up with a URL it cannot use.
    #[error("cannot use `{url}` as the node's URL: {reason}")]
    InvalidUrl {
        /// What was given, without any user information.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client was set up with something that TLS cannot use.
    #[error(transparent)]
    InvalidTls(#[from] InvalidTls),
    /// The client was set up with a token that OAP, which carries it decoded, cannot send.
    #[error("the token is not unpadded base64url of at most 8 KiB of bytes, as OAP needs it")]
    TokenNotBase64,
    /// What was given is not what a node could take, so nothing was sent.
    #[error("`{given}` is not {what}: {rule}")]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// What was given, its special characters escaped.
        given: String,
        /// What such a thing has to look like.
        rule: &'static str,
    },
    /// The media type of a put cannot be sent.
    #[error("`{0}` is not a media type")]
    InvalidContentType(String),
}

impl Error {
    /// Whether the same idempotent call may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Problem(problem) => problem.retryable,
            Error::Transport(_) => true,
            Error::Grant(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether the call has certainly done nothing, and may succeed later.
    pub(crate) fn came_to_nothing(&self) -> bool {
        match self {
            // At its deadline, a node may have been doing it.
            Error::Problem(problem) => {
                problem.retryable && problem.status != ErrorCode::Deadline.status()
            }
            Error::Transport(Transport::Connect(_)) => true,
            Error::Grant(_) => self.is_retryable(),
            _ => false,
        }
    }

    /// Whether the node refused a token that has been [renewed](crate::ClientOptions::grant) since.
    pub(crate) fn is_renewed(&self) -> bool {
        matches!(self, Error::Problem(problem)
            if problem.retryable && matches!(problem.status, 401 | 403))
    }

    /// The error of an answer that had begun. One that loses its authority then was not refused
    /// for what it asks; to ask again is to know.
    pub(crate) fn of_begun_answer(mut self) -> Self {
        if let Error::Problem(problem) = &mut self {
            problem.retryable |= problem.status == 401;
        }
        self
    }

    /// How long the node asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Problem(problem) => problem.retry_after,
            Error::Grant(error) => error.retry_after(),
            _ => None,
        }
    }

    /// The HTTP status, when the node answered with an error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Problem(problem) => Some(problem.status),
            Error::Grant(error) => error.status(),
            Error::Integrity(Integrity::Stored { .. }) => Some(ErrorCode::IntegrityFail.status()),
            _ => None,
        }
    }
}

/// What does not match its address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Integrity {
    /// The node says so itself (502): the stored bytes are corrupt.
    #[error("the node's stored bytes do not match their address{}", Detail(detail))]
    Stored {
        /// What the node added, if anything.
        detail: Option<String>,
    },
    /// The manifest that came does not belong to the address.
    #[error("the manifest does not belong to {0}")]
    Manifest(Address),
    /// A group arrived whole and is not the one the manifest names.
    #[error("the bytes at offset {offset} do not belong to {address}")]
    Group {
        /// The object asked for.
        address: Address,
        /// Offset of the group in the object, in bytes.
        offset: u64,
    },
    /// The node confirmed an upload under an address that is not that of the bytes sent.
    #[error("the node stored {stored}, but the bytes sent hash to {sent}")]
    Upload {
        /// The address the node answered.
        stored: Address,
        /// The address of what was sent.
        sent: Address,
    },
}

/// How a connection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Transport {
    /// No connection came about, so nothing was sent.
    #[error("cannot connect{}", Causes(.0.as_ref()))]
    Connect(#[source] Box<dyn StdError + Send + Sync>),
    /// The connection ended, or broke the rules of its wire, before the answer was complete.
    #[error("the connection failed{}", Causes(.0.as_ref()))]
    Connection(#[source] Box<dyn StdError + Send + Sync>),
    /// The answer ended before its last byte.
    #[error("the answer ended early")]
    Truncated,
    /// Nothing moved for this long.
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
}

impl Transport {
    /// What to report: that TLS failed, where trying again would be no use, or this.
    pub(crate) fn sorted(self) -> Error {
        match &self {
            Transport::Connect(cause) | Transport::Connection(cause) => {
                match tls::lasting_cause(cause.as_ref()) {
                    Some(cause) => Error::Tls(cause.clone()),
                    None => self.into(),
                }
            }
            Transport::Truncated | Transport::Stalled(_) => self.into(),
        }
    }
}

/// The innermost cause: the outer ones of an HTTP stack only say which layer passed it on.
struct Causes<'a>(&'a (dyn StdError + Send + Sync));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut innermost: &dyn StdError = self.0;
        while let Some(cause) = innermost.source() {
            innermost = cause;
        }
        write!(f, ": {innermost}")
    }
}

struct Detail<'a>(&'a Option<String>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

/// An error that the node answered: its problem document (RFC 9457), or what the status alone
/// says when there is none (as after HEAD).
#[derive(Clone, Debug, thiserror::Error)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// The machine word, e.g. `overloaded`; absent when no document came.
    pub code: Option<String>,
    /// What went wrong this time, for people. Free of control characters.
    pub detail: Option<String>,
    /// Whether the same request may succeed later. Also true where the token was refused and the
    /// client has another by now.
    pub retryable: bool,
    /// The node's correlation id of the request, to find it in the node's log.
    pub corr_id: Option<String>,
    /// How long the node asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.code.as_deref().unwrap_or_else(|| {
            StatusCode::from_u16(self.status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("unknown status")
        });
        write!(
            f,
            "the node answered {} {word}{}",
            self.status,
            Detail(&self.detail)
        )
    }
}

/// The members of a problem document that are read; a node may send more.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    code: Option<String>,
    detail: Option<String>,
    retryable: Option<bool>,
    corr_id: Option<String>,
}

/// Turns an error answer of HTTP into an [`Error`]. `body` is whatever arrived of it.
pub(crate) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    from_document(status.as_u16(), header("x-corr-id"), retry_after, body)
}

/// Turns an error frame of OAP into an [`Error`]: the same status and the same document. It has
/// no place for how long a busy node asks to be left alone, which is [`BUSY`].
pub(crate) fn from_frame(code: u16, payload: &[u8]) -> Error {
    let busy = [ErrorCode::RateLimited, ErrorCode::Overloaded]
        .iter()
        .any(|busy| busy.status() == code);
    from_document(code, None, busy.then_some(BUSY), payload)
}

fn from_document(
    status: u16,
    corr_id: Option<&str>,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Error {
    let document: Document = serde_json::from_slice(body).unwrap_or_default();
    let detail = document.detail.as_deref().map(printable);
    // 502 has one meaning in the contract, also where no document can follow (HEAD).
    if status == ErrorCode::IntegrityFail.status() {
        return Integrity::Stored { detail }.into();
    }
    let retryable = document.retryable.unwrap_or_else(|| {
        ErrorCode::ALL
            .iter()
            .any(|code| code.status() == status && code.retryable())
    });
    Error::Problem(Box::new(Problem {
        status,
        code: document.code.as_deref().map(printable),
        detail,
        retryable,
        corr_id: document.corr_id.as_deref().or(corr_id).map(printable),
        retry_after,
    }))
}

/// Text of the node that may end on a terminal, where control characters are commands.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        from_answer(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    fn problem(error: Error) -> Problem {
        match error {
            Error::Problem(problem) => *problem,
            other => panic!("not a problem: {other:?}"),
        }
    }

    #[test]
    fn a_problem_document_is_carried_whole() {
        let body = r#"{"type":"about:blank","title":"Overloaded","status":503,"detail":"512 in flight",
            "code":"overloaded","retryable":true,"corr_id":"abc"}"#;
        let error = answer(503, &[("retry-after", "2")], body);
        assert!(error.is_retryable());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
        assert_eq!(
            error.to_string(),
            "the node answered 503 overloaded: 512 in flight"
        );
        assert_eq!(problem(error).corr_id.as_deref(), Some("abc"));
    }

    #[test]
    fn a_frame_is_read_as_an_answer_is_and_a_busy_node_is_left_alone() {
        let body =
            r#"{"detail":"512 in flight","code":"overloaded","retryable":true,"corr_id":"abc"}"#;
        for (code, wait) in [(503, Some(BUSY)), (429, Some(BUSY)), (504, None)] {
            let error = from_frame(code, body.as_bytes());
            assert_eq!((error.is_retryable(), error.retry_after()), (true, wait));
            assert_eq!(problem(error).corr_id.as_deref(), Some("abc"));
        }
        let error = from_frame(502, b"");
        assert!(matches!(error, Error::Integrity(Integrity::Stored { .. })));
    }

    #[test]
    fn the_status_speaks_where_no_document_came() {
        for (status, retryable) in [
            (400, false),
            (404, false),
            (408, true),
            (413, false),
            (429, true),
            (503, true),
        ] {
            let problem = problem(answer(status, &[("x-corr-id", "id")], "<html>"));
            assert_eq!(
                (problem.status, problem.retryable, problem.code),
                (status, retryable, None)
            );
            assert_eq!(problem.corr_id.as_deref(), Some("id"));
        }
        assert_eq!(
            answer(404, &[], "").to_string(),
            "the node answered 404 Not Found"
        );
    }

    #[test]
    fn the_node_may_call_a_refusal_final() {
        let error = answer(503, &[], r#"{"code":"overloaded","retryable":false}"#);
        assert!(!error.is_retryable());
    }

    #[test]
    fn every_502_is_an_integrity_failure_and_final() {
        for body in ["", r#"{"code":"integrity_fail","detail":"group 3"}"#] {
            let error = answer(502, &[], body);
            assert!(
                matches!(error, Error::Integrity(Integrity::Stored { .. })),
                "{error:?}"
            );
            assert!(!error.is_retryable());
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_removed() {
        let problem = problem(answer(
            400,
            &[],
            r#"{"code":"bad_request","detail":"a\u001b[2Jb\nc"}"#,
        ));
        assert_eq!(problem.detail.as_deref(), Some("a[2Jbc"));
    }
}
