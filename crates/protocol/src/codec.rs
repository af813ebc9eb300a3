//! Frames out of bytes and into bytes, without I/O.
//!
//! Whoever has a socket lets it write into [`Decoder::spare`] and takes frames from
//! [`Decoder::next`]; puts frames into an [`Encoder`] and hands its [slices](Encoder::slices) to a
//! vectored write. Bytes of a body are copied on neither way: a payload is a slice of the buffer
//! that was read into, and a long body is written from where it is.
//!
//! What it holds is bounded before it is allocated: a decoder has one buffer of
//! [`OAP_READ_BYTES`](crate::limits::OAP_READ_BYTES), or one for a longer frame, once its owner has
//! agreed to pay for it.

mod decode;
mod encode;

pub use decode::{Decoded, Decoder, Frame, Malformed};
pub use encode::Encoder;
