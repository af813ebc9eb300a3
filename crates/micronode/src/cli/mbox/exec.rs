//! A command that deals with a message.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use micronode_client::{Client, Message, Verdict};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::{Exit, Failure};

pub(super) struct Exec<'a> {
    pub(super) client: &'a Client,
    pub(super) queue: &'a str,
    pub(super) command: &'a str,
    pub(super) visibility: Duration,
}

impl Exec<'_> {
    /// Runs the command for a message, and settles the message by how it ends.
    pub(super) async fn run(&self, message: &Message) -> Result<(), Failure> {
        let receipts = [&message.receipt];
        let ended = match self.start(message) {
            Ok(child) => self.wait(child, message).await,
            Err(failure) => Err(failure),
        };
        let status = match ended {
            Ok(status) => status,
            Err(failure) => {
                // The command is not to blame, and others may have one that can be run.
                let _ = self
                    .client
                    .nack(self.queue, Duration::ZERO, &receipts)
                    .await;
                return Err(failure);
            }
        };
        let settled = if status.success() {
            self.client.ack(self.queue, &receipts).await?
        } else {
            self.client
                .nack(self.queue, Duration::ZERO, &receipts)
                .await?
        };
        match (status.success(), settled == [Verdict::Ok]) {
            (true, true) => Ok(()),
            (true, false) => Err(Failure::new(
                Exit::Failed,
                "the command succeeded, but the lease of the message had ended: it may be received again",
            )
            .or_hint("was the node out of reach? A longer --visibility bridges that")),
            (false, _) => Err(Failure::new(
                Exit::Failed,
                format!("the command failed ({status}); the message is back in its queue"),
            )),
        }
    }

    fn start(&self, message: &Message) -> Result<Child, Failure> {
        Command::new("/bin/sh")
            .args(["-c", self.command])
            .env("MICRO_QUEUE", self.queue)
            .env("MICRO_MESSAGE_ID", &message.id)
            .env("MICRO_ATTEMPT", message.attempt.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::local("/bin/sh", &error))
    }

    /// Waits for the command, and keeps the message its own meanwhile.
    async fn wait(&self, mut child: Child, message: &Message) -> Result<ExitStatus, Failure> {
        let mut stdin = child.stdin.take().expect("it has a pipe");
        let body = message.body.clone();
        // Ends with the pipe at the latest: a command need not read what it is given.
        tokio::spawn(async move {
            let _ = stdin.write_all(&body).await;
        });
        let mut renewal = interval((self.visibility / 3).max(Duration::from_millis(100)));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewal.tick().await;
        loop {
            tokio::select! {
                status = child.wait() => {
                    return status.map_err(|error| Failure::local("/bin/sh", &error));
                }
                _ = renewal.tick() => {
                    // A failure is seen when the message is settled.
                    let receipts = [&message.receipt];
                    let _ = self.client.extend(self.queue, self.visibility, &receipts).await;
                }
            }
        }
    }
}
