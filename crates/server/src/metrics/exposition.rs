//! `/metrics`: every metric of the node in OpenMetrics text. Names and labels are a contract.

mod keeping;
mod queues;

use super::histogram::Histogram;
use super::tls::{Failure, Group};
use super::{METHODS, Metrics, STATUSES};
use crate::call::code_of;
use crate::ingress::http::routes::Route;
use crate::node::Node;
use crate::planes::worker_count;
use micronode_engine::MemoryKind;
use micronode_engine::mailbox::Quota;
use micronode_hardening::Reason;
use micronode_protocol::ErrorCode;
use micronode_protocol::frame::Kind;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads the node when scraped; between scrapes it costs nothing.
struct Collector(Arc<Node>);

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

/// The registry of a node.
pub(crate) fn registry(node: Arc<Node>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collector(node)));
    registry
}

/// The text of one scrape.
pub(crate) fn scrape(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(16 * 1024);
    text::encode(&mut text, registry)?;
    Ok(text)
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        requests(&mut page, &self.0.metrics)?;
        refusals(&mut page, &self.0)?;
        authority(&mut page, &self.0)?;
        oap(&mut page, &self.0.metrics)?;
        tls(&mut page, &self.0.metrics)?;
        storage(&mut page, &self.0)?;
        keeping::keeping(&mut page, &self.0)?;
        queues::queues(&mut page, &self.0)?;
        queues::events(&mut page, &self.0)?;
        node(&mut page, &self.0)?;
        process(&mut page)
    }
}

/// Writes families: a name, a help line, and samples under labels.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family<M: EncodeMetric, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in samples {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn histogram(&mut self, name: &str, help: &str, value: &Histogram) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        value.encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
    }
}

/// A reference encodes like what it refers to.
struct ByRef<'a, M>(&'a M);

