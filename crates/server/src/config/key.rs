//! The table of all keys: path, flag, type, bounds, rule, whether it can change live, and a line
//! of documentation.

use std::time::Duration;

use micronode_protocol::limits;

use super::field::{Beyond, Field, Place, Refused, Shape};
use super::list::ItemProblems;
use super::problem::Reason;
use super::{Amnesia, Config, Eviction, LogFormat, LogLevel, Pq, Sync};

/// Which way an operator may move a value from its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Any way that makes sense.
    Any,
    /// Only down: the default is the loosest value.
    OnlyLower,
    /// Only up: the default is the loosest value.
    OnlyHigher,
}

/// One key of the configuration.
pub struct Key {
    /// The path in the file, parts joined by dots: `limits.rps`.
    pub path: &'static str,
    /// The flag of `run` that sets it, when there is one.
    pub flag: Option<&'static str>,
    /// What it means, one line.
    pub doc: &'static str,
    /// Which way it may be moved.
    pub rule: Rule,
    /// Whether a running node takes a new value; the others are read once, at start.
    pub live: bool,
    field: Field,
}

impl Key {
    /// The key with this path.
    pub(super) fn find(path: &str) -> Option<(usize, &'static Self)> {
        KEYS.iter().enumerate().find(|(_, key)| key.path == path)
    }

    /// The environment variable that sets it: `MICRO_LIMITS__RPS`.
    pub fn env(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.path.to_ascii_uppercase().replace('.', "__")
        )
    }

    /// The section that it stands in, empty for the top, and its name there.
    pub(super) fn section_and_name(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// The value in `config`, in the spelling of a flag or variable.
    pub fn text(&self, config: &Config) -> String {
        self.field.text(config)
    }

    /// How the value stands in the file.
    pub(super) fn shape(&self) -> Shape {
        self.field.shape()
    }

    /// Whether the value is a list, which may be long.
    pub fn is_list(&self) -> bool {
        matches!(self.shape(), Shape::List | Shape::Tables(_))
    }

    /// Whether the file may give the value as a bare integer.
    pub(super) fn takes_integer(&self) -> bool {
        // A duration without a unit is refused by its parser, which says so better than a type.
        matches!(
            self.field,
            Field::Count(..) | Field::Size(..) | Field::Budget(..) | Field::Duration(..)
        )
    }

    /// Whether the file may give the value as a bare boolean.
    pub(super) fn takes_boolean(&self) -> bool {
        match self.field {
            Field::Flag(_) => true,
            Field::Word(_, words) => words.contains(&"true"),
            _ => false,
        }
    }

    pub(super) fn expected(&self) -> &'static str {
        self.field.expected()
    }

    pub(super) fn differs(&self, a: &Config, b: &Config) -> bool {
        self.field.differs(a, b)
    }

    /// Reads the items of a list into `config`, which is untouched on error.
    pub(super) fn set_items(
        &self,
        config: &mut Config,
        items: &[&str],
    ) -> Result<(), ItemProblems> {
        self.field.set_items(config, items)
    }

    /// Whether `text` will do for this field of a table in the list.
    pub(super) fn check_item(&self, field: &str, text: &str) -> Result<(), Reason> {
        self.field.check_item(field, text)
    }

    /// Reads `text` into `config`, which is untouched on error.
    pub(super) fn set(&self, config: &mut Config, text: &str) -> Result<(), Reason> {
        self.field
            .set(config, text)
            .map_err(|refused| match (refused, self.rule) {
                (Refused::Malformed(reason), _) => reason,
                (Refused::Beyond(Beyond::High { given, most }), Rule::OnlyLower) => {
                    Reason::Loosened {
                        given,
                        bound: most,
                        lower: true,
                    }
                }
                (Refused::Beyond(Beyond::Low { given, least }), Rule::OnlyHigher) => {
                    Reason::Loosened {
                        given,
                        bound: least,
                        lower: false,
                    }
                }
                (Refused::Beyond(Beyond::Low { given, least }), _) => {
                    Reason::TooSmall { given, least }
                }
                (Refused::Beyond(Beyond::High { given, most }), _) => {
                    Reason::TooLarge { given, most }
                }
            })
    }

    const fn any(path: &'static str, field: Field, doc: &'static str) -> Self {
        Self {
            path,
            flag: None,
            doc,
            rule: Rule::Any,
            live: false,
            field,
        }
    }

    const fn only_lower(path: &'static str, field: Field, doc: &'static str) -> Self {
        Self {
            path,
            flag: None,
            doc,
            rule: Rule::OnlyLower,
            live: false,
            field,
        }
    }

    const fn only_higher(path: &'static str, field: Field, doc: &'static str) -> Self {
        Self {
            path,
            flag: None,
            doc,
            rule: Rule::OnlyHigher,
            live: false,
            field,
        }
    }

    const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }
}

