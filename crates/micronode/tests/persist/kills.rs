//! A node that is killed at any moment, again and again, with work in progress.

use crate::bulk::Bulk;
use crate::holder::Holder;
use crate::support::{Node, Random};
use crate::{command, start};
use std::time::{Duration, Instant};

const HOLDERS: u64 = 4;
/// Kills, unless MICRO_KILLS says otherwise.
const KILLS: u64 = 25;

/// Works with `node` until it is killed; what was acknowledged.
fn work_and_kill(node: &mut Node, holders: &mut [Holder], bulk: &mut Bulk, after: Duration) -> u64 {
    let mut killed = None;
    let shared = &*node;
    let acknowledged = std::thread::scope(|scope| {
        let workers: Vec<_> = holders
            .iter_mut()
            .map(|holder| scope.spawn(move || holder.work(shared)))
            .collect();
        scope.spawn(|| bulk.work(shared));
        std::thread::sleep(after);
        let process = rustix::process::Pid::from_child(&shared.child);
        killed = Some(rustix::process::kill_process(
            process,
            rustix::process::Signal::KILL,
        ));
        let counts = workers.into_iter().map(|worker| worker.join().unwrap());
        counts.sum::<u64>()
    });
    killed.unwrap().unwrap();
    node.child.wait().unwrap();
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_being_killed_at_any_moment() {
    let kills = std::env::var("MICRO_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("node");
    let mut random = Random::seeded(kills);
    let mut holders: Vec<_> = (0..HOLDERS)
        .map(|number| Holder::new(number, kills))
        .collect();
    let mut bulk = Bulk::new();
    let (mut acknowledged, mut slowest) = (0, Duration::ZERO);
    for round in 0..kills {
        let began = Instant::now();
        let mut node = start(&dir);
        slowest = slowest.max(began.elapsed());
        for holder in &mut holders {
            holder.check(&node);
        }
        bulk.check(&node);
        let after = Duration::from_millis(1 + random.below(120));
        acknowledged += work_and_kill(&mut node, &mut holders, &mut bulk, after);
        if round % 10 == 9 {
            let held: Vec<_> = holders.iter().map(Holder::held).collect();
            println!(
                "{} kills: {acknowledged} acknowledged, held {held:?} and {} in bulk",
                round + 1,
                bulk.held()
            );
        }
    }
    let node = start(&dir);
    for holder in &mut holders {
        holder.check(&node);
    }
    bulk.check(&node);
    assert!(
        acknowledged > kills * 10,
        "hardly anything was done: {acknowledged}"
    );
    println!("{kills} kills, {acknowledged} acknowledged, slowest start {slowest:?}");
}

/// With a window, what is older than it survives.
#[test]
fn with_an_interval_what_is_older_than_it_survives() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--sync", "interval"];
    let node = Node::spawn(command(dir.path(), &flags));
    let kept = node.store(b"long ago");
    // Ten times the default interval.
    std::thread::sleep(Duration::from_secs(1));
    let recent = node.store(b"just now");
    drop(node);
    let node = Node::spawn(command(dir.path(), &flags));
    assert_eq!(node.get(&kept, &[]).status, 200);
    assert!(matches!(node.get(&recent, &[]).status, 200 | 404));
}
