//! Random commands and jumps of time over several starts of a node, each of which goes on from what
//! was kept of the one before it.

use std::collections::BTreeMap;

use micronode_engine::Eviction;
use micronode_engine::mailbox::{MessageId, SendError, Verdict};
use micronode_engine::names::Expected;
use micronode_protocol::Address;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::compare::{Lease, assert_holds, assert_survives};
use crate::node::{Node, Setup, media_type};
use crate::{NAMES, QUEUES, queue};

/// Of objects; some are of several groups.
const SIZES: [usize; 6] = [0, 1, 100, 5000, 65_536, 66_000];
const TTLS_MS: [Option<u64>; 5] = [None, None, Some(5), Some(50), Some(500)];
const DELAYS_MS: [u64; 6] = [0, 0, 0, 0, 7, 90];
const VISIBILITIES_MS: [u64; 5] = [0, 5, 20, 60, 400];
/// The last is longer than a queue is kept without being used.
const STEPS_MS: [u64; 8] = [0, 1, 1, 4, 10, 40, 200, 700_000];
/// Long downtimes are those between two starts.
const DOWNTIMES_MS: [u64; 4] = [0, 1, 30, 250];

#[derive(Clone, Debug)]
enum Command {
    Put {
        object: usize,
        ttl: usize,
        media_type: u8,
    },
    Get {
        object: usize,
    },
    Delete {
        object: usize,
    },
    /// A bit of it flips, and somebody reads it.
    Damage {
        object: usize,
    },
    Name {
        name: usize,
        object: usize,
    },
    Unname {
        name: usize,
    },
    Send {
        queue: usize,
        body: u8,
        delay: usize,
        key: Option<u8>,
    },
    Receive {
        queue: usize,
        is_dead: bool,
        most: usize,
        visibility: usize,
    },
    Ack(Index),
    Nack(Index, usize),
    Extend(Index, usize),
    Purge {
        queue: usize,
        is_dead: bool,
    },
    Redrive {
        queue: usize,
        limit: u32,
    },
    Deliveries(u32),
    Sweep,
    Advance(usize),
}

fn command() -> impl Strategy<Value = Command> {
    use Command as C;
    let object = || 0..SIZES.len();
    let queue = || 0..QUEUES.len();
    let name = || 0..NAMES.len();
    let key = proptest::option::weighted(0.4, 0..3_u8);
    let delay = || 0..DELAYS_MS.len();
    let visibility = || 0..VISIBILITIES_MS.len();
    prop_oneof![
        6 => (object(), 0..TTLS_MS.len(), 0..3_u8)
            .prop_map(|(object, ttl, media_type)| C::Put { object, ttl, media_type }),
        1 => object().prop_map(|object| C::Get { object }),
        2 => object().prop_map(|object| C::Delete { object }),
        1 => object().prop_map(|object| C::Damage { object }),
        4 => (name(), object()).prop_map(|(name, object)| C::Name { name, object }),
        2 => name().prop_map(|name| C::Unname { name }),
        8 => (queue(), 0..4_u8, delay(), key)
            .prop_map(|(queue, body, delay, key)| C::Send { queue, body, delay, key }),
        6 => (queue(), any::<bool>(), 1..4_usize, visibility())
            .prop_map(|(queue, is_dead, most, visibility)| {
                C::Receive { queue, is_dead, most, visibility }
            }),
        3 => any::<Index>().prop_map(C::Ack),
        3 => (any::<Index>(), delay()).prop_map(|(which, delay)| C::Nack(which, delay)),
        1 => (any::<Index>(), visibility()).prop_map(|(which, ms)| C::Extend(which, ms)),
        1 => (queue(), any::<bool>()).prop_map(|(queue, is_dead)| C::Purge { queue, is_dead }),
        1 => (queue(), 0..3_u32).prop_map(|(queue, limit)| C::Redrive { queue, limit }),
        1 => (1..4_u32).prop_map(C::Deliveries),
        2 => Just(C::Sweep),
        6 => (0..STEPS_MS.len()).prop_map(C::Advance),
    ]
}

/// A message that was acknowledged, what its key promises, and how much was recorded by then.
struct Keyed {
    queue: &'static str,
    key: String,
    body: Vec<u8>,
    id: MessageId,
    until_wall_ms: u64,
    recorded: usize,
}

/// A node, and what its peers know.
struct World {
    node: Node,
    objects: Vec<(Vec<u8>, Address)>,
    leases: Vec<Lease>,
    keys: BTreeMap<(&'static str, String), Vec<u8>>,
    keyed: Vec<Keyed>,
}

impl World {
    fn new(setup: Setup) -> Self {
        let object = |(seed, size): (usize, &usize)| {
            let bytes: Vec<u8> = (0..*size).map(|i| (i % 251 + seed) as u8).collect();
            let address = Address::of(&bytes);
            (bytes, address)
        };
        Self {
            node: Node::new(setup),
            objects: SIZES.iter().enumerate().map(object).collect(),
            leases: Vec::new(),
            keys: BTreeMap::new(),
            keyed: Vec::new(),
        }
    }

