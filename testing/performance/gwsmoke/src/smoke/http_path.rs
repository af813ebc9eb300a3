//! The path over HTTP: storage, index, mailbox, and what is refused.

use serde_json::json;

use super::walk::{Broken, Step};
use super::world::{RANGE, World};
use crate::ask::http::Answer;

/// All steps, each upon the one before.
pub(super) const STEPS: &[Step] = &[
    ("http put", put),
    ("http put again", put_again),
    ("http has", has),
    ("http get", get),
    ("http head", head),
    ("http range", range),
    ("http name set", name_set),
    ("http name get", name_get),
    ("http name head", name_head),
    ("http name range", name_range),
    ("http sdk", sdk),
    ("http send", send),
    ("http recv", receive),
    ("http ack", ack),
    ("http queue empty", queue_is_empty),
    ("http echo", echo),
    ("http oversize", oversize),
    ("http streamed", streamed),
    ("http name delete", name_delete),
    ("http delete", delete),
    ("http gone", gone),
];

const MESSAGE: &[u8] = b"a message over HTTP";
/// The cap of a one-shot body, which no configuration may raise.
const ONE_SHOT_BYTES: usize = micronode_protocol::limits::ONE_SHOT_BYTES;

fn path(world: &World<'_>) -> String {
    format!("/o/{}", world.http_object.address)
}

fn named(world: &World<'_>) -> String {
    format!("/n/{}", world.name("http"))
}

fn queue(world: &World<'_>, verb: &str) -> String {
    format!("/mbox/{}{verb}", world.queue("http"))
}

fn put(world: &mut World<'_>) -> Result<(), Broken> {
    let fields = [("Content-Type", "application/x-smoke")];
    let answer = world.ask("POST", "/put", &fields, &world.http_object.bytes)?;
    stored(world, &answer.expect(201)?)
}

fn put_again(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("PUT", &path(world), &[], &world.http_object.bytes)?;
    stored(world, &answer.expect(200)?)
}

fn stored(world: &World<'_>, answer: &Answer) -> Result<(), Broken> {
    let expected = json!({
        "address": world.http_object.address.to_string(),
        "size": world.http_object.bytes.len(),
    });
    let came = answer.json()?;
    (came == expected)
        .then_some(())
        .ok_or_else(|| Broken::new(expected, came))
}

fn has(world: &mut World<'_>) -> Result<(), Broken> {
    let absent = world.oap_object.address.to_string();
    let asked = json!([world.http_object.address.to_string(), absent]).to_string();
    let answer = world.ask("POST", "/has", &[], asked.as_bytes())?;
    let came = answer.expect(200)?.json()?;
    (came == json!([true, false]))
        .then_some(())
        .ok_or_else(|| Broken::new("[true,false]", came))
}

fn get(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("GET", &path(world), &[], b"")?.expect(200)?;
    answer.expect_field("etag", &format!("\"{}\"", world.http_object.address))?;
    answer.expect_field("content-type", "application/x-smoke")?;
    world.http_object.expect(&answer.body)
}

fn head(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("HEAD", &path(world), &[], b"")?.expect(200)?;
    let length = world.http_object.bytes.len().to_string();
    answer.expect_field("content-length", &length)?;
    answer.expect_field("etag", &format!("\"{}\"", world.http_object.address))
}

fn range(world: &mut World<'_>) -> Result<(), Broken> {
    part(world, &path(world))
}

fn part(world: &World<'_>, path: &str) -> Result<(), Broken> {
    let (first, last) = (RANGE.start, RANGE.end - 1);
    let fields = [("Range", &*format!("bytes={first}-{last}"))];
    let answer = world.ask("GET", path, &fields, b"")?.expect(206)?;
    let size = world.http_object.bytes.len();
    answer.expect_field("content-range", &format!("bytes {first}-{last}/{size}"))?;
    world.http_object.expect_part(RANGE, &answer.body)
}

fn name_set(world: &mut World<'_>) -> Result<(), Broken> {
    let body = json!({"address": world.http_object.address.to_string()}).to_string();
    let fields = [("If-None-Match", "*")];
    let answer = world.ask("PUT", &named(world), &fields, body.as_bytes())?;
    let came = answer.expect(201)?.json()?;
    let is_it = came["name"] == world.name("http")
        && came["address"] == world.http_object.address.to_string()
        && came["revision"].is_u64();
    is_it
        .then_some(())
        .ok_or_else(|| Broken::new("the name, its address and a revision", came))
}

