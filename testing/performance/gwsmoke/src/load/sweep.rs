//! Walking the rate up until the node does not keep up: where its knee is.

use super::Prepared;
use crate::failure::Failure;
use crate::node::Node;
use crate::progress::Progress;
use crate::result::{LoadResult, SweepStep};
use crate::spec::LoadSpec;

/// The first rate, unless the spec has one.
const FIRST_RPS: f64 = 1000.0;
/// From a rate that was kept up with to the next.
const FACTOR: f64 = 1.5;
/// Once a rate was not: halves the gap to it this many times.
const REFINEMENTS: u32 = 3;
/// Most rates.
const STEPS: usize = 40;
/// Kept up with is to answer this part of what is due…
const ANSWERED: f64 = 0.95;
/// …and 99 of 100 within this many ms.
const P99_MS: f64 = 100.0;

/// Walks up from `spec`'s rate, or from 1000 requests per second; each rate takes as long as `spec`
/// says. The result is that of the highest rate that was kept up with, with all of them in
/// [`LoadResult::sweep`].
///
/// # Errors
///
/// As [`super::run`]; and if not even the first rate was kept up with.
pub fn run(spec: &LoadSpec, node: &Node, progress: &Progress) -> Result<LoadResult, Failure> {
    let first = spec.rate_rps.unwrap_or(FIRST_RPS);
    let prepared = Prepared::new(spec, node, progress)?;
    let mut knee: Option<LoadResult> = None;
    let mut steps = Vec::new();
    let mut search = Search::new(first);
    while let Some(rate) = search.next() {
        let spec = LoadSpec {
            rate_rps: Some(rate),
            ..spec.clone()
        };
        let result = prepared.measure(&spec, node, progress)?;
        let is_within = is_within(&result);
        steps.push(step(&result, is_within));
        progress.print(&format!(
            "{rate:>10.0}/s offered, {:.0}/s answered, p99 {:.3} ms{}",
            result.achieved_rps,
            result.latency_ms.p99,
            if is_within { "" } else { ": not kept up with" }
        ));
        search.tell(is_within);
        if is_within {
            knee = Some(result);
        }
    }
    let mut knee = knee
        .ok_or_else(|| Failure::wrong(format!("not even {first} requests/s were kept up with")))?;
    knee.knee_rps = Some(knee.offered_rps);
    steps.sort_by(|one, other| one.offered_rps.total_cmp(&other.offered_rps));
    knee.sweep = steps;
    Ok(knee)
}

fn is_within(result: &LoadResult) -> bool {
    let latency = &result.latency_ms;
    result.achieved_rps >= ANSWERED * result.offered_rps && latency.p99 <= P99_MS
}

fn step(result: &LoadResult, is_within: bool) -> SweepStep {
    SweepStep {
        offered_rps: result.offered_rps,
        achieved_rps: result.achieved_rps,
        errors: result.errors,
        latency_ms: result.latency_ms,
        server_cpu_us_per_request: result.server_cpu_us_per_request,
        server_cpu_cores: result.server_cpu_cores,
        client_cpu_cores: result.client_cpu_cores,
        is_within,
    }
}

/// Which rate is next: up by a factor until one is too high, then between the two.
#[derive(Debug)]
struct Search {
    rate: f64,
    /// The highest that was kept up with, and the lowest that was not.
    good: Option<f64>,
    bad: Option<f64>,
    refinements: u32,
    steps: usize,
}

impl Search {
    fn new(first: f64) -> Self {
        Self {
            rate: first,
            good: None,
            bad: None,
            refinements: 0,
            steps: 0,
        }
    }

    fn next(&mut self) -> Option<f64> {
        if self.steps == STEPS {
            return None;
        }
        self.steps += 1;
        match (self.good, self.bad) {
            (None, None) => {}
            (None, Some(_)) => return None,
            (Some(good), None) => self.rate = good * FACTOR,
            (Some(_), Some(_)) if self.refinements == REFINEMENTS => return None,
            (Some(good), Some(bad)) => {
                self.refinements += 1;
                self.rate = (good * bad).sqrt();
            }
        }
        Some(self.rate)
    }

    /// What came of the rate that was next.
    fn tell(&mut self, is_within: bool) {
        let side = if is_within {
            &mut self.good
        } else {
            &mut self.bad
        };
        *side = Some(self.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, knee: f64) -> (Option<f64>, usize) {
        let (mut search, mut steps) = (Search::new(first), 0);
        while let Some(rate) = search.next() {
            steps += 1;
            search.tell(rate <= knee);
        }
        (search.good, steps)
    }

    #[test]
    fn the_knee_is_found_to_a_few_parts_in_a_hundred() {
        for knee in [1000.0, 1234.0, 20_000.0, 123_456.0] {
            let (good, steps) = search(1000.0, knee);
            let good = good.expect("the first is kept up with");
            assert!(good <= knee && good > knee / 1.06, "{knee}: {good}");
            assert!(steps < 20);
        }
    }

    #[test]
    fn a_sweep_ends_also_where_there_is_no_knee() {
        assert_eq!(search(1000.0, 999.0), (None, 1));
        assert_eq!(search(1.0, f64::INFINITY).1, STEPS);
    }
}
