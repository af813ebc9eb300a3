#![allow(clippy::unwrap_used)]

mod authority;
mod bounds;
mod environment;
mod file;
mod output;
mod properties;
mod routes;

use std::fs;
use std::path::{Path, PathBuf};

use micronode_protocol::capability::grant::IssuerKey;
use micronode_protocol::limits;

use super::*;

fn no_env() -> Vec<(String, String)> {
    Vec::new()
}

fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// A file in a directory of its own, removed with it.
struct TempFile {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: impl AsRef<[u8]>) -> TempFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    fs::write(&path, text).unwrap();
    TempFile {
        _directory: directory,
        path,
    }
}

fn load_file(path: &Path) -> Result<Loaded, ConfigError> {
    load(Sources {
        file: Some(path.to_owned()),
        env: no_env(),
        flags: Vec::new(),
    })
}

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    load_file(&file(text).path)
}

fn load_env(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load(Sources {
        file: None,
        env: env(variables),
        flags: Vec::new(),
    })
}

/// The messages of a load that must fail, with the file's directory cut off.
fn problems(result: Result<Loaded, ConfigError>) -> Vec<String> {
    let error = result.expect_err("this configuration must be refused");
    error.problems.iter().map(ToString::to_string).collect()
}

fn key(path: &str) -> &'static Key {
    KEYS.iter().find(|key| key.path == path).unwrap()
}

fn origin(loaded: &Loaded, path: &str) -> Origin {
    loaded
        .origins()
        .find(|(key, _)| key.path == path)
        .unwrap()
        .1
        .clone()
}

/// `text` as the file would write it for `key`.
fn toml_value(key: &Key, text: &str) -> String {
    print::toml(key, text)
}

/// An issuer as variables have it, with keys of these bytes.
fn issuer_text(name: &str, byte: u8) -> String {
    let key = IssuerKey::new([byte; 32], Box::new([byte; 1952]));
    format!("{name}:{}:{}", key.ed25519_text(), key.mldsa65_text())
}

/// At least two texts that the key accepts, each for another value, the default's among them.
fn accepted(key: &Key) -> Vec<String> {
    let one = issuer_text("one", 1);
    let both = format!("{one},{}", issuer_text("", 2));
    let (nonce, id) = ("0f".repeat(16), "f0".repeat(32));
    let denied = format!("{nonce},{id}");
    let candidates = [
        "true",
        "false",
        "1",
        "2",
        "7",
        "60",
        "1ms",
        "700ms",
        "2s",
        "1KiB",
        "5000B",
        "8KiB",
        "16MiB",
        "256KiB",
        "1GiB",
        "auto",
        "refuse",
        "lru",
        "interval",
        "warn",
        "trace",
        "text",
        "json",
        "[::1]:0",
        "require",
        "off",
        "/a \"b\" \\ c.pem",
        &one,
        &both,
        &nonce,
        &denied,
        "name.set:tiles/:tiles-changed:",
        "health::watch:,object.put::watch:puts",
    ];
    let mut texts = vec![key.text(&Config::default())];
    for text in candidates {
        let mut config = Config::default();
        if key.set(&mut config, text).is_ok() && !texts.contains(&key.text(&config)) {
            texts.push(key.text(&config));
        }
    }
    assert!(texts.len() >= 2, "{}: add candidates", key.path);
    texts
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let loaded = load(Sources {
        file: None,
        env: no_env(),
        flags: Vec::new(),
    })
    .unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.memory_bytes >= limits::MEMORY_BUDGET_MIN);
    assert!(
        loaded
            .origins()
            .all(|(_, origin)| *origin == Origin::Default)
    );
    for (path, text) in [
        ("bind", "127.0.0.1:8080"),
        ("admin", "127.0.0.1:9090"),
        ("oap", "auto"),
        ("dev", "false"),
        ("workers", "0"),
        ("pin_workers", "false"),
        ("limits.rps", "500"),
        ("limits.in_flight", "512"),
        ("limits.connections", "1024"),
        ("limits.drain_deadline", "5s"),
        ("limits.drain_grace", "500ms"),
        ("limits.max_object", "1GiB"),
        ("limits.facets.storage_read", "512"),
        ("limits.facets.storage_write", "512"),
        ("limits.waiters", "16384"),
        ("limits.facets.index", "512"),
        ("limits.facets.mailbox", "512"),
        ("limits.mailbox.max_messages", "1000000"),
        ("limits.mailbox.max_bytes", "auto"),
        ("limits.mailbox.max_body", "256KiB"),
        ("limits.mailbox.max_deliveries", "5"),
        ("limits.mailbox.idempotency_window", "10m"),
        ("routes", ""),
        ("metrics.queue_names", "false"),
        ("memory.budget", "auto"),
        ("memory.eviction", "refuse"),
        ("memory.lock", "false"),
        ("tls.cert", ""),
        ("tls.key", ""),
        ("tls.client_ca", ""),
        ("tls.self_signed", "false"),
        ("tls.pq", "prefer"),
        ("tls.ticket_ttl", "1h"),
        ("issuers", ""),
        ("auth.name", "micronode"),
        ("auth.key_ttl", "1d"),
        ("auth.token_ttl", "15m"),
        ("auth.exchange_rps", "20"),
        ("auth.deny", ""),
        ("log.level", "warn"),
        ("log.format", "text"),
    ] {
        assert_eq!(key(path).text(&loaded.config), text, "{path}");
    }
    // The others may move one way only, and start at their bound: see `EDGES`.
}

