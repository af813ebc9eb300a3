//! Events as server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use crate::clock;
use crate::events;
use crate::feed::{Feed, Item};
use crate::node::Node;
use crate::readiness::State;
use bytes::Bytes;
use micronode_protocol::limits::SSE_HEARTBEAT;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Sleep, sleep};

/// A body that goes on until the peer or the node goes. A peer that does not read is not buffered
/// for: nothing is taken from the feed before there is room for it.
pub(crate) struct EventStream {
    node: Arc<Node>,
    feed: Box<Feed>,
    /// A line that means nothing is sent then: it shows both ends that the other is there.
    heartbeat: Pin<Box<Sleep>>,
}

impl EventStream {
    pub(super) fn new(node: Arc<Node>, feed: Box<Feed>) -> Self {
        Self {
            node,
            feed,
            heartbeat: Box::pin(sleep(SSE_HEARTBEAT)),
        }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.node.state() == State::Draining {
                return Poll::Ready(None);
            }
            if let Some(text) = self.feed.next(&self.node).and_then(|item| self.text(item)) {
                return Poll::Ready(Some(text.into()));
            }
            if self.feed.poll_ready(cx.waker()) {
                continue;
            }
            if self.heartbeat.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let next = clock::instant() + SSE_HEARTBEAT;
            self.heartbeat.as_mut().reset(next);
            return Poll::Ready(Some(Bytes::from_static(b":\n\n")));
        }
    }

    fn text(&self, item: Item) -> Option<String> {
        match item {
            Item::Event(number, event) => Some(format!(
                "id: {}\nevent: {}\ndata: {}\n\n",
                self.node.events.id(number),
                event.kind.as_str(),
                events::document(&event),
            )),
            Item::Lagged(missed) => {
                Some(format!("event: lagged\ndata: {{\"missed\":{missed}}}\n\n"))
            }
            Item::Message(_) | Item::Name(_) | Item::Synced => None,
        }
    }
}
