//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

use super::render;
use crate::failure::{Exit, Failure, io};
use crate::progress::Progress;
use crate::result::SCHEMA;
use crate::suite::result::SuiteResult;

/// The report of a suite once more, from its JSON file
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// What the suite has written
    #[arg(long, value_name = "FILE")]
    suite: PathBuf,
    /// Where the page goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Report {
    /// Does it.
    ///
    /// # Errors
    ///
    /// If the file is no suite's of this version, or the page cannot be written.
    pub fn run(self, progress: &Progress) -> Result<Exit, Failure> {
        let name = self.suite.display();
        let text = std::fs::read_to_string(&self.suite).map_err(io(name))?;
        let name = self.suite.display();
        let wrong = |why: String| Failure::usage(format!("{name}: {why}"));
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match value["schema"].as_u64() {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            found => {
                let found = found.map_or_else(|| "none".to_owned(), |schema| schema.to_string());
                return Err(wrong(format!(
                    "schema {found}, and {SCHEMA} is what is read"
                )));
            }
        }
        let suite: SuiteResult =
            serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        std::fs::write(&self.out, render(&suite)).map_err(io(self.out.display()))?;
        progress.print(&format!("{}", self.out.display()));
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let report = |text: &str| {
            let suite = folder.path().join("suite.json");
            std::fs::write(&suite, text).unwrap();
            let out = folder.path().join("out.html");
            Report { suite, out }.run(&Progress::hidden())
        };
        for (text, why) in [
            ("", "EOF"),
            ("{}", "schema none"),
            ("{\"schema\":99}", "schema 99, and 1 is what is read"),
            ("{\"schema\":1}", "missing field"),
        ] {
            let failure = report(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains(why), "{failure}");
        }
        assert!(!folder.path().join("out.html").exists());
    }
}
