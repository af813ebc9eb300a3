//! Scenario files: a [`LoadSpec`] in TOML.

use std::path::Path;

use crate::failure::{Failure, io};
use crate::spec::{LoadSpec, Workload};

/// Part of requests that take where nothing else is said: as many as are sent.
const MAILBOX_READ_RATIO: f64 = 0.5;

/// Reads a scenario file.
///
/// # Errors
///
/// If it cannot be read, or is no scenario.
pub fn read(path: &Path) -> Result<LoadSpec, Failure> {
    let text = std::fs::read_to_string(path).map_err(io(path.display()))?;
    parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Reads the text of a scenario.
///
/// # Errors
///
/// If it is none; with what is wrong and where.
pub fn parse(text: &str) -> Result<LoadSpec, String> {
    let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    // From the text again, so that an error says where it is.
    let mut spec: LoadSpec = toml::from_str(text).map_err(|error| error.to_string())?;
    if spec.workload == Workload::Mailbox && !table.contains_key("read_ratio") {
        spec.read_ratio = MAILBOX_READ_RATIO;
    }
    // TOML has no null.
    if !table.contains_key("rate_rps") {
        spec.rate_rps = None;
    }
    Ok(spec)
}

/// The defaults of a workload.
pub fn of(workload: Workload) -> LoadSpec {
    let mut spec = LoadSpec {
        workload,
        ..LoadSpec::default()
    };
    if workload == Workload::Mailbox {
        spec.read_ratio = MAILBOX_READ_RATIO;
    }
    spec
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_scenario_holds_what_matters_to_it() {
        let spec = parse(
            "name = \"mixed\"\nproto = \"oap\"\nrate_rps = 100.0\nsizes = [{ bytes = 1, weight = 2.0 }]\n",
        )
        .unwrap();
        assert_eq!((spec.name.as_str(), spec.rate_rps), ("mixed", Some(100.0)));
        assert_eq!(spec.connections, LoadSpec::default().connections);
        let mailbox = parse("workload = \"mailbox\"").unwrap();
        assert_eq!(mailbox.rate_rps, None, "a closed loop");
        assert_eq!(mailbox.read_ratio, 0.5);
        assert_eq!(
            parse("workload = \"mailbox\"\nread_ratio = 0.9")
                .unwrap()
                .read_ratio,
            0.9
        );
        assert_eq!(of(Workload::Mailbox).read_ratio, 0.5);
        assert_eq!(of(Workload::Echo).read_ratio, 1.0);
    }

    #[test]
    fn what_no_scenario_has_is_an_error() {
        assert!(parse("rate = 5").is_err());
        assert!(parse("proto = \"http3\"").is_err());
        assert!(parse("name = ").is_err());
    }
}
