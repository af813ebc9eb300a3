//! Events as they come, as far as a capability covers them.

use super::Item;
use crate::authority::Scope;
use crate::call::CallError;
use crate::events::shown;
use crate::node::Node;
use micronode_engine::bus::{self, Cursor};
use micronode_hardening::Permit;
use std::task::{Poll, Waker};

/// See the [module](self).
pub(crate) struct EventFeed {
    cursor: Cursor,
    scope: Scope,
    /// What has been found, until it is taken.
    found: Option<Item>,
    _slot: Permit,
}

impl EventFeed {
    /// What follows the event with this id; what has been missed since is told first.
    pub(crate) fn new(node: &Node, after: Option<&str>, scope: Scope) -> Result<Self, CallError> {
        let slot = node.waiter()?;
        let events = &node.events;
        let cursor = match after {
            None => events.bus.subscribe(),
            Some(id) => events.bus.resume(events.number(id)),
        };
        Ok(Self {
            cursor,
            scope,
            found: None,
            _slot: slot,
        })
    }

    pub(super) fn poll_ready(&mut self, waker: &Waker) -> bool {
        while self.found.is_none() {
            self.found = match self.cursor.poll_next(waker) {
                Poll::Pending => return false,
                Poll::Ready(bus::Item::Lagged(missed)) => Some(Item::Lagged(missed)),
                Poll::Ready(bus::Item::Event(number, event)) => {
                    shown(event, &self.scope).map(|event| Item::Event(number, event))
                }
            };
        }
        true
    }

    pub(super) fn next(&mut self) -> Option<Item> {
        if self.found.is_none() {
            self.poll_ready(Waker::noop());
        }
        self.found.take()
    }
}
