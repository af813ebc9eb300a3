//! `micronode issuer`: what it prints, what nodes make of it, and what it keeps to itself.
#![allow(clippy::unwrap_used)]

use micronode_protocol::capability::base64url;
use micronode_protocol::capability::grant::{IssuerKey, SignedGrant};
use micronode_protocol::limits::{GRANT_BYTES, GRANT_CAVEAT_BYTES, GRANT_NAME_BYTES};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A directory to work in, with the seed of an issuer in it.
struct Desk {
    directory: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        desk.done(&["new", "--out", "seed"]);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn micronode(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_micronode"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .output()
            .unwrap()
    }

    /// Runs `micronode issuer`.
    fn run(&self, arguments: &[&str]) -> Output {
        self.micronode(&[&["issuer"], arguments].concat())
    }

    /// Runs what must succeed in silence; the line that it printed.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && error.is_empty(), "{error}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    }

    /// Runs what must fail without printing anything to stdout; its exit code and complaint.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), error)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn key(&self) -> IssuerKey {
        let shown = self.json(&["show", "--seed", "seed"]);
        let text = |name: &str| shown[name].as_str().unwrap().to_owned();
        IssuerKey::parse(&text("ed25519"), &text("mldsa65")).unwrap()
    }
}

const GRANT: [&str; 7] = ["grant", "--seed", "seed", "--subject", "ci", "--ttl", "30d"];

fn bytes(grant: &str) -> Vec<u8> {
    base64url::decode(grant.as_bytes(), GRANT_BYTES).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_seed_is_its_owners_and_is_never_written_over() {
    let desk = Desk::new();
    let before = fs::read_to_string(desk.path("seed")).unwrap();
    let mode = fs::metadata(desk.path("seed"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let (code, error) = desk.refused(&["new", "--out", "seed"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("seed: File exists") && error.contains("choose another file"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(desk.path("seed")).unwrap(), before);

    // What is printed of it, by any verb, is not the secret.
    let secret = before.split_whitespace().last().unwrap();
    let printed = [
        desk.done(&["new", "--out", "other", "--json"]),
        desk.done(&["show", "--seed", "seed"]),
        desk.done(&GRANT),
        desk.json(&GRANT).to_string(),
    ];
    for text in printed {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn what_is_shown_configures_a_node() {
    let desk = Desk::new();
    let shown = desk.done(&["show", "--seed", "seed"]);
    let id = hex(desk.key().id());
    assert!(
        shown.starts_with(&format!("# Issuer {id}\n[[issuers]]\n")),
        "{shown}"
    );
    let other = desk.json(&["new", "--out", "other"]);
    assert_eq!(other["file"], "other");
    let second = desk.done(&["show", "--seed", "other"]);
    assert!(second.contains(other["issuer"].as_str().unwrap()));

    let file = format!("[auth]\ndeny = [\"{id}\"]\n{shown}\n{second}\nname = \"b\"\n");
    fs::write(desk.path("node.toml"), file).unwrap();
    let check = desk.micronode(&["config", "check", "--config", "node.toml"]);
    assert!(check.status.success(), "{check:?}");
    let print = desk.micronode(&["config", "print", "--config", "node.toml", "--json"]);
    let print: Value = serde_json::from_slice(&print.stdout).unwrap();
    let issuers = &print["issuers"]["value"];
    assert_eq!(issuers[0]["ed25519"], desk.key().ed25519_text());
    assert_eq!(issuers[1]["name"], "b");
    assert_eq!(print["auth"]["deny"]["value"][0], id);
}

#[test]
fn a_grant_says_what_was_asked_for_and_verifies() {
    let desk = Desk::new();
    let key = desk.key();
    let now = || {
        #[expect(clippy::disallowed_methods, reason = "the binary has the same clock")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).unwrap().as_secs()
    };
    let earliest = now();
    let of_now = bytes(&desk.done(&GRANT));
    let of_now = SignedGrant::parse(&of_now).unwrap();
    assert_eq!(of_now.verify(&key), Ok(()));
    let statement = of_now.statement();
    assert!((earliest..=now()).contains(&statement.not_before));
    assert_eq!(
        statement.not_after,
        statement.not_before + 30 * 24 * 60 * 60
    );
    assert_eq!((statement.audience, statement.subject), ("", "ci"));
    assert!(statement.caveats.is_empty());

    let all = [
        &GRANT[..],
        &[
            "--audience",
            "cache-1",
            "--not-before",
            "2027-01-01T00:00:00Z",
        ],
        &["--caveat", "op = get,head", "--caveat", "name ^ builds/"],
    ];
    let json = desk.json(&all.concat());
    let grant = bytes(json["grant"].as_str().unwrap());
    let grant = SignedGrant::parse(&grant).unwrap();
    assert_eq!(grant.verify(&key), Ok(()));
    let statement = grant.statement();
    assert_eq!(statement.audience, "cache-1");
    assert_eq!(statement.caveats, ["op = get,head", "name ^ builds/"]);
    assert_eq!(statement.not_before, 1_798_761_600);
    assert_eq!(json["not_before"], "2027-01-01T00:00:00Z");
    assert_eq!(json["not_after"], "2027-01-31T00:00:00Z");
    assert_eq!(json["nonce"], hex(&statement.nonce));
    assert_eq!(json["issuer"], hex(key.id()));
    assert_ne!(statement.nonce, of_now.statement().nonce);
}

#[test]
fn what_cannot_be_signed_is_refused_with_a_word_on_why() {
    let desk = Desk::new();
    // Understood, and yet too long.
    let long = ["get"; GRANT_CAVEAT_BYTES / 3].join(",");
    let long_name = "x".repeat(GRANT_NAME_BYTES + 1);
    fs::write(desk.path("letter"), "dear issuer\n").unwrap();
    for (changes, code, word) in [
        (&["--caveat", "op=get"][..], 2, "no node understands it"),
        (&["--caveat", "op = é"], 2, "no node understands it"),
        (
            &["--caveat", &format!("op = {long}")],
            2,
            "a caveat has more than 1024 bytes",
        ),
        (
            &["--audience", &long_name],
            2,
            "the audience has more than 255 bytes",
        ),
        (&["--not-before", "tomorrow"], 2, "expected a time in UTC"),
        (
            &["--not-before", "9999-12-31T00:00:00Z"],
            2,
            "after the year 9999",
        ),
        (
            &["--caveat", "op = get"].repeat(32),
            2,
            "32 caveats are more than 31",
        ),
    ] {
        let (found, error) = desk.refused(&[&GRANT, changes].concat());
        assert!(
            found == code && error.contains(word),
            "{changes:?}: {error}"
        );
    }
    for (arguments, code, word) in [
        (
            &["grant", "--seed", "seed", "--subject", "ci", "--ttl", "30"][..],
            2,
            "needs a unit",
        ),
        (
            &["grant", "--seed", "seed", "--subject", "ci", "--ttl", "0s"],
            2,
            "at least 1s",
        ),
        (&["grant", "--seed", "seed", "--ttl", "30d"], 2, "--subject"),
        (&["show", "--seed", "missing"], 1, "missing: No such file"),
        (
            &["show", "--seed", "letter"],
            2,
            "letter: not the seed of an issuer",
        ),
        (&["new", "--out", "no/such/directory"], 1, "No such file"),
    ] {
        let (found, error) = desk.refused(arguments);
        assert!(
            found == code && error.contains(word),
            "{arguments:?}: {error}"
        );
    }
}
