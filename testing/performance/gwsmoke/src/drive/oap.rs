//! OAP/1: many requests at once on a connection, which is one task.

mod answer;
mod link;
mod request;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use micronode_protocol::codec::Frame;
use micronode_protocol::frame::{Flags, Kind};

use super::patience::Patience;
use super::{Endpoint, RECONNECT_AFTER};
use crate::load::worker::{Job, Worker};
use crate::record::Outcome;
use answer::Answer;
use link::Link;
use request::Requests;

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
            .queue(request, content, place.corr_id, link.queue());
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
            let written = link.written();
            if let Poll::Ready(Err(error)) = link.poll_write(cx) {
                return Poll::Ready(Err(error));
            }
            if written != link.written() {
                self.patience.moved();
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
            self.patience.moved();
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
            if let Some(link) = &mut self.link {
                link.pong();
            }
            return Ok(());
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
