//! Operations on objects that move none of their bytes.

use std::time::Duration;

use micronode_protocol::Address;
use micronode_protocol::limits::HAS_ADDRESSES;
use micronode_protocol::manifest::{Manifest, VerifiedManifest};

use crate::{Client, Error, Integrity};

/// Largest object that can be read, 128 GiB; bounds the manifest held in memory (64 MiB).
const OBJECT_BYTES: u64 = 128 << 30;

/// What a node says about an object without sending it. Nothing here is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size in bytes.
    pub size: u64,
    /// The media type kept with the object.
    pub content_type: Option<String>,
    /// For how long the node will keep the object at least. A year stands for ever. Over OAP,
    /// which tells a date, it is as right as the clock of this host.
    pub kept_for: Option<Duration>,
}

impl ObjectInfo {
    /// What a node reports of an object that does not expire.
    pub const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
}

impl Client {
    /// What the node says about an object.
    pub async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        self.repeat(|| self.transport.head(address)).await
    }

    /// The manifest of an object, verified against the address: what it takes to verify any part
    /// of the object.
    pub async fn manifest(&self, address: &Address) -> Result<VerifiedManifest, Error> {
        let limit = Manifest::encoded_len(OBJECT_BYTES) as usize;
        let wire = self
            .repeat(|| self.transport.manifest(address, limit))
            .await?;
        Manifest::decode(&wire)
            .ok()
            .and_then(|manifest| manifest.validate(*address).ok())
            .ok_or_else(|| Integrity::Manifest(*address).into())
    }

    /// Which of these objects the node has, in the order asked. Takes one request for every
    /// [`HAS_ADDRESSES`]. Nothing here is verified.
    pub async fn has(&self, addresses: &[Address]) -> Result<Vec<bool>, Error> {
        let mut found = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(HAS_ADDRESSES) {
            let answer = self.repeat(|| self.transport.has(some)).await?;
            if answer.len() != some.len() {
                return Err(Error::Protocol("it speaks of another number of addresses"));
            }
            found.extend(answer);
        }
        Ok(found)
    }

    /// Deletes an object. When the answer of a first attempt was lost, the next may find nothing
    /// left to delete and report 404.
    pub async fn delete(&self, address: &Address) -> Result<(), Error> {
        self.repeat(|| self.transport.delete(address)).await
    }
}
