//! NATS JetStream with a stream in memory: publishing waits for the stream's ack, a pull consumer
//! fetches a batch, and each ack is confirmed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::super::program::{NATS, Running};
use super::wire::{Malformed, Parsed, Wire, body, line, number};
use super::{BODY_BYTES, Queue};
use crate::failure::{Failure, io};

/// Where answers go.
const INBOX: &str = "_INBOX.gwsmoke";
const STREAM: &str =
    r#"{"name":"Q","subjects":["q"],"storage":"memory","retention":"workqueue","num_replicas":1}"#;
const CONSUMER: &str = r#"{"stream_name":"Q","config":{"durable_name":"C","ack_policy":"explicit","deliver_policy":"all","ack_wait":60000000000,"max_ack_pending":100000}}"#;

/// Starts it in `folder`.
pub(super) fn start(folder: &Path) -> Result<Running, Failure> {
    Running::start(NATS, folder, |path, port| {
        let store = folder.join("nats");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: {:?}, max_memory_store: 2G, max_file_store: 16M }}\n\
             max_payload: 8MB\nmax_pending: 256MB\n",
            store.display().to_string()
        );
        let file = folder.join("nats.conf");
        std::fs::write(&file, text).map_err(io(file.display()))?;
        let mut command = Command::new(path);
        command.arg("-c").arg(file);
        Ok(command)
    })
}

/// A connection to it, with a stream and a consumer that are new.
pub(super) fn connect(address: SocketAddr) -> io::Result<Box<dyn Queue>> {
    let mut nats = Nats(Wire::<TcpStream>::connect(address)?);
    nats.greet()?;
    // There is none the first time.
    nats.request("$JS.API.STREAM.DELETE.Q", "")?;
    for (subject, what) in [
        ("$JS.API.STREAM.CREATE.Q", STREAM),
        ("$JS.API.CONSUMER.DURABLE.CREATE.Q.C", CONSUMER),
    ] {
        let answer = nats.request(subject, what)?;
        if answer.contains("\"error\"") {
            return Err(io::Error::other(answer));
        }
    }
    Ok(Box::new(nats))
}

struct Nats<S>(Wire<S>);

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A message: where to answer it, whether it is a status instead of a body, and its bytes.
    Message {
        reply: String,
        is_status: bool,
        body: Vec<u8>,
    },
    Ping,
    Pong,
    /// What needs nothing done.
    Other,
}

fn parse(bytes: &[u8]) -> Parsed<Answer> {
    let Some((line, head)) = line(bytes)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(line);
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let (kind, rest) = match fields.split_first() {
        Some((kind, rest)) => (*kind, rest),
        None => return Err(Malformed("an empty line".to_owned())),
    };
    // Subject, subscription, perhaps where to answer, perhaps the length of headers, length.
    let lengths = match kind {
        "MSG" => 1,
        "HMSG" => 2,
        "PING" => return Ok(Some((Answer::Ping, head))),
        "PONG" => return Ok(Some((Answer::Pong, head))),
        "+OK" | "INFO" => return Ok(Some((Answer::Other, head))),
        _ => return Err(Malformed(text.into_owned())),
    };
    if !(2 + lengths..=3 + lengths).contains(&rest.len()) {
        return Err(Malformed(text.into_owned()));
    }
    let length = number(rest.last().copied())?;
    let found = body(bytes, head, length)?;
    let reply = match rest.len() > 2 + lengths {
        true => rest[2].to_owned(),
        false => String::new(),
    };
    let is_status = kind == "HMSG";
    Ok(found.map(|(body, end)| {
        let body = body.to_vec();
        (
            Answer::Message {
                reply,
                is_status,
                body,
            },
            end,
        )
    }))
}

impl<S: Read + Write> Nats<S> {
    fn greet(&mut self) -> io::Result<()> {
        let wire = &mut self.0;
        wire.say("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n");
        wire.say(format!("SUB {INBOX} 1\r\nPING\r\n"));
        wire.flush()?;
        while wire.next(parse)? != Answer::Pong {}
        Ok(())
    }

    /// The next message, pings answered meanwhile.
    fn message(&mut self) -> io::Result<(String, bool, Vec<u8>)> {
        loop {
            match self.0.next(parse)? {
                Answer::Message {
                    reply,
                    is_status,
                    body,
                } => return Ok((reply, is_status, body)),
                Answer::Ping => {
                    self.0.say("PONG\r\n");
                    self.0.flush()?;
                }
                Answer::Pong | Answer::Other => {}
            }
        }
    }

