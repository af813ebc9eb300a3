//! The client of one node; its operations are in `object`, `put` and `download`.

use std::sync::Arc;

use crate::retry::Attempts;
use crate::transport::Transport;
use crate::{ClientOptions, Error};

/// A client of one node. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) transport: Transport,
}

impl Client {
    /// A client of the node at `url` (`http://HOST:PORT`) with default options. Nothing is sent.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::with_options(url, ClientOptions::default())
    }

    /// A client of the node at `url` with these options. Nothing is sent.
    pub fn with_options(url: &str, options: ClientOptions) -> Result<Self, Error> {
        Ok(Client {
            transport: Transport::new(url, Arc::new(options))?,
        })
    }

    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.transport.options().retry)
    }
}
