#![allow(clippy::unwrap_used)]

use super::*;
use crate::backend::{Committed, LoadError, Loaded, Restore, Staged};
use micronode_protocol::Address;
use std::io;
use std::sync::mpsc;

/// A disk that does what it is told, a batch at a time, and remembers what it took.
#[derive(Clone)]
struct Told {
    orders: Arc<Mutex<mpsc::Receiver<Order>>>,
    taken: Arc<Mutex<Vec<u64>>>,
    has_room: Arc<AtomicBool>,
}

enum Order {
    Take,
    Fail,
    Panic,
}

impl Backend for Told {
    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.clone())
    }

    fn mailbox_key(&self) -> [u8; 32] {
        [0; 32]
    }

    fn load(&mut self, _: u64, _: &mut dyn Restore) -> Result<Loaded, LoadError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, batch: &[Change]) -> Result<Committed, BackendError> {
        match self.orders.lock().recv() {
            Ok(Order::Take) | Err(_) => {}
            Ok(Order::Fail) => return Err(io::Error::from(io::ErrorKind::StorageFull).into()),
            Ok(Order::Panic) => panic!("as it was told"),
        }
        self.taken.lock().extend(batch.iter().map(revision));
        Ok(Committed::default())
    }

    fn make_room(&mut self) -> Result<(), BackendError> {
        Ok(())
    }
}

impl Staging for Told {
    fn begin(&self) -> Result<Box<dyn Staged>, BackendError> {
        Err(io::Error::from(io::ErrorKind::StorageFull).into())
    }

    fn discard(&self, _: u64) {}

    fn has_room(&self) -> bool {
        self.has_room.load(Relaxed)
    }
}

fn change(revision: u64) -> Change {
    Change::NameSet {
        name: "a".into(),
        address: Address::from_bytes([0; 32]),
        revision,
    }
}

fn revision(change: &Change) -> u64 {
    match change {
        Change::NameSet { revision, .. } => *revision,
        _ => unreachable!("no other was recorded"),
    }
}

struct World {
    keeper: Arc<Keeper>,
    disk: Told,
    orders: mpsc::SyncSender<Order>,
    thread: JoinHandle<()>,
}

fn world(waits: bool) -> World {
    let (orders, told) = mpsc::sync_channel(128);
    let disk = Told {
        orders: Arc::new(Mutex::new(told)),
        taken: Arc::default(),
        has_room: Arc::new(AtomicBool::new(true)),
    };
    let keeper = Keeper::new(waits, disk.staging());
    let thread = keeper
        .write_to(Box::new(disk.clone()), Duration::from_millis(1))
        .unwrap();
    World {
        keeper,
        disk,
        orders,
        thread,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

impl World {
    /// Nothing more is recorded or told; what was taken.
    fn end(self) -> Vec<u64> {
        drop(self.orders);
        self.keeper.close();
        self.thread.join().unwrap();
        let taken = self.disk.taken.lock();
        taken.clone()
    }
}

#[test]
fn whoever_waits_is_answered_when_everything_until_then_is_durable() {
    let world = world(true);
    // Nothing was recorded: nothing to wait for.
    block_on(world.keeper.settled()).unwrap();
    for revision in 0..100 {
        world.keeper.record(change(revision));
    }
    assert_eq!(world.keeper.pending(), 100);
    for _ in 0..100 {
        world.orders.send(Order::Take).unwrap();
    }
    block_on(world.keeper.settled()).unwrap();
    assert_eq!(world.keeper.pending(), 0);
    assert_eq!(*world.disk.taken.lock(), (0..100).collect::<Vec<_>>());
    world.end();
}

#[test]
fn what_a_disk_does_not_take_is_tried_again_and_changes_are_refused_meanwhile() {
    let world = world(true);
    world.keeper.record(change(0));
    world.orders.send(Order::Fail).unwrap();
    let error = block_on(world.keeper.settled()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Degraded);
    assert!(world.keeper.is_down());
    for room in [Room::Needed, Room::Spared] {
        assert_eq!(
            world.keeper.admit(room).unwrap_err().code,
            ErrorCode::Degraded
        );
    }
    // Time goes on, and so do the changes that it makes.
    world.keeper.record(change(1));
    for _ in 0..3 {
        world.orders.send(Order::Take).unwrap();
    }
    while world.keeper.is_down() {
        std::thread::yield_now();
    }
    block_on(world.keeper.settled()).unwrap();
    world.keeper.admit(Room::Needed).unwrap();
    assert_eq!(world.end(), [0, 1]);
}

#[test]
fn with_little_room_only_what_needs_some_is_refused() {
    let world = world(true);
    world.disk.has_room.store(false, Relaxed);
    world.keeper.record(change(0));
    world.orders.send(Order::Take).unwrap();
    while !world.keeper.is_down() {
        std::thread::yield_now();
    }
    assert!(world.keeper.admit(Room::Needed).is_err());
    world.keeper.admit(Room::Spared).unwrap();
    world.end();
}

/// Changes that nobody writes would be held without end otherwise.
#[test]
fn so_many_changes_wait_and_no_more_are_admitted() {
    let disk = world(true);
    let idle = Keeper::new(true, disk.disk.staging());
    for revision in 1..PERSIST_BACKLOG as u64 {
        idle.record(change(revision));
    }
    idle.admit(Room::Spared).unwrap();
    idle.record(change(0));
    assert_eq!(
        idle.admit(Room::Spared).unwrap_err().code,
        ErrorCode::Degraded
    );
    disk.end();
}

/// A request would wait until its deadline otherwise, and so would every one after it.
#[test]
fn when_the_writer_panics_everybody_is_told() {
    let world = world(true);
    world.keeper.record(change(0));
    world.orders.send(Order::Panic).unwrap();
    assert!(block_on(world.keeper.settled()).is_err());
    assert!(world.keeper.is_down() && world.keeper.admit(Room::Spared).is_err());
    assert!(world.thread.join().is_err());
}

#[test]
fn with_an_interval_nobody_waits_and_everything_is_written_in_the_end() {
    let world = world(false);
    world.keeper.record(change(0));
    block_on(world.keeper.settled()).unwrap();
    world.keeper.record(change(1));
    assert_eq!(world.end(), [0, 1]);
}