/// What our environment variables start with.
pub(super) const ENV_PREFIX: &str = "MICRO_";

/// Tokens are dated in seconds.
const TOKEN_TTL_MIN: Duration = Duration::from_secs(1);

/// A request line and a host; less would refuse everybody.
const HEAD_BYTES_MIN: u64 = 256;

/// No deadline or interval below the resolution of the node's timers.
const TICK: Duration = Duration::from_millis(1);

macro_rules! place {
    ($($field:ident).+) => {
        Place { get: |config| config.$($field).+, set: |config, value| config.$($field).+ = value }
    };
}

/// A value that is more than a number.
macro_rules! cloned {
    ($($field:ident).+) => {
        Place {
            get: |config| config.$($field).+.clone(),
            set: |config, value| config.$($field).+ = value,
        }
    };
}

/// A number that is narrower than `u64` in the configuration; its range fits.
macro_rules! narrow {
    ($($field:ident).+) => {
        Place {
            get: |config| config.$($field).+ as u64,
            set: |config, value| {
                config.$($field).+ = value.try_into().expect("the key's range fits its type");
            },
        }
    };
}

macro_rules! path {
    ($($field:ident).+) => {
        Field::Path(Place {
            get: |config| config.$($field).+.clone(),
            set: |config, path| config.$($field).+ = path,
        })
    };
}

macro_rules! word {
    ($type:ident, $($field:ident).+) => {
        Field::Word(
            Place {
                get: |config| config.$($field).+ as usize,
                set: |config, index| config.$($field).+ = $type::ALL[index],
            },
            $type::WORDS,
        )
    };
}

