//! What goes on until its user goes: events, changes of names, messages of a queue. When the way to
//! the node breaks, it is taken up again, under the policy of any other call.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use micronode_protocol::limits::WAIT_MAX;
use tokio::time::Instant;

use crate::retry::{Attempts, pause_if_early};
use crate::{Client, Error};

/// Something to follow.
pub(crate) trait Follow: Send + 'static {
    /// What one opening of it gives; it ends with an error.
    type Feed: Send;
    type Item: Send;

    /// What to tell first of the next opening: that something was missed since the one before.
    fn missed(&self) -> Option<Self::Item> {
        None
    }

    fn open(&mut self) -> impl Future<Output = Result<Self::Feed, Error>> + Send;

    fn next(
        &mut self,
        feed: &mut Self::Feed,
    ) -> impl Future<Output = Result<Self::Item, Error>> + Send;
}

struct Following<F: Follow> {
    followed: F,
    feed: Option<Open<F::Feed>>,
    attempts: Attempts,
}

struct Open<F> {
    feed: F,
    since: Instant,
    /// It has told something.
    told: bool,
}

impl<F: Follow> Following<F> {
    async fn next(&mut self) -> Result<F::Item, Error> {
        loop {
            let mut told_until_now = None;
            let error = match &mut self.feed {
                None => {
                    let missed = self.followed.missed();
                    match self.followed.open().await {
                        Ok(feed) => {
                            self.feed = Some(Open {
                                feed,
                                since: Instant::now(),
                                told: false,
                            });
                            // No progress: the node has told nothing yet.
                            let Some(missed) = missed else { continue };
                            return Ok(missed);
                        }
                        Err(error) => error,
                    }
                }
                Some(open) => match self.followed.next(&mut open.feed).await {
                    Ok(item) => {
                        open.told = true;
                        self.attempts.progressed();
                        return Ok(item);
                    }
                    Err(error) => {
                        self.attempts.lasted(open.since.elapsed());
                        told_until_now = open.told.then_some(open.since);
                        self.feed = None;
                        error.of_begun_answer()
                    }
                },
            };
            self.attempts.pause_after(error).await?;
            // What it told was progress, by which the pauses of a way that breaks again and again
            // would never become longer.
            if let Some(since) = told_until_now {
                pause_if_early(since, WAIT_MAX).await;
            }
        }
    }
}

impl Client {
    /// All of it, until an error that does not pass. Nothing is sent before it is polled.
    pub(crate) fn follow<F: Follow>(
        &self,
        followed: F,
    ) -> BoxStream<'static, Result<F::Item, Error>> {
        let following = Following {
            followed,
            feed: None,
            attempts: self.attempts(),
        };
        stream::try_unfold(following, async |mut following| {
            Ok(Some((following.next().await?, following)))
        })
        .boxed()
    }
}
