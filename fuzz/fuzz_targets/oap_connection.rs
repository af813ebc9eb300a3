//! A connection of OAP/1 as a state machine: whatever a peer sends, in whatever pieces, and
//! whatever its owner does in between, every stream has one last frame and nothing behind it, the
//! peer is sent the frames that were asked for and no others, nobody waits longer than a round of
//! turns, who is parked takes no place of others, a peer that is silent meanwhile is asked once
//! whether it is there, and time that runs out is said so once.
//!
//! An input: a byte for the streams at once (modulo 3: 1, 3, 64), one for whether the peer takes
//! compressed answers (odd: it does), one for whether it begins with a HELLO (odd: it does, and is
//! welcomed), and then commands: a byte that says which (modulo 18, in the order of [`Command`])
//! and its operands, little endian.
#![no_main]

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::{BufMut, Bytes};
use libfuzzer_sys::fuzz_target;
use micronode_protocol::ErrorCode;
use micronode_protocol::codec::{Decoded, Decoder, Frame};
use micronode_protocol::compression::{inflate, inflated_bound};
use micronode_protocol::connection::{Connection, ConnectionLimits, Event, Expired, Part};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header, Kind};
use micronode_protocol::limits::{
    DECOMPRESS_RATIO, OAP_CHUNK_BYTES, OAP_FRAME_BYTES, OAP_FRAME_BYTES_MIN, OAP_READ_BYTES,
    OAP_STREAMS,
};
use micronode_protocol::operation::{CONTROL, HELLO, Hello, Welcome};

/// Commands looked at.
const COMMANDS: usize = 300;

/// Streams that commands speak of.
const IDS: u8 = 8;

const HELLO_TIME: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(15);

/// Streams parked at once.
const MAX_PARKED: usize = 2;

#[derive(Debug)]
struct Input {
    max_streams: usize,
    accepts_compression: bool,
    begins_with_hello: bool,
    commands: Vec<Command>,
}

#[derive(Debug)]
enum Command {
    /// The peer sends a frame.
    Send(Sent),
    /// The peer sends bytes as they are, after a byte for their number.
    SendRaw(Vec<u8>),
    /// So many bytes of what was sent come.
    Arrive {
        count: u16,
    },
    ArriveAll,
    /// HELLO is answered: with a welcome, or else the connection ends.
    Greet {
        welcome: bool,
    },
    /// Modulo [`IDS`], like every stream here: it need not be open.
    Respond {
        corr_id: u8,
        fields: u8,
        body: u16,
        ends: bool,
    },
    Turn {
        body: u16,
        ends: bool,
    },
    /// An answer that was on its way when its stream was cancelled.
    GoOnLate {
        corr_id: u8,
    },
    Refuse {
        corr_id: u8,
    },
    /// The peer takes so many bytes.
    Write {
        count: u16,
    },
    WriteAll,
    Wait {
        ms: u16,
    },
    /// Long frames are granted their memory from now on, or else skipped.
    Afford {
        affords: bool,
    },
    /// The owner gives memory back, or else closes.
    Tidy {
        closes: bool,
    },
    Park {
        corr_id: u8,
    },
    Unpark {
        corr_id: u8,
    },
    Notify {
        corr_id: u8,
        fields: u8,
        body: u16,
        ack_req: bool,
    },
    WantTurn {
        corr_id: u8,
    },
}

/// A byte for its kind (modulo 8: an answer, an event, and otherwise a request), one for its other
/// flags, as in a header without the kind's three bits, one each for its app (modulo 3), its code
/// (modulo 3) and its stream (modulo [`IDS`]), one for what is odd about it (bit 0: another tenant,
/// bit 1: a capability of two bytes) and three for the length of its payload, up to the largest.
#[derive(Debug)]
struct Sent {
    header: Header,
    payload: usize,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let max_streams = *u.choose(&[1, 3, OAP_STREAMS])?;
        let (accepts_compression, begins_with_hello) = u.arbitrary()?;
        let mut commands = Vec::new();
        while !u.is_empty() && commands.len() < COMMANDS {
            commands.push(u.arbitrary()?);
        }
        Ok(Self {
            max_streams,
            accepts_compression,
            begins_with_hello,
            commands,
        })
    }
}

