//! The hard limits: as a node of the default configuration tells them, and as it keeps them.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::result::{Level, LimitProbe};
use super::session::Session;
use crate::ask::http::Request;
use crate::ask::oap::{self, Connection};
use crate::clock;
use crate::failure::{Failure, io};
use crate::fetch;
use crate::node::Node;
use crate::sample::Metrics;

/// What is asked beyond a cap: what came in words, and whether it is as it should be.
type Probe = fn(&Session<'_>, &Node) -> Result<(String, bool), Failure>;

/// Each key, what it is by default, and how it is probed where that is quick.
const LIMITS: &[(&str, &str, Option<Probe>)] = &[
    ("limits.request_deadline", "5s", None),
    ("limits.one_shot_deadline", "5s", Some(late_body)),
    ("limits.in_flight", "512", Some(in_flight)),
    ("limits.one_shot_body", "1MiB", Some(oversize)),
    ("limits.decompress_ratio", "10", Some(bomb)),
    // Last, as it leaves nothing of the rate to the others.
    ("limits.rps", "500", Some(burst)),
];

// The numbers themselves, and not what the node is built with: that they are the same is the point.
const IN_FLIGHT: usize = 512;
const ONE_SHOT_BYTES: usize = 1 << 20;
const RPS: f64 = 500.0;
/// What may come at once is a tenth of a second's worth.
const AT_ONCE: f64 = 50.0;

/// Open streams of one OAP connection.
const OAP_STREAMS: usize = 64;

/// Requests that are sent at once to see the rate held: more than come in while they are read.
const BURST: usize = 400;
/// Until the node counts all that is in flight.
const WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks a node what its limits are, and probes them.
pub(super) fn measure(session: &Session<'_>) -> Result<Vec<LimitProbe>, Failure> {
    let node = session.node(&[])?;
    let admin = node.admin;
    let admin = admin.ok_or_else(|| Failure::wrong("the node has no admin plane"))?;
    let (_, body) = fetch::get(admin, "/version").map_err(io("/version"))?;
    let version: Value = serde_json::from_slice(&body).unwrap_or_default();
    session.progress.begin("hard limits", LIMITS.len() as u64);
    let mut probes = Vec::with_capacity(LIMITS.len());
    for (index, (key, expected, probe)) in LIMITS.iter().enumerate() {
        session.progress.at(index as u64);
        let stated = version["limits"][key].as_str().map(ToOwned::to_owned);
        let probed = probe.map(|probe| probe(session, &node)).transpose()?;
        let is_stated = stated.as_deref() == Some(expected);
        probes.push(LimitProbe {
            key: (*key).to_owned(),
            expected: (*expected).to_owned(),
            stated_number: stated.as_deref().and_then(number),
            stated,
            holds: is_stated && probed.as_ref().is_none_or(|(_, holds)| *holds),
            probe: probed.map(|(came, _)| came),
        });
    }
    Ok(probes)
}

/// Seconds of a duration, bytes of a size, or a count.
fn number(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: f64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "" | "B" | "s" => 1.0,
        "ms" => 1e-3,
        "m" => 60.0,
        "h" => 3600.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * unit)
}

fn oversize(_: &Session<'_>, node: &Node) -> Result<(String, bool), Failure> {
    let body = vec![0; ONE_SHOT_BYTES + 1];
    let answer = Request {
        method: "POST",
        path: "/put",
        fields: &[],
        body: &body,
    };
    let answer = answer.ask(node.http()?, node.token.as_deref());
    let answer = answer.map_err(io("a body beyond the cap"))?;
    let holds = answer.is_problem(413, "body_too_large");
    Ok((format!("1 MiB and a byte: {}", answer.told()), holds))
}

/// Half a MiB of zeros in a few bytes of zstd.
fn bomb(_: &Session<'_>, node: &Node) -> Result<(String, bool), Failure> {
    let body = zeros();
    let answer = Request {
        method: "POST",
        path: "/put",
        fields: &[("Content-Encoding", "zstd")],
        body: &body,
    };
    let answer = answer.ask(node.http()?, node.token.as_deref());
    let answer = answer.map_err(io("a decompression bomb"))?;
    let holds = answer.is_problem(413, "decompress_bound");
    let bytes = body.len();
    Ok((
        format!("512 KiB in {bytes} bytes of zstd: {}", answer.told()),
        holds,
    ))
}

