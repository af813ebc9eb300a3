//! Reads: fields, then the bytes of an object as they arrive.

use std::mem;
use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, Bytes};
use micronode_protocol::Address;
use micronode_protocol::limits::MEDIA_TYPE_BYTES;
use micronode_protocol::operation::{GetReply, GetRequest, Operation};

use super::super::NOT_THE_RANGE;
use super::call::Call;
use super::stream::Request;
use super::{Oap, On, Until};
use crate::{Error, TransportError};

/// Most bytes of the fields in front of an object.
const GET_FIELDS_BYTES: usize = 8 + 8 + 8 + 2 + MEDIA_TYPE_BYTES;

impl Oap {
    pub(in crate::transport) async fn read(
        &self,
        address: &Address,
        range: Range<u64>,
        size: u64,
    ) -> Result<Body, Error> {
        let whole = range == (0..size);
        let length = range.end - range.start;
        let get = GetRequest {
            address: *address,
            offset: range.start,
            length: if whole { 0 } else { length },
        };
        let mut fields = Vec::with_capacity(GetRequest::BYTES);
        get.encode(&mut fields);
        let time = self.0.options.timeouts.read;
        let request = Request {
            operation: Operation::ObjectGet,
            fields,
            body: Bytes::new(),
            last: true,
            allowed: GET_FIELDS_BYTES.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)),
            room: None,
        };
        let call = self.open(request, On::Calls, Until::Answered(time)).await?;
        let status = call.answered().await.map_err(|failed| failed.error)?;

        // The fields usually come whole and in front of the first bytes; they need not.
        let mut start = Bytes::new();
        let (given, used) = loop {
            let parsed = GetReply::parse(&start).map_err(|_| NOT_THE_RANGE)?;
            if let Some((reply, used)) = parsed {
                break ((reply.size, reply.offset), used);
            }
            let more = call.next(time).await?.ok_or(TransportError::Truncated)?;
            start = if start.is_empty() {
                more
            } else {
                [start, more].concat().into()
            };
        };
        start.advance(used);
        if given != (size, range.start) || status != if whole { 200 } else { 206 } {
            return Err(NOT_THE_RANGE);
        }
        Ok(Body { start, call, time })
    }
}

/// The bytes of an object as they arrive. Dropping it before its end cancels the rest.
pub(crate) struct Body {
    /// What came with the fields.
    start: Bytes,
    call: Call,
    time: Duration,
}

impl Body {
    pub(in crate::transport) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.start.is_empty() {
            return Ok(Some(mem::take(&mut self.start)));
        }
        self.call.next(self.time).await
    }
}
