//! What a verb is at: on stderr, and only when that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that says what is going on. It clears itself when dropped, so that nothing of it stays
/// above a result.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shown, where there is a terminal.
    pub fn new() -> Self {
        // Without a terminal, it draws nothing.
        let bar = ProgressBar::no_length().with_style(style("{spinner} {prefix} {msg}"));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self(bar)
    }

    /// Never shown.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Says what is done from now on, of which so many steps are known.
    pub fn begin(&self, what: impl Into<String>, steps: u64) {
        self.0.set_style(style(
            "{prefix} [{wide_bar}] {pos}/{len} {msg} {elapsed_precise}",
        ));
        self.0.set_prefix(what.into());
        self.0.set_message("");
        self.0.set_length(steps);
        self.0.set_position(0);
    }

    /// How many of the steps are behind.
    pub fn at(&self, step: u64) {
        self.0.set_position(step);
    }

    /// What is to be seen of it just now.
    pub fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// Prints a line above; on a terminal or not.
    pub fn print(&self, line: &str) {
        if self.0.is_hidden() {
            eprintln!("{line}");
        } else {
            self.0.println(line);
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
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
    fn its_styles_are_well_formed() {
        let progress = Progress::new();
        progress.begin("waiting", 3);
        progress.at(2);
        progress.say("nearly");
        assert_eq!(progress.0.position(), 2);
    }
}
