//! More than a processor can do: connections are doubled until nothing is gained by it, then doubled
//! once more. What is done then, and how soon it is over.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::catalogue;
use super::result::{BeyondCpu, ClosedStep};
use super::session::Session;
use crate::ask::http::Request;
use crate::clock;
use crate::failure::{Failure, io};
use crate::fetch;
use crate::result::LoadResult;
use crate::spec::LoadSpec;

/// The knee is where this part of the best goodput is reached.
const KNEE: f64 = 0.95;
/// Most connections that are tried.
const CONNECTIONS: u32 = 256;
/// Doubled this many times without a gain, no more is expected...
const WITHOUT_GAIN: usize = 2;
/// ... once so many have been tried: a first one that was lucky is no knee.
const AT_LEAST: u32 = 16;
/// A request is answered as usual when it takes no longer: what this project aims at for reads.
const USUAL: Duration = Duration::from_millis(5);
/// A node is back to normal when so many in a row are.
const IN_A_ROW: u32 = 20;
const ASK_EVERY: Duration = Duration::from_millis(10);
/// How long that is waited for.
const WITHIN: Duration = Duration::from_secs(10);

/// Doubles connections, finds the knee, and goes beyond it.
pub(super) fn measure(session: &Session<'_>) -> Result<BeyondCpu, Failure> {
    let spec = LoadSpec {
        duration_s: session.either(1.0, 4.0),
        ..session.spec(catalogue::CAPACITY)?
    };
    let (node, prepared) = session.prepared(&spec)?;
    let with = |connections: u32| {
        let spec = LoadSpec {
            connections,
            ..spec.clone()
        };
        prepared.measure(&spec, &node, session.progress)
    };
    let mut steps: Vec<ClosedStep> = Vec::new();
    let mut connections = 1;
    while connections <= CONNECTIONS && !is_enough(&steps) {
        steps.push(step(&with(connections)?));
        connections *= 2;
    }
    let (knee_connections, knee_rps) = knee(&steps).ok_or_else(|| Failure::wrong("no goodput"))?;
    let http = node.http()?;
    let path = object(http, node.token.as_deref())?;
    let beyond = with(2 * knee_connections)?;
    let recovery_s = recovery(http, &path, clock::now());
    Ok(BeyondCpu {
        steps,
        knee_connections,
        knee_rps,
        beyond_rps: beyond.achieved_rps,
        goodput_percent: beyond.achieved_rps / knee_rps * 100.0,
        failures: beyond.errors,
        recovery_s,
    })
}

fn step(result: &LoadResult) -> ClosedStep {
    ClosedStep {
        connections: result.spec.connections,
        achieved_rps: result.achieved_rps,
        p50_ms: result.latency_ms.p50,
        p99_ms: result.latency_ms.p99,
    }
}

/// Whether the last steps gained nothing over those before.
fn is_enough(steps: &[ClosedStep]) -> bool {
    if steps.last().is_none_or(|last| last.connections < AT_LEAST) {
        return false;
    }
    let (before, last) = steps.split_at(steps.len().saturating_sub(WITHOUT_GAIN));
    let (before, last) = (best(before), best(last));
    before > 0.0 && last * KNEE <= before
}

fn best(steps: &[ClosedStep]) -> f64 {
    steps
        .iter()
        .map(|step| step.achieved_rps)
        .fold(0.0, f64::max)
}

/// The fewest connections that come close to the best goodput, and what they reach.
fn knee(steps: &[ClosedStep]) -> Option<(u32, f64)> {
    let enough = best(steps) * KNEE;
    let knee = steps.iter().find(|step| step.achieved_rps >= enough);
    let knee = knee.map(|step| (step.connections, step.achieved_rps));
    knee.filter(|(_, rps)| *rps > 0.0)
}

/// Puts something to ask for.
fn object(http: SocketAddr, token: Option<&str>) -> Result<String, Failure> {
    let body = [7; 1024];
    let path = format!("/o/{}", micronode_protocol::Address::of(&body));
    let put = Request {
        method: "PUT",
        path: &path,
        fields: &[],
        body: &body,
    };
    let answer = put.ask(http, token).map_err(io("a put"))?;
    match answer.status {
        200 | 201 => Ok(path),
        _ => Err(Failure::wrong(format!("a put: {}", answer.told()))),
    }
}

/// Seconds from `end` until requests at a low rate are answered as usual.
fn recovery(http: SocketAddr, path: &str, end: Instant) -> Option<f64> {
    let (mut in_a_row, mut since) = (0, end);
    loop {
        let began = clock::now();
        if began - end > WITHIN {
            return None;
        }
        let answer = fetch::get(http, path);
        let is_usual = matches!(answer, Ok((200, _))) && clock::now() - began <= USUAL;
        if !is_usual {
            in_a_row = 0;
        } else if in_a_row == 0 {
            (in_a_row, since) = (1, began);
        } else {
            in_a_row += 1;
        }
        if in_a_row == IN_A_ROW {
            return Some((since - end).as_secs_f64());
        }
        sleep(ASK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(rps: &[f64]) -> Vec<ClosedStep> {
        let step = |(index, achieved_rps): (usize, &f64)| ClosedStep {
            connections: 1 << index,
            achieved_rps: *achieved_rps,
            ..ClosedStep::default()
        };
        rps.iter().enumerate().map(step).collect()
    }

    #[test]
    fn the_knee_is_the_first_that_comes_close_to_the_best() {
        let rising = steps(&[10.0, 20.0, 38.5, 40.0, 39.0]);
        assert_eq!(knee(&rising), Some((4, 38.5)));
        assert_eq!(knee(&steps(&[10.0, 20.0, 40.0])), Some((4, 40.0)));
        assert_eq!(knee(&steps(&[0.0, 0.0])), None);
        assert_eq!(knee(&[]), None);
    }

    #[test]
    fn it_is_enough_when_two_more_steps_gain_nothing() {
        assert!(!is_enough(&[]));
        assert!(!is_enough(&steps(&[10.0, 20.0, 40.0, 80.0, 160.0])));
        assert!(!is_enough(&steps(&[10.0, 20.0, 40.0, 40.0, 43.0])));
        assert!(is_enough(&steps(&[10.0, 20.0, 40.0, 40.0, 41.0])));
        assert!(is_enough(&steps(&[10.0, 20.0, 30.0, 25.0, 20.0])));
        // Too few to say.
        assert!(!is_enough(&steps(&[10.0, 9.0, 9.0, 9.0])));
    }
}
