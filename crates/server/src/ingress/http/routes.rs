//! The data plane's routes: one table that serves requests and describes itself in OpenAPI.
//!
//! Matching is by hand because the table is small and the match is on the hottest path; the
//! template, never the path, becomes a metric label.

use crate::call::{Cost, Needs};
use http::Method;
use micronode_protocol::ErrorCode::{self, *};
use micronode_protocol::capability::caveat::Op;
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
    OpenApi,
    /// No route: what a path that matches nothing is counted as.
    Unknown,
}

/// One method of one route, and all that a client needs to know about it.
pub(crate) struct Operation {
    pub(crate) route: Route,
    pub(crate) method: Method,
    pub(crate) cost: Cost,
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
    needs: Needs,
    summary: &'static str,
    success: &'static [(u16, &'static str)],
    errors: &'static [&'static [ErrorCode]],
) -> Operation {
    Operation {
        route,
        method,
        cost,
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
pub(crate) static OPERATIONS: [Operation; 13] = [
    operation(
        Route::Put,
        Method::POST,
        Cost::Write,
        Needs::Capability(Some(Op::Put)),
        "Store a body; the node computes its address",
        &[(201, "stored"), (200, "was there already")],
        &[BODY],
    ),
    operation(
        Route::Object,
        Method::GET,
        Cost::Read,
        Needs::Capability(Some(Op::Get)),
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
        Needs::Capability(Some(Op::Head)),
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
        Needs::Capability(Some(Op::Put)),
        "Store a body that must hash to the address",
        &[(201, "stored"), (200, "was there already")],
        &[BODY, &[BadAddress, DigestMismatch]],
    ),
    operation(
        Route::Object,
        Method::DELETE,
        Cost::Free,
        Needs::Capability(Some(Op::Delete)),
        "Delete an object and wipe its memory",
        &[(204, "deleted")],
        &[&[BadAddress, NotFound, Pinned, PreconditionFailed]],
    ),
    operation(
        Route::Manifest,
        Method::GET,
        Cost::Read,
        Needs::Capability(Some(Op::Get)),
        "The chaining values of the object's 64 KiB groups",
        &[(200, "the manifest")],
        &[&[BadAddress, NotFound, IntegrityFail]],
    ),
    operation(
        Route::Manifest,
        Method::HEAD,
        Cost::Read,
        Needs::Capability(Some(Op::Head)),
        "The manifest's head",
        &[(200, "the manifest's head")],
        &[&[BadAddress, NotFound, IntegrityFail]],
    ),
    operation(
        Route::Has,
        Method::POST,
        Cost::Buffer,
        Needs::Capability(Some(Op::Head)),
        "Which of these objects are here: a JSON array of at most 4096 addresses in, one of booleans out",
        &[(200, "one boolean per address, in order")],
        &[BODY, &[BadAddress]],
    ),
    operation(
        Route::Echo,
        Method::POST,
        Cost::Buffer,
        Needs::Capability(None),
        "The body back",
        &[(200, "the body")],
        &[BODY],
    ),
    operation(
        Route::Exchange,
        Method::POST,
        Cost::Free,
        Needs::Grant,
        "A token for a grant, as bytes or base64url: `{\"token\",\"expires_at\"}` out",
        &[(200, "the token")],
        &[BODY],
    ),
    operation(
        Route::Mint,
        Method::POST,
        Cost::Free,
        Needs::Capability(Some(Op::Admin)),
        "A token with the caveats of the caller's and those asked for: `{\"caveats\":[…],\"ttl\":\"15m\"}` in, `{\"token\",\"expires_at\"}` out",
        &[(200, "the token")],
        &[BODY],
    ),
    operation(
        Route::OpenApi,
        Method::GET,
        Cost::Free,
        Needs::Capability(None),
        "This document",
        &[(200, "OpenAPI 3.1")],
        &[],
    ),
    operation(
        Route::OpenApi,
        Method::HEAD,
        Cost::Free,
        Needs::Capability(None),
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
    pub(crate) const ALL: [Route; 9] = [
        Route::Put,
        Route::Object,
        Route::Manifest,
        Route::Has,
        Route::Echo,
        Route::Exchange,
        Route::Mint,
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
            Route::OpenApi => "/openapi.json",
            Route::Unknown => "unknown",
        }
    }

    /// The route of a path and the text of its `{addr}`, still percent-encoded.
    pub(crate) fn of(path: &str) -> (Route, &str) {
        if let Some(rest) = path.strip_prefix("/o/") {
            return match rest.split_once('/') {
                None => (Route::Object, rest),
                Some((address, "manifest")) => (Route::Manifest, address),
                Some(_) => (Route::Unknown, ""),
            };
        }
        let route = match path {
            "/put" => Route::Put,
            "/has" => Route::Has,
            "/echo" => Route::Echo,
            "/cap/exchange" => Route::Exchange,
            "/cap/mint" => Route::Mint,
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
            Route::Put | Route::Has | Route::Echo | Route::Exchange | Route::Mint => {
                "POST, OPTIONS"
            }
            Route::Object => "GET, HEAD, PUT, DELETE, OPTIONS",
            Route::Manifest | Route::OpenApi => "GET, HEAD, OPTIONS",
            Route::Unknown => "OPTIONS",
        }
    }
}

/// Undoes percent-encoding of an `{addr}` segment, so that a client which encodes the colon is
/// understood. Invalid sequences stay as they are: the strict address parser refuses them.
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
