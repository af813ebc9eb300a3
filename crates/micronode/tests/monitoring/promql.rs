//! Queries, as far as it takes to say which series they ask for: names, matchers, and the labels
//! that are grouped by. Whether a query is one is for `promtool`.

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) selectors: Vec<Selector>,
    /// Labels that are grouped or joined by.
    pub(crate) labels: Vec<String>,
}

/// A name and what its labels have to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matcher>,
}

/// `label="value"`, or with another operator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) value: String,
}

/// Words behind which a list of labels stands.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Words that are neither functions nor names. An aggregation's may stand before its grouping.
const WORDS: [&str; 11] = [
    "and", "or", "unless", "bool", "offset", "sum", "max", "min", "avg", "count", "inf",
];

pub(crate) fn parse(text: &str) -> Query {
    let mut query = Query::default();
    let mut rest = Rest(text);
    while let Some(next) = rest.peek() {
        if is_start(next) {
            let word = rest.take(is_inner);
            rest.skip_spaces();
            if GROUPING.contains(&word) {
                query.labels.extend(labels(&mut rest));
            } else if rest.peek() == Some('(') || WORDS.contains(&word) {
                continue;
            } else {
                query.selectors.push(Selector {
                    name: word.to_owned(),
                    matchers: matchers(&mut rest),
                });
            }
        } else if next.is_ascii_digit() {
            // Exponents and units too: `1e6`, `5m`.
            rest.take(|next| next.is_ascii_alphanumeric() || next == '.');
        } else if next == '[' {
            rest.take(|next| next != ']');
        } else {
            rest.bump();
        }
    }
    query
}

/// What is left of a text.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn bump(&mut self) {
        self.0 = &self.0[self.peek().map_or(0, char::len_utf8)..];
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|next| !belongs(next)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip_spaces(&mut self) {
        self.take(char::is_whitespace);
    }

    /// What stands between here and `end`, which is gone too.
    #[track_caller]
    fn until(&mut self, end: char) -> &'a str {
        let (taken, rest) = self.0.split_once(end).expect("an end");
        self.0 = rest;
        taken
    }
}

fn is_start(next: char) -> bool {
    next.is_ascii_alphabetic() || next == '_' || next == ':'
}

fn is_inner(next: char) -> bool {
    is_start(next) || next.is_ascii_digit()
}

/// `(a, b)`; `group_left` may stand without.
fn labels(rest: &mut Rest<'_>) -> Vec<String> {
    if rest.peek() != Some('(') {
        return Vec::new();
    }
    rest.bump();
    let labels = rest.until(')').split(',').map(str::trim);
    labels
        .filter(|label| !label.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `{a="b", c=~"d"}`, if it stands there.
fn matchers(rest: &mut Rest<'_>) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    if rest.peek() != Some('{') {
        return matchers;
    }
    rest.bump();
    while rest.peek() != Some('}') {
        rest.take(|next| next.is_whitespace() || next == ',');
        let label = rest.take(is_inner).to_owned();
        rest.take(|next| next.is_whitespace() || "=!~".contains(next));
        assert_eq!(rest.peek(), Some('"'), "a quoted value in {:?}", rest.0);
        rest.bump();
        // Templates of paths have braces in them; no value of ours has quotes.
        let value = rest.until('"').to_owned();
        matchers.push(Matcher { label, value });
        rest.skip_spaces();
    }
    rest.bump();
    matchers
}

#[test]
fn selectors_are_found_among_functions_words_and_numbers() {
    let query = r#"
        histogram_quantile(0.95, sum by (le, route) (rate(a_bucket{x=~"b|c", route="/o/{addr}"}[5m])))
          / on (job) group_left rec:b:rate1h > 14.4 * 1e-3 and time() - up offset 5m
    "#;
    let query = parse(query);
    let names: Vec<&str> = query.selectors.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a_bucket", "rec:b:rate1h", "up"]);
    assert_eq!(query.labels, ["le", "route", "job"]);
    let pairs: Vec<(&str, &str)> = query.selectors[0]
        .matchers
        .iter()
        .map(|matcher| (matcher.label.as_str(), matcher.value.as_str()))
        .collect();
    assert_eq!(pairs, [("x", "b|c"), ("route", "/o/{addr}")]);
}
