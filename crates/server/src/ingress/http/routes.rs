//! The data plane's routes: one table that serves requests and describes itself in OpenAPI.
//!
//! Matching is by hand because the table is small and the match is on the hottest path; the
//! template, never the path, becomes a metric label.

use crate::call::{Cost, Facet, Needs};
use http::Method;
use micronode_protocol::ErrorCode::{self, *};
use micronode_protocol::capability::caveat::{Op, Ops};
use std::borrow::Cow;

/// A route of the data plane. The discriminant indexes per-route metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Put,
    Object,
    Manifest,
    Has,
    Echo,
    Exchange,
    Mint,
    Names,
    Name,
    Send,
    Receive,
    Ack,
    Nack,
    Extend,
    Redrive,
    Queue,
    Events,
    OpenApi,
    /// No route: what a path that matches nothing is counted as.
    Unknown,
}

/// One method of one route, and all that a client needs to know about it.
pub(crate) struct Operation {
    pub(crate) route: Route,
    pub(crate) method: Method,
    pub(crate) cost: Cost,
    pub(crate) facet: Facet,
    /// What a request must bring.
    pub(crate) needs: Needs,
    pub(crate) summary: &'static str,
    /// Status and meaning of every success.
    pub(crate) success: &'static [(u16, &'static str)],
    /// Codes beyond those that every operation may answer, in lists that operations share.
    pub(crate) errors: &'static [&'static [ErrorCode]],
}

/// What any request body may be refused for.
const BODY: &[ErrorCode] = &[
    BadRequest,
    BadEncoding,
    BodyTimeout,
    BodyTooLarge,
    DecompressBound,
    UnsupportedEncoding,
];

