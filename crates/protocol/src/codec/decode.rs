//! Cutting frames out of the bytes that arrive.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::frame::{FrameError, HEADER_BYTES, Header};
use crate::limits::{CAPABILITY_BYTES, OAP_READ_BYTES};

/// Room that is worth a read. With less, the buffer is turned round first.
const READ_BYTES_MIN: usize = 8 * 1024;

/// A whole frame. Capability and payload share the memory that was read into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The fixed part.
    pub header: Header,
    /// The capability; empty when there is none.
    pub cap: Bytes,
    /// What follows it.
    pub payload: Bytes,
}

/// What [`Decoder::next`] has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A frame.
    Frame(Frame),
    /// A frame that was [skipped](Decoder::skip) has passed.
    Skipped(Header),
}

/// Bytes that are no frame, and the stream that they seem to belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// As it stands in the header.
    pub corr_id: u64,
    /// What is wrong.
    pub error: FrameError,
}

/// What is done about a frame that does not fit the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Long {
    Undecided,
    Granted,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before or in a header.
    Header,
    /// In a frame whose header has been read.
    Frame(Header),
    /// In a frame longer than the buffer.
    Long(Header, Long),
    /// In a frame of which so many bytes are still to be thrown away.
    Skipping(Header, usize),
    /// Behind something that was no frame.
    Failed(Malformed),
}

/// Cuts frames out of a byte stream. Its cost is linear in the bytes, however they are cut: a
/// header is parsed once, and a byte is moved at most twice after it was read.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    state: State,
    max_frame: usize,
}

