//! What is kept on disk. On a node that forgets, all of it is 0.

use super::Page;
use crate::metrics::histogram::Histogram;
use crate::node::Node;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn keeping(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    let keeper = node.keeper.as_deref();
    page.counter(
        "persist_failures",
        "Attempts to write to disk that failed",
        keeper.map_or(0, |keeper| keeper.failures.load(Relaxed)),
    )?;
    page.gauge(
        "persist_pending",
        "Changes that are not on disk yet",
        keeper.map_or(0, |keeper| keeper.pending() as u64),
    )?;
    page.histogram(
        "persist_commit_latency_seconds",
        "Writing changes to disk, as many at once as have come meanwhile",
        keeper.map_or(&Histogram::default(), |keeper| &keeper.latency),
    )
}
