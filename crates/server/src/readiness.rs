//! Readiness: degrade before collapse, writes first. A pure state machine over sampled inputs.
//!
//! Each input has a threshold at which it rises and a lower one at which it falls, and must stay
//! on its new side for a second before it counts, so that a node at an edge does not flap.

use micronode_protocol::limits::{
    FD_DEGRADED_PERCENT, IN_FLIGHT_DEGRADED_PERCENT, LOOP_DELAY_DEGRADED, MEMORY_DEGRADED_PERCENT,
    MEMORY_SHED_PERCENT, READINESS_HOLD, READINESS_HYSTERESIS_PERCENT, RESTARTS_PER_WINDOW,
};

/// What the node accepts at the moment. The discriminant is the value of `ready_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    /// Not every listener is bound yet.
    Starting = 0,
    /// Everything is served.
    Ready = 1,
    /// Writes are shed, reads are open.
    Degraded = 2,
    /// Only the admin plane, cheap reads and deletes.
    Shedding = 3,
    /// Shutting down.
    Draining = 4,
}

impl State {
    /// The word in metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Shedding => "shedding",
            State::Draining => "draining",
        }
    }

    /// The state with this discriminant; an unknown one reads as starting, which serves nothing.
    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            1 => State::Ready,
            2 => State::Degraded,
            3 => State::Shedding,
            4 => State::Draining,
            _ => State::Starting,
        }
    }
}

/// One sample of everything that readiness depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Requests in flight, in percent of their cap.
    pub(crate) in_flight_percent: u64,
    /// Filled memory, in percent of the budget.
    pub(crate) memory_percent: u64,
    /// Open descriptors, in percent of the soft limit.
    pub(crate) fd_percent: u64,
    /// Delay of the worker's event loop that is latest, in milliseconds.
    pub(crate) loop_delay_ms: u64,
    /// Restarts of supervised tasks within the window.
    pub(crate) restarts: u32,
    /// Whether an event has found no room in its queue lately.
    pub(crate) routes_drop: bool,
    /// Whether what is to be kept cannot be written to disk.
    pub(crate) disk_is_down: bool,
}

/// A change of state and the input that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    /// The state entered.
    pub(crate) to: State,
    /// The input that rose, or that fell last; `started` or `draining` for the life cycle.
    pub(crate) reason: &'static str,
}

/// An input with hysteresis and hold.
#[derive(Debug)]
struct Input {
    name: &'static str,
    /// What the node becomes while this input is up.
    effect: State,
    /// Rises when the sample is above.
    rise: u64,
    /// Falls when the sample is at or below.
    fall: u64,
    up: bool,
    /// Since when the sample has been on the other side, in milliseconds.
    turning_since: Option<u64>,
}

impl Input {
    const fn new(name: &'static str, effect: State, rise: u64, fall: u64) -> Self {
        assert!(fall <= rise);
        Self {
            name,
            effect,
            rise,
            fall,
            up: false,
            turning_since: None,
        }
    }

    /// Takes a sample; returns whether the input changed sides.
    fn take(&mut self, now_ms: u64, value: u64) -> bool {
        let turning = if self.up {
            value <= self.fall
        } else {
            value > self.rise
        };
        if !turning {
            self.turning_since = None;
            return false;
        }
        let since = *self.turning_since.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) < READINESS_HOLD.as_millis() as u64 {
            return false;
        }
        self.up = !self.up;
        self.turning_since = None;
        true
    }
}

/// The state machine: `observe` samples, `started` and `drain` move the life cycle.
#[derive(Debug)]
pub(crate) struct Readiness {
    state: State,
    inputs: [Input; 8],
}

impl Default for Readiness {
    fn default() -> Self {
        const fn percent(name: &'static str, effect: State, rise: u64) -> Input {
            Input::new(name, effect, rise, rise - READINESS_HYSTERESIS_PERCENT)
        }
        let loop_delay_ms = LOOP_DELAY_DEGRADED.as_millis() as u64;
        Self {
            state: State::Starting,
            inputs: [
                percent("in_flight", State::Degraded, IN_FLIGHT_DEGRADED_PERCENT),
                percent("memory", State::Degraded, MEMORY_DEGRADED_PERCENT),
                percent("memory", State::Shedding, MEMORY_SHED_PERCENT),
                percent("fds", State::Degraded, FD_DEGRADED_PERCENT),
                Input::new(
                    "loop_delay",
                    State::Degraded,
                    loop_delay_ms,
                    loop_delay_ms / 2,
                ),
                Input::new(
                    "restarts",
                    State::Degraded,
                    RESTARTS_PER_WINDOW as u64,
                    RESTARTS_PER_WINDOW as u64,
                ),
                Input::new("routes", State::Degraded, 0, 0),
                Input::new("disk", State::Degraded, 0, 0),
            ],
        }
    }
}

