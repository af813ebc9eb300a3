//! What a node says of itself, which the kernel has to say too.

use crate::support::tls::Authority;
use crate::support::{Connection, Node, wait_until};
use serde_json::json;

#[test]
fn the_proof_says_what_the_kernel_says() {
    let node = Node::start();
    let proof = node.ask("GET", "/proof").json();
    assert_eq!(proof["amnesia"], true);
    assert_eq!(proof["missing"], json!([]), "{proof}");
    let landlock = &proof["landlock"];
    assert!(landlock["abi"].as_u64().unwrap() >= 6, "{landlock}");
    let refused = json!({ "write": true, "read": true, "connect": true, "bind": true });
    assert_eq!(landlock["refused"], refused);
    assert_eq!(landlock["no_new_privs"], true);
    assert_eq!(landlock["writable"], json!(null));
    assert_eq!(landlock["denied"].as_array().unwrap().len(), 20);

    let status = format!("/proc/{}/status", node.child.id());
    let status = std::fs::read_to_string(status).unwrap();
    let bytes = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() * 1024
    };
    assert_eq!(proof["memory"]["locked_bytes"], bytes("VmLck:"));
    assert_eq!(proof["memory"]["swapped_bytes"], bytes("VmSwap:"));
    let swap = std::fs::read_to_string("/proc/meminfo").unwrap();
    let has_swap = !swap.contains("SwapTotal:             0 kB");
    let swap = proof["memory"]["machine_swap_bytes"].as_u64().unwrap();
    assert_eq!(swap > 0, has_swap);
    assert_eq!(proof["log_level"], "warn");
}

#[test]
fn keys_grow_older_and_are_replaced() {
    let authority = Authority::new();
    authority.issue("node");
    let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
    let mut command = Node::command(&["--tls-cert", &cert, "--tls-key", &key]);
    command.envs([
        ("MICRO_AUTH__KEY_TTL", "2s"),
        ("MICRO_AUTH__TOKEN_TTL", "10s"),
        ("MICRO_TLS__TICKET_TTL", "2s"),
    ]);
    let node = Node::spawn(command);
    let keys = || node.ask("GET", "/proof").json()["keys"].take();
    assert_eq!(keys()["previous_root_seconds"], json!(null));
    wait_until("new keys", || {
        let keys = keys();
        keys["previous_root_seconds"].is_u64() && keys["previous_tickets_seconds"].is_u64()
    });
    let keys = keys();
    let age = |key: &str| keys[key].as_u64().unwrap();
    assert!(age("operator_seconds") >= 2, "{keys}");
    assert!(age("previous_root_seconds") >= 2, "{keys}");
    assert!(
        age("root_seconds") <= age("previous_root_seconds"),
        "{keys}"
    );
    assert!(
        age("tickets_seconds") <= age("previous_tickets_seconds"),
        "{keys}"
    );
}

#[test]
fn version_has_the_summary_and_a_talkative_log() {
    let quiet = Node::start().ask("GET", "/version").json()["amnesia"].take();
    assert_eq!(quiet["ram_only"], true);
    assert!(quiet["landlock"].is_u64(), "{quiet}");
    assert_eq!(quiet["missing"], json!([]));
    assert!(quiet.get("log_level").is_none(), "{quiet}");
    for level in ["debug", "trace"] {
        let node = Node::start_with(&["--log-level", level]);
        let amnesia = node.ask("GET", "/version").json()["amnesia"].take();
        assert_eq!(amnesia["log_level"], level);
    }
}

#[test]
fn the_proof_is_behind_the_guard_of_the_admin_plane() {
    let node = Node::start();
    let foreign = [("origin", "https://example.org")];
    for path in ["/version", "/proof"] {
        let answer = Connection::open(node.admin).request("GET", path, &foreign, b"");
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(node.ask("POST", path).status, 405, "{path}");
        let head = node.ask("HEAD", path);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}
