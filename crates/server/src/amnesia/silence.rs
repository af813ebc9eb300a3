//! Panics that say where, and not what: the message of a panic may have anything in it, and the
//! library that panics does not know of our promises.

use crate::log;
use std::panic;

/// From now on a panic of any thread is one line of the log.
pub(crate) fn on_panic() {
    panic::set_hook(Box::new(|panic| {
        log::panicked(panic.location());
    }));
}
