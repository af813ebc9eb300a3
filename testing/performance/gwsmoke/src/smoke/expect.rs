//! What is expected of an answer, and what is said when another one came.

use serde_json::Value;

use super::walk::Broken;
use crate::ask::http::Answer;

impl Answer {
    /// Checks the status.
    pub(super) fn expect(self, status: u16) -> Result<Self, Broken> {
        if self.status == status {
            return Ok(self);
        }
        Err(Broken::new(status, self.told()))
    }

    /// Checks that it is the problem of this status and code.
    pub(super) fn expect_problem(&self, status: u16, code: &str) -> Result<(), Broken> {
        if self.is_problem(status, code) {
            return Ok(());
        }
        Err(Broken::new(format!("{status} {code}"), self.told()))
    }

    /// Checks a field.
    pub(super) fn expect_field(&self, name: &str, expected: &str) -> Result<(), Broken> {
        let came = self.field(name);
        if came == Some(expected) {
            return Ok(());
        }
        let came = came.unwrap_or("none");
        Err(Broken::new(
            format!("{name}: {expected}"),
            format!("{name}: {came}"),
        ))
    }

    /// Its body as JSON.
    pub(super) fn json(&self) -> Result<Value, Broken> {
        serde_json::from_slice(&self.body).map_err(|_| Broken::new("JSON", self.told()))
    }
}
