//! What all the caveats of a token leave. Each one narrows what the others allow, so together they
//! are one intersection, whatever their number and order.

use std::net::IpAddr;
use std::time::Duration;

use super::caveat::{Caveat, Op, Ops};
use super::network::Network;
use crate::Address;

/// Why a token does not allow something: the key of the caveat that is in the way, never more of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Denied {
    /// `op`: another operation.
    Op,
    /// `obj`: another object, or none.
    Obj,
    /// `name`: another name, or none.
    Name,
    /// `queue`: another queue, or none.
    Queue,
    /// `before`: too late.
    Before,
    /// `after`: too early.
    After,
    /// `max-bytes`: a longer body.
    MaxBytes,
    /// `peer`: from elsewhere.
    Peer,
    /// A caveat that is not known, or does not parse.
    Unknown,
}

/// What a request wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The operations of which one has to be allowed; none for what any valid token allows (echo,
    /// ping).
    pub ops: Ops,
    /// What it is done to.
    pub resource: Resource<'a>,
    /// Bytes of its body, as far as they are known.
    pub body: u64,
}

/// What an operation is done to.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// Nothing of what caveats name.
    None,
    /// An object.
    Object(&'a Address),
    /// A name.
    Name(&'a str),
    /// A name together with the object that it points at; `None` while that is not known, which
    /// leaves it to be asked about.
    Pointer(&'a str, Option<&'a Address>),
    /// A queue.
    Queue(&'a str),
    /// Many objects or names of which only those allowed are shown, or one that is not known yet:
    /// [`Rights::covers`] decides on each.
    Each,
}

/// A restriction to one of many.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Only<T> {
    Any,
    One(T),
    /// Two that exclude each other.
    None,
}

impl<T: PartialEq> Only<T> {
    fn narrow(&mut self, value: T) {
        *self = match std::mem::replace(self, Self::None) {
            Self::Any => Self::One(value),
            Self::One(other) if other == value => Self::One(other),
            _ => Self::None,
        };
    }

    fn allows(&self, is_it: impl FnOnce(&T) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::One(value) => is_it(value),
            Self::None => false,
        }
    }
}

/// See the [module](self). Rates are not a part: they are spent, not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    ops: Ops,
    object: Only<Address>,
    name: Only<Box<str>>,
    queue: Only<Box<str>>,
    before: Option<Duration>,
    after: Duration,
    max_bytes: u64,
    network: Only<Network>,
    /// A caveat was not understood.
    unknown: bool,
}

impl Default for Rights {
    /// Everything: a token without caveats.
    fn default() -> Self {
        Self {
            ops: Ops::ALL,
            object: Only::Any,
            name: Only::Any,
            queue: Only::Any,
            before: None,
            after: Duration::ZERO,
            max_bytes: u64::MAX,
            network: Only::Any,
            unknown: false,
        }
    }
}

impl Rights {
    /// Takes away what the caveat does not allow; `None` is one that was not understood.
    pub fn narrow(&mut self, caveat: Option<&Caveat<'_>>) {
        match caveat {
            Some(Caveat::Op(ops)) => self.ops = self.ops.and(*ops),
            Some(Caveat::Obj(address)) => self.object.narrow(*address),
            Some(Caveat::Name(prefix)) => self.narrow_name(prefix),
            Some(Caveat::Queue(queue)) => self.queue.narrow((*queue).into()),
            Some(Caveat::Before(time)) => {
                self.before = Some(self.before.map_or(*time, |other| other.min(*time)));
            }
            Some(Caveat::After(time)) => self.after = self.after.max(*time),
            Some(Caveat::MaxBytes(bytes)) => self.max_bytes = self.max_bytes.min(*bytes),
            Some(Caveat::Peer(network)) => {
                self.network = match std::mem::replace(&mut self.network, Only::None) {
                    Only::Any => Only::One(*network),
                    Only::One(other) => other.and(*network).map_or(Only::None, Only::One),
                    Only::None => Only::None,
                };
            }
            Some(Caveat::Rps(_)) => {}
            None => self.unknown = true,
        }
    }

    /// Of two prefixes the longer is left, if it begins with the other.
    fn narrow_name(&mut self, prefix: &str) {
        match &self.name {
            Only::Any => self.name = Only::One(prefix.into()),
            Only::One(other) if other.starts_with(prefix) => {}
            Only::One(other) if prefix.starts_with(&**other) => {
                self.name = Only::One(prefix.into());
            }
            Only::One(_) | Only::None => self.name = Only::None,
        }
    }

    /// Whether the token may be used at all: now, since the Unix epoch, and from there.
    pub fn hold(&self, now: Duration, peer: IpAddr) -> Result<(), Denied> {
        if self.unknown {
            return Err(Denied::Unknown);
        }
        if now < self.after {
            return Err(Denied::After);
        }
        if self.before.is_some_and(|before| now >= before) {
            return Err(Denied::Before);
        }
        if !self.network.allows(|network| network.contains(peer)) {
            return Err(Denied::Peer);
        }
        Ok(())
    }

    /// Whether it may be used for this.
    pub fn allow(&self, access: &Access<'_>) -> Result<(), Denied> {
        if !access.ops.is_empty() && self.ops.and(access.ops).is_empty() {
            return Err(Denied::Op);
        }
        if access.body > self.max_bytes {
            return Err(Denied::MaxBytes);
        }
        self.covers(access.resource)
    }

    /// Whether it may be used on this. A restriction to things of one kind rules out all others.
    pub fn covers(&self, resource: Resource<'_>) -> Result<(), Denied> {
        let (object, name, queue) = match resource {
            Resource::None => (None, None, None),
            Resource::Object(address) => (Some(address), None, None),
            Resource::Name(name) => (None, Some(name), None),
            Resource::Pointer(name, object) => (object, Some(name), None),
            Resource::Queue(queue) => (None, None, Some(queue)),
            Resource::Each => return Ok(()),
        };
        let object_is_open = matches!(resource, Resource::Pointer(_, None));
        let checks = [
            (
                object_is_open || self.object.allows(|only| object == Some(only)),
                Denied::Obj,
            ),
            (
                self.name
                    .allows(|prefix| name.is_some_and(|name| name.starts_with(&**prefix))),
                Denied::Name,
            ),
            (self.queue.allows(|only| queue == Some(only)), Denied::Queue),
        ];
        let denied = checks.into_iter().find(|(allows, _)| !allows);
        denied.map_or(Ok(()), |(_, denied)| Err(denied))
    }

    /// What every name begins with that it may be used on; `None` if there is no such name.
    pub fn name_prefix(&self) -> Option<&str> {
        match (&self.name, &self.queue) {
            (_, Only::One(_) | Only::None) | (Only::None, _) => None,
            (Only::Any, Only::Any) => Some(""),
            (Only::One(prefix), Only::Any) => Some(prefix),
        }
    }

    /// Whether it may be used on one object at most.
    pub fn is_for_one_object(&self) -> bool {
        !matches!(self.object, Only::Any)
    }

    /// The largest body.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// When it ends, since the Unix epoch; `None` for never.
    pub fn before(&self) -> Option<Duration> {
        self.before
    }

    /// Whether it may stand in a link: for this object alone, to read or describe it, and not for
    /// ever.
    pub fn fit_a_link_to(&self, address: &Address) -> bool {
        let more = Op::ALL
            .iter()
            .any(|op| !matches!(op, Op::Get | Op::Head) && self.ops.has(*op));
        !more && self.before.is_some() && self.object == Only::One(*address)
    }
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