impl<'a> Arbitrary<'a> for Command {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u.int_in_range(0..=17)? {
            0 => Self::Send(u.arbitrary()?),
            1 => {
                let length = usize::from(u.arbitrary::<u8>()?).min(u.len());
                Self::SendRaw(u.bytes(length)?.to_vec())
            }
            2 => Self::Arrive {
                count: u.arbitrary()?,
            },
            3 => Self::ArriveAll,
            4 => Self::Greet {
                welcome: u.arbitrary()?,
            },
            5 => Self::Respond {
                corr_id: u.arbitrary()?,
                fields: u.arbitrary()?,
                body: u.arbitrary()?,
                ends: u.arbitrary()?,
            },
            6 => Self::Turn {
                body: u.arbitrary()?,
                ends: u.arbitrary()?,
            },
            7 => Self::GoOnLate {
                corr_id: u.arbitrary()?,
            },
            8 => Self::Refuse {
                corr_id: u.arbitrary()?,
            },
            9 => Self::Write {
                count: u.arbitrary()?,
            },
            10 => Self::WriteAll,
            11 => Self::Wait { ms: u.arbitrary()? },
            12 => Self::Afford {
                affords: u.arbitrary()?,
            },
            13 => Self::Tidy {
                closes: u.arbitrary()?,
            },
            14 => Self::Park {
                corr_id: u.arbitrary()?,
            },
            15 => Self::Unpark {
                corr_id: u.arbitrary()?,
            },
            16 => Self::Notify {
                corr_id: u.arbitrary()?,
                fields: u.arbitrary()?,
                body: u.arbitrary()?,
                ack_req: u.arbitrary()?,
            },
            _ => Self::WantTurn {
                corr_id: u.arbitrary()?,
            },
        })
    }
}

impl<'a> Arbitrary<'a> for Sent {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kind = match u.int_in_range(0..=7)? {
            0 => Flags::RESP,
            1 => Flags::EVENT,
            _ => Flags::REQ,
        };
        let flags = u16::from(u.arbitrary::<u8>()?) & !7;
        let app = u.int_in_range(0..=2)?;
        let code = u.int_in_range(0..=2)?;
        let corr_id = u64::from(u.arbitrary::<u8>()? % IDS);
        let odd: u8 = u.arbitrary()?;
        let [low, middle, high] = u.arbitrary()?;
        let payload = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let payload = payload % (OAP_FRAME_BYTES_MIN - HEADER_BYTES - 1);
        let cap = usize::from(odd & 2);
        Ok(Self {
            header: Header {
                len: (HEADER_BYTES + cap + payload) as u32,
                flags: kind.with(Flags::from_bits(flags)),
                code,
                app,
                tenant: (odd & 1).into(),
                cap_len: cap as u16,
                corr_id,
            },
            payload,
        })
    }
}

/// What the node thinks of a stream whose answer is not over.
#[derive(Debug)]
struct Stream {
    app: u16,
    /// The request's last frame has come.
    asked: bool,
    /// The answer has begun.
    begun: bool,
    /// It is to have a turn before that.
    wants_turn: bool,
    parked: bool,
    /// Turns of others since its last one.
    waited: usize,
}

impl Stream {
    fn has_turn(&self) -> bool {
        self.begun || self.wants_turn
    }
}

/// A frame that the peer is to be sent.
#[derive(Debug)]
struct Expected {
    flags: Flags,
    code: u16,
    app: u16,
    corr_id: u64,
    /// `None` for the document of a welcome.
    payload: Option<Vec<u8>>,
}

/// Both ends.
struct Talk {
    connection: Connection,
    now: Instant,
    max_streams: usize,
    accepts_compression: bool,
    affords: bool,

    /// Sent by the peer, and not yet come.
    on_the_way: VecDeque<u8>,
    /// The last frame, and the ping since then.
    heard: Instant,
    pinged: Option<Instant>,
    greeted: Option<u64>,
    welcomed: bool,
    /// Nothing more may be said: the last word has been.
    is_over: bool,
    streams: HashMap<u64, Stream>,

    expected: VecDeque<Expected>,
    pushed: u64,
    peer: Decoder,
}

/// Bytes of an answer, half of which can be compressed: not too little, and not too well.
fn content(length: usize) -> Vec<u8> {
    let noise = |index: u32| (index.wrapping_mul(0x9e37_79b1) >> 15) as u8;
    let byte = |index: u32| {
        if index & 1024 == 0 {
            noise(index)
        } else {
            b'b'
        }
    };
    (0..length as u32).map(byte).collect()
}