/// Every operation, grouped by route.
pub(crate) static OPERATIONS: [Operation; 29] = [
    Operation {
        route: Route::Put,
        method: Method::POST,
        cost: Cost::Write,
        facet: Facet::StorageWrite,
        needs: Needs::Capability(Ops::of(&[Op::Put])),
        summary: "Store a body; the node computes its address",
        success: &[(201, "stored"), (200, "was there already")],
        errors: &[BODY],
    },
    Operation {
        route: Route::Object,
        method: Method::GET,
        cost: Cost::Read,
        facet: Facet::StorageRead,
        needs: Needs::Capability(Ops::of(&[Op::Get])),
        summary: "Read an object, whole or in ranges; every byte is verified first",
        success: &[
            (200, "the object"),
            (206, "the asked ranges"),
            (304, "the client's copy is current"),
        ],
        errors: &[&[
            BadAddress,
            NotFound,
            PreconditionFailed,
            RangeUnsatisfiable,
            IntegrityFail,
        ]],
    },
    Operation {
        route: Route::Object,
        method: Method::HEAD,
        cost: Cost::Read,
        facet: Facet::StorageRead,
        needs: Needs::Capability(Ops::of(&[Op::Head])),
        summary: "What GET would answer, without the body",
        success: &[
            (200, "the object's head"),
            (304, "the client's copy is current"),
        ],
        errors: &[&[BadAddress, NotFound, PreconditionFailed, IntegrityFail]],
    },
    Operation {
        route: Route::Object,
        method: Method::PUT,
        cost: Cost::Write,
        facet: Facet::StorageWrite,
        needs: Needs::Capability(Ops::of(&[Op::Put])),
        summary: "Store a body that must hash to the address",
        success: &[(201, "stored"), (200, "was there already")],
        errors: &[BODY, &[BadAddress, DigestMismatch]],
    },
    Operation {
        route: Route::Object,
        method: Method::DELETE,
        cost: Cost::Free,
        facet: Facet::None,
        needs: Needs::Capability(Ops::of(&[Op::Delete])),
        summary: "Delete an object and wipe its memory",
        success: &[(204, "deleted")],
        errors: &[&[BadAddress, NotFound, Pinned, PreconditionFailed]],
    },
    Operation {
        route: Route::Manifest,
        method: Method::GET,
        cost: Cost::Read,
        facet: Facet::StorageRead,
        needs: Needs::Capability(Ops::of(&[Op::Get])),
        summary: "The chaining values of the object's 64 KiB groups",
        success: &[(200, "the manifest")],
        errors: &[&[BadAddress, NotFound, IntegrityFail]],
    },
    Operation {
        route: Route::Manifest,
        method: Method::HEAD,
        cost: Cost::Read,
        facet: Facet::StorageRead,
        needs: Needs::Capability(Ops::of(&[Op::Head])),
        summary: "The manifest's head",
        success: &[(200, "the manifest's head")],
        errors: &[&[BadAddress, NotFound, IntegrityFail]],
    },
    Operation {
        route: Route::Has,
        method: Method::POST,
        cost: Cost::Buffer,
        facet: Facet::None,
        needs: Needs::Capability(Ops::of(&[Op::Head])),
        summary: "Which of these objects are here: a JSON array of at most 4096 addresses in, one of booleans out",
        success: &[(200, "one boolean per address, in order")],
        errors: &[BODY, &[BadAddress]],
    },
    Operation {
        route: Route::Echo,
        method: Method::POST,
        cost: Cost::Buffer,
        facet: Facet::None,
        needs: Needs::Capability(Ops::NONE),
        summary: "The body back",
        success: &[(200, "the body")],
        errors: &[BODY],
    },
    Operation {
        route: Route::Exchange,
        method: Method::POST,
        cost: Cost::Free,
        facet: Facet::None,
        needs: Needs::Grant,
        summary: "A token for a grant, as bytes or base64url: `{\"token\",\"expires_at\"}` out",
        success: &[(200, "the token")],
        errors: &[BODY],
    },
    Operation {
        route: Route::Mint,
        method: Method::POST,
        cost: Cost::Free,
        facet: Facet::None,
        needs: Needs::Capability(Ops::of(&[Op::Admin])),
        summary: "A token with the caveats of the caller's and those asked for: `{\"caveats\":[…],\"ttl\":\"15m\"}` in, `{\"token\",\"expires_at\"}` out",
        success: &[(200, "the token")],
        errors: &[BODY],
    },
    Operation {
        route: Route::Names,
        method: Method::GET,
        cost: Cost::Read,
        facet: Facet::Index,
        needs: Needs::Capability(Ops::of(&[Op::NameRead])),
        summary: "A page of names, in byte order",
        success: &[(200, "the page")],
        errors: &[&[BadRequest, BadName]],
    },
    Operation {
        route: Route::Names,
        method: Method::HEAD,
        cost: Cost::Read,
        facet: Facet::Index,
        needs: Needs::Capability(Ops::of(&[Op::NameRead])),
        summary: "The page's head",
        success: &[(200, "the page's head")],
        errors: &[&[BadRequest, BadName]],
    },
    Operation {
        route: Route::Name,
        method: Method::GET,
        cost: Cost::Read,
        facet: Facet::StorageRead,
        needs: Needs::Capability(Ops::of(&[Op::NameRead, Op::Get])),
        summary: "The object that a name points at, as under its address",
        success: &[
            (200, "the object"),
            (206, "the asked ranges"),
            (304, "the client's copy is current"),
        ],
        errors: &[&[
            BadName,
            NotFound,
            PreconditionFailed,
            RangeUnsatisfiable,
            IntegrityFail,
        ]],
    },
    Operation {
        route: Route::Name,
        method: Method::HEAD,
        cost: Cost::Read,
        facet: Facet::StorageRead,
        needs: Needs::Capability(Ops::of(&[Op::NameRead, Op::Get])),
        summary: "What GET would answer, without the body",
        success: &[
            (200, "the object's head"),
            (304, "the client's copy is current"),
        ],
        errors: &[&[BadName, NotFound, PreconditionFailed, IntegrityFail]],
    },
    Operation {
        route: Route::Name,
        method: Method::PUT,
        cost: Cost::Write,
        facet: Facet::Index,
        needs: Needs::Capability(Ops::of(&[Op::NameWrite])),
        summary: "Point a name at an object: `{\"address\"}` in, `{\"name\",\"address\",\"revision\"}` out",
        success: &[(201, "the name is new"), (200, "it points there now")],
        errors: &[
            BODY,
            &[
                BadName,
                BadAddress,
                NotFound,
                PreconditionFailed,
                QuotaExceeded,
            ],
        ],
    },
    Operation {
        route: Route::Name,
        method: Method::DELETE,
        cost: Cost::Free,
        facet: Facet::Index,
        needs: Needs::Capability(Ops::of(&[Op::NameWrite])),
        summary: "Remove a name",
        success: &[(204, "removed")],
        errors: &[&[BadName, NotFound, PreconditionFailed]],
    },
    Operation {
        route: Route::Send,
        method: Method::POST,
        cost: Cost::Write,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Send])),
        summary: "Send a message: its body in, `{\"id\",\"duplicate\"}` out",
        success: &[(201, "sent"), (200, "was sent already, with this key")],
        errors: &[BODY, &[BadName, IdempotencyMismatch, QuotaExceeded]],
    },
    Operation {
        route: Route::Receive,
        method: Method::POST,
        cost: Cost::Read,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Recv])),
        summary: "Lease messages, and wait for some if there are none",
        success: &[
            (200, "the messages, or the body of one"),
            (204, "there is no body of one"),
        ],
        errors: &[&[BadRequest, BadName, QuotaExceeded]],
    },
    Operation {
        route: Route::Ack,
        method: Method::POST,
        cost: Cost::Free,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Recv])),
        summary: "Be done with messages: `{\"receipts\":[…]}` in, `{\"results\":[{\"receipt\",\"code\"}]}` out",
        success: &[(200, "a result for each receipt, in order")],
        errors: &[BODY, &[BadName]],
    },
    Operation {
        route: Route::Nack,
        method: Method::POST,
        cost: Cost::Free,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Recv])),
        summary: "Give messages back: `{\"receipts\":[…],\"delay\":\"5s\"}` in, results out",
        success: &[(200, "a result for each receipt, in order")],
        errors: &[BODY, &[BadName]],
    },
    Operation {
        route: Route::Extend,
        method: Method::POST,
        cost: Cost::Free,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Recv])),
        summary: "Keep messages for longer: `{\"receipts\":[…],\"visibility\":\"30s\"}` in, results out",
        success: &[(200, "a result for each receipt, in order")],
        errors: &[BODY, &[BadName]],
    },
    Operation {
        route: Route::Redrive,
        method: Method::POST,
        cost: Cost::Free,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Admin])),
        summary: "Bring dead letters back into their queue: `{\"moved\",\"left\"}` out",
        success: &[(200, "how many were moved, and how many are left")],
        errors: &[&[BadRequest, BadName, NotFound]],
    },
    Operation {
        route: Route::Queue,
        method: Method::GET,
        cost: Cost::Read,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Recv])),
        summary: "`{\"ready\",\"leased\",\"delayed\",\"dead\",\"bytes\"}` of a queue",
        success: &[(200, "the counts")],
        errors: &[&[BadName, NotFound]],
    },
    Operation {
        route: Route::Queue,
        method: Method::HEAD,
        cost: Cost::Read,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Recv])),
        summary: "The counts' head",
        success: &[(200, "the counts' head")],
        errors: &[&[BadName, NotFound]],
    },
    Operation {
        route: Route::Queue,
        method: Method::DELETE,
        cost: Cost::Free,
        facet: Facet::Mailbox,
        needs: Needs::Capability(Ops::of(&[Op::Admin])),
        summary: "Throw all messages of a queue away: `{\"removed\"}` out",
        success: &[(200, "how many there were")],
        errors: &[&[BadName, NotFound]],
    },
    Operation {
        route: Route::Events,
        method: Method::GET,
        cost: Cost::Read,
        facet: Facet::None,
        needs: Needs::Capability(Ops::of(&[Op::Events])),
        summary: "What happens, as server-sent events",
        success: &[(200, "a stream without an end")],
        errors: &[&[BadRequest]],
    },
    Operation {
        route: Route::OpenApi,
        method: Method::GET,
        cost: Cost::Free,
        facet: Facet::None,
        needs: Needs::Capability(Ops::NONE),
        summary: "This document",
        success: &[(200, "OpenAPI 3.1")],
        errors: &[],
    },
    Operation {
        route: Route::OpenApi,
        method: Method::HEAD,
        cost: Cost::Free,
        facet: Facet::None,
        needs: Needs::Capability(Ops::NONE),
        summary: "This document's head",
        success: &[(200, "the head")],
        errors: &[],
    },
];

