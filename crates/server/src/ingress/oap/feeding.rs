//! Feeds as EVENT frames: an item a turn, and none is taken from a feed before there is room for it.

use super::answer::encode_change;
use super::deliveries::encode_head;
use super::parked::Waiting;
use super::session::Session;
use super::terms::Terms;
use crate::events::document;
use crate::feed::{Feed, Item};
use crate::guard::admission::{READMISSION, readmit_at_once};
use bytes::Bytes;
use micronode_hardening::Transport;
use micronode_protocol::frame::HEADER_BYTES;
use micronode_protocol::limits::OAP_SMALL_BYTES;
use micronode_protocol::operation::{EventFrame, LaggedFrame, Operation};
use tokio::time::sleep;

/// The code of what comes of a feed ...
const ITEM: u16 = 200;
/// ... and of how much of it was missed.
const LAGGED: u16 = 429;

impl<I: Transport> Session<I> {
    /// The next item of the feed whose turn it is.
    pub(super) fn feed(&mut self, corr_id: u64) {
        let Some(stream) = self.parked.get_mut(corr_id) else {
            return;
        };
        let Waiting::Feed { feed, retry } = &mut stream.waiting else {
            return;
        };
        // However little comes of it.
        self.turn += OAP_SMALL_BYTES;
        // To lease a message is work like any other.
        let permits = match **feed {
            Feed::Messages(_) => {
                let Terms { cost, facet, .. } = Terms::of(Operation::Subscribe);
                readmit_at_once(&self.node, cost, facet).map(Some)
            }
            Feed::Names(_) | Feed::Events(_) => Ok(None),
        };
        let Ok(_permits) = permits else {
            *retry = Some(Box::pin(sleep(READMISSION)));
            // So that it is waited for.
            stream.waker.wake_by_ref();
            return;
        };
        *retry = None;
        let item = feed.next(&self.node);
        if feed.poll_ready(&stream.waker) {
            self.connection.want_turn(corr_id);
        }
        if let Some(item) = item {
            self.tell(corr_id, &item);
        }
    }

    fn tell(&mut self, corr_id: u64, item: &Item) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        let (code, mut body) = match item {
            Item::Message(message) => {
                encode_head(message, &mut fields);
                (ITEM, message.body.clone())
            }
            Item::Name(change) => {
                encode_change(change, &mut fields);
                (ITEM, Bytes::new())
            }
            Item::Synced => (ITEM, Bytes::new()),
            Item::Event(number, event) => {
                let id = self.node.events.id(*number);
                EventFrame { id: &id }.encode(&mut fields);
                (ITEM, document(event).into())
            }
            Item::Lagged(missed) => {
                LaggedFrame { missed: *missed }.encode(&mut fields);
                (LAGGED, Bytes::new())
            }
        };
        self.turn += body.len();
        let ack_req = matches!(item, Item::Synced);
        let room = self.node.limits.oap.max_frame - HEADER_BYTES;
        let first = body.split_to(body.len().min(room - fields.len()));
        let connection = &mut self.connection;
        connection.notify(corr_id, code, ack_req, &fields, first);
        // A message of the greatest length does not fit the greatest frame.
        while !body.is_empty() {
            let more = body.split_to(body.len().min(room));
            connection.notify(corr_id, code, false, &[], more);
        }
        self.fields = fields;
    }
}
