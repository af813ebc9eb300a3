//! A server of OAP/1 that does what a script says.

use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::{BufMut, Bytes};
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame};
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::limits::OAP_FRAME_BYTES;
use micronode_protocol::operation::Welcome;

use super::{Deed, Script};

/// Starts it; it ends with the process. Returns its URL.
pub(crate) fn serve(script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("oap://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, script) = (stream.unwrap(), script.clone());
            std::thread::spawn(move || talk(stream, &script).err());
        }
    });
    url
}

fn talk(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut decoder = Decoder::new(OAP_FRAME_BYTES);
    let hello = read(&mut stream, &mut decoder)?;
    let welcome = Welcome::new(OAP_FRAME_BYTES as u32, 64).encode();
    answer(&mut stream, &hello, 200, &welcome)?;
    loop {
        let request = read(&mut stream, &mut decoder)?;
        let body = &request.payload;
        match script.next() {
            Deed::Echo(after) => {
                std::thread::sleep(after);
                answer(&mut stream, &request, 200, body)?;
            }
            Deed::Shorten => answer(&mut stream, &request, 200, &body[1..])?,
            Deed::Corrupt => {
                let mut body = body.to_vec();
                *body.last_mut().unwrap() ^= 1;
                answer(&mut stream, &request, 200, &body)?;
            }
            Deed::Refuse => answer(&mut stream, &request, 503, b"{}")?,
            Deed::Fail => answer(&mut stream, &request, 500, b"{}")?,
            Deed::Garble => stream.write_all(&[0xff; 64])?,
            Deed::Ignore => {}
            Deed::Close => return Ok(()),
            Deed::Break => return stream.write_all(&[0, 0, 1]),
        }
    }
}

fn read(stream: &mut TcpStream, decoder: &mut Decoder) -> std::io::Result<Frame> {
    loop {
        match decoder.next() {
            Ok(Some(Decoded::Frame(frame))) => return Ok(frame),
            Ok(_) => {}
            Err(malformed) => return Err(std::io::Error::other(malformed.error)),
        }
        let mut bytes = [0; 4096];
        let mut spare = decoder.spare();
        let most = spare.remaining_mut().min(bytes.len());
        match stream.read(&mut bytes[..most])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => spare.put_slice(&bytes[..count]),
        }
    }
}

fn answer(
    stream: &mut TcpStream,
    request: &Frame,
    code: u16,
    payload: &[u8],
) -> std::io::Result<()> {
    let flags = if code < 400 { Flags::WHOLE } else { Flags::END };
    let header = Header {
        flags: Flags::RESP.with(flags),
        code,
        ..request.header
    };
    let mut encoder = Encoder::new();
    encoder.push(&header, b"", payload, Bytes::new());
    let mut slices = [IoSlice::new(b""); 4];
    let count = encoder.slices(&mut slices);
    let bytes: Vec<u8> = slices[..count]
        .iter()
        .flat_map(|one| one.to_vec())
        .collect();
    stream.write_all(&bytes)
}
