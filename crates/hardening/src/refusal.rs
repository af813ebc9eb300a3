//! Why a request was turned away, in one word that a program can switch on.
//!
//! Every primitive of this crate that says no says it with a [`Refusal`]: `Copy`, made without an
//! allocation, so that refusing stays cheaper than serving. What it looks like on the wire is the
//! service's business.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

macro_rules! reasons {
    ($( $(#[$doc:meta])* $variant:ident = $word:literal, $status:ident; )*) => {
        /// The cause of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason { $( $(#[$doc])* $variant, )* }

        impl Reason {
            /// Every reason; `ALL[reason as usize] == reason`.
            pub const ALL: &'static [Reason] = &[$( Reason::$variant, )*];

            /// The machine word, e.g. `head_timeout`: also the label of a metric.
            pub const fn as_str(self) -> &'static str {
                match self { $( Reason::$variant => $word, )* }
            }

            /// The HTTP status that a refusal for this reason is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $( Reason::$variant => StatusCode::$status, )* }
            }
        }
    };
}

reasons! {
    /// What arrived is not an HTTP request.
    BadRequest = "bad_request", BAD_REQUEST;
    /// The request head was not complete in time.
    HeadTimeout = "head_timeout", REQUEST_TIMEOUT;
    /// The request head has too many bytes or fields.
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The request body stalled or came too slowly.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT;
    /// The request body is, or declares to be, over its cap.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// A content coding that is not decoded, or more than one.
    UnsupportedEncoding = "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE;
    /// The body is not what its content coding says it is.
    BadEncoding = "bad_encoding", BAD_REQUEST;
    /// The body inflates beyond its bound.
    DecompressBound = "decompress_bound", PAYLOAD_TOO_LARGE;
    /// Over the request rate.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS;
    /// Too many requests or connections at once.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// Cut for a newcomer, as the slowest of all when everything was taken.
    SlowShare = "slow_share", SERVICE_UNAVAILABLE;
    /// Shed on purpose while the service is degraded.
    Degraded = "degraded", SERVICE_UNAVAILABLE;
    /// The service is shutting down.
    Draining = "draining", SERVICE_UNAVAILABLE;
    /// The service is not ready yet.
    Starting = "starting", SERVICE_UNAVAILABLE;
    /// The handler ran over its deadline.
    Deadline = "deadline", GATEWAY_TIMEOUT;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request turned away: why, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What a program switches on.
    pub reason: Reason,
    /// One sentence for a person; never contains anything that the peer sent.
    pub detail: &'static str,
    /// How long the peer had better wait before it tries again, where that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal that says nothing about when to come back.
    pub const fn new(reason: Reason, detail: &'static str) -> Self {
        Self {
            reason,
            detail,
            retry_after: None,
        }
    }

    /// The same refusal with a time to come back after.
    #[must_use]
    pub const fn with_retry_after(self, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..self
        }
    }

    /// The value of `Retry-After`: whole seconds, rounded up and at least one, because a client
    /// that is told zero returns at once.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(whole_seconds)
    }
}

/// A wait as `Retry-After` says it: see [`Refusal::retry_after_seconds`].
pub fn whole_seconds(wait: Duration) -> u64 {
    let started = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(started).max(1)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl Error for Refusal {}

/// Lets a layer stand directly on a service that cannot fail.
impl From<Infallible> for Refusal {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Why a guarded body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body broke a bound.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection under the body failed.
    #[error("the request body broke off")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
}

/// How often each reason was given: one relaxed counter per reason, shared behind an `Arc`.
#[derive(Debug)]
pub struct Counters {
    by_reason: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            by_reason: [const { AtomicU64::new(0) }; Reason::ALL.len()],
        }
    }

    /// Counts one refusal.
    pub fn count(&self, reason: Reason) {
        self.by_reason[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Refusals counted so far.
    pub fn get(&self, reason: Reason) -> u64 {
        self.by_reason[reason as usize].load(Ordering::Relaxed)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_unique_index_their_table_and_are_errors() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(reason.status().is_client_error() || reason.status().is_server_error());
            let same_word = Reason::ALL
                .iter()
                .filter(|other| other.as_str() == reason.as_str());
            assert_eq!(same_word.count(), 1, "{reason} appears twice");
        }
    }

    #[test]
    fn counters_keep_reasons_apart() {
        let counters = Counters::new();
        counters.count(Reason::HeadTimeout);
        counters.count(Reason::Deadline);
        counters.count(Reason::Deadline);
        for reason in Reason::ALL {
            let expected = match reason {
                Reason::HeadTimeout => 1,
                Reason::Deadline => 2,
                _ => 0,
            };
            assert_eq!(counters.get(*reason), expected, "{reason}");
        }
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let refusal = Refusal::new(Reason::RateLimited, "too many");
        assert_eq!(refusal.retry_after_seconds(), None);
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2000, 2)] {
            let refusal = refusal.with_retry_after(Duration::from_millis(millis));
            assert_eq!(refusal.retry_after_seconds(), Some(seconds), "{millis} ms");
        }
    }
}
