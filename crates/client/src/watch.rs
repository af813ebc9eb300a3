//! Names as they change.

use std::mem;

use futures_util::stream::BoxStream;
use micronode_protocol::Address;

use crate::follow::Follow;
use crate::name::check_prefix;
use crate::transport::{Transport, Watch};
use crate::{Client, Error};

/// What a watch tells of the names that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameEvent {
    /// A name as it is now.
    Changed(NameChange),
    /// Everything has been told; what follows are changes as they happen.
    Synced,
    /// So many changes were missed; 0 where nobody knows how many, as after a connection that
    /// broke. Everything is told again until [`Synced`](Self::Synced), and a name that is not told
    /// by then is gone.
    Lagged(u64),
}

/// What has become of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The name.
    pub name: String,
    /// The object that it points at; `None` if it was removed.
    pub address: Option<Address>,
    /// Of this change; of two of the same name, the higher one counts.
    pub revision: u64,
}

impl Client {
    /// The names that begin with `prefix` as they are, and from then on as they change. Ends only
    /// with an error. Over HTTP it needs a token that allows `events` beside `name-read`, and what
    /// changes while a long list of names is fetched may have it begin anew.
    pub fn watch_names(&self, prefix: &str) -> BoxStream<'static, Result<NameEvent, Error>> {
        self.follow(Names {
            transport: self.transport.clone(),
            prefix: prefix.to_owned(),
            told: false,
        })
    }
}

struct Names {
    transport: Transport,
    prefix: String,
    /// Something was told.
    told: bool,
}

/// One way by which names are told.
struct Way {
    watch: Watch,
    /// It follows one that broke, and tells everything again.
    again: bool,
    held: Option<NameEvent>,
}

impl Follow for Names {
    type Feed = Way;
    type Item = NameEvent;

    async fn open(&mut self) -> Result<Way, Error> {
        check_prefix(&self.prefix)?;
        Ok(Way {
            watch: self.transport.watch(&self.prefix).await?,
            again: self.told,
            held: None,
        })
    }

    async fn next(&mut self, way: &mut Way) -> Result<NameEvent, Error> {
        if let Some(event) = way.held.take() {
            return Ok(event);
        }
        let event = way.watch.next().await?;
        self.told = true;
        if mem::take(&mut way.again) {
            way.held = Some(event);
            return Ok(NameEvent::Lagged(0));
        }
        Ok(event)
    }
}
