//! Bounds on what a peer can make an HTTP service hold, wait for or compute.

mod body;
mod deadline;
mod head;
mod held;
mod in_flight;
mod rate;
mod refusal;
mod watch;

pub use body::{BodyPolicy, GuardedBody};
pub use deadline::Deadline;
pub use head::{HeadLimits, check_head};
pub use held::HeldBody;
pub use in_flight::{InFlight, Permit};
pub use rate::RateLimiter;
pub use refusal::{BodyError, Counters, Reason, Refusal};
pub use watch::BodyWatch;
