//! The store seen from outside, by topic.
#![allow(clippy::unwrap_used)]

mod admission;
mod events;
mod eviction;
mod expiry;
mod integrity;
mod model;
mod pins;
mod reading;
mod sealed;
mod threads;

use std::ops::Range;
use std::sync::Arc;

use micronode_engine::{
    Budget, Eviction, IntegrityError, Now, Object, PutError, PutHead, Store, StoreConfig, Stored,
};
use micronode_protocol::limits::{GROUP_BYTES, OBJECT_OVERHEAD_BYTES};

const GROUP: usize = GROUP_BYTES;
const MIB: u64 = 1 << 20;
/// The wall clock when the monotonic clock is at 0.
const WALL_MS: u64 = 1_700_000_000_000;

fn at(mono_ms: u64) -> Now {
    Now {
        mono_ms,
        wall_ms: WALL_MS.saturating_add(mono_ms),
    }
}

fn store_of(eviction: Eviction, limit: u64) -> Store {
    Store::new(
        StoreConfig {
            eviction,
            max_object_bytes: 64 * MIB,
        },
        Budget::new(limit),
    )
}

fn store(limit: u64) -> Store {
    store_of(Eviction::Refuse, limit)
}

/// What the store charges for an object, written out from its documentation.
fn cost(size: u64, media_type: Option<&str>) -> u64 {
    let groups = if size <= GROUP as u64 {
        0
    } else {
        size.div_ceil(GROUP as u64)
    };
    size + groups * (32 + 16) + media_type.map_or(0, str::len) as u64 + OBJECT_OVERHEAD_BYTES
}

fn sample(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ seed).collect()
}

fn put_head(store: &Store, now: Now, head: PutHead<'_>, bytes: &[u8]) -> Result<Stored, PutError> {
    let mut upload = store.begin_put(now, head)?;
    upload.write(bytes)?;
    upload.finish(now)
}

fn put(store: &Store, now: Now, bytes: &[u8]) -> Result<Stored, PutError> {
    let declared = Some(bytes.len() as u64);
    put_head(
        store,
        now,
        PutHead {
            declared,
            ..PutHead::default()
        },
        bytes,
    )
}

fn put_ttl(store: &Store, now: Now, bytes: &[u8], ttl_ms: u64) -> Result<Stored, PutError> {
    let declared = Some(bytes.len() as u64);
    put_head(
        store,
        now,
        PutHead {
            declared,
            ttl_ms: Some(ttl_ms),
            ..PutHead::default()
        },
        bytes,
    )
}

fn read(object: &Arc<Object>, range: Range<u64>) -> Result<Vec<u8>, IntegrityError> {
    let mut reader = object.read(range);
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(reader.remaining(), 0);
    Ok(bytes)
}

fn read_all(object: &Arc<Object>) -> Result<Vec<u8>, IntegrityError> {
    read(object, 0..object.size())
}

fn assert_empty(store: &Store) {
    let stats = store.stats();
    assert_eq!(
        (stats.objects, stats.object_bytes, stats.pinned_bytes),
        (0, 0, 0)
    );
    assert_eq!(
        (store.budget().committed(), store.budget().used_total()),
        (0, 0)
    );
    assert_eq!(store.next_expiry(), None);
}