/// Any instant will do.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to an instant"
)]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fuzz_target!(|input: Input| {
    let mut talk = Talk::new(&input);
    if input.begins_with_hello {
        talk.say_hello();
    }
    for command in input.commands {
        talk.obey(command);
        talk.check();
    }
    talk.finish();
});

impl Talk {
    fn new(input: &Input) -> Self {
        let now = *START;
        let limits = ConnectionLimits {
            max_frame: OAP_FRAME_BYTES_MIN,
            max_streams: input.max_streams,
            max_parked: MAX_PARKED,
            hello: HELLO_TIME,
            idle: IDLE,
            ping: PING,
            ping_patience: PATIENCE,
        };
        Self {
            connection: Connection::new(limits, now),
            now,
            max_streams: input.max_streams,
            accepts_compression: input.accepts_compression,
            affords: true,
            on_the_way: VecDeque::new(),
            heard: now,
            pinged: None,
            greeted: None,
            welcomed: false,
            is_over: false,
            streams: HashMap::new(),
            expected: VecDeque::new(),
            pushed: 0,
            peer: Decoder::new(OAP_FRAME_BYTES),
        }
    }

    fn say_hello(&mut self) {
        let hello = Hello {
            ua: "fuzz".into(),
            accept_comp: self.accepts_compression,
        };
        let payload = hello.encode();
        let header = Header {
            len: (HEADER_BYTES + payload.len()) as u32,
            flags: Flags::REQ.with(Flags::WHOLE),
            code: HELLO,
            app: CONTROL,
            ..Header::default()
        };
        self.on_the_way.extend(header.encode());
        self.on_the_way.extend(payload);
        self.arrive(usize::MAX);
        self.greet(true);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(Sent { header, payload }) => {
                self.on_the_way.extend(header.encode());
                let rest = header.len as usize - HEADER_BYTES - payload;
                self.on_the_way.extend(vec![0xca; rest]);
                self.on_the_way.extend(vec![b'p'; payload]);
            }
            Command::SendRaw(bytes) => self.on_the_way.extend(bytes),
            Command::Arrive { count } => self.arrive(count.into()),
            Command::ArriveAll => self.arrive(usize::MAX),
            Command::Greet { welcome } => self.greet(welcome),
            Command::Respond {
                corr_id,
                fields,
                body,
                ends,
            } => self.respond(corr_id, fields, body, ends),
            Command::Turn { body, ends } => self.turn(body, ends),
            Command::GoOnLate { corr_id } => {
                let corr_id = u64::from(corr_id % IDS);
                if !self.streams.contains_key(&corr_id) && !self.is_over {
                    let body = Bytes::from_static(b"late");
                    self.connection.respond_more(corr_id, 200, body, true);
                }
            }
            Command::Refuse { corr_id } => {
                let corr_id = u64::from(corr_id % IDS);
                if self.streams.contains_key(&corr_id) && !self.is_over {
                    self.refuse(corr_id, CONTROL, ErrorCode::Deadline);
                }
            }
            Command::Write { count } => self.write(count.into()),
            Command::WriteAll => self.write(usize::MAX),
            Command::Wait { ms } => self.wait(ms),
            Command::Afford { affords } => self.affords = affords,
            Command::Tidy { closes: true } => {
                self.connection.close();
                assert!(self.connection.poll_event(self.now).is_none());
            }
            Command::Tidy { closes: false } => self.connection.release(),
            Command::Park { corr_id } => self.park(corr_id),
            Command::Unpark { corr_id } => self.unpark(corr_id),
            Command::Notify {
                corr_id,
                fields,
                body,
                ack_req,
            } => self.notify(u64::from(corr_id % IDS), fields, body, ack_req),
            Command::WantTurn { corr_id } => self.want_turn(corr_id),
        }
    }

    // --- In --------------------------------------------------------------------------------

    /// What was sent comes, as far as there is room for it: not all of it if the connection waits
    /// for HELLO to be answered, or is closing.
    fn arrive(&mut self, count: usize) {
        let mut left = count.min(self.on_the_way.len());
        while left > 0 {
            let mut spare = self.connection.spare();
            let count = spare.remaining_mut().min(left);
            if count == 0 {
                assert!(self.greeted.is_some() || self.connection.is_closing());
                return;
            }
            spare.put_slice(&self.on_the_way.make_contiguous()[..count]);
            self.on_the_way.drain(..count);
            left -= count;
            self.poll();
        }
    }

    /// Everything that has come, up to what has to be answered first.
    fn poll(&mut self) {
        let frames = self.connection.frames().0;
        while let Some(event) = self.connection.poll_event(self.now) {
            self.event(event);
        }
        if frames != self.connection.frames().0 {
            (self.heard, self.pinged) = (self.now, None);
        }
        if let Some((header, _)) = self.connection.long_frame()
            && !self.connection.is_closing()
        {
            assert!(header.len as usize > OAP_READ_BYTES);
            if self.affords {
                self.connection.grant_long_frame();
            } else {
                self.connection.skip_long_frame();
            }
        }
    }

    fn event(&mut self, event: Event) {
        assert!(!self.is_over && self.greeted.is_none());
        match event {
            Event::Hello { corr_id, hello, .. } => {
                assert!(!self.welcomed, "once");
                self.accepts_compression = hello.accept_comp;
                self.greeted = Some(corr_id);
            }
            Event::Request {
                corr_id, app, part, ..
            } => {
                assert!(self.welcomed);
                let stream = Stream {
                    app,
                    asked: part.end,
                    begun: false,
                    wants_turn: false,
                    parked: false,
                    waited: 0,
                };
                let other = self.streams.insert(corr_id, stream);
                assert!(other.is_none(), "it is open");
                assert!(self.streams.len() - self.parked() <= self.max_streams);
            }
            Event::Body {
                corr_id,
                part: Part { end, .. },
            } => {
                let stream = self.streams.get_mut(&corr_id);
                let stream = stream.expect("the answer is not over");
                assert!(!stream.asked, "behind the last frame");
                stream.asked = end;
            }
            Event::Cancelled { corr_id } => {
                let stream = self.streams.remove(&corr_id);
                assert!(stream.is_some(), "the answer is not over");
            }
            Event::Fault(fault) => {
                assert_eq!(fault.fatal, self.connection.is_closing());
                assert!(fault.fatal || self.welcomed);
                self.refuse(fault.corr_id, fault.app, fault.code);
                if fault.fatal {
                    self.is_over = true;
                    self.streams.clear();
                }
            }
        }
    }

    // --- Out -------------------------------------------------------------------------------

    fn greet(&mut self, welcome: bool) {
        let Some(corr_id) = self.greeted.take() else {
            return;
        };
        if self.connection.is_closing() {
            return;
        }
        if !welcome {
            self.refuse(corr_id, CONTROL, ErrorCode::Unauthenticated);
            self.connection.close();
            self.is_over = true;
            return;
        }
        self.welcomed = true;
        self.connection.welcome(&self.welcome());
        assert!(self.connection.is_open());
        self.expect(Flags::RESP, 200, CONTROL, corr_id, None);
        self.poll();
    }

    fn welcome(&self) -> Welcome {
        Welcome::new(OAP_FRAME_BYTES_MIN as u32, self.max_streams as u32)
    }

    fn respond(&mut self, corr_id: u8, fields: u8, body: u16, ends: bool) {
        let corr_id = u64::from(corr_id % IDS);
        if self.is_over {
            return;
        }
        let fields = vec![b'f'; fields.into()];
        let body = content(body.into());
        match self.streams.get_mut(&corr_id) {
            // An owner begins an answer once.
            Some(stream) if stream.begun => return,
            Some(stream) => {
                stream.begun = true;
                let (app, payload) = (stream.app, [&fields[..], &body].concat());
                self.answer(Flags::START, app, corr_id, payload, ends);
            }
            None => {}
        }
        let body = Bytes::from(body);
        self.connection.respond(corr_id, 200, &fields, body, ends);
    }

    fn turn(&mut self, body: u16, ends: bool) {
        if self.is_over {
            return;
        }
        let turn = self.connection.poll_turn();
        let Some(corr_id) = turn else {
            assert!(!self.streams.values().any(Stream::has_turn));
            return;
        };
        for (waiting, stream) in &mut self.streams {
            if *waiting == corr_id {
                assert!(stream.has_turn(), "it has a turn before its answer begins");
                stream.waited = 0;
                stream.wants_turn = false;
            } else if stream.has_turn() {
                stream.waited += 1;
                // Newcomers and the others by turns, and no more of either than there can be.
                let round = 2 * (self.max_streams + MAX_PARKED).min(IDS.into());
                assert!(stream.waited <= round, "it is kept waiting");
            }
        }
        let Stream { app, begun, .. } = self.streams[&corr_id];
        if !begun {
            self.notify(corr_id, 0, body, ends);
            return;
        }
        let body = content(usize::from(body).min(OAP_CHUNK_BYTES));
        self.answer(Flags::default(), app, corr_id, body.clone(), ends);
        let body = Bytes::from(body);
        self.connection.respond_more(corr_id, 200, body, ends);
    }

    fn park(&mut self, corr_id: u8) {
        let corr_id = u64::from(corr_id % IDS);
        if self.is_over {
            return;
        }
        let parked = self.parked();
        let stream = self.streams.get_mut(&corr_id);
        let fits = stream.is_some_and(|stream| {
            stream.parked = stream.parked || parked < MAX_PARKED;
            stream.parked
        });
        assert_eq!(self.connection.park(corr_id), fits);
    }

    fn unpark(&mut self, corr_id: u8) {
        let corr_id = u64::from(corr_id % IDS);
        if let Some(stream) = self.streams.get_mut(&corr_id) {
            stream.parked = false;
        }
        self.connection.unpark(corr_id);
    }

    fn parked(&self) -> usize {
        let streams = self.streams.values();
        streams.filter(|stream| stream.parked).count()
    }

    fn want_turn(&mut self, corr_id: u8) {
        let corr_id = u64::from(corr_id % IDS);
        if self.is_over {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&corr_id)
            && !stream.has_turn()
        {
            stream.wants_turn = true;
            stream.waited = 0;
        }
        self.connection.want_turn(corr_id);
    }

    fn notify(&mut self, corr_id: u64, fields: u8, body: u16, ack_req: bool) {
        if self.is_over {
            return;
        }
        let fields = vec![b'f'; fields.into()];
        let body = content(body.into());
        if let Some(stream) = self.streams.get(&corr_id) {
            let flags = if ack_req {
                Flags::EVENT.with(Flags::ACK_REQ)
            } else {
                Flags::EVENT
            };
            let payload = [&fields[..], &body].concat();
            self.expect(flags, 200, stream.app, corr_id, Some(payload));
        }
        let body = Bytes::from(body);
        self.connection.notify(corr_id, 200, ack_req, &fields, body);
    }

    /// Takes note of a frame of an answer.
    fn answer(&mut self, flags: Flags, app: u16, corr_id: u64, payload: Vec<u8>, ends: bool) {
        let flags = if ends { flags.with(Flags::END) } else { flags };
        self.expect(Flags::RESP.with(flags), 200, app, corr_id, Some(payload));
        if ends {
            self.streams.remove(&corr_id);
        }
    }

    fn refuse(&mut self, corr_id: u64, app: u16, code: ErrorCode) {
        let stream = self.streams.remove(&corr_id);
        let app = stream.map_or(app, |stream| stream.app);
        let document = format!(r#"{{"code":"{code}"}}"#);
        let payload = Some(document.clone().into_bytes());
        let flags = Flags::RESP.with(Flags::END);
        self.expect(flags, code.status(), app, corr_id, payload);
        self.connection.refuse(corr_id, app, code, document.into());
    }

    fn expect(
        &mut self,
        flags: Flags,
        code: u16,
        app: u16,
        corr_id: u64,
        payload: Option<Vec<u8>>,
    ) {
        self.pushed += 1;
        self.expected.push_back(Expected {
            flags,
            code,
            app,
            corr_id,
            payload,
        });
    }

    /// The peer takes bytes, which are frames.
    fn write(&mut self, count: usize) {
        let mut left = count.min(self.connection.queued());
        while left > 0 {
            let mut slices = [IoSlice::new(&[]); 2];
            let filled = self.connection.slices(&mut slices);
            assert!(filled > 0, "what is queued is somewhere");
            let mut spare = self.peer.spare();
            let slice = &slices[0];
            let count = slice.len().min(left).min(spare.remaining_mut());
            spare.put_slice(&slice[..count]);
            self.connection.handle_written(self.now, count);
            left -= count;
            loop {
                match self.peer.next().expect("well-formed frames") {
                    Some(Decoded::Frame(frame)) => self.receive(frame),
                    Some(Decoded::Skipped(_)) => panic!("nothing was skipped"),
                    None => break,
                }
            }
            self.peer.grant();
        }
    }

    fn receive(&mut self, frame: Frame) {
        let expected = self.expected.pop_front().expect("asked for");
        let header = &frame.header;
        assert_eq!((header.code, header.app), (expected.code, expected.app));
        assert_eq!(header.corr_id, expected.corr_id);
        assert_eq!((header.tenant, header.cap_len), (0, 0));
        let Some(payload) = expected.payload else {
            // As HELLO came, with or without START and END.
            assert_eq!(header.kind(), Kind::Resp);
            assert_eq!(Welcome::decode(&frame.payload), Ok(self.welcome()));
            return;
        };
        if header.flags.has(Flags::COMP) {
            assert!(self.accepts_compression);
            assert_eq!(header.flags, expected.flags.with(Flags::COMP));
            let ratio = DECOMPRESS_RATIO as usize;
            let bound = inflated_bound(&frame.payload, ratio, OAP_FRAME_BYTES);
            assert!(inflate(&frame.payload, bound) == Ok(payload));
        } else {
            assert_eq!(header.flags, expected.flags);
            assert!(frame.payload == payload);
        }
    }

    // --- Time ------------------------------------------------------------------------------

    fn wait(&mut self, ms: u16) {
        self.now += Duration::from_millis(ms.into());
        let due = self.connection.poll_timeout();
        let is_due = due.is_some_and(|at| at <= self.now);
        let pings = is_due && self.parked() > 0 && self.pinged.is_none();
        let expired = self.connection.handle_timeout(self.now);
        assert_eq!(expired.is_some(), is_due && !pings);
        if pings {
            self.pinged = Some(self.now);
            self.expect(Flags::EVENT, 1, CONTROL, 0, Some(Vec::new()));
            assert_eq!(self.connection.poll_timeout(), None, "it is to be written");
        }
        if let Some(expired) = expired {
            assert!(self.connection.is_closing());
            assert_eq!(self.connection.poll_timeout(), None, "said once");
            assert!(self.connection.poll_event(self.now).is_none());
            assert_eq!(self.streams.len(), self.parked(), "an answer is owed");
            let is_silent = expired == Expired::Silent;
            assert_eq!(is_silent, !self.streams.is_empty(), "another reason");
        }
    }

    // --- What holds ------------------------------------------------------------------------

    fn check(&self) {
        let connection = &self.connection;
        assert!(connection.streams() <= self.max_streams + MAX_PARKED);
        if !self.is_over {
            assert_eq!(connection.parked(), self.parked());
            let waits = self.expected.is_empty() && self.parked() == self.streams.len();
            assert_eq!(connection.only_waits(), waits);
            assert!(connection.streams() >= self.streams.len());
            assert_eq!(connection.owes_answers(true), !self.streams.is_empty());
            let asked = self.streams.values().any(|stream| stream.asked);
            assert_eq!(connection.owes_answers(false), asked);
        }
        assert_eq!(connection.frames().1.iter().sum::<u64>(), self.pushed);
        let end = connection.written() + connection.queued() as u64;
        assert_eq!(connection.end_of_queue(), end);
        assert_eq!(connection.queued() == 0, self.expected.is_empty());
        if let Some(at) = connection.poll_timeout() {
            assert!(at <= self.now + IDLE && !connection.is_closing());
            let ping = self.heard + PING;
            let silent = self.pinged.map_or(ping, |pinged| pinged + PATIENCE);
            assert!(self.parked() == 0 || at == silent, "at another time");
        }
    }

    /// Every stream is answered and everything is taken: the connection rests, and ends in time.
    fn finish(mut self) {
        self.arrive(usize::MAX);
        self.greet(true);
        self.arrive(usize::MAX);
        for corr_id in 0..IDS {
            self.respond(corr_id, 0, 1, false);
        }
        while !self.is_over && self.streams.values().any(|stream| stream.begun) {
            self.turn(1, true);
        }
        let others: Vec<u64> = self.streams.keys().copied().collect();
        for corr_id in others {
            self.refuse(corr_id, CONTROL, ErrorCode::NotFound);
        }
        self.check();
        assert!(self.is_over || self.connection.poll_turn().is_none());
        self.write(usize::MAX);
        assert!(self.expected.is_empty() && !self.peer.is_frame_open());
        if self.connection.is_closing() {
            return;
        }
        let Some(at) = self.connection.poll_timeout() else {
            // Its owner holds the frame that broke off to its pace.
            assert!(self.connection.is_frame_open(), "it never ends");
            return;
        };
        let before = at - Duration::from_nanos(1);
        assert_eq!(self.connection.handle_timeout(before), None);
        assert!(self.connection.handle_timeout(at).is_some());
        assert!(self.connection.is_closing());
    }
}
