//! Answers that go on until somebody ends them: messages, names and events as they come.
//!
//! A feed gives what is at hand, one item at a time, and otherwise wakes whoever carries it. It
//! holds a waiter's slot for as long as it lives.

mod events;
mod messages;
mod names;

use crate::node::Node;
use micronode_engine::bus::Event;
use micronode_engine::mailbox::Delivery;
use micronode_engine::names::NameEntry;
use micronode_protocol::Address;
use std::sync::Arc;
use std::task::Waker;

pub(crate) use events::EventFeed;
pub(crate) use messages::Subscription;
pub(crate) use names::Watch;

/// See the [module](self).
pub(crate) enum Feed {
    Messages(Subscription),
    Names(Watch),
    Events(EventFeed),
}

/// One thing that a feed tells.
pub(crate) enum Item {
    /// A message, which is leased now.
    Message(Delivery),
    /// Where a name points; one that was deleted points nowhere.
    Name(Change),
    /// All names have been told: what follows are changes.
    Synced,
    /// An event and its number.
    Event(u64, Arc<Event>),
    /// So many things were missed.
    Lagged(u64),
}

/// See [`Item::Name`].
pub(crate) struct Change {
    pub(crate) name: Arc<str>,
    pub(crate) address: Option<Address>,
    pub(crate) revision: u64,
}

impl From<NameEntry> for Change {
    fn from(entry: NameEntry) -> Self {
        Self {
            name: entry.name,
            address: Some(entry.address),
            revision: entry.revision,
        }
    }
}

impl Feed {
    /// Whether [`next`](Self::next) may have something; wakes when that changes.
    pub(crate) fn poll_ready(&mut self, waker: &Waker) -> bool {
        match self {
            Self::Messages(feed) => feed.poll_ready(waker),
            Self::Names(feed) => feed.poll_ready(waker),
            Self::Events(feed) => feed.poll_ready(waker),
        }
    }

    /// It cannot go on for now: a message that it was woken for is for somebody else.
    pub(crate) fn decline(&mut self) {
        if let Self::Messages(feed) = self {
            feed.decline();
        }
    }

    /// What is at hand; `None` to wait for more.
    pub(crate) fn next(&mut self, node: &Node) -> Option<Item> {
        match self {
            Self::Messages(feed) => feed.next(node),
            Self::Names(feed) => feed.next(node),
            Self::Events(feed) => feed.next(),
        }
    }
}
