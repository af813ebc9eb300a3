//! The index of names seen from outside, by topic.
#![allow(clippy::unwrap_used)]

mod bounds;
mod changes;
mod listing;
mod model;
mod pinning;
mod threads;

use micronode_engine::names::{Expected, NameChange, NameSet, SetError};
use micronode_engine::{Budget, Eviction, Names, Now, PutHead, Store, StoreConfig};
use micronode_protocol::Address;

const MIB: u64 = 1 << 20;

fn at(mono_ms: u64) -> Now {
    Now {
        mono_ms,
        wall_ms: mono_ms,
    }
}

fn store(limit: u64) -> Store {
    let config = StoreConfig {
        eviction: Eviction::Refuse,
        max_object_bytes: MIB,
    };
    Store::new(config, Budget::new(limit))
}

/// An index and its store, which share a budget.
fn index(limit: u64) -> (Names, Store) {
    let store = store(limit);
    (Names::new(store.clone(), store.budget().clone()), store)
}

fn put_ttl(store: &Store, now: Now, bytes: &[u8], ttl_ms: Option<u64>) -> Address {
    let head = PutHead {
        declared: Some(bytes.len() as u64),
        ttl_ms,
        ..PutHead::default()
    };
    let mut upload = store.begin_put(now, head).unwrap();
    upload.write(bytes).unwrap();
    upload.finish(now).unwrap().address
}

fn put(store: &Store, bytes: &[u8]) -> Address {
    put_ttl(store, at(0), bytes, None)
}

fn unheard(_: &NameChange<'_>) {}

fn set(names: &Names, name: &str, address: &Address) -> Result<NameSet, SetError> {
    names.set(at(0), name, address, &Expected::Any, unheard)
}
