//! The node: everything that requests share, built once from a checked configuration.

use crate::amnesia::Amnesia;
use crate::authority::{Authority, random};
use crate::call::CallError;
use crate::config::{self, Config, Loaded};
use crate::events::Events;
use crate::ingress::http::{openapi, problem};
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::persist::Kept;
use crate::readiness::{Readiness, State, Transition};
use crate::supervisor::Supervisor;
use crate::tls::Tls;
use crate::waiting::millis;
use crate::{clock, fds, log};
use arc_swap::ArcSwap;
use bytes::Bytes;
use micronode_engine::bus::EventKind;
use micronode_engine::mailbox::{Mailbox, MailboxConfig, MailboxKeys};
use micronode_engine::names::Names;
use micronode_engine::{Budget, Eviction, MemoryKind, Store, StoreConfig};
use micronode_hardening::{
    BodyPolicy, ConnectionContext, ConnectionLimits, ConnectionSlots, Counters, DecompressLimits,
    Demand, HeadLimits, InFlight, Permit, RateLimiter, SlowShare, SlowShareLimits,
    cap_for_fd_limit,
};
use micronode_protocol::connection::ConnectionLimits as OapLimits;
use micronode_protocol::{ErrorCode, limits};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// What all workers and both planes share. Built by [`Node::new`]; runs nothing by itself.
pub(crate) struct Node {
    /// The configuration in force, which a reload replaces.
    pub(crate) config: ArcSwap<Config>,
    /// The caps that only a restart changes.
    pub(crate) limits: RequestLimits,
    pub(crate) budget: Budget,
    pub(crate) store: Store,
    pub(crate) names: Names,
    pub(crate) mailbox: Mailbox,
    pub(crate) events: Arc<Events>,
    /// Where changes go that outlive the node, if any do.
    pub(crate) keeper: Option<Arc<Keeper>>,
    pub(crate) authority: Authority,
    pub(crate) rate: RateLimiter,
    pub(crate) in_flight: InFlight,
    /// Grants being read and exchanged.
    pub(crate) exchanges: InFlight,
    /// Refusals whose documents are on their way.
    pub(crate) refusals: InFlight,
    pub(crate) facets: Facets,
    pub(crate) decoders: InFlight,
    /// Receives, subscriptions and streams of events that wait.
    pub(crate) waiters: InFlight,
    pub(crate) metrics: Metrics,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) data_plane: Arc<ConnectionContext>,
    pub(crate) admin_plane: Arc<ConnectionContext>,
    pub(crate) data_slots: ConnectionSlots,
    pub(crate) admin_slots: ConnectionSlots,
    /// What the kernel holds the process to.
    pub(crate) amnesia: Amnesia,
    /// What the listeners speak, where it is not plain.
    pub(crate) tls: Option<Tls>,
    /// The OpenAPI document, made once.
    pub(crate) openapi: Bytes,
    /// Tells what waits that the node shuts down.
    pub(crate) draining: Notify,
    #[cfg(feature = "faults")]
    pub(crate) sweeper_fault: crate::sweeper::Fault,
    readiness: Mutex<Readiness>,
    /// The state of `readiness`, for the hot path.
    state: AtomicU8,
}

/// Permits of the facets that exist.
pub(crate) struct Facets {
    pub(crate) storage_read: InFlight,
    pub(crate) storage_write: InFlight,
    pub(crate) index: InFlight,
    pub(crate) mailbox: InFlight,
}

/// Caps of a single request.
pub(crate) struct RequestLimits {
    pub(crate) head: HeadLimits,
    pub(crate) one_shot: BodyPolicy,
    pub(crate) streamed: BodyPolicy,
    pub(crate) request_deadline: Duration,
    /// Of an OAP connection.
    pub(crate) oap: OapLimits,
    /// Of a peer that is waited for.
    pub(crate) demand: Demand,
    decompress_ratio: u64,
}

