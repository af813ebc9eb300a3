//! The files of rules and the dashboard, as far as it takes to find what they ask for.

use serde_json::Value;

/// A query, and the rule or panel that it is of.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) place: String,
    pub(crate) text: String,
}

/// A rule that records or alerts.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) expr: String,
    /// All of its lines.
    lines: Vec<String>,
}

impl Rule {
    /// A field that stands on one line of its own, or the first line of what is below it.
    pub(crate) fn field(&self, key: &str) -> Option<&str> {
        let at = |line: &String| line.trim_start().starts_with(&format!("{key}: "));
        let index = self.lines.iter().position(at)?;
        let value = self.lines[index].split_once(": ")?.1;
        match value {
            ">-" => self.lines.get(index + 1).map(|line| line.trim()),
            value => Some(value.trim_matches('"')),
        }
    }
}

/// The rules of a file in the shape that ours have, which is a part of YAML: a rule begins with
/// its name, and its query is a block. `promtool` reads the same files as YAML.
pub(crate) fn rules(file: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in file
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let item = line.trim_start().strip_prefix("- ");
        let name = item.and_then(|item| {
            let name = item.strip_prefix("record: ");
            name.or_else(|| item.strip_prefix("alert: "))
        });
        if let Some(name) = name {
            rules.push(Rule {
                name: name.to_owned(),
                expr: String::new(),
                lines: Vec::new(),
            });
        } else if let Some(rule) = rules.last_mut() {
            rule.lines.push(line.to_owned());
        }
    }
    for rule in &mut rules {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let start = rule.lines.iter().position(|line| line.trim() == "expr: |");
        let start = start.unwrap_or_else(|| panic!("{} has no block of a query", rule.name));
        let outer = indent(&rule.lines[start]);
        rule.expr = rule.lines[start + 1..]
            .iter()
            .take_while(|line| indent(line) > outer)
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join("\n");
    }
    rules
}

/// Every query of a dashboard: those of panels, of annotations, and of variables.
pub(crate) fn queries(dashboard: &Value) -> Vec<Expression> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push(Expression {
                place: panel["title"].as_str().unwrap().to_owned(),
                text: target["expr"].as_str().unwrap().to_owned(),
            });
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        if let Some(expr) = annotation["expr"].as_str() {
            found.push(Expression {
                place: annotation["name"].as_str().unwrap().to_owned(),
                text: expr.to_owned(),
            });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else {
            continue;
        };
        // `label_values(SELECTOR, LABEL)`
        let query = query.strip_prefix("label_values(").unwrap();
        let (selector, label) = query.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        found.push(Expression {
            place: variable["name"].as_str().unwrap().to_owned(),
            text: format!("count by ({label}) ({selector})"),
        });
    }
    found
}
