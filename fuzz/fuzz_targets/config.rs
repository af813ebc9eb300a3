//! Configuration: any file, environment and flags give either a configuration within its bounds
//! that prints to a file which loads to the same, or a list of what is wrong.
//!
//! An input is text: the file, a line `%%`, and then lines that are `NAME=VALUE` for a variable or
//! `--flag=VALUE` for a flag. The last variable's value is also tried on every key by itself.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use micronode_protocol::limits;
use micronode_protocol::name::{QueueRef, is_name_prefix};
use micronode_server::config::{
    self, Budget, Config, ConfigError, KEYS, Key, Loaded, Origin, Sources,
};

/// Where inputs are written, to be loaded: this process's own.
static FILE: LazyLock<tempfile::NamedTempFile> =
    LazyLock::new(|| tempfile::NamedTempFile::new().expect("a temporary file"));

fuzz_target!(|input: &[u8]| {
    const SEPARATOR: &[u8] = b"\n%%\n";
    let at = input
        .windows(SEPARATOR.len())
        .position(|at| at == SEPARATOR);
    let (file, rest) = match at {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (input, &[][..]),
    };
    let (mut env, mut flags) = (Vec::new(), Vec::new());
    let lines = rest.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        // As the process environment is read: what is not Unicode keeps its readable part.
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        if let Some(key) = KEYS.iter().find(|key| key.flag == Some(name)) {
            flags.push((key.path, value.to_owned()));
        } else {
            env.push((name.to_owned(), value.to_owned()));
        }
    }
    if let Some((_, value)) = env.last() {
        try_everywhere(value);
    }
    match load_file(file, env, flags) {
        Ok(loaded) => check_loaded(&loaded),
        Err(error) => check_error(&error, file),
    }
});

