//! The head of a report: what ran where, and which service levels hold.

use super::table::{Cell, Table, columns};
use super::text::{Escaped, moment, number, or_dash};
use crate::slo::{Comparison, Row, Verdict};
use crate::suite::result::{Level, SuiteResult};

/// What ran, where and when.
pub(super) fn head(suite: &SuiteResult) -> String {
    let machine = &suite.machine;
    let place = format!(
        "{}, {} cores ({}), {} GiB, Linux {}",
        machine.cpu, machine.cores, machine.arch, machine.memory_gib, machine.kernel
    );
    let revision = suite.node.revision.as_deref().unwrap_or("not told");
    let build = format!("micronode {}, revision {revision}", suite.node.version);
    let minutes = suite.duration_s / 60.0;
    let told = [
        ("Date", moment(suite.started_unix_s)),
        ("Node", build),
        ("Machine", place),
        ("Fingerprint", machine.fingerprint.clone()),
        ("Command", command(suite)),
        ("Took", format!("{} minutes", number(minutes))),
    ];
    let items = told.iter().map(|(name, value)| {
        let value = Escaped(value);
        match *name {
            "Command" => format!("<dt>{name}</dt><dd><code>{value}</code></dd>"),
            _ => format!("<dt>{name}</dt><dd>{value}</dd>"),
        }
    });
    format!("<dl class=\"facts\">{}</dl>\n", items.collect::<String>())
}

fn command(suite: &SuiteResult) -> String {
    let level = match suite.level {
        Level::Quick => "--quick",
        Level::Full => "--full",
    };
    let asked = |flag, is_asked| if is_asked { flag } else { "" };
    let peers = asked(" --peers", suite.peers.is_some());
    let others = asked(" --cross-check", suite.cross_check.is_some());
    format!("gwsmoke suite {level}{peers}{others} --out DIR")
}

/// What the table says, in two sentences.
pub(super) fn summary(rows: &[Row]) -> String {
    let having = |verdict| rows.iter().filter(move |row| row.verdict == verdict);
    let failed: Vec<String> = having(Verdict::Fail)
        .map(|row| format!("<li>{}</li>", Escaped(&row.title)))
        .collect();
    let promised = having(Verdict::Pass).filter(|row| row.floor.is_some());
    let missed = rows
        .iter()
        .filter(|row| row.goal_met == Some(false))
        .count();
    let aimed = rows.iter().filter(|row| row.goal_met.is_some()).count();
    let (held, broken) = (promised.count(), failed.len());
    let open = having(Verdict::NotMeasured).count();
    let (left_out, elsewhere) = (
        having(Verdict::LeftOut).count(),
        having(Verdict::Elsewhere).count(),
    );
    let (class, verdict) = match broken {
        0 => ("pass", "✓ No service level is missed."),
        _ => ("fail", "✗ Service levels are missed."),
    };
    let list = match broken {
        0 => String::new(),
        _ => format!("<ul>{}</ul>", failed.concat()),
    };
    format!(
        "<p><b class=\"{class}\">{verdict}</b> Of what is promised, {held} hold and {broken} do not. \
         Of this project's own goals that were measured, {missed} of {aimed} are missed. Not \
         measured: {open}; left out: {left_out}; measured elsewhere: {elsewhere}.</p>{list}\n"
    )
}

/// Every service level beside what was measured.
pub(super) fn table(rows: &[Row]) -> String {
    let heads = columns(["service level", "from"], ["promised", "goal", "measured"])
        .chain(columns(["unit", "verdict", "note"], []));
    let mut table = Table::new("Promised, aimed at, and measured", heads);
    for row in rows {
        let bound = |value| format!("{} {}", sign(row.comparison), number(value));
        table.row([
            Cell::from(row.title.as_str()),
            row.source.as_str().into(),
            or_dash(row.floor, bound).into(),
            or_dash(row.goal, bound).into(),
            or_dash(row.measured, number).into(),
            row.unit.as_str().into(),
            Cell::Markup(verdict(row)),
            row.note.as_deref().unwrap_or_default().into(),
        ]);
    }
    table.to_string()
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::AtMost => "≤",
        Comparison::AtLeast => "≥",
        Comparison::Equal => "=",
    }
}

