//! `micronode mbox recv`: print messages, or have a command deal with each.

use std::time::Duration;

use clap::Args;
use micronode_client::{Client, Message, ReceiveOptions};
use micronode_protocol::limits::{RECEIVE_MESSAGES, WAIT_MAX};
use micronode_server::config::duration;

use super::exec::{Exec, Undone};
use super::failure;
use super::print::{Form, Printer};
use super::signals::Signals;
use crate::failure::{Exit, Failure};

/// Receive messages
///
/// Prints the message as it is; or with --json one message a line, its body in base64, with the
/// receipt that acknowledges it; or runs a command for each. What is not acknowledged comes back
/// when its lease has ended; what was not printed, because of a signal or because nobody reads it any
/// more, at once. Exit code 3 when there was no message; 1 when one could not be
/// acknowledged any more.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox recv jobs --ack
  micronode mbox recv jobs --max 10 --wait 4s --json
  micronode mbox recv jobs --exec './build.sh' --visibility 1m
  micronode mbox recv jobs.dlq --max 100 --exec 'cat >> dead.log'")]
pub(super) struct Recv {
    /// The queue, or its dead letters as QUEUE.dlq
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// Receive at most so many [default: 1; with --exec, no end]
    #[arg(long, value_name = "N", value_parser = parse_max)]
    max: Option<usize>,
    /// Wait so long for the first message (with --exec and --max, for each), such as 4s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    wait: Duration,
    /// Nobody else receives the messages for this time, up to 12h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    visibility: Duration,
    /// Acknowledge what was printed
    #[arg(long, conflicts_with = "exec")]
    ack: bool,
    /// Run this in a shell for each message, one after another, until interrupted or --max
    ///
    /// The message is on its standard input; MICRO_QUEUE, MICRO_MESSAGE_ID and MICRO_ATTEMPT say
    /// which it is. While it runs, the message stays its own; when it succeeds, the message is
    /// acknowledged, and otherwise returned to the queue, where it rests for 1s, and twice as long
    /// each time more, up to 5m. Exit code 1 when any failed.
    ///
    /// A first SIGINT or SIGTERM lets the command end, and begins no other; a second one kills it,
    /// with all that it started, and returns the message. A command that cannot be run (the shell
    /// says so with 126 or 127) ends this too, and the message is returned.
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

fn parse_max(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(max) if max > 0 => Ok(max),
        _ => Err("expected a whole number from 1".to_owned()),
    }
}

impl Recv {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        match &self.exec {
            Some(command) => self.work(client, command).await,
            None => self.print(client, as_json).await,
        }
    }

    async fn receive(
        &self,
        client: &Client,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Message>, Failure> {
        let options = ReceiveOptions {
            max,
            wait,
            visibility: self.visibility,
        };
        let messages = client.receive(&self.queue, &options).await;
        messages.map_err(|error| failure(error, &self.queue))
    }

    async fn print(&self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let mut left = self.max.unwrap_or(1);
        if left > 1 && !as_json {
            return Err(
                Failure::usage("several messages cannot be told apart on stdout")
                    .or_hint("add --json, or --exec for a command that deals with each"),
            );
        }
        let form = if as_json { Form::Json } else { Form::Body };
        let mut printer = Printer::new(client, &self.queue, form, self.ack)?;
        let mut wait = self.wait;
        let mut exit = Exit::NotFound;
        while left > 0 && !printer.signals.stopping {
            let max = left.min(RECEIVE_MESSAGES);
            let messages = tokio::select! {
                // What has been received is printed, or given back.
                biased;
                received = self.receive(client, max, wait) => received?,
                () = printer.signals.next() => break,
            };
            if messages.is_empty() {
                break;
            }
            let printed = printer.print(&messages).await?;
            if printed.late {
                exit = Exit::Failed;
            } else if printed.count > 0 && exit == Exit::NotFound {
                exit = Exit::Done;
            }
            // Those behind the first are not waited for.
            wait = Duration::ZERO;
            left -= messages.len();
        }
        Ok(exit)
    }

    /// Has the command deal with one message after another.
    async fn work(&self, client: &Client, command: &str) -> Result<Exit, Failure> {
        let exec = Exec {
            client,
            queue: &self.queue,
            command,
            visibility: self.visibility,
        };
        let mut signals = Signals::listen()?;
        let mut exit = None;
        let mut left = self.max;
        while left != Some(0) && !signals.stopping {
            let wait = left.map_or(WAIT_MAX, |_| self.wait);
            let received = tokio::select! {
                // What has been received is dealt with.
                biased;
                received = self.receive(client, 1, wait) => received?,
                () = signals.next() => break,
            };
            let Some(message) = received.into_iter().next() else {
                if left.is_some() {
                    break;
                }
                continue;
            };
            left = left.map(|left| left - 1);
            let so_far = exit.unwrap_or(Exit::Done);
            exit = Some(match exec.run(&message, &mut signals).await {
                Ok(()) => so_far,
                Err(Undone::Message(failure)) => so_far.then(&failure.about(&message.id)),
                Err(Undone::Command(failure)) => return Err(failure.about(&message.id)),
            });
        }
        // Without --max there is no end but by a signal, which is none for want of messages.
        let none = self.max.map_or(Exit::Done, |_| Exit::NotFound);
        Ok(exit.unwrap_or(none))
    }
}
