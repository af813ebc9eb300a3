//! What holds for any values, typing errors and files.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Any accepted value for each of some keys.
fn any_values() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let per_key: Vec<_> = KEYS
        .iter()
        .map(|key| {
            let texts = accepted(key);
            proptest::option::of(proptest::sample::select(texts))
                .prop_map(move |text| text.map(|text| (key.path, text)))
        })
        .collect();
    per_key.prop_map(|values| values.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_printed_loads_to_the_same(flags in any_values()) {
        let loaded = load(Sources { file: None, env: no_env(), flags }).unwrap();
        let again = load_text(&loaded.to_toml()).unwrap();
        prop_assert_eq!(&again.config, &loaded.config);
        for (key, origin) in again.origins() {
            prop_assert!(matches!(origin, Origin::File { .. }), "{}", key.path);
        }
    }

    #[test]
    fn a_typing_error_is_told_the_key_that_was_meant(
        key in proptest::sample::select(KEYS.iter().map(|key| key.path).collect::<Vec<_>>()),
        at: proptest::sample::Index,
        typed in "[a-z]",
        how in 0..4_u8,
    ) {
        let at = at.index(key.len());
        let mut path = key.to_owned();
        match how {
            0 => { path.remove(at); }
            1 => path.insert_str(at, &typed),
            2 => path.replace_range(at..=at, &typed),
            _ => {
                let letter = path.remove(at);
                path.insert(path.len().min(at + 1), letter);
            }
        }
        prop_assume!(KEYS.iter().all(|known| known.path != path));
        prop_assume!(!path.is_empty() && !path.starts_with('.') && !path.ends_with('.'));
        prop_assume!(!path.contains(".."));
        let found = problems(load_text(&format!("{path} = 1")));
        prop_assert_eq!(found.len(), 1);
        let hint = format!("the nearest known one is {key}");
        prop_assert!(found[0].ends_with(&hint), "{}", found[0]);
    }

    #[test]
    fn any_file_is_answered(
        text in "([a-z.\"'\\[\\]{}=,#0-9 \n\\\\-]|limits|rps|true|\u{20ac}){0,60}",
    ) {
        if let Err(error) = load_text(&text) {
            prop_assert!(!error.problems.is_empty());
            let lines = text.lines().count() + 1;
            for problem in error.problems {
                if let Origin::File { line, .. } = problem.origin {
                    prop_assert!((1..=lines).contains(&line));
                }
            }
        }
    }
}
