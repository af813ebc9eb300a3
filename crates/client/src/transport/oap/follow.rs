//! What a node tells for as long as it is listened to: the changes of names, the messages of a
//! queue, and what happens.

use std::time::Duration;

use bytes::Bytes;
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::{BUS_EVENTS, MESSAGE_BYTES_MAX, OAP_PING};
use micronode_protocol::operation::{
    Delivery, EventFrame, EventsRequest, LaggedFrame, NameEntry, NameWatchRequest, Operation,
    SubscribeRequest,
};
use serde::Deserialize;

use super::super::{EVENT_BYTES, NOT_A_NAME, NOT_AN_EVENT, NOT_OF_A_QUEUE};
use super::call::Call;
use super::mailbox::{message, ms};
use super::notices::{Notice, Room};
use super::stream::Request;
use super::{Oap, On, Until};
use crate::{BusEvent, Error, Event, Message, NameChange, NameEvent};

/// For what may come faster than it is taken.
const PATIENT: Room = Room {
    notices: BUS_EVENTS,
    bytes: EVENT_BYTES,
    is_whole: |_| true,
    forgets: false,
};

/// Notices as they come. Dropping it cancels the stream.
struct Feed {
    call: Call,
    time: Duration,
}

impl Feed {
    async fn next(&self) -> Result<Notice, Error> {
        self.call.notice(self.time).await
    }
}

pub(crate) struct Watch(Feed);
pub(crate) struct Subscription(Feed);
pub(crate) struct Events(Feed);

#[derive(Deserialize)]
struct EventDocument {
    r#type: String,
}

impl Oap {
    pub(in crate::transport) async fn watch(&self, prefix: &str) -> Result<Watch, Error> {
        let mut fields = Vec::new();
        NameWatchRequest { prefix }.encode(&mut fields);
        let feed = self.follow(Operation::NameWatch, fields, PATIENT).await?;
        Ok(Watch(feed))
    }

    pub(in crate::transport) async fn events(&self, last_id: &str) -> Result<Events, Error> {
        let mut fields = Vec::new();
        EventsRequest { last_id }.encode(&mut fields);
        let feed = self.follow(Operation::Events, fields, PATIENT).await?;
        Ok(Events(feed))
    }

    pub(in crate::transport) async fn subscribe(
        &self,
        queue: &str,
        credit: u16,
        visibility: Duration,
    ) -> Result<Subscription, Error> {
        let mut fields = Vec::new();
        SubscribeRequest {
            queue,
            credit,
            visibility_ms: ms(visibility),
        }
        .encode(&mut fields);
        // The node sends another only when the lease of the oldest has ended.
        let room = Room {
            notices: credit.into(),
            bytes: MESSAGE_BYTES_MAX + Delivery::HEAD_BYTES_MAX,
            // What is no delivery at all is found out by who takes it.
            is_whole: |payload| !matches!(Delivery::parse(payload), Ok(None)),
            forgets: true,
        };
        let feed = self.follow(Operation::Subscribe, fields, room).await?;
        Ok(Subscription(feed))
    }

    async fn follow(
        &self,
        operation: Operation,
        fields: Vec<u8>,
        room: Room,
    ) -> Result<Feed, Error> {
        let time = self.0.options.timeouts.read;
        let on = if room.forgets { On::Waits } else { On::Own };
        let request = Request {
            operation,
            fields,
            body: Bytes::new(),
            last: true,
            allowed: 0,
            room: Some(room),
        };
        let call = self.open(request, on, Until::Begun(time)).await?;
        // A node that has nothing to tell says so, with a ping.
        let time = OAP_PING + time;
        Ok(Feed { call, time })
    }
}

/// How many were missed, if that is what a notice is about.
fn lagged(notice: &Notice) -> Result<Option<u64>, Error> {
    if notice.code != ErrorCode::RateLimited.status() {
        return Ok(None);
    }
    let frame = LaggedFrame::decode(&notice.payload).map_err(|_| NOT_AN_EVENT)?;
    Ok(Some(frame.missed))
}

impl Watch {
    pub(in crate::transport) async fn next(&mut self) -> Result<NameEvent, Error> {
        let notice = self.0.next().await?;
        if let Some(missed) = lagged(&notice)? {
            return Ok(NameEvent::Lagged(missed));
        }
        if notice.synced {
            return Ok(NameEvent::Synced);
        }
        let entry = NameEntry::decode(&notice.payload).map_err(|_| NOT_A_NAME)?;
        Ok(NameEvent::Changed(NameChange {
            name: entry.name.to_owned(),
            address: entry.address,
            revision: entry.revision,
        }))
    }
}

impl Subscription {
    pub(in crate::transport) async fn next(&mut self) -> Result<Message, Error> {
        let mut payload = self.0.next().await?.payload;
        let message = message(&mut payload)?;
        payload.is_empty().then_some(message).ok_or(NOT_OF_A_QUEUE)
    }
}

impl Events {
    pub(in crate::transport) async fn next(&mut self) -> Result<BusEvent, Error> {
        let notice = self.0.next().await?;
        if let Some(missed) = lagged(&notice)? {
            return Ok(BusEvent::Lagged(missed));
        }
        let parsed = EventFrame::parse(&notice.payload).map_err(|_| NOT_AN_EVENT)?;
        let (frame, length) = parsed.ok_or(NOT_AN_EVENT)?;
        let data = str::from_utf8(&notice.payload[length..]).map_err(|_| NOT_AN_EVENT)?;
        let document: EventDocument = serde_json::from_str(data).map_err(|_| NOT_AN_EVENT)?;
        Ok(BusEvent::Event(Event {
            id: frame.id.to_owned(),
            kind: document.r#type,
            data: data.to_owned(),
        }))
    }
}
