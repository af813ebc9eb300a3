//! A command that deals with a message.

use std::convert::Infallible;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use micronode_client::{Client, Message, Verdict};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::signals::Signals;
use crate::failure::{Exit, Failure};

/// What a shell ends with when it cannot run what it was given: it is no program, or not there.
const NOT_RUN: [i32; 2] = [126, 127];

/// How long a message rests after its command failed for the first time; twice as long after each
/// time more.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(5 * 60);

/// How long a node out of reach may hold up the end.
pub(super) const LAST_WORD: Duration = Duration::from_secs(5);

pub(super) struct Exec<'a> {
    pub(super) client: &'a Client,
    pub(super) queue: &'a str,
    pub(super) command: &'a str,
    pub(super) visibility: Duration,
}

/// Why a message was not dealt with.
pub(super) enum Undone {
    /// The next one may be.
    Message(Failure),
    /// No other will be.
    Command(Failure),
}

impl Exec<'_> {
    /// Runs the command for a message, and settles the message by how it ends.
    pub(super) async fn run(&self, message: &Message, signals: &mut Signals) -> Result<(), Undone> {
        let ended = match self.start(message) {
            Ok(child) => self.wait(child, message, signals).await,
            Err(failure) => Err(failure),
        };
        let status = match ended {
            Ok(status) => status,
            Err(failure) => {
                // The message is not to blame, and others may have a command that can be run. If
                // the node does not hear it, the lease ends by itself.
                let _ = timeout(LAST_WORD, self.give_back(message, Duration::ZERO)).await;
                return Err(Undone::Command(failure));
            }
        };
        tokio::select! {
            settled = self.settle(message, status) => settled.map_err(Undone::Message),
            () = signals.second() => Err(Undone::Command(Failure::new(
                Exit::Failed,
                "the second signal came before the node had heard how the command ended",
            ))),
        }
    }

    fn start(&self, message: &Message) -> Result<Child, Failure> {
        Command::new("/bin/sh")
            .args(["-c", self.command])
            .env("MICRO_QUEUE", self.queue)
            .env("MICRO_MESSAGE_ID", &message.id)
            .env("MICRO_ATTEMPT", message.attempt.to_string())
            .stdin(Stdio::piped())
            // Of its own, which the interrupt key of a terminal does not reach.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::local("/bin/sh", &error))
    }

    /// Waits for the command, and keeps the message its own meanwhile. The second signal kills it.
    async fn wait(
        &self,
        mut child: Child,
        message: &Message,
        signals: &mut Signals,
    ) -> Result<ExitStatus, Failure> {
        let mut stdin = child.stdin.take().expect("it has a pipe");
        let body = message.body.clone();
        // Ends with the pipe at the latest: a command need not read what it is given.
        tokio::spawn(async move {
            let _ = stdin.write_all(&body).await;
        });
        let status = tokio::select! {
            status = child.wait() => status.map_err(|error| Failure::local("/bin/sh", &error))?,
            () = signals.second() => {
                kill(&child);
                return Err(Failure::new(
                    Exit::Failed,
                    "the command was killed at the second signal",
                ));
            }
            never = self.renew(message) => match never {},
        };
        match status.code() {
            Some(code) if NOT_RUN.contains(&code) => Err(Failure::new(
                Exit::Failed,
                format!("the command cannot be run ({status})"),
            )
            .or_hint("the first word has to be a program that is here; the message was returned")),
            _ => Ok(status),
        }
    }

    /// Prolongs the lease of a message, again and again. A failure is seen when the message is
    /// settled.
    async fn renew(&self, message: &Message) -> Infallible {
        loop {
            sleep((self.visibility / 3).max(Duration::from_millis(100))).await;
            let receipts = [&message.receipt];
            let _ = self
                .client
                .extend(self.queue, self.visibility, &receipts)
                .await;
        }
    }

    async fn settle(&self, message: &Message, status: ExitStatus) -> Result<(), Failure> {
        if !status.success() {
            let delay = delay(message.attempt);
            self.give_back(message, delay).await?;
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "the command failed ({status}); the message is back in its queue, and rests for {delay:?}"
                ),
            ));
        }
        let acked = self.client.ack(self.queue, &[&message.receipt]).await?;
        if acked != [Verdict::Ok] {
            return Err(Failure::new(
                Exit::Failed,
                "the command succeeded, but its message was no more its own: unless it is gone, it may be received again",
            )
            .or_hint(
                "either its lease ended while the node was out of reach, which a longer \
                 --visibility bridges, or the queue was purged or the node restarted meanwhile",
            ));
        }
        Ok(())
    }

    async fn give_back(&self, message: &Message, delay: Duration) -> Result<(), Failure> {
        let receipts = [&message.receipt];
        self.client.nack(self.queue, delay, &receipts).await?;
        Ok(())
    }
}

/// How long a message rests that was received so often, and failed each time.
fn delay(attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    FIRST_DELAY.saturating_mul(doubled).min(MAX_DELAY)
}

/// Ends a command and all that it started.
fn kill(child: &Child) {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(group) = group {
        // Fails only when all of them have ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_rests_twice_as_long_each_time_up_to_a_cap() {
        for (attempt, seconds) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (5, 16),
            (9, 256),
            (10, 300),
            (u32::MAX, 300),
        ] {
            assert_eq!(delay(attempt), Duration::from_secs(seconds), "{attempt}");
        }
    }
}
