//! What a gate reads: files of `load`, `suite` and `ab`, taken for what they are or not at all.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::measure::Measure;
use crate::ab::Rounds;
use crate::failure::Failure;
use crate::result::{LoadResult, SCHEMA};

/// Longest file that is read: a full suite has well under a tenth of it.
const FILE_BYTES: u64 = 64 << 20;

/// What a file holds.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// What was measured of one build: one scenario of `load`, or those of `suite`.
    Absolute(Vec<LoadResult>),
    /// What was measured of two builds side by side.
    Ab(Box<Rounds>),
}

/// The text of a file. One that cannot be read is wrong usage: a gate without its files has
/// nothing to say.
///
/// # Errors
///
/// If it cannot be read, or is longer than any file of this tool.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let wrong =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|e| wrong(&e))?.len();
    if length > FILE_BYTES {
        return Err(wrong(&"far too long to be a result"));
    }
    std::fs::read_to_string(path).map_err(|e| wrong(&e))
}

/// Reads a result.
///
/// # Errors
///
/// If it is no file of `load`, `suite` or `ab`, of another schema, or if its numbers make no sense.
pub(super) fn read(path: &Path) -> Result<Input, Failure> {
    let named = |failure: Failure| Failure::usage(format!("{}: {failure}", path.display()));
    parse(&text(path)?).map_err(named)
}

/// What the text of a file says.
fn parse(text: &str) -> Result<Input, Failure> {
    let value: Value = serde_json::from_str(text).map_err(|e| Failure::usage(e.to_string()))?;
    check_schema(&value, "the file")?;
    if let Some(rounds) = value.get("rounds") {
        // The comparisons beside them are what they said; they are judged anew.
        let rounds: Rounds = serde_json::from_value(rounds.clone())
            .map_err(|error| Failure::usage(error.to_string()))?;
        rounds.check()?;
        return Ok(Input::Ab(Box::new(rounds)));
    }
    let results = match value.get("scenarios") {
        Some(Value::Array(scenarios)) => scenarios.clone(),
        Some(_) => return Err(Failure::usage("`scenarios` is no list")),
        None if value.get("scenario").is_some() => vec![value],
        None => {
            return Err(Failure::usage(
                "it is no result: neither `scenario` (of load), nor `scenarios` (of suite), nor \
                 `rounds` (of ab)",
            ));
        }
    };
    let results: Vec<LoadResult> = results.into_iter().map(one).collect::<Result<_, _>>()?;
    if results.is_empty() {
        return Err(Failure::usage("it has no scenario"));
    }
    for (index, result) in results.iter().enumerate() {
        if results[..index]
            .iter()
            .any(|r| r.scenario == result.scenario)
        {
            let name = &result.scenario;
            return Err(Failure::usage(format!("{name} is in it more than once")));
        }
    }
    Ok(Input::Absolute(results))
}

fn one(value: Value) -> Result<LoadResult, Failure> {
    let name = value.get("scenario").and_then(Value::as_str);
    let name = name.unwrap_or("a scenario").to_owned();
    check_schema(&value, &name)?;
    let wrong = |what: String| Failure::usage(format!("{name}: {what}"));
    let result: LoadResult = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
    if result.scenario.is_empty() {
        return Err(Failure::usage("a scenario has no name"));
    }
    for measure in Measure::ABSOLUTE {
        if let Some(value) = measure.of(&result).filter(|value| !is_a_count(*value)) {
            return Err(wrong(format!("{} is {value}", measure.key())));
        }
    }
    for (operation, of) in &result.operations {
        let p95 = of.latency_ms.p95;
        if !is_a_count(p95) {
            return Err(wrong(format!("latency_ms.p95 of {operation} is {p95}")));
        }
    }
    for (key, value) in &result.server_counters {
        if !is_a_count(*value) {
            return Err(wrong(format!("{key} rose by {value}")));
        }
    }
    Ok(result)
}

fn is_a_count(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// A list of scenarios may do without a schema of its own: each of them has one.
fn check_schema(value: &Value, what: &str) -> Result<(), Failure> {
    let schema = value.get("schema");
    let is_list = value.get("scenarios").is_some();
    match schema {
        Some(schema) if schema.as_u64() == Some(u64::from(SCHEMA)) => Ok(()),
        None if is_list => Ok(()),
        Some(schema) => Err(Failure::usage(format!(
            "{what} is of schema {schema}, and this tool reads schema {SCHEMA}: measure again"
        ))),
        None => Err(Failure::usage(format!(
            "{what} has no `schema`: it is no result"
        ))),
    }
}

/// The baseline at `path`: a file, or of a folder of baselines the one of the machine that
/// `result` was measured on. `None` if the folder has none.
///
/// # Errors
///
/// As [`read`], for every file of a folder.
pub(super) fn baseline(
    path: &Path,
    result: &[LoadResult],
) -> Result<Option<Vec<LoadResult>>, Failure> {
    if !path.is_dir() {
        return absolute(path).map(Some);
    }
    let wrong = |e: std::io::Error| Failure::usage(format!("{}: {e}", path.display()));
    let entries = std::fs::read_dir(path).map_err(wrong)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|e| e.path())).collect();
    let mut paths = paths.map_err(wrong)?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    let mut found: Option<(PathBuf, Vec<LoadResult>)> = None;
    for path in paths {
        let baseline = absolute(&path)?;
        let is_of_machine = baseline.iter().all(|baseline| {
            let mut measured = result.iter();
            measured.all(|result| baseline.machine.differences(&result.machine).is_empty())
        });
        if is_of_machine && let Some((other, _)) = found.replace((path.clone(), baseline)) {
            let (this, other) = (path.display(), other.display());
            let both = format!("{other} and {this} are of the same machine: which is it?");
            return Err(Failure::usage(both));
        }
    }
    Ok(found.map(|(_, baseline)| baseline))
}

/// A file that is of one build.
fn absolute(path: &Path) -> Result<Vec<LoadResult>, Failure> {
    match read(path)? {
        Input::Absolute(results) => Ok(results),
        Input::Ab(_) => Err(Failure::usage(format!(
            "{}: a comparison of two builds is no baseline; give the file of `load` or `suite`",
            path.display()
        ))),
    }
}