impl RequestLimits {
    fn new(limits: &config::Limits) -> Self {
        Self {
            head: HeadLimits {
                bytes: limits.head_bytes,
                fields: limits.head_fields,
            },
            one_shot: BodyPolicy::OneShot {
                cap: limits.one_shot_body,
                deadline: limits.one_shot_deadline,
            },
            streamed: BodyPolicy::Streamed {
                cap: limits.max_object,
                interval: limits.progress_interval,
                min_rate: limits.progress_min_rate,
            },
            request_deadline: limits.request_deadline,
            oap: OapLimits {
                max_frame: limits.oap_frame,
                max_streams: limits.oap_streams,
                max_parked: limits.oap_waiters,
                hello: limits.head_deadline,
                idle: limits.idle_keep_alive,
                ping: limits::OAP_PING,
                ping_patience: limits::OAP_PING_PATIENCE,
            },
            demand: Demand {
                interval: limits.progress_interval,
                min_rate: limits.progress_min_rate,
            },
            decompress_ratio: limits.decompress_ratio,
        }
    }

    /// A body that is taken as one, of at most so many bytes and within this time.
    pub(crate) fn one_shot_of(&self, most: usize, within: Duration) -> BodyPolicy {
        match self.one_shot {
            BodyPolicy::OneShot { cap, deadline } => BodyPolicy::OneShot {
                cap: cap.min(most as u64),
                deadline: deadline.min(within),
            },
            streamed @ BodyPolicy::Streamed { .. } => streamed,
        }
    }

    /// The bounds of a decoder whose output may have at most `absolute` bytes.
    pub(crate) fn decompress(&self, absolute: u64) -> DecompressLimits {
        DecompressLimits {
            ratio: self.decompress_ratio,
            slack: limits::DECOMPRESS_SLACK,
            absolute,
            zstd_window_log: limits::ZSTD_WINDOW_LOG,
            brotli_window_bits: limits::BROTLI_WINDOW_BITS,
            silent_bytes: limits::DECOMPRESS_SILENT_BYTES,
        }
    }
}

impl Node {
    /// The node; with `kept`, one that keeps what it holds.
    pub(crate) fn new(loaded: &Loaded, kept: Option<&Kept>) -> Self {
        let Loaded {
            config,
            memory_bytes,
            ..
        } = loaded;
        let caps = &config.limits;
        let budget = Budget::new(*memory_bytes);
        let eviction = match config.memory.eviction {
            config::Eviction::Refuse => Eviction::Refuse,
            config::Eviction::Lru => Eviction::Lru,
        };
        let store = Store::new(
            StoreConfig {
                eviction,
                max_object_bytes: caps.max_object,
            },
            budget.clone(),
        );
        let lasting = kept.map_or_else(random, |kept| *kept.mailbox_key);
        let mut mailbox = Mailbox::new(
            mailbox_config(config, *memory_bytes),
            budget.clone(),
            MailboxKeys::new(lasting, random()),
        );
        let keeper = kept.map(|kept| Arc::clone(&kept.keeper));
        if let Some(keeper) = &keeper {
            mailbox = mailbox.journaled(Arc::clone(keeper) as _);
        }
        let boot = u64::from_ne_bytes(random());
        let events = Arc::new(Events::new(mailbox.clone(), boot, &config.routes));
        let mut store = store.observed({
            let events = Arc::clone(&events);
            move |event| drop(events.object(event))
        });
        if let Some(keeper) = &keeper {
            store = store.journaled(Arc::clone(keeper) as _);
        }
        let mut names = Names::new(store.clone(), budget.clone());
        if let Some(keeper) = &keeper {
            names = names.journaled(Arc::clone(keeper) as _);
        }
        let plane = || {
            Arc::new(ConnectionContext {
                limits: connection_limits(caps),
                counters: Arc::new(Counters::new()),
                bytes_in: Arc::default(),
                bytes_out: Arc::default(),
                slow_share: SlowShare::new(SlowShareLimits {
                    rate: limits::SLOW_SHARE_RATE,
                    window: limits::SLOW_SHARE_WINDOW,
                    age: limits::SLOW_SHARE_AGE,
                }),
                render: problem::raw,
            })
        };
        Self {
            limits: RequestLimits::new(caps),
            budget,
            store,
            names,
            mailbox,
            events,
            keeper,
            authority: Authority::new(config, clock::now(), clock::instant()),
            rate: RateLimiter::new(caps.rps, limits::RATE_BURST, clock::instant()),
            in_flight: InFlight::new(caps.in_flight),
            exchanges: InFlight::new(limits::EXCHANGES),
            refusals: InFlight::new(limits::REFUSALS),
            facets: Facets {
                storage_read: InFlight::new(caps.facets.storage_read),
                storage_write: InFlight::new(caps.facets.storage_write),
                index: InFlight::new(caps.facets.index),
                mailbox: InFlight::new(caps.facets.mailbox),
            },
            decoders: InFlight::new(caps.decoders),
            waiters: InFlight::new(caps.waiters),
            metrics: Metrics::default(),
            supervisor: Arc::default(),
            data_plane: plane(),
            admin_plane: plane(),
            data_slots: ConnectionSlots::new(connection_cap(config)),
            admin_slots: ConnectionSlots::new(limits::ADMIN_CONNECTIONS),
            amnesia: Amnesia::default(),
            tls: None,
            openapi: openapi::document(),
            draining: Notify::new(),
            #[cfg(feature = "faults")]
            sweeper_fault: Default::default(),
            readiness: Mutex::default(),
            state: AtomicU8::new(State::Starting as u8),
            config: ArcSwap::from_pointee(config.clone()),
        }
    }

