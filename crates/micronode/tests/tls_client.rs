//! The command line's client over TLS: whom it trusts, and who it is.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::process::{Command, Output};
use std::time::{Duration, Instant};
use support::tls::{Authority, HYBRID, handshakes};
use support::{Node, object};

/// Larger than what a TLS session, the sockets and one span of a download hold.
const SIZE: usize = 12 * 1024 * 1024;

fn client(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_micronode"))
        .args(["--url", url])
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

/// The exit code, and what was said about it.
fn ended(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), said)
}

fn urls(node: &Node) -> [String; 2] {
    [
        format!("https://{}", node.http),
        format!("oaps://{}", node.oap()),
    ]
}

#[test]
fn objects_go_and_come_over_both_wires() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    let ca = authority.path("ca.pem");
    let file = authority.path("file");
    std::fs::write(&file, object(SIZE)).unwrap();
    let address = support::address(&object(SIZE));
    for url in urls(&node) {
        let put = client(&url, &["--ca", &ca, "put", &file]);
        assert_eq!(ended(&put), (Some(0), String::new()), "{url}");
        let copy = authority.path("copy");
        let get = client(&url, &["--ca", &ca, "get", &address, "-o", &copy]);
        assert_eq!(ended(&get), (Some(0), String::new()), "{url}");
        assert!(std::fs::read(&copy).unwrap() == object(SIZE));
        std::fs::remove_file(copy).unwrap();
    }
    assert!(handshakes(&node, HYBRID, false) >= 2.0);
    // The data listener speaks OAP too, to whoever asks for it.
    let url = format!("oaps://{}", node.http);
    let has = client(&url, &["--ca", &ca, "has", &address]);
    assert_eq!(has.status.code(), Some(0));
}

#[test]
fn a_pin_is_enough_and_a_wrong_one_is_final() {
    let node = Node::with(&["--tls-self-signed"]);
    let pin = node.start["pin"].as_str().unwrap();
    let nothing = support::address(b"");
    let wrong = format!("sha256//{}=", "A".repeat(43));
    for url in urls(&node) {
        let missing = client(&url, &["--pin", pin, "get", &nothing]);
        assert_eq!(missing.status.code(), Some(3), "{:?}", ended(&missing));

        let since = Instant::now();
        let refused = client(&url, &["--pin", &wrong, "get", &nothing]);
        let (code, said) = ended(&refused);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("no secure connection") && said.contains("--pin"),
            "{said}"
        );
        assert!(
            since.elapsed() < Duration::from_secs(1),
            "it is not tried again"
        );

        // The system's authorities know nothing of it; a system may have none.
        let (code, said) = ended(&client(&url, &["get", &nothing]));
        assert!(matches!(code, Some(1 | 2)), "{said}");
        assert!(
            said.contains("secure connection") || said.contains("authorities"),
            "{said}"
        );
    }
}

#[test]
fn with_an_authority_and_a_pin_both_have_to_be_right() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = authority.node(&[]);
    let (ca, other_ca) = (authority.path("ca.pem"), other.path("ca.pem"));
    let pin = support::tls::pin(&authority.file("node.key"));
    let wrong = support::tls::pin(&{
        other.issue("node");
        other.file("node.key")
    });
    let nothing = support::address(b"");
    for url in urls(&node) {
        for (ca, pin, expected) in [
            (&ca, &pin, Some(3)),
            (&ca, &wrong, Some(1)),
            (&other_ca, &pin, Some(1)),
        ] {
            let output = client(&url, &["--ca", ca, "--pin", pin, "get", &nothing]);
            assert_eq!(output.status.code(), expected, "{:?}", ended(&output));
        }
        let output = client(&url, &["--ca", &other_ca, "get", &nothing]);
        assert_eq!(output.status.code(), Some(1), "{:?}", ended(&output));
    }
}

#[test]
fn a_client_that_has_to_have_a_certificate_presents_it() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let node = authority.node(&["--tls-client-ca", &ca]);
    authority.issue("client");
    let (cert, key) = (authority.path("client.pem"), authority.path("client.key"));
    let nothing = support::address(b"");
    for url in urls(&node) {
        let identity = ["--client-cert", &cert, "--client-key", &key];
        let trusted = ["--ca", &*ca];
        let known = client(
            &url,
            &[&trusted[..], &identity, &["get", &nothing]].concat(),
        );
        assert_eq!(known.status.code(), Some(3), "{:?}", ended(&known));
        let (code, said) = ended(&client(&url, &[&trusted[..], &["get", &nothing]].concat()));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("CertificateRequired"), "{said}");
    }
}

#[test]
fn what_cannot_be_used_for_tls_is_wrong_usage() {
    let authority = Authority::new();
    authority.issue("client");
    let (cert, key) = (authority.path("client.pem"), authority.path("client.key"));
    let pin = support::tls::pin(&authority.file("client.key"));
    let nowhere = authority.path("nowhere");
    let address = support::address(b"");
    for (url, flags, expected) in [
        ("http://127.0.0.1:1", &["--pin", &*pin][..], "it has no TLS"),
        ("oap://127.0.0.1:1", &["--ca", &cert], "it has no TLS"),
        (
            "https://127.0.0.1:1",
            &["--pin", "abc"],
            "a pin is sha256//",
        ),
        ("https://127.0.0.1:1", &["--ca", &nowhere], "nowhere"),
        (
            "https://127.0.0.1:1",
            &["--ca", &key],
            "holds no certificate",
        ),
        (
            "https://127.0.0.1:1",
            &["--client-cert", &cert],
            "--client-key",
        ),
        (
            "https://127.0.0.1:1",
            &["--pin", &pin, "--client-cert", &cert, "--client-key", &cert],
            "holds no private key",
        ),
    ] {
        let (code, said) = ended(&client(url, &[flags, &["get", &address]].concat()));
        assert_eq!(code, Some(2), "{flags:?}: {said}");
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
}
