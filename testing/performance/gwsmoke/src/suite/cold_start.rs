//! From exec to the first 200 of `/readyz`, over several starts.

use std::thread::sleep;
use std::time::Duration;

use super::result::ColdStart;
use super::session::Session;
use crate::clock;
use crate::failure::Failure;
use crate::fetch;

/// Longest start that is waited for: five times what is promised.
const WITHIN: Duration = Duration::from_secs(10);
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_micros(200);

/// Starts nodes, one after the other.
pub(super) fn measure(session: &Session<'_>) -> Result<ColdStart, Failure> {
    let starts = session.either(5, 20);
    let mut times = Vec::with_capacity(starts);
    for number in 0..starts {
        session.progress.begin("cold start", starts as u64);
        session.progress.at(number as u64);
        times.push(start(session)?.as_secs_f64() * 1e3);
    }
    Ok(of(times))
}

fn start(session: &Session<'_>) -> Result<Duration, Failure> {
    let began = clock::now();
    let node = session.node(&[])?;
    let admin = node.admin;
    let admin = admin.ok_or_else(|| Failure::wrong("the node has no admin plane"))?;
    loop {
        let answer = fetch::get(admin, "/readyz");
        let took = clock::now() - began;
        match answer {
            Ok((200, _)) => return Ok(took),
            _ if took > WITHIN => {
                let what = format!("a node was not ready within {WITHIN:?} of its start");
                return Err(Failure::wrong(what));
            }
            _ => sleep(ASK_EVERY),
        }
    }
}

fn of(mut ms: Vec<f64>) -> ColdStart {
    ms.sort_by(f64::total_cmp);
    let at = |index: usize| ms.get(index).copied().unwrap_or_default();
    ColdStart {
        starts: ms.len() as u32,
        min_ms: at(0),
        p50_ms: at(ms.len() / 2),
        max_ms: at(ms.len().saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_and_the_middle_are_told() {
        let start = of(vec![9.0, 5.0, 7.0, 6.0, 8.0]);
        assert_eq!((start.starts, start.min_ms), (5, 5.0));
        assert_eq!((start.p50_ms, start.max_ms), (7.0, 9.0));
    }
}
