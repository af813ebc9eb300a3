//! What of many things a request may see and touch: what its holder's capability covers.

use super::failure::Failed;
use super::holder::Holder;
use crate::call::CallError;
use crate::node::Node;
use micronode_protocol::capability::Resource;
use std::borrow::Cow;
use std::sync::Arc;

/// See the [module](self). It outlives its request where an answer goes on: a list that is sent
/// page by page, a subscription, a stream of events.
#[derive(Clone)]
pub(crate) struct Scope(Option<Arc<Holder>>);

impl Scope {
    /// That of a holder; without one everything is in it, as for who needs no token.
    pub(crate) fn of(holder: Option<&Arc<Holder>>) -> Self {
        Self(holder.cloned())
    }

    /// Whether it is in it.
    pub(crate) fn shows(&self, resource: Resource<'_>) -> bool {
        self.denied(resource).is_ok()
    }

    /// The same, of something that was asked for: a refusal is counted.
    pub(crate) fn covers(&self, node: &Node, resource: Resource<'_>) -> Result<(), CallError> {
        self.denied(resource)
            .map_err(|failed| node.authority.deny(failed))
    }

    fn denied(&self, resource: Resource<'_>) -> Result<(), Failed> {
        match &self.0 {
            Some(holder) => Ok(holder.verified().rights.covers(resource)?),
            None => Ok(()),
        }
    }

    /// What the names in it that begin with `asked` begin with; `None` if there are none.
    pub(crate) fn names_under<'a>(&'a self, asked: &'a str) -> Option<Cow<'a, str>> {
        let Some(holder) = &self.0 else {
            return Some(asked.into());
        };
        let own = holder.verified().rights.name_prefix()?;
        if asked.starts_with(own) {
            Some(asked.into())
        } else {
            own.starts_with(asked).then(|| own.into())
        }
    }

    /// Who it is, for what is theirs alone.
    pub(crate) fn holder_id(&self) -> [u8; 32] {
        let holder = self.0.as_ref();
        holder.map_or([0; 32], |holder| holder.verified().identifier.holder())
    }
}
