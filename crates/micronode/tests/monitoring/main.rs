//! The rules, alerts and dashboard in `ops/`: what they ask for is what a running node exports,
//! down to the labels and their values, so that none of them can go stale. Whether the rules fire
//! when they should is for `promtool test rules`.
#![allow(clippy::unwrap_used)]

mod exported;
mod files;
mod promql;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use exported::Exported;
use files::{Expression, Rule};
use micronode_protocol::ErrorCode;
use promql::{Query, Selector};
use serde_json::Value;

const RECORDING: &str = include_str!("../../../../ops/prometheus/recording.yml");
const ALERTS: &str = include_str!("../../../../ops/prometheus/alerts.yml");
const RULES_TEST: &str = include_str!("../../../../ops/prometheus/rules_test.yml");
const DASHBOARD: &str = include_str!("../../../../ops/grafana/micronode.json");
const RUNBOOK: &str = include_str!("../../../../RUNBOOK.md");

/// What a scrape adds.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];
/// Exported for whoever looks for them, and on no panel.
const ON_NO_PANEL: [&str; 1] = ["process_virtual_memory_bytes"];

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

/// All that is asked of the node's metrics, with where.
fn expressions() -> Vec<Expression> {
    let rules = [RECORDING, ALERTS].into_iter().flat_map(files::rules);
    let rules = rules.map(|rule| Expression {
        place: rule.name,
        text: rule.expr,
    });
    rules.chain(files::queries(&dashboard())).collect()
}

/// The values that a matcher asks for, where it names them.
fn named(selector: &Selector, label: &str) -> Vec<String> {
    let matchers = selector.matchers.iter();
    let of_label = matchers.filter(|matcher| matcher.label == label);
    of_label
        .flat_map(|matcher| matcher.value.split('|').map(str::to_owned))
        .collect()
}

#[test]
fn everything_that_is_asked_for_is_exported() {
    let exported = Exported::gather();
    let recorded: BTreeSet<String> = files::rules(RECORDING)
        .into_iter()
        .map(|rule| rule.name)
        .collect();
    let expressions = expressions();
    assert!(expressions.len() > 150, "{}", expressions.len());
    let mut wrong = Vec::new();
    for Expression { place, text } in &expressions {
        let Query { selectors, labels } = promql::parse(text);
        assert!(!selectors.is_empty(), "{place}: {text}");
        let mut known: BTreeSet<&str> = OF_THE_SCRAPE.into();
        for selector in &selectors {
            let name = selector.name.as_str();
            if recorded.contains(name) || name == "up" {
                continue;
            }
            let Some(samples) = exported.labels(name) else {
                wrong.push(format!("{place}: {name} is not exported"));
                continue;
            };
            known.extend(samples.keys().map(String::as_str));
            for matcher in &selector.matchers {
                let label = matcher.label.as_str();
                if OF_THE_SCRAPE.contains(&label) {
                    continue;
                }
                let values = samples.get(label);
                for value in named(selector, label) {
                    if !values.is_some_and(|values| values.contains(&value)) {
                        wrong.push(format!("{place}: no {name} has {label} = {value}"));
                    }
                }
            }
        }
        for label in &labels {
            if !known.contains(label.as_str()) {
                wrong.push(format!("{place}: nothing there has a label {label}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn everything_that_is_exported_is_on_the_dashboard() {
    let rules = files::rules(RECORDING);
    let mut shown = BTreeSet::new();
    for query in files::queries(&dashboard()) {
        for selector in promql::parse(&query.text).selectors {
            let rule = rules.iter().find(|rule| rule.name == selector.name);
            match rule {
                Some(rule) => {
                    let of_rule = promql::parse(&rule.expr).selectors;
                    shown.extend(of_rule.into_iter().map(|selector| selector.name));
                }
                None => drop(shown.insert(selector.name)),
            }
        }
    }
    let exported = Exported::gather();
    let missing: Vec<&str> = exported
        .families()
        .filter(|family| !ON_NO_PANEL.contains(family))
        .filter(|family| {
            let series = ["", "_total", "_bucket", "_count"];
            !series
                .iter()
                .any(|end| shown.contains(&format!("{family}{end}")))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The two error budgets are apart: what is refused on purpose is not what failed, and every code
/// of either is in its own.
#[test]
fn the_budgets_have_every_code_of_theirs() {
    let of = |wanted: fn(u16) -> bool| -> BTreeSet<String> {
        let codes = ErrorCode::ALL.iter();
        let codes = codes.filter(|code| wanted(code.status()));
        codes.map(|code| code.as_str().to_owned()).collect()
    };
    let failed = of(|status| status >= 500 && status != 503);
    let refused = of(|status| matches!(status, 429 | 503));
    for (prefix, codes) in [
        ("micronode:failures:", failed),
        ("micronode:refusals:", refused),
    ] {
        let rules = files::rules(RECORDING);
        let rules: Vec<&Rule> = rules
            .iter()
            .filter(|rule| rule.name.starts_with(prefix))
            .collect();
        assert_eq!(rules.len(), 7, "{prefix}");
        for rule in rules {
            let selectors = promql::parse(&rule.expr).selectors;
            let rejected = selectors.iter().find(|it| it.name == "rejected_total");
            let counted: BTreeSet<String> =
                named(rejected.unwrap(), "reason").into_iter().collect();
            assert_eq!(counted, codes, "{}", rule.name);
        }
    }
}

/// Who is woken reads the runbook next.
#[test]
fn every_alert_is_tested_and_leads_to_a_section_of_the_runbook() {
    let anchors: BTreeSet<String> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let alerts = files::rules(ALERTS);
    assert!(alerts.len() > 25, "{}", alerts.len());
    for alert in alerts {
        let name = &alert.name;
        assert!(
            RULES_TEST.contains(&format!("{name}\"")) || RULES_TEST.contains(&format!("{name}\n")),
            "{name}"
        );
        let runbook = alert.field("runbook").unwrap();
        let anchor = runbook.strip_prefix("RUNBOOK.md#").unwrap();
        assert!(anchors.contains(anchor), "{name}: {anchor}");
        let severity = alert.field("severity").unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        for field in ["summary", "description"] {
            assert!(alert.field(field).is_some(), "{name}: {field}");
        }
    }
}

#[test]
fn the_dashboard_is_laid_out() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 40);
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty());
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let position = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y) = (position("x"), position("y"));
        assert!(x + position("w") <= 24, "{title}");
        for row in y..y + position("h") {
            for column in x..x + position("w") {
                assert!(taken.insert((row, column)), "{title} lies on another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            !panel["description"].as_str().unwrap().is_empty(),
            "{title}"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            for variable in ["$job", "$instance"] {
                assert!(expr.contains(variable), "{title}: {expr}");
            }
        }
    }
}
