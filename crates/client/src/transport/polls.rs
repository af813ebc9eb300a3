//! A subscription over HTTP, which has none: one receive after another, each for as much as the
//! credit has left.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use micronode_protocol::limits::{RECEIVE_MESSAGES, WAIT_MAX};
use tokio::time::Instant;

use super::Transport;
use super::credit::Credit;
use crate::retry::pause_if_early;
use crate::{Error, Message};

pub(crate) struct Polls {
    transport: Transport,
    queue: String,
    visibility: Duration,
    credit: Arc<Credit>,
    received: VecDeque<Message>,
}

impl Polls {
    pub(super) fn new(
        transport: &Transport,
        queue: &str,
        credit: Arc<Credit>,
        visibility: Duration,
    ) -> Self {
        Polls {
            transport: transport.clone(),
            queue: queue.to_owned(),
            visibility,
            credit,
            received: VecDeque::new(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(message);
            }
            let max = self.credit.free().await.min(RECEIVE_MESSAGES) as u16;
            let asked = Instant::now();
            let receive = self
                .transport
                .receive(&self.queue, max, WAIT_MAX, self.visibility);
            let messages = receive.await?;
            if messages.is_empty() {
                pause_if_early(asked, WAIT_MAX).await;
            }
            self.credit.take(&messages, self.visibility);
            self.received.extend(messages);
        }
    }
}
