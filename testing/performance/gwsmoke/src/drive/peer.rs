//! What is at the other end when it is no node: programs that a node is compared with, under the
//! same client.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::outgoing::Outgoing;
use super::resp::{Value, parse};
use super::stream::{Stream, Target};
use super::{PATIENCE, RECONNECT_AFTER};
use crate::load::check::Check;
use crate::load::content::{Body, Content};
use crate::load::plan::Request;
use crate::load::worker::{Job, Worker};
use crate::record::{Outcome, Verdict};

/// Longest answer to a `SET`.
const ANSWER_BYTES: usize = 512;

/// A program that keeps bodies under names. It is given new bodies for ever, and so it overwrites:
/// it has that many names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Files over HTTP: objects below `/o/` under their addresses, what is put below `/put/`.
    Files { keys: u64 },
    /// Redis: what is put is `SET`.
    Redis { keys: u64 },
}

impl Peer {
    /// The name that a body is put under.
    pub(crate) fn key(self, body: &Body) -> String {
        let (Self::Files { keys } | Self::Redis { keys }) = self;
        (body.number() % keys.max(1)).to_string()
    }
}

/// What to make of an answer of files over HTTP: a body has to be the one that was asked for, and
/// what was put has been, under a name that was there before or not.
pub(super) fn judge(check: &Check, job: &Job, status: u16, content: &Content) -> Outcome {
    let request = &job.request;
    let as_of_a_node = match (request, status) {
        (Request::Put(_), 204) => 201,
        _ => status,
    };
    let (verdict, is_verified) = check.verdict(request, as_of_a_node, content, |_, _| true);
    Outcome {
        status: Some(status),
        verdict,
        is_verified,
        sent: request.body().map_or(0, |body| body.size as u64),
        received: check.received,
    }
}

/// A connection to Redis: one command at a time, as one request of HTTP/1.1.
pub(crate) struct Redis {
    target: Target,
    peer: Peer,
    stream: Option<Stream>,
}

impl Redis {
    pub(crate) async fn open(target: &Target, keys: u64) -> io::Result<Self> {
        Ok(Self {
            target: target.clone(),
            peer: Peer::Redis { keys },
            stream: Some(target.connect().await?),
        })
    }

    /// Asks what is due for this connection, the thread's `number`, until there is no more.
    pub(crate) async fn run(mut self, worker: Rc<Worker>, number: usize) {
        while let Some(job) = worker.job(number).await {
            let answered = self.ask(&job, &worker).await;
            let outcome = match answered {
                Ok(is_set) => outcome(&job, is_set),
                Err(_) => Outcome::none(0),
            };
            worker.end(&job, &outcome, None);
            if outcome.status.is_none() {
                self.stream = None;
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        }
    }

    /// Whether what was asked has been done.
    async fn ask(&mut self, job: &Job, worker: &Worker) -> io::Result<bool> {
        let Request::Put(body) = &job.request else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        if self.stream.is_none() {
            self.stream = Some(self.target.connect().await?);
            worker.opened();
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (content, key) = (&worker.content, self.peer.key(body));
        let head = format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n",
            key.len(),
            body.size
        );
        let stamp = content.stamp(body);
        let pieces = [head.as_bytes(), &stamp, content.rest(body), b"\r\n"];
        let mut outgoing = Outgoing::new(pieces);
        let exchange = async {
            poll_fn(|cx| outgoing.poll(stream, cx)).await?;
            answer(stream).await
        };
        timeout(PATIENCE, exchange).await.map_err(io::Error::from)?
    }
}

/// Reads an answer: whether it is `OK`.
async fn answer(stream: &mut Stream) -> io::Result<bool> {
    let mut buffer = [0; ANSWER_BYTES];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        match parse(&buffer[..filled]).map_err(io::Error::other)? {
            // One answer to one command.
            Some((value, used)) if used == filled => return Ok(value == Value::Simple("OK".into())),
            Some(_) => return Err(io::Error::other("more than an answer")),
            None => {}
        }
    }
}

fn outcome(job: &Job, is_set: bool) -> Outcome {
    Outcome {
        status: Some(if is_set { 200 } else { 500 }),
        verdict: if is_set {
            Verdict::AsAsked
        } else {
            Verdict::Failed
        },
        is_verified: false,
        sent: job.request.body().map_or(0, |body| body.size as u64),
        received: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_again_when_there_are_no_more() {
        let peer = Peer::Files { keys: 3 };
        let names: Vec<String> = (0..5).map(|n| peer.key(&Body::new(10, n, 1))).collect();
        assert_eq!(names, ["0", "1", "2", "0", "1"]);
        assert_eq!(Peer::Redis { keys: 0 }.key(&Body::new(10, 7, 1)), "0");
    }
}
