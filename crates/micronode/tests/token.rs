//! `micronode token`, and clients that hold a grant, against real nodes.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use micronode_client::{Client, ClientOptions, Grant, PutOptions};
use micronode_protocol::capability::{Identifier, Macaroon, base64url};
use micronode_protocol::limits::CAPABILITY_BYTES;
use serde_json::{Value, json};
use support::{Node, Response, address, object};
use tempfile::TempDir;

/// A directory to work in, with an environment of its own.
struct Desk {
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Desk {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    /// One that works with this node, under this token.
    fn at(node: &Node, token: &str) -> Self {
        let mut desk = Self::new();
        desk.set("MICRO_URL", &format!("http://{}", node.http));
        desk.set("MICRO_TOKEN", token);
        desk
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs micronode, with `stdin` to read.
    fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        fs::write(self.path("stdin"), stdin).unwrap();
        Command::new(env!("CARGO_BIN_EXE_micronode"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::from(fs::File::open(self.path("stdin")).unwrap()))
            .output()
            .unwrap()
    }

    /// Runs what must succeed in silence; what it printed, without the end of the last line.
    #[track_caller]
    fn done(&self, arguments: &[&str], stdin: &str) -> String {
        let output = self.run(arguments, stdin);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && error.is_empty(), "{error}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    }

    fn json(&self, arguments: &[&str], stdin: &str) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat(), stdin)).unwrap()
    }

    /// Runs what must fail without printing anything to stdout; its exit code and complaint.
    fn refused(&self, arguments: &[&str], stdin: &str) -> (i32, String) {
        let output = self.run(arguments, stdin);
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), error)
    }
}

fn operator_token(node: &Node) -> String {
    node.start["token"].as_str().unwrap().to_owned()
}

fn caveats(token: &str) -> Vec<String> {
    let bytes = base64url::decode(token.as_bytes(), CAPABILITY_BYTES).unwrap();
    let token = Macaroon::parse(&bytes).unwrap();
    let text = |caveat: &&[u8]| String::from_utf8(caveat.to_vec()).unwrap();
    token.caveats().iter().map(text).collect()
}

/// A token of nobody's, and what is in it: made as libmacaroons makes them.
const FOREIGN: &str = "AgELbG9jYXRpb24gMQIMaWRlbnRpZmllciAx";

/// A free port.
const ANY: &str = "127.0.0.1:0";

fn get(node: &Node, path: &str, token: &str) -> Response {
    node.get(path, &[("authorization", &format!("Bearer {token}"))])
}

#[test]
fn a_token_is_minted_with_what_is_asked_for_and_ends() {
    let node = Node::guarded(&[]);
    let mut desk = Desk::at(&node, &operator_token(&node));
    let token = desk.done(&["token", "mint", "--caveat", "op = get,head,admin"], "");
    let held = caveats(&token);
    assert_eq!(held[0], "op = get,head,admin");
    assert!(
        held[1].starts_with("before = ") && held.len() == 2,
        "{held:?}"
    );

    // From a token that is not the operator's, over the other protocol.
    desk.set("MICRO_TOKEN", &token);
    desk.set("MICRO_URL", &format!("oap://{}", node.oap()));
    let minted = desk.json(
        &["token", "mint", "--caveat", "op = get", "--ttl", "90s"],
        "",
    );
    let held = caveats(minted["token"].as_str().unwrap());
    assert_eq!(held[0], "op = get,head,admin");
    let expires = minted["expires_at"].as_str().unwrap();
    assert_eq!(held.last().unwrap(), &format!("before = {expires}"));
    let expires = humantime::parse_rfc3339(expires).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the node has the same clock")]
    let life = expires
        .duration_since(std::time::SystemTime::now())
        .unwrap();
    assert!((80..=90).contains(&life.as_secs()), "{life:?}");

    // The new one does not allow minting.
    desk.set("MICRO_TOKEN", minted["token"].as_str().unwrap());
    let (code, error) = desk.refused(&["token", "mint"], "");
    assert!(
        code == 4 && error.contains("403 forbidden") && error.contains("MICRO_TOKEN"),
        "{error}"
    );
    for (ttl, code, word) in [("25h", 1, "at most 24h"), ("9", 2, "needs a unit")] {
        desk.set("MICRO_TOKEN", &token);
        let (found, error) = desk.refused(&["token", "mint", "--ttl", ttl], "");
        assert!(found == code && error.contains(word), "{error}");
    }
    desk.set("MICRO_TOKEN", FOREIGN);
    let (code, error) = desk.refused(&["token", "mint"], "");
    assert!(code == 4 && error.contains("MICRO_GRANT"), "{error}");
}

