//! The stages that are the same for every protocol: authority, rate, in flight, readiness, facet.
//!
//! An ingress goes through them in the order of refusal; what it has to check of its own messages
//! comes before, between or after them, but never in another order.

use crate::authority::{Holder, Presented};
use crate::call::{Call, CallError, Cost, Facet};
use crate::clock;
use crate::ingress::http::routes::Route;
use crate::node::Node;
use crate::readiness::State;
use micronode_hardening::{InFlight, Permit};
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::Access;
use micronode_protocol::limits::{IN_FLIGHT_DEGRADED_PERCENT, SLOW_SHARE_WAIT};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// The pauses between attempts to let something go on that has waited, of which there may be many:
/// each is twice as long as the one before ...
const READMISSION: Duration = Duration::from_millis(5);
/// ... up to this.
const READMISSION_MAX: Duration = Duration::from_millis(80);

/// The next of those pauses.
#[derive(Default)]
pub(crate) struct Readmission(Option<Duration>);

impl Readmission {
    /// Waits for the next attempt.
    pub(crate) fn pause(&mut self) -> Sleep {
        let pause = self.0.map_or(READMISSION, |last| last * 2);
        sleep(*self.0.insert(pause.min(READMISSION_MAX)))
    }
}

/// What a request holds from admission to the last byte of its answer.
#[must_use = "permits that are dropped at once limit nothing"]
pub(crate) struct Permits {
    _in_flight: Permit,
    _facet: Option<Permit>,
}

/// A request in progress, as the metrics see it: counted from its head to its last byte.
pub(crate) struct InProgress {
    node: Arc<Node>,
    route: Route,
    method: usize,
    pub(crate) started: Instant,
    pub(crate) permits: Option<Permits>,
    /// Who makes it, where a capability says so.
    pub(crate) holder: Option<Arc<Holder>>,
    /// Of a refusal with a document.
    pub(crate) refusal: Option<Permit>,
    is_parked: bool,
}

impl InProgress {
    /// A request for `route` begins; `method` indexes the metrics' methods.
    pub(crate) fn begin(node: &Arc<Node>, route: Route, method: usize, started: Instant) -> Self {
        #[cfg(feature = "faults")]
        crate::worse::slow_down();
        node.metrics.begin(route);
        Self {
            node: Arc::clone(node),
            route,
            method,
            started,
            permits: None,
            holder: None,
            refusal: None,
            is_parked: false,
        }
    }

    /// From now on it only waits, and takes nobody's place.
    pub(crate) fn park(&mut self) {
        self.permits = None;
        if !std::mem::replace(&mut self.is_parked, true) {
            self.node.metrics.park(self.route);
        }
    }

