//! More than a node's cap of requests per second: what it takes, how fast, and whether its admin
//! plane still answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;

use super::catalogue;
use super::result::BeyondCap;
use super::session::Session;
use crate::clock;
use crate::failure::{Failure, io};
use crate::fetch;
use crate::load;
use crate::record;
use crate::result::LoadResult;

/// Between two questions to the admin plane.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Offers it, and asks the admin plane meanwhile.
pub(super) fn measure(session: &Session<'_>) -> Result<(LoadResult, BeyondCap), Failure> {
    let spec = session.spec(catalogue::BEYOND_CAP)?;
    let node = session.node_for(&spec)?;
    let admin = node.admin;
    let admin = admin.ok_or_else(|| Failure::wrong("the node has no admin plane"))?;
    let cap_rps = cap(admin)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&is_over);
    let watching = thread::Builder::new().name("admin".to_owned());
    let watching = watching.spawn(move || watch(admin, &until));
    let watching = watching.map_err(io("a thread"))?;
    let result = load::run(&spec, &node, session.progress);
    is_over.store(true, Ordering::Relaxed);
    let watched = watching.join();
    let watched = watched.map_err(|_| Failure::wrong("watching the admin plane broke"))?;
    let result = result?;
    let beyond = BeyondCap {
        cap_rps,
        offered_rps: result.offered_rps,
        accepted_rps: result.achieved_rps,
        accepted_percent: result.achieved_rps / cap_rps * 100.0,
        accepted_latency_ms: result.latency_ms,
        admin_latency_ms: record::latency(&watched.latency),
        admin_requests: watched.requests,
        admin_errors: watched.errors,
        other_percent: result.errors as f64 / result.requests.max(1) as f64 * 100.0,
    };
    Ok((result, beyond))
}

/// The cap that the node says it has.
fn cap(admin: SocketAddr) -> Result<f64, Failure> {
    let (_, body) = fetch::get(admin, "/version").map_err(io("/version"))?;
    let version: Value = serde_json::from_slice(&body).unwrap_or_default();
    let cap = version["limits"]["limits.rps"].as_str();
    let cap = cap.and_then(|cap| cap.parse().ok());
    cap.filter(|cap| *cap > 0.0)
        .ok_or_else(|| Failure::wrong("the node has no cap of requests per second"))
}

struct Watched {
    latency: Histogram<u64>,
    requests: u64,
    errors: u64,
}

/// Asks `/healthz` and `/readyz` in turn. A node that says it is not ready has answered.
fn watch(admin: SocketAddr, is_over: &AtomicBool) -> Watched {
    let mut watched = Watched {
        latency: record::histogram(),
        requests: 0,
        errors: 0,
    };
    while !is_over.load(Ordering::Relaxed) {
        let (path, as_asked): (_, &[u16]) = match watched.requests % 2 {
            0 => ("/healthz", &[200]),
            _ => ("/readyz", &[200, 503]),
        };
        let began = clock::now();
        let answer = fetch::get(admin, path);
        let took = clock::now() - began;
        watched.requests += 1;
        match answer {
            Ok((status, _)) if as_asked.contains(&status) => {
                watched.latency.saturating_record(took.as_nanos() as u64);
            }
            _ => watched.errors += 1,
        }
        thread::sleep(ASK_EVERY);
    }
    watched
}
