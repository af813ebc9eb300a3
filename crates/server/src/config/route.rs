//! Which events go into which queue (`[[routes]]`). Not for how they get there.
//!
//! In one line of text, as variables have it, a route is its fields in the order of
//! [`Route::FIELDS`] with `:` between them.

use std::fmt;

use micronode_engine::bus::EventKind;
use micronode_protocol::name::{QueueRef, is_name_prefix};

use super::authority::check_name;
use super::list::{ItemProblems, parse_all};
use super::problem::Reason;

/// Events that go into a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The events' type, one of [`EventKind::WORDS`].
    pub event: &'static str,
    /// What the names begin with that they are about; empty for all, and for events of other
    /// things.
    pub prefix: String,
    /// The queue.
    pub queue: String,
    /// What the route is called in metrics.
    pub name: String,
}

impl Route {
    /// The keys of an entry of `[[routes]]`.
    pub(super) const FIELDS: &[&str] = &["event", "prefix", "queue", "name"];

    /// Whether `text` will do for this field.
    pub(super) fn check_field(field: &str, text: &str) -> Result<(), Reason> {
        let given = || text.to_owned();
        match field {
            "event" => event(text).map(drop),
            "prefix" if is_name_prefix(text) => Ok(()),
            "prefix" => Err(Reason::Prefix { given: given() }),
            "queue" if QueueRef::parse(text).is_some_and(|queue| !queue.is_dead) => Ok(()),
            "queue" => Err(Reason::Queue { given: given() }),
            _ => check_name(text),
        }
    }

    /// All of them, no two with the same name.
    pub(super) fn parse_all(items: &[&str]) -> Result<Vec<Self>, ItemProblems> {
        parse_all(items, Self::parse, |earlier, route| {
            (earlier.name == route.name).then(|| Reason::SameRoute {
                name: route.name.clone(),
            })
        })
    }

    fn parse(text: &str) -> Result<Self, Reason> {
        let fields: Vec<&str> = text.split(':').collect();
        let [event_text, prefix, queue, name] = fields[..] else {
            return Err(Reason::RouteFields);
        };
        for (field, text) in [("event", event_text), ("queue", queue)] {
            if text.is_empty() {
                return Err(Reason::RouteWithout { field });
            }
        }
        for (field, text) in Self::FIELDS.iter().zip(&fields) {
            if !text.is_empty() {
                Self::check_field(field, text)?;
            }
        }
        let event = event(event_text)?;
        if !prefix.is_empty() && !event.starts_with("name.") {
            return Err(Reason::PrefixWithoutNames { event });
        }
        Ok(Self {
            event,
            prefix: prefix.to_owned(),
            queue: queue.to_owned(),
            name: if name.is_empty() { queue } else { name }.to_owned(),
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            event,
            prefix,
            queue,
            name,
        } = self;
        // Where it is the queue's it goes without saying, and may be longer than one that is said.
        let name = if name == queue { "" } else { name };
        write!(f, "{event}:{prefix}:{queue}:{name}")
    }
}

fn event(text: &str) -> Result<&'static str, Reason> {
    let word = EventKind::WORDS.into_iter().find(|word| *word == text);
    word.ok_or_else(|| Reason::Word {
        given: text.to_owned(),
        words: &EventKind::WORDS,
    })
}
