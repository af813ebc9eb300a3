//! What putting back does, case by case.

use micronode_engine::journal::{KeptKey, MessageState};
use micronode_engine::mailbox::{Quota, RestoreError, SendError, Verdict};
use micronode_engine::names::SetError;
use micronode_engine::{Eviction, GetError, NotFound, PutHead, Restored};
use micronode_protocol::Address;
use micronode_protocol::limits::SETTLE_MESSAGES;

use crate::node::{Node, Setup};
use crate::{WALL_MS, queue};

fn node() -> Node {
    Node::new(Setup::new(Eviction::Refuse))
}

fn put_back(node: &Node, bytes: &[u8], expires_at_wall_ms: Option<u64>) -> Restored {
    let mut upload = node.store.begin_put(node.now, PutHead::default()).unwrap();
    upload.write(bytes).unwrap();
    upload
        .seal()
        .unwrap()
        .restore(node.now, 77, expires_at_wall_ms)
}

#[test]
fn an_object_whose_time_is_over_leaves_with_the_next_sweep_which_is_recorded() {
    let node = node();
    let address = Address::of(b"old");
    assert_eq!(put_back(&node, b"old", Some(WALL_MS)), Restored::Expired);
    let gone = Err(GetError::NotFound(NotFound));
    assert_eq!(node.store.get(node.now, &address).map(drop), gone);
    assert_eq!((node.store.stats().objects, node.journal.len()), (1, 0));
    assert_eq!(node.store.expire(node.now).removed, 1);
    assert_eq!((node.store.stats().objects, node.journal.len()), (0, 1));
    assert_eq!(node.store.budget().committed(), 0);
}

#[test]
fn a_name_keeps_an_object_whose_time_is_over() {
    let node = node();
    let address = Address::of(b"old");
    put_back(&node, b"old", Some(WALL_MS - 5));
    node.names.restore(node.now, "a", &address, 9).unwrap();
    node.sweep();
    let object = node.store.get(node.now, &address).unwrap();
    assert_eq!(object.stored_at_wall_ms(), 77);
    assert_eq!(object.expires_at_wall_ms(node.now), Some(WALL_MS));
    assert_eq!(node.names.get("a"), Some((address, 9)));
    assert_eq!(node.journal.len(), 0);
}

#[test]
fn what_is_there_already_stays() {
    let node = node();
    let address = Address::of(b"new");
    node.put(b"new", None, Some("text/plain"), None).unwrap();
    assert_eq!(put_back(&node, b"new", Some(0)), Restored::Readable);
    let object = node.store.get(node.now, &address).unwrap();
    assert_eq!(object.media_type(), Some("text/plain"));
    assert_eq!((node.store.stats().objects, node.journal.len()), (1, 1));
}

#[test]
fn a_name_needs_its_object_and_is_put_back_once() {
    let node = node();
    let address = Address::of(b"1");
    let restore = |name| node.names.restore(node.now, name, &address, 3);
    assert_eq!(restore("a"), Err(SetError::NoObject));
    put_back(&node, b"1", None);
    assert_eq!(restore("a"), Ok(()));
    assert_eq!(restore("a"), Err(SetError::Precondition));
    assert_eq!(node.names.len(), 1);
}

/// Also of a name that is there no more, and whatever comes first.
#[test]
fn a_revision_is_not_given_out_again() {
    let node = node();
    let address = Address::of(b"1");
    put_back(&node, b"1", None);
    node.names.restore(node.now, "b", &address, 5).unwrap();
    assert_eq!(node.names.revision(), 5);
    node.names.restore_revision(12);
    node.names.restore(node.now, "a", &address, 3).unwrap();
    node.names.restore_revision(7);
    assert_eq!(node.names.revision(), 12);
    assert_eq!(node.name("a", &address).unwrap().revision, 13);
}

