//! This node beside other programs, and this tool beside other tools: tables with their ratios drawn
//! on one axis.

use super::axis::Scale;
use super::table::{Cell, Kind, Table};
use super::text::number;
use crate::suite::result::{Comparison, Comparisons};

/// Of a drawn ratio, in units of its drawing.
const WIDTH: f64 = 220.0;
const MARGIN: f64 = 8.0;

/// Ratios in a table.
pub(super) fn table(caption: &str, found: &Comparisons) -> String {
    let scale = scale(&found.comparisons);
    let mut table = Table::new(
        caption,
        [
            ("what", Kind::Words),
            ("beside", Kind::Words),
            ("here", Kind::Numbers),
            ("there", Kind::Numbers),
            ("unit", Kind::Words),
            ("ratio", Kind::Numbers),
            ("of the rounds", Kind::Numbers),
            ("rounds", Kind::Numbers),
            ("ratio, least to greatest; the line is 1", Kind::Words),
        ],
    );
    for each in &found.comparisons {
        table.row([
            Cell::from(each.title.as_str()),
            each.against.as_str().into(),
            number(each.ours).into(),
            number(each.theirs).into(),
            each.unit.as_str().into(),
            number(each.ratio).into(),
            format!("{}–{}", number(each.ratio_min), number(each.ratio_max)).into(),
            each.rounds.to_string().into(),
            Cell::Markup(drawn(scale, each)),
        ]);
    }
    table.to_string()
}

/// One axis for all rows, with 1 on it.
fn scale(comparisons: &[Comparison]) -> Scale {
    let ratios = comparisons
        .iter()
        .flat_map(|each| [each.ratio, each.ratio_min, each.ratio_max]);
    Scale::log(ratios.chain([0.8, 1.25]))
}

/// A ratio as a point, its extremes as a bar.
fn drawn(scale: Scale, comparison: &Comparison) -> String {
    let x = |ratio: f64| {
        scale
            .place(ratio)
            .map(|at| MARGIN + at * (WIDTH - 2.0 * MARGIN))
    };
    let (Some(one), Some(middle)) = (x(1.0), x(comparison.ratio)) else {
        return "–".to_owned();
    };
    let least = x(comparison.ratio_min).unwrap_or(middle);
    let most = x(comparison.ratio_max).unwrap_or(middle);
    let mut svg = format!(
        "<svg class=\"ratio\" viewBox=\"0 0 {WIDTH} 18\" role=\"img\" aria-label=\"ratio {}, {} to {}\">",
        number(comparison.ratio),
        number(comparison.ratio_min),
        number(comparison.ratio_max)
    );
    let parts = [
        format!("<path class=\"one\" d=\"M{one:.1} 0V18\"/>"),
        format!(
            "<path class=\"bar\" d=\"M{least:.1} 9H{most:.1}M{least:.1} 5V13M{most:.1} 5V13\"/>"
        ),
        format!("<circle class=\"dot\" cx=\"{middle:.1}\" cy=\"9\" r=\"4\"/></svg>"),
    ];
    for part in parts {
        svg.push_str(&part);
    }
    svg
}
