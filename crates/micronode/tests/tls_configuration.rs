//! TLS from its configuration: what is refused and why, a certificate made in memory, and new
//! certificates in a running node.
#![allow(clippy::unwrap_used)]

mod support;

use micronode_protocol::capability::{Macaroon, base64url};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::File;
use std::process::Command;
use support::tls::{Authority, Secured, connect};
use support::{Node, object, wait_until};

const SPEC: &str = "/openapi.json";

/// What `run` and `config check` say of these flags, which they must both refuse.
fn refused(flags: &[&str]) -> String {
    let said = [&["run", "--dev"][..], &["config", "check", "--dev"]].map(|verb| {
        let output = Command::new(env!("CARGO_BIN_EXE_micronode"))
            .args(verb)
            .args([
                "--bind",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--oap",
                "off",
            ])
            .args(flags)
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{verb:?} {flags:?}: {said}");
        said
    });
    assert_eq!(said[0], said[1]);
    said[0].clone()
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let authority = Authority::new();
    authority.issue("node");
    authority.issue("other");
    let path = |name| authority.path(name);
    let (cert, key, other) = (path("node.pem"), path("node.key"), path("other.key"));
    let (nowhere, ca) = (path("nowhere"), path("ca.pem"));
    let long = path("long");
    std::fs::write(&long, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    for (flags, expected) in [
        (
            &["--tls-cert", &*cert][..],
            "name the file of its private key",
        ),
        (&["--tls-key", &key], "name the file of its certificate"),
        (
            &["--tls-cert", &cert, "--tls-key", &key, "--tls-self-signed"],
            "leave it out, or tls.cert and tls.key",
        ),
        (&["--tls-client-ca", &ca], "tls.client_ca needs TLS"),
        (&["--pq", "require"], "tls.pq = require needs TLS"),
        (
            &["--tls-cert", &nowhere, "--tls-key", &key],
            "cannot be read",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &other],
            "is not the key of the certificate in",
        ),
        (
            &["--tls-cert", &key, "--tls-key", &key],
            "holds no certificate",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &cert],
            "holds no private key",
        ),
        (
            &["--tls-cert", &long, "--tls-key", &key],
            "larger than 1048576 bytes",
        ),
        (
            &["--tls-self-signed", "--tls-client-ca", &key],
            "holds no certificate",
        ),
    ] {
        let said = refused(flags);
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
    // At the cap, it is looked at.
    std::fs::write(&long, vec![b'#'; 1024 * 1024]).unwrap();
    let said = refused(&["--tls-cert", &long, "--tls-key", &key]);
    assert!(said.contains("holds no certificate"), "{said}");
}

#[test]
fn beyond_loopback_only_tls_is_spoken() {
    let said = Command::new(env!("CARGO_BIN_EXE_micronode"))
        .args(["config", "check", "--bind", "0.0.0.0:8080"])
        .env_clear()
        .output()
        .unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(2), "{error}");
    assert!(error.contains("bind = 0.0.0.0:8080"), "{error}");
    assert!(error.contains("--tls-self-signed"), "{error}");
}

/// Where others can reach it, the admin plane wants TLS and an operator.
#[test]
fn beyond_loopback_the_admin_plane_wants_an_operators_token() {
    let authority = Authority::new();
    authority.issue("node");
    let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
    command
        .args(["run", "--bind", "127.0.0.1:0", "--admin", "0.0.0.0:0"])
        .args(["--oap", "off", "--tls-cert", &authority.path("node.pem")])
        .args(["--tls-key", &authority.path("node.key")])
        .env_clear();
    let node = Node::spawn(command);
    let admin = ([127, 0, 0, 1], node.admin.port()).into();
    let config = authority.client().config();
    let ask = |token: Option<&str>| {
        let mut client = connect(&config, admin).unwrap();
        match token {
            None => client.get("/metrics"),
            Some(token) => client.get_as(token, "/metrics"),
        }
    };
    let stranger = ask(None).unwrap();
    stranger.assert_problem("unauthenticated");
    assert_eq!(stranger.field("www-authenticate"), Some("Bearer"));
    assert_eq!(ask(Some(node.token())).unwrap().status, 200);
    let narrowed = |caveat: &str| {
        let token = base64url::decode(node.token().as_bytes(), 8192).unwrap();
        let token = Macaroon::parse(&token).unwrap();
        base64url::encode(&token.attenuate(caveat.as_bytes()).unwrap())
    };
    assert_eq!(ask(Some(&narrowed("op = admin"))).unwrap().status, 200);
    ask(Some(&narrowed("op = get")))
        .unwrap()
        .assert_problem("forbidden");
    // Elsewhere nothing is said in the clear.
    let mut plain = support::Connection::open(admin);
    plain.send_head("GET", "/metrics", &[]);
    assert!(!plain.until_closed().starts_with(b"HTTP"));
}

