//! `gwsmoke load`: requests at a rate, or one upon the other, and what they cost.
//!
//! In an **open loop** requests are due at fixed times, whatever the node does, and latency counts
//! from when a request was due: a node that stalls is charged for all who would have come
//! meanwhile. In a **closed loop** each connection asks again upon its answer, which finds out what
//! a node can do, and flatters one that stalls.
//!
//! A thread has a runtime of its own with its own connections (`crate::drive`), its own plan of
//! what to ask and its own record; nothing is shared while it is measured.

mod args;
pub(crate) mod check;
pub(crate) mod content;
mod fleet;
mod outcome;
pub(crate) mod plan;
mod prepare;
pub(crate) mod random;
mod schedule;
mod source;
pub mod sweep;
pub mod table;
mod thread;
mod timer;
pub(crate) mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use args::Load;
use content::Content;
use fleet::Order;
use outcome::About;
use plan::Plan;

use crate::clock;
use crate::drive::Endpoint;
use crate::drive::peer::Peer;
use crate::drive::stream::Target;
use crate::failure::{Failure, io};
use crate::fetch;
use crate::node::Node;
use crate::progress::Progress;
use crate::proxy::Proxy;
use crate::result::{LoadResult, Machine, NodeBuild};
use crate::sample::Metrics;
use crate::spec::{LoadSpec, Proto};

/// One of so many answers is compared byte by byte, unless all are.
const VERIFY_EVERY: u64 = 64;

/// Most threads, connections, streams and objects: beyond these a flag is a slip.
const THREADS: u32 = 256;
const CONNECTIONS: u32 = 100_000;
const STREAMS: u32 = 1024;
const OBJECTS: u32 = 10_000_000;
/// Longest run in seconds: a day.
const SECONDS: f64 = 86_400.0;

/// Measures `node` under the load that `spec` says. The objects that it reads are put before.
///
/// # Errors
///
/// If the spec asks for what cannot be, or the node cannot be reached. Requests that fail are none:
/// they are counted in the result.
pub fn run(spec: &LoadSpec, node: &Node, progress: &Progress) -> Result<LoadResult, Failure> {
    Prepared::new(spec, node, progress)?.measure(spec, node, progress)
}

/// A node that has what a load reads.
pub(crate) struct Prepared {
    endpoint: Endpoint,
    content: Arc<Content>,
    /// What makes bodies differ from those of other runs.
    origin: u64,
    /// The longer way to the node, if there is one.
    _proxy: Option<Proxy>,
}

impl Prepared {
    pub(crate) fn new(spec: &LoadSpec, node: &Node, progress: &Progress) -> Result<Self, Failure> {
        check(spec)?;
        if spec.tls != node.is_tls {
            let (has, is) = (node.is_tls, spec.tls);
            return Err(Failure::usage(format!(
                "tls: the load has {is}, and the node {has}"
            )));
        }
        let content = Arc::new(Content::new(spec)?);
        let origin = clock::since_epoch().as_nanos() as u64;
        let address = match spec.proto {
            Proto::Http1 | Proto::Http2 => node.http()?,
            Proto::Oap => node.oap()?,
        };
        let mut endpoint = Endpoint {
            proto: spec.proto,
            target: match node.is_tls {
                true => Target::tls(address, node.pin.as_deref(), spec.proto)?,
                false => Target::plain(address),
            },
            token: node.token.clone(),
            queue: format!("gwsmoke-{origin:x}"),
            streams: spec.streams as usize,
            peer: None,
        };
        prepare::run(&endpoint, &content, progress)?;
        // Only what is measured goes the longer way.
        let proxy = match spec.delay_ms > 0.0 {
            true => {
                let round_trip = Duration::from_secs_f64(spec.delay_ms / 1e3);
                let proxy = Proxy::start(address, round_trip).map_err(io("the proxy"))?;
                endpoint.target.address = proxy.address();
                Some(proxy)
            }
            false => None,
        };
        Ok(Self {
            endpoint,
            content,
            origin,
            _proxy: proxy,
        })
    }

