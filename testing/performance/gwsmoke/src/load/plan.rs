//! What is asked next. Each thread has a plan of its own, drawn from the seed.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::content::{Body, Content};
use super::random::Random;
use crate::record::{Kind, Verdict};
use crate::spec::{LoadSpec, Workload};

/// The receipt of a message, as it is written in an ack.
pub(crate) type Receipt = SmallVec<[u8; 64]>;

/// Messages that a thread has taken and not acknowledged: far fewer in any loop that is balanced,
/// since an ack goes before everything else.
const RECEIPTS: usize = 4096;

/// A request, without what a protocol makes of it.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// The object of this number.
    Get(u32),
    Put(Body),
    Echo(Body),
    Send(Body),
    Receive,
    Ack(Receipt),
}

impl Request {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Get(_) => Kind::Get,
            Self::Put(_) => Kind::Put,
            Self::Echo(_) => Kind::Echo,
            Self::Send(_) => Kind::Send,
            Self::Receive => Kind::Receive,
            Self::Ack(_) => Kind::Ack,
        }
    }

    /// What it carries.
    pub(crate) fn body(&self) -> Option<&Body> {
        match self {
            Self::Put(body) | Self::Echo(body) | Self::Send(body) => Some(body),
            Self::Get(_) | Self::Receive | Self::Ack(_) => None,
        }
    }
}

#[derive(Debug)]
enum Purpose {
    /// What the load asks, for ever.
    Draw {
        workload: Workload,
        read_ratio: f64,
        random: Random,
        /// Of the next new body.
        counter: u64,
        origin: u64,
        /// To acknowledge.
        receipts: VecDeque<Receipt>,
    },
    /// Objects that are put once each, before there is a load; and those that were refused.
    Prepare { todo: Vec<u32>, refused: Vec<u32> },
}

/// What a thread asks.
#[derive(Debug)]
pub(crate) struct Plan {
    content: Arc<Content>,
    purpose: Purpose,
}

impl Plan {
    /// What `spec` says, of a thread; `origin` is what makes new bodies differ from those of other
    /// runs.
    pub(crate) fn draw(spec: &LoadSpec, content: Arc<Content>, thread: u32, origin: u64) -> Self {
        let purpose = Purpose::Draw {
            workload: spec.workload,
            read_ratio: spec.read_ratio,
            random: Random::new(spec.seed, 2 + u64::from(thread)),
            counter: u64::from(thread) << 48,
            origin,
            receipts: VecDeque::new(),
        };
        Self { content, purpose }
    }

    /// Puts of objects that have to be there.
    pub(crate) fn prepare(content: Arc<Content>, todo: Vec<u32>) -> Self {
        let refused = Vec::new();
        Self {
            content,
            purpose: Purpose::Prepare { todo, refused },
        }
    }

    /// The next request, if there is to be one.
    pub(crate) fn next(&mut self) -> Option<Request> {
        match &mut self.purpose {
            Purpose::Prepare { todo, .. } => {
                let object = &self.content.objects[todo.pop()? as usize];
                Some(Request::Put(object.body))
            }
            Purpose::Draw {
                workload,
                read_ratio,
                random,
                counter,
                origin,
                receipts,
            } => {
                let content = &self.content;
                let mut new = |random: &mut Random| {
                    *counter += 1;
                    Body::new(content.size(random), *counter, *origin)
                };
                let reads = |random: &mut Random| random.unit() < *read_ratio;
                Some(match workload {
                    Workload::Echo => Request::Echo(new(random)),
                    Workload::Objects if reads(random) => Request::Get(content.key(random)),
                    Workload::Objects => Request::Put(new(random)),
                    Workload::Mailbox => match receipts.pop_front() {
                        Some(receipt) => Request::Ack(receipt),
                        None if reads(random) => Request::Receive,
                        None => Request::Send(new(random)),
                    },
                })
            }
        }
    }

    /// Whether there will be no more, before time is up.
    pub(crate) fn is_over(&self) -> bool {
        matches!(&self.purpose, Purpose::Prepare { todo, .. } if todo.is_empty())
    }

