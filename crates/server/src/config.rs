//! The node's configuration: defaults < TOML file < environment < flags, checked as a whole.
//!
//! [`load`] is the only way to a [`Config`] other than its defaults, and it either accepts every
//! value given or names everything that is wrong. [`KEYS`] is the only list of keys: parsing,
//! bounds, printing, reloading and suggestions all read it, so a key is added in one place.
//!
//! Not for caps that nobody may configure (they are constants in `protocol::limits`), and not for
//! what a client is told (`MICRO_URL`, `MICRO_TOKEN`, `MICRO_GRANT` and the like). There is deliberately no
//! `Deserialize`: it would be a second way in, around the checks.

mod authority;
pub mod duration;
mod field;
mod file;
mod key;
mod list;
mod load;
mod memory;
mod nearest;
mod print;
mod problem;
mod route;
pub mod size;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use micronode_protocol::capability::GrantRef;
use micronode_protocol::capability::grant::IssuerId;
use micronode_protocol::limits;

pub use authority::{Deny, Issuer};
pub use key::{KEYS, Key, Rule};
pub use load::{Loaded, Sources, load, process_environment};
pub use memory::MemoryError;
pub use problem::{ConfigError, Origin, Problem, Reason};
pub use route::Route;

/// A checked configuration. [`Default`] is the node's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address of the data listener; port 0 picks a free one.
    pub bind: SocketAddr,
    /// Address of the admin listener; port 0 picks a free one.
    pub admin: SocketAddr,
    /// Where OAP is spoken.
    pub oap: OapListener,
    /// Development mode.
    pub dev: bool,
    /// Whether the node forgets.
    pub amnesia: Amnesia,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// Keep each worker thread on a core of its own.
    pub pin_workers: bool,
    /// Caps on what peers may make the node do.
    pub limits: Limits,
    /// The memory budget.
    pub memory: Memory,
    /// Transport security.
    pub tls: Tls,
    /// Who may do what.
    pub auth: Auth,
    /// Which events go into which queue; no two have the same name.
    pub routes: Vec<Route>,
    /// What metrics tell.
    pub metrics: Metrics,
    /// What is kept on disk.
    pub persist: Persist,
    /// The log.
    pub log: Log,
}

/// The `[limits]` section. Sizes are bytes, rates are per second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second; 0 lifts the limit.
    pub rps: u64,
    /// Requests and streams in flight over all data listeners.
    pub in_flight: usize,
    /// Connections over all data listeners, before the FD limit lowers it.
    pub connections: usize,
    /// From the end of the request body to the response head.
    pub request_deadline: Duration,
    /// A one-shot body arrives whole within this.
    pub one_shot_deadline: Duration,
    /// A request head is complete within this.
    pub head_deadline: Duration,
    /// A kept-alive connection without a request is closed after this.
    pub idle_keep_alive: Duration,
    /// A stream moves at least once in this time.
    pub progress_interval: Duration,
    /// Least average rate of a stream after its first interval, bytes per second.
    pub progress_min_rate: u64,
    /// Largest one-shot body.
    pub one_shot_body: u64,
    /// Largest object.
    pub max_object: u64,
    /// Largest request head.
    pub head_bytes: usize,
    /// Most fields in a request head.
    pub head_fields: usize,
    /// Most bytes out of a decoder per byte in.
    pub decompress_ratio: u64,
    /// Decoders at work at once.
    pub decoders: usize,
    /// Concurrent HTTP/2 streams per connection.
    pub h2_streams: u32,
    /// Largest OAP frame.
    pub oap_frame: usize,
    /// Open OAP streams per connection.
    pub oap_streams: usize,
    /// OAP streams per connection that wait.
    pub oap_waiters: usize,
    /// Time for streams in flight to finish after SIGTERM.
    pub drain_deadline: Duration,
    /// Time after SIGTERM in which new connections are still accepted; writes on them are told 503.
    /// At most half of `drain_deadline` is taken.
    pub drain_grace: Duration,
    /// Receives, subscriptions and streams of events that wait at once.
    pub waiters: usize,
    /// Permits per facet.
    pub facets: Facets,
    /// Bounds of queues.
    pub mailbox: Mailbox,
}

/// The `[limits.mailbox]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Messages in one queue, its dead letters included.
    pub max_messages: u64,
    /// Bytes of them. `auto` stands for [`QUEUE_BYTES_PERCENT`](limits::QUEUE_BYTES_PERCENT) of
    /// the memory budget.
    pub max_bytes: Budget,
    /// Largest message.
    pub max_body: usize,
    /// Deliveries before a message is a dead letter.
    pub max_deliveries: u32,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
}

