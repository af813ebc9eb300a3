//! wrk and oha: how they are told what to do, and what they say of it.

use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Failure, io};
use crate::peers::program::Program;
use crate::sample;

/// Most bytes that are read of what a tool prints.
const PRINTED_BYTES: u64 = 1 << 20;

pub(super) const WRK: Program = Program {
    name: "wrk",
    how: "apt-get install wrk",
};
pub(super) const OHA: Program = Program {
    name: "oha",
    how: "cargo install oha",
};

/// wrk's scripts; the files that stand beside this tool's folder.
const GET: (&str, &str) = ("get.lua", include_str!("../../../wrk/get.lua"));
const PUT: (&str, &str) = ("put.lua", include_str!("../../../wrk/put.lua"));

/// What a tool says that it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Told {
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// A request that is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    /// GET of a path.
    Get(&'a str),
    /// PUT of new bodies of so many bytes.
    Put(u64),
}

/// A closed loop over so many connections for so many seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    /// `http://HOST:PORT`.
    pub(super) url: &'a str,
    pub(super) ask: Ask<'a>,
    pub(super) connections: u32,
    pub(super) seconds: u32,
}

/// Runs wrk on one thread; what it says, and the time of the processor that it took.
pub(super) fn wrk(run: Run<'_>, folder: &Path) -> Result<(Told, Duration), Failure> {
    let ((name, script), path, size) = match run.ask {
        Ask::Get(path) => (GET, path, 0),
        Ask::Put(size) => (PUT, "/put", size),
    };
    let file = folder.join(name);
    std::fs::write(&file, script).map_err(io(file.display()))?;
    let mut command = command(WRK)?;
    command.args([
        "-t1",
        &format!("-c{}", run.connections),
        &format!("-d{}s", run.seconds),
    ]);
    command.args(["--timeout", "10s", "-s"]).arg(file);
    command.arg(format!("{}{path}", run.url));
    command
        .env("SIZE", size.to_string())
        .env_remove("PATHS")
        .env_remove("TOKEN");
    let (text, cpu) = output(command)?;
    Ok((wrk_told(&text)?, cpu))
}

/// The last line of what wrk prints is the script's.
fn wrk_told(text: &str) -> Result<Told, Failure> {
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let told = line.and_then(|line| serde_json::from_str(line).ok());
    told.ok_or_else(|| Failure::wrong(format!("wrk did not say what it did: {text}")))
}

/// The same with oha, which has no bodies that differ: GET alone.
pub(super) fn oha(run: Run<'_>) -> Result<(Told, Duration), Failure> {
    let Ask::Get(path) = run.ask else {
        return Err(Failure::usage("oha: GET is what it is asked"));
    };
    let mut command = command(OHA)?;
    command.args(["--no-tui", "--output-format", "json"]);
    command.args([
        "-c",
        &run.connections.to_string(),
        "-z",
        &format!("{}s", run.seconds),
    ]);
    command.arg(format!("{}{path}", run.url));
    let (text, cpu) = output(command)?;
    Ok((oha_told(&text)?, cpu))
}

fn oha_told(text: &str) -> Result<Told, Failure> {
    let wrong = || Failure::wrong(format!("oha did not say what it did: {text:.500}"));
    let told: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let number = |value: &Value| value.as_f64().ok_or_else(wrong);
    let counts = |key: &str| told[key].as_object().into_iter().flatten();
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let answered: u64 = counts("statusCodeDistribution")
        .map(|(_, times)| count(times))
        .sum();
    let refused = counts("statusCodeDistribution").filter(|(status, _)| *status != "200");
    // What is on its way at the end is cut off, and no error.
    let failed = counts("errorDistribution").filter(|(name, _)| !name.contains("aborted"));
    Ok(Told {
        seconds: number(&told["summary"]["total"])?,
        requests: answered,
        errors: refused.chain(failed).map(|(_, times)| count(times)).sum(),
        p50_ms: number(&told["latencyPercentiles"]["p50"])? * 1e3,
        p99_ms: number(&told["latencyPercentiles"]["p99"])? * 1e3,
    })
}

fn command(program: Program) -> Result<Command, Failure> {
    let path = program.find().map_err(|missing| {
        let (program, how) = (missing.program, missing.how);
        Failure::wrong(format!("{program} is not installed: {how}"))
    })?;
    Ok(Command::new(path))
}

/// What a command prints, and the time of the processor that it took, of all its threads.
fn output(mut command: Command) -> Result<(String, Duration), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut complaint = tempfile::tempfile().map_err(io(&name))?;
    let errors = complaint.try_clone().map_err(io(&name))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(io(&name))?;
    let mut text = Vec::new();
    // Closed behind what is read: who prints more than that is not waited for.
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(PRINTED_BYTES);
        stdout.read_to_end(&mut text).map_err(io(&name))?;
    }
    // Its clock is there until it has been waited for.
    let pid = i32::try_from(child.id()).ok();
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        waitid(WaitId::Pid(pid), ended).map_err(|error| io(&name)(error.into()))?;
    }
    let cpu = pid.and_then(sample::cpu);
    let status = child.wait().map_err(io(&name))?;
    if !status.success() {
        let mut told = String::new();
        // What is no text is not told.
        let _read = complaint
            .rewind()
            .and_then(|()| complaint.read_to_string(&mut told));
        return Err(Failure::wrong(format!("{name}: {status}: {}", told.trim())));
    }
    let cpu =
        cpu.ok_or_else(|| Failure::wrong(format!("{name}: its processor time is not known")))?;
    Ok((String::from_utf8_lossy(&text).into_owned(), cpu))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_line_of_the_script_is_found_among_what_wrk_prints() {
        let text = "Running 5s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n\
            Requests/sec:  40000.00\n\
            {\"seconds\":5.1,\"requests\":204000,\"errors\":2,\"p50_ms\":0.7,\"p99_ms\":2.1}\n";
        let told = wrk_told(text).unwrap();
        assert_eq!((told.requests, told.errors, told.p50_ms), (204_000, 2, 0.7));
        assert!(wrk_told("Running 5s test\n").is_err());
        assert!(wrk_told("{\"seconds\":1}\n").is_err());
    }

    #[test]
    fn what_oha_says_is_read_without_what_the_end_has_cut_off() {
        let text = r#"{"summary":{"successRate":1.0,"total":5.002,"requestsPerSec":100.0},
            "latencyPercentiles":{"p50":0.0007,"p99":0.0021},
            "statusCodeDistribution":{"200":500,"503":4},
            "errorDistribution":{"aborted due to deadline":31,"connection refused":2}}"#;
        let told = oha_told(text).unwrap();
        assert_eq!((told.requests, told.errors), (504, 6));
        assert_eq!((told.seconds, told.p50_ms, told.p99_ms), (5.002, 0.7, 2.1));
        assert!(oha_told("{}").is_err() && oha_told("oha: no such flag").is_err());
    }

    #[test]
    fn the_time_of_a_command_is_its_own() {
        let mut busy = Command::new("sh");
        busy.args([
            "-c",
            "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done",
        ]);
        let (text, cpu) = output(busy).unwrap();
        assert_eq!(text, "done\n");
        assert!(cpu > Duration::from_millis(5), "{cpu:?}");
        let mut wrong = Command::new("sh");
        wrong.args(["-c", "echo why >&2; exit 3"]);
        let failure = output(wrong).unwrap_err().to_string();
        assert!(failure.contains("why"), "{failure}");
    }
}