    /// Takes note of a message that is to be acknowledged.
    pub(crate) fn received(&mut self, receipt: Receipt) {
        if let Purpose::Draw { receipts, .. } = &mut self.purpose
            && receipts.len() < RECEIPTS
        {
            receipts.push_back(receipt);
        }
    }

    /// Takes note of what became of a request.
    pub(crate) fn ended(&mut self, request: &Request, verdict: Verdict) {
        if let Purpose::Prepare { refused, .. } = &mut self.purpose
            && let Some(body) = request.body()
            && verdict == Verdict::Refused
        {
            refused.push(body.number() as u32);
        }
    }

    /// Objects that are still to be put, also since they were refused.
    pub(crate) fn into_left(self) -> Vec<u32> {
        match self.purpose {
            Purpose::Prepare { mut todo, refused } => {
                todo.extend(refused);
                todo
            }
            Purpose::Draw { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    fn plan(workload: Workload, read_ratio: f64, thread: u32) -> Plan {
        let spec = LoadSpec {
            workload,
            read_ratio,
            ..LoadSpec::default()
        };
        let content = Arc::new(Content::new(&spec).unwrap());
        Plan::draw(&spec, content, thread, 7)
    }

    fn kinds(plan: &mut Plan, count: usize) -> Vec<Kind> {
        let requests = std::iter::from_fn(|| plan.next()).take(count);
        requests.map(|request| request.kind()).collect()
    }

    #[test]
    fn reads_are_as_many_as_the_ratio_says() {
        for (ratio, expected) in [(0.0, 0..=0), (0.25, 200..=300), (1.0, 1000..=1000)] {
            let kinds = kinds(&mut plan(Workload::Objects, ratio, 0), 1000);
            let gets = kinds.iter().filter(|kind| **kind == Kind::Get).count();
            assert!(expected.contains(&gets), "{ratio}: {gets}");
        }
        let echoes = kinds(&mut plan(Workload::Echo, 1.0, 0), 10);
        assert_eq!(echoes, [Kind::Echo; 10]);
    }

    #[test]
    fn new_bodies_are_new_in_every_thread_and_drawn_the_same_again() {
        let bodies = |thread| {
            let mut plan = plan(Workload::Objects, 0.0, thread);
            let requests = std::iter::from_fn(move || plan.next()).take(1000);
            requests.map(|put| *put.body().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(bodies(1), bodies(1));
        let numbers = (0..3).flat_map(bodies).map(|body| body.number());
        assert_eq!(numbers.collect::<HashSet<_>>().len(), 3000);
    }

    #[test]
    fn what_was_received_is_acknowledged_before_anything_else() {
        let mut plan = plan(Workload::Mailbox, 0.0, 0);
        assert_eq!(kinds(&mut plan, 2), [Kind::Send; 2]);
        for receipt in ["a", "b"] {
            plan.received(receipt.as_bytes().into());
        }
        assert_eq!(kinds(&mut plan, 3), [Kind::Ack, Kind::Ack, Kind::Send]);
        // More than anybody should have open are not kept.
        for _ in 0..RECEIPTS + 5 {
            plan.received(Receipt::new());
        }
        let acks = kinds(&mut plan, RECEIPTS + 1);
        assert_eq!(
            acks.iter().filter(|kind| **kind == Kind::Ack).count(),
            RECEIPTS
        );
    }

    #[test]
    fn objects_are_put_once_each_and_refused_ones_are_left() {
        let content = Arc::new(Content::new(&LoadSpec::default()).unwrap());
        let mut plan = Plan::prepare(content, (0..64).collect());
        assert!(!plan.is_over());
        let mut numbers = HashSet::new();
        for _ in 0..60 {
            let put = plan.next().unwrap();
            let number = put.body().unwrap().number();
            assert!(numbers.insert(number));
            let verdict = match number % 16 {
                3 => Verdict::Refused,
                _ => Verdict::AsAsked,
            };
            plan.ended(&put, verdict);
        }
        let mut left = plan.into_left();
        left.sort_unstable();
        let refused = numbers.iter().filter(|number| **number % 16 == 3).count();
        assert_eq!(left.len(), 4 + refused);
        assert!(left.contains(&0), "the last of all is the first");
    }
}
