//! `oap_connection.json`: conversations, step by step.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes};
use micronode_protocol::ErrorCode;
use micronode_protocol::codec::{Decoded, Decoder, Frame};
use micronode_protocol::connection::{Connection, ConnectionLimits, Event, Fault};
use micronode_protocol::limits::{
    CONNECTION_WAITERS, OAP_FRAME_BYTES, OAP_PING, OAP_PING_PATIENCE, OAP_STREAMS,
};
use micronode_protocol::operation::Welcome;
use serde::Deserialize;

use super::Octets;
use super::frames::flags;

#[derive(Deserialize)]
struct Vectors {
    welcome: Octets,
    opening: Vec<Step>,
    scripts: Vec<Script>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    name: String,
    opened: bool,
    steps: Vec<Step>,
    ends: End,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum End {
    Open,
    Closed,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Client(Octets),
    Event(Said),
    Do(Action),
    Node(Sent),
    Wait(u64),
}

/// What a script says of an event.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Hello {
        corr_id: u64,
        ua: String,
        accept_comp: bool,
        cap: Octets,
    },
    Request {
        corr_id: u64,
        app: u16,
        code: u16,
        cap: Octets,
        payload: Octets,
        comp: bool,
        end: bool,
    },
    Body {
        corr_id: u64,
        payload: Octets,
        comp: bool,
        end: bool,
    },
    Cancelled {
        corr_id: u64,
    },
    Fault {
        corr_id: u64,
        error: String,
        fatal: bool,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    Welcome,
    Respond {
        corr_id: u64,
        code: u16,
        payload: Octets,
        end: bool,
    },
    GoOn {
        corr_id: u64,
        code: u16,
        payload: Octets,
        end: bool,
    },
    Refuse {
        corr_id: u64,
        error: String,
    },
    Park {
        corr_id: u64,
    },
    Unpark {
        corr_id: u64,
    },
    Notify {
        corr_id: u64,
        code: u16,
        ack_req: bool,
        payload: Octets,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    flags: Vec<String>,
    code: u16,
    app: u16,
    corr_id: u64,
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Welcome,
    Payload(Octets),
    Problem(String),
}

/// A node: the connection, and an application that answers faults.
struct Node {
    connection: Connection,
    now: Instant,
    /// Not yet looked at by the script.
    events: VecDeque<Event>,
    frames: VecDeque<Frame>,
}

impl Node {
    fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "there is no other way to an instant"
        )]
        let now = Instant::now();
        let limits = ConnectionLimits {
            max_frame: OAP_FRAME_BYTES,
            max_streams: OAP_STREAMS,
            max_parked: CONNECTION_WAITERS,
            hello: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            ping: OAP_PING,
            ping_patience: OAP_PING_PATIENCE,
        };
        Self {
            connection: Connection::new(limits, now),
            now,
            events: VecDeque::new(),
            frames: VecDeque::new(),
        }
    }

    /// Reads `bytes`, as far as they are read at all.
    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.connection.is_closing() {
            let mut spare = self.connection.spare();
            let count = spare.remaining_mut().min(bytes.len());
            assert!(count > 0, "no room, and nothing to wait for");
            spare.put_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.poll();
            self.connection.grant_long_frame();
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.connection.poll_event(self.now) {
            if let Event::Fault(Fault {
                corr_id, app, code, ..
            }) = event
            {
                self.refuse(corr_id, app, code);
            }
            self.events.push_back(event);
        }
    }

    fn refuse(&mut self, corr_id: u64, app: u16, code: ErrorCode) {
        let document = format!(r#"{{"code":"{code}"}}"#);
        self.connection.refuse(corr_id, app, code, document.into());
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Welcome => {
                let welcome = Welcome::new(OAP_FRAME_BYTES as u32, OAP_STREAMS as u32);
                self.connection.welcome(&welcome);
                self.poll();
            }
            Action::Respond {
                corr_id,
                code,
                payload,
                end,
            } => self
                .connection
                .respond(*corr_id, *code, &payload.0, Bytes::new(), *end),
            Action::GoOn {
                corr_id,
                code,
                payload,
                end,
            } => {
                assert_eq!(self.connection.poll_turn(), Some(*corr_id));
                let body = Bytes::copy_from_slice(&payload.0);
                self.connection.respond_more(*corr_id, *code, body, *end);
            }
            Action::Refuse { corr_id, error } => {
                // Every script's streams that are refused and not open are echoes.
                self.refuse(*corr_id, 1, ErrorCode::from_code(error).unwrap());
            }
            Action::Park { corr_id } => assert!(self.connection.park(*corr_id)),
            Action::Unpark { corr_id } => self.connection.unpark(*corr_id),
            Action::Notify {
                corr_id,
                code,
                ack_req,
                payload,
            } => {
                let body = Bytes::copy_from_slice(&payload.0);
                self.connection.notify(*corr_id, *code, *ack_req, &[], body);
            }
        }
    }

    /// The next frame that it has sent.
    fn sent(&mut self) -> Option<Frame> {
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        while self.connection.queued() > 0 {
            let mut slices = [IoSlice::new(b"")];
            self.connection.slices(&mut slices);
            let count = slices[0].len();
            decoder.spare().put_slice(&slices[0]);
            self.connection.handle_written(self.now, count);
            while let Some(decoded) = decoder.next().unwrap() {
                let Decoded::Frame(frame) = decoded else {
                    panic!("nothing was skipped");
                };
                self.frames.push_back(frame);
            }
        }
        assert!(!decoder.is_frame_open(), "half a frame");
        self.frames.pop_front()
    }

    fn run(&mut self, welcome: &[u8], step: &Step) {
        match step {
            Step::Client(bytes) => {
                assert_eq!(self.events.pop_front(), None);
                assert_eq!(self.sent(), None);
                self.read(&bytes.0);
            }
            Step::Event(expected) => {
                let event = self.events.pop_front().expect("an event");
                assert_eq!(&Said::from(event), expected);
            }
            Step::Do(action) => {
                assert_eq!(self.sent(), None);
                self.act(action);
            }
            Step::Wait(seconds) => {
                assert_eq!(self.sent(), None);
                self.now += Duration::from_secs(*seconds);
                let expired = self.connection.handle_timeout(self.now);
                assert_eq!(expired.is_some(), self.connection.is_closing());
            }
            Step::Node(expected) => {
                let frame = self.sent().expect("a frame");
                let header = &frame.header;
                assert_eq!(header.flags, flags(&expected.flags));
                assert_eq!((header.code, header.app), (expected.code, expected.app));
                assert_eq!(header.corr_id, expected.corr_id);
                assert_eq!((header.tenant, header.cap_len), (0, 0));
                match &expected.content {
                    Content::Welcome => assert_eq!(frame.payload, welcome),
                    Content::Payload(payload) => assert_eq!(frame.payload, payload.0),
                    Content::Problem(code) => {
                        let problem: serde_json::Value =
                            serde_json::from_slice(&frame.payload).unwrap();
                        assert_eq!(problem["code"], **code);
                    }
                }
            }
        }
    }
}

