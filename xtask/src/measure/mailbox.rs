//! `cargo xtask measure mailbox`: messages of 256 bytes per second over one OAP connection, sent with
//! so many unanswered at a time, and taken and acknowledged by the batch.
//!
//! Every send and every ack is confirmed. Acks are sent one by one, as other queues have them, and
//! once more all of a batch in one request with the next receive behind it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::frames::{Frames, frame, greet, receipt, str16};
use super::oap::TICKS;
use super::{Failure, Node, head, now, release_binary, row, runs};
use crate::io;

/// Runs unless told otherwise.
const RUNS: usize = 5;
/// Messages of a phase.
const MESSAGES: u64 = 200_000;
/// What a node allows on one connection.
const IN_FLIGHT: u64 = 64;
const BODY_BYTES: usize = 256;
const QUEUE: &str = "measured";
/// Longer than a run.
const VISIBILITY_MS: u32 = 60_000;

const MAILBOX: u16 = 4;
const SEND: u16 = 1;
const RECEIVE: u16 = 2;
const ACK: u16 = 3;

/// Builds the release binary, starts it, and prints a table.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    let node = Node::start(&binary, &["--rps", "0"])?;
    let oap = node.address("oap")?;
    let phases: [(&str, Phase); 4] = [
        ("sends", put),
        ("takes and acks one by one", |client| take(client, false)),
        ("sends again", put),
        ("takes and acks by the batch", |client| take(client, true)),
    ];
    let mut table = phases.map(|(name, _)| (name, Vec::new(), Vec::new()));
    for _ in 0..runs {
        for ((_, phase), (_, rates, cpu)) in phases.iter().zip(&mut table) {
            let mut client = Client::connect(oap).map_err(io("connecting"))?;
            let (started, before) = (now(), node.cpu_ticks()?);
            phase(&mut client).map_err(io("asking the node"))?;
            let seconds = started.elapsed().as_secs_f64();
            let cpu_seconds = (node.cpu_ticks()? - before) as f64 / TICKS;
            rates.push(MESSAGES as f64 / seconds);
            cpu.push(cpu_seconds * 1e6 / MESSAGES as f64);
        }
    }
    head(runs);
    for (name, rates, cpu) in &mut table {
        row(&format!("{name}/s"), rates);
        row("  node CPU µs per message", cpu);
    }
    Ok(())
}

type Phase = fn(&mut Client) -> std::io::Result<()>;

struct Client {
    stream: TcpStream,
    frames: Frames,
    last_id: u64,
    /// Requests that have not been written yet.
    requests: Vec<u8>,
}

impl Client {
    fn connect(oap: SocketAddr) -> std::io::Result<Self> {
        let stream = greet(oap)?;
        Ok(Self {
            frames: Frames::new(stream.try_clone()?),
            stream,
            last_id: 0,
            requests: Vec::new(),
        })
    }

    fn ask(&mut self, code: u16, payload: &[u8]) {
        self.last_id += 1;
        self.requests
            .extend(frame(MAILBOX, code, self.last_id, payload));
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.requests)?;
        self.requests.clear();
        Ok(())
    }

    /// The payload of the next answer.
    fn answer(&mut self) -> std::io::Result<&[u8]> {
        let frame = self.frames.next()?;
        match frame.code {
            200 | 201 => Ok(frame.payload),
            code => Err(std::io::Error::other(format!(
                "{code}: {}",
                String::from_utf8_lossy(frame.payload)
            ))),
        }
    }

    /// Every ack that was asked for is answered with as many zeros as it has receipts.
    fn acked(&mut self) -> std::io::Result<usize> {
        let verdicts = self.answer()?;
        match verdicts.iter().all(|verdict| *verdict == 0) {
            true => Ok(verdicts.len()),
            false => Err(std::io::Error::other("an ack was refused")),
        }
    }

    /// The receipts of a receive, each as it stands in an ack.
    fn receipts(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        let mut payload = self.answer()?;
        let mut receipts = Vec::new();
        while let Some(receipt) = receipt(&mut payload) {
            let length = u16::try_from(receipt.len()).expect("a short text");
            receipts.push([&length.to_be_bytes()[..], receipt].concat());
        }
        Ok(receipts)
    }
}

fn put(client: &mut Client) -> std::io::Result<()> {
    // No key, no delay.
    let payload = [&str16(QUEUE)[..], &[0; 2 + 4], &[7; BODY_BYTES]].concat();
    let mut left = MESSAGES;
    while left > 0 {
        let batch = left.min(IN_FLIGHT);
        for _ in 0..batch {
            client.ask(SEND, &payload);
        }
        client.flush()?;
        for _ in 0..batch {
            client.answer()?;
        }
        left -= batch;
    }
    Ok(())
}

/// Takes and acknowledges everything.
fn take(client: &mut Client, by_the_batch: bool) -> std::io::Result<()> {
    let max = u16::try_from(IN_FLIGHT).expect("few").to_be_bytes();
    let times = [0, VISIBILITY_MS].map(u32::to_be_bytes).concat();
    let receive = [&str16(QUEUE)[..], &max, &times].concat();
    let queue = str16(QUEUE);
    let mut acked = 0;
    client.ask(RECEIVE, &receive);
    client.flush()?;
    while acked < MESSAGES {
        let receipts = client.receipts()?;
        if receipts.is_empty() {
            return Err(std::io::Error::other("the queue is empty too early"));
        }
        let asked = if by_the_batch {
            client.ask(ACK, &[&queue[..], &receipts.concat()].concat());
            1
        } else {
            for receipt in &receipts {
                client.ask(ACK, &[&queue[..], receipt].concat());
            }
            receipts.len()
        };
        acked += receipts.len() as u64;
        // The next receive goes with the ack that needs no more room than one stream.
        if by_the_batch && acked < MESSAGES {
            client.ask(RECEIVE, &receive);
        }
        client.flush()?;
        for _ in 0..asked {
            client.acked()?;
        }
        if !by_the_batch && acked < MESSAGES {
            client.ask(RECEIVE, &receive);
            client.flush()?;
        }
    }
    Ok(())
}
