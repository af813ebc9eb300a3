//! One request and its answer over a blocking socket, seen as they are on the wire: for what is asked
//! beside a load, and is not what a client of the SDK would be shown.

pub(crate) mod http;
pub(crate) mod oap;

use std::time::Duration;

/// How long each step of a connection may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