    fn publish(&mut self, subject: &str, body: &[u8]) {
        let wire = &mut self.0;
        wire.say(format!("PUB {subject} {INBOX} {}\r\n", body.len()));
        wire.say(body);
        wire.say("\r\n");
    }

    fn request(&mut self, subject: &str, body: &str) -> io::Result<String> {
        self.publish(subject, body.as_bytes());
        self.0.flush()?;
        let (_, _, answer) = self.message()?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl<S: Read + Write> Queue for Nats<S> {
    fn send(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.publish("q", &[b'x'; BODY_BYTES]);
        }
        self.0.flush()?;
        for _ in 0..count {
            let (_, _, body) = self.message()?;
            // The stream says at which place it has kept it.
            if !body.windows(5).any(|part| part == b"\"seq\"") {
                return Err(io::Error::other(
                    String::from_utf8_lossy(&body).into_owned(),
                ));
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> io::Result<usize> {
        let fetch = format!("{{\"batch\":{count},\"no_wait\":true,\"expires\":2000000000}}");
        self.publish("$JS.API.CONSUMER.MSG.NEXT.Q.C", fetch.as_bytes());
        self.0.flush()?;
        let mut replies = Vec::with_capacity(count);
        while replies.len() < count {
            let (reply, is_status, body) = self.message()?;
            if is_status {
                break;
            }
            if body.len() != BODY_BYTES || reply.is_empty() {
                return Err(io::Error::other(
                    String::from_utf8_lossy(&body).into_owned(),
                ));
            }
            replies.push(reply);
        }
        for reply in &replies {
            self.publish(reply, b"+ACK");
        }
        self.0.flush()?;
        for _ in &replies {
            match self.message()? {
                (_, false, body) if body.is_empty() => {}
                (_, _, body) => {
                    return Err(io::Error::other(
                        String::from_utf8_lossy(&body).into_owned(),
                    ));
                }
            }
        }
        Ok(replies.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::wire::tests::{Script, asked};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However its answers are cut, with a ping anywhere, a batch is sent, fetched and acked.
        #[test]
        fn answers_may_come_in_any_pieces(
            cuts in prop::collection::vec(any::<usize>(), 0..40), ping in 0..8_usize,
        ) {
            let body = "x".repeat(BODY_BYTES);
            let status = "NATS/1.0 404 No Messages\r\n\r\n";
            let length = status.len();
            let mut answers = [
                "INFO {\"server_id\":\"x\"}\r\n".to_owned(),
                format!("MSG {INBOX} 1 26\r\n{{\"stream\":\"Q\", \"seq\":4711}}\r\n"),
                format!("MSG q 1 $JS.ACK.Q.C.1.1.1.0.1 256\r\n{body}\r\n"),
                format!("MSG q 1 $JS.ACK.Q.C.1.2.2.0.0 256\r\n{body}\r\n"),
                format!("HMSG {INBOX} 1 {length} {length}\r\n{status}\r\n"),
                format!("MSG {INBOX} 1 0\r\n\r\n"),
                format!("MSG {INBOX} 1 0\r\n\r\n"),
            ].to_vec();
            answers.insert(ping % (answers.len() + 1), "PING\r\n".to_owned());
            let answers = answers.concat();
            let mut queue = Nats(Wire::new(Script::cut(answers.as_bytes(), &cuts)));
            queue.send(1).unwrap();
            prop_assert_eq!(queue.take(3).unwrap(), 2);
            let asked = asked(&queue.0);
            let acks = format!(
                "PUB $JS.ACK.Q.C.1.1.1.0.1 {INBOX} 4\r\n+ACK\r\nPUB $JS.ACK.Q.C.1.2.2.0.0 {INBOX} 4\r\n+ACK\r\n"
            );
            prop_assert!(asked.contains(&acks), "{}", asked);
            prop_assert!(ping == 7 || asked.contains("PONG\r\n"), "{}", asked);
        }
    }

    #[test]
    fn another_answer_is_an_error() {
        for answers in [
            "-ERR 'Authorization Violation'\r\n",
            "MSG _INBOX.gwsmoke 1 11\r\n{\"error\":{}}\r\n",
            "MSG x\r\n",
            "MSG a b c d e 5\r\nabcde\r\n",
            "MSG a b x\r\n",
            "MSG _INBOX.gwsmoke 1 12\r\n{\"error\":{}}\r\n",
            "\r\n",
        ] {
            let mut queue = Nats(Wire::new(Script::cut(answers.as_bytes(), &[])));
            assert!(queue.send(1).is_err(), "{answers}");
        }
    }
}
