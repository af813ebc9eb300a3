//! The client of one node; its operations are in the modules beside this one.

use crate::retry::Attempts;
use crate::transport::Transport;
use crate::{ClientOptions, Error};

/// A client of one node. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) transport: Transport,
}

impl Client {
    /// A client of the node at `url` (`http`, `https`, `oap` or `oaps`, and `://HOST:PORT`) with
    /// default options. Nothing is sent.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::with_options(url, ClientOptions::default())
    }

    /// A client of the node at `url` with these options. Nothing is sent.
    pub fn with_options(url: &str, options: ClientOptions) -> Result<Self, Error> {
        Ok(Client {
            transport: Transport::new(url, options)?,
        })
    }

    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.transport.options().retry)
    }

    /// Makes an idempotent call, and again as the policy allows.
    pub(crate) async fn repeat<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempts = self.attempts();
        loop {
            match call().await {
                Ok(output) => return Ok(output),
                Err(error) => attempts.pause_after(error).await?,
            }
        }
    }

    /// Makes a call that may be made only once, and again only where it certainly came to nothing.
    pub(crate) async fn repeat_refused<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempts = self.attempts();
        loop {
            match call().await {
                Err(error) if error.came_to_nothing() => attempts.pause_after(error).await?,
                result => return result,
            }
        }
    }
}
