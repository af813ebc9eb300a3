//! The stream of events.

use http::{Method, header};
use serde::Deserialize;

use super::super::NOT_AN_EVENT;
use super::sse::{Parser, Sse};
use super::{AnswerBody, Http};
use crate::{BusEvent, Error, Event, TransportError};

/// What happens on a node, as it happens. A node says at least every two seconds that it lives.
pub(crate) struct Events {
    body: AnswerBody,
    parser: Parser,
}

#[derive(Deserialize)]
struct LaggedDocument {
    missed: u64,
}

impl Http {
    pub(in crate::transport) async fn events(&self, last: &str) -> Result<Events, Error> {
        let mut request = self.request(Method::GET, "/events");
        if !last.is_empty() {
            let last = header::HeaderValue::from_str(last).map_err(|_| NOT_AN_EVENT)?;
            request = request.header(header::HeaderName::from_static("last-event-id"), last);
        }
        let answer = self.answer(request).await?;
        let media_type = answer.header(header::CONTENT_TYPE);
        if !media_type.is_some_and(|it| it.starts_with("text/event-stream")) {
            return Err(Error::Protocol("it is no stream of events"));
        }
        Ok(Events {
            body: answer.body,
            parser: Parser::default(),
        })
    }
}

impl Events {
    pub(in crate::transport) async fn next(&mut self) -> Result<BusEvent, Error> {
        loop {
            if let Some(event) = self.parser.next()? {
                return told(event);
            }
            let piece = self.body.next().await?;
            self.parser.push(&piece.ok_or(TransportError::Truncated)?);
        }
    }
}

fn told(event: Sse) -> Result<BusEvent, Error> {
    if event.event == "lagged" {
        let lagged: LaggedDocument = serde_json::from_str(&event.data).map_err(|_| NOT_AN_EVENT)?;
        return Ok(BusEvent::Lagged(lagged.missed));
    }
    Ok(BusEvent::Event(Event {
        id: event.id,
        kind: event.event,
        data: event.data,
    }))
}
