//! What keeping things on a disk costs, in the directory that `MICRONODE_BENCH_DIR` names (a new
//! one under it), or the system's directory for temporary files. One line a figure:
//!
//! ```text
//! MICRONODE_BENCH_DIR=/tmp cargo bench -p micronode-server --bench disk
//! ```
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use micronode_engine::journal::MessageState;
use micronode_engine::mailbox::MailboxKeys;
use micronode_engine::store::Sealed;
use micronode_engine::{
    Budget, Change, Eviction, Journal, Mailbox, MailboxConfig, Names, Now, PutHead, Store,
    StoreConfig,
};
use micronode_server::backend::{Backend, EngineRestore, LocalBackend};
use parking_lot::Mutex;

const MIB: usize = 1024 * 1024;
const KEY: [u8; 32] = [7; 32];
const NOW: Now = Now {
    mono_ms: 1_000,
    wall_ms: 1_000_000,
};

fn main() {
    let parent = std::env::var_os("MICRONODE_BENCH_DIR");
    let parent = parent.map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(&parent).unwrap();
    println!("in {}", parent.display());
    // As other benches do, this takes a word that the name of what is measured contains.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let path = |name: &str| {
        let is_wanted = wanted.as_ref().is_none_or(|wanted| name.contains(wanted));
        is_wanted.then(|| directory.path().join(name))
    };
    if let Some(path) = path("messages") {
        messages(&path);
    }
    if let Some(path) = path("objects-16-MiB") {
        large_objects(&path, 16 * MIB);
    }
    if let Some(path) = path("objects-1-MiB") {
        large_objects(&path, MIB);
    }
    if let Some(path) = path("restart-1-MiB") {
        restart(&path, MIB, 1024);
    }
    if let Some(path) = path("restart-16-KiB") {
        restart(&path, 16 * 1024, 65_536);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench has a clock")]
fn clock() -> Instant {
    Instant::now()
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn sent(sequence: u64) -> Change {
    Change::MessageSent {
        queue: 1,
        name: "bench".into(),
        sequence,
        body: Bytes::from_static(&[b'm'; 200]),
        sent_wall_ms: NOW.wall_ms,
        visible_at_wall_ms: None,
        key: None,
    }
}

/// Commits of so many messages of 200 bytes; then each is delivered and acked.
fn messages(path: &Path) {
    let mut backend = LocalBackend::open(path, KEY).unwrap();
    let mut sequence = 0;
    for (size, commits) in [(1, 500), (16, 500), (256, 200), (4096, 20)] {
        let began = clock();
        for _ in 0..commits {
            let batch: Vec<_> = (0..size)
                .map(|number| sent(sequence + number + 1))
                .collect();
            sequence += size;
            backend.commit(&batch).unwrap();
        }
        let rate = per_second(commits, began.elapsed());
        println!(
            "send, {size} a commit: {rate:.0} commits/s, {:.0} messages/s",
            rate * size as f64
        );
    }
    let batches = (1..=sequence).collect::<Vec<_>>();
    let began = clock();
    for batch in batches.chunks(256) {
        let state = MessageState {
            attempts: 1,
            ..MessageState::default()
        };
        let leased = batch.iter().map(|sequence| Change::MessageChanged {
            queue: 1,
            sequence: *sequence,
            state: state.clone(),
        });
        backend.commit(&leased.collect::<Vec<_>>()).unwrap();
        let acked = batch.iter().map(|sequence| Change::MessageRemoved {
            queue: 1,
            sequence: *sequence,
        });
        backend.commit(&acked.collect::<Vec<_>>()).unwrap();
    }
    let rate = per_second(batches.len(), began.elapsed());
    println!("lease and ack, 256 a commit each: {rate:.0} messages/s");
}

fn object(len: usize, number: u64) -> Vec<u8> {
    let mut bytes = vec![b'o'; len];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn store(journal: &Arc<Recorder>) -> Store {
    let config = StoreConfig {
        eviction: Eviction::Refuse,
        max_object_bytes: 1 << 32,
    };
    Store::new(config, Budget::new(1 << 32)).journaled(Arc::clone(journal) as Arc<dyn Journal>)
}

fn upload(store: &Store, bytes: &[u8]) -> Sealed {
    let head = PutHead {
        declared: Some(bytes.len() as u64),
        ..PutHead::default()
    };
    let mut upload = store.begin_put(NOW, head).unwrap();
    upload.write(bytes).unwrap();
    upload.seal().unwrap()
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Change>>);

impl Journal for Recorder {
    fn record(&self, change: Change) {
        self.0.lock().push(change);
    }
}

/// Objects one after another, each durable before the next.
fn large_objects(path: &Path, len: usize) {
    let mut backend = LocalBackend::open(path, KEY).unwrap();
    let journal = Arc::new(Recorder::default());
    let store = store(&journal);
    let count = 256 * MIB / len;
    let mut time = Duration::ZERO;
    for number in 0..count as u64 {
        let sealed = upload(&store, &object(len, number));
        let began = clock();
        let place = backend.staging().stage(&sealed).unwrap();
        sealed.insert(NOW, place).unwrap();
        backend
            .commit(&std::mem::take(&mut *journal.0.lock()))
            .unwrap();
        time += began.elapsed();
    }
    println!(
        "objects of {} MiB, one by one: {:.0} MB/s",
        len / MIB,
        per_second(count * len, time) / 1e6
    );
}

/// The directory as a process leaves it that does not close it.
fn leave(path: &Path, killed: &Path) {
    fs::create_dir_all(killed.join("objects")).unwrap();
    for entry in fs::read_dir(path.join("objects")).unwrap() {
        let entry = entry.unwrap();
        let to = killed.join("objects").join(entry.file_name());
        fs::hard_link(entry.path(), to).unwrap();
    }
    for file in ["format", "index.redb"] {
        fs::copy(path.join(file), killed.join(file)).unwrap();
        let copy = fs::File::open(killed.join(file)).unwrap();
        copy.sync_all().unwrap();
    }
}

/// 1 GiB of objects and 100 000 messages, after the process was killed: opened, checked, restored
/// into an engine.
fn restart(path: &Path, len: usize, count: u64) {
    let killed = path.with_extension("killed");
    let journal = Arc::new(Recorder::default());
    {
        let mut backend = LocalBackend::open(path, KEY).unwrap();
        let store = store(&journal);
        for number in 0..count {
            let sealed = upload(&store, &object(len, number));
            let place = backend.staging().stage(&sealed).unwrap();
            sealed.insert(NOW, place).unwrap();
            if number % 256 == 255 {
                backend
                    .commit(&std::mem::take(&mut *journal.0.lock()))
                    .unwrap();
            }
        }
        let messages: Vec<_> = (1..=100_000).map(sent).collect();
        backend.commit(&messages).unwrap();
        leave(path, &killed);
    }
    let began = clock();
    let mut backend = LocalBackend::open(&killed, KEY).unwrap();
    let opened = began.elapsed();
    let store = store(&journal);
    let budget = store.budget().clone();
    let names = Names::new(store.clone(), budget.clone());
    let config = MailboxConfig {
        max_messages: 1_000_000,
        max_bytes: 1 << 31,
        max_messages_total: 1_000_000,
        max_bytes_total: 1 << 31,
        max_body: MIB,
        max_deliveries: 3,
        window_ms: 60_000,
    };
    let mailbox = Mailbox::new(config, budget, MailboxKeys::new(KEY, KEY));
    let mut restore = EngineRestore::new(NOW, store, names, mailbox);
    let loaded = backend.load(NOW.wall_ms, &mut restore).unwrap();
    let all = began.elapsed();
    println!(
        "restart with {count} objects of {} KiB and {} messages: {:.2} s, of which {:.2} s to open",
        len / 1024,
        loaded.messages,
        all.as_secs_f64(),
        opened.as_secs_f64()
    );
    assert_eq!((loaded.objects, loaded.damaged), (count, 0));
}
