//! The admin plane: health, readiness, version, metrics, and that what was asked has been counted.

use super::walk::{Broken, Step};
use super::world::World;

/// Before anything is asked of the data plane.
pub(super) const BEFORE: &[Step] = &[
    ("admin healthz", healthz),
    ("admin readyz", readyz),
    ("admin version", version),
    ("admin metrics", metrics),
];

/// Afterwards, when HTTP alone was walked.
pub(super) const AFTER_HTTP: &[Step] = &[("admin counted http", counted_http)];

/// Afterwards.
pub(super) const AFTER_BOTH: &[Step] = &[
    ("admin counted http", counted_http),
    ("admin counted oap", counted_oap),
];

fn healthz(world: &mut World<'_>) -> Result<(), Broken> {
    let answer = world.ask_admin("/healthz")?.expect(200)?;
    if answer.body.starts_with(b"ok") {
        return Ok(());
    }
    Err(Broken::new("ok", String::from_utf8_lossy(&answer.body)))
}

fn readyz(world: &mut World<'_>) -> Result<(), Broken> {
    let state = world.ask_admin("/readyz")?.expect(200)?.json()?;
    if state["ready"] == true && state["degraded"] == false {
        return Ok(());
    }
    Err(Broken::new("ready and not degraded", state))
}

fn version(world: &mut World<'_>) -> Result<(), Broken> {
    let version = world.ask_admin("/version")?.expect(200)?.json()?;
    for key in ["version", "revision", "rustc"] {
        if version[key].as_str().is_none_or(str::is_empty) {
            return Err(Broken::new(format!("a {key}"), &version[key]));
        }
    }
    if version["limits"]["limits.one_shot_body"].is_null() {
        return Err(Broken::new("the limits in force", &version["limits"]));
    }
    Ok(())
}

fn metrics(world: &mut World<'_>) -> Result<(), Broken> {
    let page = page(world)?;
    for name in [
        "objects",
        "object_bytes",
        "memory_budget_bytes",
        "process_open_fds",
        "integrity_fail_total",
        "bus_published_total",
    ] {
        if total(&page, name, "").is_none() {
            return Err(Broken::new(format!("a value of {name}"), "none"));
        }
    }
    world.gets_before = gets(&page);
    world.frames_before = frames(&page);
    Ok(())
}

fn counted_http(world: &mut World<'_>) -> Result<(), Broken> {
    let risen = gets(&page(world)?) - world.gets_before;
    if risen >= 1.0 {
        return Ok(());
    }
    Err(Broken::new(
        "GETs of objects counted in http_requests_total",
        risen,
    ))
}

fn counted_oap(world: &mut World<'_>) -> Result<(), Broken> {
    let risen = frames(&page(world)?) - world.frames_before;
    if risen >= 1.0 {
        return Ok(());
    }
    Err(Broken::new(
        "frames of requests counted in oap_frames_total",
        risen,
    ))
}

fn page(world: &World<'_>) -> Result<String, Broken> {
    let answer = world.ask_admin("/metrics")?.expect(200)?;
    let page = String::from_utf8(answer.body).unwrap_or_default();
    if page.trim_end().ends_with("# EOF") {
        return Ok(page);
    }
    Err(Broken::new(
        "OpenMetrics text up to its end",
        "something else",
    ))
}

fn gets(page: &str) -> f64 {
    total(
        page,
        "http_requests_total",
        "route=\"/o/{addr}\",method=\"GET\"",
    )
    .unwrap_or_default()
}

fn frames(page: &str) -> f64 {
    total(page, "oap_frames_total", "direction=\"in\",kind=\"req\"").unwrap_or_default()
}

/// The sum of a metric's samples whose labels have this in them.
fn total(page: &str, name: &str, labels: &str) -> Option<f64> {
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_whole = rest.starts_with([' ', '{']);
        let (of, value) = rest.rsplit_once(' ')?;
        (is_whole && of.contains(labels)).then_some(value.parse::<f64>().ok()?)
    });
    samples.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_labels() {
        let page = "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\n\
                    a_total_more 5\nb 6\n";
        assert_eq!(total(page, "a_total", "x=\"1\""), Some(7.0));
        assert_eq!(total(page, "a_total", "y=\"3\""), Some(4.0));
        assert_eq!(total(page, "a_total", "z"), None);
        assert_eq!(total(page, "b", ""), Some(6.0));
        assert_eq!(total(page, "a", ""), None);
    }
}
