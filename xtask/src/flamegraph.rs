//! `cargo xtask flamegraph SCENARIO`: where a node's time goes under one of the loads in
//! `testing/performance/scenarios`, as a picture and as a list.
//!
//! The node is the release build, but with frame pointers, which is how `perf` finds callers; it is
//! built beside the other one. The drawing is done by the programs of the crate inferno: as a
//! library they would be most of what is compiled here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::measure::target_directory;
use crate::{Failure, cargo, io, root, show, succeed};

/// Where scenarios are, below the root.
pub(crate) const SCENARIOS: &str = "testing/performance/scenarios";
/// Kept out of step with what happens a hundred or a thousand times a second.
const SAMPLES_PER_SECOND: &str = "499";
/// Functions of the list.
const LISTED: usize = 15;
/// Narrower frames are left out, in percent: they cannot be read, and are most of the file.
const LEAST_WIDTH: &str = "0.3";
/// `perf` writes down what it has when the node has ended.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(50);

const TOOLS: [(&str, &str); 3] = [
    ("perf", "apt-get install linux-perf"),
    ("inferno-collapse-perf", "cargo install --locked inferno"),
    ("inferno-flamegraph", "cargo install --locked inferno"),
];

/// Becomes the node once `perf` has said that it looks at this process: under one number from the
/// beginning, every thread with its name, and whoever ends the node ends the recording.
const AS_THE_NODE: &str = r#"#!/bin/sh
to="$XTASK_RECORDING.ctl" from="$XTASK_RECORDING.ack"
rm -f "$to" "$from"
mkfifo "$to" "$from" || exit 1
exec 3<>"$to" 4<>"$from"
perf record --quiet --freq "$XTASK_FREQUENCY" --call-graph fp --output "$XTASK_RECORDING" \
    --delay=-1 --control=fifo:"$to,$from" --pid $$ \
    </dev/null >"$XTASK_RECORDING.log" 2>&1 3>&- 4>&- &
echo $! >"$XTASK_RECORDING.pid"
echo enable >&3
if ! timeout 8 head -n 1 <&4 >/dev/null; then
    cat "$XTASK_RECORDING.log" >&2
    exit 1
fi
exec "$XTASK_NODE" "$@" 3>&- 4>&-
"#;

/// Draws one scenario.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let (scenario, out) = match words {
        [scenario] => (*scenario, target_directory()?.join("flamegraph")),
        [scenario, "--out", out] => (*scenario, PathBuf::from(out)),
        _ => {
            let what = "flamegraph: one scenario, by its name or its file, and --out DIR";
            return Err(Failure::Usage(what.to_owned()));
        }
    };
    let picture = draw(scenario, &out)?;
    println!("{}", picture.display());
    Ok(())
}

/// Draws `scenario` into `out`; the picture's file.
pub(crate) fn draw(scenario: &str, out: &Path) -> Result<PathBuf, Failure> {
    let file = find(scenario)?;
    check_tools()?;
    let target = target_directory()?;
    let node = build_node(&target)?;
    succeed(cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "gwsmoke",
    ]))?;

    fs::create_dir_all(out).map_err(io(out.display()))?;
    let name = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let of = |ending: &str| out.join(format!("{name}.{ending}"));
    let recording = of("perf");
    // An earlier one would be taken for this one's beginning.
    if recording.exists() {
        fs::remove_file(&recording).map_err(io(recording.display()))?;
    }
    let wrapper = of("node.sh");
    fs::write(&wrapper, AS_THE_NODE).map_err(io(wrapper.display()))?;
    fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755))
        .map_err(io(wrapper.display()))?;

    let mut load = Command::new(target.join("release/gwsmoke"));
    load.args(["load", "--scenario"])
        .arg(&file)
        .arg("--node")
        .arg(&wrapper)
        .arg("--json")
        .arg(of("json"))
        .env("XTASK_FREQUENCY", SAMPLES_PER_SECOND)
        .env("XTASK_RECORDING", &recording)
        .env("XTASK_NODE", &node)
        .current_dir(root());
    succeed(load)?;
    wait_for(&recording)?;

    let folded = of("folded");
    collapse(&recording, &folded)?;
    let stacks = fs::read_to_string(&folded).map_err(io(folded.display()))?;
    list(&stacks);
    let picture = of("svg");
    paint(&name, &folded, &picture)?;
    Ok(picture)
}

/// The file of a scenario that is called by its name, or by its path.
fn find(scenario: &str) -> Result<PathBuf, Failure> {
    let folder = root().join(SCENARIOS);
    let named = folder.join(format!("{scenario}.toml"));
    let found = [named, PathBuf::from(scenario)];
    let found = found.into_iter().find(|path| path.is_file());
    found
        .and_then(|path| path.canonicalize().ok())
        .ok_or_else(|| {
            let mut names: Vec<String> = fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| entry.path().file_stem()?.to_str().map(ToOwned::to_owned))
                .collect();
            names.sort();
            let names = names.join(", ");
            Failure::Wrong(format!("no scenario {scenario}; there are {names}"))
        })
}

