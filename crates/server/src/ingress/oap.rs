//! The OAP ingress: frames to [`Call`](crate::call::Call), [`Reply`](crate::call::Reply) to
//! frames. Rules live elsewhere: the protocol's in `protocol::connection`, those for requests in
//! `guard::admission`.
//!
//! ```text
//! socket ─► session ─► connection (protocol) ─► requests ─► guard, dispatch
//!           (I/O,      (frames, streams,        (whole: answered at once;
//!            clocks)    whose turn)              in parts: work of its own)
//! socket ◄─ session ◄─ connection ◄───────────── answers
//! ```
//!
//! A connection is one task. What is whole in one frame and needs no waiting is answered while its
//! frame is looked at, without a task, a timer or a copy of its bytes.

mod answer;
mod authority;
mod clocks;
mod deliveries;
mod feeding;
mod inbox;
mod long_frame;
mod memory;
mod pace;
mod parked;
mod question;
mod requests;
mod session;
mod stream;
mod terms;
mod work;

use crate::call::CallError;
use crate::ingress::http::problem;
use bytes::Bytes;
use micronode_hardening::Refusal;
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::operation::CONTROL;

pub(crate) use session::serve;

/// The last and only frame of a connection that no session is made for.
pub(crate) fn raw(refusal: &Refusal) -> Bytes {
    let error = CallError::from(*refusal);
    let document = problem::document(&error, "0");
    let header = Header {
        len: u32::try_from(HEADER_BYTES + document.len()).expect("a document is short"),
        flags: Flags::RESP.with(Flags::END),
        code: error.code.status(),
        app: CONTROL,
        ..Header::default()
    };
    [&header.encode()[..], &document].concat().into()
}
