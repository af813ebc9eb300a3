//! Whether what was seen of one message can be told as one life that the rules allow.
//!
//! Requests overlap, so the order in which the node did them is not known: each took effect at one
//! moment between its first byte and the last of its answer. The search tries the orders that
//! these times leave, with the earliest moment that each step can have, which is the one that
//! excludes least. A request whose client was cut off may have taken effect at any time since, or
//! not at all. Messages do not depend on each other, apart from their order, which is promised to
//! nobody: so each is looked at alone.

use crate::log::{Lane, Micros, Settle};
use std::collections::HashSet;

/// The node counts in whole milliseconds, at both ends of a time.
const TOLERANCE: Micros = 2_000;
/// The end of what has no end.
pub(crate) const NEVER: Micros = Micros::MAX;

/// One thing that befell a message.
#[derive(Clone, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) began: Micros,
    pub(crate) ended: Micros,
    /// Whether it took effect for sure.
    pub(crate) is_certain: bool,
    pub(crate) what: What<'a>,
}

#[derive(Clone, Debug)]
pub(crate) enum What<'a> {
    Sent {
        delay_ms: u32,
    },
    /// Told its id again.
    Duplicate,
    Delivered {
        lane: Lane,
        attempt: u32,
        receipt: &'a str,
        visibility_ms: u32,
    },
    /// Leased for a client that did not live to read its receipt.
    Taken {
        lane: Lane,
        visibility_ms: u32,
    },
    Settled {
        lane: Lane,
        how: Settle,
        receipt: &'a str,
        is_ok: bool,
    },
    Purged(Lane),
    Redriven,
}

/// Where the message is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place<'a> {
    Nowhere,
    /// To be had, from a moment on.
    Free {
        lane: Lane,
        deliveries: u32,
        visible: Micros,
    },
    Leased {
        lane: Lane,
        deliveries: u32,
        /// `None`: nobody has it.
        receipt: Option<&'a str>,
        /// When the lease runs out: not before the first, not after the second.
        over: (Micros, Micros),
    },
    Gone,
}

/// A point in an order of the steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Point<'a> {
    /// A bit for each step.
    done: u128,
    /// Nothing after this point took effect earlier.
    now: Micros,
    place: Place<'a>,
}

/// Finds an order that is allowed and ends with the message gone, or says how far it comes.
pub(crate) fn explain(steps: &[Step<'_>], max_deliveries: u32) -> Result<(), String> {
    assert!(steps.len() <= 128, "a busy message: {}", steps.len());
    let life = Life {
        steps,
        max_deliveries,
    };
    let start = Point {
        done: 0,
        now: 0,
        place: Place::Nowhere,
    };
    let mut furthest = start.clone();
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(point) = open.pop() {
        if life.is_complete(&point) {
            return Ok(());
        }
        if point.done.count_ones() > furthest.done.count_ones() {
            furthest = point.clone();
        }
        life.next(&point, |next| {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        });
    }
    Err(life.complaint(&furthest))
}

struct Life<'a> {
    steps: &'a [Step<'a>],
    max_deliveries: u32,
}

impl<'a> Life<'a> {
    fn left(&self, done: u128) -> impl Iterator<Item = (usize, &'a Step<'a>)> {
        let steps = self.steps.iter().enumerate();
        steps.filter(move |(index, _)| done & (1 << index) == 0)
    }

    fn is_complete(&self, point: &Point<'_>) -> bool {
        self.left(point.done).all(|(_, step)| !step.is_certain)
            && matches!(point.place, Place::Gone | Place::Nowhere)
    }

