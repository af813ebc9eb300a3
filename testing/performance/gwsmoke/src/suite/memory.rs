//! What objects cost in memory, beside what they may: 1.05 times their bytes and 300 bytes each.

use super::result::Memory;
use super::session::Session;
use crate::failure::{Failure, io};
use crate::load::Prepared;
use crate::node::Node;
use crate::sample::{Metrics, Sample};
use crate::spec::{LoadSpec, Size};

/// What an object may cost beyond a twentieth of its bytes.
const EACH_BYTES: u64 = 300;
/// Objects that are put before anything is counted: code that has run once and buffers that are
/// there once belong to the node and not to its objects.
const WARM_UP_OBJECTS: u32 = 200;

/// Puts many objects of a size, for each of two sizes.
pub(super) fn measure(session: &Session<'_>) -> Result<Vec<Memory>, Failure> {
    let small = session.either(20_000, 100_000);
    let large = session.either(1_000, 5_000);
    Ok(vec![
        of(session, "1 KiB", 1024, small)?,
        of(session, "64 KiB", 64 << 10, large)?,
    ])
}

fn of(session: &Session<'_>, size: &str, bytes: u64, objects: u32) -> Result<Memory, Failure> {
    let node = session.node(&["--rps=0"])?;
    let spec = |objects, seed| LoadSpec {
        name: format!("memory of objects of {size}"),
        objects,
        sizes: vec![Size { bytes, weight: 1.0 }],
        seed,
        ..LoadSpec::default()
    };
    Prepared::new(&spec(WARM_UP_OBJECTS, 2), &node, session.progress)?;
    let (before, there, counted_before) = look(&node)?;
    Prepared::new(&spec(objects, 1), &node, session.progress)?;
    let (rss_bytes, all, counted) = look(&node)?;
    let (objects, object_bytes) = (all.0 - there.0, all.1 - there.1);
    let allowed_bytes = object_bytes + object_bytes / 20 + EACH_BYTES * objects;
    let risen = rss_bytes.saturating_sub(before);
    Ok(Memory {
        size: size.to_owned(),
        objects,
        object_bytes,
        idle_rss_bytes: before,
        rss_bytes,
        counted_bytes: counted.saturating_sub(counted_before),
        allowed_bytes,
        percent_of_allowed: risen as f64 / allowed_bytes.max(1) as f64 * 100.0,
    })
}

/// Resident memory, how many objects of how many bytes there are, and what the node says they take.
fn look(node: &Node) -> Result<(u64, (u64, u64), u64), Failure> {
    let missing = |what: &str| Failure::wrong(format!("the node does not tell {what}"));
    let admin = node.admin.ok_or_else(|| missing("its admin plane"))?;
    let metrics = Metrics::scrape(admin).map_err(io("the node's metrics"))?;
    let value = |name: &str| {
        let value = metrics.get(name).map(|value| value as u64);
        value.ok_or_else(|| missing(name))
    };
    let objects = (value("objects")?, value("object_bytes")?);
    let counted = value("memory_used_bytes{kind=\"objects\"}")?;
    let sample = node.pid.and_then(Sample::of);
    let sample = sample.ok_or_else(|| missing("its resident memory"))?;
    Ok((sample.rss_bytes, objects, counted))
}
