//! Bounds on what a peer can make an HTTP service hold, wait for or compute.
//!
//! For any hyper or axum service that faces peers it does not trust. Every number is a constructor
//! argument; the crate knows nothing of the service behind it.
//!
//! A request passes these bounds, from the outside in:
//!
//! | bound | primitive | layer |
//! |---|---|---|
//! | connections, whoever is idle gives way | [`accept`], [`ConnectionSlots`] | |
//! | head in time, idle time, write progress, floods, drain | [`serve`], [`ConnectionLimits`] | |
//! | head size | [`check_head`] | [`layers::HeadLayer`] |
//! | requests per second | [`RateLimiter`] | [`layers::RateLayer`] |
//! | requests in flight, to the last byte of the response | [`InFlight`], [`HeldBody`] | [`layers::InFlightLayer`] |
//! | the slowest stream gives way when all are taken | [`SlowShare`] | |
//! | a response that is taken back on its way | [`Lease`] | |
//! | load shed on purpose | | [`layers::ShedLayer`] |
//! | body size and pace | [`GuardedBody`] | [`layers::BodyLayer`] |
//! | decompression | [`DecodedBody`] | [`layers::DecompressLayer`] |
//! | handler time | [`Deadline`] | [`layers::DeadlineLayer`] |
//!
//! The primitives hold the rules and can be called in order on one page; the layers are thin and
//! say the same as a Tower stack. Whatever is refused is a [`Refusal`]: a reason, a sentence and
//! perhaps a time to come back, made without an allocation and counted in [`Counters`].
//!
//! A service that is not HTTP, or has a protocol of its own beside it, shares the caps by using the
//! primitives: [`Slot`] for its connections, [`InFlight`] and [`RateLimiter`] for its requests,
//! [`Progress`] for the pace of its peers, [`SlowShare`] for who gives way.
//!
//! Nothing here queues, and nothing retries: a service under attack answers cheaply and early.
//! Not here either: authentication, TLS, routing and compression of responses.
//!
//! `examples/protect_axum.rs` puts all of it around an axum router.

// A node says nothing but what its log can.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod accept;
mod activity;
mod body;
mod connection;
mod deadline;
mod decompress;
mod drain;
mod exchange;
mod flood;
mod framing;
mod head;
mod held;
mod in_flight;
pub mod layers;
mod lease;
mod progress;
mod rate;
mod refusal;
mod slots;
mod slow_share;
mod stream;
mod streams;
mod unsent;
mod watch;
mod watchdog;

pub use accept::accept;
pub use body::{BodyPolicy, GuardedBody};
pub use connection::{ConnectionContext, ConnectionLimits, plain_refusal, serve};
pub use deadline::Deadline;
pub use decompress::{Coding, DecodedBody, DecompressLimits, PIECE_BYTES, request_coding};
pub use drain::{Drain, DrainSignal};
pub use head::{HeadLimits, check_head};
pub use held::HeldBody;
pub use in_flight::{InFlight, Permit};
pub use lease::Lease;
pub use progress::{Demand, Progress};
pub use rate::RateLimiter;
pub use refusal::{BodyError, Counters, Reason, Refusal, whole_seconds};
pub use slots::{ConnectionSlots, Occupancy, Slot, cap_for_fd_limit};
pub use slow_share::{Pace, SlowEntry, SlowShare, SlowShareLimits};
pub use stream::Transport;
pub use watch::BodyWatch;
