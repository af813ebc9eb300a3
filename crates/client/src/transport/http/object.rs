//! What is asked of objects.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use micronode_protocol::Address;
use micronode_protocol::limits::HAS_ADDRESSES;
use serde::Deserialize;

use super::super::{NOT_A_RECEIPT, NOT_THE_RANGE, Pieces, Receipt, Upload};
use super::{AnswerBody, Http, ms, value};
use crate::{Error, ObjectInfo};

/// Bytes of the answer to an upload; the document has three short members.
const RECEIPT_BYTES: usize = 4096;

/// Bytes of one answer to `has`: `false` and a comma per address, with room for white space.
const HAS_ANSWER_BYTES: usize = 16 * HAS_ADDRESSES + 1024;

/// A node's answer to an upload.
#[derive(Deserialize)]
struct ReceiptDocument {
    address: String,
    size: u64,
    expires_at: Option<String>,
}

impl Http {
    pub(in crate::transport) async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        let answer = self.call(Method::HEAD, &format!("/o/{address}")).await?;
        let size = answer
            .header(header::CONTENT_LENGTH)
            .and_then(|length| length.parse().ok());
        Ok(ObjectInfo {
            size: size.ok_or(Error::Protocol("it has no Content-Length"))?,
            content_type: answer.header(header::CONTENT_TYPE).map(str::to_owned),
            kept_for: answer.header(header::CACHE_CONTROL).and_then(max_age),
        })
    }

    pub(in crate::transport) async fn manifest(
        &self,
        address: &Address,
        limit: usize,
    ) -> Result<Bytes, Error> {
        self.call(Method::GET, &format!("/o/{address}/manifest"))
            .await?
            .collect(limit)
            .await
    }

    pub(in crate::transport) async fn has(
        &self,
        addresses: &[Address],
    ) -> Result<Vec<bool>, Error> {
        let texts: Vec<String> = addresses.iter().map(Address::to_string).collect();
        let request = self.request(Method::POST, "/has").json(&texts);
        let answer = self.answer(request).await?;
        answer
            .document(
                HAS_ANSWER_BYTES,
                Error::Protocol("it is not a list of booleans"),
            )
            .await
    }

    pub(in crate::transport) async fn delete(&self, address: &Address) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("/o/{address}"))
            .await
            .map(drop)
    }

    pub(in crate::transport) async fn read(
        &self,
        address: &Address,
        range: Range<u64>,
        size: u64,
    ) -> Result<AnswerBody, Error> {
        let request = self.request(Method::GET, &format!("/o/{address}"));
        if range == (0..size) {
            return Ok(self.answer(request).await?.body);
        }
        let (start, last) = (range.start, range.end - 1);
        let range = value(format!("bytes={start}-{last}"));
        let answer = self.answer(request.header(header::RANGE, range)).await?;
        let given = answer.header(header::CONTENT_RANGE);
        if answer.status != StatusCode::PARTIAL_CONTENT
            || given != Some(&format!("bytes {start}-{last}/{size}"))
        {
            return Err(NOT_THE_RANGE);
        }
        Ok(answer.body)
    }

    pub(in crate::transport) async fn put(
        &self,
        upload: &Upload,
        pieces: Pieces,
    ) -> Result<Receipt, Error> {
        let mut request = match &upload.expected {
            Some(address) => self.request(Method::PUT, &format!("/o/{address}")),
            None => self.request(Method::POST, "/put"),
        };
        if let Some(expires_in) = upload.expires_in {
            let name = header::HeaderName::from_static("expires-in");
            request = request.header(name, value(ms(expires_in)));
        }
        if let Some(content_type) = &upload.content_type {
            let value = HeaderValue::from_str(content_type)
                .map_err(|_| Error::InvalidContentType(content_type.escape_debug().to_string()))?;
            request = request.header(header::CONTENT_TYPE, value);
        }
        let answer = self.answer(request.body(upload.length, pieces)).await?;
        let existed = answer.status == StatusCode::OK;
        let document: ReceiptDocument =
            serde_json::from_slice(&answer.collect(RECEIPT_BYTES).await?)
                .map_err(|_| NOT_A_RECEIPT)?;
        Ok(Receipt {
            address: document.address.parse().map_err(|_| NOT_A_RECEIPT)?,
            size: document.size,
            existed,
            expires_at: document.expires_at,
        })
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
