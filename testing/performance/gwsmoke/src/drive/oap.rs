//! OAP/1: many requests at once on a connection, which is one task.

mod answer;
mod request;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame};
use micronode_protocol::frame::{Flags, Header, Kind};
use micronode_protocol::limits::OAP_FRAME_BYTES;
use micronode_protocol::operation::{CONTROL, HELLO, Hello, Operation, Welcome};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::patience::Patience;
use super::stream::Stream;
use super::{Endpoint, PATIENCE, RECONNECT_AFTER};
use crate::load::worker::{Job, Worker};
use crate::record::Outcome;
use answer::Answer;
use request::Requests;

/// Slices of one write.
const SLICES: usize = 16;
/// Of a stream's number, what says which place it has; the rest tells it from those before.
const PLACE_BITS: u32 = 16;

/// A connection, and what is needed to open another one.
pub(crate) struct Connection {
    endpoint: Endpoint,
    link: Option<Link>,
    requests: Requests,
    /// What is in flight; at its place, so that what it has in buffers stays.
    places: Vec<Place>,
    free: Vec<usize>,
    patience: Patience,
}

/// What has been said on a connection so far.
struct Link {
    stream: Stream,
    decoder: Decoder,
    encoder: Encoder,
    is_flushed: bool,
}

/// Room for one request in flight.
#[derive(Default)]
struct Place {
    job: Option<Job>,
    corr_id: u64,
    answer: Answer,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Self> {
        let (link, welcome) = Link::open(endpoint).await?;
        let most = endpoint.streams.min(welcome.max_inflight as usize).max(1);
        let mut places = Vec::new();
        places.resize_with(most, Place::default);
        Ok(Self {
            link: Some(link),
            requests: Requests::new(&endpoint.queue),
            places,
            free: (0..most).rev().collect(),
            patience: Patience::new(),
            endpoint: endpoint.clone(),
        })
    }

    /// Asks what is due for this connection, the worker's `number`, until there is no more.
    pub(crate) async fn run(mut self, worker: Rc<Worker>, number: usize) {
        loop {
            let is_over = poll_fn(|cx| self.poll(&worker, number, cx)).await;
            if is_over.is_ok() {
                return;
            }
            self.lose(&worker);
            let Some(job) = worker.job(number).await else {
                return;
            };
            match Link::open(&self.endpoint).await {
                Ok((link, _)) => {
                    worker.opened();
                    self.link = Some(link);
                    self.ask(&worker, job);
                }
                Err(_) => {
                    worker.end(&job, &Outcome::none(0), None);
                    tokio::time::sleep(RECONNECT_AFTER).await;
                }
            }
        }
    }

    /// What was in flight has no answer.
    fn lose(&mut self, worker: &Worker) {
        self.link = None;
        for (index, place) in self.places.iter_mut().enumerate() {
            if let Some(job) = place.job.take() {
                worker.end(&job, &Outcome::none(place.answer.received()), None);
                self.free.push(index);
            }
        }
    }

    /// Puts a request into a free place and queues it.
    fn ask(&mut self, worker: &Worker, job: Job) {
        let (Some(index), Some(link)) = (self.free.pop(), &mut self.link) else {
            return;
        };
        if self.free.len() + 1 == self.places.len() {
            self.patience.begin();
        }
        let place = &mut self.places[index];
        place.corr_id = ((place.corr_id >> PLACE_BITS) + 1) << PLACE_BITS | index as u64;
        place.answer.begin(job.is_verified);
        let (request, content) = (&job.request, &worker.content);
        self.requests
            .queue(request, content, place.corr_id, &mut link.encoder);
        link.is_flushed = false;
        place.job = Some(job);
    }

