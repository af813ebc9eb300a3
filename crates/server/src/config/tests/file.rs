//! The TOML file: types, syntax, size.

#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn types_of_the_file_are_strict() {
    const FINE: &str = "
        dev = true
        limits.rps = 0x10
        limits.rps = 1_000
        limits.request_deadline = \"1s\"
        limits.max_object = 4096
        limits.max_object = \"4KiB\"
        memory.budget = 33554432
        memory.budget = \"auto\"
        bind = \"[::1]:0\"
        limits = {}
        limits = { rps = 5, facets = { \"storage_read\" = 5 } }
        [limits.facets]
    ";
    const WRONG: &str = "
        dev = 1
        dev = \"true\"
        limits.rps = 5.0
        limits.rps = 99999999999999999999999999999999999999999999
        limits.rps = \"5\"
        limits.rps = [5]
        limits.rps = 1979-05-27
        limits.request_deadline = 1
        limits.max_object = -4096
        limits.max_object = true
        memory.budget = \"all\"
        bind = 8080
        log.level = \"WARN\"
        log.level = {}
        limits = 5
        nothing = {}
        [[limits]]
        \"limits.rps\" = 5
    ";
    for text in FINE.lines().map(str::trim) {
        if let Err(error) = load_text(text) {
            panic!("{text}: {error}");
        }
    }
    for text in WRONG.lines().map(str::trim).filter(|text| !text.is_empty()) {
        assert_eq!(problems(load_text(text)).len(), 1, "{text}");
    }
    assert_eq!(
        load_text("limits.rps = 0x10").unwrap().config.limits.rps,
        16
    );
}

#[test]
fn a_section_is_not_a_value() {
    let found = problems(load_text("limits = 5"));
    assert!(found[0].ends_with("is a section, not a value"), "{found:?}");
}

#[test]
fn every_syntax_error_has_its_line() {
    let file = file("bind = \nworkers = 2\n[limits\nrps = = 3\n");
    let found = problems(load_file(&file.path));
    for line in [1, 3, 4] {
        let place = format!("syntax (file {}:{line}): not TOML: ", file.path.display());
        assert!(
            found.iter().any(|problem| problem.starts_with(&place)),
            "{place} in {found:?}"
        );
    }
    // A file that cannot be read hides nothing of the other sources.
    let both = load(Sources {
        file: Some(file.path),
        env: env(&[("MICRO_WORKERS", "x")]),
        flags: Vec::new(),
    });
    assert!(problems(both).contains(&"MICRO_WORKERS: \"x\": expected a whole number".to_owned()));
}

#[test]
fn a_file_that_was_named_must_be_readable() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.toml");
    let found = problems(load_file(&missing));
    let start = format!("{}: cannot be read: ", missing.display());
    assert!(
        found.len() == 1 && found[0].starts_with(&start),
        "{found:?}"
    );
    assert!(problems(load_file(directory.path()))[0].contains("cannot be read"));
    assert!(problems(load_file(&file([0xff, 0xfe]).path))[0].contains("cannot be read"));
}

#[test]
fn the_file_is_read_up_to_its_cap() {
    let cap = usize::try_from(limits::CONFIG_BYTES).unwrap();
    let mut text = "limits.rps = 7 #".to_owned();
    text.push_str(&"x".repeat(cap - text.len()));
    assert_eq!(load_text(&text).unwrap().config.limits.rps, 7);
    text.push('x');
    assert!(problems(load_text(&text))[0].ends_with("larger than 524288 bytes"));
}
