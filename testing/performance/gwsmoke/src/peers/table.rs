//! Comparisons as text.

use std::fmt::Write;

use crate::suite::result::Comparisons;

/// A table for a terminal: a line for each comparison, then what is missing.
pub(crate) fn of(found: &Comparisons) -> String {
    let mut rows = vec![
        [
            "what",
            "beside",
            "unit",
            "here",
            "there",
            "ratio",
            "least–greatest",
        ]
        .map(ToOwned::to_owned),
    ];
    for each in &found.comparisons {
        rows.push([
            each.title.clone(),
            each.against.clone(),
            each.unit.clone(),
            figure(each.ours),
            figure(each.theirs),
            format!("{:.2}", each.ratio),
            format!("{:.2}–{:.2}", each.ratio_min, each.ratio_max),
        ]);
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    if !found.comparisons.is_empty() {
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                let width = widths[column];
                // Words to the left, numbers to the right. Writing into memory does not fail.
                let _written = match column {
                    0..3 => write!(text, "{gap}{cell:<width$}"),
                    _ => write!(text, "{gap}{cell:>width$}"),
                };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
    }
    for missing in &found.missing {
        let (program, how) = (&missing.program, &missing.how);
        let _written = writeln!(text, "{program} is not installed: {how}");
    }
    text
}

/// A figure with three digits that matter.
fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::result::{Comparison, Missing};

    #[test]
    fn columns_stand_below_each_other_and_what_is_missing_is_told() {
        let one = |title: &str, ours| Comparison {
            id: "x".to_owned(),
            title: title.to_owned(),
            against: "nginx".to_owned(),
            unit: "µs".to_owned(),
            ours,
            theirs: 15.0,
            ratio: ours / 15.0,
            ratio_min: 1.0,
            ratio_max: 2.0,
            rounds: 3,
        };
        let text = of(&Comparisons {
            comparisons: vec![one("GET", 21.8), one("PUT of much", 12_345.6)],
            missing: vec![Missing {
                program: "nats-server".to_owned(),
                how: "apt-get install nats-server".to_owned(),
            }],
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "what         beside  unit   here  there   ratio  least–greatest"
        );
        assert_eq!(
            lines[1],
            "GET          nginx   µs     21.8   15.0    1.45       1.00–2.00"
        );
        assert_eq!(
            lines[2],
            "PUT of much  nginx   µs    12346   15.0  823.04       1.00–2.00"
        );
        assert_eq!(
            lines[3],
            "nats-server is not installed: apt-get install nats-server"
        );
        assert_eq!(of(&Comparisons::default()), "");
    }
}