/// The `[limits.facets]` section: calls at work at once per facet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets {
    /// Reads of objects.
    pub storage_read: usize,
    /// Writes of objects.
    pub storage_write: usize,
    /// Names.
    pub index: usize,
    /// Queues.
    pub mailbox: usize,
}

/// The `[memory]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that objects, queues, buffers and decoders may hold together. `auto` is half of what
    /// the machine or its control group has: [`Loaded::memory_bytes`].
    pub budget: Budget,
    /// What gives way when the budget is full.
    pub eviction: Eviction,
    /// Lock what is held in memory, once it is touched.
    pub lock: bool,
}

/// Bytes of memory for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// A share of what there is.
    Auto,
    /// This many bytes.
    Bytes(u64),
}

/// `oap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OapListener {
    /// Beside the data listener: [`Config::OAP`] where that has its own default address and nobody
    /// else is there, and otherwise any free port of the same IP address.
    Auto,
    /// Nowhere.
    Off,
    /// At this address; port 0 picks a free one.
    At(SocketAddr),
}

/// The `[tls]` section. What the values mean together, and what the files hold, is checked when a
/// node is about to use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    pub key: Option<PathBuf>,
    /// Who signs the certificates that clients have to present, PEM.
    pub client_ca: Option<PathBuf>,
    /// Make a certificate at start, in memory.
    pub self_signed: bool,
    /// Key exchange that a quantum computer does not break.
    pub pq: Pq,
    /// How often the key of session tickets is replaced; it is accepted for as long again.
    pub ticket_ttl: Duration,
}

impl Tls {
    /// Whether anything is said over TLS.
    pub fn is_on(&self) -> bool {
        self.cert.is_some() || self.self_signed
    }
}

/// The `[auth]` section, and `[[issuers]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The node's name.
    pub name: String,
    /// The key under new tokens is replaced after this.
    pub key_ttl: Duration,
    /// Life of a token unless another is asked for.
    pub token_ttl: Duration,
    /// Grants exchanged per second.
    pub exchange_rps: u64,
    /// What counts no more.
    pub deny: Deny,
    /// Whose grants are exchanged; no two are the same.
    pub issuers: Vec<Issuer>,
}

impl Auth {
    /// Whether what came from this grant counts no more: it is denied, or its issuer is, or is
    /// not known any longer.
    pub(crate) fn is_revoked(&self, grant: &GrantRef) -> bool {
        let by = |issuer: &&Issuer| grant.is_by(issuer.key.id());
        let issuer = self.issuers.iter().find(by);
        self.deny.grant(&grant.nonce)
            || issuer.is_none_or(|issuer| self.deny.issuer(issuer.key.id()))
    }

    /// The issuer with this id, if the node knows it; it may be denied.
    pub fn issuer(&self, id: &IssuerId) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.key.id() == id)
    }
}

/// The `[metrics]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Tell queues by their names.
    pub queue_names: bool,
}

/// The `[persist]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// Where objects, names and queues are kept; `None` to forget them at the end.
    pub dir: Option<PathBuf>,
    /// When a change is on disk.
    pub sync: Sync,
    /// With [`Sync::Interval`], the changes of how long may be lost.
    pub interval: Duration,
}

/// The `[log]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How a line is written.
    pub format: LogFormat,
}

/// Declares an enumeration together with the words that configuration uses for its variants.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every variant, in the order of [`Self::WORDS`].
            const ALL: &[Self] = &[$(Self::$variant),+];
            /// The word for each variant.
            const WORDS: &[&str] = &[$($word),+];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
    };
}

words! {
    /// `memory.eviction`.
    Eviction {
        /// Nothing is dropped: a write that does not fit is refused.
        Refuse = "refuse",
        /// The least recently used unpinned objects make room.
        Lru = "lru",
    }
}

words! {
    /// `amnesia`: said to be sure of it, or not said.
    Amnesia {
        /// The node forgets unless it has a directory to keep things in.
        Auto = "auto",
        /// The node forgets; together with a directory that is an error.
        On = "true",
        /// The node keeps; without a directory that is an error.
        Off = "false",
    }
}

words! {
    /// `persist.sync`.
    Sync {
        /// Before its request is answered.
        Always = "always",
        /// Within `persist.interval`.
        Interval = "interval",
    }
}

words! {
    /// `tls.pq`.
    Pq {
        /// Hybrid where the peer can, classical otherwise.
        Prefer = "prefer",
        /// Hybrid or nothing.
        Require = "require",
        /// Classical only.
        Off = "off",
    }
}

