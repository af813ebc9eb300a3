//! The lines of a plot, and how they are told apart without colour.

use std::fmt::{self, Display, Formatter};

/// How many lines are told apart. The page's style has as many colours and dashes, `s0` and on.
pub(super) const STYLES: usize = 6;
/// Points that are drawn of a line; a screen has not many more columns.
const DRAWN: usize = 600;

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) style: usize,
    points: Vec<(f64, f64)>,
}

impl Series {
    /// A line through `points`, which are in the order of x.
    pub(super) fn new(name: impl Into<String>, style: usize, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            style,
            points,
        }
    }

    /// The points that are drawn: all, or of a long line the least and the greatest of each
    /// stretch, so that no peak is lost.
    pub(super) fn drawn(&self) -> Vec<(f64, f64)> {
        if self.points.len() <= DRAWN {
            return self.points.clone();
        }
        let stretch = self.points.len().div_ceil(DRAWN / 2);
        let mut drawn = Vec::with_capacity(DRAWN + 2);
        for points in self.points.chunks(stretch) {
            let places = 0..points.len();
            let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
            let (least, most) = (places.clone().min_by(by_value), places.max_by(by_value));
            if let (Some(least), Some(most)) = (least, most) {
                drawn.push(points[least.min(most)]);
                if least != most {
                    drawn.push(points[least.max(most)]);
                }
            }
        }
        drawn
    }
}

/// A marker at a place, of a shape of its style.
pub(super) struct Marker {
    pub(super) style: usize,
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Display for Marker {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { style, x, y } = self;
        match style % STYLES {
            0 => write!(
                f,
                "<circle class=\"marker\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>"
            ),
            1 => self.path(f, "m-3-3h6v6h-6z"),
            2 => self.path(f, "m0-4l3.8 7h-7.6z"),
            3 => self.path(f, "m0-4.2l4.2 4.2-4.2 4.2-4.2-4.2z"),
            4 => self.path(f, "m-3.4-3.4l6.8 6.8m0-6.8l-6.8 6.8"),
            _ => self.path(f, "m0-4v8m-4-4h8"),
        }
    }
}

impl Marker {
    fn path(&self, f: &mut Formatter<'_>, shape: &str) -> fmt::Result {
        let Self { x, y, .. } = self;
        write!(f, "<path class=\"marker\" d=\"M{x:.1} {y:.1}{shape}\"/>")
    }
}

/// A piece of a line of a style, for a legend.
pub(super) struct Swatch(pub(super) usize);

impl Display for Swatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let style = self.0 % STYLES;
        let (x, y) = (15.0, 6.0);
        write!(
            f,
            "<svg class=\"swatch s{style}\" viewBox=\"0 0 30 12\" aria-hidden=\"true\">\
             <path class=\"line\" d=\"M1 6H29\"/>{}</svg>",
            Marker { style, x, y }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_peaks_and_its_order() {
        let mut points: Vec<(f64, f64)> = (0..86_400).map(|x| (f64::from(x), 1.0)).collect();
        points[4711].1 = 900.0;
        points[60_000].1 = -900.0;
        let drawn = Series::new("x", 0, points).drawn();
        assert!(drawn.len() <= DRAWN, "{}", drawn.len());
        assert!(drawn.contains(&(4711.0, 900.0)) && drawn.contains(&(60_000.0, -900.0)));
        assert!(drawn.windows(2).all(|two| two[0].0 < two[1].0));
    }

    #[test]
    fn no_two_styles_look_alike() {
        let marker = |style| {
            Marker {
                style,
                x: 0.0,
                y: 0.0,
            }
            .to_string()
        };
        let mut markers: Vec<String> = (0..STYLES).map(marker).collect();
        markers.sort();
        markers.dedup();
        assert_eq!(markers.len(), STYLES);
        assert_eq!(marker(0), marker(STYLES));
    }
}
