//! Whether an HTTP/1 request head says twice where its body ends.
//!
//! With both `Content-Length` and `Transfer-Encoding`, two readers of the same bytes may see
//! different requests, which is how one is smuggled past whoever stands in front (RFC 9112, 6.3 and
//! 11.2). The HTTP/1 implementation obeys the coding and drops the length before a service sees
//! either, so the names are looked for in the bytes.
//!
//! Not for what makes a head valid: that is the HTTP/1 implementation's business. Nor for a head that
//! came before the request ahead of it was answered, because only the implementation knows where it
//! begins: there the coding counts, and the implementation closes the connection after it.

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Bytes of a line that can tell which field it is.
const NAME_BYTES: usize = CODING.len();

/// The head has both fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous;

/// Reads one head, in whatever parts it arrives.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// The first bytes of the line at hand, and how many of them have been read.
    name: [u8; NAME_BYTES],
    filled: usize,
    place: Place,
    has_length: bool,
    has_coding: bool,
}

#[derive(Debug, Default)]
enum Place {
    /// Empty lines may come before the request line (RFC 9112, 2.2).
    #[default]
    RequestLine,
    Fields,
    Over,
}

impl HeadScan {
    /// Reads on; what follows the end of the head is ignored.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Ambiguous> {
        if matches!(self.place, Place::Over) {
            return Ok(());
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let count = part.len().min(NAME_BYTES - self.filled);
            self.name[self.filled..self.filled + count].copy_from_slice(&part[..count]);
            self.filled += count;
            if !part.ends_with(b"\n") {
                break;
            }
            let line = &self.name[..std::mem::take(&mut self.filled)];
            let is_empty = matches!(line, b"\n" | b"\r\n");
            match self.place {
                Place::RequestLine if !is_empty => self.place = Place::Fields,
                Place::Fields if is_empty => {
                    self.place = Place::Over;
                    break;
                }
                Place::Fields => {
                    self.has_length |= begins_with(line, LENGTH);
                    self.has_coding |= begins_with(line, CODING);
                    if self.has_length && self.has_coding {
                        return Err(Ambiguous);
                    }
                }
                Place::RequestLine | Place::Over => {}
            }
        }
        Ok(())
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same whether the head arrives at once, byte by byte, or in two parts.
    fn read(head: &str) -> Result<(), Ambiguous> {
        let at_once = HeadScan::default().read(head.as_bytes());
        let mut scan = HeadScan::default();
        let singly = head.bytes().try_for_each(|byte| scan.read(&[byte]));
        assert_eq!(at_once, singly, "{head:?}");
        for cut in 0..head.len() {
            let (first, rest) = head.as_bytes().split_at(cut);
            let mut scan = HeadScan::default();
            let in_parts = scan.read(first).and_then(|()| scan.read(rest));
            assert_eq!(at_once, in_parts, "{head:?} cut at {cut}");
        }
        at_once
    }

    #[test]
    fn both_fields_in_one_head_are_ambiguous_however_they_are_written() {
        for head in [
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\ntransfer-encoding:chunked\r\na: b\r\ncontent-length:5\r\n\r\n",
            "\r\n\r\nPUT / HTTP/1.1\nCONTENT-LENGTH: 5\nTRANSFER-ENCODING: gzip\n\n",
        ] {
            assert_eq!(read(head), Err(Ambiguous), "{head:?}");
        }
    }

    #[test]
    fn one_of_them_names_like_them_and_what_follows_a_head_are_not() {
        for head in [
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\nX-Transfer-Encoding: a\r\nTransfer-Encodin: b\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 5\r\n\r\n",
            "PUT /content-length: HTTP/1.1\r\nTransfer-Encoding: content-length:\r\n\r\n",
            "\r\nContent-Length: / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(read(head), Ok(()), "{head:?}");
        }
    }
}