impl Readiness {
    /// The inputs that keep the node from being ready, each once.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let mut missing: Vec<&'static str> = self
            .inputs
            .iter()
            .filter(|input| input.up)
            .map(|input| input.name)
            .collect();
        missing.dedup();
        if matches!(self.state, State::Starting | State::Draining) {
            missing.push(self.state.as_str());
        }
        missing
    }

    /// Every listener is bound.
    pub(crate) fn started(&mut self) -> Option<Transition> {
        if self.state != State::Starting {
            return None;
        }
        self.enter(self.worst(), "started")
    }

    /// Shutdown has begun; nothing leads back.
    pub(crate) fn drain(&mut self) -> Option<Transition> {
        self.enter(State::Draining, "draining")
    }

    /// Takes one sample at `now_ms` (any monotonic milliseconds).
    pub(crate) fn observe(&mut self, now_ms: u64, sample: &Sample) -> Option<Transition> {
        let values = [
            sample.in_flight_percent,
            sample.memory_percent,
            sample.memory_percent,
            sample.fd_percent,
            sample.loop_delay_ms,
            u64::from(sample.restarts),
            u64::from(sample.routes_drop),
            u64::from(sample.disk_is_down),
        ];
        let mut reason = None;
        for (input, value) in self.inputs.iter_mut().zip(values) {
            if input.take(now_ms, value) {
                reason = Some(input.name);
            }
        }
        let reason = reason?;
        if matches!(self.state, State::Starting | State::Draining) {
            return None;
        }
        self.enter(self.worst(), reason)
    }

    fn worst(&self) -> State {
        self.inputs
            .iter()
            .filter(|input| input.up)
            .map(|input| input.effect)
            .max()
            .unwrap_or(State::Ready)
    }

    fn enter(&mut self, to: State, reason: &'static str) -> Option<Transition> {
        if self.state == to {
            return None;
        }
        self.state = to;
        Some(Transition { to, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use micronode_protocol::limits::ROUTE_DROP_WINDOW;

    const HOLD: u64 = READINESS_HOLD.as_millis() as u64;

    fn memory(percent: u64) -> Sample {
        Sample {
            memory_percent: percent,
            ..Sample::default()
        }
    }

    fn ready() -> Readiness {
        let mut readiness = Readiness::default();
        assert_eq!(
            readiness.started(),
            Some(Transition {
                to: State::Ready,
                reason: "started"
            })
        );
        readiness
    }

    #[test]
    fn a_threshold_counts_only_above_it_and_after_the_hold() {
        let mut readiness = ready();
        assert_eq!(readiness.observe(0, &memory(MEMORY_DEGRADED_PERCENT)), None);
        assert_eq!(
            readiness.observe(HOLD, &memory(MEMORY_DEGRADED_PERCENT)),
            None
        );
        assert_eq!(
            readiness.observe(2 * HOLD, &memory(MEMORY_DEGRADED_PERCENT + 1)),
            None
        );
        assert_eq!(
            readiness.observe(3 * HOLD - 1, &memory(MEMORY_DEGRADED_PERCENT + 1)),
            None
        );
        let degraded = Some(Transition {
            to: State::Degraded,
            reason: "memory",
        });
        assert_eq!(
            readiness.observe(3 * HOLD, &memory(MEMORY_DEGRADED_PERCENT + 1)),
            degraded
        );
        assert_eq!(readiness.missing(), ["memory"]);
    }

    #[test]
    fn a_dip_restarts_the_hold() {
        let mut readiness = ready();
        assert_eq!(readiness.observe(0, &memory(90)), None);
        assert_eq!(readiness.observe(HOLD - 1, &memory(10)), None);
        assert_eq!(readiness.observe(HOLD, &memory(90)), None);
        assert_eq!(readiness.state, State::Ready);
    }

    #[test]
    fn it_falls_below_the_threshold_by_the_hysteresis() {
        let mut readiness = ready();
        readiness.observe(0, &memory(90));
        readiness.observe(HOLD, &memory(90));
        assert_eq!(readiness.state, State::Degraded);
        let fall = MEMORY_DEGRADED_PERCENT - READINESS_HYSTERESIS_PERCENT;
        for now in [2, 4, 6] {
            assert_eq!(readiness.observe(now * HOLD, &memory(fall + 1)), None);
        }
        assert_eq!(readiness.observe(7 * HOLD, &memory(fall)), None);
        assert_eq!(
            readiness.observe(8 * HOLD, &memory(fall)),
            Some(Transition {
                to: State::Ready,
                reason: "memory"
            })
        );
        assert!(readiness.missing().is_empty());
    }

    #[test]
    fn the_worst_input_decides() {
        let mut readiness = ready();
        readiness.observe(0, &memory(96));
        assert_eq!(
            readiness.observe(HOLD, &memory(96)),
            Some(Transition {
                to: State::Shedding,
                reason: "memory"
            })
        );
        assert_eq!(readiness.missing(), ["memory"]);
        readiness.observe(2 * HOLD, &memory(90));
        assert_eq!(
            readiness.observe(3 * HOLD, &memory(90)),
            Some(Transition {
                to: State::Degraded,
                reason: "memory"
            })
        );
    }

    /// An event is dropped at one moment, and told as long as it takes to be noticed.
    #[test]
    fn a_single_event_that_found_no_room_degrades_for_a_while() {
        let mut readiness = ready();
        let told = ROUTE_DROP_WINDOW.as_millis() as u64;
        let mut changes = Vec::new();
        for now in (0..10_000).step_by(100) {
            let sample = Sample {
                routes_drop: now <= told,
                ..Sample::default()
            };
            let change = readiness.observe(now, &sample);
            changes.extend(change.map(|change| (now, change.to, change.reason)));
        }
        assert_eq!(
            changes,
            [
                (HOLD, State::Degraded, "routes"),
                (told + 100 + HOLD, State::Ready, "routes")
            ]
        );
    }

    #[test]
    fn starting_and_draining_are_not_left_by_samples() {
        let mut readiness = Readiness::default();
        readiness.observe(0, &memory(90));
        assert_eq!(readiness.observe(HOLD, &memory(90)), None);
        assert_eq!(readiness.state, State::Starting);
        assert_eq!(readiness.missing(), ["memory", "starting"]);
        assert_eq!(
            readiness.drain(),
            Some(Transition {
                to: State::Draining,
                reason: "draining"
            })
        );
        readiness.observe(2 * HOLD, &memory(0));
        assert_eq!(readiness.observe(3 * HOLD, &memory(0)), None);
        assert_eq!(readiness.drain(), None);
        assert_eq!(readiness.started(), None);
    }
}
