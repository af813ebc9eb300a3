//! Objects, the node's states, and what is refused whatever is asked.

use crate::answer::Shows::{Bytes, Has, Head, Nothing, Object, Stored};
use crate::case::{SUCCESS, at, call, cases, path, post};
use crate::support::oap::{
    COMP, DELETE, ECHO, Frame, GET, HAS, HEAD, MANIFEST, PUT, Reply, START, WHOLE, get, hash,
    plain_put, put,
};
use crate::support::{Response, address, object};
use crate::world::{STORED, World};

const TOKEN: (&str, &str) = ("authorization", "Bearer of-another-node");
const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
const ZSTD: (&str, &str) = ("content-encoding", "zstd");
const MINUTES: u64 = 60_000;

cases! {
    // Results.
    "put new": usual, Stored => 201 SUCCESS, |it| http_put(it, &[], b"new"), |it| oap_put(it, b"new");
    "put empty": usual, Stored => 201 SUCCESS, |it| http_put(it, &[], b""), |it| oap_put(it, b"");
    "put large": usual, Stored => 201 SUCCESS,
        |it| http_put(it, &[], &object(300_000)), |it| oap_upload(it, &object(300_000));
    "put existing": usual, Stored => 200 SUCCESS,
        |it| http_put(it, &[], STORED), |it| oap_put(it, STORED);
    "put compressed": usual, Stored => 201 SUCCESS,
        |it| post(it, "/put", &[ZSTD], &zstd(b"packed")),
        |it| compressed(it, PUT, &zstd(&[&plain_put()[..], b"packed"].concat()));
    "get": usual, Object => 200 SUCCESS,
        |it| at(it, "GET", STORED, &[]), |it| call(it, GET, &get(&hash(STORED), 0, 0));
    "get a part": usual, Object => 206 SUCCESS,
        |it| at(it, "GET", STORED, &[("range", "bytes=3-5")]),
        |it| call(it, GET, &get(&hash(STORED), 3, 3));
    "get the rest": usual, Object => 206 SUCCESS,
        |it| at(it, "GET", STORED, &[("range", "bytes=5-")]),
        |it| call(it, GET, &get(&hash(STORED), 5, 0));
    "get over the end": usual, Object => 206 SUCCESS,
        |it| at(it, "GET", STORED, &[("range", "bytes=5-9999")]),
        |it| call(it, GET, &get(&hash(STORED), 5, 9995));
    "head": usual, Head => 200 SUCCESS,
        |it| at(it, "HEAD", STORED, &[]), |it| call(it, HEAD, &hash(STORED));
    "has": usual, Has => 200 SUCCESS,
        |it| http_has(it, &[STORED, b"absent", STORED]),
        |it| oap_has(it, &[STORED, b"absent", STORED]);
    "has nothing": usual, Has => 200 SUCCESS, |it| http_has(it, &[]), |it| oap_has(it, &[]);
    "delete": usual, Nothing => 204 SUCCESS,
        |it| at(it, "DELETE", STORED, &[]), |it| call(it, DELETE, &hash(STORED));
    "manifest": usual, Bytes => 200 SUCCESS,
        |it| it.node.get(&format!("{}/manifest", path(STORED)), &[]),
        |it| call(it, MANIFEST, &hash(STORED));
    "echo": usual, Bytes => 200 SUCCESS,
        |it| post(it, "/echo", &[], &object(90_000)), |it| call(it, ECHO, &object(90_000));
    "echo in parts": usual, Bytes => 200 SUCCESS,
        |it| post(it, "/echo", &[CHUNKED], &chunked(&object(90_000))),
        |it| it.greet().upload(ECHO, b"", &object(90_000));

    // What is asked for.
    "get absent": usual, Object => 404 "not_found",
        |it| at(it, "GET", b"absent", &[]), |it| call(it, GET, &get(&hash(b"absent"), 0, 0));
    "get beyond the end": usual, Object => 416 "range_unsatisfiable",
        |it| at(it, "GET", STORED, &[("range", "bytes=9999-")]),
        |it| call(it, GET, &get(&hash(STORED), 9999, 0));
    "manifest absent": usual, Bytes => 404 "not_found",
        |it| it.node.get(&format!("{}/manifest", path(b"absent")), &[]),
        |it| call(it, MANIFEST, &hash(b"absent"));
    "delete absent": usual, Nothing => 404 "not_found",
        |it| at(it, "DELETE", b"absent", &[]), |it| call(it, DELETE, &hash(b"absent"));
    "no such operation": usual, Nothing => 404 "not_found",
        |it| it.node.get("/nowhere", &[]), |it| call(it, (2, 99), b"");
    "has too many": usual, Has => 400 "bad_request",
        |it| http_has(it, &[&b"absent"[..]; 4097]), |it| oap_has(it, &[&b"absent"[..]; 4097]);
    "put under another address": usual, Stored => 422 "digest_mismatch",
        |it| it.node.request("PUT", &path(b"one"), &[], b"another"),
        |it| call(it, PUT, &[&put(&hash(b"one"), 0, "")[..], b"another"].concat());
    "put existing under another address": usual, Stored => 422 "digest_mismatch",
        |it| it.node.request("PUT", &path(b"one"), &[], STORED),
        |it| call(it, PUT, &[&put(&hash(b"one"), 0, "")[..], STORED].concat());
    "media type that is no ASCII": usual, Stored => 400 "bad_request",
        |it| http_put(it, &[("content-type", "caf\u{e9}")], b"x"),
        |it| call(it, PUT, &put(&[0; 32], 0, "caf\u{e9}"));
    "media type with a line end": usual, Stored => 400 "bad_request",
        |it| http_put(it, &[("content-type", "a\u{7f}b")], b"x"),
        |it| call(it, PUT, &put(&[0; 32], 0, "a\nb"));
    "media type that is too long": usual, Stored => 400 "bad_request",
        |it| http_put(it, &[("content-type", &"x".repeat(256))], b"x"),
        |it| call(it, PUT, &put(&[0; 32], 0, &"x".repeat(256)));
    "time to live beyond all": usual, Stored => 400 "bad_request",
        |it| http_put(it, &[("expires-in", "99999999h")], b"x"),
        |it| call(it, PUT, &put(&[0; 32], u64::MAX, ""));
    "time to live": usual, Stored => 201 SUCCESS,
        |it| {
            let stored = http_put(it, &[("expires-in", "60s")], b"x");
            assert!(stored.json()["expires_at"].is_string());
            // Which OAP tells with a head.
            stored
        },
        |it| {
            let fields = put(&[0; 32], MINUTES, "");
            let mut client = it.greet();
            let stored = client.call(PUT, &[&fields[..], b"x"].concat());
            assert_ne!(client.call(HEAD, &hash(b"x")).head().1, 0);
            stored
        };

    // Bodies.
    "put too large": small, Stored => 413 "body_too_large",
        |it| it.node.request("PUT", &path(&object(102_401)), &[], &object(102_401)),
        |it| oap_put(it, &object(102_401));
    "put too large in parts": small, Stored => 413 "body_too_large",
        |it| post(it, "/put", &[CHUNKED], &chunked(&object(102_401))),
        |it| oap_upload(it, &object(102_401));
    "put of the largest": small, Stored => 201 SUCCESS,
        |it| it.node.request("PUT", &path(&object(102_400)), &[], &object(102_400)),
        |it| oap_put(it, &object(102_400));
    "echo too large": small, Bytes => 413 "body_too_large",
        |it| post(it, "/echo", &[], &object(1001)), |it| call(it, ECHO, &object(1001));
    "echo too large in parts": small, Bytes => 413 "body_too_large",
        |it| post(it, "/echo", &[CHUNKED], &chunked(&object(1001))),
        |it| it.greet().upload(ECHO, b"", &object(1001));
    "bomb": usual, Stored => 413 "decompress_bound",
        |it| post(it, "/echo", &[ZSTD], &zstd(&[7; 1_000_000])),
        |it| compressed(it, ECHO, &zstd(&[7; 1_000_000]));
    "no zstd": usual, Stored => 400 "bad_encoding",
        |it| post(it, "/echo", &[ZSTD], b"plain"), |it| compressed(it, ECHO, b"plain");
    "body that stops": hasty, Bytes => 408 "body_timeout",
        |it| http_stopped(it, "/echo", ("content-length", "9")), |it| oap_stopped(it, ECHO, b"x");
    "upload that stops": hasty, Stored => 408 "body_timeout",
        |it| http_stopped(it, "/put", CHUNKED), |it| oap_stopped(it, PUT, &plain_put());

    // The node.
    "token": usual, Object => 401 "unauthenticated",
        |it| at(it, "GET", STORED, &[TOKEN]), |it| with_cap(it, GET, &get(&hash(STORED), 0, 0));
    "token for nothing": usual, Nothing => 404 "not_found",
        |it| it.node.get("/nowhere", &[TOKEN]), |it| with_cap(it, (2, 99), b"");
    "over the rate": strict, Bytes => 429 "rate_limited",
        |it| until_refused(|| post(it, "/echo", &[], b"x"), |it| it.status),
        |it| until_refused(|| call(it, ECHO, b"x"), Reply::status);
    "over the rate with everything taken": crowded_and_strict, Bytes => 429 "rate_limited",
        |it| post(it, "/echo", &[], b"x"), |it| call(it, ECHO, b"x");
    "token, over the rate": crowded_and_strict, Bytes => 401 "unauthenticated",
        |it| post(it, "/echo", &[TOKEN], b"x"), |it| with_cap(it, ECHO, b"x");
    "read with everything taken": crowded, Object => 503 "overloaded",
        |it| at(it, "GET", STORED, &[]), |it| call(it, GET, &get(&hash(STORED), 0, 0));
    "delete with everything taken": crowded, Nothing => 503 "overloaded",
        |it| at(it, "DELETE", STORED, &[]), |it| call(it, DELETE, &hash(STORED));
    "write with everything taken": crowded, Stored => 503 "overloaded",
        |it| http_put(it, &[], b"x"), |it| oap_put(it, b"x");
    "write beside the one writer": one_writer, Stored => 503 "overloaded",
        |it| http_put(it, &[], b"x"), |it| oap_put(it, b"x");
    "write in parts beside the one writer": one_writer, Stored => 503 "overloaded",
        |it| post(it, "/put", &[CHUNKED], &chunked(b"x")), |it| oap_upload(it, b"x");
    "read beside the one reader": one_reader, Object => 503 "overloaded",
        |it| at(it, "GET", STORED, &[]), |it| call(it, GET, &get(&hash(STORED), 0, 0));
    "has beside the one reader": one_reader, Has => 200 SUCCESS,
        |it| http_has(it, &[STORED]), |it| oap_has(it, &[STORED]);
    "write to a full node": full, Stored => 503 "degraded",
        |it| http_put(it, &[], b"x"), |it| oap_put(it, b"x");
    "write of too much to a full node": full, Stored => 503 "degraded",
        |it| post(it, "/put", &[], &object(1_100_000)), |it| oap_upload(it, &object(1_100_000));
    "read from a full node": full, Object => 200 SUCCESS,
        |it| at(it, "GET", STORED, &[]), |it| call(it, GET, &get(&hash(STORED), 0, 0));
    "echo of a full node": full, Bytes => 200 SUCCESS,
        |it| post(it, "/echo", &[], b"x"), |it| call(it, ECHO, b"x");
    "echo of an overfull node": overfull, Bytes => 503 "degraded",
        |it| post(it, "/echo", &[], b"x"), |it| call(it, ECHO, b"x");
    "has of an overfull node": overfull, Has => 503 "degraded",
        |it| http_has(it, &[STORED]), |it| oap_has(it, &[STORED]);
    "delete from an overfull node": overfull, Nothing => 204 SUCCESS,
        |it| at(it, "DELETE", STORED, &[]), |it| call(it, DELETE, &hash(STORED));
    "write to a node that ends": draining, Stored => 503 "draining",
        |it| http_put(it, &[], b"x"), |it| oap_put(it, b"x");
    "read from a node that ends": draining, Object => 200 SUCCESS,
        |it| at(it, "GET", STORED, &[]), |it| call(it, GET, &get(&hash(STORED), 0, 0));
    "read of what is damaged": damaged, Object => 502 "integrity_fail",
        |it| at(it, "GET", STORED, &[]), |it| call(it, GET, &get(&hash(STORED), 0, 0));
    "manifest of what is known to be damaged": quarantined, Bytes => 502 "integrity_fail",
        |it| it.node.get(&format!("{}/manifest", path(STORED)), &[]),
        |it| call(it, MANIFEST, &hash(STORED));
    "has of what is known to be damaged": quarantined, Has => 200 SUCCESS,
        |it| http_has(it, &[STORED]), |it| oap_has(it, &[STORED]);
    "put of what is known to be damaged": quarantined, Stored => 201 SUCCESS,
        |it| http_put(it, &[], STORED), |it| oap_put(it, STORED);
}