fn verdict(row: &Row) -> String {
    let (class, words) = match (row.verdict, row.goal_met) {
        (Verdict::Pass, Some(false)) if row.floor.is_none() => ("near", "– goal missed"),
        (Verdict::Pass, Some(true)) if row.floor.is_none() => ("pass", "✓ goal met"),
        (Verdict::Pass, None) if row.floor.is_none() => ("open", "told alone"),
        (Verdict::Pass, Some(false)) => ("near", "✓ holds, goal missed"),
        (Verdict::Pass, _) => ("pass", "✓ holds"),
        (Verdict::Fail, _) => ("fail", "✗ missed"),
        (Verdict::NotMeasured, _) => ("open", "○ not measured"),
        (Verdict::LeftOut, _) => ("open", "○ left out"),
        (Verdict::Elsewhere, _) => ("open", "→ elsewhere"),
    };
    format!("<span class=\"{class}\">{words}</span>")
}

/// What could not be run.
pub(super) fn skipped(suite: &SuiteResult) -> String {
    let peers = suite.peers.iter().chain(&suite.cross_check);
    let missing: Vec<_> = peers.flat_map(|found| &found.missing).collect();
    let mut html = String::new();
    if !suite.skipped.is_empty() {
        let items = suite
            .skipped
            .iter()
            .map(|why| format!("<li>{}</li>", Escaped(why)));
        html += &format!("<ul>{}</ul>\n", items.collect::<String>());
    }
    let mut table = Table::new(
        "Programs that are not installed",
        columns(["program", "how to get it"], []),
    );
    for each in missing {
        let how = format!("<code>{}</code>", Escaped(&each.how));
        table.row([each.program.as_str().into(), Cell::Markup(how)]);
    }
    html + &table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdict: Verdict, goal_met: Option<bool>) -> Row {
        Row {
            id: "get_p95".to_owned(),
            title: "GET <p95>".to_owned(),
            source: "§1".to_owned(),
            unit: "ms".to_owned(),
            comparison: Comparison::Less,
            floor: Some(80.0),
            goal: Some(5.0),
            measured: Some(12.0),
            scenario: None,
            verdict,
            goal_met,
            note: None,
        }
    }

    #[test]
    fn a_missed_level_is_named_and_a_missed_goal_is_counted() {
        let goal_alone = Row {
            floor: None,
            ..row(Verdict::Pass, Some(false))
        };
        let mut rows = vec![
            row(Verdict::Pass, Some(true)),
            row(Verdict::Pass, Some(false)),
            row(Verdict::NotMeasured, None),
            goal_alone,
        ];
        let html = summary(&rows);
        for part in [
            "No service level is missed",
            "2 hold and 0 do not",
            "2 of 3 are missed",
            "Not measured: 1",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        rows.push(row(Verdict::Fail, Some(false)));
        let html = summary(&rows);
        assert!(html.contains("<li>GET &lt;p95&gt;</li>"), "{html}");
        assert!(html.contains("Service levels are missed"), "{html}");
    }

    #[test]
    fn a_row_has_its_bounds_with_their_sign_and_a_verdict_in_words() {
        let html = table(&[row(Verdict::Pass, Some(false))]);
        for part in ["&lt; 80", "&lt; 5", ">12<", "✓ holds, goal missed"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        let goal_alone = |goal_met| Row {
            floor: None,
            ..row(Verdict::Pass, goal_met)
        };
        assert!(verdict(&goal_alone(Some(false))).contains("– goal missed"));
        assert!(verdict(&goal_alone(Some(true))).contains("✓ goal met"));
        assert!(verdict(&goal_alone(None)).contains("told alone"));
    }
}
