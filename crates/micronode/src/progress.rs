//! Progress bars: on stderr, and only when that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for a transfer of `total` bytes, or a running count where the total is not known. Clears
/// itself when dropped, so that nothing of it stays above a result or an error.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(what: &str, total: Option<u64>) -> Self {
        // Without a terminal, a bar on stderr draws nothing.
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style(
                "{msg} [{wide_bar}] {bytes}/{total_bytes}, {binary_bytes_per_sec}, {eta} left",
            )),
            None => ProgressBar::no_length()
                .with_style(style("{msg} {spinner} {bytes}, {binary_bytes_per_sec}")),
        };
        bar.set_message(what.to_owned());
        if !bar.is_hidden() {
            // Keeps the rate honest while nothing moves.
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Progress(bar)
    }

    /// A bar that is never drawn.
    pub(crate) fn hidden() -> Self {
        Progress(ProgressBar::hidden())
    }

    /// Bytes that were there before the transfer began and do not count into its rate.
    pub(crate) fn start_at(&self, bytes: u64) {
        self.0.set_position(bytes);
        self.0.reset_eta();
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }

    /// Clears the bar for good, also where others still hold it.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this file are well-formed")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_are_well_formed() {
        for total in [None, Some(0), Some(10)] {
            let progress = Progress::new("file", total);
            progress.start_at(2);
            progress.add(3);
            assert_eq!(progress.0.position(), 5);
        }
    }
}
