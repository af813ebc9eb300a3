//! One history: some clients that do what a seed says on a queue of their own, and then one that
//! takes and acknowledges all that is there.

use crate::client::Client;
use crate::log::{Command, Event, Lane, Outcome, Settle};
use crate::support::{Node, Random};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Commands of a client.
const STEPS: u64 = 30;
/// Bodies under a key are numbered from here, two for each.
const KEYED: u32 = 1_000_000;
const KEYS: u64 = 5;
/// How long everything may take to be there at the end; leases and delays are far shorter.
const DRAINED_WITHIN: Duration = Duration::from_secs(15);

/// What its clients share.
struct History<'a> {
    node: &'a Node,
    queue: String,
    started: Instant,
    next_body: AtomicU32,
    /// What has been given out, whether it is still good or not. Anyone may use it.
    receipts: Mutex<Vec<(Lane, String)>>,
    /// A client is cut off at one command in so many; 0: never.
    cuts: u64,
    purges: bool,
    redrives: bool,
}

/// Lives the history of `seed`, and returns what was recorded.
pub(crate) fn live(node: &Node, seed: u64) -> Vec<Event> {
    let mut random = Random::seeded(seed);
    let history = History {
        cuts: random.pick(&[0, 10, 20, 40]),
        purges: random.one_in(4),
        redrives: random.one_in(2),
        ..History::new(node, seed)
    };
    history.live(random)
}

/// The same without anything whose outcome would not be known.
pub(crate) fn live_surely(node: &Node, seed: u64) -> Vec<Event> {
    History::new(node, seed).live(Random::seeded(seed))
}

impl<'a> History<'a> {
    fn new(node: &'a Node, seed: u64) -> Self {
        Self {
            node,
            queue: format!("history-{seed}"),
            started: Instant::now(),
            next_body: AtomicU32::new(0),
            receipts: Mutex::default(),
            cuts: 0,
            purges: false,
            redrives: false,
        }
    }

    fn live(&self, mut random: Random) -> Vec<Event> {
        let clients = 3 + random.below(6) as usize;
        let mut log: Vec<Event> = std::thread::scope(|scope| {
            let lives: Vec<_> = (0..clients)
                .map(|_| {
                    let (history, random) = (self, Random::seeded(random.below(u64::MAX)));
                    scope.spawn(move || Recorder::new(history, random).live())
                })
                .collect();
            lives
                .into_iter()
                .flat_map(|life| life.join().unwrap())
                .collect()
        });
        log.extend(Recorder::new(self, random).drain());
        log.sort_by_key(|event| event.began);
        log
    }
}

/// A client, and what it has seen.
struct Recorder<'a> {
    history: &'a History<'a>,
    random: Random,
    client: Client,
    log: Vec<Event>,
}

impl<'a> Recorder<'a> {
    fn new(history: &'a History<'a>, mut random: Random) -> Self {
        Self {
            client: Client::connect(history.node, random.one_in(2)),
            history,
            random,
            log: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.history.started.elapsed().as_micros()).unwrap()
    }

    fn record(&mut self, began: u64, command: Command, outcome: Option<Outcome>) {
        if let (Command::Receive { lane, .. }, Some(Outcome::Delivered(deliveries))) =
            (&command, &outcome)
        {
            let receipts = deliveries.iter().map(|it| (*lane, it.receipt.clone()));
            self.history.receipts.lock().extend(receipts);
        }
        let ended = self.now();
        self.log.push(Event {
            began,
            command,
            answer: outcome.map(|outcome| (ended, outcome)),
        });
    }

    fn ask(&mut self, command: Command) -> Outcome {
        let began = self.now();
        let outcome = self.client.ask(&self.history.queue, &command);
        self.record(began, command, Some(outcome.clone()));
        outcome
    }

    fn live(mut self) -> Vec<Event> {
        for _ in 0..STEPS {
            let command = self.command();
            let may_be_cut = self.history.cuts > 0;
            if may_be_cut && self.random.one_in(self.history.cuts) {
                self.be_cut_off(command);
            } else if may_be_cut
                && matches!(command, Command::Receive { .. })
                && self.random.one_in(8)
            {
                self.subscribe(command);
            } else {
                self.ask(command);
            }
        }
        self.log
    }

    /// What became of `command` is not known, and a new connection takes over.
    fn be_cut_off(&mut self, command: Command) {
        let next = Client::connect(self.history.node, self.random.one_in(2));
        let client = std::mem::replace(&mut self.client, next);
        let began = self.now();
        let moment = Duration::from_micros(self.random.pick(&[0, 100, 1000, 5000]));
        client.ask_and_go(&self.history.queue, &command, moment);
        self.record(began, command, None);
    }

