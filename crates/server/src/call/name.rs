//! The operations on names.

use super::CallError;
use crate::authority::Scope;
use micronode_engine::names::Expected;
use micronode_protocol::limits::LIST_NAMES;
use micronode_protocol::name::{is_name, is_name_prefix};
use micronode_protocol::{Address, ErrorCode};
use std::ops::Deref;
use std::sync::Arc;

/// A well-formed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(Arc<str>);

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, CallError> {
        if is_name(text) {
            return Ok(Self(text.into()));
        }
        Err(CallError::new(
            ErrorCode::BadName,
            "a name is 1 to 255 bytes of a-z, 0-9, '.', '_' and '-' in segments between '/', none \
             of them empty, '.' or '..'",
        ))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A name to be pointed at an object.
pub(crate) struct NameSet {
    pub(crate) name: Name,
    pub(crate) address: Address,
    pub(crate) expected: Expected,
}

/// A page of names.
pub(crate) struct NameList {
    pub(crate) prefix: String,
    /// The page begins behind this; empty for the first.
    pub(crate) after: String,
    pub(crate) limit: usize,
    pub(crate) scope: Scope,
}

impl NameList {
    /// A page as it was asked for.
    pub(crate) fn new(
        prefix: &str,
        after: &str,
        limit: usize,
        scope: Scope,
    ) -> Result<Self, CallError> {
        check_prefix(prefix)?;
        check_prefix(after)?;
        if !(1..=LIST_NAMES).contains(&limit) {
            return Err(CallError::new(
                ErrorCode::BadRequest,
                "limit: a page has 1 to 1000 names",
            ));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            after: after.to_owned(),
            limit,
            scope,
        })
    }
}

/// What names are asked to begin with.
pub(crate) fn check_prefix(text: &str) -> Result<(), CallError> {
    if is_name_prefix(text) {
        return Ok(());
    }
    Err(CallError::new(
        ErrorCode::BadName,
        "no name begins like this: names are a-z, 0-9, '.', '_' and '-' in segments between '/'",
    ))
}