#[test]
fn a_token_is_narrowed_without_a_node_and_the_node_holds_its_bearer_to_it() {
    let node = Node::guarded(&[]);
    let operator = operator_token(&node);
    let mut desk = Desk::at(&node, &operator);
    desk.set("MICRO_URL", "http://127.0.0.1:1");
    let path = format!("/o/{}", address(b"object"));
    let put = |token: &str| {
        let token = format!("Bearer {token}");
        node.request("PUT", &path, &[("authorization", &token)], b"object")
            .status
    };
    assert_eq!(put(&operator), 201);

    let read_only = desk.done(&["token", "attenuate", "--ro"], "");
    assert_eq!(caveats(&read_only), ["op = get,head,name-read"]);
    assert_eq!(put(&read_only), 403);
    assert_eq!(get(&node, &path, &read_only).status, 200);

    // From standard input, and as an argument; in the order in which they are given.
    let one = format!("obj = {}", address(b"object"));
    let other = format!("obj = {}", address(b"another"));
    let attenuate = ["token", "attenuate", "--caveat", &one, "-"];
    let of_one = desk.done(&attenuate, &format!("{read_only}\n"));
    assert_eq!(caveats(&of_one), ["op = get,head,name-read", &one]);
    assert_eq!(get(&node, &path, &of_one).status, 200);
    let attenuate = [
        "token",
        "attenuate",
        "--caveat",
        &other,
        "--ttl",
        "10m",
        &of_one,
    ];
    let of_none = desk.json(&attenuate, "");
    let held = caveats(of_none["token"].as_str().unwrap());
    assert_eq!(held[..3], ["op = get,head,name-read", &one, &other]);
    assert!(held[3].starts_with("before = 20"), "{held:?}");
    assert_eq!(
        get(&node, &path, of_none["token"].as_str().unwrap()).status,
        403
    );

    let short = desk.done(&["token", "attenuate", "--ttl", "1ms"], "");
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(get(&node, &path, &short).status, 403);
}

#[test]
fn what_cannot_be_narrowed_is_refused_with_a_word_on_why() {
    let node = Node::guarded(&[]);
    let operator = operator_token(&node);
    let mut desk = Desk::at(&node, &operator);
    let most = ["--caveat", "op = get"].repeat(32);
    let one_more = ["--caveat", "op = get"].repeat(33);
    assert_eq!(
        caveats(&desk.done(&[&["token", "attenuate"], &most[..]].concat(), "")).len(),
        32
    );
    for (arguments, word) in [
        (&[][..], "nothing to narrow"),
        (&["--caveat", "op=get"], "no node understands it"),
        (&["--caveat", "colour = red"], "no node understands it"),
        (&one_more, "more than 32 caveats"),
        (&["--ro", "two words"], "not unpadded base64url"),
        (&["--ro", "AgEJ"], "not a macaroon"),
    ] {
        let (code, error) = desk.refused(&[&["token", "attenuate"], arguments].concat(), "");
        assert!(code == 2 && error.contains(word), "{arguments:?}: {error}");
        assert!(!error.contains(&operator), "{error}");
    }
    desk.environment.clear();
    let (code, error) = desk.refused(&["token", "attenuate", "--ro"], "");
    assert!(
        code == 2 && error.contains("there is no token") && error.contains("MICRO_TOKEN"),
        "{error}"
    );
    let (code, error) = desk.refused(&["token", "attenuate", "--ro", "-"], &"A".repeat(1 << 20));
    assert!(code == 2 && error.contains("too long"), "{error}");
}

