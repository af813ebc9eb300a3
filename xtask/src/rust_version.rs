//! Keeps the workspace's `rust-version` true: exactly what the lock file needs, in every crate.

use std::fmt;

use serde_json::Value;

use crate::{Failure, cargo, io, show};

/// `major.minor`, to which a missing patch number is no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u64, u64, u64);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::parse);
        let mut next = || parts.next().unwrap_or(Ok(0)).ok();
        let version = Self(next()?, next()?, next()?);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}")?;
        if *patch > 0 {
            write!(f, ".{patch}")
        } else {
            Ok(())
        }
    }
}

/// Fails unless every crate of the workspace declares the newest version that any locked
/// dependency does.
pub(crate) fn check() -> Result<(), Failure> {
    let mut command = cargo(&["metadata", "--locked", "--format-version", "1"]);
    let shown = show(&command);
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(io(&shown))?;
    if !output.status.success() {
        return Err(Failure::Program(shown));
    }
    let metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::Wrong(format!("`{shown}`: {error}")))?;
    println!("{}", judge(&metadata).map_err(Failure::Wrong)?);
    Ok(())
}

/// A line on success, another on failure.
fn judge(metadata: &Value) -> Result<String, String> {
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    // Crates of the workspace have no source; dependencies have a registry.
    let (ours, theirs): (Vec<_>, Vec<_>) = packages
        .iter()
        .partition(|package| package["source"].is_null());
    let mut needed: Option<(Version, &str)> = None;
    for package in theirs {
        // A crate that declares nothing needs nothing in particular.
        if let Some(version) = declared(package)? {
            needed = needed.max(Some((version, name(package))));
        }
    }
    let Some((needed, by)) = needed else {
        return Err("no dependency declares a rust-version".to_owned());
    };
    for package in ours {
        let declared = declared(package)?;
        if declared != Some(needed) {
            let declared = declared.map_or("nothing".to_owned(), |version| version.to_string());
            return Err(format!(
                "{} declares {declared} as rust-version, and the lock file needs {needed} (for \
                 {by}): declare {needed} in the workspace's Cargo.toml",
                name(package)
            ));
        }
    }
    Ok(format!(
        "rust-version {needed} is what the lock file needs (for {by})"
    ))
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or("?")
}

fn declared(package: &Value) -> Result<Option<Version>, String> {
    let Some(text) = package["rust_version"].as_str() else {
        return Ok(None);
    };
    let version = Version::parse(text)
        .ok_or_else(|| format!("{}: {text:?} is not a rust-version", name(package)))?;
    Ok(Some(version))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(ours: &[Option<&str>], theirs: &[Option<&str>]) -> Value {
        let package = |source: Value, versions: &[Option<&str>]| -> Vec<Value> {
            let one = |version: &Option<&str>| json!({"name": "a crate", "source": source, "rust_version": version});
            versions.iter().map(one).collect()
        };
        let mut packages = package(Value::Null, ours);
        packages.extend(package(json!("registry"), theirs));
        json!({ "packages": packages })
    }

    #[test]
    fn exactly_what_is_needed_passes() {
        for (ours, theirs) in [
            ("1.95", &["1.95", "1.85"][..]),
            ("1.95", &["1.9", "1.95.0"]),
            ("1.95.1", &["1.95.1", "1.95"]),
        ] {
            let theirs: Vec<_> = theirs.iter().copied().map(Some).chain([None]).collect();
            let judged = judge(&metadata(&[Some(ours), Some(ours)], &theirs));
            assert!(judged.is_ok(), "{ours}: {judged:?}");
        }
    }

    #[test]
    fn less_more_and_nothing_fail() {
        for ours in [
            Some("1.94"),
            Some("1.96"),
            Some("1.95.1"),
            Some("2.0"),
            None,
        ] {
            let judged = judge(&metadata(&[Some("1.95"), ours], &[Some("1.95")]));
            assert!(
                judged.is_err_and(|why| why.contains("needs 1.95 ")),
                "{ours:?}"
            );
        }
        assert!(judge(&metadata(&[Some("1.95")], &[None])).is_err());
        assert!(judge(&metadata(&[Some("1.95")], &[Some("1.x")])).is_err());
        assert!(judge(&json!({})).is_err());
    }
}