// --- HTTP --------------------------------------------------------------------------------------

fn http_put(world: &World, fields: &[(&str, &str)], body: &[u8]) -> Response {
    post(world, "/put", fields, body)
}

fn http_has(world: &World, objects: &[&[u8]]) -> Response {
    let addresses: Vec<String> = objects.iter().map(|bytes| address(bytes)).collect();
    let question = serde_json::to_vec(&addresses).unwrap();
    post(world, "/has", &[], &question)
}

/// A body of which one byte comes.
fn http_stopped(world: &World, path: &str, framing: (&str, &str)) -> Response {
    let mut connection = world.connect();
    connection.send_head("POST", path, &[framing]);
    connection.send(if framing == CHUNKED {
        b"1\r\nx\r\n"
    } else {
        b"x"
    });
    connection.response("POST")
}

fn chunked(body: &[u8]) -> Vec<u8> {
    crate::support::chunked(body, 30_000)
}

// --- OAP ---------------------------------------------------------------------------------------

fn oap_put(world: &World, body: &[u8]) -> Reply {
    call(world, PUT, &[&plain_put()[..], body].concat())
}

fn oap_upload(world: &World, body: &[u8]) -> Reply {
    world.greet().upload(PUT, &plain_put(), body)
}

fn oap_has(world: &World, objects: &[&[u8]]) -> Reply {
    let addresses: Vec<[u8; 32]> = objects.iter().map(|bytes| hash(bytes)).collect();
    call(world, HAS, addresses.as_flattened())
}

fn compressed(world: &World, operation: (u16, u16), payload: &[u8]) -> Reply {
    let mut client = world.greet();
    client.send_frame(&Frame::request(1, operation, WHOLE | COMP, payload));
    client.reply(1)
}

fn with_cap(world: &World, operation: (u16, u16), payload: &[u8]) -> Reply {
    let mut client = world.greet();
    let mut frame = Frame::request(1, operation, WHOLE, payload);
    frame.cap = b"of another node".to_vec();
    client.send_frame(&frame);
    client.reply(1)
}

/// A request of which nothing comes after `payload`.
fn oap_stopped(world: &World, operation: (u16, u16), payload: &[u8]) -> Reply {
    let mut client = world.greet();
    client.send_frame(&Frame::request(1, operation, START, payload));
    client.reply(1)
}

// --- Both --------------------------------------------------------------------------------------

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// Asks until the rate is used up, which the second request is likely to find.
fn until_refused<T>(ask: impl Fn() -> T, status: impl Fn(&T) -> u16) -> T {
    let answers = (0..20).map(|_| ask());
    answers
        .into_iter()
        .find(|answer| status(answer) == 429)
        .expect("a refusal")
}
