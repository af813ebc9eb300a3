//! Who makes a request: a token that is one of this node's, where it came from, and what it is
//! good for.

use super::body::Capped;
use super::failure::Failed;
use crate::call::{Call, CallBody, Command, Put};
use crate::config::Auth;
use crate::node::Node;
use micronode_engine::Now;
use micronode_protocol::capability::caveat::{Op, Ops};
use micronode_protocol::capability::keyring::BucketId;
use micronode_protocol::capability::{Access, Denied, Macaroon, Resource, Verified};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// See the [module](self). A connection of OAP keeps the one of its HELLO, so whether it still
/// stands is asked for every request.
pub(crate) struct Holder {
    token: Zeroizing<Vec<u8>>,
    verified: Verified,
    peer: IpAddr,
}

impl Holder {
    pub(super) fn new(token: Zeroizing<Vec<u8>>, verified: Verified, peer: IpAddr) -> Self {
        Self {
            token,
            verified,
            peer,
        }
    }

    /// Whether the token may still be used at all: its key lives, its grant is not revoked, and
    /// the caveats that are not about a request hold.
    pub(crate) fn stands(&self, auth: &Auth, now: Now) -> Result<(), Failed> {
        let Verified {
            identifier,
            rights,
            key_dies_ms,
            ..
        } = &self.verified;
        if key_dies_ms.is_some_and(|dies_ms| now.mono_ms >= dies_ms) {
            return Err(Failed::Key);
        }
        if let Some(grant) = &identifier.grant
            && auth.is_revoked(grant)
        {
            return Err(Failed::Revoked);
        }
        Ok(rights.hold(Duration::from_millis(now.wall_ms), self.peer)?)
    }

    /// Whether it may be used for this.
    pub(crate) fn allows(&self, access: &Access<'_>) -> Result<(), Failed> {
        Ok(self.verified.rights.allow(access)?)
    }

    /// Whether it may stand in a link to what is accessed.
    pub(super) fn fits_a_link(&self, access: &Access<'_>) -> bool {
        matches!(access.resource, Resource::Object(address)
            if self.verified.rights.fit_a_link_to(address))
    }

    /// Whether it may see one object at most.
    pub(crate) fn sees_one_object(&self) -> bool {
        self.verified.rights.is_for_one_object()
    }

    /// The rates that it draws on.
    pub(super) fn rates(&self) -> &[(BucketId, NonZeroU32)] {
        &self.verified.rates
    }

    /// What it says of itself, and what its caveats leave.
    pub(super) fn verified(&self) -> &Verified {
        &self.verified
    }

    pub(super) fn token(&self) -> Macaroon<'_> {
        Macaroon::parse(&self.token).expect("it has been parsed before")
    }

    /// A body of which no more may come than the token allows.
    pub(crate) fn cap(&self, node: &Arc<Node>, body: CallBody) -> CallBody {
        Capped::around(body, self.verified.rights.max_bytes(), node)
    }

    /// The call as far as the token covers it, now that it is known what it is done to: an error
    /// if it does not, of many objects those that are covered, and no more of a body than it may
    /// have.
    pub(crate) fn narrow(&self, node: &Arc<Node>, call: Call) -> Result<Call, Failed> {
        let covers = |resource| self.verified.rights.covers(resource);
        let most = self.verified.rights.max_bytes();
        Ok(match call {
            Call::Echo { body } => {
                covers(Resource::None)?;
                let body = self.cap(node, body);
                Call::Echo { body }
            }
            Call::Put(put) => {
                covers(
                    put.expected
                        .as_ref()
                        .map_or(Resource::None, Resource::Object),
                )?;
                if put.declared.is_some_and(|declared| declared > most) {
                    return Err(Denied::MaxBytes.into());
                }
                let body = self.cap(node, put.body);
                Call::Put(Put { body, ..put })
            }
            Call::Command(command) => Call::Command(self.narrow_command(command)?),
        })
    }

    fn narrow_command(&self, mut command: Command) -> Result<Command, Failed> {
        let covers = |resource| self.verified.rights.covers(resource);
        match &mut command {
            Command::Get { address } | Command::Delete { address } => {
                covers(Resource::Object(address))?;
            }
            Command::Has { addresses } => {
                let rights = &self.verified.rights;
                for place in addresses {
                    *place = place.filter(|it| rights.covers(Resource::Object(it)).is_ok());
                }
            }
            Command::Ping | Command::Mint(_) => covers(Resource::None)?,
            // The grant is its own authority.
            Command::Exchange { .. } => {}

            // What it points at is judged when it is known.
            Command::NameGet { name, .. } | Command::NameRead { name, .. } => {
                covers(Resource::Pointer(name, None))?;
            }
            // Whoever points a name at an object shows it to those who read names, so they must be
            // allowed to read it themselves. Nobody else learns whether it is there.
            Command::NameSet(set) => {
                let access = Access {
                    ops: Ops::of(&[Op::Get]),
                    resource: Resource::Pointer(&set.name, Some(&set.address)),
                    body: 0,
                };
                self.verified.rights.allow(&access)?;
            }
            Command::NameDelete { name, .. } => covers(Resource::Name(name))?,
            // These show what is covered, and nothing else.
            Command::NameList(_) | Command::NameWatch { .. } | Command::Events { .. } => {}

            Command::Send(send) => {
                covers(Resource::Queue(send.queue.text()))?;
                if send.body.len() as u64 > self.verified.rights.max_bytes() {
                    return Err(Denied::MaxBytes.into());
                }
            }
            Command::Receive(receive) => covers(Resource::Queue(receive.queue.text()))?,
            Command::Subscribe(subscribe) => covers(Resource::Queue(subscribe.queue.text()))?,
            Command::Settle(settle) => covers(Resource::Queue(settle.queue.text()))?,
            Command::QueueStats { queue }
            | Command::Purge { queue }
            | Command::Redrive { queue, .. } => {
                covers(Resource::Queue(queue.text()))?;
            }
        }
        Ok(command)
    }
}
