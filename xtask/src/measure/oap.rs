//! `cargo xtask measure oap`: 1 KiB reads per second over one OAP connection with 64 requests in
//! flight, beside one keep-alive connection of HTTP/1.1, with one request at a time and with 64
//! pipelined.
//!
//! One client thread with blocking sockets drives each, so that what differs is the protocol.
//! They take turns within a run, and ratios are formed within it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::frames::{HEADER_BYTES, answer, connect, frame, greet, some};
use super::{Failure, Node, head, now, release_binary, row, runs};
use crate::io;

/// Runs unless told otherwise.
const RUNS: usize = 5;
/// Of either protocol in one run.
const TIME: Duration = Duration::from_secs(2);
/// What a node allows on one connection.
const IN_FLIGHT: u64 = 64;
const OBJECT_BYTES: usize = 1024;
/// Clock ticks per second of `/proc` on every Linux of today.
pub(super) const TICKS: f64 = 100.0;

/// What a protocol has done in its time.
struct Done {
    per_second: f64,
    cpu_us_per_request: f64,
}

/// Builds the release binary, starts it, and prints a table.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    let node = Node::start(&binary, &["--rps", "0"])?;
    let (http, oap) = (node.address("http")?, node.address("oap")?);
    let address = store(oap)?;
    let mut table = [const { Vec::new() }; 9];
    for _ in 0..runs {
        let one = timed(&node, || read_over_http(http, &address, 1))?;
        let many = timed(&node, || read_over_http(http, &address, IN_FLIGHT))?;
        let oap = timed(&node, || read_over_oap(oap, &address))?;
        for (column, value) in table.iter_mut().zip([
            one.per_second,
            many.per_second,
            oap.per_second,
            oap.per_second / one.per_second,
            oap.per_second / many.per_second,
            one.cpu_us_per_request,
            many.cpu_us_per_request,
            oap.cpu_us_per_request,
            oap.cpu_us_per_request / many.cpu_us_per_request,
        ]) {
            column.push(value);
        }
    }
    head(runs);
    for (name, column) in [
        "HTTP/1.1, requests/s",
        "HTTP/1.1 pipelined, requests/s",
        "OAP, requests/s",
        "OAP : HTTP/1.1",
        "OAP : HTTP/1.1 pipelined",
        "HTTP/1.1, node CPU µs/request",
        "HTTP/1.1 pipelined, CPU µs/request",
        "OAP, node CPU µs/request",
        "OAP : HTTP/1.1 pipelined, CPU",
    ]
    .into_iter()
    .zip(&mut table)
    {
        row(name, column);
    }
    Ok(())
}

fn timed(node: &Node, read: impl FnOnce() -> std::io::Result<u64>) -> Result<Done, Failure> {
    let (started, before) = (now(), node.cpu_ticks()?);
    let requests = read().map_err(io("reading from the node"))? as f64;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = (node.cpu_ticks()? - before) as f64 / TICKS;
    Ok(Done {
        per_second: requests / seconds,
        cpu_us_per_request: cpu_seconds * 1e6 / requests,
    })
}

/// Stores the object that is read, and returns its address.
fn store(oap: SocketAddr) -> Result<[u8; 32], Failure> {
    let object: Vec<u8> = (0..OBJECT_BYTES).map(|index| (index % 251) as u8).collect();
    // No expected address, no time to live, no media type.
    let payload = [&[0; 42][..], &object].concat();
    let stored = greet(oap).and_then(|mut stream| {
        stream.write_all(&frame(2, 2, 1, &payload))?;
        answer(&mut stream)
    });
    match stored.map_err(io("storing an object"))? {
        (200 | 201, reply) if reply.len() == 41 => {
            Ok(reply[..32].try_into().expect("at least 32 bytes"))
        }
        (status, _) => Err(Failure::Wrong(format!("storing an object: {status}"))),
    }
}

/// Keeps [`IN_FLIGHT`] requests in flight; returns how many were answered.
fn read_over_oap(oap: SocketAddr, address: &[u8; 32]) -> std::io::Result<u64> {
    let mut stream = greet(oap)?;
    let payload = [&address[..], &[0; 16]].concat();
    let request = |corr_id| frame(2, 1, corr_id, &payload);
    let first: Vec<u8> = (1..=IN_FLIGHT).flat_map(request).collect();
    stream.write_all(&first)?;
    let (mut sent, mut answered) = (IN_FLIGHT, 0);
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    let mut more = Vec::new();
    let deadline = now() + TIME;
    while answered < sent {
        filled += some(stream.read(&mut buffer[filled..])?)?;
        let goes_on = now() < deadline;
        let mut at = 0;
        more.clear();
        while let Some(header) = buffer[at..filled].first_chunk::<HEADER_BYTES>() {
            let len = u32::from_be_bytes(header[..4].try_into().expect("four bytes")) as usize;
            if filled - at < len {
                break;
            }
            if header[8..10] != 200_u16.to_be_bytes() || len < OBJECT_BYTES {
                return Err(std::io::Error::other("not the object"));
            }
            at += len;
            answered += 1;
            if goes_on {
                sent += 1;
                more.extend(request(sent));
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        stream.write_all(&more)?;
    }
    Ok(answered)
}

/// Keeps `in_flight` requests on their way, one behind the other; returns how many were answered.
fn read_over_http(http: SocketAddr, address: &[u8; 32], in_flight: u64) -> std::io::Result<u64> {
    let digits: String = address.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = format!("GET /o/b3:{digits} HTTP/1.1\r\nHost: {http}\r\n\r\n");
    let mut stream = connect(http)?;
    let mut buffer = vec![0; 1 << 20];
    stream.write_all(request.as_bytes())?;
    let mut filled = 0;
    // The first answer tells how long they all are.
    let len = loop {
        filled += some(stream.read(&mut buffer[filled..])?)?;
        let mut fours = buffer[..filled].windows(4);
        if let Some(end) = fours.position(|four| four == b"\r\n\r\n")
            && filled == end + 4 + OBJECT_BYTES
        {
            break filled;
        }
    };
    stream.write_all(
        request
            .repeat(usize::try_from(in_flight).expect("few"))
            .as_bytes(),
    )?;
    let (mut sent, mut answered) = (in_flight, 0);
    let deadline = now() + TIME;
    filled = 0;
    while answered < sent {
        filled += some(stream.read(&mut buffer[filled..])?)?;
        let whole = filled / len;
        let answers = buffer[..whole * len].chunks_exact(len);
        if !answers
            .into_iter()
            .all(|answer| answer.starts_with(b"HTTP/1.1 200 "))
        {
            return Err(std::io::Error::other("not the object"));
        }
        buffer.copy_within(whole * len..filled, 0);
        filled -= whole * len;
        answered += whole as u64;
        if now() < deadline {
            sent += whole as u64;
            stream.write_all(request.repeat(whole).as_bytes())?;
        }
    }
    Ok(answered)
}
