//! What happens on the node, told to whoever listens: on the bus, and in the queues that the
//! configured routes lead to.
//!
//! Routes are a part of publishing and no subscribers, so that a consumer who is away misses
//! nothing: what cannot be put into its queue is counted, and keeps the node from being ready.
//!
//! The index of names publishes under its lock, so that changes come to the bus and into queues in
//! the order of their revisions. Listeners are woken after it; a routed message is sent under it,
//! receivers of its queue included, and until it is sent no name can be read or changed.

use crate::authority::Scope;
use crate::clock;
use crate::config::Route;
use arc_swap::ArcSwap;
use micronode_engine::Now;
use micronode_engine::bus::{Appended, Bus, Event, EventKind};
use micronode_engine::mailbox::{Mailbox, Send};
use micronode_engine::names::NameChange;
use micronode_engine::store::StoreEvent;
use micronode_protocol::Address;
use micronode_protocol::capability::Resource;
use micronode_protocol::limits::ROUTE_DROP_WINDOW;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the [module](self).
pub(crate) struct Events {
    pub(crate) bus: Bus,
    mailbox: Mailbox,
    routes: ArcSwap<Vec<Routed>>,
    /// Tells the numbers of this life of the node from those of others.
    boot: String,
    /// When an event last found no room, on the monotonic clock; 0 for never. Not one about the
    /// node's health, which follows from this and would keep it going.
    dropped_at_ms: AtomicU64,
}

/// A route, and what could not be put into its queue.
struct Routed {
    route: Route,
    dropped: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn new(mailbox: Mailbox, boot: u64, routes: &[Route]) -> Self {
        let events = Self {
            bus: Bus::new(),
            mailbox,
            routes: ArcSwap::default(),
            boot: format!("{boot:016x}"),
            dropped_at_ms: AtomicU64::new(0),
        };
        events.set_routes(routes);
        events
    }

    /// Takes over what a reload may change. A route that stays keeps its count.
    pub(crate) fn set_routes(&self, routes: &[Route]) {
        let before = self.routes.load();
        let routed = routes.iter().map(|route| Routed {
            route: route.clone(),
            dropped: before
                .iter()
                .find(|routed| routed.route.name == route.name)
                .map_or_else(Arc::default, |routed| Arc::clone(&routed.dropped)),
        });
        self.routes.store(Arc::new(routed.collect()));
    }

    /// By route, how many events its queue had no room for.
    pub(crate) fn dropped(&self) -> Vec<(String, u64)> {
        let routes = self.routes.load();
        let count = |routed: &Routed| (routed.route.name.clone(), routed.dropped.load(Relaxed));
        routes.iter().map(count).collect()
    }

    /// Whether an event of something else than health has found no room within [`ROUTE_DROP_WINDOW`].
    pub(crate) fn drops(&self, now: Now) -> bool {
        let at_ms = self.dropped_at_ms.load(Relaxed);
        at_ms > 0 && now.mono_ms.saturating_sub(at_ms) <= ROUTE_DROP_WINDOW.as_millis() as u64
    }

    /// Whoever listens is woken when the result is dropped.
    pub(crate) fn publish(&self, kind: EventKind) -> Appended {
        let now = clock::now();
        let event = Event {
            at_wall_ms: now.wall_ms,
            kind,
        };
        let mut body = None;
        for Routed { route, dropped } in self.routes.load().iter() {
            if !matches(route, &event.kind) {
                continue;
            }
            let message = Send {
                body: body.get_or_insert_with(|| document(&event)).as_bytes(),
                delay_ms: 0,
                idempotency: None,
            };
            if self.mailbox.send(now, &route.queue, message).is_err() {
                dropped.fetch_add(1, Relaxed);
                if !matches!(event.kind, EventKind::Health { .. }) {
                    self.dropped_at_ms.store(now.mono_ms, Relaxed);
                }
            }
        }
        self.bus.append(event)
    }

    /// What the store tells.
    pub(crate) fn object(&self, event: StoreEvent) -> Appended {
        self.publish(match event {
            StoreEvent::Put { address, size } => EventKind::ObjectPut { address, size },
            StoreEvent::Deleted { address, why } => EventKind::ObjectDeleted { address, why },
        })
    }

    /// What the index tells.
    pub(crate) fn name(&self, change: &NameChange<'_>) -> Appended {
        let (name, before, revision) = (change.name.into(), change.before, change.revision);
        self.publish(match change.address {
            Some(address) => EventKind::NameSet {
                name,
                address,
                before,
                revision,
            },
            None => EventKind::NameDeleted {
                name,
                before,
                revision,
            },
        })
    }

    /// The id of an event, for people and to come back with.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.boot)
    }

    /// The number in an id of this life of the node.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&self.boot)?.strip_prefix('-')?;
        let canonical = number == "0" || number.starts_with(|c: char| matches!(c, '1'..='9'));
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| canonical && digits)
    }
}

fn matches(route: &Route, kind: &EventKind) -> bool {
    let name = match kind {
        EventKind::NameSet { name, .. } | EventKind::NameDeleted { name, .. } => name,
        _ => "",
    };
    route.event == kind.as_str() && name.starts_with(&*route.prefix)
}

/// An event as a scope shows it; `None` if it does not. A change of a name concerns who may see
/// where it points now, and who could see where it pointed before. For those who may see nothing
/// but the latter, the name is gone.
pub(crate) fn shown(event: Arc<Event>, scope: &Scope) -> Option<Arc<Event>> {
    let points =
        |name: &str, address: &Address| scope.shows(Resource::Pointer(name, Some(address)));
    let is_shown = match &event.kind {
        EventKind::ObjectPut { address, .. } | EventKind::ObjectDeleted { address, .. } => {
            scope.shows(Resource::Object(address))
        }
        EventKind::NameSet { name, address, .. } if points(name, address) => true,
        EventKind::NameSet {
            name,
            before: Some(before),
            revision,
            ..
        } if points(name, before) => {
            return Some(Arc::new(Event {
                at_wall_ms: event.at_wall_ms,
                kind: EventKind::NameDeleted {
                    name: Arc::clone(name),
                    before: Some(*before),
                    revision: *revision,
                },
            }));
        }
        EventKind::NameSet { .. } => false,
        EventKind::NameDeleted { name, before, .. } => {
            before.is_some_and(|before| points(name, &before))
        }
        EventKind::ConfigUpdated | EventKind::Health { .. } => scope.shows(Resource::None),
    };
    is_shown.then_some(event)
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// An event as JSON.
pub(crate) fn document(event: &Event) -> String {
    let mut document = Document {
        r#type: event.kind.as_str(),
        at: clock::rfc3339(event.at_wall_ms),
        name: None,
        address: None,
        size: None,
        revision: None,
        state: None,
        reason: None,
    };
    match &event.kind {
        EventKind::ObjectPut { address, size } => {
            document.address = Some(address.to_string());
            document.size = Some(*size);
        }
        EventKind::ObjectDeleted { address, why } => {
            document.address = Some(address.to_string());
            document.reason = Some(why.as_str());
        }
        EventKind::NameSet {
            name,
            address,
            revision,
            ..
        } => {
            document.name = Some(name);
            document.address = Some(address.to_string());
            document.revision = Some(*revision);
        }
        EventKind::NameDeleted { name, revision, .. } => {
            document.name = Some(name);
            document.revision = Some(*revision);
        }
        EventKind::ConfigUpdated => {}
        EventKind::Health { state, reason } => {
            document.state = Some(state);
            document.reason = Some(reason);
        }
    }
    serde_json::to_string(&document).expect("our own events always serialise")
}
