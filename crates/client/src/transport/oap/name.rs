//! What is asked of names.

use bytes::Bytes;
use micronode_protocol::Address;
use micronode_protocol::limits::{LIST_NAMES, NAME_BYTES};
use micronode_protocol::operation::{
    EXPECT_ABSENT, EXPECT_ANY, NameDeleteRequest, NameEntry as Entry, NameListRequest, NameReply,
    NameRequest, NameSetReply, NameSetRequest, Operation,
};

use super::super::{NOT_A_NAME, Page};
use super::Oap;
use crate::{Error, Expected, NameEntry, Named};

/// Most bytes of one entry of a list.
const ENTRY_BYTES: usize = 2 + NAME_BYTES + 32 + 8;

impl Oap {
    pub(in crate::transport) async fn resolve(&self, name: &str) -> Result<Named, Error> {
        let mut fields = Vec::new();
        NameRequest { name }.encode(&mut fields);
        let answer = self
            .ask(Operation::NameGet, fields, Bytes::new(), 32 + 8)
            .await?;
        let reply = NameReply::decode(&answer).map_err(|_| NOT_A_NAME)?;
        Ok(Named {
            address: reply.address,
            revision: reply.revision,
        })
    }

    pub(in crate::transport) async fn set_name(
        &self,
        name: &str,
        address: &Address,
        expected: Expected,
    ) -> Result<u64, Error> {
        let mut fields = Vec::new();
        NameSetRequest {
            name,
            address: *address,
            expected: match expected {
                Expected::Any => EXPECT_ANY,
                Expected::Absent => EXPECT_ABSENT,
                Expected::Revision(revision) => check_revision(revision)?,
            },
        }
        .encode(&mut fields);
        let answer = self
            .ask(Operation::NameSet, fields, Bytes::new(), 8)
            .await?;
        let reply = NameSetReply::decode(&answer).map_err(|_| NOT_A_NAME)?;
        Ok(reply.revision)
    }

    pub(in crate::transport) async fn remove_name(
        &self,
        name: &str,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let mut fields = Vec::new();
        NameDeleteRequest {
            name,
            expected: revision.map_or(Ok(EXPECT_ANY), check_revision)?,
        }
        .encode(&mut fields);
        self.ask(Operation::NameDelete, fields, Bytes::new(), 0)
            .await
            .map(drop)
    }

    pub(in crate::transport) async fn list_names(
        &self,
        prefix: &str,
        after: &str,
    ) -> Result<Page, Error> {
        let mut fields = Vec::new();
        NameListRequest {
            prefix,
            after,
            limit: LIST_NAMES as u16,
        }
        .encode(&mut fields);
        let limit = LIST_NAMES * ENTRY_BYTES;
        let answer = self
            .ask(Operation::NameList, fields, Bytes::new(), limit)
            .await?;
        let (mut entries, mut rest) = (Vec::new(), &answer[..]);
        while let Some((entry, length)) = Entry::parse(rest).map_err(|_| NOT_A_NAME)? {
            entries.push(NameEntry {
                name: entry.name.to_owned(),
                address: entry.address.ok_or(NOT_A_NAME)?,
                revision: entry.revision,
            });
            rest = &rest[length..];
        }
        let last = entries.last().map(|entry| entry.name.as_str());
        if !rest.is_empty() || last.is_some_and(|last| last <= after) {
            return Err(NOT_A_NAME);
        }
        // A page that is not full is the last one.
        let next = last.filter(|_| entries.len() >= LIST_NAMES);
        Ok(Page {
            next: next.map(str::to_owned),
            entries,
        })
    }
}

/// Two numbers mean something else than a revision. No name ever has one of them.
fn check_revision(revision: u64) -> Result<u64, Error> {
    match revision {
        EXPECT_ABSENT | EXPECT_ANY => Err(Error::Invalid {
            what: "a revision",
            given: revision.to_string(),
            rule: "the node counts from 1, and will not get that far",
        }),
        _ => Ok(revision),
    }
}
