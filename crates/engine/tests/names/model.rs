//! Random commands against a plain map that follows the documented rules.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use micronode_engine::names::{Expected, NameEntry, NameSet, RemoveError, SetError, Tag};
use micronode_engine::{DeleteError, MemoryKind, Names, Store};
use micronode_protocol::Address;
use micronode_protocol::limits::NAME_OVERHEAD_BYTES;
use proptest::prelude::*;

use crate::{MIB, at, index, put};

static CONTENTS: LazyLock<Vec<(Address, [u8; 1])>> =
    LazyLock::new(|| (0..4).map(|i| (Address::of(&[i]), [i])).collect());

#[derive(Clone, Debug)]
enum Command {
    Put(usize),
    DeleteObject(usize),
    Set(String, usize, Expecting),
    Delete(String, Expecting),
    Get(String),
    List(String, String, usize),
}

/// What is expected, in terms of the state that it meets.
#[derive(Clone, Debug)]
enum Expecting {
    Any,
    Absent,
    Exists,
    /// Revisions, counted back from the latest, and objects.
    OneOf(Vec<u64>, Vec<usize>),
}

fn name() -> impl Strategy<Value = String> {
    "[a-c]{1,2}(/[a-c]{1,2})?"
}

fn command() -> impl Strategy<Value = Command> {
    let content = || 0..CONTENTS.len();
    let expecting = || {
        let tags = (
            prop::collection::vec(0..12_u64, 0..4),
            prop::collection::vec(content(), 0..2),
        );
        prop_oneof![
            4 => Just(Expecting::Any),
            1 => Just(Expecting::Absent),
            1 => Just(Expecting::Exists),
            4 => tags.prop_map(|(revisions, contents)| Expecting::OneOf(revisions, contents)),
        ]
    };
    prop_oneof![
        2 => content().prop_map(Command::Put),
        1 => content().prop_map(Command::DeleteObject),
        8 => (name(), content(), expecting()).prop_map(|(name, content, expecting)| {
            Command::Set(name, content, expecting)
        }),
        3 => (name(), expecting()).prop_map(|(name, expecting)| Command::Delete(name, expecting)),
        2 => name().prop_map(Command::Get),
        3 => ("[a-c/]{0,3}", "[a-c/]{0,3}", 0..10_usize)
            .prop_map(|(prefix, after, limit)| Command::List(prefix, after, limit)),
    ]
}

#[derive(Default)]
struct Model {
    objects: [bool; 4],
    names: BTreeMap<String, (usize, u64)>,
    revision: u64,
}

impl Model {
    fn expected(&self, expecting: &Expecting) -> Expected {
        match expecting {
            Expecting::Any => Expected::Any,
            Expecting::Absent => Expected::Absent,
            Expecting::Exists => Expected::Exists,
            Expecting::OneOf(revisions, contents) => {
                let revisions = revisions
                    .iter()
                    .map(|back| Tag::Revision(self.revision.saturating_sub(*back)));
                let addresses = contents
                    .iter()
                    .map(|content| Tag::Address(CONTENTS[*content].0));
                Expected::OneOf(revisions.chain(addresses).collect())
            }
        }
    }

    fn holds(&self, name: &str, expected: &Expected) -> bool {
        let present = self.names.get(name);
        match expected {
            Expected::Any => true,
            Expected::Absent => present.is_none(),
            Expected::Exists => present.is_some(),
            Expected::OneOf(tags) => present.is_some_and(|(content, revision)| {
                tags.contains(&Tag::Revision(*revision))
                    || tags.contains(&Tag::Address(CONTENTS[*content].0))
            }),
        }
    }

    fn address(&self, name: &str) -> Option<Address> {
        let pointed = self.names.get(name);
        pointed.map(|(content, _)| CONTENTS[*content].0)
    }

    fn is_pinned(&self, content: usize) -> bool {
        self.names.values().any(|(pointed, _)| *pointed == content)
    }
}

fn step(names: &Names, store: &Store, model: &mut Model, command: &Command) {
    let mut published = None;
    match command {
        Command::Put(content) => {
            put(store, &CONTENTS[*content].1);
            model.objects[*content] = true;
        }
        Command::DeleteObject(content) => {
            let expected = if !model.objects[*content] {
                Err(DeleteError::NotFound)
            } else if model.is_pinned(*content) {
                Err(DeleteError::Pinned)
            } else {
                model.objects[*content] = false;
                Ok(())
            };
            assert_eq!(store.delete(at(0), &CONTENTS[*content].0), expected);
        }
        Command::Set(name, content, expecting) => {
            let expected = model.expected(expecting);
            let before = model.address(name);
            let address = CONTENTS[*content].0;
            let outcome = names.set(at(0), name, &address, &expected, |change| {
                assert_eq!(change.before, before);
                published = Some((change.name.to_owned(), change.address, change.revision));
            });
            if !model.objects[*content] {
                assert_eq!(outcome, Err(SetError::NoObject));
            } else if !model.holds(name, &expected) {
                assert_eq!(outcome, Err(SetError::Precondition));
            } else {
                model.revision += 1;
                let revision = model.revision;
                let created = model
                    .names
                    .insert(name.clone(), (*content, revision))
                    .is_none();
                assert_eq!(outcome, Ok(NameSet { revision, created }));
                let change = (name.clone(), Some(address), revision);
                assert_eq!(published.take(), Some(change));
            }
        }
        Command::Delete(name, expecting) => {
            let expected = model.expected(expecting);
            let before = model.address(name);
            let outcome = names.delete(name, &expected, |change| {
                assert_eq!(change.before, before);
                published = Some((change.name.to_owned(), change.address, change.revision));
            });
            if !model.names.contains_key(name) {
                assert_eq!(outcome, Err(RemoveError::NotFound));
            } else if !model.holds(name, &expected) {
                assert_eq!(outcome, Err(RemoveError::Precondition));
            } else {
                model.revision += 1;
                model.names.remove(name);
                assert_eq!(outcome, Ok(model.revision));
                assert_eq!(published.take(), Some((name.clone(), None, model.revision)));
            }
        }
        Command::Get(name) => {
            let pointed = model.names.get(name);
            let expected = pointed.map(|(content, revision)| (CONTENTS[*content].0, *revision));
            assert_eq!(names.get(name), expected);
        }
        Command::List(prefix, after, limit) => {
            let mut page = Vec::new();
            let more = names.list(prefix, after, *limit, &mut page);
            let mut expected: Vec<NameEntry> = model
                .names
                .iter()
                .filter(|(name, _)| name.starts_with(prefix.as_str()) && *name > after)
                .map(|(name, (content, revision))| NameEntry {
                    name: name.as_str().into(),
                    address: CONTENTS[*content].0,
                    revision: *revision,
                })
                .collect();
            assert_eq!(more, expected.len() > *limit);
            expected.truncate(*limit);
            assert_eq!(page, expected);
        }
    }
    assert_eq!(published, None, "what has not changed is not published");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_index_does_what_the_rules_say(commands in prop::collection::vec(command(), 1..120)) {
        let (names, store) = index(MIB);
        let mut model = Model::default();
        for content in 0..2 {
            put(&store, &CONTENTS[content].1);
            model.objects[content] = true;
        }
        for command in &commands {
            step(&names, &store, &mut model, command);
            assert_eq!((names.revision(), names.len()), (model.revision, model.names.len()));
            let charged: u64 = model.names.keys().map(|name| name.len() as u64 + NAME_OVERHEAD_BYTES).sum();
            assert_eq!(store.budget().used(MemoryKind::Names), charged);
        }
    }
}
