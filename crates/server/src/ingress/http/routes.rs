//! The data plane's routes: one table that serves requests and describes itself in OpenAPI.
//!
//! Matching is by hand because the table is small and the match is on the hottest path; the
//! template, never the path, becomes a metric label.

mod operations;

use http::Method;
use std::borrow::Cow;

pub(crate) use operations::{ANY_OPERATION, OPERATIONS, Operation};

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