    /// Whether it only waits.
    pub(crate) fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// It goes on, with what it needs for that.
    pub(crate) fn resume(&mut self, permits: Permits) {
        self.permits = Some(permits);
        if std::mem::replace(&mut self.is_parked, false) {
            self.node.metrics.begin(self.route);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let latency = clock::instant() - self.started;
        if !self.is_parked {
            self.node.metrics.park(self.route);
        }
        self.node.metrics.end(self.route, self.method, latency);
    }
}

/// Authority: who makes the request, if it may make it.
pub(crate) fn authority(
    node: &Node,
    presented: &Presented<'_>,
    access: &Access<'_>,
    peer: IpAddr,
    now: Instant,
) -> Result<Option<Arc<Holder>>, CallError> {
    let config = node.config.load();
    let authority = &node.authority;
    let holder = authority.authenticate(&config.auth, presented, access, peer);
    holder.map_err(|failed| authority.refuse(failed, now))
}

/// The same for a holder who has been authenticated before.
pub(crate) fn authority_again(
    node: &Node,
    holder: &Holder,
    access: &Access<'_>,
    now: Instant,
) -> Result<(), CallError> {
    let stands = holder.stands(&node.config.load().auth, clock::now());
    stands
        .and_then(|()| holder.allows(access))
        .map_err(|failed| node.authority.refuse(failed, now))
}

/// The call as far as its holder's capability covers it.
pub(crate) fn narrow(
    node: &Arc<Node>,
    holder: Option<&Holder>,
    call: Call,
) -> Result<Call, CallError> {
    let Some(holder) = holder else {
        return Ok(call);
    };
    // It may have taken a while to come to this.
    let stands = holder.stands(&node.config.load().auth, clock::now());
    stands
        .and_then(|()| holder.narrow(node, call))
        .map_err(|failed| node.authority.deny(failed))
}

/// Rate, in flight, readiness.
pub(crate) async fn admit(
    node: &Node,
    cost: Cost,
    holder: Option<&Holder>,
    now: Instant,
) -> Result<Permit, CallError> {
    match admit_at_once(node, cost, holder, now)? {
        Some(permit) => Ok(permit),
        None => admit_in_place_of_another(node).await,
    }
}

/// The same for who brings a grant: nobody is known yet, so it takes nothing from those who are,
/// and strangers who bring nothing take nothing from it.
pub(crate) fn admit_grant(node: &Node, cost: Cost, now: Instant) -> Result<Permit, CallError> {
    node.authority.admit_grant(now)?;
    let permit = node.exchanges.acquire()?;
    shed(node.state(), cost)?;
    Ok(permit)
}

/// The same without waiting: `None` if everything is taken, and a slow stream could be cut for
/// this request by [`admit_in_place_of_another`]. Its token of the rate is spent.
pub(crate) fn admit_at_once(
    node: &Node,
    cost: Cost,
    holder: Option<&Holder>,
    now: Instant,
) -> Result<Option<Permit>, CallError> {
    if let Some(holder) = holder {
        // What would be refused anyway leaves no bucket behind.
        node.rate.check(now)?;
        node.authority.spend(holder, now)?;
    }
    node.rate.admit(now)?;
    let permit = in_flight(node, cost)?;
    shed(node.state(), cost)?;
    Ok(permit)
}

/// Writes may take at most nine tenths of what is in flight, so that readers always find room; for
/// a reader that finds none, the slowest stream may give way.
fn in_flight(node: &Node, cost: Cost) -> Result<Option<Permit>, CallError> {
    if cost != Cost::Write {
        return match node.in_flight.acquire() {
            Ok(permit) => Ok(Some(permit)),
            // Nobody gives way for a request that is shed anyway.
            Err(refusal) if shed(node.state(), cost).is_err() => Err(refusal.into()),
            Err(_) => Ok(None),
        };
    }
    let share = node.in_flight.cap() * IN_FLIGHT_DEGRADED_PERCENT as usize / 100;
    let permit = node.in_flight.acquire_within(share.max(1));
    permit.map(Some).map_err(|refusal| {
        if node.in_flight.in_use() < node.in_flight.cap() {
            CallError::new(
                ErrorCode::Degraded,
                "too much is in progress to take writes; reads are served",
            )
        } else {
            refusal.into()
        }
    })
}

/// Has the slowest stream cut, if one is slow enough, and waits for what it held. Who waits here is
/// bounded by the streams that were cut for them.
pub(crate) async fn admit_in_place_of_another(node: &Node) -> Result<Permit, CallError> {
    let until = clock::instant() + SLOW_SHARE_WAIT;
    if node.data_plane.slow_share.cut_slowest() {
        while clock::instant() < until {
            sleep(Duration::from_millis(1)).await;
            if let Ok(permit) = node.in_flight.acquire() {
                return Ok(permit);
            }
        }
    }
    Ok(node.in_flight.acquire()?)
}

/// What each state of readiness sheds.
fn shed(state: State, cost: Cost) -> Result<(), CallError> {
    match (state, cost) {
        (State::Starting, _) => Err(CallError::new(
            ErrorCode::Starting,
            "the node is not ready yet",
        )),
        (State::Degraded, Cost::Write) => Err(CallError::new(
            ErrorCode::Degraded,
            "writes are shed until the node has recovered; reads are served",
        )),
        (State::Shedding, Cost::Write | Cost::Buffer) => Err(CallError::new(
            ErrorCode::Degraded,
            "only reads and deletes are served until the node has recovered",
        )),
        (State::Draining, Cost::Write) => Err(CallError::new(
            ErrorCode::Draining,
            "the node is shutting down and takes nothing new; reads are served",
        )),
        _ => Ok(()),
    }
}

/// The last stage before the work: a permit of the part of the node that does it.
pub(crate) fn facet(node: &Node, facet: Facet, in_flight: Permit) -> Result<Permits, CallError> {
    let facets = &node.facets;
    let permits = match facet {
        Facet::None => None,
        Facet::StorageRead => Some(&facets.storage_read),
        Facet::StorageWrite => Some(&facets.storage_write),
        Facet::Index => Some(&facets.index),
        Facet::Mailbox => Some(&facets.mailbox),
    };
    Ok(Permits {
        _in_flight: in_flight,
        _facet: permits.map(InFlight::acquire).transpose()?,
    })
}

/// Lets what has waited go on: it has been admitted before, and takes no more of any rate. Where
/// there is no place for it, it waits on for one, until this time.
pub(crate) async fn readmit(
    node: &Node,
    cost: Cost,
    of: Facet,
    until: Instant,
) -> Result<Permits, CallError> {
    let mut readmission = Readmission::default();
    loop {
        match readmit_at_once(node, cost, of) {
            Err(_) if clock::instant() < until => readmission.pause().await,
            permits => return permits,
        }
    }
}

/// The same without waiting.
pub(crate) fn readmit_at_once(node: &Node, cost: Cost, of: Facet) -> Result<Permits, CallError> {
    let permit = node.in_flight.acquire()?;
    shed(node.state(), cost)?;
    facet(node, of, permit)
}
