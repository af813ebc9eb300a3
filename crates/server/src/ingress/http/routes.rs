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

const fn operation(
    route: Route,
    method: Method,
    cost: Cost,
    facet: Facet,
    needs: Needs,
    summary: &'static str,
    success: &'static [(u16, &'static str)],
    errors: &'static [&'static [ErrorCode]],
) -> Operation {
    Operation {
        route,
        method,
        cost,
        facet,
        needs,
        summary,
        success,
        errors,
    }
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
    operation(
        Route::Put,
        Method::POST,
        Cost::Write,
        Facet::StorageWrite,
        Needs::Capability(Ops::of(&[Op::Put])),
        "Store a body; the node computes its address",
        &[(201, "stored"), (200, "was there already")],
        &[BODY],
    ),
    operation(
        Route::Object,
        Method::GET,
        Cost::Read,
        Facet::StorageRead,
        Needs::Capability(Ops::of(&[Op::Get])),
        "Read an object, whole or in ranges; every byte is verified first",
        &[
            (200, "the object"),
            (206, "the asked ranges"),
            (304, "the client's copy is current"),
        ],
        &[&[
            BadAddress,
            NotFound,
            PreconditionFailed,
            RangeUnsatisfiable,
            IntegrityFail,
        ]],
    ),
    operation(
        Route::Object,
        Method::HEAD,
        Cost::Read,
        Facet::StorageRead,
        Needs::Capability(Ops::of(&[Op::Head])),
        "What GET would answer, without the body",
        &[
            (200, "the object's head"),
            (304, "the client's copy is current"),
        ],
        &[&[BadAddress, NotFound, PreconditionFailed, IntegrityFail]],
    ),
    operation(
        Route::Object,
        Method::PUT,
        Cost::Write,
        Facet::StorageWrite,
        Needs::Capability(Ops::of(&[Op::Put])),
        "Store a body that must hash to the address",
        &[(201, "stored"), (200, "was there already")],
        &[BODY, &[BadAddress, DigestMismatch]],
    ),
    operation(
        Route::Object,
        Method::DELETE,
        Cost::Free,
        Facet::None,
        Needs::Capability(Ops::of(&[Op::Delete])),
        "Delete an object and wipe its memory",
        &[(204, "deleted")],
        &[&[BadAddress, NotFound, Pinned, PreconditionFailed]],
    ),
    operation(
        Route::Manifest,
        Method::GET,
        Cost::Read,
        Facet::StorageRead,
        Needs::Capability(Ops::of(&[Op::Get])),
        "The chaining values of the object's 64 KiB groups",
        &[(200, "the manifest")],
        &[&[BadAddress, NotFound, IntegrityFail]],
    ),
    operation(
        Route::Manifest,
        Method::HEAD,
        Cost::Read,
        Facet::StorageRead,
        Needs::Capability(Ops::of(&[Op::Head])),
        "The manifest's head",
        &[(200, "the manifest's head")],
        &[&[BadAddress, NotFound, IntegrityFail]],
    ),
    operation(
        Route::Has,
        Method::POST,
        Cost::Buffer,
        Facet::None,
        Needs::Capability(Ops::of(&[Op::Head])),
        "Which of these objects are here: a JSON array of at most 4096 addresses in, one of booleans out",
        &[(200, "one boolean per address, in order")],
        &[BODY, &[BadAddress]],
    ),
    operation(
        Route::Echo,
        Method::POST,
        Cost::Buffer,
        Facet::None,
        Needs::Capability(Ops::NONE),
        "The body back",
        &[(200, "the body")],
        &[BODY],
    ),
    operation(
        Route::Exchange,
        Method::POST,
        Cost::Free,
        Facet::None,
        Needs::Grant,
        "A token for a grant, as bytes or base64url: `{\"token\",\"expires_at\"}` out",
        &[(200, "the token")],
        &[BODY],
    ),
    operation(
        Route::Mint,
        Method::POST,
        Cost::Free,
        Facet::None,
        Needs::Capability(Ops::of(&[Op::Admin])),
        "A token with the caveats of the caller's and those asked for: `{\"caveats\":[…],\"ttl\":\"15m\"}` in, `{\"token\",\"expires_at\"}` out",
        &[(200, "the token")],
        &[BODY],
    ),
    operation(
        Route::Names,
        Method::GET,
        Cost::Read,
        Facet::Index,
        Needs::Capability(Ops::of(&[Op::NameRead])),
        "A page of names, in byte order",
        &[(200, "the page")],
        &[&[BadRequest, BadName]],
    ),
    operation(
        Route::Names,
        Method::HEAD,
        Cost::Read,
        Facet::Index,
        Needs::Capability(Ops::of(&[Op::NameRead])),
        "The page's head",
        &[(200, "the page's head")],
        &[&[BadRequest, BadName]],
    ),
    operation(
        Route::Name,
        Method::GET,
        Cost::Read,
        Facet::StorageRead,
        Needs::Capability(Ops::of(&[Op::NameRead, Op::Get])),
        "The object that a name points at, as under its address",
        &[
            (200, "the object"),
            (206, "the asked ranges"),
            (304, "the client's copy is current"),
        ],
        &[&[
            BadName,
            NotFound,
            PreconditionFailed,
            RangeUnsatisfiable,
            IntegrityFail,
        ]],
    ),
    operation(
        Route::Name,
        Method::HEAD,
        Cost::Read,
        Facet::StorageRead,
        Needs::Capability(Ops::of(&[Op::NameRead, Op::Get])),
        "What GET would answer, without the body",
        &[
            (200, "the object's head"),
            (304, "the client's copy is current"),
        ],
        &[&[BadName, NotFound, PreconditionFailed, IntegrityFail]],
    ),
    operation(
        Route::Name,
        Method::PUT,
        Cost::Write,
        Facet::Index,
        Needs::Capability(Ops::of(&[Op::NameWrite])),
        "Point a name at an object: `{\"address\"}` in, `{\"name\",\"address\",\"revision\"}` out",
        &[(201, "the name is new"), (200, "it points there now")],
        &[
            BODY,
            &[
                BadName,
                BadAddress,
                NotFound,
                PreconditionFailed,
                QuotaExceeded,
            ],
        ],
    ),
    operation(
        Route::Name,
        Method::DELETE,
        Cost::Free,
        Facet::Index,
        Needs::Capability(Ops::of(&[Op::NameWrite])),
        "Remove a name",
        &[(204, "removed")],
        &[&[BadName, NotFound, PreconditionFailed]],
    ),
    operation(
        Route::Send,
        Method::POST,
        Cost::Write,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Send])),
        "Send a message: its body in, `{\"id\",\"duplicate\"}` out",
        &[(201, "sent"), (200, "was sent already, with this key")],
        &[BODY, &[BadName, IdempotencyMismatch, QuotaExceeded]],
    ),
    operation(
        Route::Receive,
        Method::POST,
        Cost::Read,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Recv])),
        "Lease messages, and wait for some if there are none",
        &[
            (200, "the messages, or the body of one"),
            (204, "there is no body of one"),
        ],
        &[&[BadRequest, BadName, QuotaExceeded]],
    ),
    operation(
        Route::Ack,
        Method::POST,
        Cost::Free,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Recv])),
        "Be done with messages: `{\"receipts\":[…]}` in, `{\"results\":[{\"receipt\",\"code\"}]}` out",
        &[(200, "a result for each receipt, in order")],
        &[BODY, &[BadName]],
    ),
    operation(
        Route::Nack,
        Method::POST,
        Cost::Free,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Recv])),
        "Give messages back: `{\"receipts\":[…],\"delay\":\"5s\"}` in, results out",
        &[(200, "a result for each receipt, in order")],
        &[BODY, &[BadName]],
    ),
    operation(
        Route::Extend,
        Method::POST,
        Cost::Free,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Recv])),
        "Keep messages for longer: `{\"receipts\":[…],\"visibility\":\"30s\"}` in, results out",
        &[(200, "a result for each receipt, in order")],
        &[BODY, &[BadName]],
    ),
    operation(
        Route::Redrive,
        Method::POST,
        Cost::Free,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Admin])),
        "Bring dead letters back into their queue: `{\"moved\",\"left\"}` out",
        &[(200, "how many were moved, and how many are left")],
        &[&[BadRequest, BadName, NotFound]],
    ),
    operation(
        Route::Queue,
        Method::GET,
        Cost::Read,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Recv])),
        "`{\"ready\",\"leased\",\"delayed\",\"dead\",\"bytes\"}` of a queue",
        &[(200, "the counts")],
        &[&[BadName, NotFound]],
    ),
    operation(
        Route::Queue,
        Method::HEAD,
        Cost::Read,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Recv])),
        "The counts' head",
        &[(200, "the counts' head")],
        &[&[BadName, NotFound]],
    ),
    operation(
        Route::Queue,
        Method::DELETE,
        Cost::Free,
        Facet::Mailbox,
        Needs::Capability(Ops::of(&[Op::Admin])),
        "Throw all messages of a queue away: `{\"removed\"}` out",
        &[(200, "how many there were")],
        &[&[BadName, NotFound]],
    ),
    operation(
        Route::Events,
        Method::GET,
        Cost::Read,
        Facet::None,
        Needs::Capability(Ops::of(&[Op::Events])),
        "What happens, as server-sent events",
        &[(200, "a stream without an end")],
        &[&[BadRequest]],
    ),
    operation(
        Route::OpenApi,
        Method::GET,
        Cost::Free,
        Facet::None,
        Needs::Capability(Ops::NONE),
        "This document",
        &[(200, "OpenAPI 3.1")],
        &[],
    ),
    operation(
        Route::OpenApi,
        Method::HEAD,
        Cost::Free,
        Facet::None,
        Needs::Capability(Ops::NONE),
        "This document's head",
        &[(200, "the head")],
        &[],
    ),
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
