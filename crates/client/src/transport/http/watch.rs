//! Names as they change, which over HTTP is a list of them and a stream of events. The stream is
//! opened first, so that nothing falls between the two.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;

use super::super::NOT_AN_EVENT;
use super::{Events, Http};
use crate::{BusEvent, Error, Event, NameChange, NameEvent};

pub(crate) struct Watch {
    http: Arc<Http>,
    prefix: String,
    events: Events,
    listed: Listed,
    /// The next page is behind this name; `None` when all were fetched.
    after: Option<String>,
    told: VecDeque<NameEvent>,
}

#[derive(Deserialize)]
struct ChangeDocument {
    name: String,
    address: Option<String>,
    revision: u64,
}

impl Watch {
    pub(in crate::transport) async fn open(http: &Arc<Http>, prefix: &str) -> Result<Self, Error> {
        Ok(Watch {
            events: http.events("").await?,
            http: Arc::clone(http),
            prefix: prefix.to_owned(),
            listed: Listed::default(),
            after: Some(String::new()),
            told: VecDeque::new(),
        })
    }

    pub(in crate::transport) async fn next(&mut self) -> Result<NameEvent, Error> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Ok(event);
            }
            match self.after.take() {
                Some(after) => self.list(&after).await?,
                None => match self.events.next().await? {
                    BusEvent::Event(event) => {
                        let change = change(&event)?;
                        let is_news = |it: &NameChange| {
                            it.name.starts_with(&self.prefix) && !self.listed.has(it)
                        };
                        self.told
                            .extend(change.filter(is_news).map(NameEvent::Changed));
                    }
                    BusEvent::Lagged(missed) => {
                        self.listed = Listed::default();
                        self.after = Some(String::new());
                        return Ok(NameEvent::Lagged(missed));
                    }
                },
            }
        }
    }

    /// Fetches the page behind this name.
    async fn list(&mut self, after: &str) -> Result<(), Error> {
        let page = self.http.list_names(&self.prefix, after).await?;
        let changed = page.entries.into_iter().map(|entry| NameChange {
            name: entry.name,
            address: Some(entry.address),
            revision: entry.revision,
        });
        for change in changed {
            self.listed.add(&change);
            self.told.push_back(NameEvent::Changed(change));
        }
        match page.next {
            Some(next) => {
                self.listed.end_page(&next);
                self.after = Some(next);
            }
            None => self.told.push_back(NameEvent::Synced),
        }
        Ok(())
    }
}

/// What an event says of a name, if it is about one.
fn change(event: &Event) -> Result<Option<NameChange>, Error> {
    if !matches!(event.kind.as_str(), "name.set" | "name.deleted") {
        return Ok(None);
    }
    let document: ChangeDocument = serde_json::from_str(&event.data).map_err(|_| NOT_AN_EVENT)?;
    let address = document.address.map(|address| address.parse());
    Ok(Some(NameChange {
        name: document.name,
        address: address.transpose().map_err(|_| NOT_AN_EVENT)?,
        revision: document.revision,
    }))
}

/// Which changes a list that was fetched page by page has in it: a page has all of its names up to
/// the highest revision on it, because it was read after that was given out.
#[derive(Debug, Default)]
struct Listed {
    /// Where each page but the last ends, and the highest revision up to there.
    pages: Vec<(String, u64)>,
    highest: u64,
}

impl Listed {
    fn add(&mut self, change: &NameChange) {
        self.highest = self.highest.max(change.revision);
    }

    fn end_page(&mut self, last: &str) {
        self.pages.push((last.to_owned(), self.highest));
    }

    fn has(&self, change: &NameChange) -> bool {
        let page = self.pages.partition_point(|(last, _)| *last < change.name);
        let highest = self.pages.get(page).map_or(self.highest, |(_, it)| *it);
        change.revision <= highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, revision: u64) -> NameChange {
        NameChange {
            name: name.into(),
            address: None,
            revision,
        }
    }

    /// With one revision for the whole list, a change of a name on an early page was lost when a
    /// later page had a younger one.
    #[test]
    fn a_page_has_what_happened_before_it_was_read_and_nothing_else() {
        let mut listed = Listed::default();
        assert!(!listed.has(&change("a", 1)));
        listed.add(&change("b", 4));
        listed.end_page("b");
        listed.add(&change("c", 9));
        listed.add(&change("d", 7));
        for (name, revision, expected) in [
            ("a", 3, true),
            ("b", 4, true),
            ("b", 5, false),
            ("bb", 5, true),
            ("d", 9, true),
            ("z", 9, true),
            ("z", 10, false),
        ] {
            assert_eq!(
                listed.has(&change(name, revision)),
                expected,
                "{name} {revision}"
            );
        }
    }
}
