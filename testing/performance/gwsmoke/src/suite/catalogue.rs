//! The standard scenarios.

/// Their names, in the order in which they are run.
pub fn names() -> Vec<&'static str> {
    Vec::new()
}
