//! Why a request had no authority. The metric knows the reason; the answer does not, and neither
//! knows the token.

use crate::call::CallError;
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::Denied;
use micronode_protocol::capability::grant::GrantError;
use micronode_protocol::capability::keyring::Invalid;

macro_rules! failures {
    ($( $(#[$doc:meta])* $variant:ident = $word:literal, $code:ident; )*) => {
        /// The reason that `auth_failures_total` counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Failed { $( $(#[$doc])* $variant, )* }

        impl Failed {
            /// Every reason; `ALL[failed as usize] == failed`.
            pub(crate) const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The value of the label `reason`.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// 401 for what is no token of this node, 403 for what a token does not allow.
            pub(crate) const fn code(self) -> ErrorCode {
                match self { $( Self::$variant => ErrorCode::$code, )* }
            }
        }
    };
}

failures! {
    /// No capability.
    Missing = "missing", Unauthenticated;
    /// Not a capability, or two of them.
    Malformed = "malformed", Unauthenticated;
    /// Longer than a capability.
    TooLong = "too_long", Unauthenticated;
    /// More caveats than a capability may have.
    TooManyCaveats = "too_many_caveats", Unauthenticated;
    /// Made by a node of another name.
    Location = "location", Unauthenticated;
    /// Under a key that this node does not have, or has no longer.
    Key = "key", Unauthenticated;
    /// The signature does not match.
    Signature = "signature", Unauthenticated;
    /// Its grant is denied, or its issuer is denied or gone.
    Revoked = "revoked", Unauthenticated;
    /// It ended while it was being used.
    Ended = "ended", Unauthenticated;
    /// Not a grant.
    Grant = "grant_malformed", Unauthenticated;
    /// A grant of an issuer that the node does not know.
    GrantIssuer = "grant_issuer", Unauthenticated;
    /// A grant that its issuer has not signed with both keys.
    GrantSignature = "grant_signature", Unauthenticated;
    /// A grant for another node.
    GrantAudience = "grant_audience", Forbidden;
    /// A grant whose time has not come, or is over.
    GrantTime = "grant_time", Forbidden;
    /// A link that is for more than reading one object for a time.
    NotALink = "not_a_link", Unauthenticated;
    /// Another operation.
    Op = "caveat_op", Forbidden;
    /// Another object, or none.
    Obj = "caveat_obj", Forbidden;
    /// Another name, or none.
    Name = "caveat_name", Forbidden;
    /// Another queue, or none.
    Queue = "caveat_queue", Forbidden;
    /// Too late.
    Before = "caveat_before", Forbidden;
    /// Too early.
    After = "caveat_after", Forbidden;
    /// A longer body.
    MaxBytes = "caveat_max_bytes", Forbidden;
    /// From elsewhere.
    Peer = "caveat_peer", Forbidden;
    /// A caveat that is not known, or does not parse.
    Unknown = "caveat_unknown", Forbidden;
}

impl Failed {
    /// The answer: the same for all that have the same status.
    pub(crate) fn error(self) -> CallError {
        let code = self.code();
        let detail = match code {
            ErrorCode::Unauthenticated => {
                "a valid capability is needed: Authorization: Bearer, or the capability of a frame"
            }
            _ => "the capability does not allow this",
        };
        CallError::new(code, detail)
    }
}

impl From<Invalid> for Failed {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Malformed => Self::Malformed,
            Invalid::TooLong => Self::TooLong,
            Invalid::TooManyCaveats => Self::TooManyCaveats,
            Invalid::Location => Self::Location,
            Invalid::Key => Self::Key,
            Invalid::Signature => Self::Signature,
        }
    }
}

impl From<GrantError> for Failed {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Signature => Self::GrantSignature,
            GrantError::Audience => Self::GrantAudience,
            GrantError::NotYet | GrantError::Expired => Self::GrantTime,
            _ => Self::Grant,
        }
    }
}

impl From<Denied> for Failed {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Op => Self::Op,
            Denied::Obj => Self::Obj,
            Denied::Name => Self::Name,
            Denied::Queue => Self::Queue,
            Denied::Before => Self::Before,
            Denied::After => Self::After,
            Denied::MaxBytes => Self::MaxBytes,
            Denied::Peer => Self::Peer,
            Denied::Unknown => Self::Unknown,
        }
    }
}