    /// Goes on with whatever can: ready when there will be no more requests and none is in flight,
    /// or the connection has ended.
    fn poll(
        &mut self,
        worker: &Worker,
        number: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut is_over = false;
            while !self.free.is_empty() && self.link.is_some() {
                match worker.poll_job(number, cx) {
                    Poll::Ready(Some(job)) => self.ask(worker, job),
                    Poll::Ready(None) => {
                        is_over = true;
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            let is_idle = self.free.len() == self.places.len();
            if is_over && is_idle {
                return Poll::Ready(Ok(()));
            }
            let Some(link) = &mut self.link else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if let Poll::Ready(Err(error)) = link.poll_write(cx) {
                return Poll::Ready(Err(error));
            }
            match link.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if !is_idle && self.patience.poll_over(cx).is_ready() => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
            self.patience.begin();
            while let Some(frame) = self.link.as_mut().map(Link::next).transpose()?.flatten() {
                self.take(worker, &frame)?;
            }
        }
    }

    /// Takes a frame of the node.
    fn take(&mut self, worker: &Worker, frame: &Frame) -> io::Result<()> {
        let header = &frame.header;
        if header.kind() == Kind::Event {
            // It asks whether anybody is there.
            return self.link.as_mut().map_or(Ok(()), Link::pong);
        }
        let index = (header.corr_id & ((1 << PLACE_BITS) - 1)) as usize;
        let place = self.places.get_mut(index);
        let place = place.filter(|place| place.job.is_some() && place.corr_id == header.corr_id);
        let place = place.ok_or_else(|| io::Error::other("a frame that nobody asked for"))?;
        let Some(job) = &place.job else {
            return Ok(());
        };
        place.answer.take(&job.request, frame)?;
        if header.flags.has(Flags::END) {
            let (outcome, receipt) = place.answer.end(&job.request, &worker.content);
            worker.end(job, &outcome, receipt);
            place.job = None;
            self.free.push(index);
        }
        Ok(())
    }
}

impl Link {
    /// Connects and says HELLO.
    async fn open(endpoint: &Endpoint) -> io::Result<(Self, Welcome)> {
        let stream = endpoint.target.connect().await?;
        let mut link = Self {
            stream,
            decoder: Decoder::new(OAP_FRAME_BYTES),
            encoder: Encoder::new(),
            is_flushed: false,
        };
        let token = endpoint.token.as_deref().unwrap_or_default();
        let capability = BASE64_URL_SAFE_NO_PAD.decode(token);
        let capability = capability.map_err(io::Error::other)?;
        let header = Header {
            flags: Flags::REQ.with(Flags::WHOLE),
            code: HELLO,
            app: CONTROL,
            ..Header::default()
        };
        let hello = Hello {
            ua: concat!("gwsmoke/", env!("CARGO_PKG_VERSION")).to_owned(),
            accept_comp: false,
        };
        link.encoder
            .push(&header, &capability, &hello.encode(), Bytes::new());
        let answer = timeout(PATIENCE, async {
            loop {
                if let Some(frame) = link.next()? {
                    return Ok(frame);
                }
                let read = poll_fn(|cx| {
                    if let Poll::Ready(Err(error)) = link.poll_write(cx) {
                        return Poll::Ready(Err(error));
                    }
                    link.poll_read(cx)
                });
                if read.await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
        });
        let answer = answer.await.map_err(|_| io::ErrorKind::TimedOut)??;
        if answer.header.code != 200 {
            let told = String::from_utf8_lossy(&answer.payload).into_owned();
            return Err(io::Error::other(format!("HELLO is refused: {told}")));
        }
        let welcome = Welcome::decode(&answer.payload).map_err(io::Error::other)?;
        Ok((link, welcome))
    }

    /// The next frame that is whole.
    fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match self.decoder.next() {
                Ok(Some(Decoded::Frame(frame))) => return Ok(Some(frame)),
                Ok(Some(Decoded::Skipped(_))) => {}
                Ok(None) => {
                    // The node sends no frame that is longer than a chunk with its fields, but it
                    // may.
                    if self.decoder.long_frame().is_none() {
                        return Ok(None);
                    }
                    self.decoder.grant();
                    return Ok(None);
                }
                Err(malformed) => return Err(io::Error::other(malformed.error)),
            }
        }
    }

    fn pong(&mut self) -> io::Result<()> {
        let header = Header {
            flags: Flags::EVENT.with(Flags::WHOLE),
            code: Operation::Ping.code(),
            app: CONTROL,
            ..Header::default()
        };
        self.encoder.push(&header, b"", b"", Bytes::new());
        self.is_flushed = false;
        Ok(())
    }

    /// Writes what is queued; ready when all of it has been.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        while self.encoder.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.encoder.slices(&mut slices);
            let written = stream.as_mut().poll_write_vectored(cx, &slices[..count]);
            match std::task::ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.encoder.advance(written),
            }
        }
        if !self.is_flushed {
            std::task::ready!(stream.poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is there into the decoder.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut spare = self.decoder.spare();
        pin!(self.stream.read_buf(&mut spare)).poll(cx)
    }
}