    /// The same for what is no node: `peer` at `address`, which has what is read, if anything is.
    pub(crate) fn at_peer(
        spec: &LoadSpec,
        address: SocketAddr,
        peer: Peer,
    ) -> Result<Self, Failure> {
        check(spec)?;
        let endpoint = Endpoint {
            proto: Proto::Http1,
            target: Target::plain(address),
            token: None,
            queue: String::new(),
            streams: 1,
            peer: Some(peer),
        };
        Ok(Self {
            endpoint,
            content: Arc::new(Content::new(spec)?),
            origin: clock::since_epoch().as_nanos() as u64,
            _proxy: None,
        })
    }

    /// Measures, at whatever rate and for whatever time `spec` says; what is read has to be what it
    /// was prepared for.
    pub(crate) fn measure(
        &self,
        spec: &LoadSpec,
        node: &Node,
        progress: &Progress,
    ) -> Result<LoadResult, Failure> {
        check(spec)?;
        let started_unix_s = clock::since_epoch().as_secs();
        let plan = |thread| Plan::draw(spec, Arc::clone(&self.content), thread, self.origin);
        let before = scrape(node)?;
        let measured = fleet::run(
            Order {
                endpoint: self.endpoint.clone(),
                content: Arc::clone(&self.content),
                plans: (0..spec.threads).map(plan).collect(),
                connections: spec.connections as usize,
                rate: spec.rate_rps,
                warm_up: Duration::from_secs_f64(spec.warm_up_s),
                time: Duration::from_secs_f64(spec.duration_s),
                verify_every: if spec.verify_all { 1 } else { VERIFY_EVERY },
                watched: node.watched(),
            },
            Some(progress),
        )?;
        let counters = scrape(node)?
            .zip(before)
            .map(|(after, before)| after.risen_since(&before));
        let about = About {
            started_unix_s,
            machine: Machine::here(),
            node: build(node),
            fds_limit: node.watched().fds_limit(),
            counters: counters.unwrap_or_default(),
        };
        Ok(outcome::of(spec, &measured, about))
    }
}

/// Whether a load can be made of it.
fn check(spec: &LoadSpec) -> Result<(), Failure> {
    let wrong = |what: &str| Err(Failure::usage(what));
    let is_number = |value: f64, least: f64, most: f64| value >= least && value <= most;
    if !(1..=THREADS).contains(&spec.threads) {
        return wrong("threads: 1 to 256");
    }
    if !(spec.threads..=CONNECTIONS).contains(&spec.connections) {
        return wrong("connections: at least one for each thread, and at most 100000");
    }
    if !(1..=STREAMS).contains(&spec.streams) {
        return wrong("streams: 1 to 1024");
    }
    if !(1..=OBJECTS).contains(&spec.objects) {
        return wrong("objects: 1 to 10000000");
    }
    if !is_number(spec.duration_s, 0.01, SECONDS) || !is_number(spec.warm_up_s, 0.0, SECONDS) {
        return wrong("duration: 10 ms to a day");
    }
    if !spec.rate_rps.is_none_or(|rate| is_number(rate, 0.01, 1e8)) {
        return wrong("rate: 0.01 to 100000000 requests per second");
    }
    if !is_number(spec.delay_ms, 0.0, 10_000.0) {
        return wrong("delay: up to 10 s");
    }
    if !is_number(spec.read_ratio, 0.0, 1.0) {
        return wrong("read_ratio: 0 to 1");
    }
    Ok(())
}

fn scrape(node: &Node) -> Result<Option<Metrics>, Failure> {
    let scraped = node.admin.map(Metrics::scrape).transpose();
    scraped.map_err(io("the node's metrics"))
}

/// What the node tells of its build.
fn build(node: &Node) -> NodeBuild {
    let told = node
        .admin
        .and_then(|admin| fetch::get(admin, "/version").ok());
    let told = told.and_then(|(_, body)| serde_json::from_slice(&body).ok());
    let told: serde_json::Value = told.unwrap_or_default();
    let text = |key: &str| told[key].as_str().map(ToOwned::to_owned);
    NodeBuild {
        version: text("version").unwrap_or_default(),
        revision: text("revision"),
    }
}
