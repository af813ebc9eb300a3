//! A build with faults that is told to be slower, or fatter, is. Gates on performance are shown to
//! work by it.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Node, object, wait_until};

fn node(fault: &[(&str, &str)]) -> Node {
    let mut command = Node::command(&["--rps", "0", "--workers", "1"]);
    command.envs(fault.iter().copied());
    Node::spawn(command)
}

fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

/// CPU time of a thousand requests, by the scheduler's own account, in ns.
fn cpu_of_requests(node: &Node) -> u64 {
    let cpu = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", node.child.id())).unwrap();
        let of_task = tasks.map(|task| {
            let schedstat = task.unwrap().path().join("schedstat");
            let text = std::fs::read_to_string(schedstat).unwrap();
            let first = text.split_whitespace().next().unwrap();
            first.parse::<u64>().unwrap()
        });
        of_task.sum::<u64>()
    };
    let path = node.store(&object(1024));
    let mut connection = node.connect();
    let before = cpu();
    for _ in 0..1000 {
        let answer = connection.request("GET", &path, &[], b"");
        assert_eq!(answer.status, 200);
    }
    cpu() - before
}

#[test]
fn a_node_is_slower_by_what_it_is_told() {
    let plain = cpu_of_requests(&node(&[]));
    let slower = cpu_of_requests(&node(&[("MICRO_FAULT_SLOWER_PERCENT", "300")]));
    // Four times as much; what the machine does beside decides on caches and clocks.
    assert!(slower > plain * 5 / 2, "{slower} ns, and {plain} ns");
}

#[test]
fn a_node_is_fatter_by_what_it_is_told() {
    let (plain, fatter) = (node(&[]), node(&[("MICRO_FAULT_FATTER_PERCENT", "100")]));
    for node in [&plain, &fatter] {
        node.store(&object(8 << 20));
    }
    wait_until("twice as much memory", || {
        resident_kib(&fatter) > resident_kib(&plain) * 9 / 5
    });
    assert!(resident_kib(&fatter) < resident_kib(&plain) * 11 / 5);
}
