//! When a connection last showed that it moves, and that the node is there.
//!
//! On a dead path small writes go on to succeed: they end in the buffer of the socket. Only what
//! comes back shows that the node is there, and that a buffer which was full has room again.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Progress {
    heard: Instant,
    written: Instant,
    /// The socket has not taken all that it was offered.
    full: bool,
}

impl Progress {
    /// Of a connection that has just been opened.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Progress {
            heard: now,
            written: now,
            full: false,
        }
    }

    pub(super) fn read(&mut self) {
        self.heard = Instant::now();
    }

    /// Takes note that the socket took `taken` bytes of those that it was `offered`.
    pub(super) fn written(&mut self, taken: usize, offered: usize) {
        if taken > 0 {
            self.written = Instant::now();
            if self.full {
                self.heard = self.written;
            }
        }
        self.full = taken < offered;
    }

    /// For how long the socket has taken nothing.
    pub(super) fn unwritten_for(&self) -> Duration {
        self.written.elapsed()
    }

    /// For how long nothing has shown that the node is there.
    pub(super) fn silent_for(&self) -> Duration {
        self.heard.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Every write counted as a sign of the node, so that a dead path with steady traffic was
    /// never noticed.
    #[tokio::test(start_paused = true)]
    async fn a_write_is_no_sign_of_the_node_unless_the_socket_was_full() {
        let mut progress = Progress::new();
        tokio::time::advance(SECOND).await;
        progress.written(10, 10);
        assert_eq!(progress.silent_for(), SECOND);
        assert_eq!(progress.unwritten_for(), Duration::ZERO);
        for (taken, offered) in [(4, 10), (0, 6)] {
            progress.written(taken, offered);
            assert_eq!(progress.silent_for(), SECOND, "it is full from now on");
        }
        tokio::time::advance(SECOND).await;
        progress.written(6, 6);
        assert_eq!(progress.silent_for(), Duration::ZERO);
        tokio::time::advance(SECOND).await;
        progress.written(1, 1);
        assert_eq!(progress.silent_for(), SECOND);
        progress.read();
        assert_eq!(progress.silent_for(), Duration::ZERO);
    }
}
