//! Names: pointing them at objects, following them, and what is refused.

use crate::answer::Shows::{Name, NamedObject, Names, Nothing, Revision};
use crate::case::{SUCCESS, at, call, cases};
use crate::support::oap::{
    DELETE, NAME_DELETE, NAME_GET, NAME_LIST, NAME_READ, NAME_SET, Reply, hash, name_list,
    name_read, name_set, str16,
};
use crate::support::{Response, address};
use crate::world::{NAME, STORED, World};

/// The revisions that are no revision: the name must not exist, or may have any.
const ABSENT: u64 = 0;
const ANY: u64 = u64::MAX;
const ABSENT_FIELD: (&str, &str) = ("if-none-match", "*");

cases! {
    "set a new name": usual, Revision => 201 SUCCESS,
        |it| http_set(it, NAME, STORED, &[]), |it| oap_set(it, NAME, STORED, ANY);
    "set a name again": named, Revision => 200 SUCCESS,
        |it| http_set(it, NAME, STORED, &[]), |it| oap_set(it, NAME, STORED, ANY);
    "set a name of the expected revision": named, Revision => 200 SUCCESS,
        |it| http_set(it, NAME, STORED, &[("if-match", &tag(revision(it)))]),
        |it| oap_set(it, NAME, STORED, revision(it));
    "set a name of another revision": named, Revision => 412 "precondition_failed",
        |it| http_set(it, NAME, STORED, &[("if-match", &tag(revision(it) + 1))]),
        |it| oap_set(it, NAME, STORED, revision(it) + 1);
    "set a name that must not exist": named, Revision => 412 "precondition_failed",
        |it| http_set(it, NAME, STORED, &[ABSENT_FIELD]),
        |it| oap_set(it, NAME, STORED, ABSENT);
    "set a name that must not exist and does not": usual, Revision => 201 SUCCESS,
        |it| http_set(it, NAME, STORED, &[ABSENT_FIELD]),
        |it| oap_set(it, NAME, STORED, ABSENT);
    "set a name of a revision that does not exist": usual, Revision => 412 "precondition_failed",
        |it| http_set(it, NAME, STORED, &[("if-match", "\"7\"")]),
        |it| oap_set(it, NAME, STORED, 7);
    "set a name to what is absent": usual, Revision => 404 "not_found",
        |it| http_set(it, NAME, b"absent", &[]), |it| oap_set(it, NAME, b"absent", ANY);
    "set what is no name": usual, Revision => 400 "bad_name",
        |it| http_set(it, "Upper", STORED, &[]), |it| oap_set(it, "Upper", STORED, ANY);
    "set a name with nothing between its slashes": usual, Revision => 400 "bad_name",
        |it| http_set(it, "a//b", STORED, &[]), |it| oap_set(it, "a//b", STORED, ANY);
    "set the longest name": usual, Revision => 201 SUCCESS,
        |it| http_set(it, &"n".repeat(255), STORED, &[]),
        |it| oap_set(it, &"n".repeat(255), STORED, ANY);
    "set a name that is too long": usual, Revision => 400 "bad_name",
        |it| http_set(it, &"n".repeat(256), STORED, &[]),
        |it| oap_set(it, &"n".repeat(256), STORED, ANY);
    "resolve a name": named, Name => 200 SUCCESS,
        |it| it.node.head(&path(NAME), &[]), |it| call(it, NAME_GET, &str16(NAME));
    "read a name": named, NamedObject => 200 SUCCESS,
        |it| it.node.get(&path(NAME), &[]), |it| call(it, NAME_READ, &name_read(NAME, 0, 0));
    "read a part of a name": named, NamedObject => 206 SUCCESS,
        |it| it.node.get(&path(NAME), &[("range", "bytes=3-5")]),
        |it| call(it, NAME_READ, &name_read(NAME, 3, 3));
    "read beyond the end of a name": named, NamedObject => 416 "range_unsatisfiable",
        |it| it.node.get(&path(NAME), &[("range", "bytes=9999-")]),
        |it| call(it, NAME_READ, &name_read(NAME, 9999, 0));
    "read a name that is absent": usual, NamedObject => 404 "not_found",
        |it| it.node.get(&path(NAME), &[]), |it| call(it, NAME_READ, &name_read(NAME, 0, 0));
    "read what is no name": usual, NamedObject => 400 "bad_name",
        |it| it.node.get("/n/a//b", &[]), |it| call(it, NAME_READ, &name_read("a//b", 0, 0));
    "list names": named, Names => 200 SUCCESS,
        |it| it.node.get("/n?prefix=a", &[]), |it| oap_list(it, "a", "", 0);
    "list names behind one": named, Names => 200 SUCCESS,
        |it| it.node.get("/n?prefix=&after=a%2Fb", &[]), |it| oap_list(it, "", NAME, 0);
    "list one name": named, Names => 200 SUCCESS,
        |it| it.node.get("/n?limit=1", &[]), |it| oap_list(it, "", "", 1);
    "list names of no such prefix": named, Names => 200 SUCCESS,
        |it| it.node.get("/n?prefix=zz", &[]), |it| oap_list(it, "zz", "", 0);
    "list names of what begins no name": named, Names => 400 "bad_name",
        |it| it.node.get("/n?prefix=Upper", &[]), |it| oap_list(it, "Upper", "", 0);
    "delete a name": named, Nothing => 204 SUCCESS,
        |it| http_delete(it, NAME, &[]), |it| oap_delete(it, NAME, ANY);
    "delete a name of the expected revision": named, Nothing => 204 SUCCESS,
        |it| http_delete(it, NAME, &[("if-match", &tag(revision(it)))]),
        |it| oap_delete(it, NAME, revision(it));
    "delete a name of another revision": named, Nothing => 412 "precondition_failed",
        |it| http_delete(it, NAME, &[("if-match", &tag(revision(it) + 1))]),
        |it| oap_delete(it, NAME, revision(it) + 1);
    "delete a name that is absent": usual, Nothing => 404 "not_found",
        |it| http_delete(it, NAME, &[]), |it| oap_delete(it, NAME, ANY);
    "delete what is no name": usual, Nothing => 400 "bad_name",
        |it| http_delete(it, "Upper", &[]), |it| oap_delete(it, "Upper", ANY);
    "delete an object that has a name": named, Nothing => 409 "pinned",
        |it| at(it, "DELETE", STORED, &[]), |it| call(it, DELETE, &hash(STORED));
    "delete an object that had a name": named, Nothing => 204 SUCCESS,
        |it| {
            assert_eq!(http_delete(it, NAME, &[]).status, 204);
            at(it, "DELETE", STORED, &[])
        },
        |it| {
            assert_eq!(oap_delete(it, NAME, ANY).status(), 204);
            call(it, DELETE, &hash(STORED))
        };
    "set a name with everything taken": crowded, Revision => 503 "overloaded",
        |it| http_set(it, NAME, STORED, &[]), |it| oap_set(it, NAME, STORED, ANY);
    "list names with everything taken": crowded, Names => 503 "overloaded",
        |it| it.node.get("/n", &[]), |it| oap_list(it, "", "", 0);
    "set a name on a full node": full, Revision => 503 "degraded",
        |it| http_set(it, NAME, STORED, &[]), |it| oap_set(it, NAME, STORED, ANY);
    "list names of a full node": full, Names => 200 SUCCESS,
        |it| it.node.get("/n", &[]), |it| oap_list(it, "", "", 0);
    "set a name on a node that ends": draining, Revision => 503 "draining",
        |it| http_set(it, NAME, STORED, &[]), |it| oap_set(it, NAME, STORED, ANY);
}

