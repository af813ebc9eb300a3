//! The standard scenarios: the files of `testing/performance/scenarios`, as they were when this
//! program was built, so that it needs nothing beside it.

use crate::failure::Failure;
use crate::scenario;
use crate::spec::LoadSpec;

use super::result::Level;

macro_rules! scenarios {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../scenarios/", $name, ".toml")))),+]
    };
}

/// Name and text, in the order in which they are run.
const FILES: &[(&str, &str)] = scenarios![
    "get_1k",
    "get_64k",
    "get_1m",
    "get_1k_http2",
    "get_1k_oap",
    "get_1k_tls",
    "put_1k",
    "put_64k",
    "put_1m",
    "mixed",
    "mailbox_oap",
    "echo_1k",
    "at_cap",
    "interregion_get_1k",
    "interregion_get_64k",
    "interregion_put_64k",
    "capacity_get_1k",
    "capacity_get_64k",
    "capacity_get_1m",
    "capacity_put_64k",
    "capacity_get_1k_oap",
    "capacity_mailbox_oap",
    "sweep_get_1k",
    "beyond_cap",
];

/// The scenario whose rate is walked up.
pub const SWEEP: &str = "sweep_get_1k";
/// The scenario that offers more than the node's cap, and is watched from its admin plane.
pub const BEYOND_CAP: &str = "beyond_cap";
/// The scenario whose connections are doubled until nothing is gained.
pub const CAPACITY: &str = "capacity_get_1k";

/// A quick suite measures for this long at most, after this warm-up at most; in seconds.
const QUICK_S: f64 = 2.0;
const QUICK_WARM_UP_S: f64 = 0.5;

/// The names of all scenarios, in the order in which they are run.
pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// The text of the scenario of this name.
pub fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|it| it.0 == name).map(|(_, text)| *text)
}

/// The scenario of this name, as long as a suite of this level takes for it.
///
/// # Errors
///
/// If there is none of this name.
pub fn spec(name: &str, level: Level) -> Result<LoadSpec, Failure> {
    let text = text(name).ok_or_else(|| {
        let names = names().join(", ");
        Failure::usage(format!("no scenario is called `{name}`; there are {names}"))
    })?;
    let wrong = |error| Failure::usage(format!("the scenario {name}: {error}"));
    let mut spec = scenario::parse(text).map_err(wrong)?;
    if level == Level::Quick {
        spec.duration_s = spec.duration_s.min(QUICK_S);
        spec.warm_up_s = spec.warm_up_s.min(QUICK_WARM_UP_S);
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::slo::Levels;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_in_the_program_and_has_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let files = std::fs::read_dir(folder).unwrap().map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".toml").unwrap().to_owned()
        });
        let files: BTreeSet<String> = files.collect();
        let built_in: BTreeSet<String> = names().into_iter().map(ToOwned::to_owned).collect();
        assert_eq!(files, built_in);
        for name in names() {
            let spec = spec(name, Level::Full).unwrap();
            assert_eq!(spec.name, name);
            assert!(!spec.about.is_empty(), "{name}");
            assert!(spec.duration_s > 1.0 && spec.warm_up_s > 0.0, "{name}");
        }
    }

    #[test]
    fn a_quick_suite_takes_a_minute_or_two_and_a_full_one_about_ten() {
        let seconds = |level| -> f64 {
            let specs = names().into_iter().map(|name| spec(name, level).unwrap());
            specs.map(|it| it.duration_s + it.warm_up_s).sum()
        };
        assert!(seconds(Level::Quick) < 90.0);
        assert!(seconds(Level::Full) < 420.0);
    }

    #[test]
    fn every_scenario_at_target_load_is_held_to_the_error_budget() {
        let levels = Levels::built_in(&names()).unwrap();
        let measured = levels.scenarios_of("errors_5xx");
        for name in names() {
            let spec = spec(name, Level::Full).unwrap();
            let is_at_target = spec.rate_rps == Some(400.0) && spec.delay_ms == 0.0;
            assert!(!is_at_target || measured.contains(&name), "{name}");
        }
        for id in ["errors_unexplained", "errors_refused", "cpu", "fds"] {
            assert_eq!(levels.scenarios_of(id), measured, "{id}");
        }
    }
}
