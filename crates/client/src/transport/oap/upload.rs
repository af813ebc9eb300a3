//! Uploads: fields, then bytes as they can be sent, and an answer that may come before their end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use micronode_protocol::limits::MEDIA_TYPE_BYTES;
use micronode_protocol::operation::{Operation, PutReply, PutRequest};
use tokio::time::timeout;

use super::super::{NOT_A_RECEIPT, Pieces, Receipt, Upload};
use super::call::Call;
use super::stream::Request;
use super::{Oap, Until};
use crate::{Error, TransportError, clock};

impl Oap {
    pub(in crate::transport) async fn put(
        &self,
        upload: &Upload,
        pieces: Pieces,
    ) -> Result<Receipt, Error> {
        let time = self.0.options.timeouts.write;
        let call = self.send(upload, pieces, time).await?;
        let answer = call.collect(time).await?;
        let stored = PutReply::decode(&answer).map_err(|_| NOT_A_RECEIPT)?;
        // That it is stored is certain; when it will be gone is worth a question, but no failure.
        let expires_at = match upload.expires_in {
            None => None,
            Some(_) => {
                let expires = self
                    .head_with(&stored.address, |head| head.expires_ms)
                    .await;
                expires.ok().filter(|at| *at != 0).and_then(clock::rfc3339)
            }
        };
        Ok(Receipt {
            address: stored.address,
            size: stored.size,
            existed: stored.existed,
            expires_at,
        })
    }

    /// Sends an upload to its end. The call that comes back has an answer.
    async fn send(&self, upload: &Upload, pieces: Pieces, time: Duration) -> Result<Call, Error> {
        let fields = put_fields(upload)?;
        // Nothing is taken before there is a connection.
        self.link(Operation::ObjectPut).await?;
        let mut feed = Feed {
            pieces,
            left: upload.length,
        };
        let (body, mut last) = timeout(time, feed.next())
            .await
            .map_err(|_| TransportError::Stalled(time))??;
        let request = Request {
            operation: Operation::ObjectPut,
            fields,
            body,
            last,
            allowed: PutReply::BYTES,
        };
        let call = self.open(request, Until::Begun(time)).await?;
        while !last {
            call.within(time, call.room()).await??;
            let piece;
            (piece, last) = call.unless_answered(time, feed.next()).await??;
            call.send(piece, last);
        }
        let answered = call.within(time, call.answered()).await?;
        answered.map_err(|failed| failed.error)?;
        Ok(call)
    }
}

/// The pieces of an upload, each with whether it is the last one.
struct Feed {
    pieces: Pieces,
    /// Bytes still to come, where that is known.
    left: Option<u64>,
}

impl Feed {
    async fn next(&mut self) -> Result<(Bytes, bool), Error> {
        let piece = self.pieces.try_next().await.map_err(Error::Source)?;
        let Some(piece) = piece else {
            return Ok((Bytes::new(), true));
        };
        let left = self
            .left
            .map(|left| left.saturating_sub(piece.len() as u64));
        self.left = left;
        Ok((piece, left == Some(0)))
    }
}

/// The fields in front of an upload.
fn put_fields(upload: &Upload) -> Result<Vec<u8>, Error> {
    let media_type = upload.content_type.as_deref().unwrap_or_default();
    if media_type.len() > MEDIA_TYPE_BYTES || http::HeaderValue::from_str(media_type).is_err() {
        return Err(Error::InvalidContentType(
            media_type.escape_debug().to_string(),
        ));
    }
    let put = PutRequest {
        expected: upload.expected,
        // 0 stands for ever, and the shortest time for what is shorter.
        ttl_ms: upload.expires_in.map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
        }),
        media_type,
    };
    let mut fields = Vec::with_capacity(PutRequest::BYTES_MAX);
    put.encode(&mut fields);
    Ok(fields)
}