fn load_file(
    text: &[u8],
    env: Vec<(String, String)>,
    flags: Vec<(&'static str, String)>,
) -> Result<Loaded, ConfigError> {
    let path: &Path = FILE.path();
    std::fs::write(path, text).expect("a writable temporary file");
    config::load(Sources {
        file: Some(PathBuf::from(path)),
        env,
        flags,
    })
}

/// One value for each key in turn, so that no other value's problem hides what it does.
fn try_everywhere(value: &str) {
    let load = |key: &Key, value: &str| {
        // Working out what `auto` stands for takes longer than all the rest.
        let budget = (key.path != "memory.budget").then(|| ("memory.budget", "1GiB".to_owned()));
        config::load(Sources {
            file: None,
            env: vec![(key.env(), value.to_owned())],
            flags: budget.into_iter().collect(),
        })
    };
    for key in KEYS {
        match load(key, value) {
            Ok(loaded) => {
                check_bounds(&loaded.config);
                let default = load(key, &key.text(&Config::default())).expect("the default");
                let changed = default.config.reload(&loaded.config);
                let changed = changed.unwrap_or_else(|refused| refused.keys);
                assert!(changed.is_empty() || changed == [key.path], "{changed:?}");
                let again = load(key, &key.text(&loaded.config)).expect("its own text");
                assert_eq!(again.config, loaded.config);
            }
            Err(error) => assert_eq!(error.problems.len(), 1, "{error}"),
        }
    }
}

fn check_loaded(loaded: &Loaded) {
    let config = &loaded.config;
    check_bounds(config);
    assert!(loaded.memory_bytes >= limits::MEMORY_BUDGET_MIN);
    if let Budget::Bytes(bytes) = config.memory.budget {
        assert_eq!(loaded.memory_bytes, bytes);
    }
    assert_eq!(config.reload(config), Ok(Vec::new()));
    assert_eq!(loaded.origins().count(), KEYS.len());

    assert!(loaded.to_json().is_object());
    let printed = loaded.to_toml();
    match load_file(printed.as_bytes(), Vec::new(), Vec::new()) {
        Ok(again) => assert_eq!(again.config, *config),
        Err(error) => panic!("{error}\nin\n{printed}"),
    }
}

/// The bounds of every key, written out from their documentation.
fn check_bounds(config: &Config) {
    const TICK: Duration = Duration::from_millis(1);
    let Config {
        bind,
        admin,
        oap: _,
        dev: _,
        amnesia: _,
        workers,
        pin_workers: _,
        limits: node,
        memory: _,
        tls,
        auth,
        routes,
        metrics: _,
        persist,
        log: _,
    } = config;
    assert!(bind != admin || bind.port() == 0);
    if let Some(oap) = config.oap_address() {
        assert!(oap.port() == 0 || (oap != *bind && oap != *admin));
    }
    assert!(*workers <= limits::WORKERS);

    assert!(node.rps <= limits::RATE_MAX);
    for count in [
        node.in_flight,
        node.connections,
        node.facets.storage_read,
        node.facets.storage_write,
        node.facets.index,
        node.facets.mailbox,
        node.waiters,
    ] {
        assert!((1..=limits::CONCURRENCY_MAX).contains(&count));
    }
    for (time, most) in [
        (node.request_deadline, limits::REQUEST_DEADLINE),
        (node.one_shot_deadline, limits::ONE_SHOT_DEADLINE),
        (node.head_deadline, limits::HEAD_DEADLINE),
        (node.idle_keep_alive, limits::IDLE_KEEP_ALIVE),
        (node.progress_interval, limits::PROGRESS_INTERVAL),
    ] {
        assert!((TICK..=most).contains(&time));
    }
    assert!(node.drain_deadline <= limits::DRAIN_MAX && node.drain_grace <= limits::DRAIN_MAX);
    assert!(node.progress_min_rate >= limits::PROGRESS_MIN_RATE);
    assert!((1..=limits::ONE_SHOT_BYTES as u64).contains(&node.one_shot_body));
    assert!((1..=limits::OBJECT_BYTES_MAX).contains(&node.max_object));
    assert!((256..=limits::HEAD_BYTES).contains(&node.head_bytes));
    assert!((1..=limits::HEAD_FIELDS).contains(&node.head_fields));
    assert!((1..=limits::DECOMPRESS_RATIO).contains(&node.decompress_ratio));
    assert!((1..=limits::DECODERS).contains(&node.decoders));
    assert!((1..=limits::H2_STREAMS).contains(&node.h2_streams));
    assert!((limits::OAP_FRAME_BYTES_MIN..=limits::OAP_FRAME_BYTES).contains(&node.oap_frame));
    assert!((1..=limits::OAP_STREAMS).contains(&node.oap_streams));

    let queue = &node.mailbox;
    assert!((1..=limits::MESSAGES).contains(&queue.max_messages));
    assert_ne!(queue.max_bytes, Budget::Bytes(0));
    assert!((1..=limits::MESSAGE_BYTES_MAX).contains(&queue.max_body));
    assert!((1..=limits::MAX_DELIVERIES_MAX).contains(&queue.max_deliveries));
    let window = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
    assert!(window.contains(&queue.idempotency_window));

    let interval = limits::PERSIST_INTERVAL_MIN..=limits::PERSIST_INTERVAL_MAX;
    assert!(interval.contains(&persist.interval));

    assert!(routes.len() <= limits::ROUTES);
    for (index, route) in routes.iter().enumerate() {
        assert!(is_name_prefix(&route.prefix));
        assert!(route.prefix.is_empty() || route.event.starts_with("name."));
        assert!(QueueRef::parse(&route.queue).is_some_and(|queue| !queue.is_dead));
        assert!((1..=limits::QUEUE_NAME_BYTES).contains(&route.name.len()));
        let mut others = routes[..index].iter();
        assert!(others.all(|other| other.name != route.name));
    }

    assert_eq!(tls.cert.is_some(), tls.key.is_some());
    assert!(!tls.self_signed || tls.cert.is_none());
    let ticket_ttl = limits::TICKET_TTL_MIN..=limits::TICKET_TTL_MAX;
    assert!(ticket_ttl.contains(&tls.ticket_ttl));

    assert!((1..=limits::CAPABILITY_LOCATION_BYTES).contains(&auth.name.len()));
    for (time, most) in [
        (auth.key_ttl, limits::KEY_TTL),
        (auth.token_ttl, limits::TOKEN_TTL_MAX),
    ] {
        assert!((Duration::from_secs(1)..=most).contains(&time));
    }
    assert!((1..=limits::EXCHANGES_PER_SECOND_MAX).contains(&auth.exchange_rps));
    assert!(auth.issuers.len() <= limits::ISSUERS);
    for issuer in &auth.issuers {
        assert_eq!(
            auth.issuer(issuer.key.id()),
            Some(issuer),
            "no two are the same"
        );
    }
}

/// Something is wrong, it is said where, and no input can add lines to what is said.
fn check_error(error: &ConfigError, file: &[u8]) {
    assert!(!error.problems.is_empty());
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count();
    for problem in &error.problems {
        let text = problem.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        if let Origin::File { line, .. } = &problem.origin {
            assert!((1..=lines).contains(line), "line {line} of {lines}");
        }
    }
}
