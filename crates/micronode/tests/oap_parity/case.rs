//! One case, and what most of them are made of.

use crate::answer::Shows;
use crate::support::oap::Reply;
use crate::support::{Response, address};
use crate::world::World;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) world: fn() -> World,
    pub(crate) http: fn(&World) -> Response,
    pub(crate) oap: fn(&World) -> Reply,
    pub(crate) shows: Shows,
    /// Status, and the code of a problem.
    pub(crate) expected: (u16, &'static str),
}

pub(crate) const SUCCESS: &str = "success";

/// The table of a module.
macro_rules! cases {
    ($( $name:literal: $world:ident, $shows:expr => $status:literal $code:expr,
        $http:expr, $oap:expr; )*) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$( $crate::case::Case {
            name: $name,
            world: $crate::world::$world,
            http: $http,
            oap: $oap,
            shows: $shows,
            expected: ($status, $code),
        }, )*];
    };
}
pub(crate) use cases;

pub(crate) fn path(bytes: &[u8]) -> String {
    format!("/o/{}", address(bytes))
}

pub(crate) fn at(world: &World, method: &str, bytes: &[u8], fields: &[(&str, &str)]) -> Response {
    world.node.request(method, &path(bytes), fields, b"")
}

pub(crate) fn post(world: &World, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Response {
    world.node.request("POST", path, fields, body)
}

pub(crate) fn call(world: &World, operation: (u16, u16), payload: &[u8]) -> Reply {
    world.greet().call(operation, payload)
}
