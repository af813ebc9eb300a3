//! `oap_frames.json`: frames, and bytes that are none.

use bytes::BufMut;
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame, Malformed};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::limits::OAP_FRAME_BYTES;
use serde::Deserialize;
use std::io::IoSlice;

use super::Octets;

#[derive(Deserialize)]
struct Vectors {
    frames: Vec<Good>,
    faults: Vec<Bad>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    name: String,
    bytes: Octets,
    len: u32,
    flags: Vec<String>,
    code: u16,
    app: u16,
    tenant: Octets,
    corr_id: u64,
    cap: Octets,
    payload: Octets,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    name: String,
    bytes: Octets,
    error: String,
    corr_id: u64,
    told_at: usize,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../vectors/oap_frames.json")).unwrap()
}

/// The set of the flags with these names.
pub(super) fn flags(names: &[String]) -> Flags {
    let bit = |name: &String| match name.as_str() {
        "REQ" => Flags::REQ,
        "RESP" => Flags::RESP,
        "EVENT" => Flags::EVENT,
        "START" => Flags::START,
        "END" => Flags::END,
        "ACK_REQ" => Flags::ACK_REQ,
        "COMP" => Flags::COMP,
        "APP_E2E" => Flags::APP_E2E,
        other => panic!("no flag is called {other}"),
    };
    names.iter().map(bit).fold(Flags::default(), Flags::with)
}

/// What becomes of bytes that arrive in pieces of `step`: the only frame, or the fault and with how
/// many bytes it was told.
fn decode(bytes: &[u8], step: usize) -> Result<Frame, (usize, Malformed)> {
    let mut decoder = Decoder::new(OAP_FRAME_BYTES);
    let mut at = 0;
    while at < bytes.len() {
        let mut spare = decoder.spare();
        let count = spare.remaining_mut().min(step).min(bytes.len() - at);
        assert!(count > 0, "no room at {at}");
        spare.put_slice(&bytes[at..at + count]);
        at += count;
        match decoder.next() {
            Ok(None) => decoder.grant(),
            Ok(Some(Decoded::Frame(frame))) => {
                assert_eq!(at, bytes.len(), "a frame ends before its bytes do");
                assert!(!decoder.is_frame_open());
                return Ok(frame);
            }
            Ok(Some(Decoded::Skipped(_))) => panic!("nothing was skipped"),
            Err(malformed) => return Err((at, malformed)),
        }
    }
    panic!("neither a frame nor a fault");
}

fn encode(header: &Header, cap: &[u8], payload: Vec<u8>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.push(header, cap, &[], payload.into());
    let mut slices = [IoSlice::new(b""); 4];
    let count = encoder.slices(&mut slices);
    let written = slices[..count].iter().flat_map(|slice| slice.to_vec());
    written.collect()
}

#[test]
fn every_frame_is_taken_and_written_as_it_is() {
    let frames = vectors().frames;
    assert_eq!(frames.len(), 24);
    for case in frames {
        let name = case.name;
        let header = Header {
            len: case.len,
            flags: flags(&case.flags),
            code: case.code,
            app: case.app,
            tenant: u128::from_be_bytes(case.tenant.0.try_into().unwrap()),
            cap_len: case.cap.0.len().try_into().unwrap(),
            corr_id: case.corr_id,
        };
        let bytes = case.bytes.0;
        assert_eq!(header.encode(), bytes[..HEADER_BYTES], "{name}");
        // The longest ones not byte by byte.
        for step in [1 + bytes.len() / 1000, 4099, bytes.len()] {
            let frame = decode(&bytes, step).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            assert_eq!(frame.header, header, "{name}");
            assert_eq!(frame.cap, case.cap.0, "{name}");
            assert!(frame.payload == case.payload.0, "{name}");
        }
        // The lengths are the encoder's to say.
        let unmeasured = Header {
            len: 0,
            cap_len: 0,
            ..header
        };
        let written = encode(&unmeasured, &case.cap.0, case.payload.0);
        assert!(written == bytes, "{name}");
    }
}

#[test]
fn every_fault_is_told_as_soon_as_it_is_there() {
    let faults = vectors().faults;
    assert_eq!(faults.len(), 29);
    for case in faults {
        let (bytes, name) = (case.bytes.0, case.name);
        let Err((told_at, malformed)) = decode(&bytes, 1) else {
            panic!("{name}: taken");
        };
        assert_eq!(malformed.error.code().as_str(), case.error, "{name}");
        assert_eq!(malformed.corr_id, case.corr_id, "{name}");
        assert_eq!(told_at, case.told_at, "{name}");
        let (_, at_once) = decode(&bytes, bytes.len()).unwrap_err();
        assert_eq!(at_once, malformed, "{name}");
    }
}
