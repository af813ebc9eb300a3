//! Findings as people read them.

use super::finding::{Finding, Kind, Outcome};

/// Columns of a row.
const COLUMNS: usize = 6;

/// A row for each finding, and a sentence for each that does not hold.
pub fn table(findings: &[Finding]) -> String {
    let head = ["", "metric", "was", "is", "change", "allowed"].map(ToOwned::to_owned);
    let rows: Vec<[String; COLUMNS]> = [head].into_iter().chain(findings.iter().map(row)).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            // Words stand to the left, numbers to the right.
            line += &if index < 2 {
                format!("{cell}{padding}  ")
            } else {
                format!("{padding}{cell}  ")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    for (outcome, word) in [
        (Outcome::Waived, "waived"),
        (Outcome::Unsure, "unsure"),
        (Outcome::Failed, "FAILED"),
    ] {
        for finding in findings.iter().filter(|f| f.outcome == outcome) {
            text += &format!("{word}: {}", finding.sentence());
            if outcome == Outcome::Waived
                && let Some(note) = &finding.note
            {
                text += &format!("; waived {note}");
            }
            text.push('\n');
        }
    }
    text
}

fn row(finding: &Finding) -> [String; COLUMNS] {
    let mark = match finding.outcome {
        Outcome::Held => "ok",
        Outcome::Failed => "FAIL",
        Outcome::Waived => "waived",
        Outcome::Unsure => "unsure",
        Outcome::NotMeasured => "-",
    };
    let allowed = finding.allowed_percent;
    let (was, is, change, allowed) = match finding.kind {
        Kind::Measure(measure) => {
            let show = |value: Option<f64>| {
                value.map_or_else(|| "not measured".to_owned(), |value| measure.show(value))
            };
            let change = finding
                .change_percent
                .map(|change| format!("{change:+.2} %"));
            let interval = finding.low_percent.zip(finding.high_percent);
            let interval = interval.map(|(low, high)| format!(" ({low:+.1} to {high:+.1})"));
            let sign = if measure.is_better_higher() { "-" } else { "+" };
            (
                show(finding.base),
                show(finding.new),
                change.unwrap_or_default() + &interval.unwrap_or_default(),
                format!("{sign}{allowed} %"),
            )
        }
        Kind::Budget(_) if finding.new.is_none() => (
            String::new(),
            String::new(),
            String::new(),
            "no bound".to_owned(),
        ),
        Kind::Budget(_) => {
            let count = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v}"));
            let spent = finding.change_percent.map(|spent| format!("{spent:.4} %"));
            (
                format!("of {}", count(finding.base)),
                count(finding.new),
                spent.unwrap_or_default(),
                format!("< {allowed} %"),
            )
        }
    };
    let metric = finding.metric.clone();
    if finding.base.is_none() && finding.new.is_none() && finding.outcome == Outcome::Failed {
        let none = String::new;
        return [mark.to_owned(), metric, none(), none(), none(), none()];
    }
    [mark.to_owned(), metric, was, is, change, allowed]
}