words! {
    /// `log.level`, most severe first.
    LogLevel {
        /// What needs a person.
        Error = "error",
        /// What may need one.
        Warn = "warn",
        /// Life cycle.
        Info = "info",
        /// Single connections.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

words! {
    /// `log.format`.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Self::BIND,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            oap: OapListener::Auto,
            dev: false,
            amnesia: Amnesia::Auto,
            workers: 0,
            pin_workers: false,
            limits: Limits {
                rps: limits::RATE_PER_SECOND,
                in_flight: limits::IN_FLIGHT,
                connections: limits::CONNECTIONS,
                request_deadline: limits::REQUEST_DEADLINE,
                one_shot_deadline: limits::ONE_SHOT_DEADLINE,
                head_deadline: limits::HEAD_DEADLINE,
                idle_keep_alive: limits::IDLE_KEEP_ALIVE,
                progress_interval: limits::PROGRESS_INTERVAL,
                progress_min_rate: limits::PROGRESS_MIN_RATE,
                one_shot_body: limits::ONE_SHOT_BYTES as u64,
                max_object: limits::MAX_OBJECT_BYTES,
                head_bytes: limits::HEAD_BYTES,
                head_fields: limits::HEAD_FIELDS,
                decompress_ratio: limits::DECOMPRESS_RATIO,
                decoders: limits::DECODERS,
                h2_streams: limits::H2_STREAMS,
                oap_frame: limits::OAP_FRAME_BYTES,
                oap_streams: limits::OAP_STREAMS,
                oap_waiters: limits::CONNECTION_WAITERS,
                drain_deadline: limits::DRAIN_DEADLINE,
                drain_grace: limits::DRAIN_GRACE,
                waiters: limits::WAITERS,
                facets: Facets {
                    storage_read: limits::FACET_STORAGE_READ,
                    storage_write: limits::FACET_STORAGE_WRITE,
                    index: limits::FACET_INDEX,
                    mailbox: limits::FACET_MAILBOX,
                },
                mailbox: Mailbox {
                    max_messages: limits::QUEUE_MESSAGES,
                    max_bytes: Budget::Auto,
                    max_body: limits::MESSAGE_BYTES,
                    max_deliveries: limits::MAX_DELIVERIES,
                    idempotency_window: limits::IDEMPOTENCY_WINDOW,
                },
            },
            memory: Memory {
                budget: Budget::Auto,
                eviction: Eviction::Refuse,
                lock: false,
            },
            tls: Tls {
                cert: None,
                key: None,
                client_ca: None,
                self_signed: false,
                pq: Pq::Prefer,
                ticket_ttl: limits::TICKET_TTL,
            },
            auth: Auth {
                name: "micronode".to_owned(),
                key_ttl: limits::KEY_TTL,
                token_ttl: limits::TOKEN_TTL,
                exchange_rps: limits::EXCHANGES_PER_SECOND,
                deny: Deny::default(),
                issuers: Vec::new(),
            },
            routes: Vec::new(),
            metrics: Metrics { queue_names: false },
            persist: Persist {
                dir: None,
                sync: Sync::Always,
                interval: limits::PERSIST_INTERVAL,
            },
            log: Log {
                level: LogLevel::Warn,
                format: LogFormat::Text,
            },
        }
    }
}

/// A reload that would change what only a restart can. Nothing of it has been applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot change while the node runs: {}; restart the node or restore {}",
        .keys.join(", "), if .keys.len() == 1 { "it" } else { "them" })]
pub struct ReloadError {
    /// The keys at fault, in the order of [`KEYS`].
    pub keys: Vec<&'static str>,
}

impl Config {
    const BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    /// Where OAP is spoken unless something else is said.
    pub const OAP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

    /// The address of the OAP listener, if there is one.
    pub fn oap_address(&self) -> Option<SocketAddr> {
        match self.oap {
            OapListener::Off => None,
            OapListener::At(address) => Some(address),
            OapListener::Auto if self.bind == Self::BIND => Some(Self::OAP),
            OapListener::Auto => Some(SocketAddr::new(self.bind.ip(), 0)),
        }
    }

    /// The keys whose values differ in `new`, when all of them can change in a running node.
    /// All or nothing: one that cannot refuses the whole reload.
    pub fn reload(&self, new: &Self) -> Result<Vec<&'static str>, ReloadError> {
        let (live, fixed): (Vec<&Key>, Vec<&Key>) = KEYS
            .iter()
            .filter(|key| key.differs(self, new))
            .partition(|key| key.live);
        let paths = |keys: Vec<&Key>| keys.into_iter().map(|key| key.path).collect();
        if fixed.is_empty() {
            Ok(paths(live))
        } else {
            Err(ReloadError { keys: paths(fixed) })
        }
    }
}

#[cfg(test)]
mod tests;
