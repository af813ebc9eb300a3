//! Many threads on one small, evicting store.

use micronode_engine::{DeleteError, Eviction, GetError, PutError, PutHead};
use micronode_protocol::Address;

use crate::{GROUP, assert_empty, at, read_all, sample, store_of};

const THREADS: u64 = 4;
const ROUNDS: u64 = 1500;

#[test]
fn whatever_the_interleaving_reads_are_true_and_nothing_leaks() {
    // Room for about half of what the threads want to keep.
    let store = store_of(Eviction::Lru, 400_000);
    let objects: Vec<(Address, Vec<u8>)> = (0..16)
        .map(|i| sample([10, 3000, GROUP, GROUP + 9][i % 4] + i, i as u8))
        .map(|bytes| (Address::of(&bytes), bytes))
        .collect();

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, objects) = (store.clone(), &objects);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
                for round in 0..ROUNDS {
                    // xorshift64: a different path per thread, the same in every run.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let (address, bytes) = &objects[(random >> 8) as usize % objects.len()];
                    let now = at(round);
                    match random % 9 {
                        0 => drop(store.delete(now, address)),
                        1 => drop(store.expire(now)),
                        2 => drop(store.corrupt(address, 0)),
                        // Whatever the others do, it stays until the pin is dropped.
                        3 => {
                            if let Ok(pin) = store.pin(now, address) {
                                assert_eq!(store.delete(now, address), Err(DeleteError::Pinned));
                                std::thread::yield_now();
                                let found = store.get(at(2 * ROUNDS), address);
                                assert!(!matches!(found, Err(GetError::NotFound(_))));
                                drop(pin);
                            }
                        }
                        4 | 5 => match store.get(now, address) {
                            // Damage done by another thread may be found here, never served.
                            Ok(object) => {
                                if let Ok(read) = read_all(&object) {
                                    assert!(read == *bytes);
                                }
                            }
                            Err(GetError::NotFound(_) | GetError::Integrity(_)) => {}
                        },
                        _ => {
                            let ttl_ms = random.is_multiple_of(3).then_some(random % 50);
                            let head = PutHead {
                                expected: Some(*address),
                                ttl_ms,
                                ..PutHead::default()
                            };
                            let stored = store.begin_put(now, head).and_then(|mut upload| {
                                upload.write(&bytes[..bytes.len() / 2])?;
                                if random.is_multiple_of(5) {
                                    return Ok(None);
                                }
                                upload.write(&bytes[bytes.len() / 2..])?;
                                upload.finish(now).map(Some)
                            });
                            assert!(
                                matches!(stored, Ok(_) | Err(PutError::OverBudget(_))),
                                "{stored:?}"
                            );
                        }
                    }
                    assert!(store.budget().committed() <= store.budget().limit());
                }
            });
        }
    });

    let stats = store.stats();
    assert!(stats.evicted_lru > 0 && stats.evicted_expired > 0 && stats.integrity_failures > 0);
    assert_eq!(store.budget().used_total(), store.budget().committed());
    store.clear();
    assert_empty(&store);
}