fn path(name: &str) -> String {
    format!("/n/{name}")
}

/// The revision as it stands in `If-Match`.
fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// The revision that the name has.
fn revision(world: &World) -> u64 {
    let found = call(world, NAME_GET, &str16(NAME)).payload();
    u64::from_be_bytes(found[32..].try_into().unwrap())
}

fn http_set(world: &World, name: &str, bytes: &[u8], fields: &[(&str, &str)]) -> Response {
    let document = serde_json::json!({ "address": address(bytes) }).to_string();
    let json = ("content-type", "application/json");
    let fields = [&[json], fields].concat();
    let node = &world.node;
    node.request("PUT", &path(name), &fields, document.as_bytes())
}

fn oap_set(world: &World, name: &str, bytes: &[u8], expected: u64) -> Reply {
    call(world, NAME_SET, &name_set(name, &hash(bytes), expected))
}

fn http_delete(world: &World, name: &str, fields: &[(&str, &str)]) -> Response {
    world.node.request("DELETE", &path(name), fields, b"")
}

fn oap_delete(world: &World, name: &str, expected: u64) -> Reply {
    let payload = [&str16(name)[..], &expected.to_be_bytes()].concat();
    call(world, NAME_DELETE, &payload)
}

fn oap_list(world: &World, prefix: &str, after: &str, limit: u16) -> Reply {
    call(world, NAME_LIST, &name_list(prefix, after, limit))
}
