//! Messages: sent, taken and acknowledged over one connection, beside NATS JetStream in memory,
//! beanstalkd and Redis streams.
//!
//! Everybody has the same terms: 256 bytes, so many unanswered at once, the next batch when all of
//! one is answered, every send and every ack confirmed, every ack a command of its own. A node
//! allows 64 requests in flight on a connection; the others have 100. A node can also acknowledge a
//! batch in one request, which is shown apart.

mod beanstalkd;
mod nats;
mod oap;
mod redis_streams;
mod wire;

use std::io;
use std::path::Path;

use super::program::{BEANSTALKD, NATS, Program, REDIS, Running};
use super::rounds::{Pair, order};
use super::{Found, Options};
use crate::clock;
use crate::failure::{Failure, io};
use crate::node::Node;
use crate::progress::Progress;
use crate::sample;

/// Bytes of a message.
pub(super) const BODY_BYTES: usize = 256;
/// Commands that are on their way at once, where the program has no say in it.
const BATCH: usize = 100;
/// What a node allows on a connection.
const NODE_BATCH: usize = 64;

/// A queue behind one connection.
pub(super) trait Queue {
    /// Sends so many messages at once, and waits until each is confirmed.
    fn send(&mut self, count: usize) -> io::Result<()>;

    /// Takes up to so many messages, acknowledges each, and waits until that is confirmed. How many
    /// there were.
    fn take(&mut self, count: usize) -> io::Result<usize>;
}

/// Who is asked.
enum Side {
    Node(Node),
    Program(Running),
}

impl Side {
    fn pid(&self) -> Option<i32> {
        match self {
            Self::Node(node) => node.pid,
            Self::Program(running) => Some(running.pid),
        }
    }
}

/// A way to queue, and what it did in each round.
struct Contender {
    name: &'static str,
    words: &'static str,
    side: usize,
    batch: usize,
    connect: fn(&Side) -> io::Result<Box<dyn Queue>>,
    send: Column,
    take: Column,
}