/// Codes that any operation may answer, in the order in which the guard decides them.
pub(crate) const ANY_OPERATION: &[ErrorCode] = &[
    HeadTooLarge,
    Forbidden,
    Unauthenticated,
    RateLimited,
    Overloaded,
    Degraded,
    Draining,
    Starting,
    Deadline,
];

impl Route {
    pub(crate) const ALL: [Route; 19] = [
        Route::Put,
        Route::Object,
        Route::Manifest,
        Route::Has,
        Route::Echo,
        Route::Exchange,
        Route::Mint,
        Route::Names,
        Route::Name,
        Route::Send,
        Route::Receive,
        Route::Ack,
        Route::Nack,
        Route::Extend,
        Route::Redrive,
        Route::Queue,
        Route::Events,
        Route::OpenApi,
        Route::Unknown,
    ];

    /// The template that names the route in metrics and in OpenAPI.
    pub(crate) const fn template(self) -> &'static str {
        match self {
            Route::Put => "/put",
            Route::Object => "/o/{addr}",
            Route::Manifest => "/o/{addr}/manifest",
            Route::Has => "/has",
            Route::Echo => "/echo",
            Route::Exchange => "/cap/exchange",
            Route::Mint => "/cap/mint",
            Route::Names => "/n",
            Route::Name => "/n/{name}",
            Route::Send => "/mbox/{queue}/send",
            Route::Receive => "/mbox/{queue}/recv",
            Route::Ack => "/mbox/{queue}/ack",
            Route::Nack => "/mbox/{queue}/nack",
            Route::Extend => "/mbox/{queue}/extend",
            Route::Redrive => "/mbox/{queue}/redrive",
            Route::Queue => "/mbox/{queue}",
            Route::Events => "/events",
            Route::OpenApi => "/openapi.json",
            Route::Unknown => "unknown",
        }
    }

    /// The route of a path and the text of its `{addr}`, `{name}` or `{queue}`, still
    /// percent-encoded.
    pub(crate) fn of(path: &str) -> (Route, &str) {
        if let Some(rest) = path.strip_prefix("/o/") {
            return match rest.split_once('/') {
                None => (Route::Object, rest),
                Some((address, "manifest")) => (Route::Manifest, address),
                Some(_) => (Route::Unknown, ""),
            };
        }
        if let Some(name) = path.strip_prefix("/n/") {
            return (Route::Name, name);
        }
        if let Some(rest) = path.strip_prefix("/mbox/") {
            let Some((queue, verb)) = rest.split_once('/') else {
                return (Route::Queue, rest);
            };
            let route = match verb {
                "send" => Route::Send,
                "recv" => Route::Receive,
                "ack" => Route::Ack,
                "nack" => Route::Nack,
                "extend" => Route::Extend,
                "redrive" => Route::Redrive,
                _ => return (Route::Unknown, ""),
            };
            return (route, queue);
        }
        let route = match path {
            "/put" => Route::Put,
            "/has" => Route::Has,
            "/echo" => Route::Echo,
            "/cap/exchange" => Route::Exchange,
            "/cap/mint" => Route::Mint,
            "/n" => Route::Names,
            "/events" => Route::Events,
            "/openapi.json" => Route::OpenApi,
            _ => Route::Unknown,
        };
        (route, "")
    }

    /// The operation that answers `method` here.
    pub(crate) fn operation(self, method: &Method) -> Option<&'static Operation> {
        OPERATIONS
            .iter()
            .find(|operation| operation.route == self && operation.method == method)
    }

    /// The value of `Allow`.
    pub(crate) const fn allow(self) -> &'static str {
        match self {
            Route::Put
            | Route::Has
            | Route::Echo
            | Route::Exchange
            | Route::Mint
            | Route::Send
            | Route::Receive
            | Route::Ack
            | Route::Nack
            | Route::Extend
            | Route::Redrive => "POST, OPTIONS",
            Route::Object | Route::Name => "GET, HEAD, PUT, DELETE, OPTIONS",
            Route::Queue => "GET, HEAD, DELETE, OPTIONS",
            Route::Manifest | Route::Names | Route::OpenApi => "GET, HEAD, OPTIONS",
            Route::Events => "GET, OPTIONS",
            Route::Unknown => "OPTIONS",
        }
    }
}