impl<M: EncodeMetric> EncodeMetric for ByRef<'_, M> {
    fn encode(&self, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

fn requests(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let by_route = || {
        Route::ALL
            .into_iter()
            .map(|route| (route.template(), &metrics.routes[route as usize]))
    };
    let counted = by_route().flat_map(|(route, of_route)| {
        of_route
            .requests
            .iter()
            .zip(METHODS)
            .flat_map(move |(of_method, method)| {
                of_method
                    .iter()
                    .zip(STATUSES)
                    .filter_map(move |(count, status)| {
                        let count = count.load(Relaxed);
                        let labels = [
                            ("route", route.to_owned()),
                            ("method", method.to_owned()),
                            ("status", status.to_string()),
                        ];
                        (count > 0).then(|| (labels, ConstCounter::new(count)))
                    })
            })
    });
    page.family(
        "http_requests",
        "Responses by route, method and status",
        MetricType::Counter,
        counted,
    )?;

    let timed = by_route().flat_map(|(route, of_route)| {
        of_route
            .latency
            .iter()
            .zip(METHODS)
            .filter(|(latency, _)| latency.count() > 0)
            .map(move |(latency, method)| ([("route", route), ("method", method)], ByRef(latency)))
    });
    let help = "From the request head to the end of the response body";
    page.family(
        "request_latency_seconds",
        help,
        MetricType::Histogram,
        timed,
    )?;

    let in_flight = by_route().map(|(route, of_route)| {
        (
            [("route", route)],
            ConstGauge::new(of_route.in_flight.load(Relaxed)),
        )
    });
    page.family(
        "inflight_requests",
        "Requests whose response is not yet out",
        MetricType::Gauge,
        in_flight,
    )
}

fn refusals(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let by_hardening = |code: ErrorCode| -> u64 {
        let reasons = Reason::ALL
            .iter()
            .filter(|reason| code_of(**reason) == code);
        let planes = [&node.data_plane, &node.admin_plane];
        reasons
            .flat_map(|reason| planes.map(|plane| plane.counters.get(*reason)))
            .sum()
    };
    let rejected = ErrorCode::ALL.iter().map(|code| {
        let count = node.metrics.rejected.get(*code) + by_hardening(*code);
        ([("reason", code.as_str())], ConstCounter::new(count))
    });
    page.family(
        "rejected",
        "Requests and connections refused or failed, by error code",
        MetricType::Counter,
        rejected,
    )
}

fn authority(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let failures = node.authority.failures();
    let failures = failures.map(|(reason, count)| ([("reason", reason)], ConstCounter::new(count)));
    page.family(
        "auth_failures",
        "Requests without authority, by what their capability lacked",
        MetricType::Counter,
        failures,
    )?;
    let of_queues = Quota::ALL.map(Quota::as_str);
    let of_queues = of_queues
        .into_iter()
        .zip(node.mailbox.counters().quota_exhausted);
    let waiters = node.metrics.waiters_exhausted.load(Relaxed);
    let exhausted = node.authority.exhaustions().chain(of_queues);
    let exhausted = exhausted.chain([("waiters", waiters)]);
    let exhausted = exhausted.map(|(quota, count)| ([("quota", quota)], ConstCounter::new(count)));
    page.family(
        "quota_exhaustions",
        "Requests beyond a quota of their own",
        MetricType::Counter,
        exhausted,
    )
}

fn oap(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let by_direction = ["in", "out"].into_iter().zip(&metrics.oap_frames);
    let frames = by_direction.flat_map(|(direction, by_kind)| {
        Kind::ALL
            .into_iter()
            .zip(by_kind)
            .map(move |(kind, count)| {
                let labels = [("direction", direction), ("kind", kind.as_str())];
                (labels, ConstCounter::new(count.load(Relaxed)))
            })
    });
    page.family(
        "oap_frames",
        "OAP frames by direction and kind",
        MetricType::Counter,
        frames,
    )?;
    let rejects = ErrorCode::ALL.iter().map(|code| {
        let count = metrics.oap_rejects.get(*code);
        ([("reason", code.as_str())], ConstCounter::new(count))
    });
    page.family(
        "oap_rejects",
        "What was refused or failed over OAP, by error code",
        MetricType::Counter,
        rejects,
    )
}

fn tls(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let metrics = &metrics.tls;
    let handshakes = Group::ALL.into_iter().flat_map(|(group, name)| {
        [true, false].map(|resumed| {
            let labels = [
                ("kx", name),
                ("resumed", if resumed { "true" } else { "false" }),
            ];
            (
                labels,
                ConstCounter::new(metrics.handshakes(group, resumed)),
            )
        })
    });
    page.family(
        "tls_handshakes",
        "TLS handshakes by key exchange, and whether a session was resumed",
        MetricType::Counter,
        handshakes,
    )?;
    let failures = Failure::ALL.into_iter().map(|(failure, name)| {
        let count = metrics.failures(failure);
        ([("reason", name)], ConstCounter::new(count))
    });
    page.family(
        "tls_handshake_failures",
        "TLS handshakes that came to nothing",
        MetricType::Counter,
        failures,
    )?;
    page.counter(
        "pq_downgrade_refused",
        "Peers without post-quantum key exchange that were refused",
        metrics.failures(Failure::PqRequired),
    )
}

fn storage(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let stats = node.store.stats();
    page.histogram(
        "storage_get_latency_seconds",
        "To the first verified piece",
        &node.metrics.storage_get,
    )?;
    page.histogram(
        "storage_put_latency_seconds",
        "To the object being stored",
        &node.metrics.storage_put,
    )?;
    page.counter(
        "chunks_read",
        "64 KiB groups verified for a reader",
        stats.groups_read,
    )?;
    page.counter(
        "chunks_written",
        "64 KiB groups hashed and kept",
        stats.groups_written,
    )?;
    page.counter(
        "integrity_fail",
        "Stored groups found not to match their address",
        stats.integrity_failures,
    )?;
    page.gauge("objects", "Objects stored", stats.objects)?;
    page.gauge(
        "object_bytes",
        "Bytes of the objects stored",
        stats.object_bytes,
    )?;
    let evictions = [
        ("expired", stats.evicted_expired),
        ("lru", stats.evicted_lru),
    ];
    let evictions =
        evictions.map(|(reason, count)| ([("reason", reason)], ConstCounter::new(count)));
    page.family(
        "evictions",
        "Objects that the node dropped by itself",
        MetricType::Counter,
        evictions,
    )?;
    page.gauge(
        "names",
        "Names that point at objects",
        node.names.len() as u64,
    )?;
    page.gauge(
        "memory_budget_bytes",
        "The memory budget",
        node.budget.limit(),
    )?;
    let used = MemoryKind::ALL.map(|kind| {
        (
            [("kind", kind.as_str())],
            ConstGauge::new(node.budget.used(kind) as i64),
        )
    });
    page.family(
        "memory_used_bytes",
        "Memory filled, by kind",
        MetricType::Gauge,
        used,
    )
}

fn node(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let planes = || [("data", &node.data_plane), ("admin", &node.admin_plane)].into_iter();
    let bytes_in = planes().map(|(name, plane)| {
        (
            [("plane", name)],
            ConstCounter::new(plane.bytes_in.load(Relaxed)),
        )
    });
    page.family(
        "bytes_in",
        "Bytes read from sockets",
        MetricType::Counter,
        bytes_in,
    )?;
    let bytes_out = planes().map(|(name, plane)| {
        (
            [("plane", name)],
            ConstCounter::new(plane.bytes_out.load(Relaxed)),
        )
    });
    page.family(
        "bytes_out",
        "Bytes written to sockets",
        MetricType::Counter,
        bytes_out,
    )?;

    let restarts = node.supervisor.restarts();
    let restarts = restarts
        .iter()
        .map(|(task, count)| ([("task", *task)], ConstCounter::new(*count)));
    page.family(
        "service_restarts",
        "Restarts of supervised tasks",
        MetricType::Counter,
        restarts,
    )?;

    page.gauge(
        "inflight_limit",
        "Requests that may be in flight at once",
        node.in_flight.cap() as u64,
    )?;
    page.gauge(
        "worker_threads",
        "Threads that serve the data plane",
        worker_count(&node.config.load()) as u64,
    )?;
    page.gauge(
        "waiters",
        "Receives, subscriptions, watches and streams of events that wait",
        node.waiters.in_use() as u64,
    )?;
    page.gauge(
        "ready_state",
        "0 starting, 1 ready, 2 degraded, 3 shedding, 4 draining",
        node.state() as u64,
    )?;
    let transitions = node.metrics.transitions.lock().clone();
    let transitions = transitions.iter().map(|((to, reason), count)| {
        (
            [("to", *to), ("reason", *reason)],
            ConstCounter::new(*count),
        )
    });
    page.family(
        "ready_transitions",
        "Changes of readiness",
        MetricType::Counter,
        transitions,
    )?;

    let info = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", env!("MICRONODE_REVISION")),
        (
            "amnesia",
            if node.amnesia.is_on() {
                "true"
            } else {
                "false"
            },
        ),
        ("pq", node.pq()),
    ];
    page.family(
        "micronode_info",
        "Always 1",
        MetricType::Gauge,
        [(info, ConstGauge::new(1i64))],
    )
}

