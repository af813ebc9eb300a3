//! A library that is not ours, pymacaroons, reads tokens, narrows them and verifies them as we do.

use crate::support::{Node, wait_until};
use crate::{Ask, assert_both, narrowed, over_http, over_oap};
use micronode_protocol::capability::base64url;
use micronode_protocol::capability::macaroon::{Builder, RootKey};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, SystemTime};

const OBJECT: &[u8] = b"an object";

/// Set where the library is known to be there: without it, these tests then fail.
const REQUIRE: &str = "MICRONODE_REQUIRE_PYMACAROONS";

/// Whether pymacaroons is there. If it is not, says so past the harness, which would keep it back.
fn is_installed() -> bool {
    let import = Command::new("python3")
        .args(["-c", "import pymacaroons"])
        .output();
    let is_installed = import.is_ok_and(|run| run.status.success());
    if !is_installed {
        let missing = "python3 cannot import pymacaroons: install it \
             (`apt-get install python3-pymacaroons`, or `python3 -m pip install --target DIR \
             pymacaroons==0.13.0` and set PYTHONPATH=DIR)";
        assert!(std::env::var_os(REQUIRE).is_none(), "{missing}");
        let told = writeln!(
            std::io::stderr(),
            "NOT TESTED against pymacaroons: {missing}"
        );
        told.unwrap();
    }
    is_installed
}

/// What the script answers.
#[track_caller]
fn python(words: &[&str]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/macaroons.py");
    let run = Command::new("python3").arg(script).args(words).output();
    let run = run.unwrap();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{words:?}: {error}");
    serde_json::from_slice(&run.stdout).unwrap()
}

fn before(time: SystemTime) -> String {
    format!("before = {}", humantime::format_rfc3339_millis(time))
}

#[test]
fn a_token_that_it_narrows_reads_and_does_nothing_else_and_ends() {
    if !is_installed() {
        return;
    }
    let node = Node::guarded(&[]);
    let operator = narrowed(node.token(), &[]);
    assert_both(&node, Some(&operator), Ask::Put(OBJECT), 200);
    let hour = before(SystemTime::now() + Duration::from_secs(3600));
    let told = python(&["narrow", node.token(), "op = get", &hour]);
    assert_eq!(told["version"], 2);
    assert_eq!(told["location"], "micronode");
    assert_eq!(told["caveats"], json!([]));
    let reader = narrowed(told["token"].as_str().unwrap(), &[]);
    assert_eq!(reader, narrowed(node.token(), &["op = get", &hour]));
    for ask in Ask::all(OBJECT) {
        let expected = match ask {
            Ask::Get(_) | Ask::Manifest(_) | Ask::Echo(_) => 200,
            _ => 403,
        };
        assert_both(&node, Some(&reader), ask, expected);
    }

    // Narrower again, by what it made itself.
    let end = SystemTime::now() + Duration::from_secs(3);
    let again = python(&["narrow", told["token"].as_str().unwrap(), &before(end)]);
    assert_eq!(again["caveats"], json!(["op = get", hour]));
    assert_eq!(again["identifier"], told["identifier"]);
    let short = narrowed(again["token"].as_str().unwrap(), &[]);
    assert_both(&node, Some(&short), Ask::Get(OBJECT), 200);
    wait_until("its end", || {
        over_http(&node, Some(&short), Ask::Get(OBJECT)) == 403
    });
    let late = SystemTime::now().duration_since(end);
    let late = late.expect("not before its time");
    assert!(late < Duration::from_secs(1), "{late:?} late");
    assert_eq!(over_oap(&node, Some(&short), Ask::Get(OBJECT)), 403);
    assert_both(&node, Some(&reader), Ask::Get(OBJECT), 200);
}

#[test]
fn a_token_that_was_minted_reads_as_it_was_asked_for() {
    if !is_installed() {
        return;
    }
    let node = Node::guarded(&[]);
    let bearer = format!("Bearer {}", node.token());
    let document = br#"{"caveats":["op = get","max-bytes = 5"]}"#;
    let fields = [("authorization", &*bearer)];
    let minted = node.request("POST", "/cap/mint", &fields, document).json();
    let told = python(&["narrow", minted["token"].as_str().unwrap()]);
    assert_eq!(told["token"], minted["token"], "the same spelling");
    let end = format!("before = {}", minted["expires_at"].as_str().unwrap());
    assert_eq!(told["caveats"], json!(["op = get", "max-bytes = 5", end]));
}

#[test]
fn what_we_make_verifies_under_the_same_secret_and_no_other() {
    if !is_installed() {
        return;
    }
    let caveats = [
        "op = get",
        "before = 2026-01-02T03:04:05Z",
        &"x".repeat(200),
    ];
    // Shorter than a key, as long, and longer than a block of the hash.
    for secret in [&b"short"[..], &[0xa5; 32], &[0x5a; 100]] {
        let mut builder = Builder::new(&RootKey::of(secret), b"here", b"\x00\xffidentifier");
        for caveat in caveats {
            builder.caveat(caveat.as_bytes()).unwrap();
        }
        let bytes = builder.finish().unwrap();
        let verify = |secret: &[u8], bytes: &[u8], caveats: &[&str]| {
            let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let token = base64url::encode(bytes);
            python(&[&["verify", &*secret, &*token], caveats].concat())
        };
        assert_eq!(verify(secret, &bytes, &caveats), true);
        assert_eq!(verify(&[secret, b"x"].concat(), &bytes, &caveats), false);
        assert_eq!(verify(secret, &bytes, &caveats[1..]), false);
        let mut forged = bytes.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(verify(secret, &forged, &caveats), false);
    }
}
