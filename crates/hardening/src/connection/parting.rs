//! How a connection ends: what is counted, what is said last, and how long its answer is given
//! to arrive.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use super::supervision::{Ending, Supervision};
use crate::refusal::{Reason, Refusal};
use crate::stream::{Transport, WatchedStream};
use crate::watchdog::Expiry;

/// When a request that gave way may be tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Supervision<'_> {
    pub(super) async fn close_http1<I: Transport>(
        &mut self,
        stream: WatchedStream<I>,
        ending: Ending<hyper::Result<()>>,
    ) {
        match ending {
            // The stream ended the connection, which looks like the peer's end or its failure.
            Ending::Finished(_) if self.activity.ambiguous.load(Relaxed) => {
                let detail = "a request with Transfer-Encoding has no Content-Length";
                let answer = self.refusal(Reason::BadRequest, detail);
                self.part(stream, Some(answer)).await;
            }
            Ending::Finished(Ok(())) => self.part(stream, None).await,
            Ending::Finished(Err(error)) if error.is_parse() && !self.activity.in_progress() => {
                let answer = if error.is_parse_too_large() {
                    self.refusal(Reason::HeadTooLarge, "the request head is too large")
                } else {
                    self.refusal(Reason::BadRequest, "this is not an HTTP request")
                };
                self.part(stream, Some(answer)).await;
            }
            Ending::Expired(Expiry::Head) => self.refuse_head(Some(stream)).await,
            Ending::Expired(Expiry::Write) => self.drop_reader(),
            Ending::GaveWay if self.activity.answered() => {
                self.count(Reason::SlowShare);
                self.activity.discard.store(true, Relaxed);
            }
            Ending::GaveWay => {
                self.count(Reason::SlowShare);
                let refusal = Refusal::new(
                    Reason::SlowShare,
                    "too much is in progress, and this request was the slowest",
                )
                .with_retry_after(RETRY_AFTER);
                let answer = (self.context.render)(&refusal);
                self.part(stream, Some(answer)).await;
            }
            Ending::Revoked => self.activity.discard.store(true, Relaxed),
            Ending::Finished(Err(_)) | Ending::Expired(Expiry::Idle) | Ending::Evicted => {}
        }
    }

    pub(super) fn close_http2(&self, ending: &Ending<hyper::Result<()>>) {
        match ending {
            Ending::Finished(_) if self.activity.flooded.load(Relaxed) => {
                self.count(Reason::Overloaded);
                self.activity.discard.store(true, Relaxed);
            }
            Ending::Expired(Expiry::Head) => self.count(Reason::HeadTimeout),
            Ending::Expired(Expiry::Write) => self.drop_reader(),
            // Its streams give way one by one.
            Ending::Finished(_)
            | Ending::Expired(Expiry::Idle)
            | Ending::Evicted
            | Ending::GaveWay
            | Ending::Revoked => {}
        }
    }

    /// The peer did not read: what it has not taken is not worth keeping.
    fn drop_reader(&self) {
        self.count(Reason::BodyTimeout);
        self.activity.discard.store(true, Relaxed);
    }

    /// A head was not complete in time. A peer that has said nothing gets no answer: it may be
    /// about to send its first request, which the answer would then seem to belong to.
    pub(super) async fn refuse_head<I: Transport>(&mut self, spoke: Option<WatchedStream<I>>) {
        let answer = self.refusal(
            Reason::HeadTimeout,
            "the request head was not complete in time",
        );
        if let Some(stream) = spoke {
            self.part(stream, Some(answer)).await;
        }
    }

    fn refusal(&self, reason: Reason, detail: &'static str) -> Bytes {
        self.count(reason);
        (self.context.render)(&Refusal::new(reason, detail))
    }

    /// Says the last word, if there is one, closes the sending side, and discards what the peer
    /// still sends. Closing at once would reset the connection, and a reset overtakes an answer
    /// that the peer has not read yet.
    async fn part<I: Transport>(&mut self, mut stream: WatchedStream<I>, answer: Option<Bytes>) {
        let owes_more = answer.is_some() || self.activity.has_body();
        if answer.is_none() && self.activity.ended.load(Relaxed) {
            return;
        }
        stream.carry_anything();
        self.slot.idle(Instant::now());
        let mut left = self.context.limits.linger_bytes;
        let parting = async {
            if let Some(answer) = answer {
                stream.write_all(&answer).await?;
            }
            stream.shutdown().await?;
            poll_fn(|cx| poll_discard(cx, &mut stream, &mut left, owes_more)).await
        };
        let mut parting = pin!(timeout(self.context.limits.linger_time, parting));
        let slot = self.slot;
        poll_fn(|cx| {
            let evicted = slot.poll_evicted(cx);
            if parting.as_mut().poll(cx).is_ready() {
                Poll::Ready(())
            } else {
                evicted
            }
        })
        .await;
        self.report();
    }
}

/// Reads and discards until the peer closes or `left` is used up; a peer that owes nothing more
/// is not waited for.
fn poll_discard<I: Transport>(
    cx: &mut Context<'_>,
    stream: &mut WatchedStream<I>,
    left: &mut usize,
    owes_more: bool,
) -> Poll<io::Result<()>> {
    let mut bytes = [0; 4096];
    while *left > 0 {
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending if owes_more => return Poll::Pending,
            Poll::Pending => break,
            Poll::Ready(result) => result?,
        }
        if buffer.filled().is_empty() {
            break;
        }
        *left = left.saturating_sub(buffer.filled().len());
    }
    Poll::Ready(Ok(()))
}