fn name_get(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("GET", &named(world), &[], b"")?.expect(200)?;
    answer.expect_field("content-location", &path(world))?;
    world.http_object.expect(&answer.body)
}

fn name_head(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("HEAD", &named(world), &[], b"")?.expect(200)?;
    answer.expect_field("content-location", &path(world))?;
    let length = world.http_object.bytes.len().to_string();
    answer.expect_field("content-length", &length)
}

fn name_range(world: &mut World<'_>) -> Result<(), Broken> {
    part(world, &named(world))
}

/// The SDK reads what was stored by hand, and verifies it as it always does.
fn sdk(world: &mut World<'_>) -> Result<(), Broken> {
    let client = world.sdk("http", world.http)?;
    let address = world.http_object.address;
    let limit = world.http_object.bytes.len();
    let bytes = world.wait("the object, verified by the SDK", async {
        client.get(&address).await?.bytes(limit).await
    })?;
    world.http_object.expect(&bytes)
}

fn send(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("POST", &queue(world, "/send"), &[], MESSAGE)?;
    let came = answer.expect(201)?.json()?;
    (came["duplicate"] == false && came["id"].is_string())
        .then_some(())
        .ok_or_else(|| Broken::new("an id that is no duplicate's", came))
}

fn receive(world: &mut World<'_>) -> Result<(), Broken> {
    let fields = [("Accept", "application/octet-stream")];
    let answer = world.ask("POST", &queue(world, "/recv?wait=2s"), &fields, b"")?;
    let answer = answer.expect(200)?;
    if answer.body != MESSAGE {
        let came = String::from_utf8_lossy(&answer.body);
        let expected = String::from_utf8_lossy(MESSAGE);
        return Err(Broken::new(format!("{expected:?}"), format!("{came:?}")));
    }
    answer.expect_field("attempt", "1")?;
    let receipt = answer.field("receipt");
    world.receipt = receipt
        .ok_or_else(|| Broken::new("a receipt", "none"))?
        .to_owned();
    Ok(())
}

fn ack(world: &mut World<'_>) -> Result<(), Broken> {
    let body = json!({"receipts": [world.receipt]}).to_string();
    let answer = world.ask("POST", &queue(world, "/ack"), &[], body.as_bytes())?;
    let came = answer.expect(200)?.json()?;
    (came["results"][0]["code"] == "ok")
        .then_some(())
        .ok_or_else(|| Broken::new("ok for the receipt", came))
}

fn queue_is_empty(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("GET", &queue(world, ""), &[], b"")?;
    let came = answer.expect(200)?.json()?;
    let expected = json!({"ready": 0, "leased": 0, "delayed": 0, "dead": 0, "bytes": 0});
    (came == expected)
        .then_some(())
        .ok_or_else(|| Broken::new(expected, came))
}

fn echo(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("POST", "/echo", &[], &world.http_object.bytes)?;
    world.http_object.expect(&answer.expect(200)?.body)
}

fn oversize(world: &mut World<'_>) -> Result<(), Broken> {
    let body = vec![0; ONE_SHOT_BYTES + 1];
    let answer = world.ask("POST", "/put", &[], &body)?;
    answer.expect_problem(413, "body_too_large")
}

/// What is too large for one shot is taken as a stream.
fn streamed(world: &mut World<'_>) -> Result<(), Broken> {
    let mut body = world.http_object.bytes.clone();
    body.resize(ONE_SHOT_BYTES + 1, 0);
    let path = format!("/o/{}", micronode_protocol::Address::of(&body));
    world.ask("PUT", &path, &[], &body)?.expect(201)?;
    world.ask("DELETE", &path, &[], b"")?.expect(204)?;
    Ok(())
}

fn name_delete(world: &mut World<'_>) -> Result<(), Broken> {
    let refused = world.ask("DELETE", &path(world), &[], b"")?;
    refused.expect_problem(409, "pinned")?;
    world.ask("DELETE", &named(world), &[], b"")?.expect(204)?;
    Ok(())
}

fn delete(world: &mut World<'_>) -> Result<(), Broken> {
    world.ask("DELETE", &path(world), &[], b"")?.expect(204)?;
    Ok(())
}

fn gone(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask("GET", &path(world), &[], b"")?;
    answer.expect_problem(404, "not_found")
}
