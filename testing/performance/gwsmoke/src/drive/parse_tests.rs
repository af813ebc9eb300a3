#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

/// A head, a body, and what followed it; nothing while it is not whole.
type Told = Result<Option<(Head, Vec<u8>, Vec<u8>)>, Malformed>;

/// All of an answer that comes in these pieces: its head, its body, and what follows it.
fn read(parser: &mut Parser, pieces: &[&[u8]]) -> Told {
    let (mut head, mut body, mut buffer) = (None, Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        buffer.extend_from_slice(piece);
        loop {
            let (used, event) = parser.next(&buffer)?;
            let is_more = event == Event::More;
            match event {
                Event::Head(found) => head = Some(found),
                Event::Piece(piece) => body.extend_from_slice(piece),
                Event::End => {
                    let mut rest = buffer[used..].to_vec();
                    rest.extend(pieces[index + 1..].concat());
                    return Ok(Some((head.unwrap(), body, rest)));
                }
                Event::More => {}
            }
            buffer.drain(..used);
            if is_more {
                break;
            }
        }
    }
    Ok(None)
}

fn whole(answer: &[u8]) -> Told {
    read(&mut Parser::new(), &[answer])
}

#[test]
fn an_answer_ends_where_its_length_says() {
    let (head, body, rest) =
        whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nReceipt: r-1\r\n\r\nabcHTTP")
            .unwrap()
            .unwrap();
    assert_eq!((head.status, head.closes), (200, false));
    assert_eq!(head.receipt.as_deref(), Some(&b"r-1"[..]));
    assert_eq!((&body[..], &rest[..]), (&b"abc"[..], &b"HTTP"[..]));
}

#[test]
fn chunks_are_put_together_and_trailers_passed_over() {
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nDigest: x\r\n\r\nrest";
    let (_, body, rest) = whole(answer).unwrap().unwrap();
    assert_eq!(
        (&body[..], &rest[..]),
        (&b"abc0123456789"[..], &b"rest"[..])
    );
}

#[test]
fn some_answers_have_no_body_and_some_end_with_the_connection() {
    for answer in [
        &b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (head, body, rest) = whole(answer).unwrap().unwrap();
        assert!(head.status >= 200 && body.is_empty() && rest.is_empty());
    }
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert!(read(&mut Parser::of_head(), &[head]).unwrap().is_some());
    let mut parser = Parser::new();
    assert!(!parser.may_close());
    let told = read(
        &mut parser,
        &[b"HTTP/1.0 503 Busy\r\n\r\n", b"what", b"ever"],
    );
    assert_eq!(told, Ok(None));
    assert!(parser.may_close());
}

#[test]
fn the_end_of_a_connection_is_announced() {
    for (answer, closes) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], false),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        (
            b"HTTP/1.1 413 X\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n",
            true,
        ),
    ] {
        assert_eq!(whole(answer).unwrap().unwrap().0.closes, closes);
    }
}

#[test]
fn what_is_no_answer_is_said_to_be_none() {
    let long = [&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'a'; HEAD_BYTES]].concat();
    let chunked = |rest: &str| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{rest}").into_bytes()
    };
    for answer in [
        b"SSH-2.0-OpenSSH\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n".to_vec(),
        long,
        chunked("x\r\n"),
        chunked("\r\n"),
        chunked("+1\r\n"),
        chunked("3\nabc"),
        chunked("3\r\nabcd"),
        chunked(&"0".repeat(LINE_BYTES)),
        chunked("11111111111111111\r\n"),
    ] {
        assert!(
            whole(&answer).is_err(),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    /// However an answer is cut on its way, it is the same one.
    #[test]
    fn an_answer_may_come_in_any_pieces(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..5),
        is_chunked: bool,
        rest in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let body = parts.concat();
        let mut answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n".to_vec();
        if is_chunked {
            answer.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for part in &parts {
                answer.extend(format!("{:x}\r\n", part.len()).bytes());
                answer.extend(part);
                answer.extend(b"\r\n");
            }
            answer.extend(b"0\r\n\r\n");
        } else {
            answer.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            answer.extend(&body);
        }
        answer.extend(&rest);
        let told = read(&mut Parser::new(), &pieces(&answer, &cuts));
        let (head, found, behind) = told.unwrap().unwrap();
        prop_assert_eq!(head.status, 200);
        prop_assert_eq!((found, behind), (body, rest));
    }

    /// Whatever comes, in whatever pieces: there is a verdict, and it does not depend on the cuts.
    #[test]
    fn any_bytes_have_one_verdict(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "HTTP/1.1 [0-9]{3} x\r\n(content-length: [0-9]\r\n|transfer-encoding: chunked\r\n)?\r\n[0-9a-f\r\n]{0,30}"
                .prop_map(String::into_bytes),
        ],
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        prop_assert_eq!(read(&mut Parser::new(), &pieces(&bytes, &cuts)), whole(&bytes));
    }
}
