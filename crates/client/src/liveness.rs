//! Operations that touch no object: they show that the node, and the way to it, work.

use bytes::Bytes;

use crate::{Client, Error};

impl Client {
    /// Sends bytes and gives back what the node answers, which is the same bytes; it is not
    /// compared here. A node takes at most what it takes in one shot, 1 MiB by default.
    pub async fn echo(&self, bytes: Bytes) -> Result<Bytes, Error> {
        self.repeat(|| self.transport.echo(bytes.clone())).await
    }

    /// Asks for any answer at all. Repeated like any other operation: to learn whether the node
    /// answers now, use [`RetryPolicy::NEVER`](crate::RetryPolicy::NEVER).
    pub async fn ping(&self) -> Result<(), Error> {
        self.repeat(|| self.transport.ping()).await
    }
}
