//! Bounds on what a peer can make an HTTP service hold, wait for or compute.

mod accept;
mod activity;
mod body;
mod connection;
mod deadline;
mod decompress;
mod drain;
mod exchange;
mod flood;
mod head;
mod held;
mod in_flight;
pub mod layers;
mod progress;
mod rate;
mod refusal;
mod slots;
mod stream;
mod streams;
mod watch;
mod watchdog;

pub use accept::accept;
pub use body::{BodyPolicy, GuardedBody};
pub use connection::{
    ConnectionContext, ConnectionLimits, plain_bad_request, plain_refusal, serve,
};
pub use deadline::Deadline;
pub use decompress::{Coding, DecodedBody, DecompressLimits, PIECE_BYTES, request_coding};
pub use drain::{Drain, DrainSignal};
pub use head::{HeadLimits, check_head};
pub use held::HeldBody;
pub use in_flight::{InFlight, Permit};
pub use rate::RateLimiter;
pub use refusal::{BodyError, Counters, Reason, Refusal};
pub use slots::{ConnectionSlots, Slot, cap_for_fd_limit};
pub use stream::Transport;
pub use watch::BodyWatch;