#[derive(Default)]
struct Column {
    rate: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// Compares the node with those that are there.
///
/// # Errors
///
/// If something does not start, or loses a message.
pub(super) fn run(
    options: &Options,
    folder: &Path,
    found: &mut Found,
    progress: &Progress,
) -> Result<(), Failure> {
    let flags = ["--rps", "0"].map(ToOwned::to_owned);
    let node = Node::start(&options.binary, &flags)?;
    let mut sides = vec![Side::Node(node)];
    let mut contenders = vec![
        contender("micronode", "micronode", 0, |side| {
            oap::connect(address(side)?, false)
        }),
        contender("batched", "micronode", 0, |side| {
            oap::connect(address(side)?, true)
        }),
    ];
    type Start = fn(&Path) -> Result<Running, Failure>;
    type Connect = fn(&Side) -> io::Result<Box<dyn Queue>>;
    let others: [(Program, &str, &str, Start, Connect); 3] = [
        (NATS, "nats", "NATS JetStream", nats::start, |side| {
            nats::connect(address(side)?)
        }),
        (
            BEANSTALKD,
            "beanstalkd",
            "beanstalkd",
            beanstalkd::start,
            |side| beanstalkd::connect(address(side)?),
        ),
        (
            REDIS,
            "redis",
            "Redis streams",
            super::redis::start,
            |side| redis_streams::connect(address(side)?),
        ),
    ];
    for (program, name, words, start, connect) in others {
        if !found.lacks(program) {
            contenders.push(contender(name, words, sides.len(), connect));
            sides.push(Side::Program(start(folder)?));
        }
    }
    for contender in &mut contenders {
        if contender.side == 0 {
            contender.batch = NODE_BATCH;
        }
    }
    if sides.len() == 1 {
        return Ok(());
    }
    progress.print("messages over one connection");
    progress.begin("messages", (options.rounds * contenders.len()) as u64);
    let mut step = 0;
    for round in 0..options.rounds {
        for turn in order(contenders.len(), round) {
            let contender = &mut contenders[turn];
            let side = &sides[contender.side];
            progress.say(contender.words);
            contender.measure(side, options.messages)?;
            step += 1;
            progress.at(step);
        }
    }
    let (ours, others) = contenders.split_at(2);
    for other in others {
        compare(found, "send", "sent", &ours[0].send, other, &other.send)?;
        compare(
            found,
            "take",
            "taken and acknowledged",
            &ours[0].take,
            other,
            &other.take,
        )?;
        let words = "taken and acknowledged by the batch";
        compare(
            found,
            "take_batched",
            words,
            &ours[1].take,
            other,
            &other.take,
        )?;
    }
    Ok(())
}

fn contender(
    name: &'static str,
    words: &'static str,
    side: usize,
    connect: fn(&Side) -> io::Result<Box<dyn Queue>>,
) -> Contender {
    Contender {
        name,
        words,
        side,
        batch: BATCH,
        connect,
        send: Column::default(),
        take: Column::default(),
    }
}

fn address(side: &Side) -> io::Result<std::net::SocketAddr> {
    match side {
        Side::Node(node) => node.oap().map_err(io::Error::other),
        Side::Program(running) => Ok(running.address),
    }
}

impl Contender {
    /// Sends so many messages, then takes all of them.
    fn measure(&mut self, side: &Side, messages: u64) -> Result<(), Failure> {
        let batches = messages.div_ceil(self.batch as u64);
        let count = batches * self.batch as u64;
        let mut queue = (self.connect)(side).map_err(io(self.words))?;
        let batch = self.batch;
        let sent = timed(side, count, || {
            (0..batches).try_for_each(|_| queue.send(batch))
        });
        self.send
            .add(sent.map_err(io(format!("{}: sending", self.words)))?);
        let taken = timed(side, count, || {
            let mut left = count;
            while left > 0 {
                let most = usize::try_from(left).map_or(batch, |left| left.min(batch));
                match queue.take(most)? {
                    0 => return Err(io::Error::other(format!("{left} messages are missing"))),
                    taken => left = left.saturating_sub(taken as u64),
                }
            }
            Ok(())
        });
        self.take
            .add(taken.map_err(io(format!("{}: taking", self.words)))?);
        match queue.take(1).map_err(io(self.words))? {
            0 => Ok(()),
            _ => Err(Failure::wrong(format!(
                "{}: a message too many",
                self.words
            ))),
        }
    }
}

impl Column {
    fn add(&mut self, (rate, cpu_us): (f64, f64)) {
        self.rate.push(rate);
        self.cpu_us.push(cpu_us);
    }
}

/// Messages per second, and µs of the other side's processor for each.
fn timed(side: &Side, count: u64, what: impl FnOnce() -> io::Result<()>) -> io::Result<(f64, f64)> {
    let cpu = || {
        side.pid()
            .and_then(sample::cpu)
            .ok_or(io::ErrorKind::NotFound)
    };
    let (before, started) = (cpu()?, clock::now());
    what()?;
    let (seconds, taken) = (started.elapsed().as_secs_f64(), cpu()? - before);
    let count = count as f64;
    Ok((count / seconds, taken.as_secs_f64() * 1e6 / count))
}

fn compare(
    found: &mut Found,
    verb: &str,
    words: &str,
    ours: &Column,
    other: &Contender,
    theirs: &Column,
) -> Result<(), Failure> {
    found.add(Pair {
        id: format!("{verb}_rate_{}", other.name),
        title: format!("Messages {words}"),
        against: other.words,
        unit: "messages/s",
        ours: &ours.rate,
        theirs: &theirs.rate,
    })?;
    found.add(Pair {
        id: format!("{verb}_cpu_{}", other.name),
        title: format!("Messages {words}, CPU of each"),
        against: other.words,
        unit: "µs",
        ours: &ours.cpu_us,
        theirs: &theirs.cpu_us,
    })
}