impl Decoder {
    /// A decoder that takes frames of at most `max_frame` bytes. Holds no memory yet.
    pub fn new(max_frame: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            state: State::Header,
            max_frame,
        }
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    ///
    /// When what is there is no frame, and from then on.
    #[expect(
        clippy::should_implement_trait,
        reason = "it may have more to give after `None`"
    )]
    pub fn next(&mut self) -> Result<Option<Decoded>, Malformed> {
        if let State::Header = self.state {
            let Some(bytes) = self.buffer.first_chunk::<HEADER_BYTES>() else {
                return Ok(None);
            };
            match Header::parse(bytes, self.max_frame) {
                Ok(header) if header.len as usize > OAP_READ_BYTES => {
                    self.state = State::Long(header, Long::Undecided);
                }
                Ok(header) => self.state = State::Frame(header),
                Err(error) => {
                    let corr_id = Header::corr_id_of(bytes);
                    return Err(self.fail(Malformed { corr_id, error }));
                }
            }
        }
        match self.state {
            State::Header => Ok(None),
            State::Failed(malformed) => Err(malformed),
            State::Frame(header) | State::Long(header, _) => {
                let len = header.len as usize;
                if self.buffer.len() < len {
                    return Ok(None);
                }
                self.check_cap(&header)?;
                Ok(Some(Decoded::Frame(self.split(header))))
            }
            State::Skipping(header, left) => {
                let there = left.min(self.buffer.len());
                self.buffer.advance(there);
                self.state = State::Skipping(header, left - there);
                if there < left {
                    return Ok(None);
                }
                self.check_cap(&header)?;
                self.state = State::Header;
                Ok(Some(Decoded::Skipped(header)))
            }
        }
    }

    fn fail(&mut self, malformed: Malformed) -> Malformed {
        self.state = State::Failed(malformed);
        self.buffer = BytesMut::new();
        malformed
    }

    fn check_cap(&mut self, header: &Header) -> Result<(), Malformed> {
        header.check_cap().map_err(|error| {
            let corr_id = header.corr_id;
            self.fail(Malformed { corr_id, error })
        })
    }

    /// Takes a frame that is whole out of the buffer.
    fn split(&mut self, header: Header) -> Frame {
        let mut rest = self.buffer.split_to(header.len as usize);
        if self.buffer.is_empty() && matches!(self.state, State::Long(..)) {
            // What is left of its memory belongs to the frame.
            self.buffer = BytesMut::new();
        }
        self.state = State::Header;
        rest.advance(HEADER_BYTES);
        let cap = match header.cap_len {
            0 => Bytes::new(),
            len => rest.split_to(usize::from(len)).freeze(),
        };
        Frame {
            header,
            cap,
            payload: rest.freeze(),
        }
    }

    /// The frame that is being read and does not fit the buffer, and its capability, until it is
    /// decided what to do about it: [`grant`](Self::grant) it memory of its length, or
    /// [`skip`](Self::skip) it. Nothing more is read before. A capability longer than any is as
    /// good as none of it.
    pub fn long_frame(&self) -> Option<(&Header, &[u8])> {
        match &self.state {
            State::Long(header, Long::Undecided) => {
                let cap = self.buffer.get(HEADER_BYTES..head_bytes(header))?;
                Some((header, cap))
            }
            _ => None,
        }
    }

    /// Lets the long frame have its memory, which is allocated with the next
    /// [`spare`](Self::spare). Its payload is then the only user of that memory.
    pub fn grant(&mut self) {
        if let State::Long(_, decision) = &mut self.state {
            *decision = Long::Granted;
        }
    }

    /// Throws the long frame away as it comes, and what has come of it; also one that has been
    /// granted its memory, which is given back.
    pub fn skip(&mut self) {
        if let State::Long(header, _) = self.state {
            // Nothing is there of the next frame: this one does not fit.
            let left = header.len as usize - self.buffer.len();
            self.buffer = BytesMut::new();
            self.state = State::Skipping(header, left);
        }
    }

    /// Where the next bytes of the stream go. No room at all while a
    /// [long frame](Self::long_frame) is undecided, but for its capability, and after a failure.
    pub fn spare(&mut self) -> Limit<&mut BytesMut> {
        let filled = self.buffer.len();
        let room = match self.state {
            State::Failed(_) => 0,
            State::Long(header, Long::Undecided) => {
                let missing = head_bytes(&header).saturating_sub(filled);
                self.room_for(missing);
                missing
            }
            State::Long(header, Long::Granted) => {
                let len = header.len as usize;
                if self.buffer.capacity() < len {
                    self.move_to(len);
                }
                len - filled
            }
            State::Frame(header) => {
                // More than the frame may be there, until it has been asked for.
                let missing = (header.len as usize).saturating_sub(filled);
                self.room_for(missing.max(READ_BYTES_MIN.min(OAP_READ_BYTES - filled)));
                // Reading a large frame to its end, and no further, leaves an empty buffer.
                if missing >= READ_BYTES_MIN {
                    missing
                } else {
                    self.buffer.capacity() - filled
                }
            }
            State::Header | State::Skipping(..) => {
                self.room_for(READ_BYTES_MIN.min(OAP_READ_BYTES - filled));
                self.buffer.capacity() - filled
            }
        };
        (&mut self.buffer).limit(room)
    }

    /// Makes room for `more` bytes in a buffer of the usual size.
    fn room_for(&mut self, more: usize) {
        let has_room = self.buffer.capacity() - self.buffer.len() >= more;
        if !has_room && !self.buffer.try_reclaim(more) {
            self.move_to(OAP_READ_BYTES);
        }
    }

    fn move_to(&mut self, capacity: usize) {
        let mut buffer = BytesMut::with_capacity(capacity);
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer;
    }

    /// The header of the frame that is being read, and how many of the frame's bytes have come.
    pub fn open_frame(&self) -> Option<(&Header, usize)> {
        match &self.state {
            State::Frame(header) | State::Long(header, _) => {
                Some((header, self.buffer.len().min(header.len as usize)))
            }
            State::Skipping(header, left) => Some((header, header.len as usize - left)),
            State::Header | State::Failed(_) => None,
        }
    }

    /// Whether a part of a frame has come and the rest has not.
    pub fn is_frame_open(&self) -> bool {
        match self.state {
            State::Header => !self.buffer.is_empty(),
            State::Frame(_) | State::Long(..) | State::Skipping(..) => true,
            State::Failed(_) => false,
        }
    }

    /// Bytes of memory that the buffer has.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives the buffer's memory back, if there is nothing in it.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

/// Where the capability of a frame ends, if it is no longer than one may be.
fn head_bytes(header: &Header) -> usize {
    let cap = usize::from(header.cap_len);
    HEADER_BYTES + if cap <= CAPABILITY_BYTES { cap } else { 0 }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
