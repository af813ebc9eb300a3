//! Allocations per request over OAP, counted. They are the same on every machine, so a bound on
//! them is a test and not a benchmark. Alone in its process, because it counts all of it.
#![allow(clippy::unwrap_used)]

#[path = "support/wire.rs"]
#[allow(dead_code, reason = "shared with the benches")]
mod wire;

use micronode_protocol::limits::{GROUP_BYTES, OAP_STREAMS};
use micronode_protocol::operation::Operation;
use wire::{Wire, get_fields, object};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Blocks allocated while `work` runs, by node and client together.
async fn blocks(work: impl Future<Output = ()>) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work.await;
    dhat::HeapStats::get().total_blocks - before
}

/// A read of 1 KiB takes one block, which keeps the object while its bytes are written; a chunk of
/// an upload takes the group that it fills. Neither takes a task, a boxed body or a buffer of its
/// own.
#[test]
fn a_request_allocates_next_to_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut wire = Wire::open().await;
        let address = wire.put(&object(1024), 1024).await;
        let fields = get_fields(address);
        let mut read = async |rounds: u64| {
            for _ in 0..rounds {
                for corr_id in 1..=OAP_STREAMS as u64 {
                    wire.ask(Operation::ObjectGet, corr_id, &fields);
                }
                wire.flush().await;
                for _ in 0..OAP_STREAMS {
                    assert_eq!(wire.frame().await.header.code, 200);
                }
            }
        };
        // Buffers and tables have grown by then.
        read(3).await;
        let rounds = 50;
        let per_get = blocks(read(rounds)).await as f64 / (rounds * OAP_STREAMS as u64) as f64;
        println!("{per_get} blocks per read of 1 KiB");
        assert!(per_get <= 1.02, "{per_get} blocks per read of 1 KiB");

        let chunks = 256;
        let large = object(chunks * GROUP_BYTES);
        let put = blocks(async {
            wire.put(&large, GROUP_BYTES).await;
        })
        .await;
        let per_chunk = put as f64 / chunks as f64;
        println!("{per_chunk} blocks per chunk put");
        assert!(per_chunk <= 1.2, "{per_chunk} blocks per chunk put");

        let address = wire.put(&large, GROUP_BYTES).await;
        let got = blocks(async {
            wire.get(address).await;
        })
        .await;
        let per_chunk = got as f64 / chunks as f64;
        println!("{per_chunk} blocks per chunk got");
        assert!(per_chunk <= 1.1, "{per_chunk} blocks per chunk got");
    });
}