    /// Every point that may follow.
    fn next(&self, point: &Point<'a>, mut found: impl FnMut(Point<'a>)) {
        let certain = self.left(point.done).filter(|(_, step)| step.is_certain);
        let latest = certain.map(|(_, step)| step.ended).min().unwrap_or(NEVER);
        let mut offer = |done, now, place| {
            // Later than that, and a step that did take effect could not have.
            if now <= latest {
                found(Point { done, now, place });
            }
        };
        if let Place::Leased {
            lane,
            deliveries,
            over,
            ..
        } = point.place
        {
            let now = point.now.max(over.0);
            offer(point.done, now, self.back(lane, deliveries, now));
        }
        // The last one offered is tried first: what is certain before what is not, and of that
        // what ended first.
        let mut steps: Vec<_> = self.left(point.done).collect();
        steps.sort_by_key(|(_, step)| std::cmp::Reverse((!step.is_certain, step.ended)));
        for (index, step) in steps {
            let now = point.now.max(step.began);
            let done = point.done | 1 << index;
            if let Some((now, place)) = self.after(step, &point.place, now)
                && now <= step.ended
            {
                offer(done, now, place);
            }
        }
    }

    /// Where a message is whose delivery came to nothing.
    fn back(&self, lane: Lane, deliveries: u32, visible: Micros) -> Place<'a> {
        match lane {
            Lane::Main if deliveries >= self.max_deliveries => Place::Free {
                lane: Lane::Dead,
                deliveries,
                visible: 0,
            },
            _ => Place::Free {
                lane,
                deliveries,
                visible,
            },
        }
    }

    /// When, at or after `now`, `step` can have taken effect on a message at `place`, and where
    /// the message is then. `None`: it cannot.
    fn after(
        &self,
        step: &Step<'a>,
        place: &Place<'a>,
        now: Micros,
    ) -> Option<(Micros, Place<'a>)> {
        match (&step.what, place) {
            (What::Sent { delay_ms }, Place::Nowhere) => {
                let place = Place::Free {
                    lane: Lane::Main,
                    deliveries: 0,
                    visible: later(now, *delay_ms),
                };
                Some((now, place))
            }
            (What::Duplicate, place) if *place != Place::Nowhere => Some((now, place.clone())),
            (What::Delivered { lane, .. } | What::Taken { lane, .. }, Place::Free { .. }) => {
                self.leased(step, *lane, place, now)
            }
            (
                What::Settled {
                    lane,
                    how,
                    receipt,
                    is_ok,
                },
                _,
            ) => match place {
                Place::Leased {
                    lane: its,
                    deliveries,
                    receipt: Some(owner),
                    over,
                } if owner == receipt && its == lane => {
                    let done = (*is_ok && now < over.1).then(|| match how {
                        Settle::Ack => Place::Gone,
                        Settle::Nack { delay_ms } => {
                            self.back(*its, *deliveries, later(now, *delay_ms))
                        }
                        Settle::Extend { visibility_ms } => Place::Leased {
                            lane: *its,
                            deliveries: *deliveries,
                            receipt: Some(owner),
                            over: (
                                later(now, *visibility_ms),
                                latest(step.ended, *visibility_ms).max(over.1),
                            ),
                        },
                    });
                    done.map(|place| (now, place))
                }
                // Refused, it touches nothing.
                _ => (!is_ok).then(|| (now, place.clone())),
            },
            (What::Purged(lane), place) => match place {
                Place::Free { lane: its, .. } | Place::Leased { lane: its, .. } if its == lane => {
                    Some((now, Place::Gone))
                }
                _ => Some((now, place.clone())),
            },
            (What::Redriven, place) => match place {
                Place::Free {
                    lane: Lane::Dead, ..
                } => Some((
                    now,
                    Place::Free {
                        lane: Lane::Main,
                        deliveries: 0,
                        visible: 0,
                    },
                )),
                _ => Some((now, place.clone())),
            },
            _ => None,
        }
    }

    fn leased(
        &self,
        step: &Step<'a>,
        from: Lane,
        place: &Place<'a>,
        now: Micros,
    ) -> Option<(Micros, Place<'a>)> {
        let Place::Free {
            lane,
            deliveries,
            visible,
        } = *place
        else {
            return None;
        };
        let deliveries = deliveries + 1;
        let (receipt, visibility_ms) = match step.what {
            What::Delivered {
                attempt,
                receipt,
                visibility_ms,
                ..
            } if attempt == deliveries => (Some(receipt), visibility_ms),
            What::Taken { visibility_ms, .. } => (None, visibility_ms),
            _ => return None,
        };
        let now = now.max(visible);
        let place = Place::Leased {
            lane,
            deliveries,
            receipt,
            over: (later(now, visibility_ms), latest(step.ended, visibility_ms)),
        };
        (lane == from).then_some((now, place))
    }

    fn complaint(&self, furthest: &Point<'_>) -> String {
        let mut lines = vec![format!(
            "no order of these is allowed that ends with the message gone; the longest has it at \
             {:?}, {} µs, and goes no further:",
            furthest.place, furthest.now
        )];
        for (index, step) in self.steps.iter().enumerate() {
            let mark = if furthest.done & (1 << index) == 0 {
                "left"
            } else {
                "done"
            };
            lines.push(format!("  {mark}: {step:?}"));
        }
        lines.join("\n")
    }
}

/// The earliest end of what began at `now`.
fn later(now: Micros, ms: u32) -> Micros {
    match ms {
        0 => now,
        ms => (now + Micros::from(ms) * 1000).saturating_sub(TOLERANCE),
    }
}

/// The latest end of what began at `ended` at the latest.
fn latest(ended: Micros, ms: u32) -> Micros {
    ended.saturating_add(Micros::from(ms) * 1000 + TOLERANCE)
}
