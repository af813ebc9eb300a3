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
            if let Some((header, _)) = decoder.long_frame() {
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
    assert_eq!(decoder.long_frame().unwrap().0.corr_id, 7);
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
fn a_long_frame_is_decided_about_once_its_capability_is_there() {
    let whole = Flags::REQ.with(Flags::WHOLE);
    for (cap, wanted) in [
        (0, Some(0)),
        (1, Some(1)),
        (CAPABILITY_BYTES, Some(CAPABILITY_BYTES)),
        // As good as none of it: nothing is waited for.
        (CAPABILITY_BYTES + 1, Some(0)),
    ] {
        let stream = bytes_of(whole, cap, OAP_FRAME_BYTES - HEADER_BYTES - cap, 7);
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        let (mut at, mut seen) = (0, None);
        while seen.is_none() {
            assert!(at < HEADER_BYTES + CAPABILITY_BYTES, "decided in time");
            read(&mut decoder, &stream[at..=at]);
            at += 1;
            assert_eq!(decoder.next(), Ok(None));
            seen = decoder.long_frame().map(|(_, cap)| cap.to_vec());
        }
        assert_eq!(seen.as_ref().map(Vec::len), wanted);
        assert_eq!(seen.unwrap(), stream[HEADER_BYTES..at]);
        assert_eq!(decoder.spare().remaining_mut(), 0, "nothing more");
    }
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