#[test]
fn a_certificate_made_at_start_is_pinned_in_the_start_line() {
    let node = Node::with(&["--tls-self-signed"]);
    let pin = node.start["pin"].as_str().unwrap();
    assert!(pin.starts_with("sha256//") && pin.len() == 8 + 44, "{pin}");
    // Other people's idea of a pin.
    let get = |pin: &str| {
        let url = format!("https://{}{SPEC}", node.http);
        let curl = ["-sS", "-k", "--pinnedpubkey", pin, "-o", "/dev/null", &url];
        Command::new("curl").args(curl).env_clear().status()
    };
    match get(pin) {
        // The other tests look at certificates without it.
        Err(_) => eprintln!("there is no curl here"),
        Ok(status) => {
            assert!(status.success());
            let wrong = format!("sha256//{}=", "A".repeat(43));
            assert!(!get(&wrong).unwrap().success());
        }
    }
    let another = Node::with(&["--tls-self-signed"]);
    assert_ne!(another.start["pin"], node.start["pin"]);
    assert_eq!(Node::start().start["pin"], Value::Null);
}

/// A node whose log goes to a file.
struct Logged {
    node: Node,
    authority: Authority,
}

impl Logged {
    fn start(flags: &[&str]) -> Self {
        let authority = Authority::new();
        authority.issue("node");
        let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
        let tls = ["--rps", "0", "--tls-cert", &cert, "--tls-key", &key];
        let mut command = Node::command(&[&tls, flags].concat());
        command.stderr(File::create(authority.file("log")).unwrap());
        Self {
            node: Node::spawn(command),
            authority,
        }
    }

    fn reload(&self, expected: &str) {
        let log = || std::fs::read_to_string(self.authority.file("log")).unwrap();
        let before = log().matches(expected).count();
        self.node.signal(Signal::HUP);
        wait_until(expected, || log().matches(expected).count() > before);
    }

    fn connect(&self) -> Secured {
        self.authority.client().connect(self.node.http).unwrap()
    }
}

#[test]
fn a_new_certificate_counts_from_the_next_handshake_and_a_download_goes_on() {
    const SIZE: usize = 8 * 1024 * 1024;
    let it = Logged::start(&[]);
    let content = object(SIZE);
    let path = store(&it, &content);
    let mut download = it.connect();
    assert_eq!(download.get_head(&path).unwrap().status, 200);
    let old = download.certificates().to_vec();

    let new = it.authority.issue("node");
    assert_ne!(new, old);
    it.reload("configuration reloaded changed=[\"tls.cert\"]");
    assert_eq!(it.connect().certificates(), new);
    assert!(download.exactly(SIZE).unwrap() == content);
    assert_eq!(download.get(SPEC).unwrap().status, 200, "and is kept alive");
}

/// Stores an object over TLS and returns its path.
fn store(it: &Logged, content: &[u8]) -> String {
    use std::io::Write;
    let path = format!("/o/{}", support::address(content));
    let mut connection = it.connect();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        it.node.http,
        content.len()
    );
    connection.stream.write_all(head.as_bytes()).unwrap();
    connection.stream.write_all(content).unwrap();
    assert_eq!(connection.exactly(12).unwrap(), b"HTTP/1.1 201");
    path
}

#[test]
fn a_broken_file_leaves_the_old_certificate_in_force() {
    let it = Logged::start(&[]);
    let old = it.connect().certificates().to_vec();
    let cert = it.authority.file("node.pem");
    let good = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, "not a certificate\n").unwrap();
    it.reload("configuration not reloaded: tls.cert");
    std::fs::remove_file(&cert).unwrap();
    it.reload("configuration not reloaded: tls.cert");
    std::fs::write(&cert, good).unwrap();
    // A new key for the old certificate: renewal was caught halfway.
    it.authority.issue("new");
    std::fs::copy(it.authority.file("new.key"), it.authority.file("node.key")).unwrap();
    it.reload("configuration not reloaded: tls.key");
    assert_eq!(it.connect().certificates(), old);
}

/// A ticket carries the chain that was verified when it was made.
#[test]
fn with_another_authority_for_clients_no_session_resumes() {
    let (trusted, next) = (Authority::new(), Authority::new());
    let client_ca = trusted.path("ca.pem");
    let it = Logged::start(&["--tls-client-ca", &client_ca]);
    trusted.issue("client");
    let client = it.authority.client().presenting(&trusted, "client");
    let config = client.config();
    for resumed in [false, true] {
        let mut connection = connect(&config, it.node.http).unwrap();
        assert_eq!(connection.is_resumed(), resumed);
        assert_eq!(connection.get(SPEC).unwrap().status, 200);
    }
    it.reload("configuration reloaded changed=[]");
    assert!(connect(&config, it.node.http).unwrap().is_resumed());

    std::fs::copy(next.file("ca.pem"), &client_ca).unwrap();
    it.reload("configuration reloaded changed=[\"tls.client_ca\"]");
    let served = connect(&config, it.node.http).and_then(|mut connection| {
        assert!(!connection.is_resumed());
        connection.get(SPEC)
    });
    assert!(served.is_err(), "who was trusted before is nobody now");
}
