//! The same path over OAP: through the SDK, and frame by frame what the SDK has no call for.

use std::time::Duration;

use bytes::Bytes;
use micronode_client::{
    ByteRange, Error, Expected, Key, PutOptions, ReceiveOptions, SendOptions, Verdict,
};

use super::walk::{Broken, Step};
use super::world::{RANGE, World};
use crate::ask::oap::{self, Connection};

/// All steps, each upon the one before.
pub(super) const STEPS: &[Step] = &[
    ("oap hello", hello),
    ("oap ping", ping),
    ("oap put", put),
    ("oap has", has),
    ("oap get", get),
    ("oap head", head),
    ("oap range", range),
    ("oap name set", name_set),
    ("oap name get", name_get),
    ("oap name read", name_read),
    ("oap send", send),
    ("oap recv", receive),
    ("oap ack", ack),
    ("oap echo", echo),
    ("oap oversize", oversize),
    ("oap oversize frame", oversize_frame),
    ("oap name delete", name_delete),
    ("oap delete", delete),
    ("oap gone", gone),
];

const MESSAGE: &[u8] = b"a message over OAP";

/// A connection of this step's own, for what the SDK has no call for.
fn connect(world: &World<'_>) -> Result<(Connection, oap::Answer), Broken> {
    let address = world
        .node
        .oap
        .ok_or_else(|| Broken::new("an OAP listener", "none"))?;
    let opened = Connection::open(address, world.node.token.as_deref());
    opened.map_err(|error| Broken::new("an answer to HELLO", error))
}

fn wire(error: std::io::Error) -> Broken {
    Broken::new("an answer", error)
}

fn hello(world: &mut World<'_>) -> Result<(), Broken> {
    let (_, welcome) = connect(world)?;
    let document = welcome.document();
    let is_it =
        welcome.status == 200 && document["max_frame"] == 1 << 20 && document["versions"][0] == 1;
    if !is_it {
        let came = format!("{} {document}", welcome.status);
        return Err(Broken::new("200, version 1 and frames of 1 MiB", came));
    }
    let address = world
        .node
        .oap
        .ok_or_else(|| Broken::new("an OAP listener", "none"))?;
    world.client = Some(world.sdk("oap", address)?);
    Ok(())
}

fn ping(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = connect(world)?.0.call(oap::PING, b"").map_err(wire)?;
    expect(&answer, 200)
}

fn expect(answer: &oap::Answer, status: u16) -> Result<(), Broken> {
    (answer.status == status)
        .then_some(())
        .ok_or_else(|| Broken::new(status, answer.told()))
}

fn expect_problem(answer: &oap::Answer, status: u16, code: &str) -> Result<(), Broken> {
    answer
        .is_problem(status, code)
        .then_some(())
        .ok_or_else(|| Broken::new(format!("{status} {code}"), answer.told()))
}

fn put(world: &mut World<'_>) -> Result<(), Broken> {
    let bytes = Bytes::from(world.oap_object.bytes.clone());
    let options = PutOptions {
        content_type: Some("application/x-smoke".to_owned()),
        ..PutOptions::default()
    };
    let stored = world.over_oap("the object being stored", async |client| {
        client.put_bytes(bytes, &options).await
    })?;
    let is_it = stored.address == world.oap_object.address && !stored.existed;
    is_it.then_some(()).ok_or_else(|| {
        let expected = format!("{} stored anew", world.oap_object.address);
        Broken::new(expected, format!("{stored:?}"))
    })
}

fn has(world: &mut World<'_>) -> Result<(), Broken> {
    let mut absent = *world.oap_object.address.as_bytes();
    absent[0] ^= 1;
    let asked = [
        world.oap_object.address,
        micronode_protocol::Address::from_bytes(absent),
    ];
    let came = world.over_oap("[true, false]", async |client| client.has(&asked).await)?;
    (came == [true, false])
        .then_some(())
        .ok_or_else(|| Broken::new("[true, false]", format!("{came:?}")))
}

fn get(world: &mut World<'_>) -> Result<(), Broken> {
    let (address, limit) = (world.oap_object.address, world.oap_object.bytes.len());
    let bytes = world.over_oap("the object, verified by the SDK", async |client| {
        client.get(&address).await?.bytes(limit).await
    })?;
    world.oap_object.expect(&bytes)
}

fn head(world: &mut World<'_>) -> Result<(), Broken> {
    let address = world.oap_object.address;
    let expected = "size and media type of the object";
    let info = world.over_oap(expected, async |client| client.head(&address).await)?;
    let is_it = info.size == world.oap_object.bytes.len() as u64
        && info.content_type.as_deref() == Some("application/x-smoke");
    is_it
        .then_some(())
        .ok_or_else(|| Broken::new(expected, format!("{info:?}")))
}

fn range(world: &mut World<'_>) -> Result<(), Broken> {
    let address = world.oap_object.address;
    let range = ByteRange::Between(RANGE.start as u64, RANGE.end as u64 - 1);
    let bytes = world.over_oap("a part of the object", async |client| {
        let part = client.get_range(&address, range).await?;
        part.bytes(RANGE.len()).await
    })?;
    world.oap_object.expect_part(RANGE, &bytes)
}

fn name_set(world: &mut World<'_>) -> Result<(), Broken> {
    let (name, address) = (world.name("oap"), world.oap_object.address);
    world.over_oap("a revision", async |client| {
        client.set_name(&name, &address, Expected::Absent).await
    })?;
    Ok(())
}

