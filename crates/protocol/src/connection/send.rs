//! What a peer is sent: welcomes, answers, events and refusals.

use bytes::Bytes;

use super::{Connection, Phase};
use crate::ErrorCode;
use crate::compression::deflate;
use crate::frame::{Flags, Header};
use crate::limits::DECOMPRESS_RATIO;
use crate::operation::{CONTROL, Welcome};

impl Connection {
    /// Answers HELLO. Requests come from now on.
    ///
    /// # Panics
    ///
    /// If no [`Event::Hello`](super::Event::Hello) waits for it.
    pub fn welcome(&mut self, welcome: &Welcome) {
        let Phase::Greeting { corr_id, flags } = self.phase else {
            panic!("a welcome answers a HELLO");
        };
        self.phase = Phase::Open;
        let header = Header {
            flags: Flags::RESP.with(flags),
            code: 200,
            app: CONTROL,
            corr_id,
            ..Header::default()
        };
        self.push(&header, &[], welcome.encode().into());
    }

    /// Begins the answer of a stream: status, fields, and the first of the body. Unless it `ends`
    /// with it, the stream has turns from now on. Nothing happens if the stream is not open.
    pub fn respond(&mut self, corr_id: u64, code: u16, fields: &[u8], body: Bytes, ends: bool) {
        self.answer(corr_id, Flags::START, code, fields, body, ends);
        if !ends {
            self.streams.begin_turns(corr_id);
        }
    }

    /// Goes on with an answer, on the stream's [turn](Self::poll_turn).
    pub fn respond_more(&mut self, corr_id: u64, code: u16, body: Bytes, ends: bool) {
        self.answer(corr_id, Flags::default(), code, &[], body, ends);
        if !ends {
            self.streams.next_turn(corr_id);
        }
    }

    fn answer(
        &mut self,
        corr_id: u64,
        flags: Flags,
        code: u16,
        fields: &[u8],
        body: Bytes,
        ends: bool,
    ) {
        let Some(app) = self.streams.app(corr_id) else {
            return;
        };
        let end = if ends { Flags::END } else { Flags::default() };
        let header = Header {
            flags: Flags::RESP.with(flags).with(end),
            code,
            app,
            corr_id,
            ..Header::default()
        };
        self.push_of_stream(header, fields, body);
        if ends {
            self.streams.answered(corr_id);
        }
    }

    /// Tells of something that has happened, before the answer that ends the stream. Nothing
    /// happens if the stream is not open.
    pub fn notify(&mut self, corr_id: u64, code: u16, ack_req: bool, fields: &[u8], body: Bytes) {
        let Some(app) = self.streams.app(corr_id) else {
            return;
        };
        let flags = if ack_req {
            Flags::EVENT.with(Flags::ACK_REQ)
        } else {
            Flags::EVENT
        };
        let header = Header {
            flags,
            code,
            app,
            corr_id,
            ..Header::default()
        };
        self.push_of_stream(header, fields, body);
    }

    fn push_of_stream(&mut self, header: Header, fields: &[u8], body: Bytes) {
        match self.compressed(header.corr_id, fields, &body) {
            Some(compressed) => {
                let flags = header.flags.with(Flags::COMP);
                self.push(&Header { flags, ..header }, &[], compressed);
            }
            None => self.push(&header, fields, body),
        }
    }

    /// Ends a stream, open or not, with an error: its status and its document. A stream of which
    /// more is still to come is passed over from now on. `app` is the family in an answer to a
    /// frame of no stream.
    pub fn refuse(&mut self, corr_id: u64, app: u16, code: ErrorCode, document: Bytes) {
        let header = Header {
            flags: Flags::RESP.with(Flags::END),
            code: code.status(),
            app: self.streams.app(corr_id).unwrap_or(app),
            corr_id,
            ..Header::default()
        };
        self.push(&header, &[], document);
        self.streams.answered(corr_id);
    }

    pub(super) fn push(&mut self, header: &Header, fields: &[u8], body: Bytes) {
        self.frames_out[header.kind() as usize] += 1;
        self.encoder.push(header, &[], fields, body);
    }

    /// A payload compressed, if the peer takes it and it gains by it. What does not gain in one
    /// chunk is not tried again in the next.
    fn compressed(&mut self, corr_id: u64, fields: &[u8], body: &Bytes) -> Option<Bytes> {
        if !self.accepts_compression || !self.streams.compresses(corr_id) {
            return None;
        }
        let ratio = DECOMPRESS_RATIO as usize;
        let compressed = match fields {
            [] => deflate(body, ratio),
            fields => deflate(&[fields, body].concat(), ratio),
        };
        if compressed.is_none() {
            self.streams.compresses_no_more(corr_id);
        }
        compressed.map(Bytes::from)
    }
}