fn check_tools() -> Result<(), Failure> {
    for (tool, install) in TOOLS {
        let mut asked = Command::new(tool);
        asked
            .arg("--help")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if asked.status().is_err() {
            return Err(Failure::Wrong(format!(
                "`{tool}` does not run; get it with `{install}`"
            )));
        }
    }
    Ok(())
}

fn build_node(target: &Path) -> Result<PathBuf, Failure> {
    let beside = target.join("frame-pointers");
    let mut build = cargo(&["build", "--locked", "--release", "--package", "micronode"]);
    build
        .arg("--target-dir")
        .arg(&beside)
        .env("RUSTFLAGS", "-C force-frame-pointers=yes")
        .env("CFLAGS", "-fno-omit-frame-pointer");
    succeed(build)?;
    Ok(beside.join("release/micronode"))
}

/// Waits until `perf` has written all of a recording.
fn wait_for(recording: &Path) -> Result<(), Failure> {
    let place = recording.with_extension("perf.pid");
    let pid = fs::read_to_string(&place).map_err(io(place.display()))?;
    let process = Path::new("/proc").join(pid.trim());
    let mut waited = Duration::ZERO;
    while process.exists() {
        if waited > WRITTEN_WITHIN {
            return Err(Failure::Wrong(format!(
                "perf (process {}) does not end",
                pid.trim()
            )));
        }
        sleep(POLL);
        waited += POLL;
    }
    Ok(())
}

/// One line for each stack that was seen, with how often.
fn collapse(recording: &Path, folded: &Path) -> Result<(), Failure> {
    // Functions that were inlined into others are left out: to name them takes minutes.
    let mut script = Command::new("perf");
    script
        .args(["script", "--no-inline", "--input"])
        .arg(recording);
    let shown = show(&script);
    let mut script = script
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io(&shown))?;
    let stacks = script.stdout.take().expect("stdout was asked to be a pipe");
    let mut collapse = Command::new("inferno-collapse-perf");
    let file = File::create(folded).map_err(io(folded.display()))?;
    collapse.stdin(stacks).stdout(file).stderr(Stdio::null());
    let collapsed = succeed(collapse);
    let scripted = script.wait().map_err(io(&shown))?;
    collapsed?;
    if !scripted.success() {
        return Err(Failure::Program(shown));
    }
    Ok(())
}

fn paint(name: &str, folded: &Path, picture: &Path) -> Result<(), Failure> {
    let file = File::create(picture).map_err(io(picture.display()))?;
    let mut paint = Command::new("inferno-flamegraph");
    paint
        .args(["--title", name, "--minwidth", LEAST_WIDTH])
        .args(["--deterministic", "--countname", "samples"])
        .arg(folded)
        .stdout(file);
    succeed(paint)
}

/// The functions that most samples were in, without what they called.
fn list(stacks: &str) {
    let (total, own) = own_samples(stacks);
    let mut own: Vec<(&str, u64)> = own.into_iter().collect();
    own.sort_by_key(|(_, samples)| std::cmp::Reverse(*samples));
    println!("{total} samples; in the function itself:");
    for (function, samples) in own.into_iter().take(LISTED) {
        let percent = samples as f64 * 100.0 / total as f64;
        println!("{percent:>6.1} %  {function}");
    }
}

/// Samples of all stacks, and of the innermost function of each.
fn own_samples(stacks: &str) -> (u64, BTreeMap<&str, u64>) {
    let mut total = 0;
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    for line in stacks.lines() {
        let Some((stack, samples)) = line.rsplit_once(' ') else {
            continue;
        };
        let samples = samples.parse().unwrap_or(0);
        let innermost = stack
            .rsplit_once(';')
            .map_or(stack, |(_, function)| function);
        *own.entry(innermost).or_default() += samples;
        total += samples;
    }
    (total, own)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn samples_are_their_innermost_functions() {
        let stacks = "a;b;c 3\na;c 2\na 1\nb;<T as U<V>>::f 4\n";
        let (total, own) = own_samples(stacks);
        assert_eq!(total, 10);
        assert_eq!(own["c"], 5);
        assert_eq!(own["a"], 1);
        assert_eq!(own["<T as U<V>>::f"], 4);
    }

    #[test]
    fn an_unknown_scenario_is_told_with_those_that_there_are() {
        let failure = find("nothing").unwrap_err().to_string();
        assert!(failure.starts_with("no scenario nothing"), "{failure}");
    }
}
