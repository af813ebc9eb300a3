//! Two results, and what differs between them: no file, no clock, no machine.

use serde_json::Value;

use super::budget::Budget;
use super::finding::{Finding, Outcome};
use super::measure::Measure;
use crate::result::LoadResult;

/// What of a scenario may differ between two runs of it: its description, and the seed of what is
/// drawn.
const FREE: [&str; 3] = ["name", "about", "seed"];

/// Every measure of every scenario of `baseline` beside what it is in `result`.
///
/// # Errors
///
/// What keeps them from being compared: another machine, or a scenario that was not the same.
pub(super) fn compare(
    baseline: &[LoadResult],
    result: &[LoadResult],
) -> Result<Vec<Finding>, Vec<String>> {
    let mut findings = Vec::new();
    let mut reasons = Vec::new();
    for base in baseline {
        let name = &base.scenario;
        let Some(new) = result.iter().find(|new| new.scenario == *name) else {
            let note = "the baseline has this scenario, the result does not";
            findings.push(Finding::missing(name, note));
            continue;
        };
        reasons.extend(differences(base, new));
        for measure in Measure::ABSOLUTE {
            let metric = format!("{name}.{}", measure.key());
            let (base, new) = (measure.of(base), measure.of(new));
            findings.push(Finding::of_values(metric, measure, base, new));
        }
        findings.extend(operations(base, new));
    }
    if reasons.is_empty() {
        Ok(findings)
    } else {
        reasons.sort();
        reasons.dedup();
        Err(reasons)
    }
}

/// The error budgets of every scenario: they need no baseline.
pub(super) fn budgets(result: &[LoadResult]) -> Vec<Finding> {
    let of = |result: &LoadResult| {
        let name = &result.scenario;
        if result.requests == 0 {
            return vec![Finding::missing(
                name,
                "no request was due: nothing was measured",
            )];
        }
        let budgets = Budget::ALL.into_iter().map(|budget| {
            let metric = format!("{name}.{}", budget.key());
            if budget == Budget::Refusals && result.spec.beyond_cap {
                return Finding::no_budget(metric, budget);
            }
            Finding::of_budget(metric, budget, budget.spent(result))
        });
        budgets.collect()
    };
    result.iter().flat_map(of).collect()
}

/// Latency by kind of request, where a scenario has more than one: what is rare hides in the
/// percentiles of all.
fn operations(base: &LoadResult, new: &LoadResult) -> Vec<Finding> {
    if base.operations.len() < 2 {
        return Vec::new();
    }
    let (name, key) = (&base.scenario, Measure::P95.key());
    let asked = base.operations.iter().filter(|(_, of)| of.requests > 0);
    asked
        .map(|(operation, of)| {
            let metric = format!("{name}.operations.{operation}.{key}");
            let new = new.operations.get(operation);
            let new = new.map(|new| new.latency_ms.p95);
            Finding::of_values(metric, Measure::P95, Some(of.latency_ms.p95), new)
        })
        .collect()
}

/// Why two runs of a scenario cannot be compared.
fn differences(base: &LoadResult, new: &LoadResult) -> Vec<String> {
    let machine = base.machine.differences(&new.machine);
    let mut reasons: Vec<String> = machine
        .into_iter()
        .map(|line| format!("another machine: {line}"))
        .collect();
    let specs = [&base.spec, &new.spec].map(|spec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        // A spec is an object, whose keys are texts.
        _ => serde_json::Map::new(),
    });
    for (key, was) in &specs[0] {
        if !FREE.contains(&key.as_str()) && specs[1].get(key) != Some(was) {
            let is = specs[1].get(key).unwrap_or(&Value::Null);
            let name = &base.scenario;
            reasons.push(format!(
                "another load: {name} had {key} = {was}, and has {is}"
            ));
        }
    }
    reasons
}

/// Whether all of it passes.
pub fn passes(findings: &[Finding]) -> bool {
    let stops = |finding: &Finding| matches!(finding.outcome, Outcome::Failed | Outcome::Unsure);
    !findings.iter().any(stops)
}
