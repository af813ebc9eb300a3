//! Somebody who listens to what happens on a node while it is written to.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::StreamExt;
use micronode_client::{Client, ClientOptions, Token};
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::clock;
use crate::failure::{Failure, io};
use crate::node::Node;
use crate::sample::Metrics;

/// Until the node counts it among those who wait.
const WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A listener of all events, on a thread of its own.
pub(super) struct Listener {
    stop: Arc<Notify>,
    thread: JoinHandle<Result<u64, String>>,
}

impl Listener {
    /// Begins to listen; returns when the node has seen it.
    pub(super) fn start(node: &Node) -> Result<Self, Failure> {
        let token = match &node.token {
            Some(token) => Some(Token::new(token).map_err(|it| Failure::usage(it.to_string()))?),
            None => None,
        };
        let options = ClientOptions {
            token,
            ..ClientOptions::default()
        };
        let client = Client::with_options(&format!("http://{}", node.http()?), options);
        let client = client.map_err(|error| Failure::wrong(error.to_string()))?;
        let stop = Arc::new(Notify::new());
        let (stopped, (failed, failure)) = (Arc::clone(&stop), sync_channel(1));
        let listening = move || {
            let listened = listen(&client, &stopped);
            if let Err(error) = &listened {
                // Nobody waits for it any more once it has begun.
                let _late = failed.try_send(error.clone());
            }
            listened
        };
        let thread = thread::Builder::new().name("listener".to_owned());
        let thread = thread.spawn(listening).map_err(io("a listener"))?;
        let listener = Self { stop, thread };
        let Some(admin) = node.admin else {
            return Ok(listener);
        };
        let until = clock::now() + WITHIN;
        loop {
            let metrics = Metrics::scrape(admin).map_err(io("the node's metrics"))?;
            if metrics.get("waiters").is_some_and(|waiters| waiters >= 1.0) {
                return Ok(listener);
            }
            let failed = failure.try_recv().ok();
            if failed.is_some() || clock::now() > until {
                let why = failed.unwrap_or_else(|| "the node does not count it".to_owned());
                return Err(Failure::wrong(format!("nobody listens to events: {why}")));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends it; how many events came.
    pub(super) fn stop(self) -> Result<u64, Failure> {
        self.stop.notify_one();
        let ended = self.thread.join();
        let ended = ended.map_err(|_| Failure::wrong("the listener of events broke"))?;
        ended.map_err(|error| Failure::wrong(format!("listening to events: {error}")))
    }
}

fn listen(client: &Client, stop: &Notify) -> Result<u64, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut events = client.events(None);
        let mut came = 0;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    // Those that were missed are counted by the node.
                    Some(Ok(_)) => came += 1,
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("they have ended".to_owned()),
                },
                () = stop.notified() => return Ok(came),
            }
        }
    })
}