    /// Receives by a subscription in place of `receive`.
    fn subscribe(&mut self, receive: Command) {
        let Command::Receive {
            lane: Lane::Main,
            visibility_ms,
            ..
        } = receive
        else {
            return;
        };
        let began = self.now();
        let time = Duration::from_millis(self.random.below(30));
        let queue = &self.history.queue;
        if let Some(outcome) = self.client.subscribe(queue, visibility_ms, time) {
            self.record(began, receive.clone(), Some(outcome));
            // One more may have been leased and crossed with the cancel.
            self.record(began, receive, None);
        }
    }

    fn command(&mut self) -> Command {
        match self.random.below(100) {
            0..28 => self.send(),
            60..80 => self.settle(Settle::Ack),
            80..88 => {
                let delay_ms = self.random.pick(&[0, 0, 10, 60]);
                self.settle(Settle::Nack { delay_ms })
            }
            88..94 => {
                let visibility_ms = self.random.pick(&[10, 50, 150]);
                self.settle(Settle::Extend { visibility_ms })
            }
            94..96 if self.history.redrives => Command::Redrive,
            96 if self.history.purges => Command::Purge(self.lane()),
            _ => self.receive(),
        }
    }

    fn lane(&mut self) -> Lane {
        match self.random.one_in(6) {
            true => Lane::Dead,
            false => Lane::Main,
        }
    }

    fn send(&mut self) -> Command {
        let delay_ms = self.random.pick(&[0, 0, 0, 5, 40]);
        if self.random.one_in(3) {
            let key = self.random.below(KEYS) as u32;
            let body = KEYED + 2 * key + u32::from(self.random.one_in(6));
            return Command::Send {
                body,
                key: Some(key),
                delay_ms,
            };
        }
        Command::Send {
            body: self.history.next_body.fetch_add(1, Ordering::Relaxed),
            key: None,
            delay_ms,
        }
    }

    fn receive(&mut self) -> Command {
        Command::Receive {
            lane: self.lane(),
            max: self.random.pick(&[1, 1, 2, 4]),
            wait_ms: self.random.pick(&[0, 0, 5, 30]),
            visibility_ms: self.random.pick(&[5, 20, 50, 120]),
        }
    }

    /// Of some receipts that were given out, to anyone and at any time.
    fn settle(&mut self, how: Settle) -> Command {
        let mut known = self.history.receipts.lock();
        let mut chosen = Vec::new();
        for _ in 0..=self.random.below(3) {
            if known.is_empty() {
                break;
            }
            // Rather a new one, which may still be good.
            let back = self.random.below(known.len().min(12) as u64) as usize;
            let index = known.len() - 1 - back;
            chosen.push(match self.random.one_in(4) {
                true => known[index].clone(),
                false => known.remove(index),
            });
        }
        drop(known);
        let lane = chosen.first().map_or(Lane::Main, |(lane, _)| *lane);
        if chosen.is_empty() || self.random.one_in(20) {
            chosen.push((lane, "never-given-out".to_owned()));
        }
        Command::Settle {
            lane,
            how,
            receipts: chosen.into_iter().map(|(_, receipt)| receipt).collect(),
        }
    }

    /// Takes and acknowledges all that is there, with a look at the counts before and after.
    fn drain(mut self) -> Vec<Event> {
        let begun = Instant::now();
        while !self.is_empty() && begun.elapsed() < DRAINED_WITHIN {
            for lane in [Lane::Main, Lane::Dead] {
                while self.drain_some(lane) {}
            }
        }
        self.log
    }

    fn is_empty(&mut self) -> bool {
        match self.ask(Command::Stats) {
            Outcome::Stats {
                ready,
                leased,
                delayed,
                dead,
                ..
            } => ready + leased + delayed + dead == 0,
            _ => true,
        }
    }

    fn drain_some(&mut self, lane: Lane) -> bool {
        let receive = Command::Receive {
            lane,
            max: 50,
            wait_ms: 10,
            visibility_ms: 30_000,
        };
        let Outcome::Delivered(deliveries) = self.ask(receive) else {
            return false;
        };
        let receipts: Vec<_> = deliveries.into_iter().map(|it| it.receipt).collect();
        if receipts.is_empty() {
            return false;
        }
        self.ask(Command::Settle {
            lane,
            how: Settle::Ack,
            receipts,
        });
        true
    }
}
