//! Messages of a queue as they come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::follow::Follow;
use crate::mailbox::{check_queue, check_visibility};
use crate::transport::{Credit, Subscription, Transport};
use crate::{Client, Error, Message};

impl Client {
    /// The messages of a queue as they come. Ends only with an error.
    ///
    /// At most `credit` of them (up to 1024, and at least one) are out at a time: received through
    /// this stream and neither acknowledged nor returned with this client, nor past their
    /// `visibility` (1 ms to 12 hours). Whoever drops the stream should return what it still holds, or wait.
    ///
    /// Over OAP the node counts, also what others acknowledge, and begins anew when a connection
    /// broke; over HTTP this client counts, and asks again and again.
    pub fn subscribe(
        &self,
        queue: &str,
        credit: u16,
        visibility: Duration,
    ) -> BoxStream<'static, Result<Message, Error>> {
        self.follow(Queue {
            transport: self.transport.clone(),
            queue: queue.to_owned(),
            credit,
            account: None,
            visibility,
        })
    }
}

struct Queue {
    transport: Transport,
    queue: String,
    credit: u16,
    /// What is out, where this client counts. It outlives a way that breaks.
    account: Option<Arc<Credit>>,
    visibility: Duration,
}

impl Follow for Queue {
    type Feed = Subscription;
    type Item = Message;

    async fn open(&mut self) -> Result<Subscription, Error> {
        check_queue(&self.queue)?;
        check_visibility(self.visibility)?;
        let (transport, account) = (&self.transport, &mut self.account);
        transport
            .subscribe(&self.queue, self.credit, account, self.visibility)
            .await
    }

    async fn next(&mut self, subscription: &mut Subscription) -> Result<Message, Error> {
        subscription.next().await
    }
}