impl From<Event> for Said {
    fn from(event: Event) -> Self {
        match event {
            Event::Hello {
                corr_id,
                hello,
                cap,
            } => Self::Hello {
                corr_id,
                ua: hello.ua,
                accept_comp: hello.accept_comp,
                cap: cap.into(),
            },
            Event::Request {
                corr_id,
                app,
                code,
                cap,
                part,
            } => Self::Request {
                corr_id,
                app,
                code,
                cap: cap.into(),
                payload: part.payload.into(),
                comp: part.compressed,
                end: part.end,
            },
            Event::Body { corr_id, part } => Self::Body {
                corr_id,
                payload: part.payload.into(),
                comp: part.compressed,
                end: part.end,
            },
            Event::Cancelled { corr_id } => Self::Cancelled { corr_id },
            Event::Fault(fault) => Self::Fault {
                corr_id: fault.corr_id,
                error: fault.code.to_string(),
                fatal: fault.fatal,
            },
        }
    }
}

#[test]
fn every_conversation_goes_as_written() {
    let file = include_str!("../../vectors/oap_connection.json");
    let vectors: Vectors = serde_json::from_str(file).unwrap();
    assert_eq!(vectors.scripts.len(), 76);
    for script in vectors.scripts {
        // Shown only if what follows fails.
        println!("{}", script.name);
        let mut node = Node::new();
        let opening = script.opened.then_some(&vectors.opening);
        for step in opening.into_iter().flatten().chain(&script.steps) {
            node.run(&vectors.welcome.0, step);
        }
        assert_eq!(node.events.pop_front(), None);
        assert_eq!(node.sent(), None);
        let closed = script.ends == End::Closed;
        assert_eq!(node.connection.is_closing(), closed);
    }
}
