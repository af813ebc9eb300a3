//! The heads of HTTP/1.1 requests, put together in a buffer that stays.

use std::io::Write;

use micronode_protocol::limits::ONE_SHOT_BYTES;

use super::Endpoint;
use super::peer::Peer;
use crate::load::content::Content;
use crate::load::plan::Request;

/// What every request of a connection has, and the one that is being sent.
#[derive(Debug)]
pub(crate) struct Heads {
    /// From the version on: `Host`, the token.
    fields: Vec<u8>,
    send: Vec<u8>,
    receive: Vec<u8>,
    ack: Vec<u8>,
    head: Vec<u8>,
    peer: Option<Peer>,
}

impl Heads {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let queue = &endpoint.queue;
        let mut fields = format!(" HTTP/1.1\r\nHost: {}\r\n", endpoint.target.address);
        if let Some(token) = &endpoint.token {
            fields.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let line = |verb: &str| format!("POST /mbox/{queue}/{verb}").into_bytes();
        Self {
            fields: fields.into_bytes(),
            send: line("send"),
            receive: line("recv"),
            ack: line("ack"),
            head: Vec::with_capacity(1024),
            peer: endpoint.peer,
        }
    }

    /// What stands in front of a request's body, and behind it.
    pub(crate) fn of(&mut self, request: &Request, content: &Content) -> (&[u8], &'static [u8]) {
        let (head, fields) = (&mut self.head, &self.fields);
        head.clear();
        let mut begin = |line: &[&[u8]]| {
            line.iter().for_each(|part| head.extend_from_slice(part));
            head.extend_from_slice(fields);
        };
        let mut length = request.body().map(|body| body.size);
        let mut tail: &'static [u8] = b"";
        match request {
            Request::Get(number) => {
                begin(&[b"GET /o/", &content.objects[*number as usize].text]);
            }
            Request::Put(body) if self.peer.is_some() => {
                let key = self.peer.map(|peer| peer.key(body)).unwrap_or_default();
                begin(&[b"PUT /put/", key.as_bytes()]);
            }
            // What is larger is streamed, and for that has to say its address.
            Request::Put(body) if body.size > ONE_SHOT_BYTES => {
                begin(&[b"PUT /o/", &content.address(body).to_text()]);
            }
            Request::Put(_) => begin(&[b"POST /put"]),
            Request::Echo(_) => begin(&[b"POST /echo"]),
            Request::Send(_) => begin(&[&self.send]),
            Request::Receive => {
                begin(&[&self.receive]);
                head.extend_from_slice(b"Accept: application/octet-stream\r\n");
                length = Some(0);
            }
            Request::Ack(receipt) => {
                const OPEN: &[u8] = br#"{"receipts":[""#;
                const CLOSE: &[u8] = br#""]}"#;
                begin(&[&self.ack]);
                write_length(head, OPEN.len() + receipt.len() + CLOSE.len());
                head.extend_from_slice(b"\r\n");
                head.extend_from_slice(OPEN);
                head.extend_from_slice(receipt);
                tail = CLOSE;
                return (head, tail);
            }
        }
        if let Some(length) = length {
            write_length(head, length);
        }
        head.extend_from_slice(b"\r\n");
        (head, tail)
    }
}

fn write_length(head: &mut Vec<u8>, length: usize) {
    // Writing into memory does not fail.
    let _written = write!(head, "Content-Length: {length}\r\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::drive::stream::Target;
    use crate::load::content::Body;
    use crate::spec::LoadSpec;

    fn text(request: &Request, token: Option<&str>) -> String {
        let content = Content::new(&LoadSpec::default()).unwrap();
        let endpoint = Endpoint {
            proto: crate::spec::Proto::Http1,
            target: Target::plain(([127, 0, 0, 1], 80).into()),
            token: token.map(ToOwned::to_owned),
            queue: "q".to_owned(),
            streams: 1,
            peer: None,
        };
        let mut heads = Heads::new(&endpoint);
        // What was sent before leaves nothing.
        heads.of(&Request::Put(Body::new(9, 9, 9)), &content);
        let (head, tail) = heads.of(request, &content);
        String::from_utf8([head, tail].concat()).unwrap()
    }

    #[test]
    fn every_request_is_as_the_documents_have_it() {
        let host = "HTTP/1.1\r\nHost: 127.0.0.1:80\r\n";
        let body = Body::new(7, 1, 2);
        for (request, expected) in [
            (
                Request::Put(body),
                format!("POST /put {host}Content-Length: 7\r\n\r\n"),
            ),
            (
                Request::Echo(body),
                format!("POST /echo {host}Content-Length: 7\r\n\r\n"),
            ),
            (
                Request::Send(body),
                format!("POST /mbox/q/send {host}Content-Length: 7\r\n\r\n"),
            ),
            (
                Request::Receive,
                format!(
                    "POST /mbox/q/recv {host}Accept: application/octet-stream\r\nContent-Length: 0\r\n\r\n"
                ),
            ),
            (
                Request::Ack(b"abc".as_slice().into()),
                format!(
                    "POST /mbox/q/ack {host}Content-Length: 20\r\n\r\n{{\"receipts\":[\"abc\"]}}"
                ),
            ),
        ] {
            assert_eq!(text(&request, None), expected);
        }
        let get = text(&Request::Get(0), Some("t"));
        assert!(get.starts_with("GET /o/b3:") && get.ends_with("Authorization: Bearer t\r\n\r\n"));
    }

    #[test]
    fn a_body_that_is_no_one_shot_is_put_under_its_address() {
        let content = Content::new(&LoadSpec {
            sizes: vec![crate::spec::Size {
                bytes: 2 << 20,
                weight: 1.0,
            }],
            objects: 1,
            ..LoadSpec::default()
        })
        .unwrap();
        let endpoint = Endpoint {
            proto: crate::spec::Proto::Http1,
            target: Target::plain(([127, 0, 0, 1], 80).into()),
            token: None,
            queue: "q".to_owned(),
            streams: 1,
            peer: None,
        };
        let mut heads = Heads::new(&endpoint);
        let object = &content.objects[0];
        let (head, _) = heads.of(&Request::Put(object.body), &content);
        let line = format!("PUT /o/{} HTTP/1.1\r\n", object.address);
        assert!(head.starts_with(line.as_bytes()));
    }
}
