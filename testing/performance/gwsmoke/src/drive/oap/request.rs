//! Requests as frames.

use bytes::Bytes;
use micronode_protocol::codec::Encoder;
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::limits::OAP_CHUNK_BYTES;
use micronode_protocol::operation::{
    AckRequest, GetRequest, Operation, PutRequest, ReceiveRequest, SendRequest, encode_receipt,
};

use crate::load::content::Content;
use crate::load::plan::Request;

/// Makes frames in a buffer that stays.
#[derive(Debug)]
pub(super) struct Requests {
    queue: String,
    fields: Vec<u8>,
}

impl Requests {
    pub(super) fn new(queue: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            fields: Vec::with_capacity(512),
        }
    }

    /// Queues all frames of a request.
    pub(super) fn queue(
        &mut self,
        request: &Request,
        content: &Content,
        corr_id: u64,
        encoder: &mut Encoder,
    ) {
        let (queue, fields) = (self.queue.as_str(), &mut self.fields);
        fields.clear();
        let operation = match request {
            Request::Get(number) => {
                let address = content.objects[*number as usize].address;
                let whole = GetRequest {
                    address,
                    offset: 0,
                    length: 0,
                };
                whole.encode(fields);
                Operation::ObjectGet
            }
            Request::Put(_) => {
                let put = PutRequest {
                    expected: None,
                    ttl_ms: 0,
                    media_type: "",
                };
                put.encode(fields);
                Operation::ObjectPut
            }
            Request::Echo(_) => Operation::Echo,
            Request::Send(_) => {
                let send = SendRequest {
                    queue,
                    key: "",
                    delay_ms: 0,
                };
                send.encode(fields);
                Operation::Send
            }
            Request::Receive => {
                let receive = ReceiveRequest {
                    queue,
                    max: 1,
                    wait_ms: 0,
                    visibility_ms: 0,
                };
                receive.encode(fields);
                Operation::Receive
            }
            Request::Ack(receipt) => {
                AckRequest { queue }.encode(fields);
                // A receipt is text, as the node has sent it.
                encode_receipt(std::str::from_utf8(receipt).unwrap_or_default(), fields);
                Operation::Ack
            }
        };
        let mut rest = Bytes::new();
        let mut first = 0;
        if let Some(body) = request.body() {
            let stamp = content.stamp(body);
            first = OAP_CHUNK_BYTES - stamp.len();
            fields.extend_from_slice(&stamp);
            rest = content.shared_rest(body);
        }
        let mut header = Header {
            flags: Flags::REQ.with(Flags::START),
            code: operation.code(),
            app: operation.app(),
            corr_id,
            ..Header::default()
        };
        let mut chunk = rest.split_to(first.min(rest.len()));
        let mut fields = &fields[..];
        loop {
            if rest.is_empty() {
                header.flags = header.flags.with(Flags::END);
            }
            encoder.push(&header, b"", fields, chunk);
            if rest.is_empty() {
                return;
            }
            header.flags = Flags::REQ;
            fields = b"";
            chunk = rest.split_to(OAP_CHUNK_BYTES.min(rest.len()));
        }
    }
}
