//! Pages of names, in byte order.

use micronode_engine::Names;
use micronode_engine::names::NameEntry;

use crate::{MIB, index, put, set};

const NAMES: [&str; 8] = ["-", "a", "a-", "a/1", "a/10", "a/2", "a0", "b/1"];

fn filled() -> Names {
    let (names, store) = index(MIB);
    let address = put(&store, b"1");
    // Not in their order.
    for name in NAMES.into_iter().rev() {
        set(&names, name, &address).unwrap();
    }
    names
}

fn page(names: &Names, prefix: &str, after: &str, limit: usize) -> (Vec<String>, bool) {
    let mut page = Vec::new();
    let more = names.list(prefix, after, limit, &mut page);
    let names = page.iter().map(|entry| entry.name.to_string()).collect();
    (names, more)
}

#[test]
fn a_page_has_what_begins_with_the_prefix_and_comes_after() {
    let names = filled();
    let table = [
        // Prefix, after, and which of the names.
        ("", "", 0..8),
        ("", "a", 2..8),
        ("", "a/1", 4..8),
        ("", "a/11", 5..8),
        ("", "b/1", 8..8),
        ("a", "", 1..7),
        ("a", "-", 1..7),
        ("a", "a", 2..7),
        ("a/", "", 3..6),
        ("a/", "a/", 3..6),
        ("a/", "a/1", 4..6),
        ("a/", "a/9", 6..6),
        ("a/1", "a/1", 4..5),
        ("a/1", "a", 3..5),
        ("a/1", "b", 0..0),
        ("b", "", 7..8),
        ("c", "", 0..0),
    ];
    for (prefix, after, which) in table {
        let expected: Vec<String> = NAMES[which].iter().map(ToString::to_string).collect();
        let whole = page(&names, prefix, after, usize::MAX);
        assert_eq!(whole, (expected.clone(), false), "{prefix} after {after}");
        for limit in 0..=expected.len() + 1 {
            let taken = limit.min(expected.len());
            assert_eq!(
                page(&names, prefix, after, limit),
                (expected[..taken].to_vec(), taken < expected.len()),
                "{limit} of {prefix} after {after}"
            );
        }
    }
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let names = filled();
    for limit in 1..=NAMES.len() + 1 {
        let mut entries: Vec<NameEntry> = Vec::new();
        loop {
            let after = entries
                .last()
                .map_or(String::new(), |last| last.name.to_string());
            if !names.list("", &after, limit, &mut entries) {
                break;
            }
        }
        let listed: Vec<&str> = entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(listed, NAMES);
        for entry in &entries {
            let found = names.get(&entry.name);
            assert_eq!(found, Some((entry.address, entry.revision)));
        }
    }
}