#[test]
fn ids_and_keys_are_the_same_and_receipts_are_not() {
    let node = node();
    let first = node.send("jobs", b"1", 0, Some("once")).unwrap();
    let leased = node.receive(queue("jobs", false), 1, 1000).remove(0);
    let restored = node.restored(&node.kept(), 5);
    let again = restored.send("jobs", b"1", 0, Some("once")).unwrap();
    assert_eq!((again.id, again.duplicate), (first.id, true));
    let reused = restored.send("jobs", b"2", 0, Some("once"));
    assert_eq!(reused, Err(SendError::KeyReused));
    assert_eq!(
        restored.ack(queue("jobs", false), &leased),
        Verdict::Unknown
    );
    // The delivery counts.
    let now = restored.receive(queue("jobs", false), 1, 1000).remove(0);
    assert_eq!((now.id, now.attempt, &*now.body), (first.id, 2, &b"1"[..]));
    assert_eq!(restored.ack(queue("jobs", false), &now), Verdict::Ok);
    let next = restored.send("jobs", b"3", 0, None).unwrap();
    assert!(next.id > first.id);
}

#[test]
fn a_queue_without_messages_was_sent_to() {
    let node = node();
    node.send("jobs", b"1", 0, None).unwrap();
    node.purge(queue("jobs", false)).unwrap();
    let mut restored = node.restored(&node.kept(), 0);
    assert!(
        restored
            .mailbox
            .stats(restored.now, queue("jobs", false))
            .is_some()
    );
    // It is forgotten in its time, which is recorded.
    restored.advance(700_000);
    restored.sweep();
    assert_eq!(
        restored.mailbox.stats(restored.now, queue("jobs", false)),
        None
    );
    assert!(restored.kept().queues.is_empty());
    // The next one of that name is another one.
    let before = node.send("jobs", b"2", 0, None).unwrap();
    let after = restored.send("jobs", b"2", 0, None).unwrap();
    assert_ne!(before.id, after.id);
}

#[test]
fn numbers_of_queues_are_not_given_out_again() {
    let setup = Setup::new(Eviction::Refuse);
    let id = |numbers: Option<u64>| {
        let node = Node::new(setup);
        if let Some(next) = numbers {
            node.mailbox.restore_numbers(next);
            node.mailbox.restore_numbers(0);
        }
        node.send("jobs", b"1", 0, None).unwrap();
        node.kept().queues.into_keys().next().unwrap()
    };
    assert_eq!((id(None), id(Some(0)), id(Some(40))), (0, 0, 40));
}

#[test]
fn bounds_of_a_queue_are_for_what_is_sent() {
    let mut node = node();
    for _ in 0..4 {
        node.send("jobs", &[7; 100], 0, None).unwrap();
    }
    node.setup.config.max_messages = 2;
    node.setup.config.max_messages_total = 2;
    node.setup.config.max_body = 10;
    let restored = node.restored(&node.kept(), 0);
    let full = Err(SendError::Quota(Quota::Messages));
    assert_eq!(restored.send("jobs", b"1", 0, None), full);
    let got = restored.receive(queue("jobs", false), 9, 1000);
    assert_eq!(got.len(), 4);
    for delivery in &got[..2] {
        assert_eq!(restored.ack(queue("jobs", false), delivery), Verdict::Ok);
    }
    assert_eq!(restored.send("jobs", b"1", 0, None), full);
    restored.ack(queue("jobs", false), &got[2]);
    restored.send("jobs", b"1", 0, None).unwrap();
}

#[test]
fn memory_is_needed_for_what_is_put_back_and_comes_back_with_it() {
    let mut setup = Setup::new(Eviction::Refuse);
    setup.mailbox_bytes = 20_000;
    let small = Node::new(setup);
    let mut jobs = small
        .mailbox
        .restore_queue(small.now, 3, "jobs", 100)
        .unwrap();
    let state = MessageState::default();
    let refused = (1..=100).find_map(|sequence| {
        let restored = jobs.message(sequence, &[1; 1000], 5, &state);
        restored.err().map(|error| (sequence, error))
    });
    let (refused, error) = refused.unwrap();
    assert!(matches!(
        error,
        RestoreError::NoRoom(SendError::OverBudget(_))
    ));
    drop(jobs);
    // Those before it are there, and no part of it.
    let stats = small
        .mailbox
        .stats(small.now, queue("jobs", false))
        .unwrap();
    assert_eq!(
        (stats.ready, stats.bytes),
        (refused - 1, (refused - 1) * 1000)
    );
    small.purge(queue("jobs", false)).unwrap();
    assert_eq!(small.journal.len() as u64, refused - 1);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let node = node();
    let wrong = Err(RestoreError::Inconsistent);
    let state = MessageState::default();
    let key = |sequence| KeptKey {
        key: [1; 32],
        body: [2; 32],
        sequence,
        expires_at_wall_ms: WALL_MS + 9,
    };
    let mut jobs = node.mailbox.restore_queue(node.now, 3, "jobs", 10).unwrap();
    let again = node.mailbox.restore_queue(node.now, 4, "jobs", 10);
    assert_eq!(again.map(drop), wrong);
    assert_eq!(jobs.message(0, b"", 5, &state), wrong);
    assert_eq!(jobs.message(4, b"", 5, &state), Ok(()));
    assert_eq!(jobs.message(4, b"", 5, &state), wrong);
    assert_eq!(jobs.message(3, b"", 5, &state), wrong);
    assert_eq!(jobs.message(11, b"", 5, &state), wrong);
    assert_eq!(jobs.message(10, b"", 5, &state), Ok(()));
    assert_eq!(jobs.key(key(0)), wrong);
    assert_eq!(jobs.key(key(11)), wrong);
    assert_eq!(jobs.key(key(10)), Ok(()));
}