fn name_get(world: &mut World<'_>) -> Result<(), Broken> {
    let (name, limit) = (world.name("oap"), world.oap_object.bytes.len());
    let bytes = world.over_oap("the object, by its name", async |client| {
        client.get_name(&name).await?.bytes(limit).await
    })?;
    world.oap_object.expect(&bytes)
}

/// Index and storage in one request, which the SDK makes of two.
fn name_read(world: &mut World<'_>) -> Result<(), Broken> {
    let (offset, length) = (RANGE.start as u64, RANGE.len() as u64);
    let part = [offset.to_be_bytes(), length.to_be_bytes()].concat();
    let payload = [&oap::str16(&world.name("oap"))[..], &part].concat();
    let (mut connection, _) = connect(world)?;
    let answer = connection.call(oap::NAME_READ, &payload).map_err(wire)?;
    expect(&answer, 206)?;
    let address = answer.payload.get(..32).unwrap_or_default();
    if address != world.oap_object.address.as_bytes() {
        let came = format!("{address:02x?}");
        return Err(Broken::new(world.oap_object.address, came));
    }
    // Address, revision, size, offset and expiry, then the media type behind its length.
    const FIELDS: usize = 32 + 8 + 8 + 8 + 8;
    let media_type = answer.payload.get(FIELDS..FIELDS + 2).unwrap_or(&[0, 0]);
    let begins = FIELDS + 2 + usize::from(u16::from_be_bytes([media_type[0], media_type[1]]));
    let bytes = answer.payload.get(begins..).unwrap_or_default();
    world.oap_object.expect_part(RANGE, bytes)
}

fn send(world: &mut World<'_>) -> Result<(), Broken> {
    let queue = world.queue("oap");
    let options = SendOptions {
        key: Key::None,
        delay: None,
    };
    let sent = world.over_oap("a message being sent", async |client| {
        client
            .send(&queue, Bytes::from_static(MESSAGE), &options)
            .await
    })?;
    (!sent.duplicate)
        .then_some(())
        .ok_or_else(|| Broken::new("an id that is no duplicate's", format!("{sent:?}")))
}

fn receive(world: &mut World<'_>) -> Result<(), Broken> {
    let queue = world.queue("oap");
    let options = ReceiveOptions {
        wait: Duration::from_secs(2),
        ..ReceiveOptions::default()
    };
    let messages = world.over_oap("the message", async |client| {
        client.receive(&queue, &options).await
    })?;
    match &messages[..] {
        [message] if message.body == MESSAGE && message.attempt == 1 => {
            world.receipt.clone_from(&message.receipt);
            Ok(())
        }
        _ => {
            let bodies: Vec<_> = messages.iter().map(|it| &it.body).collect();
            let expected = String::from_utf8_lossy(MESSAGE);
            Err(Broken::new(format!("{expected:?}"), format!("{bodies:?}")))
        }
    }
}

fn ack(world: &mut World<'_>) -> Result<(), Broken> {
    let (queue, receipt) = (world.queue("oap"), world.receipt.clone());
    let verdicts = world.over_oap("ok for the receipt", async |client| {
        client.ack(&queue, &[&receipt]).await
    })?;
    if verdicts != [Verdict::Ok] {
        return Err(Broken::new("ok for the receipt", format!("{verdicts:?}")));
    }
    let queue = world.queue("oap");
    let stats = world.over_oap("the queue's counts", async |client| {
        client.queue_stats(&queue).await
    })?;
    (stats.ready == 0 && stats.leased == 0)
        .then_some(())
        .ok_or_else(|| Broken::new("an empty queue", format!("{stats:?}")))
}

fn echo(world: &mut World<'_>) -> Result<(), Broken> {
    let (mut connection, _) = connect(world)?;
    let answer = connection.stream(oap::ECHO, &world.oap_object.bytes);
    let answer = answer.map_err(wire)?;
    expect(&answer, 200)?;
    world.oap_object.expect(&answer.payload)
}

fn oversize(world: &mut World<'_>) -> Result<(), Broken> {
    let body = vec![0; micronode_protocol::limits::ONE_SHOT_BYTES + 1];
    let (mut connection, _) = connect(world)?;
    let answer = connection.stream(oap::ECHO, &body).map_err(wire)?;
    expect_problem(&answer, 413, "body_too_large")
}

fn oversize_frame(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = connect(world)?.0.oversized().map_err(wire)?;
    expect_problem(&answer, 413, "frame_oversize")
}

fn name_delete(world: &mut World<'_>) -> Result<(), Broken> {
    let (name, address) = (world.name("oap"), world.oap_object.address);
    refused(world, 409, async |client| client.delete(&address).await)?;
    world.over_oap("the name being removed", async |client| {
        client.remove_name(&name, None).await
    })
}

fn delete(world: &mut World<'_>) -> Result<(), Broken> {
    let address = world.oap_object.address;
    world.over_oap("the object being deleted", async |client| {
        client.delete(&address).await
    })
}

fn gone(world: &mut World<'_>) -> Result<(), Broken> {
    let address = world.oap_object.address;
    refused(world, 404, async |client| {
        client.head(&address).await.map(drop)
    })
}

/// Checks that the node refuses with this status.
fn refused<F>(
    world: &World<'_>,
    status: u16,
    call: impl FnOnce(micronode_client::Client) -> F,
) -> Result<(), Broken>
where
    F: Future<Output = Result<(), Error>>,
{
    let came = world.over_oap("", async |client| {
        Ok(match call(client).await {
            Ok(()) => "done".to_owned(),
            Err(error) if error.status() == Some(status) => String::new(),
            Err(error) => error.to_string(),
        })
    })?;
    came.is_empty()
        .then_some(())
        .ok_or_else(|| Broken::new(status, came))
}