    /// The node with TLS.
    pub(crate) fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The node held to its promise.
    pub(crate) fn with_amnesia(self, amnesia: Amnesia) -> Self {
        Self { amnesia, ..self }
    }

    /// The posture towards post-quantum key exchange.
    pub(crate) fn pq(&self) -> &'static str {
        self.tls.as_ref().map_or("none", |tls| tls.pq().as_str())
    }

    /// Waits until all that has changed is durable, if anything is.
    pub(crate) async fn settled(&self) -> Result<(), CallError> {
        match &self.keeper {
            Some(keeper) => keeper.settled().await,
            None => Ok(()),
        }
    }

    /// A place for one that waits, for as long as it does.
    pub(crate) fn waiter(&self) -> Result<Permit, CallError> {
        self.waiters.acquire().map_err(|_| {
            self.metrics.waiters_exhausted.fetch_add(1, Relaxed);
            let detail =
                "as many receives, subscriptions, watches and streams of events wait as may";
            CallError::new(ErrorCode::QuotaExceeded, detail)
        })
    }

    /// Of the body of a message.
    pub(crate) fn message(&self) -> BodyPolicy {
        let most = self.config.load().limits.mailbox.max_body;
        self.limits.one_shot_of(most, limits::ONE_SHOT_DEADLINE)
    }

    /// The state of readiness in force.
    pub(crate) fn state(&self) -> State {
        State::from_u8(self.state.load(Relaxed))
    }

    /// The inputs that keep the node from being ready.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.readiness.lock().missing()
    }

    /// Lets `change` move the state machine, and tells everybody when it did.
    pub(crate) fn readiness(&self, change: impl FnOnce(&mut Readiness) -> Option<Transition>) {
        let mut readiness = self.readiness.lock();
        let Some(transition) = change(&mut readiness) else {
            return;
        };
        self.state.store(transition.to as u8, Relaxed);
        drop(readiness);
        if transition.to == State::Draining {
            self.draining.notify_waiters();
        }
        self.metrics.transition(transition);
        let (to, reason) = (transition.to.as_str(), transition.reason);
        drop(self.events.publish(EventKind::Health { state: to, reason }));
        match transition.to {
            State::Degraded | State::Shedding => log::less_ready(to, reason),
            _ => log::ready(to, reason),
        }
    }

    /// Takes over what a reload may change. The configuration has been checked against the one in
    /// force before.
    pub(crate) fn apply(&self, config: Config) {
        self.rate.set_rate(config.limits.rps);
        self.authority.apply(&config);
        self.in_flight.set_cap(config.limits.in_flight);
        self.facets
            .storage_read
            .set_cap(config.limits.facets.storage_read);
        self.facets
            .storage_write
            .set_cap(config.limits.facets.storage_write);
        self.facets.index.set_cap(config.limits.facets.index);
        self.facets.mailbox.set_cap(config.limits.facets.mailbox);
        self.waiters.set_cap(config.limits.waiters);
        self.mailbox
            .configure(mailbox_config(&config, self.budget.limit()));
        self.events.set_routes(&config.routes);
        self.data_slots.set_cap(connection_cap(&config));
        self.config.store(Arc::new(config));
        drop(self.events.publish(EventKind::ConfigUpdated));
    }

    /// Percent of `part` in `whole`; a whole of nothing is full.
    fn percent(part: u64, whole: u64) -> u64 {
        part.saturating_mul(100).checked_div(whole).unwrap_or(100)
    }

    /// Bytes in use that no write can have back. A cache is full most of its life: there, objects
    /// that no name pins make room for whoever needs it, and only the rest keeps the node from
    /// being ready.
    fn lasting_bytes(&self) -> u64 {
        match self.config.load().memory.eviction {
            config::Eviction::Refuse => self.budget.used_total(),
            config::Eviction::Lru => MemoryKind::ALL
                .iter()
                .filter(|kind| **kind != MemoryKind::Objects)
                .map(|kind| self.budget.used(*kind))
                .chain([self.store.stats().pinned_bytes])
                .sum(),
        }
    }

    /// One sample for the readiness machine.
    pub(crate) fn sample(&self, loop_delay_ms: u64, fd_percent: u64) -> crate::readiness::Sample {
        crate::readiness::Sample {
            in_flight_percent: Self::percent(
                self.in_flight.in_use() as u64,
                self.in_flight.cap() as u64,
            ),
            memory_percent: Self::percent(self.lasting_bytes(), self.budget.limit()),
            fd_percent,
            loop_delay_ms,
            restarts: self.supervisor.recent(clock::instant()),
            routes_drop: self.events.drops(clock::now()),
            disk_is_down: self.keeper.as_ref().is_some_and(|keeper| keeper.is_down()),
        }
    }

    /// Open descriptors in percent of the soft limit.
    pub(crate) fn fd_percent() -> u64 {
        fds::open().map_or(0, |open| Self::percent(open, fds::soft_limit()))
    }
}