#[test]
fn the_end_of_a_node_is_not_recorded() {
    let node = node();
    node.put(b"1", None, None, None).unwrap();
    node.name("a", &Address::of(b"1")).unwrap();
    node.send("jobs", b"1", 0, Some("once")).unwrap();
    let recorded = node.journal.len();
    node.mailbox.clear();
    node.store.clear();
    assert_eq!(node.journal.len(), recorded);
    let restored = node.restored(&node.kept(), 0);
    assert_eq!(restored.receive(queue("jobs", false), 9, 9).len(), 1);
    assert_eq!(restored.names.len(), 1);
}

/// A delay goes on, on a monotonic clock that is at another time.
#[test]
fn what_is_left_of_a_delay_is_waited_for() {
    let mut node = node();
    node.send("jobs", b"later", 100, None).unwrap();
    node.advance(30);
    let mut restored = node.restored(&node.kept(), 20);
    let due = restored.mailbox.next_deadline().unwrap();
    assert_eq!(due - restored.now.mono_ms, 50);
    restored.advance(49);
    assert_eq!(restored.receive(queue("jobs", false), 1, 9).len(), 0);
    restored.advance(1);
    restored.sweep();
    assert_eq!(restored.receive(queue("jobs", false), 1, 9).len(), 1);
}

#[test]
fn a_place_is_taken_unless_the_bytes_were_there() {
    let node = node();
    assert!(!node.put(b"1", Some(5), None, Some(40)).unwrap().existed);
    assert!(node.put(b"1", Some(9), None, Some(50)).unwrap().existed);
    let place = |node: &Node| node.kept().objects.values().next().unwrap().place;
    assert_eq!(place(&node), Some(40));
    // A damaged copy is replaced.
    let address = Address::of(b"1");
    assert!(node.store.corrupt(&address, 0));
    let object = node.store.get(node.now, &address).unwrap();
    object.read(0..1).next_piece().unwrap_err();
    assert!(!node.put(b"1", None, None, Some(60)).unwrap().existed);
    assert_eq!(place(&node), Some(60));
    assert_eq!(node.kept().objects[&address].expires_at_wall_ms, None);
}

/// More keys are over than a command forgets, and one of them is used again before its turn.
#[test]
fn a_key_that_is_used_again_is_not_forgotten_with_its_first_use() {
    let mut setup = Setup::new(Eviction::Refuse);
    setup.config.max_messages = 1000;
    setup.config.max_messages_total = 1000;
    let mut node = Node::new(setup);
    let keys = 2 * SETTLE_MESSAGES;
    for key in 0..keys {
        node.send("jobs", b"", 0, Some(&key.to_string())).unwrap();
    }
    node.advance(setup.config.window_ms);
    let last = (keys - 1).to_string();
    let again = node.send("jobs", b"", 0, Some(&last)).unwrap();
    assert!(!again.duplicate);
    node.sweep();
    let restored = node.restored(&node.kept(), 1);
    for node in [&node, &restored] {
        let third = node.send("jobs", b"", 0, Some(&last)).unwrap();
        assert_eq!((third.id, third.duplicate), (again.id, true));
    }
    assert_eq!(node.kept().queues[&0].keys.len(), 1);
}
