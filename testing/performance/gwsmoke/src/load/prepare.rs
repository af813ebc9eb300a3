//! The objects that reads choose are put before anything is measured.

use std::sync::Arc;
use std::time::Duration;

use super::content::Content;
use super::fleet::{self, Order};
use super::plan::Plan;
use crate::clock;
use crate::drive::Endpoint;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::record::Kind;
use crate::sample::Watched;

/// Longest time for all of them.
const WITHIN: Duration = Duration::from_secs(120);
/// A round of puts ends after this; what is left is put in the next one.
const ROUND: Duration = Duration::from_secs(10);
/// Before what was refused is put again: about as long as a node at its rate takes to admit as
/// many again as it does at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Puts all objects of `content`, again and again until the node has taken each.
pub(super) fn run(
    endpoint: &Endpoint,
    content: &Arc<Content>,
    progress: &Progress,
) -> Result<(), Failure> {
    let count = u32::try_from(content.objects.len()).unwrap_or(u32::MAX);
    let mut todo: Vec<u32> = (0..count).rev().collect();
    let until = clock::now() + WITHIN;
    progress.begin("putting objects", count.into());
    while !todo.is_empty() {
        if clock::now() > until {
            return Err(Failure::wrong(format!(
                "{} of {count} objects were not taken within {WITHIN:?}",
                todo.len()
            )));
        }
        let measured = fleet::run(
            Order {
                endpoint: endpoint.clone(),
                content: Arc::clone(content),
                plans: vec![Plan::prepare(Arc::clone(content), todo)],
                connections: 1,
                rate: None,
                warm_up: Duration::ZERO,
                time: ROUND,
                verify_every: 1,
                watched: Watched::default(),
            },
            None,
        )?;
        let failed = measured.record.operations[Kind::Put as usize].failed;
        if failed > 0 {
            let statuses = measured.record.status_counts();
            return Err(Failure::wrong(format!(
                "{failed} objects could not be put: answers {statuses:?}"
            )));
        }
        todo = measured
            .plans
            .into_iter()
            .flat_map(Plan::into_left)
            .collect();
        progress.at(u64::from(count) - todo.len() as u64);
        if !todo.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}
