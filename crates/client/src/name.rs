//! Names: pointers to objects that can be moved, each move with a revision of its own.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use micronode_protocol::Address;
use micronode_protocol::name::{is_name, is_name_prefix};

use crate::{Client, Download, Error};

/// Where a name points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The object.
    pub address: Address,
    /// Of this setting of the name; the node gives no revision twice.
    pub revision: u64,
}

/// A name, and where it points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry {
    /// The name.
    pub name: String,
    /// The object.
    pub address: Address,
    /// Of this setting of the name.
    pub revision: u64,
}

/// What a name has to be for it to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// Not there.
    Absent,
    /// As it was set with this revision.
    Revision(u64),
}

impl Client {
    /// Where a name points now. Nothing here is verified: that the node moved the name by itself
    /// cannot be seen from here.
    pub async fn resolve(&self, name: &str) -> Result<Named, Error> {
        check_name(name)?;
        self.repeat(|| self.transport.resolve(name)).await
    }

    /// Points a name at an object that is on the node; the revision of that. Keeps the object from
    /// expiring and from being deleted as long as a name points at it.
    ///
    /// Is 412 where the name is not as `expected`. A setting under a condition is not repeated
    /// when it may have been made: after an answer that was lost, [`Client::resolve`] tells.
    pub async fn set_name(
        &self,
        name: &str,
        address: &Address,
        expected: Expected,
    ) -> Result<u64, Error> {
        check_name(name)?;
        let set = || self.transport.set_name(name, address, expected);
        match expected {
            Expected::Any => self.repeat(set).await,
            Expected::Absent | Expected::Revision(_) => self.repeat_refused(set).await,
        }
    }

    /// Removes a name, if given only as it was set with this `revision`: otherwise it is 412.
    /// When the answer of a first attempt was lost, the next may find no name and report 404; one
    /// under a condition is not repeated then.
    pub async fn remove_name(&self, name: &str, revision: Option<u64>) -> Result<(), Error> {
        check_name(name)?;
        let remove = || self.transport.remove_name(name, revision);
        match revision {
            None => self.repeat(remove).await,
            Some(_) => self.repeat_refused(remove).await,
        }
    }

    /// The names that begin with `prefix`, in the order of their bytes. They are fetched a page at
    /// a time, so that those behind may have changed meanwhile.
    pub fn names(&self, prefix: &str) -> BoxStream<'static, Result<NameEntry, Error>> {
        let (client, prefix) = (self.clone(), prefix.to_owned());
        stream::try_unfold(Some(String::new()), move |after| {
            let (client, prefix) = (client.clone(), prefix.clone());
            async move {
                let Some(after) = after else {
                    return Ok(None);
                };
                check_prefix(&prefix)?;
                let list = || client.transport.list_names(&prefix, &after);
                let page = client.repeat(list).await?;
                let entries = page.entries.into_iter().map(Ok);
                Ok::<_, Error>(Some((stream::iter(entries), page.next)))
            }
        })
        .try_flatten()
        .boxed()
    }

    /// Reads the object that a name points at now, to its end: a name that moves meanwhile
    /// changes nothing.
    pub async fn get_name(&self, name: &str) -> Result<Download, Error> {
        let named = self.resolve(name).await?;
        self.get(&named.address).await
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    is_name(name).then_some(()).ok_or_else(|| Error::Invalid {
        what: "a name",
        given: name.escape_debug().to_string(),
        rule: "1 to 255 bytes, segments of a-z, 0-9, `.`, `_` and `-` between slashes, none of them empty, `.` or `..`",
    })
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    is_name_prefix(prefix)
        .then_some(())
        .ok_or_else(|| Error::Invalid {
            what: "the beginning of a name",
            given: prefix.escape_debug().to_string(),
            rule: "segments of a-z, 0-9, `.`, `_` and `-` between slashes, none of them empty, `.` or `..`",
        })
}
