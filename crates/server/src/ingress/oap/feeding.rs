//! Feeds as EVENT frames: an item a turn, and none is taken from a feed before there is room for it.

use super::answer::{chunk, encode_change};
use super::deliveries::encode_head;
use super::parked::Waiting;
use super::session::Session;
use super::terms::Terms;
use crate::events::document;
use crate::feed::{Feed, Item};
use crate::guard::admission::{Readmission, readmit_at_once};
use crate::node::Node;
use bytes::Bytes;
use micronode_hardening::Transport;
use micronode_protocol::limits::OAP_SMALL_BYTES;
use micronode_protocol::operation::{EventFrame, LaggedFrame, Operation};

/// The code of what comes of a feed ...
const ITEM: u16 = 200;
/// ... and of how much of it was missed.
const LAGGED: u16 = 429;

impl<I: Transport> Session<I> {
    /// The next item of the feed whose turn it is, or the next chunk of one.
    pub(super) fn feed(&mut self, corr_id: u64) {
        self.parked.called.retain(|called| *called != corr_id);
        let Some(stream) = self.parked.get_mut(corr_id) else {
            return;
        };
        let Waiting::Feed(feeding) = &mut stream.waiting else {
            return;
        };
        // However little comes of it.
        self.turn += OAP_SMALL_BYTES;
        if !feeding.rest.is_empty() {
            let more = chunk(&mut feeding.rest);
            self.turn += more.len();
            self.connection.notify(corr_id, ITEM, false, &[], more);
            // There may be another item behind it.
            return self.connection.want_turn(corr_id);
        }
        // To lease a message is work like any other.
        let permits = match *feeding.feed {
            Feed::Messages(_) => {
                let Terms { cost, facet, .. } = Terms::of(Operation::Subscribe);
                readmit_at_once(&self.node, cost, facet).map(Some)
            }
            Feed::Names(_) | Feed::Events(_) => Ok(None),
        };
        let Ok(_permits) = permits else {
            feeding.retry = Some(Box::pin(feeding.readmission.pause()));
            // So that it is waited for.
            return stream.waker.wake_by_ref();
        };
        feeding.readmission = Readmission::default();
        let item = feeding.feed.next(&self.node);
        let (code, ack_req, mut body) = match item {
            Some(item) => encode(&self.node, item, &mut self.fields),
            None => return stream.waker.wake_by_ref(),
        };
        let first = chunk(&mut body);
        self.turn += first.len();
        let is_whole = body.is_empty();
        feeding.rest = body;
        if !is_whole {
            self.connection.want_turn(corr_id);
        } else if feeding.feed.poll_ready(&stream.waker) {
            self.want_feed(corr_id);
        }
        let fields = &self.fields;
        self.connection
            .notify(corr_id, code, ack_req, fields, first);
    }
}

/// What an item is in its first frame: the code, whether it is to be acted on, and its body, behind
/// what is written into `fields`.
fn encode(node: &Node, item: Item, fields: &mut Vec<u8>) -> (u16, bool, Bytes) {
    fields.clear();
    match item {
        Item::Message(message) => {
            encode_head(&message, fields);
            (ITEM, false, message.body)
        }
        Item::Name(change) => {
            encode_change(&change, fields);
            (ITEM, false, Bytes::new())
        }
        Item::Synced => (ITEM, true, Bytes::new()),
        Item::Event(number, event) => {
            let id = node.events.id(number);
            EventFrame { id: &id }.encode(fields);
            (ITEM, false, document(&event).into())
        }
        Item::Lagged(missed) => {
            LaggedFrame { missed }.encode(fields);
            (LAGGED, false, Bytes::new())
        }
    }
}