#[test]
fn what_a_token_says_is_shown_without_its_signature() {
    let node = Node::guarded(&[]);
    let operator = operator_token(&node);
    let desk = Desk::at(&node, &operator);
    let bytes = base64url::decode(operator.as_bytes(), CAPABILITY_BYTES).unwrap();
    let token = Macaroon::parse(&bytes).unwrap();
    let identifier = Identifier::parse(token.identifier()).unwrap();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    // Caveats that no node understands, and that a terminal would obey.
    let strange = token
        .attenuate_all([&b"op = get"[..], b"colour = red", b"\x1b[2J"])
        .unwrap();
    let strange = base64url::encode(&strange);

    let text = desk.done(&["token", "inspect", "-"], &strange);
    let (key, nonce) = (hex(&identifier.key_id), hex(&identifier.nonce));
    let not = "(no node understands it: it holds for nothing)";
    assert_eq!(
        text,
        format!(
            "token of micronode\nkey       {key}\nnonce     {nonce}\ncaveat    op = get\n\
             caveat    colour = red  {not}\ncaveat    \\x1b[2J  {not}"
        )
    );
    let document = desk.json(&["token", "inspect", &strange], "");
    assert_eq!(
        document,
        json!({
            "kind": "token",
            "location": "micronode",
            "key_id": key,
            "nonce": nonce,
            "caveats": [
                {"caveat": "op = get", "understood": true},
                {"caveat": "colour = red", "understood": false},
                {"caveat": "\x1b[2J", "understood": false},
            ],
        })
    );
    // From the environment; and the signature is the end of the token's bytes.
    let plain = desk.done(&["token", "inspect"], "");
    assert_eq!(
        plain,
        format!("token of micronode\nkey       {key}\nnonce     {nonce}")
    );
    assert!(!plain.contains(&hex(&bytes[bytes.len() - 32..])));
    let (code, error) = desk.refused(&["token", "inspect", FOREIGN], "");
    assert!(code == 2 && error.contains("not a macaroon"), "{error}");
}

/// A desk with an issuer and a grant of its, and the configuration of nodes that know it.
fn desk_with_grant(caveat: &str) -> (Desk, String) {
    let desk = Desk::new();
    desk.done(&["issuer", "new", "--out", "seed"], "");
    let issuers = desk.done(&["issuer", "show", "--seed", "seed"], "");
    fs::write(desk.path("node.toml"), issuers).unwrap();
    let grant = [
        "issuer",
        "grant",
        "--seed",
        "seed",
        "--subject",
        "ci",
        "--ttl",
        "1h",
        "--caveat",
        caveat,
    ];
    let grant = desk.done(&grant, "");
    fs::write(desk.path("ci.grant"), format!("{grant}\n")).unwrap();
    (desk, grant)
}

#[test]
fn what_a_grant_says_is_shown() {
    let (desk, grant) = desk_with_grant("op = get");
    let shown = desk.json(&["token", "inspect", "-"], &grant);
    assert_eq!(
        (&shown["kind"], &shown["subject"], &shown["audience"]),
        (&json!("grant"), &json!("ci"), &json!(""))
    );
    assert_eq!(
        shown["caveats"],
        json!([{"caveat": "op = get", "understood": true}])
    );
    let text = desk.done(&["token", "inspect", &grant], "");
    let field = |name: &str| shown[name].as_str().unwrap();
    assert_eq!(
        text,
        format!(
            "grant to ci\nissuer    {}\naudience  any node\nfrom      {}\nuntil     {}\n\
             nonce     {}\ncaveat    op = get",
            field("issuer"),
            field("not_before"),
            field("not_after"),
            field("nonce"),
        )
    );
    let (code, error) = desk.refused(&["token", "inspect", &grant[..100]], "");
    assert!(
        code == 2 && error.contains("it begins as a grant"),
        "{error}"
    );
    let (code, error) = desk.refused(&["token", "attenuate", "--ro", &grant], "");
    assert!(code == 2 && error.contains("not a macaroon"), "{error}");
}

