//! What is asked of names.

use http::{HeaderMap, Method, header};
use micronode_protocol::limits::{LIST_NAMES, NAME_BYTES};
use micronode_protocol::{Address, ErrorCode};
use serde::Deserialize;
use serde_json::json;

use super::super::{NOT_A_NAME, Page};
use super::{Http, Outgoing, value};
use crate::{Error, Expected, NameEntry, Named};

/// Bytes of one entry of a list, with room for white space and members to come.
const ENTRY_BYTES: usize = NAME_BYTES + 512;

/// Bytes of a list.
const LIST_BYTES: usize = LIST_NAMES * ENTRY_BYTES + 2 * ENTRY_BYTES;

#[derive(Deserialize)]
struct EntryDocument {
    name: String,
    address: String,
    revision: u64,
}

#[derive(Deserialize)]
struct ListDocument {
    names: Vec<EntryDocument>,
    next: Option<String>,
}

impl Http {
    pub(in crate::transport) async fn resolve(&self, name: &str) -> Result<Named, Error> {
        let answer = self.call(Method::HEAD, &format!("/n/{name}")).await;
        let answer = answer.map_err(explained)?;
        named(&answer.headers).ok_or(NOT_A_NAME)
    }

    pub(in crate::transport) async fn set_name(
        &self,
        name: &str,
        address: &Address,
        expected: Expected,
    ) -> Result<u64, Error> {
        let request = self
            .request(Method::PUT, &format!("/n/{name}"))
            .json(&json!({"address": address.to_string()}));
        let request = match expected {
            Expected::Any => request,
            Expected::Absent => request.header(header::IF_NONE_MATCH, value("*")),
            Expected::Revision(revision) => request.if_revision(revision),
        };
        let answer = self.answer(request).await?;
        let set: EntryDocument = answer.document(ENTRY_BYTES, NOT_A_NAME).await?;
        let is_it = set.name == name && set.address.parse() == Ok(*address);
        is_it.then_some(set.revision).ok_or(NOT_A_NAME)
    }

    pub(in crate::transport) async fn remove_name(
        &self,
        name: &str,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let mut request = self.request(Method::DELETE, &format!("/n/{name}"));
        if let Some(revision) = revision {
            request = request.if_revision(revision);
        }
        self.answer(request).await.map(drop)
    }

    pub(in crate::transport) async fn list_names(
        &self,
        prefix: &str,
        after: &str,
    ) -> Result<Page, Error> {
        let path = format!("/n?prefix={prefix}&after={after}&limit={LIST_NAMES}");
        let answer = self.call(Method::GET, &path).await?;
        let list: ListDocument = answer
            .document(LIST_BYTES, Error::Protocol("it is no list of names"))
            .await?;
        let entry = |it: EntryDocument| {
            Some(NameEntry {
                address: it.address.parse().ok()?,
                name: it.name,
                revision: it.revision,
            })
        };
        if list.next.as_deref().is_some_and(|next| next <= after) {
            return Err(NOT_A_NAME);
        }
        let entries: Option<Vec<_>> = list.names.into_iter().map(entry).collect();
        Ok(Page {
            entries: entries.ok_or(NOT_A_NAME)?,
            next: list.next,
        })
    }
}

impl Outgoing {
    fn if_revision(self, revision: u64) -> Self {
        self.header(header::IF_MATCH, value(format!("\"{revision}\"")))
    }
}

/// An answer to HEAD has no document, and here 404 has one meaning.
fn explained(mut error: Error) -> Error {
    if let Error::Problem(problem) = &mut error
        && problem.status == ErrorCode::NotFound.status()
        && problem.code.is_none()
    {
        problem.code = Some(ErrorCode::NotFound.as_str().to_owned());
        problem.detail = Some("no such name here".to_owned());
    }
    error
}

/// What the head of a read through a name says.
fn named(headers: &HeaderMap) -> Option<Named> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let location = text("content-location")?.strip_prefix("/o/")?;
    Some(Named {
        address: location.parse().ok()?,
        revision: text("name-revision")?.parse().ok()?,
    })
}
