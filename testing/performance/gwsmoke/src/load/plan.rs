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
