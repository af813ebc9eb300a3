//! What a node writes to its pipes.

use std::io::{BufRead, BufReader, Read};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::failure::{Failure, io};

/// How long a node may take to bind its listeners.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of a line that a node announces itself with, or of its complaint.
const TOLD_BYTES: u64 = 16 * 1024;

/// The one line that a node prints when it is bound; empty when it has ended.
pub(super) fn first_line(stdout: Option<ChildStdout>) -> Result<String, Failure> {
    let stdout = stdout.ok_or_else(|| Failure::wrong("the node has no stdout"))?;
    let (sender, receiver) = sync_channel(1);
    // A pipe has no read timeout. The thread ends with the node, which closes the pipe.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout.take(TOLD_BYTES)).read_line(&mut line);
        // Nobody listens any more when it took too long.
        let _late = sender.send(read.map(|_| line));
    });
    receiver
        .recv_timeout(READY_WITHIN)
        .map_err(|_| Failure::wrong(format!("the node was not ready within {READY_WITHIN:?}")))?
        .map_err(io("the node's start line"))
}

/// The beginning of what a node writes, once it has ended. The rest is read and forgotten, so that
/// a full pipe does not hold it up.
pub(super) fn beginning(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    if let Some(mut stream) = stream {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            // What cannot be read is not told.
            let _read = stream.by_ref().take(TOLD_BYTES).read_to_end(&mut kept);
            let _forgotten = std::io::copy(&mut stream, &mut std::io::sink());
            let _unheard = sender.send(String::from_utf8_lossy(&kept).into_owned());
        });
    }
    receiver
}
