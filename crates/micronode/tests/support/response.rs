//! A parsed response, and what every error looks like.

use micronode_protocol::ErrorCode;
use serde_json::Value;

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    pub version: String,
    pub status: u16,
    /// Fields in the order of the wire.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Parses a head that ends in an empty line.
    pub fn parse(head: &[u8]) -> Self {
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut status_line = lines.next().unwrap().splitn(3, ' ');
        Self {
            version: status_line.next().unwrap().to_owned(),
            status: status_line.next().unwrap().parse().unwrap(),
            fields: lines
                .map(|line| {
                    let (name, value) = line.split_once(':').unwrap();
                    (name.to_ascii_lowercase(), value.trim().to_owned())
                })
                .collect(),
            body: Vec::new(),
        }
    }

    /// The value of a field that may stand only once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Whether the status alone says that no body follows.
    pub fn has_no_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Checks that this is the problem document of `code`, complete in every member.
    #[track_caller]
    pub fn assert_problem(&self, code: &str) {
        assert_problem(
            self.status,
            |name| self.field(name).map(str::to_owned),
            &self.body,
            code,
        );
    }
}

/// Checks the answer of an error, whatever protocol brought it: status, fields, and all members.
#[track_caller]
pub fn assert_problem(
    status: u16,
    field: impl Fn(&str) -> Option<String>,
    body: &[u8],
    code: &str,
) {
    assert_eq!(
        field("content-type").as_deref(),
        Some("application/problem+json")
    );
    let problem = assert_document(status, body, code);
    assert_eq!(field("x-corr-id").as_deref(), problem["corr_id"].as_str());
    let retry_after = field("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
    assert_eq!(retry_after.is_some(), matches!(status, 429 | 503));
    assert_ne!(retry_after, Some(0));
}

/// Checks a problem document, complete in every member, and returns it.
#[track_caller]
pub fn assert_document(status: u16, body: &[u8], code: &str) -> Value {
    let expected = ErrorCode::from_code(code).unwrap();
    let text = String::from_utf8_lossy(body);
    assert_eq!(status, expected.status(), "{text}");
    let problem: Value = serde_json::from_slice(body).expect("a JSON document");
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], expected.status());
    assert_eq!(problem["retryable"], expected.retryable());
    for member in ["type", "title", "detail", "corr_id"] {
        let text = problem[member].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{member} is missing: {problem}");
    }
    assert_eq!(problem.as_object().unwrap().len(), 7, "{problem}");
    problem
}
