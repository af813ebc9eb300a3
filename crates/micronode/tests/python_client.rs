//! The client that is written in Python, `examples/oap_client.py`, understands a node: it was made
//! from the protocol's description and shares no code with it.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;
use support::Node;

#[test]
fn the_example_in_python_passes_its_own_test() {
    let node = Node::guarded(&[]);
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/oap_client.py");
    let run = Command::new("python3")
        .arg(client)
        .arg(node.oap().to_string())
        .arg("selftest")
        .env("MICRO_TOKEN", node.token())
        .output()
        .expect("this test needs Python 3: install python3");
    let told = [run.stdout, run.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(run.status.success(), "{}", told.concat());
    assert!(
        told[0].lines().count() >= 10,
        "it checks little: {}",
        told[0]
    );
    assert!(
        told[0].lines().all(|line| line.starts_with("ok")),
        "{}",
        told[0]
    );
    node.wait_until_empty();
    assert_eq!(node.rejected("bad_request").1, 0.0);
}
