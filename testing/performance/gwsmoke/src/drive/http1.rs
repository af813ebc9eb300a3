//! HTTP/1.1 with keep-alive: one request at a time on a connection.
//!
//! Heads are put together from pieces that are made once, bodies are written from where they are,
//! and answers are read into a buffer that stays: a request allocates nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use super::parse::{Event, Head, Parser};
use super::patience::Patience;
use super::stream::Stream;
use super::{Endpoint, RECONNECT_AFTER, heads::Heads, outgoing::Outgoing, peer};
use crate::clock;
use crate::load::check::Check;
use crate::load::content::Content;
use crate::load::plan::Request;
use crate::load::worker::{Job, Worker};
use crate::record::Outcome;

/// Bytes of the buffer that is read into.
const BUFFER_BYTES: usize = 128 * 1024;
/// A connection that has been idle for this long may have been closed by the node meanwhile, which
/// is no error of either.
const IDLE: Duration = Duration::from_secs(1);

/// A connection, and what is needed to open another one.
pub(crate) struct Connection {
    endpoint: Endpoint,
    stream: Option<Stream>,
    heads: Heads,
    buffer: Box<[u8]>,
    check: Check,
    patience: Patience,
}

/// An answer that has come to its end.
struct Answer {
    head: Head,
    /// Whether the connection can be asked again.
    stays: bool,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        Ok(Self {
            endpoint: endpoint.clone(),
            stream: Some(endpoint.target.connect().await?),
            heads: Heads::new(endpoint),
            buffer: vec![0; BUFFER_BYTES].into(),
            check: Check::default(),
            patience: Patience::new(),
        })
    }

    /// Asks what is due for this connection, the thread's `number`, until there is no more.
    pub(crate) async fn run(mut self, worker: Rc<Worker>, number: usize) {
        while let Some(job) = worker.job(number).await {
            if clock::now() > self.patience.since + IDLE && self.is_closed() {
                self.stream = None;
            }
            if self.stream.is_none() {
                match self.endpoint.target.connect().await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(_) => {
                        worker.end(&job, &Outcome::none(0), None);
                        tokio::time::sleep(RECONNECT_AFTER).await;
                        continue;
                    }
                }
                worker.opened();
            }
            match self.exchange(&job, &worker.content).await {
                Ok(Answer { head, stays }) => {
                    let judge = self.endpoint.peer.map_or(judge as Judge, |_| peer::judge);
                    let outcome = judge(&self.check, &job, head.status, &worker.content);
                    worker.end(&job, &outcome, head.receipt);
                    if !stays {
                        self.stream = None;
                    }
                }
                Err(_) => {
                    self.stream = None;
                    worker.end(&job, &Outcome::none(self.check.received), None);
                }
            }
        }
    }

    /// Whether the node has closed the connection, or said something that was not asked for.
    fn is_closed(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return true;
        };
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Pin::new(stream).poll_read(&mut cx, &mut byte).is_ready()
    }

    /// Sends a request and reads its answer, which may come before all of the request is sent.
    async fn exchange(&mut self, job: &Job, content: &Content) -> io::Result<Answer> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.patience.begin();
        self.check.begin(job.is_verified);
        let (head, tail) = self.heads.of(&job.request, content);
        let stamp = job.request.body().map(|body| content.stamp(body));
        let rest = job
            .request
            .body()
            .map_or(&[][..], |body| content.rest(body));
        let mut outgoing = Outgoing::new([head, stamp.as_deref().unwrap_or(&[]), rest, tail]);
        let mut incoming = Incoming {
            parser: Parser::new(),
            head: None,
            filled: 0,
            read: 0,
        };
        let mut moved = 0;
        let (check, buffer, patience) = (&mut self.check, &mut self.buffer, &mut self.patience);
        poll_fn(|cx| {
            let sent = outgoing.poll(stream, cx);
            let answer = incoming.poll(stream, buffer, &job.request, check, cx);
            match (answer, sent) {
                (Poll::Ready(Ok(head)), sent) => {
                    let stays = matches!(sent, Poll::Ready(Ok(()))) && !head.closes;
                    Poll::Ready(Ok(Answer { head, stays }))
                }
                (Poll::Ready(Err(error)), _) => Poll::Ready(Err(error)),
                // A node that reads no more may have said why: its answer is waited for.
                (Poll::Pending, _) => {
                    if moved != outgoing.written + incoming.read {
                        moved = outgoing.written + incoming.read;
                        patience.moved();
                    }
                    ready!(patience.poll_over(cx));
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
            }
        })
        .await
    }
}

type Judge = fn(&Check, &Job, u16, &Content) -> Outcome;

/// What to make of an answer in HTTP, once all of it is there.
pub(super) fn judge(check: &Check, job: &Job, status: u16, content: &Content) -> Outcome {
    let request = &job.request;
    let (verdict, is_verified) =
        check.verdict(request, status, content, |kept, address| match address {
            Some(address) => contains(kept, &address.to_text()),
            None => contains(kept, br#""code":"ok""#),
        });
    Outcome {
        status: Some(status),
        verdict,
        is_verified,
        sent: request.body().map_or(0, |body| body.size as u64),
        received: check.received,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// An answer on its way in.
struct Incoming {
    parser: Parser,
    head: Option<Head>,
    /// Bytes at the front of the buffer that are not done with: a head that is not whole.
    filled: usize,
    /// Bytes that have been read.
    read: u64,
}

impl Incoming {
    fn poll(
        &mut self,
        stream: &mut Stream,
        buffer: &mut [u8],
        request: &Request,
        check: &mut Check,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Head>> {
        loop {
            let mut spare = ReadBuf::new(&mut buffer[self.filled..]);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut spare))?;
            let count = spare.filled().len();
            if count == 0 {
                return Poll::Ready(match self.head.take() {
                    Some(head) if self.parser.may_close() => Ok(head),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
            self.read += count as u64;
            if let Some(head) = self.parse(&mut buffer[..self.filled + count], request, check)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// Looks at what is there; the head once the answer is whole.
    fn parse(
        &mut self,
        bytes: &mut [u8],
        request: &Request,
        check: &mut Check,
    ) -> io::Result<Option<Head>> {
        let mut at = 0;
        loop {
            let (used, event) = self.parser.next(&bytes[at..]).map_err(io::Error::other)?;
            at += used;
            match event {
                Event::Head(head) => self.head = Some(head),
                Event::Piece(piece) => check.piece(request, piece),
                Event::More => {
                    bytes.copy_within(at.., 0);
                    self.filled = bytes.len() - at;
                    return Ok(None);
                }
                // Nothing else was asked for.
                Event::End if at < bytes.len() => {
                    return Err(io::Error::other("more than an answer"));
                }
                Event::End => return Ok(self.head.take()),
            }
        }
    }
}