/// A frame of zstd (RFC 8878) that says four times that a byte is repeated 128 Ki times.
fn zeros() -> Vec<u8> {
    const BLOCK: u32 = 128 * 1024;
    const BLOCKS: u32 = 4;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    // One segment, its size in four bytes.
    frame.push(0b1010_0000);
    frame.extend((BLOCK * BLOCKS).to_le_bytes());
    for block in 1..=BLOCKS {
        const REPEATED: u32 = 1 << 1;
        let is_last = u32::from(block == BLOCKS);
        let header = BLOCK << 3 | REPEATED | is_last;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Requests that come at once: as many are taken as the rate's burst and the time allow.
fn burst(_: &Session<'_>, node: &Node) -> Result<(String, bool), Failure> {
    let address = node.http()?;
    let (began, (taken, refused, other)) =
        (clock::now(), pipelined(address).map_err(io("a burst"))?);
    let seconds = (clock::now() - began).as_secs_f64();
    let most = AT_ONCE + RPS * seconds + 1.0;
    let holds = refused > 0 && other == 0 && taken as f64 <= most;
    let ms = seconds * 1e3;
    Ok((
        format!(
            "{BURST} at once, answered in {ms:.0} ms: {taken} taken, {refused} refused with 429, {other} otherwise"
        ),
        holds,
    ))
}

fn pipelined(address: SocketAddr) -> std::io::Result<(usize, usize, usize)> {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    let request = format!("HEAD /openapi.json HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let last =
        format!("HEAD /openapi.json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all((request.repeat(BURST - 1) + &last).as_bytes())?;
    let (mut taken, mut refused, mut other) = (0, 0, 0);
    // An answer to HEAD has no body, so that all lines are of heads.
    for line in BufReader::new(stream.take(4 << 20)).lines() {
        match line?.strip_prefix("HTTP/1.1 ").map(|it| it.get(..3)) {
            Some(Some("200")) => taken += 1,
            Some(Some("429")) => refused += 1,
            Some(_) => other += 1,
            None => {}
        }
    }
    other += BURST - taken - refused - other;
    Ok((taken, refused, other))
}

/// As many requests as may be in flight, none of them complete, and one more.
fn in_flight(session: &Session<'_>, _: &Node) -> Result<(String, bool), Failure> {
    let node = session.node(&["--rps=0"])?;
    let oap = node.oap()?;
    let open = || Connection::open(oap, node.token.as_deref()).map(|(connection, _)| connection);
    let mut connections = Vec::new();
    let mut begun = 0;
    while begun < IN_FLIGHT {
        let mut connection = open().map_err(io("a connection"))?;
        for _ in 0..OAP_STREAMS.min(IN_FLIGHT - begun) {
            connection.begin(oap::ECHO).map_err(io("a request"))?;
            begun += 1;
        }
        connections.push(connection);
    }
    let until = clock::now() + WITHIN;
    let mut seen = 0.0;
    while clock::now() < until {
        seen = counted(&node)?;
        if seen >= IN_FLIGHT as f64 {
            break;
        }
        sleep(LOOK_EVERY);
    }
    let mut last = open().map_err(io("a connection"))?;
    let answer = last.call(oap::ECHO, b"x").map_err(io("a request"))?;
    let holds = seen == IN_FLIGHT as f64 && answer.is_problem(503, "overloaded");
    Ok((
        format!("with {seen} in flight, one more: {}", answer.told()),
        holds,
    ))
}

/// Requests in flight, over all routes.
fn counted(node: &Node) -> Result<f64, Failure> {
    let Some(admin) = node.admin else {
        return Ok(0.0);
    };
    let metrics = Metrics::scrape(admin).map_err(io("the node's metrics"))?;
    let of_routes = metrics.0.iter();
    let of_routes = of_routes.filter(|(name, _)| name.starts_with("inflight_requests"));
    Ok(of_routes.fold(0.0, |sum, (_, value)| sum + value))
}

/// A body that does not come, in a full suite: it takes the five seconds that it is about.
fn late_body(session: &Session<'_>, node: &Node) -> Result<(String, bool), Failure> {
    use std::io::{Read, Write};
    if session.level == Level::Quick {
        return Ok(("not asked for in a quick suite".to_owned(), true));
    }
    let address = node.http()?;
    let began = clock::now();
    let asked = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        let head =
            format!("POST /put HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\n\r\nhalf");
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.take(64 * 1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(io("a late body"))?;
    let seconds = (clock::now() - began).as_secs_f64();
    let status = answer.lines().next().unwrap_or("nothing").to_owned();
    // On a busy machine it may be told a little late, and never early.
    let in_time = (4.9..7.0).contains(&seconds);
    let holds = in_time && status.contains(" 408 ") && answer.contains("body_timeout");
    Ok((
        format!("half a body: after {seconds:.1} s, {status}"),
        holds,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stated_limits_are_numbers() {
        for (text, expected) in [
            ("5s", Some(5.0)),
            ("500ms", Some(0.5)),
            ("1m", Some(60.0)),
            ("512", Some(512.0)),
            ("1MiB", Some(1_048_576.0)),
            ("64KiB", Some(65_536.0)),
            ("auto", None),
            ("", None),
            ("5 parsecs", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
