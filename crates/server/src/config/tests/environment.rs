//! Whose a variable is, and which key it sets.

#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn variables_of_clients_and_strangers_are_not_ours() {
    let loaded = load_env(&[
        ("MICRO_URL", "http://127.0.0.1:1"),
        ("MICRO_TOKEN", "secret"),
        ("MICRO_GRANT", "secret"),
        ("MICRO_GRANT_FILE", "ci.grant"),
        ("MICROSCOPE", "x"),
        ("PATH", "/bin"),
        ("", ""),
    ])
    .unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn one_key_has_one_variable() {
    assert_eq!(
        load_env(&[("MICRO_LIMITS__FACETS__STORAGE_READ", "9")])
            .unwrap()
            .config
            .limits
            .facets,
        Facets {
            storage_read: 9,
            ..Config::default().limits.facets
        }
    );
    for (name, nearest) in [
        ("MICRO_LIMITS__rps", "MICRO_LIMITS__RPS"),
        ("MICRO_LIMITS_RPS", "MICRO_LIMITS__RPS"),
        ("MICRO_LIMITS__IN__FLIGHT", "MICRO_LIMITS__IN_FLIGHT"),
        ("MICRO_BUDGET", "MICRO_MEMORY__BUDGET"),
        ("MICRO_WORKER", "MICRO_WORKERS"),
    ] {
        assert_eq!(
            problems(load_env(&[(name, "1")])),
            [format!(
                "{name}: unknown key; the nearest known one is {nearest}"
            )]
        );
    }
}

/// A variable whose name had a line break in it was complained about in two lines, the second of
/// which whoever had set the variable could word as a problem of its own. Found by fuzzing.
#[test]
fn a_name_cannot_add_lines_to_what_is_said() {
    assert_eq!(
        problems(load_env(&[("MICRO_DEVS\n\u{9b}", "1")])),
        ["MICRO_DEVS\\n\\u{9b}: unknown key; the nearest known one is MICRO_DEV"]
    );
}

#[test]
fn tokio_workers_sets_workers_unless_ours_does() {
    let workers = |variables: &[(&str, &str)]| {
        let loaded = load_env(variables).unwrap();
        (loaded.config.workers, origin(&loaded, "workers"))
    };
    assert_eq!(
        workers(&[("TOKIO_WORKERS", "3")]),
        (3, Origin::Env("TOKIO_WORKERS".to_owned()))
    );
    let ours = (4, Origin::Env("MICRO_WORKERS".to_owned()));
    assert_eq!(
        workers(&[("TOKIO_WORKERS", "3"), ("MICRO_WORKERS", "4")]),
        ours
    );
    assert_eq!(
        workers(&[("MICRO_WORKERS", "4"), ("TOKIO_WORKERS", "3")]),
        ours
    );
    assert_eq!(
        problems(load_env(&[("TOKIO_WORKERS", "all")])),
        ["TOKIO_WORKERS: \"all\": expected a whole number"]
    );
}