/// Undoes percent-encoding of a part of a path or a query, so that a client which encodes more than
/// it has to is understood. Invalid sequences stay as they are: the strict parsers refuse them.
pub(crate) fn decode_segment(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut decoded = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        let (plain, escape) = rest.split_at(at);
        decoded.push_str(plain);
        let byte = escape
            .get(1..3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(u8::is_ascii_graphic);
        let Some(byte) = byte else {
            decoded.push_str(escape);
            return Cow::Owned(decoded);
        };
        decoded.push(char::from(byte));
        rest = &escape[3..];
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve_to_their_route_and_nothing_else() {
        assert_eq!(Route::of("/o/b3:00"), (Route::Object, "b3:00"));
        assert_eq!(Route::of("/o/"), (Route::Object, ""));
        assert_eq!(Route::of("/o/x/manifest"), (Route::Manifest, "x"));
        assert_eq!(Route::of("/o/x/manifest/"), (Route::Unknown, ""));
        assert_eq!(Route::of("/o").0, Route::Unknown);
        assert_eq!(Route::of("/put/").0, Route::Unknown);
        assert_eq!(Route::of("/put").0, Route::Put);
        assert_eq!(Route::of("/n"), (Route::Names, ""));
        assert_eq!(Route::of("/n/"), (Route::Name, ""));
        assert_eq!(Route::of("/n/a/b"), (Route::Name, "a/b"));
        assert_eq!(Route::of("/mbox/q"), (Route::Queue, "q"));
        assert_eq!(Route::of("/mbox/q/recv"), (Route::Receive, "q"));
        assert_eq!(Route::of("/mbox/q/recv/").0, Route::Unknown);
        assert_eq!(Route::of("/mbox").0, Route::Unknown);
    }

    #[test]
    fn the_allow_header_lists_exactly_the_operations() {
        for route in Route::ALL {
            let methods: Vec<&str> = OPERATIONS
                .iter()
                .filter(|operation| operation.route == route)
                .map(|operation| operation.method.as_str())
                .collect();
            let allowed: Vec<&str> = route.allow().split(", ").collect();
            let (options, listed) = allowed.split_last().expect("at least OPTIONS");
            assert_eq!(*options, "OPTIONS");
            assert_eq!(listed, methods, "{route:?}");
            assert_eq!(Route::ALL[route as usize], route);
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(decode_segment("b3%3Aab"), "b3:ab");
        assert_eq!(decode_segment("b3%3aab"), "b3:ab");
        assert_eq!(decode_segment("%2541"), "%41");
        assert_eq!(decode_segment("%"), "%");
        assert_eq!(decode_segment("%0a"), "%0a");
        assert_eq!(decode_segment("%C3%A9"), "%C3%A9");
        assert_eq!(decode_segment("é%41"), "éA");
    }
}
