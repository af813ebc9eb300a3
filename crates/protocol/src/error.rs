//! The public error codes: one table from code to HTTP status, title and retryability.
//!
//! The code is what a program switches on: it is the `code` member of every problem document,
//! the `reason` label of `rejected_total`, and (as its HTTP status) the code of an OAP reply.
//! Adding an error is adding a row here; nothing else maps errors to the wire.

macro_rules! error_codes {
    ($( $(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $retryable:literal, $title:literal; )*) => {
        /// A public error code. `as_str` is the machine word, `status` the HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum ErrorCode { $( $(#[$doc])* $variant, )* }

        impl ErrorCode {
            /// Every code, in table order; `ALL[c as usize] == c`.
            pub const ALL: &'static [ErrorCode] = &[$( ErrorCode::$variant, )*];

            /// The machine word, e.g. `body_too_large`.
            pub const fn as_str(self) -> &'static str {
                match self { $( ErrorCode::$variant => $code, )* }
            }

            /// The HTTP status; OAP replies carry the same number.
            pub const fn status(self) -> u16 {
                match self { $( ErrorCode::$variant => $status, )* }
            }

            /// Whether the same request may succeed later without being changed.
            pub const fn retryable(self) -> bool {
                match self { $( ErrorCode::$variant => $retryable, )* }
            }

            /// A short human title, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $( ErrorCode::$variant => $title, )* }
            }
        }
    };
}

error_codes! {
    /// The request is malformed in a way that no other code names.
    BadRequest = "bad_request", 400, false, "Malformed request";
    /// Not `b3:` and 64 lowercase hex digits.
    BadAddress = "bad_address", 400, false, "Malformed address";
    /// Not a name, or not a queue's.
    BadName = "bad_name", 400, false, "Malformed name";
    /// The body does not decode under its declared coding.
    BadEncoding = "bad_encoding", 400, false, "Body does not match its encoding";
    /// A tenant other than 0: the node has one.
    BadTenant = "bad_tenant", 400, false, "No such tenant";
    /// A frame of another version of the protocol.
    BadVersion = "bad_version", 400, false, "Unknown protocol version";
    /// Frame flags that are unknown or exclude each other.
    BadFlags = "bad_flags", 400, false, "Malformed frame flags";
    /// A frame that is shorter than its own header, or fields that end too early.
    Truncated = "truncated", 400, false, "Cut short";
    /// A capability on a frame that does not open a stream.
    CapOnNonStart = "cap_on_non_start", 400, false, "Capability in the middle of a stream";
    /// A capability that is longer than its frame.
    CapOutOfBounds = "cap_out_of_bounds", 400, false, "Capability beyond its frame";
    /// A stream was opened under the id of one that is open.
    StreamReused = "stream_reused", 400, false, "Stream is open already";
    /// A frame of a stream that is not open.
    StreamClosed = "stream_closed", 400, false, "Stream is not open";
    /// No capability, or one that does not verify.
    Unauthenticated = "unauthenticated", 401, false, "No valid capability";
    /// A capability that does not allow this.
    Forbidden = "forbidden", 403, false, "Not allowed by the capability";
    /// Nothing there.
    NotFound = "not_found", 404, false, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, false, "Method not allowed";
    /// The request head did not arrive in time.
    HeadTimeout = "head_timeout", 408, true, "The request head took too long";
    /// The request body stalled or came too slowly.
    BodyTimeout = "body_timeout", 408, true, "The request body took too long";
    /// An object that a name points at is not deleted.
    Pinned = "pinned", 409, false, "A name points at it";
    /// A precondition of the request does not hold.
    PreconditionFailed = "precondition_failed", 412, false, "Precondition failed";
    /// A body over its cap.
    BodyTooLarge = "body_too_large", 413, false, "Body too large";
    /// A compressed body that inflates beyond its bound.
    DecompressBound = "decompress_bound", 413, false, "Body inflates too much";
    /// A frame over the largest.
    FrameOversize = "frame_oversize", 413, false, "Frame too large";
    /// More than a chunk of body in one frame of several.
    ChunkTooLarge = "chunk_too_large", 413, false, "Chunk too large";
    /// A content coding that the node does not decode, or more than one.
    UnsupportedEncoding = "unsupported_encoding", 415, false, "Unsupported content coding";
    /// No requested range overlaps the object.
    RangeUnsatisfiable = "range_unsatisfiable", 416, false, "Range not satisfiable";
    /// The body does not hash to the address it was put under.
    DigestMismatch = "digest_mismatch", 422, false, "Body does not match the address";
    /// The idempotency key has been used for another message.
    IdempotencyMismatch = "idempotency_mismatch", 422, false, "Idempotency key of another message";
    /// Over the request rate.
    RateLimited = "rate_limited", 429, true, "Too many requests";
    /// Over a bound of names, queues, messages, waiters or keys.
    QuotaExceeded = "quota_exceeded", 429, true, "Quota exceeded";
    /// More streams at once than a connection may have.
    TooManyStreams = "too_many_streams", 429, true, "Too many streams";
    /// Request head over its size or field cap.
    HeadTooLarge = "head_too_large", 431, false, "Request head too large";
    /// Stored bytes do not match their address.
    IntegrityFail = "integrity_fail", 502, false, "Stored bytes do not match their address";
    /// Over the in-flight cap, a facet's permits, or the memory budget.
    Overloaded = "overloaded", 503, true, "Overloaded";
    /// Cut for a newcomer, as the slowest stream when everything was taken.
    SlowShare = "slow_share", 503, true, "Cut for a newcomer";
    /// Shed on purpose while the node is degraded.
    Degraded = "degraded", 503, true, "Degraded";
    /// The node is shutting down.
    Draining = "draining", 503, true, "Shutting down";
    /// The node is not ready yet.
    Starting = "starting", 503, true, "Starting";
    /// The handler ran over its deadline.
    Deadline = "deadline", 504, true, "Deadline exceeded";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ErrorCode {
    /// The code with this machine word, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_index_their_table() {
        let mut seen = HashSet::new();
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index);
            assert!(seen.insert(code.as_str()), "{code} appears twice");
            assert_eq!(ErrorCode::from_code(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn retryable_codes_are_exactly_the_transient_ones() {
        for code in ErrorCode::ALL {
            let transient = matches!(code.status(), 408 | 429 | 503 | 504);
            assert_eq!(code.retryable(), transient, "{code}");
        }
    }
}
