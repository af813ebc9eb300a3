//! Operations on objects that move none of their bytes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, header};
use micronode_protocol::Address;
use micronode_protocol::limits::HAS_ADDRESSES;
use micronode_protocol::manifest::{Manifest, VerifiedManifest};

use crate::transport::Answer;
use crate::{Client, Error, Integrity};

/// Largest object that can be read, 128 GiB; bounds the manifest held in memory (64 MiB).
const OBJECT_BYTES: u64 = 128 << 30;

/// Bytes of one answer to `has`: `false` and a comma per address, with room for white space.
const HAS_ANSWER_BYTES: usize = 16 * HAS_ADDRESSES + 1024;

/// What a node says about an object without sending it. Nothing here is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size in bytes.
    pub size: u64,
    /// The media type kept with the object.
    pub content_type: Option<String>,
    /// For how long the node will keep the object at least. A year stands for ever.
    pub kept_for: Option<Duration>,
}

impl ObjectInfo {
    /// What a node reports of an object that does not expire.
    pub const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// What the headers of an answer say.
    pub(crate) fn of(answer: &Answer) -> Result<Self, Error> {
        let size = answer
            .header(header::CONTENT_LENGTH)
            .and_then(|length| length.parse().ok());
        Ok(ObjectInfo {
            size: size.ok_or(Error::Protocol("it has no Content-Length"))?,
            content_type: answer.header(header::CONTENT_TYPE).map(str::to_owned),
            kept_for: answer.header(header::CACHE_CONTROL).and_then(max_age),
        })
    }
}

impl Client {
    /// What the node says about an object.
    pub async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        let answer = self.call(Method::HEAD, &format!("/o/{address}")).await?;
        ObjectInfo::of(&answer)
    }

    /// The manifest of an object, verified against the address: what it takes to verify any part
    /// of the object.
    pub async fn manifest(&self, address: &Address) -> Result<VerifiedManifest, Error> {
        let path = format!("/o/{address}/manifest");
        let limit = Manifest::encoded_len(OBJECT_BYTES) as usize;
        let mut attempts = self.attempts();
        let wire = loop {
            let wire = async {
                self.transport
                    .send(self.transport.request(Method::GET, &path))
                    .await?
                    .collect(limit)
                    .await
            };
            match wire.await {
                Ok(wire) => break wire,
                Err(error) => attempts.pause_after(error).await?,
            }
        };
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
            let texts: Vec<String> = some.iter().map(Address::to_string).collect();
            let question = Bytes::from(serde_json::to_vec(&texts).expect("strings are JSON"));
            let mut attempts = self.attempts();
            let answer = loop {
                match self.ask_has(question.clone()).await {
                    Ok(answer) => break answer,
                    Err(error) => attempts.pause_after(error).await?,
                }
            };
            let answer: Vec<bool> = serde_json::from_slice(&answer)
                .map_err(|_| Error::Protocol("it is not a list of booleans"))?;
            if answer.len() != some.len() {
                return Err(Error::Protocol("it speaks of another number of addresses"));
            }
            found.extend(answer);
        }
        Ok(found)
    }

    async fn ask_has(&self, question: Bytes) -> Result<Bytes, Error> {
        let request = self
            .transport
            .request(Method::POST, "/has")
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .body(Some(question.len() as u64), stream::iter([Ok(question)]));
        self.transport
            .send(request)
            .await?
            .collect(HAS_ANSWER_BYTES)
            .await
    }

    /// Deletes an object. When the answer of a first attempt was lost, the next may find nothing
    /// left to delete and report 404.
    pub async fn delete(&self, address: &Address) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("/o/{address}"))
            .await
            .map(drop)
    }

    /// An idempotent request without a body, repeated as the policy allows.
    async fn call(&self, method: Method, path: &str) -> Result<Answer, Error> {
        let mut attempts = self.attempts();
        loop {
            match self
                .transport
                .send(self.transport.request(method.clone(), path))
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.pause_after(error).await?,
            }
        }
    }
}

/// The `max-age` of a `Cache-Control` value.
fn max_age(cache_control: &str) -> Option<Duration> {
    let seconds = cache_control
        .split(',')
        .find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_found_among_directives() {
        assert_eq!(
            max_age("private, max-age=60, immutable"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(max_age("max-age=31536000"), Some(ObjectInfo::FOR_EVER));
        for none in ["", "no-store", "max-age=", "max-age=-1", "s-maxage=60"] {
            assert_eq!(max_age(none), None, "{none:?}");
        }
    }
}
