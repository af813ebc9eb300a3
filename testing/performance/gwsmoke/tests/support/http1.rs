//! A server of HTTP/1.1 that does what a script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::{Deed, Script};

/// Starts it; it ends with the process. Returns its URL.
pub(crate) fn serve(script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, script) = (stream.unwrap(), script.clone());
            // A client that goes ends it.
            std::thread::spawn(move || talk(stream, &script).err());
        }
    });
    url
}

fn talk(stream: TcpStream, script: &Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (mut status, mut declared) = ("200 OK", length);
        match script.next() {
            Deed::Echo(after) => std::thread::sleep(after),
            Deed::Shorten => {
                body.pop();
                declared -= 1;
            }
            Deed::Corrupt => *body.last_mut().unwrap() ^= 1,
            Deed::Refuse => status = "503 Service Unavailable",
            Deed::Fail => status = "500 Internal Server Error",
            Deed::Garble => {
                stream.write_all(b"+OK what was that?\r\n")?;
                continue;
            }
            Deed::Ignore => continue,
            Deed::Close => return Ok(()),
            Deed::Break => {
                body.truncate(body.len() / 2);
            }
        }
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {declared}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        if body.len() < declared {
            return Ok(());
        }
    }
}
