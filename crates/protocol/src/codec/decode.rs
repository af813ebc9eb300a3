//! Cutting frames out of the bytes that arrive.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::frame::{FrameError, HEADER_BYTES, Header};
use crate::limits::OAP_READ_BYTES;

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

    /// The frame that is being read and does not fit the buffer, until it is decided what to do
    /// about it: [`grant`](Self::grant) it memory of its length, or [`skip`](Self::skip) it.
    /// Nothing more is read before.
    pub fn long_frame(&self) -> Option<&Header> {
        match &self.state {
            State::Long(header, Long::Undecided) => Some(header),
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
    /// [long frame](Self::long_frame) is undecided, and after a failure.
    pub fn spare(&mut self) -> Limit<&mut BytesMut> {
        let filled = self.buffer.len();
        let room = match self.state {
            State::Failed(_) | State::Long(_, Long::Undecided) => 0,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Flags;
    use crate::limits::OAP_FRAME_BYTES;

    fn bytes_of(flags: Flags, cap: usize, payload: usize, corr_id: u64) -> Vec<u8> {
        let header = Header {
            len: (HEADER_BYTES + cap + payload) as u32,
            flags,
            cap_len: cap as u16,
            corr_id,
            ..Header::default()
        };
        let rest = (0..cap + payload).map(|index| (index % 251) as u8);
        header.encode().into_iter().chain(rest).collect()
    }

    /// Writes `bytes` into the decoder as a socket would, and returns how many it took.
    fn read(decoder: &mut Decoder, bytes: &[u8]) -> usize {
        let mut spare = decoder.spare();
        let count = spare.remaining_mut().min(bytes.len());
        spare.put_slice(&bytes[..count]);
        count
    }

    /// Every frame of `stream`, which arrives in pieces of the lengths that `cuts` gives in turn.
    fn decode(stream: &[u8], cuts: &[usize]) -> (Vec<Decoded>, Result<(), Malformed>) {
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let (mut frames, mut at, mut largest) = (Vec::new(), 0, OAP_READ_BYTES);
        for cut in cuts.iter().cycle() {
            let end = stream.len().min(at + cut);
            while at < end {
                at += read(&mut decoder, &stream[at..end]);
                assert!(decoder.capacity() <= largest, "{}", decoder.capacity());
                loop {
                    match decoder.next() {
                        Ok(Some(decoded)) => frames.push(decoded),
                        Ok(None) => break,
                        Err(malformed) => return (frames, Err(malformed)),
                    }
                }
                if let Some(header) = decoder.long_frame() {
                    largest = largest.max(header.len as usize);
                    decoder.grant();
                }
            }
            if at == stream.len() {
                return (frames, Ok(()));
            }
        }
        unreachable!("cuts are not empty")
    }

    #[test]
    fn a_long_frame_waits_for_a_grant_and_owns_its_memory() {
        let whole = Flags::REQ.with(Flags::WHOLE);
        let stream = bytes_of(whole, 3, OAP_FRAME_BYTES - HEADER_BYTES - 3, 7);
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let mut at = read(&mut decoder, &stream);
        assert!(at <= OAP_READ_BYTES);
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(decoder.long_frame().unwrap().corr_id, 7);
        assert_eq!(
            decoder.spare().remaining_mut(),
            0,
            "nothing before a decision"
        );
        decoder.grant();
        while at < stream.len() {
            at += read(&mut decoder, &stream[at..]);
        }
        let Ok(Some(Decoded::Frame(frame))) = decoder.next() else {
            panic!("a frame")
        };
        assert_eq!(frame.cap, stream[HEADER_BYTES..HEADER_BYTES + 3]);
        assert_eq!(frame.payload, stream[HEADER_BYTES + 3..]);
        assert_eq!(decoder.capacity(), 0);
        drop(frame.cap);
        assert!(frame.payload.is_unique());
    }

    #[test]
    fn a_skipped_frame_passes_through_a_small_buffer() {
        let whole = Flags::REQ.with(Flags::WHOLE);
        let mut stream = bytes_of(whole, 0, OAP_FRAME_BYTES - HEADER_BYTES, 1);
        stream.extend(bytes_of(whole, 0, 5, 2));
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let (mut at, mut seen) = (0, Vec::new());
        while at < stream.len() {
            at += read(&mut decoder, &stream[at..]);
            assert!(decoder.capacity() <= OAP_READ_BYTES);
            while let Some(decoded) = decoder.next().unwrap() {
                seen.push(match decoded {
                    Decoded::Skipped(header) => (header.corr_id, None),
                    Decoded::Frame(frame) => (frame.header.corr_id, Some(frame.payload.len())),
                });
            }
            decoder.skip();
        }
        assert_eq!(seen, [(1, None), (2, Some(5))]);
        assert!(!decoder.is_frame_open());
    }

    #[test]
    fn a_fault_stays_a_fault_and_takes_no_more_bytes() {
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let mut stream = bytes_of(Flags::REQ.with(Flags::START), 2, 0, 9);
        stream[29] = 3; // The capability is one longer than the frame.
        read(&mut decoder, &stream);
        let fault = Malformed {
            corr_id: 9,
            error: FrameError::CapOutOfBounds,
        };
        assert_eq!(decoder.next(), Err(fault));
        assert_eq!(decoder.next(), Err(fault));
        assert_eq!(decoder.spare().remaining_mut(), 0);
    }

    /// A long frame that had filled the buffer left no room when it was skipped, until frames were
    /// asked for again. A reader that only asks when something has come waited for ever.
    #[test]
    fn there_is_room_behind_a_skipped_frame() {
        let whole = Flags::REQ.with(Flags::WHOLE);
        let stream = bytes_of(whole, 0, 2 * OAP_READ_BYTES, 1);
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let mut at = read(&mut decoder, &stream);
        assert_eq!((at, decoder.next()), (OAP_READ_BYTES, Ok(None)));
        decoder.skip();
        while at < stream.len() {
            let count = read(&mut decoder, &stream[at..]);
            assert!(count > 0, "no room");
            at += count;
            if at < stream.len() {
                assert_eq!(decoder.next(), Ok(None));
            }
        }
        assert!(matches!(decoder.next(), Ok(Some(Decoded::Skipped(_)))));
    }

    /// A reader that read twice before it asked for frames, as one does that has been told to close
    /// its connection, made the room for a frame's rest negative once the rest was there.
    #[test]
    fn room_runs_out_when_no_frames_are_asked_for() {
        let stream = bytes_of(Flags::REQ, 0, 100, 1).repeat(2 * OAP_READ_BYTES / 138);
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let mut at = read(&mut decoder, &stream[..50]);
        assert_eq!(decoder.next(), Ok(None));
        loop {
            match read(&mut decoder, &stream[at..]) {
                0 => break,
                count => at += count,
            }
        }
        assert_eq!((at, decoder.capacity()), (OAP_READ_BYTES, OAP_READ_BYTES));
        let mut frames = 0;
        while let Some(Decoded::Frame(frame)) = decoder.next().unwrap() {
            assert_eq!(frame.payload.len(), 100);
            frames += 1;
        }
        assert_eq!(frames, OAP_READ_BYTES / 138);
    }

    /// A frame that had been granted its memory could be skipped with more in the buffer than the
    /// usual size has room for.
    #[test]
    fn a_granted_frame_that_is_skipped_gives_its_memory_back() {
        let whole = Flags::REQ.with(Flags::WHOLE);
        let stream = bytes_of(whole, 0, 2 * OAP_READ_BYTES, 1);
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let mut at = read(&mut decoder, &stream);
        assert_eq!(decoder.next(), Ok(None));
        decoder.grant();
        at += read(&mut decoder, &stream[at..stream.len() - 1]);
        decoder.skip();
        assert_eq!(decoder.capacity(), 0);
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(read(&mut decoder, &stream[at..]), 1);
        assert!(matches!(decoder.next(), Ok(Some(Decoded::Skipped(_)))));
        assert!(decoder.capacity() <= OAP_READ_BYTES && !decoder.is_frame_open());
    }

    #[test]
    fn a_buffer_whose_frames_are_gone_is_used_again() {
        let frame = bytes_of(Flags::REQ, 0, 64 * 1024, 1);
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let mut first = None;
        for _ in 0..100 {
            let mut at = 0;
            while at < frame.len() {
                at += read(&mut decoder, &frame[at..]);
            }
            let Ok(Some(Decoded::Frame(frame))) = decoder.next() else {
                panic!("a frame")
            };
            let place = frame.payload.as_ptr();
            assert_eq!(*first.get_or_insert(place), place);
        }
    }

    #[derive(Clone, Debug)]
    struct Shape {
        start: bool,
        cap: usize,
        payload: usize,
        corr_id: u64,
    }

    fn shapes() -> impl Strategy<Value = Vec<Shape>> {
        let payload = prop_oneof![
            8 => 0..200_usize,
            2 => 60_000..80_000_usize,
            1 => Just(OAP_FRAME_BYTES - HEADER_BYTES - 200),
        ];
        let shape = (any::<bool>(), 0..200_usize, payload, any::<u64>()).prop_map(
            |(start, cap, payload, corr_id)| Shape {
                start,
                cap: if start { cap } else { 0 },
                payload,
                corr_id,
            },
        );
        prop::collection::vec(shape, 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_cut_of_a_valid_stream_gives_the_same_frames(
            shapes in shapes(),
            cuts in prop::collection::vec(1..100_000_usize, 1..8),
        ) {
            let mut stream = Vec::new();
            for shape in &shapes {
                let flags = if shape.start { Flags::REQ.with(Flags::START) } else { Flags::REQ };
                stream.extend(bytes_of(flags, shape.cap, shape.payload, shape.corr_id));
            }
            let (frames, ended) = decode(&stream, &cuts);
            prop_assert_eq!(ended, Ok(()));
            prop_assert_eq!(frames.len(), shapes.len());
            for (decoded, shape) in frames.iter().zip(&shapes) {
                let Decoded::Frame(frame) = decoded else { panic!("nothing was skipped") };
                let sizes = (frame.cap.len(), frame.payload.len(), frame.header.corr_id);
                prop_assert_eq!(sizes, (shape.cap, shape.payload, shape.corr_id));
            }
            let whole = decode(&stream, &[stream.len()]);
            prop_assert_eq!(frames, whole.0);
        }

        #[test]
        fn any_bytes_give_frames_or_one_typed_error(
            stream in prop::collection::vec(any::<u8>(), 1..4096),
            cuts in prop::collection::vec(1..512_usize, 1..8),
        ) {
            prop_assert_eq!(decode(&stream, &cuts), decode(&stream, &[stream.len()]));
        }
    }
}
