//! Names as they change.

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

impl Follow for Names {
    type Feed = Watch;
    type Item = NameEvent;

    fn missed(&self) -> Option<NameEvent> {
        self.told.then_some(NameEvent::Lagged(0))
    }

    async fn open(&mut self) -> Result<Watch, Error> {
        check_prefix(&self.prefix)?;
        self.transport.watch(&self.prefix).await
    }

    async fn next(&mut self, watch: &mut Watch) -> Result<NameEvent, Error> {
        let event = watch.next().await?;
        self.told = true;
        Ok(event)
    }
}