/// The usual process metrics. What `/proc` does not tell is left out.
fn process(page: &mut Page<'_>) -> fmt::Result {
    let Ok(process) = procfs::process::Process::myself() else {
        return Ok(());
    };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        let seconds = (stat.utime + stat.stime) as f64 / ticks;
        let encoder = page.0.encode_descriptor(
            "process_cpu_seconds",
            "User and system time",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(seconds).encode(encoder)?;
        page.gauge(
            "process_resident_memory_bytes",
            "Resident memory",
            stat.rss * procfs::page_size(),
        )?;
        page.gauge("process_virtual_memory_bytes", "Virtual memory", stat.vsize)?;
        page.gauge(
            "process_threads",
            "Threads",
            u64::try_from(stat.num_threads).unwrap_or(0),
        )?;
        if let Ok(boot) = procfs::boot_time_secs() {
            let started = boot as f64 + stat.starttime as f64 / ticks;
            let encoder = page.0.encode_descriptor(
                "process_start_time_seconds",
                "Unix time of the start",
                None,
                MetricType::Gauge,
            )?;
            ConstGauge::new(started).encode(encoder)?;
        }
    }
    if let Some(open) = crate::fds::open() {
        page.gauge("process_open_fds", "Open descriptors", open)?;
    }
    page.gauge(
        "process_max_fds",
        "Soft limit of descriptors",
        crate::fds::soft_limit(),
    )
}