#[test]
fn the_table_is_sound() {
    for (index, key) in KEYS.iter().enumerate() {
        let others = || KEYS.iter().enumerate().filter(|(other, _)| *other != index);
        assert!(
            others().all(|(_, other)| other.path != key.path),
            "{} twice",
            key.path
        );
        assert!(
            key.flag.is_none() || others().all(|(_, other)| other.flag != key.flag),
            "{:?} twice",
            key.flag
        );
        assert!(
            !key.doc.contains('\n') && key.doc.ends_with('.'),
            "{}",
            key.path
        );
        // Two keys must not meet in one variable: `a.b` and `a__b` would.
        assert!(!key.path.contains("__"), "{}", key.path);
        assert!(!load::CLIENT_VARIABLES.contains(&key.env().as_str()));
    }
    // Printing writes a section's heading when the section changes.
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section_and_name().0).collect();
    sections.dedup();
    let count = sections.len();
    sections.sort_unstable();
    sections.dedup();
    assert_eq!(
        sections.len(),
        count,
        "the keys of a section stand together"
    );
    assert_eq!(
        sections.first(),
        Some(&""),
        "the top comes first, where TOML needs it"
    );
}

#[test]
fn the_strongest_source_wins_for_every_key() {
    for key in KEYS {
        let texts = accepted(key);
        for mask in 0..8_usize {
            let layer = |bit: usize| (mask & (1 << bit) != 0).then(|| &texts[bit % texts.len()]);
            let toml = layer(0)
                .map(|text| format!("\n\n{} = {}\n", key.path, toml_value(key, text)))
                .unwrap_or_default();
            let file = file(toml);
            let loaded = load(Sources {
                file: Some(file.path.clone()),
                env: layer(1).map(|text| (key.env(), text.clone())),
                flags: layer(2)
                    .map(|text| (key.path, text.clone()))
                    .into_iter()
                    .collect(),
            })
            .unwrap();
            let (text, origin_wanted) = if let Some(text) = layer(2) {
                let flag = key.flag.unwrap_or(key.path).to_owned();
                (text.clone(), Origin::Flag(flag))
            } else if let Some(text) = layer(1) {
                (text.clone(), Origin::Env(key.env()))
            } else if let Some(text) = layer(0) {
                (
                    text.clone(),
                    Origin::File {
                        path: file.path.clone(),
                        line: 3,
                    },
                )
            } else {
                (key.text(&Config::default()), Origin::Default)
            };
            assert_eq!(key.text(&loaded.config), text, "{} {mask:03b}", key.path);
            assert_eq!(
                origin(&loaded, key.path),
                origin_wanted,
                "{} {mask:03b}",
                key.path
            );
            let untouched = |other: &&Key| other.path != key.path;
            for other in KEYS.iter().filter(untouched) {
                assert!(
                    !other.differs(&loaded.config, &Config::default()),
                    "{}",
                    other.path
                );
            }
        }
    }
}

#[test]
fn the_last_of_several_flags_wins() {
    let flags = vec![
        ("limits.rps", "1".to_owned()),
        ("limits.rps", "2".to_owned()),
    ];
    let loaded = load(Sources {
        file: None,
        env: no_env(),
        flags,
    })
    .unwrap();
    assert_eq!(loaded.config.limits.rps, 2);
}