/// A node that knows the issuer, on these ports.
fn node_with_issuers(desk: &Desk, http: &str, oap: &str) -> Node {
    let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
    command
        .args(["run", "--rps", "0", "--admin", "127.0.0.1:0"])
        .args(["--bind", http, "--oap", oap, "--config", "node.toml"])
        .current_dir(desk.directory.path())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    Node::spawn(command)
}

#[test]
fn the_verbs_exchange_a_grant_from_the_environment_or_a_file() {
    let (mut desk, grant) = desk_with_grant("op = get,head,put");
    let node = node_with_issuers(&desk, ANY, ANY);
    let url = format!("http://{}", node.http);
    let put = ["--url", &url, "put", "-"];
    let from_file = [&["--grant-file", "ci.grant"], &put[..]].concat();
    assert_eq!(desk.done(&from_file, "one"), address(b"one"));
    desk.set("MICRO_GRANT_FILE", "ci.grant");
    assert_eq!(desk.done(&put, "two"), address(b"two"));
    let (code, error) = desk.refused(&["--url", &url, "rm", &address(b"two")], "");
    assert!(code == 4 && error.contains("403 forbidden"), "{error}");

    desk.set("MICRO_GRANT", &grant);
    let (code, error) = desk.refused(&put, "three");
    assert!(
        code == 2 && error.contains("MICRO_GRANT_FILE") && error.contains("unset one"),
        "{error}"
    );
    desk.environment.retain(|(name, _)| *name == "MICRO_GRANT");
    assert_eq!(desk.done(&put, "three"), address(b"three"));
    desk.set("MICRO_TOKEN", &operator_token(&node));
    let (code, error) = desk.refused(&put, "four");
    assert!(
        code == 2 && error.contains("MICRO_TOKEN and a grant (MICRO_GRANT)"),
        "{error}"
    );
    desk.environment.clear();
    desk.set("MICRO_GRANT", &grant[1..]);
    let (code, error) = desk.refused(&put, "four");
    assert!(code == 2 && error.contains("MICRO_GRANT: "), "{error}");
    let (code, error) = desk.refused(&[&["--grant-file", "missing"], &put[..]].concat(), "");
    assert!(code == 1 || code == 2, "{error}");

    // A node that does not know the issuer.
    let stranger = Node::guarded(&[]);
    desk.set("MICRO_GRANT", &grant);
    let url = format!("http://{}", stranger.http);
    let (code, error) = desk.refused(&["--url", &url, "put", "-"], "four");
    assert!(
        code == 4 && error.contains("cannot exchange the grant") && error.contains("issuers"),
        "{error}"
    );
}

/// The node forgets its keys with everything else; nobody has to hand out tokens again.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_grant_outlives_the_node() {
    let (desk, grant) = desk_with_grant("op = get,head,put");
    let first = node_with_issuers(&desk, ANY, ANY);
    let (http, oap) = (first.http.to_string(), first.oap().to_string());
    let clients = [format!("http://{http}"), format!("oap://{oap}")].map(|url| {
        let options = ClientOptions {
            grant: Some(Grant::new(&grant).unwrap()),
            ..ClientOptions::default()
        };
        Client::with_options(&url, options).unwrap()
    });
    let plain = PutOptions::default();
    let bytes = object(300_000);
    for client in &clients {
        client
            .put_bytes(bytes.clone().into(), &plain)
            .await
            .unwrap();
    }
    drop(first);
    let second = node_with_issuers(&desk, &http, &oap);
    for (client, bytes) in clients.iter().zip([bytes, object(400_000)]) {
        let stored = client
            .put_bytes(bytes.clone().into(), &plain)
            .await
            .unwrap();
        let read = client.get(&stored.address).await.unwrap();
        assert!(read.bytes(usize::MAX).await.unwrap() == bytes);
    }
    assert_eq!(second.metric("objects"), Some(2.0));
    let refused = second
        .metric("auth_failures_total{reason=\"key\"}")
        .unwrap();
    assert!(refused >= 2.0, "both were refused first: {refused}");
}
