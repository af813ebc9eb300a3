//! What happens on a node, told as it does.

use futures_util::stream::BoxStream;

use crate::follow::Follow;
use crate::transport::{Events, Transport};
use crate::{Client, Error};

/// What a stream of events tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// Something happened.
    Event(Event),
    /// So many events were missed; 0 where nobody knows how many, as after a restart of the node,
    /// or after a connection that broke before its first event.
    Lagged(u64),
}

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// To go on behind it.
    pub id: String,
    /// What happened, such as `name.set` or `object.put`.
    pub kind: String,
    /// The event, a JSON object.
    pub data: String,
}

impl Client {
    /// What happens on the node: behind the event with the id `after`, or from now on. Ends only
    /// with an error; after an interruption it goes on behind the last event that came.
    pub fn events(&self, after: Option<&str>) -> BoxStream<'static, Result<BusEvent, Error>> {
        self.follow(AllEvents {
            transport: self.transport.clone(),
            last: after.unwrap_or_default().to_owned(),
            opened: false,
        })
    }
}

struct AllEvents {
    transport: Transport,
    last: String,
    /// It was listened to.
    opened: bool,
}

impl Follow for AllEvents {
    type Feed = Events;
    type Item = BusEvent;

    /// Without an event to go on behind, what happened in between is not told.
    fn missed(&self) -> Option<BusEvent> {
        (self.opened && self.last.is_empty()).then_some(BusEvent::Lagged(0))
    }

    async fn open(&mut self) -> Result<Events, Error> {
        let events = self.transport.events(&self.last).await?;
        self.opened = true;
        Ok(events)
    }

    async fn next(&mut self, events: &mut Events) -> Result<BusEvent, Error> {
        let event = events.next().await?;
        if let BusEvent::Event(event) = &event {
            event.id.clone_into(&mut self.last);
        }
        Ok(event)
    }
}
