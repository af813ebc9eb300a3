//! One HTTP/1.1 request and its answer, seen as they are.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// Largest head of an answer.
const HEAD_BYTES: u64 = 64 * 1024;
/// Largest body of an answer.
const BODY_BYTES: u64 = 8 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request of one step.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) fields: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl Request<'_> {
    /// Makes the request, on a connection of its own.
    pub(crate) fn ask(&self, address: SocketAddr, token: Option<&str>) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let Self { method, path, .. } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        head.push_str("Connection: close\r\n");
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if matches!(*method, "POST" | "PUT") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        // Who is refused from the head alone may find the connection closed while it writes: the
        // answer is there nevertheless.
        let sent = stream.write_all(self.body);
        let answer = read(BufReader::new(stream), method);
        match (answer, sent) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error),
        }
    }
}

fn read(mut reader: impl BufRead, method: &str) -> io::Result<Answer> {
    let mut answer = head(&mut reader)?;
    if method == "HEAD" || matches!(answer.status, 204 | 304) {
        return Ok(answer);
    }
    if answer.field("transfer-encoding") == Some("chunked") {
        return Err(unreadable("a chunked answer where a length is known"));
    }
    let length = answer.field("content-length").map(str::parse);
    let length: u64 = match length {
        Some(Ok(length)) if length <= BODY_BYTES => length,
        _ => return Err(unreadable("an answer without a length that makes sense")),
    };
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        let text = format!("closed after {} of {length} bytes of the body", body.len());
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    answer.body = body;
    Ok(answer)
}

fn head(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut reader = reader.take(HEAD_BYTES);
    let mut line = |what: &str| {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").map(ToOwned::to_owned);
        line.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed {what}")))
    };
    let first = line("without an answer")?;
    let mut words = first.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse().ok());
    let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
        return Err(unreadable("bytes that are not HTTP"));
    };
    let mut fields = Vec::new();
    loop {
        let line = line("inside the answer's head")?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| unreadable("bytes that are not HTTP"))?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Answer {
        status,
        fields,
        body: Vec::new(),
    })
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Answer {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether it is the problem of this status and code.
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> bool {
        let document = self.document();
        self.status == status
            && self.field("content-type") == Some("application/problem+json")
            && document["code"] == code
            && document["status"] == status
    }

    /// Status, and code or beginning of the body: enough to see what it was.
    pub(crate) fn told(&self) -> String {
        let document = self.document();
        if let (Some(code), Some(detail)) = (document["code"].as_str(), document["detail"].as_str())
        {
            return format!("{} {code} ({detail})", self.status);
        }
        let beginning = &self.body[..self.body.len().min(80)];
        match beginning.is_ascii() {
            true => format!("{} {:?}", self.status, String::from_utf8_lossy(beginning)),
            false => format!("{} and {} bytes", self.status, self.body.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(text: &str) -> io::Result<Answer> {
        read(text.as_bytes(), "GET")
    }

    #[test]
    fn an_answer_is_read_to_its_length() {
        let answer = answer("HTTP/1.1 200 OK\r\nA-b:  c \r\nContent-Length: 2\r\n\r\nhi!").unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hi"[..]));
        assert_eq!(answer.field("a-b"), Some("c"));
        let head = read(&b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"[..], "HEAD").unwrap();
        assert!(head.body.is_empty());
    }

    #[test]
    fn what_is_cut_short_or_is_not_http_says_so() {
        for (text, told) in [
            ("", "closed without an answer"),
            ("HTTP/1.1 20", "closed without an answer"),
            ("SSH-2.0-x\r\n", "bytes that are not HTTP"),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n",
                "closed inside the answer's head",
            ),
            ("HTTP/1.1 200 OK\r\nab\r\n\r\n", "bytes that are not HTTP"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
                "closed after 2 of 5 bytes of the body",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nhi",
                "an answer without a length that makes sense",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                "an answer without a length that makes sense",
            ),
        ] {
            assert_eq!(answer(text).unwrap_err().to_string(), told, "{text:?}");
        }
    }

    #[test]
    fn a_problem_is_its_status_and_its_code() {
        let problem = |status: u16, code: &str| {
            let body = format!("{{\"status\":{status},\"code\":\"{code}\",\"detail\":\"why\"}}");
            let head = "content-type: application/problem+json\r\ncontent-length";
            let text = format!(
                "HTTP/1.1 {status} X\r\n{head}: {}\r\n\r\n{body}",
                body.len()
            );
            answer(&text).unwrap()
        };
        let too_large = problem(413, "body_too_large");
        assert!(too_large.is_problem(413, "body_too_large"));
        assert_eq!(too_large.told(), "413 body_too_large (why)");
        assert!(!problem(400, "body_too_large").is_problem(413, "body_too_large"));
        assert!(!problem(413, "frame_oversize").is_problem(413, "body_too_large"));
    }
}
