//! A response that may be taken back while it is on its way.

use std::fmt;
use std::sync::Arc;

/// Whether a response may go on. A service that puts one into the extensions of its response has
/// it asked about twice a second until the last byte is written; once the answer is no, what
/// is left of the response is thrown away: an HTTP/1 connection is closed, an HTTP/2 stream reset.
#[derive(Clone)]
pub struct Lease {
    holds: Arc<dyn Fn() -> bool + Send + Sync>,
    gives_way: bool,
}

impl Lease {
    /// A lease that holds as long as `holds` says so. It is asked nothing more after a no.
    pub fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            holds: Arc::new(holds),
            gives_way: true,
        }
    }

    /// That of a response which holds nothing that a newcomer could have: it moves as slowly as
    /// there is something to tell, and never [gives way](crate::SlowShare).
    pub fn of_a_waiter(self) -> Self {
        Self {
            gives_way: false,
            ..self
        }
    }

    pub(crate) fn holds(&self) -> bool {
        (self.holds)()
    }

    pub(crate) fn gives_way(&self) -> bool {
        self.gives_way
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease(…)")
    }
}
