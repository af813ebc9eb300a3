//! Names under a prefix: all that there are, then their changes; after lag, all of them again.
//!
//! Changes come from the bus, the snapshot from the index, page by page, and both go on at once.
//! What of a page is newer than the snapshot's begin is left out of it, since its change is still
//! to come: so no name ever goes back to an older revision.

use super::{Change, Item};
use crate::authority::Scope;
use crate::call::CallError;
use crate::events::shown;
use crate::node::Node;
use micronode_engine::bus::{self, Cursor, Event, EventKind};
use micronode_engine::names::NameEntry;
use micronode_hardening::Permit;
use micronode_protocol::capability::Resource;
use micronode_protocol::limits::LIST_NAMES_DEFAULT;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::vec;

/// See the [module](self).
pub(crate) struct Watch {
    cursor: Cursor,
    /// What the names asked for begin with; `None` if the capability covers none of them.
    prefix: Option<String>,
    scope: Scope,
    snapshot: Option<Snapshot>,
    /// Changes up to here are in what has been told.
    told: u64,
    found: Option<Item>,
    _slot: Permit,
}

/// Names on their way.
struct Snapshot {
    page: vec::IntoIter<NameEntry>,
    after: String,
    more: bool,
}

impl Watch {
    pub(crate) fn new(node: &Node, prefix: &str, scope: Scope) -> Result<Self, CallError> {
        let slot = node.waiter()?;
        let prefix = scope.names_under(prefix).map(std::borrow::Cow::into_owned);
        let mut watch = Self {
            cursor: node.events.bus.subscribe(),
            prefix,
            scope,
            snapshot: None,
            told: 0,
            found: None,
            _slot: slot,
        };
        watch.begin(node);
        Ok(watch)
    }

    /// A snapshot from now on; the cursor is at or before now already.
    fn begin(&mut self, node: &Node) {
        self.told = node.names.revision();
        self.snapshot = Some(Snapshot {
            page: Vec::new().into_iter(),
            after: String::new(),
            more: self.prefix.is_some(),
        });
    }

    pub(super) fn poll_ready(&mut self, waker: &Waker) -> bool {
        if self.snapshot.is_some() {
            return true;
        }
        while self.found.is_none() {
            self.found = match self.cursor.poll_next(waker) {
                Poll::Pending => return false,
                Poll::Ready(bus::Item::Lagged(missed)) => Some(Item::Lagged(missed)),
                Poll::Ready(bus::Item::Event(_, event)) => self.change(event).map(Item::Name),
            };
        }
        true
    }

    pub(super) fn next(&mut self, node: &Node) -> Option<Item> {
        if self.snapshot.is_some() {
            return self.next_of_snapshot(node);
        }
        if self.found.is_none() {
            self.poll_ready(Waker::noop());
        }
        let item = self.found.take();
        if matches!(item, Some(Item::Lagged(_))) {
            self.begin(node);
        }
        item
    }

    /// Looks through one page at most. There may be more when nothing is found: others have a turn.
    fn next_of_snapshot(&mut self, node: &Node) -> Option<Item> {
        let snapshot = self.snapshot.as_mut()?;
        if snapshot.page.len() == 0 && snapshot.more {
            let prefix = self.prefix.as_deref().unwrap_or_default();
            let mut page = Vec::new();
            let names = &node.names;
            snapshot.more = names.list(prefix, &snapshot.after, LIST_NAMES_DEFAULT, &mut page);
            if let Some(last) = page.last() {
                snapshot.after = last.name.to_string();
            }
            snapshot.page = page.into_iter();
        }
        let found = snapshot.page.find(|entry| {
            let pointer = Resource::Pointer(&entry.name, Some(&entry.address));
            entry.revision <= self.told && self.scope.shows(pointer)
        });
        if found.is_none() && !snapshot.more {
            self.snapshot = None;
            return Some(Item::Synced);
        }
        found.map(|entry| Item::Name(entry.into()))
    }

    /// The change that an event is, if it is covered, asked for, and news.
    fn change(&self, event: Arc<Event>) -> Option<Change> {
        let prefix = self.prefix.as_deref()?;
        let event = shown(event, &self.scope)?;
        let (name, address, revision) = match &event.kind {
            EventKind::NameSet {
                name,
                address,
                revision,
                ..
            } => (name, Some(*address), *revision),
            EventKind::NameDeleted { name, revision, .. } => (name, None, *revision),
            _ => return None,
        };
        (revision > self.told && name.starts_with(prefix)).then(|| Change {
            name: Arc::clone(name),
            address,
            revision,
        })
    }
}
