//! `cargo xtask rules`: Prometheus' own tool reads what is in `ops/`: the rules, their tests, the
//! configuration, and every query of the dashboard.
//!
//! Whether a node exports what they ask for is a test of the node (`--test monitoring`).

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::measure::target_directory;
use crate::{Failure, io, root, succeed};

const RULES: [&str; 2] = ["ops/prometheus/recording.yml", "ops/prometheus/alerts.yml"];
const CONFIGURATION: &str = "ops/prometheus/prometheus.yml";
const TESTS: &str = "ops/prometheus/rules_test.yml";
const DASHBOARD: &str = "ops/grafana/micronode.json";
const INSTALL: &str = "apt-get install prometheus";

/// What Grafana puts in place of its variables, as far as a parser cares.
const VARIABLES: [(&str, &str); 3] = [
    ("$__rate_interval", "1m"),
    ("$job", ".*"),
    ("$instance", ".*"),
];

pub(crate) fn run() -> Result<(), Failure> {
    let mut asked = promtool(&["--version"]);
    asked.stdout(Stdio::null()).stderr(Stdio::null());
    if asked.status().is_err() {
        return Err(Failure::Wrong(format!(
            "`promtool` does not run; get it with `{INSTALL}`"
        )));
    }
    succeed(promtool(&[&["check", "rules"][..], &RULES].concat()))?;
    succeed(promtool(&["check", "config", CONFIGURATION]))?;
    succeed(promtool(&["test", "rules", TESTS]))?;

    let dashboard = root().join(DASHBOARD);
    let text = fs::read_to_string(&dashboard).map_err(io(DASHBOARD))?;
    let dashboard: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Wrong(format!("{DASHBOARD}: {error}")))?;
    let queries = queries(&dashboard);
    if queries.is_empty() {
        return Err(Failure::Wrong(format!("{DASHBOARD} asks for nothing")));
    }
    // What is JSON is YAML.
    let rules = as_rules(&queries).to_string();
    let file = target_directory()?.join("dashboard_queries.yml");
    fs::write(&file, rules).map_err(io(file.display()))?;
    succeed(promtool(&["check", "rules", &file.to_string_lossy()]))
}

fn promtool(words: &[&str]) -> Command {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(root());
    command
}

/// The queries of all panels, their variables filled in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let texts = targets.filter_map(|target| target["expr"].as_str());
    let filled = texts.map(|text| {
        let fill = |text: String, (variable, value): (&str, &str)| text.replace(variable, value);
        VARIABLES.into_iter().fold(text.to_owned(), fill)
    });
    filled.collect()
}

fn as_rules(queries: &[String]) -> Value {
    let rules = queries.iter().enumerate();
    let rules =
        rules.map(|(index, expr)| json!({"record": format!("query_{index}"), "expr": expr}));
    json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let dashboard = json!({"panels": [
            {"type": "row"},
            {"targets": [{"expr": "rate(a{job=~\"$job\"}[$__rate_interval])"}, {"expr": "b"}]},
        ]});
        let queries = queries(&dashboard);
        assert_eq!(queries, ["rate(a{job=~\".*\"}[1m])", "b"]);
        let rules = as_rules(&queries);
        assert_eq!(rules["groups"][0]["rules"][1]["expr"], "b");
    }
}