/// Every key, the keys of a section together, in the order in which they are printed.
pub static KEYS: &[Key] = &[
    Key::any(
        "bind",
        Field::Address(place!(bind)),
        "Address of the data listener; port 0 picks one.",
    )
    .flag("--bind"),
    Key::any(
        "admin",
        Field::Address(place!(admin)),
        "Address of the admin listener (health, readiness, metrics); port 0 picks one.",
    )
    .flag("--admin"),
    Key::any(
        "oap",
        Field::Oap(place!(oap)),
        "Address of the OAP listener, \"off\", or \"auto\": 127.0.0.1:8081, or a free port if that is taken or bind is not the default.",
    )
    .flag("--oap"),
    Key::any(
        "dev",
        Field::Flag(place!(dev)),
        "Development mode: for a test bench, not for a network.",
    )
    .flag("--dev"),
    Key::any(
        "amnesia",
        word!(Amnesia, amnesia),
        "Forget everything at the end: true or false, to be sure of it; \"auto\" is true unless persist.dir is set.",
    ),
    Key::any(
        "workers",
        Field::Count(narrow!(workers), 0..=limits::WORKERS as u64),
        "Worker threads; 0 is one per core. TOKIO_WORKERS sets it too.",
    )
    .flag("--workers"),
    Key::any(
        "pin_workers",
        Field::Flag(place!(pin_workers)),
        "Keep each worker on a core of its own; worth it on a machine that does nothing else.",
    ),
    Key::any(
        "issuers",
        Field::Issuers(cloned!(auth.issuers), limits::ISSUERS),
        "Whose grants are exchanged: name, ed25519 and mldsa65 of each, as micronode issuer show prints them.",
    )
    .live(),
    Key::any(
        "routes",
        Field::Routes(cloned!(routes), limits::ROUTES),
        "Which events go into which queue: event, prefix, queue and name of each.",
    )
    .live(),
    Key::any(
        "limits.rps",
        Field::Count(place!(limits.rps), 0..=limits::RATE_MAX),
        "Requests per second; 0 lifts the limit.",
    )
    .live()
    .flag("--rps"),
    Key::any(
        "limits.in_flight",
        Field::Count(
            narrow!(limits.in_flight),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Requests and streams in flight, held to the end of the response body.",
    )
    .live()
    .flag("--in-flight"),
    Key::any(
        "limits.connections",
        Field::Count(
            narrow!(limits.connections),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Connections over all data listeners; the limit on open files may lower it.",
    )
    .live(),
    Key::only_lower(
        "limits.request_deadline",
        Field::Duration(
            place!(limits.request_deadline),
            TICK..=limits::REQUEST_DEADLINE,
        ),
        "From the end of the request body to the response head.",
    ),
    Key::only_lower(
        "limits.one_shot_deadline",
        Field::Duration(
            place!(limits.one_shot_deadline),
            TICK..=limits::ONE_SHOT_DEADLINE,
        ),
        "A one-shot body arrives whole within this.",
    ),
    Key::only_lower(
        "limits.head_deadline",
        Field::Duration(place!(limits.head_deadline), TICK..=limits::HEAD_DEADLINE),
        "A request head is complete within this.",
    ),
    Key::only_lower(
        "limits.idle_keep_alive",
        Field::Duration(
            place!(limits.idle_keep_alive),
            TICK..=limits::IDLE_KEEP_ALIVE,
        ),
        "A connection without a request is closed after this.",
    ),
    Key::only_lower(
        "limits.progress_interval",
        Field::Duration(
            place!(limits.progress_interval),
            TICK..=limits::PROGRESS_INTERVAL,
        ),
        "A stream, in either direction, moves at least once in this time.",
    ),
    Key::only_higher(
        "limits.progress_min_rate",
        Field::Size(
            place!(limits.progress_min_rate),
            limits::PROGRESS_MIN_RATE..=limits::OBJECT_BYTES_MAX,
        ),
        "Least average bytes per second of a stream after its first interval.",
    ),
    Key::only_lower(
        "limits.one_shot_body",
        Field::Size(
            place!(limits.one_shot_body),
            1..=limits::ONE_SHOT_BYTES as u64,
        ),
        "Largest one-shot body.",
    ),
    Key::any(
        "limits.max_object",
        Field::Size(place!(limits.max_object), 1..=limits::OBJECT_BYTES_MAX),
        "Largest object; it must fit the memory budget too.",
    ),
    Key::only_lower(
        "limits.head_bytes",
        Field::Size(
            narrow!(limits.head_bytes),
            HEAD_BYTES_MIN..=limits::HEAD_BYTES as u64,
        ),
        "Largest request head: request line and fields.",
    ),
    Key::only_lower(
        "limits.head_fields",
        Field::Count(narrow!(limits.head_fields), 1..=limits::HEAD_FIELDS as u64),
        "Most fields in a request head.",
    ),
    Key::only_lower(
        "limits.decompress_ratio",
        Field::Count(
            place!(limits.decompress_ratio),
            1..=limits::DECOMPRESS_RATIO,
        ),
        "Most bytes out of a decoder per byte in.",
    ),
    Key::only_lower(
        "limits.decoders",
        Field::Count(narrow!(limits.decoders), 1..=limits::DECODERS as u64),
        "Decoders at work at once.",
    ),
    Key::only_lower(
        "limits.h2_streams",
        Field::Count(narrow!(limits.h2_streams), 1..=limits::H2_STREAMS as u64),
        "Concurrent HTTP/2 streams per connection.",
    ),
    Key::only_lower(
        "limits.oap_frame",
        Field::Size(
            narrow!(limits.oap_frame),
            limits::OAP_FRAME_BYTES_MIN as u64..=limits::OAP_FRAME_BYTES as u64,
        ),
        "Largest OAP frame, its header included.",
    ),
    Key::only_lower(
        "limits.oap_streams",
        Field::Count(narrow!(limits.oap_streams), 1..=limits::OAP_STREAMS as u64),
        "Open OAP streams per connection.",
    ),
    Key::any(
        "limits.oap_waiters",
        Field::Count(
            narrow!(limits.oap_waiters),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "OAP streams per connection that wait, beside the others.",
    ),
    Key::any(
        "limits.drain_deadline",
        Field::Duration(
            place!(limits.drain_deadline),
            Duration::ZERO..=limits::DRAIN_MAX,
        ),
        "Time for streams in flight to finish after SIGTERM.",
    )
    .live(),
    Key::any(
        "limits.drain_grace",
        Field::Duration(
            place!(limits.drain_grace),
            Duration::ZERO..=limits::DRAIN_MAX,
        ),
        "Time after SIGTERM, at most half of drain_deadline, in which new connections are still accepted; writes on them are told 503.",
    )
    .live(),
    Key::any(
        "limits.waiters",
        Field::Count(
            narrow!(limits.waiters),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Receives, subscriptions, watches and streams of events that wait at once.",
    )
    .live(),
    Key::any(
        "limits.facets.storage_read",
        Field::Count(
            narrow!(limits.facets.storage_read),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Reads of objects at work at once.",
    )
    .live(),
    Key::any(
        "limits.facets.storage_write",
        Field::Count(
            narrow!(limits.facets.storage_write),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Writes of objects at work at once.",
    )
    .live(),
    Key::any(
        "limits.facets.index",
        Field::Count(
            narrow!(limits.facets.index),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Requests for names at work at once.",
    )
    .live(),
    Key::any(
        "limits.facets.mailbox",
        Field::Count(
            narrow!(limits.facets.mailbox),
            1..=limits::CONCURRENCY_MAX as u64,
        ),
        "Requests for queues at work at once.",
    )
    .live(),
    Key::any(
        "limits.mailbox.max_messages",
        Field::Count(place!(limits.mailbox.max_messages), 1..=limits::MESSAGES),
        "Messages in one queue, its dead letters included.",
    )
    .live(),
    Key::any(
        "limits.mailbox.max_bytes",
        Field::Budget(place!(limits.mailbox.max_bytes), 1),
        "Bytes of the messages in one queue; \"auto\" is a quarter of the memory budget.",
    )
    .live(),
    Key::any(
        "limits.mailbox.max_body",
        Field::Size(
            narrow!(limits.mailbox.max_body),
            1..=limits::MESSAGE_BYTES_MAX as u64,
        ),
        "Largest message.",
    )
    .live(),
    Key::any(
        "limits.mailbox.max_deliveries",
        Field::Count(
            narrow!(limits.mailbox.max_deliveries),
            1..=limits::MAX_DELIVERIES_MAX as u64,
        ),
        "Deliveries that fail before a message becomes a dead letter.",
    )
    .live(),
    Key::any(
        "limits.mailbox.idempotency_window",
        Field::Duration(
            place!(limits.mailbox.idempotency_window),
            limits::IDEMPOTENCY_WINDOW_MIN..=limits::IDEMPOTENCY_WINDOW_MAX,
        ),
        "How long an idempotency key is remembered.",
    )
    .live(),
    Key::any(
        "memory.budget",
        Field::Budget(place!(memory.budget), limits::MEMORY_BUDGET_MIN),
        "Bytes held at once; \"auto\" is half of what the machine or control group has.",
    )
    .flag("--memory"),
    Key::any(
        "memory.eviction",
        word!(Eviction, memory.eviction),
        "When the budget is full: \"refuse\" writes, or drop the \"lru\" objects.",
    )
    .flag("--eviction"),
    Key::any(
        "memory.lock",
        Field::Flag(place!(memory.lock)),
        "Keep objects, messages and buffers out of swap (mlock, as they are touched), as far as the system lets the process; keys are kept out of it in any case.",
    ),
    Key::any(
        "tls.cert",
        path!(tls.cert),
        "File of the certificate and its chain, PEM; with it, the data listeners speak TLS 1.3 only.",
    )
    .live()
    .flag("--tls-cert"),
    Key::any(
        "tls.key",
        path!(tls.key),
        "File of the certificate's private key, PEM.",
    )
    .live()
    .flag("--tls-key"),
    Key::any(
        "tls.client_ca",
        path!(tls.client_ca),
        "File of the authorities, PEM, one of which has to have signed a client's certificate.",
    )
    .live()
    .flag("--tls-client-ca"),
    Key::any(
        "tls.self_signed",
        Field::Flag(place!(tls.self_signed)),
        "Speak TLS with a certificate made at start, in memory; the start line has its pin.",
    )
    .flag("--tls-self-signed"),
    Key::any(
        "tls.pq",
        word!(Pq, tls.pq),
        "X25519MLKEM768: \"prefer\" it, \"require\" it, or \"off\" for X25519 alone.",
    )
    .flag("--pq"),
    Key::any(
        "tls.ticket_ttl",
        Field::Duration(
            place!(tls.ticket_ttl),
            limits::TICKET_TTL_MIN..=limits::TICKET_TTL_MAX,
        ),
        "How often the key of session tickets is replaced; it opens tickets for as long again.",
    ),
    Key::any(
        "auth.name",
        Field::Name(cloned!(auth.name)),
        "The node's name: the location of its tokens, and the audience of grants for it alone.",
    ),
    Key::any(
        "auth.key_ttl",
        Field::Duration(
            place!(auth.key_ttl),
            TOKEN_TTL_MIN..=limits::KEY_TTL,
        ),
        "Time after which the key under new tokens is replaced.",
    ),
    Key::any(
        "auth.token_ttl",
        Field::Duration(
            place!(auth.token_ttl),
            TOKEN_TTL_MIN..=limits::TOKEN_TTL_MAX,
        ),
        "Life of a token, unless another is asked for.",
    ),
    Key::any(
        "auth.exchange_rps",
        Field::Count(
            place!(auth.exchange_rps),
            1..=limits::EXCHANGES_PER_SECOND_MAX,
        ),
        "Grants exchanged per second.",
    )
    .live(),
    Key::any(
        "auth.deny",
        Field::Deny(cloned!(auth.deny), limits::DENIED),
        "Grants and issuers that count no more: 32 hex digits of a grant's nonce, or 64 of an issuer's id.",
    )
    .live(),
    Key::any(
        "metrics.queue_names",
        Field::Flag(place!(metrics.queue_names)),
        "Metrics of queues under their names; without, of all together.",
    )
    .live(),
    Key::any(
        "persist.dir",
        path!(persist.dir),
        "Directory in which objects, names and queues are kept over restarts; without one, they are forgotten.",
    )
    .flag("--persist"),
    Key::any(
        "persist.sync",
        word!(Sync, persist.sync),
        "When a change is on disk: \"always\" before its request is answered, or within an \"interval\".",
    )
    .flag("--sync"),
    Key::any(
        "persist.interval",
        Field::Duration(
            place!(persist.interval),
            limits::PERSIST_INTERVAL_MIN..=limits::PERSIST_INTERVAL_MAX,
        ),
        "With persist.sync = \"interval\": the changes of how long a crash may undo.",
    ),
    Key::any(
        "log.level",
        word!(LogLevel, log.level),
        "Least severe level written: error, warn, info, debug or trace.",
    )
    .live()
    .flag("--log-level"),
    Key::any(
        "log.format",
        word!(LogFormat, log.format),
        "\"text\" for people or \"json\" for machines.",
    )
    .flag("--log-format"),
];
