//! `cargo xtask measure waiting`: what ten thousand parked receivers cost a node, and how soon a
//! message is with the one that it wakes.
//!
//! They are parked on 160 connections: once as subscriptions with a credit of one, which ask for
//! nothing until a message comes, and once as long-polls of four seconds, the longest there are,
//! which are asked for again when their time is over. A thread of blocking sockets reads each
//! connection; only the node's CPU time is counted.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::frames::{Frames, frame, greet, pong, receipt, str16};
use super::oap::TICKS;
use super::{Failure, Node, head, now, release_binary, row, runs};
use crate::io;

/// Runs unless told otherwise: one takes more than a minute.
const RUNS: usize = 1;
const RECEIVERS: usize = 10_000;
const CONNECTIONS: usize = 160;
/// Of a node that does nothing but hold them.
const PARKED: Duration = Duration::from_secs(30);
/// From the last one's request to the first look at the CPU time.
const SETTLE: Duration = Duration::from_secs(2);
/// Single sends, each behind the delivery of the one before.
const SENDS: usize = 1_000;
/// The longest that a message may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// After the last send, for a delivery that nobody sent.
const AFTERWARDS: Duration = Duration::from_millis(500);
const QUEUE: &str = "measured";
const WAIT_MS: u32 = 4_000;
const VISIBILITY_MS: u32 = 60_000;
/// Most of the metrics page.
const PAGE_BYTES: u64 = 1 << 20;

const MAILBOX: u16 = 4;
const SEND: u16 = 1;
const RECEIVE: u16 = 2;
const ACK: u16 = 3;
const SUBSCRIBE: u16 = 7;

#[derive(Clone, Copy)]
enum Kind {
    Subscriptions,
    LongPolls,
}

/// Builds the release binary, starts it, and prints a table for each kind.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    for (name, kind) in [
        ("subscriptions", Kind::Subscriptions),
        ("long-polls, asked for again every 4 s", Kind::LongPolls),
    ] {
        let mut table = [const { Vec::new() }; 5];
        for _ in 0..runs {
            for (column, value) in table.iter_mut().zip(measure(&binary, kind)?) {
                column.push(value);
            }
        }
        println!("{RECEIVERS} receivers on {CONNECTIONS} connections: {name}");
        head(runs);
        for (name, column) in [
            "node CPU while parked, % of a core",
            "requests in flight",
            "memory, bytes per receiver",
            "send to delivery, p50, ms",
            "send to delivery, p99, ms",
        ]
        .into_iter()
        .zip(&mut table)
        {
            row(name, column);
        }
    }
    Ok(())
}

fn measure(binary: &std::path::Path, kind: Kind) -> Result<[f64; 5], Failure> {
    let node = Node::start(binary, &["--rps", "0"])?;
    let oap = node.address("oap")?;
    let idle_kib = node.rss_kib()?;
    let (sender, deliveries) = sync_channel(SENDS);
    let mut connections = Vec::new();
    for index in 0..CONNECTIONS {
        // As evenly as it goes.
        let count = RECEIVERS / CONNECTIONS + usize::from(index < RECEIVERS % CONNECTIONS);
        let parked = park(oap, kind, count, sender.clone());
        connections.push(parked.map_err(io("parking receivers"))?);
    }
    sleep(SETTLE);
    let before = node.cpu_ticks()?;
    sleep(PARKED);
    let cpu_seconds = (node.cpu_ticks()? - before) as f64 / TICKS;
    let in_flight = in_flight(node.admin).map_err(io("asking /metrics"))?;
    let used_kib = node.rss_kib()?.saturating_sub(idle_kib);
    let mut waits = wake(oap, &deliveries).map_err(io("sending"))?;
    waits.sort_by(f64::total_cmp);
    for connection in connections {
        // Whoever reads it ends.
        let _closed = connection.shutdown(Shutdown::Both);
    }
    Ok([
        cpu_seconds / PARKED.as_secs_f64() * 100.0,
        in_flight,
        used_kib as f64 * 1024.0 / RECEIVERS as f64,
        waits[SENDS / 2],
        waits[SENDS * 99 / 100],
    ])
}

/// A connection with `count` receivers, and a thread that tells what comes and when.
fn park(
    oap: SocketAddr,
    kind: Kind,
    count: usize,
    deliveries: SyncSender<Instant>,
) -> std::io::Result<TcpStream> {
    let stream = greet(oap)?;
    // Nothing comes for a long time.
    stream.set_read_timeout(None)?;
    let queue = str16(QUEUE);
    let one = 1_u16.to_be_bytes();
    let (code, times) = match kind {
        Kind::Subscriptions => (SUBSCRIBE, vec![VISIBILITY_MS]),
        Kind::LongPolls => (RECEIVE, vec![WAIT_MS, VISIBILITY_MS]),
    };
    let times: Vec<u8> = times.into_iter().flat_map(u32::to_be_bytes).collect();
    let payload = [&queue[..], &one, &times].concat();
    let requests = (1..=count as u64).flat_map(|id| frame(MAILBOX, code, id, &payload));
    (&stream).write_all(&requests.collect::<Vec<u8>>())?;

    let mut frames = Frames::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut last_id = count as u64;
        while let Ok(came) = frames.next() {
            let mut requests = Vec::new();
            if came.app == 0 {
                requests.extend(pong());
            } else if let Some(receipt) = receipt(&mut &*came.payload) {
                // Nobody listens any more when the run has failed.
                let _late = deliveries.send(now());
                last_id += 1;
                let length = u16::try_from(receipt.len()).expect("a short text");
                let ack = [&queue[..], &length.to_be_bytes(), receipt].concat();
                requests.extend(frame(MAILBOX, ACK, last_id, &ack));
            }
            let is_poll = came.corr_id <= count as u64 && !came.is_event;
            if is_poll && came.app != 0 {
                requests.extend(frame(MAILBOX, code, came.corr_id, &payload));
            }
            if writer.write_all(&requests).is_err() {
                return;
            }
        }
    });
    Ok(stream)
}

/// Sends one message after the other; how long each took to be with somebody, in milliseconds.
fn wake(oap: SocketAddr, deliveries: &Receiver<Instant>) -> std::io::Result<Vec<f64>> {
    let mut stream = greet(oap)?;
    let payload = [&str16(QUEUE)[..], &[0; 2 + 4], b"wake up"].concat();
    let mut waits = Vec::with_capacity(SENDS);
    for id in 1..=SENDS as u64 {
        let began = now();
        stream.write_all(&frame(MAILBOX, SEND, id, &payload))?;
        let came = deliveries.recv_timeout(PATIENCE);
        let came = came.map_err(|_| std::io::Error::other("a message woke nobody"))?;
        waits.push((came - began).as_secs_f64() * 1e3);
        let (status, _) = super::frames::answer(&mut stream)?;
        if status != 201 {
            return Err(std::io::Error::other(format!("a send: {status}")));
        }
    }
    match deliveries.recv_timeout(AFTERWARDS) {
        Ok(_) => Err(std::io::Error::other("a message woke two")),
        Err(_) => Ok(waits),
    }
}

/// Requests in flight, over all routes.
fn in_flight(admin: SocketAddr) -> std::io::Result<f64> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.take(PAGE_BYTES).read_to_string(&mut page)?;
    let samples = page
        .lines()
        .filter(|line| line.starts_with("inflight_requests{"));
    let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values
        .reduce(|sum, value| sum + value)
        .ok_or_else(|| std::io::Error::other("no inflight_requests in the metrics"))
}
