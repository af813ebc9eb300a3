//! tokio-console: refused wherever it is not for development, and there in a build that has it.
//!
//! Most builds do not. The other half is tested with
//! `RUSTFLAGS="--cfg tokio_unstable" cargo test -p micronode --features tokio-console --test console`.
#![allow(clippy::unwrap_used)]

mod support;

use support::Node;

const VARIABLE: &str = "MICRONODE_CONSOLE";

/// What a node says that does not start with a console at `address`.
fn refused(flags: &[&str], address: &str) -> String {
    let mut command = Node::guarded_command(flags);
    command
        .env(VARIABLE, address)
        .stderr(std::process::Stdio::piped());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "nothing was announced");
    assert!(said.contains(VARIABLE), "{said}");
    said
}

#[test]
fn what_is_no_address_is_refused_in_every_build() {
    for text in ["1", "", "localhost:6669", "127.0.0.1"] {
        let said = refused(&["--dev"], text);
        assert!(said.contains("expected an address and a port"), "{said}");
    }
}

#[cfg(not(feature = "tokio-console"))]
#[test]
fn a_build_without_it_says_how_to_get_it() {
    let said = refused(&["--dev"], "127.0.0.1:0");
    assert!(said.contains("--features tokio-console"), "{said}");
}

#[cfg(feature = "tokio-console")]
mod present {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::process::Stdio;

    use super::{Node, VARIABLE, refused};
    use crate::support::PATIENCE;

    #[test]
    fn it_is_refused_outside_of_development_and_beyond_loopback() {
        assert!(refused(&[], "127.0.0.1:0").contains("--dev"));
        assert!(refused(&["--dev"], "0.0.0.0:0").contains("loopback"));
        assert!(refused(&["--dev"], "[::]:0").contains("loopback"));
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        let node = Node::start();
        assert!(node.start["console"].is_null());
        let version = node.ask("GET", "/version").json();
        assert!(version["features"].to_string().contains("tokio-console"));
    }

    /// It takes a thread and a listener of its own; what the node is held to stays as it is.
    #[test]
    fn it_speaks_http2_in_a_node_that_is_restricted_like_any_other() {
        let mut command = Node::command(&[]);
        command.env(VARIABLE, "127.0.0.1:0").stderr(Stdio::null());
        let node = Node::spawn(command);
        let address: SocketAddr = node.start["console"].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback());
        let mut console = TcpStream::connect(address).unwrap();
        console.set_read_timeout(Some(PATIENCE)).unwrap();
        console
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .unwrap();
        let mut head = [0; 9];
        console.read_exact(&mut head).unwrap();
        // A SETTINGS frame.
        assert_eq!(head[3], 4, "{head:?}");

        let proof = node.ask("GET", "/proof").json();
        let plain = Node::start().ask("GET", "/proof").json();
        assert_eq!(proof["missing"], plain["missing"]);
        assert_eq!(proof["landlock"], plain["landlock"]);
    }
}