#[test]
fn every_problem_is_listed_at_once() {
    let file = file(
        "bind = \"localhost\"\nlimits.rps = -1\nlimits.in_flight = 0\n\
         [limts]\nrps = 3\n[limits.facets]\nstorage = 1\n[memory]\nbudget = 5.0\n",
    );
    let at = |line: u32| format!("(file {}:{line})", file.path.display());
    let found = problems(load(Sources {
        file: Some(file.path.clone()),
        env: env(&[
            ("MICRO_LOG__LEVEL", "loud"),
            ("MICRO_RPS", "5"),
            ("MICRO_DEV", "yes"),
        ]),
        flags: vec![
            ("workers", "1000".to_owned()),
            ("limits.head_deadline", "5".to_owned()),
        ],
    }));
    assert_eq!(
        found,
        [
            format!(
                "bind {}: \"localhost\": expected an IP address and a port, \
                 such as 127.0.0.1:8080",
                at(1)
            ),
            format!("limits.rps {}: \"-1\": expected a whole number", at(2)),
            format!("limits.in_flight {}: 0 is too small: at least 1", at(3)),
            format!(
                "limts.rps {}: unknown key; the nearest known one is limits.rps",
                at(5)
            ),
            format!(
                "limits.facets.storage {}: unknown key; \
                 the nearest known one is limits.facets.storage_read",
                at(7)
            ),
            format!(
                "memory.budget {}: expected \"auto\" or a size such as \"1GiB\", found a float",
                at(9)
            ),
            "MICRO_LOG__LEVEL: \"loud\": expected error or warn or info or debug or trace".into(),
            "MICRO_RPS: unknown key; the nearest known one is MICRO_LIMITS__RPS".into(),
            "MICRO_DEV: \"yes\": expected true or false".into(),
            "workers (flag --workers): 1000 is too large: at most 256".into(),
            "limits.head_deadline (flag limits.head_deadline): \"5\": \
             a duration needs a unit: ms, s, m, h or d"
                .into(),
        ]
    );
}

#[test]
fn a_bad_value_is_refused_even_when_a_flag_overrides_it() {
    let file = file("limits.rps = \"many\"\n");
    let result = load(Sources {
        file: Some(file.path.clone()),
        env: no_env(),
        flags: vec![("limits.rps", "5".to_owned())],
    });
    assert_eq!(
        problems(result),
        [format!(
            "limits.rps (file {}:1): expected a whole number, found a string",
            file.path.display()
        )]
    );
}

#[test]
fn listeners_need_two_addresses_unless_the_port_is_free() {
    let both = |address: &str| load_env(&[("MICRO_BIND", address), ("MICRO_ADMIN", address)]);
    assert_eq!(
        problems(both("127.0.0.1:81")),
        ["admin: 127.0.0.1:81 is the address of `bind` too: give them different ports"]
    );
    assert!(both("127.0.0.1:0").is_ok());
    let with_oap = |oap| load_env(&[("MICRO_ADMIN", "127.0.0.1:8081"), ("MICRO_OAP", oap)]);
    assert_eq!(
        problems(with_oap("127.0.0.1:8081")),
        ["oap: 127.0.0.1:8081 is the address of `admin` too: give them different ports"]
    );
    // It goes somewhere else.
    assert!(with_oap("auto").is_ok());
}

#[test]
fn oap_stands_beside_the_data_listener() {
    for (bind, oap, expected) in [
        ("127.0.0.1:8080", "auto", Some("127.0.0.1:8081")),
        ("127.0.0.1:9000", "auto", Some("127.0.0.1:0")),
        ("[::1]:0", "auto", Some("[::1]:0")),
        ("127.0.0.1:0", "[::1]:7", Some("[::1]:7")),
        ("127.0.0.1:8080", "off", None),
    ] {
        let loaded = load_env(&[("MICRO_BIND", bind), ("MICRO_OAP", oap)]).unwrap();
        let address = loaded
            .config
            .oap_address()
            .map(|address| address.to_string());
        assert_eq!(address.as_deref(), expected, "{bind} {oap}");
    }
}

#[test]
fn a_given_budget_is_not_worked_out() {
    let loaded = load_env(&[("MICRO_MEMORY__BUDGET", "64MiB")]).unwrap();
    assert_eq!(loaded.config.memory.budget, Budget::Bytes(64 << 20));
    assert_eq!(loaded.memory_bytes, 64 << 20);
}