/// Caps of queues. In bytes, a queue has what it was given, or its share of the memory budget.
fn mailbox_config(config: &Config, memory_bytes: u64) -> MailboxConfig {
    let mailbox = &config.limits.mailbox;
    let percent = |share: u64| memory_bytes / 100 * share;
    let max_bytes = match mailbox.max_bytes {
        config::Budget::Auto => percent(limits::QUEUE_BYTES_PERCENT),
        config::Budget::Bytes(bytes) => bytes,
    };
    MailboxConfig {
        max_messages: mailbox.max_messages,
        max_bytes,
        max_messages_total: limits::MESSAGES,
        max_bytes_total: percent(limits::MESSAGES_BYTES_PERCENT).max(max_bytes),
        max_body: mailbox.max_body,
        max_deliveries: mailbox.max_deliveries,
        window_ms: millis(mailbox.idempotency_window),
    }
}

fn connection_cap(config: &Config) -> usize {
    cap_for_fd_limit(limits::CONNECTIONS_FD_PERCENT, config.limits.connections)
}

fn connection_limits(caps: &config::Limits) -> ConnectionLimits {
    ConnectionLimits {
        head_deadline: caps.head_deadline,
        idle: caps.idle_keep_alive,
        progress_interval: caps.progress_interval,
        progress_min_rate: caps.progress_min_rate,
        linger_time: limits::LINGER_TIME,
        linger_bytes: limits::LINGER_BYTES,
        head_bytes: caps.head_bytes,
        head_fields: caps.head_fields,
        h2_streams: caps.h2_streams,
        h2_pending_resets: limits::H2_PENDING_RESETS,
        h2_stream_window: limits::H2_STREAM_WINDOW,
        h2_connection_window: limits::H2_CONNECTION_WINDOW,
        h2_send_buffer: limits::H2_SEND_BUFFER,
        h2_control_burst: limits::H2_CONTROL_BURST,
        h2_control_per_second: limits::H2_CONTROL_PER_SECOND,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Sources, load};
    use micronode_engine::PutHead;

    /// A cache that was full of what names point at counted as empty, so that no write was shed
    /// before it failed.
    #[test]
    fn in_a_cache_only_what_makes_no_room_is_memory_in_use() {
        let flags = vec![
            ("memory.budget", "16MiB".to_owned()),
            ("memory.eviction", "lru".to_owned()),
        ];
        let loaded = load(Sources {
            file: None,
            env: [],
            flags,
        });
        let node = Node::new(&loaded.unwrap(), None);
        let mut upload = node
            .store
            .begin_put(clock::now(), PutHead::default())
            .unwrap();
        upload.write(&vec![0; 12 << 20]).unwrap();
        let address = upload.finish(clock::now()).unwrap().address;
        let memory_percent = || node.sample(0, 0).memory_percent;
        assert_eq!(memory_percent(), 0);
        let pin = node.store.pin(clock::now(), &address).unwrap();
        assert_eq!(memory_percent(), 75);
        drop(pin);
        assert_eq!(memory_percent(), 0);
    }
}