    fn run(&mut self, command: &Command) {
        let node = &mut self.node;
        match *command {
            Command::Put {
                object,
                ttl,
                media_type: of,
            } => {
                let place = u64::from(of) + 10;
                let bytes = &self.objects[object].0;
                // It may be that nothing makes room for it.
                let _ = node.put(bytes, TTLS_MS[ttl], media_type(of), Some(place));
            }
            Command::Get { object } => drop(node.store.get(node.now, &self.objects[object].1)),
            Command::Delete { object } => {
                let _ = node.store.delete(node.now, &self.objects[object].1);
            }
            Command::Damage { object } => {
                let address = &self.objects[object].1;
                if node.store.corrupt(address, 0)
                    && let Ok(found) = node.store.get(node.now, address)
                {
                    found.read(0..1).next_piece().unwrap_err();
                }
            }
            Command::Name { name, object } => {
                let _ = node.name(NAMES[name], &self.objects[object].1);
            }
            Command::Unname { name } => {
                let _ = node.names.delete(NAMES[name], &Expected::Any, |_| ());
            }
            Command::Send {
                queue,
                body,
                delay,
                key,
            } => self.send(QUEUES[queue], body, delay, key),
            Command::Receive {
                queue: of,
                is_dead,
                most,
                visibility,
            } => {
                let of = queue(QUEUES[of], is_dead);
                let got = node.receive(of, most, VISIBILITIES_MS[visibility]);
                self.leases.extend(got.into_iter().map(|it| (of, it)));
            }
            Command::Ack(which) => self.settle(which, |node, (of, it)| node.ack(*of, it)),
            Command::Nack(which, delay) => {
                self.settle(which, |node, (of, it)| node.nack(*of, it, DELAYS_MS[delay]));
            }
            Command::Extend(which, visibility) => {
                if !self.leases.is_empty() {
                    let (of, it) = which.get(&self.leases);
                    node.extend(*of, it, VISIBILITIES_MS[visibility]);
                }
            }
            Command::Purge { queue: of, is_dead } => drop(node.purge(queue(QUEUES[of], is_dead))),
            Command::Redrive { queue, limit } => drop(node.redrive(QUEUES[queue], limit)),
            Command::Deliveries(most) => {
                node.setup.config.max_deliveries = most;
                node.mailbox.configure(node.setup.config);
            }
            Command::Sweep => node.sweep(),
            Command::Advance(step) => node.advance(STEPS_MS[step]),
        }
    }

    fn send(&mut self, queue: &'static str, body: u8, delay: usize, key: Option<u8>) {
        let body = vec![body; usize::from(body) * 60];
        let key = key.map(|key| key.to_string());
        let sent = self
            .node
            .send(queue, &body, DELAYS_MS[delay], key.as_deref());
        if let (Ok(sent), Some(key)) = (sent, key)
            && !sent.duplicate
        {
            self.keys.insert((queue, key.clone()), body.clone());
            self.keyed.push(Keyed {
                queue,
                key,
                body,
                id: sent.id,
                until_wall_ms: self.node.now.wall_ms + self.node.setup.config.window_ms,
                recorded: self.node.journal.len(),
            });
        }
    }

    fn settle(&mut self, which: Index, how: impl FnOnce(&Node, &Lease) -> Verdict) {
        if !self.leases.is_empty() {
            let lease = self.leases.swap_remove(which.index(self.leases.len()));
            how(&self.node, &lease);
        }
    }

    /// After a crash that nothing but the first records survive.
    fn crash(&self, at: Index, downtime_ms: u64) {
        let records = self.node.journal.records();
        let count = at.index(records.len() + 1);
        let kept = self.node.before.after(&records[..count]);
        assert_holds(self.node.restored(&kept, downtime_ms), &kept);
        self.assert_keys_hold(count, &self.node.restored(&kept, downtime_ms));
    }

    /// What was acknowledged under a key by then is not sent again while its time lasts.
    fn assert_keys_hold(&self, count: usize, node: &Node) {
        let holds = |sent: &&Keyed| sent.recorded <= count && node.now.wall_ms < sent.until_wall_ms;
        for sent in self.keyed.iter().filter(holds) {
            let again = |body| node.send(sent.queue, body, 0, Some(&sent.key));
            let repeated = again(&sent.body).unwrap();
            assert_eq!((repeated.id, repeated.duplicate), (sent.id, true));
            assert_eq!(again(b"another"), Err(SendError::KeyReused));
        }
    }

    /// The next start goes on from what was kept of this one.
    fn restart(&mut self, downtime_ms: u64) {
        self.node = self.node.restored(&self.node.kept(), downtime_ms);
        for sent in &mut self.keyed {
            sent.recorded = 0;
        }
        for (of, delivery) in self.leases.drain(..) {
            assert_eq!(self.node.ack(of, &delivery), Verdict::Unknown);
        }
    }

    fn end(self, downtime_ms: u64) {
        let addresses: Vec<_> = self.objects.iter().map(|it| it.1).collect();
        assert_survives(self.node, &self.leases, &addresses, &self.keys, downtime_ms);
    }
}

fn start() -> impl Strategy<Value = (Vec<Command>, Index, usize)> {
    let commands = proptest::collection::vec(command(), 0..80);
    (commands, any::<Index>(), 0..STEPS_MS.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_acknowledged_is_there_after_a_crash_and_nothing_else(
        evicts in any::<bool>(),
        starts in proptest::collection::vec(start(), 1..4),
        downtime in 0..DOWNTIMES_MS.len(),
    ) {
        let eviction = if evicts { Eviction::Lru } else { Eviction::Refuse };
        let mut world = World::new(Setup::new(eviction));
        let mut starts = starts.into_iter().peekable();
        while let Some((commands, crash, step)) = starts.next() {
            for command in &commands {
                world.run(command);
            }
            world.crash(crash, STEPS_MS[step]);
            if starts.peek().is_some() {
                world.restart(STEPS_MS[step]);
            }
        }
        world.end(DOWNTIMES_MS[downtime]);
    }
}
