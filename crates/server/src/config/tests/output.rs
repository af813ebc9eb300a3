//! Reload, print and JSON.

#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_reload_is_all_or_nothing() {
    const LIVE: [&str; 24] = [
        "issuers",
        "routes",
        "limits.rps",
        "limits.in_flight",
        "limits.connections",
        "limits.drain_deadline",
        "limits.drain_grace",
        "limits.waiters",
        "limits.facets.storage_read",
        "limits.facets.storage_write",
        "limits.facets.index",
        "limits.facets.mailbox",
        "limits.mailbox.max_messages",
        "limits.mailbox.max_bytes",
        "limits.mailbox.max_body",
        "limits.mailbox.max_deliveries",
        "limits.mailbox.idempotency_window",
        "tls.cert",
        "tls.key",
        "tls.client_ca",
        "auth.exchange_rps",
        "auth.deny",
        "metrics.queue_names",
        "log.level",
    ];
    let old = Config::default();
    assert_eq!(old.reload(&old), Ok(vec![]));
    let mut everything = old.clone();
    for key in KEYS {
        let text = &accepted(key)[1];
        key.set(&mut everything, text).unwrap();
        let mut one = old.clone();
        key.set(&mut one, text).unwrap();
        let wanted = if LIVE.contains(&key.path) {
            Ok(vec![key.path])
        } else {
            Err(ReloadError {
                keys: vec![key.path],
            })
        };
        assert_eq!(old.reload(&one), wanted);
    }
    let fixed: Vec<&str> = KEYS
        .iter()
        .map(|key| key.path)
        .filter(|path| !LIVE.contains(path))
        .collect();
    assert_eq!(old.reload(&everything), Err(ReloadError { keys: fixed }));

    let mut two = old.clone();
    two.bind.set_port(1);
    two.memory.eviction = Eviction::Lru;
    two.limits.rps = 1;
    assert_eq!(
        old.reload(&two).unwrap_err().to_string(),
        "cannot change while the node runs: bind, memory.eviction; \
         restart the node or restore them"
    );
}

#[test]
fn json_nests_like_the_file_and_names_sources() {
    let loaded = load_env(&[("MICRO_LIMITS__RPS", "0"), ("MICRO_MEMORY__BUDGET", "1GiB")]).unwrap();
    let json = loaded.to_json();
    assert_eq!(
        json["limits"]["rps"],
        serde_json::json!({"value": 0, "source": "env MICRO_LIMITS__RPS", "live": true})
    );
    assert_eq!(json["limits"]["facets"]["storage_read"]["value"], 512);
    assert_eq!(json["dev"]["value"], false);
    assert_eq!(json["limits"]["request_deadline"]["value"], "5s");
    assert_eq!(json["bind"]["source"], "default");
    assert_eq!(
        json["memory"]["budget"],
        serde_json::json!({"value": "1GiB", "source": "env MICRO_MEMORY__BUDGET", "live": false,
                           "bytes": 1_u64 << 30})
    );
}

#[test]
fn print_names_each_source_and_what_auto_is() {
    let file = file("[limits]\nin_flight = 7\n");
    let loaded = load(Sources {
        file: Some(file.path.clone()),
        env: env(&[("MICRO_LIMITS__RPS", "0")]),
        flags: vec![("log.level", "info".to_owned())],
    })
    .unwrap();
    let toml = loaded.to_toml();
    let auto = format!(
        "budget = \"auto\" # default; {} here",
        size::Text(loaded.memory_bytes)
    );
    for line in [
        "bind = \"127.0.0.1:8080\" # default".to_owned(),
        "[limits]".to_owned(),
        "rps = 0 # env MICRO_LIMITS__RPS".to_owned(),
        format!("in_flight = 7 # file {}:2", file.path.display()),
        "[limits.facets]".to_owned(),
        auto,
        "level = \"info\" # flag --log-level".to_owned(),
    ] {
        assert!(
            toml.lines().any(|printed| printed == line),
            "{line} in\n{toml}"
        );
    }
}
