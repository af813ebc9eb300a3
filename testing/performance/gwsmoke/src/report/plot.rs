//! A plot as inline SVG: lines over two axes, told apart by dashes and markers as well as by colour.
//!
//! Colours and type come from the page's style, so that a plot is light, dark or printed as the page
//! is. The legend is HTML above it, where text wraps by itself.

use std::fmt::{self, Display, Formatter};

use super::axis::{Scale, Tick};
use super::series::{Marker, STYLES, Series, Swatch};
use super::text::{Escaped, number};

/// Width in units of the drawing; the page scales it.
const WIDTH: f64 = 640.0;
/// Room above the frame, to its right, and below it for the labels of the axis.
const TOP: f64 = 12.0;
const RIGHT: f64 = 18.0;
const BOTTOM: f64 = 50.0;
/// How wide a character of a tick's label is at most.
const CHARACTER: f64 = 6.8;
/// Distance between labels on either axis.
const GAP: f64 = 14.0;
/// Points of a line that keep a tooltip or a marker.
const TOLD: usize = 120;
const MARKED: usize = 14;

/// Lines over two axes.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    /// One sentence for who does not see it.
    pub(super) description: String,
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    /// Height in the same units as the width.
    pub(super) height: f64,
    pub(super) lines: Vec<Series>,
    /// A place on the x axis that matters, and its name.
    pub(super) mark: Option<(f64, String)>,
}

/// One of the two.
pub(super) struct Axis<'a> {
    /// What is on it, with its unit.
    pub(super) label: &'a str,
    pub(super) scale: Scale,
    /// Unit behind a value in a tooltip.
    pub(super) unit: &'a str,
}

/// The frame within the drawing.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, at: f64) -> f64 {
        self.left + (self.right - self.left) * at
    }

    fn y(&self, at: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * at
    }
}

fn width(label: &str) -> f64 {
    label.chars().count() as f64 * CHARACTER
}

fn widest(ticks: &[Tick]) -> f64 {
    let widths = ticks.iter().map(|tick| width(&tick.label));
    widths.fold(0.0, f64::max)
}

impl Plot<'_> {
    fn frame(&self, y_ticks: &[Tick]) -> Frame {
        Frame {
            left: 34.0 + widest(y_ticks),
            right: WIDTH - RIGHT,
            top: TOP,
            bottom: self.height - BOTTOM,
        }
    }

    fn y_ticks(&self) -> Vec<Tick> {
        let room = (self.height - TOP - BOTTOM) / (1.7 * GAP);
        self.y.scale.ticks((room as usize).clamp(2, 8))
    }

    /// As many as fit beside each other.
    fn x_ticks(&self, frame: &Frame) -> Vec<Tick> {
        let space = frame.right - frame.left;
        let fits = |ticks: &Vec<Tick>| {
            let ends = |tick: &Tick| {
                let (middle, half) = (tick.at * space, width(&tick.label) / 2.0);
                (middle - half, middle + half)
            };
            let mut pairs = ticks.windows(2);
            pairs.all(|two| ends(&two[0]).1 + GAP <= ends(&two[1]).0)
        };
        let choices = (2..=10).rev().map(|most| self.x.scale.ticks(most));
        choices.into_iter().find(fits).unwrap_or_default()
    }

    fn axes(&self, f: &mut Formatter<'_>, frame: &Frame, y_ticks: &[Tick]) -> fmt::Result {
        let Frame {
            left,
            right,
            top,
            bottom,
        } = frame;
        f.write_str("<g class=\"axes\">")?;
        for tick in y_ticks {
            let (y, label) = (frame.y(tick.at), &tick.label);
            write!(
                f,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>"
            )?;
            write!(
                f,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 6.0,
                y + 4.0
            )?;
        }
        for tick in self.x_ticks(frame) {
            let (x, label) = (frame.x(tick.at), &tick.label);
            write!(
                f,
                "<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>"
            )?;
            write!(
                f,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 20.0
            )?;
        }
        write!(
            f,
            "<path class=\"frame\" d=\"M{left:.1} {top:.1}V{bottom:.1}H{right:.1}\"/>"
        )?;
        write!(
            f,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (left + right) / 2.0,
            self.height - 8.0,
            Escaped(self.x.label)
        )?;
        write!(
            f,
            "<text class=\"label\" transform=\"translate(13 {:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text></g>",
            (top + bottom) / 2.0,
            Escaped(self.y.label)
        )
    }

    fn line(&self, f: &mut Formatter<'_>, frame: &Frame, line: &Series) -> fmt::Result {
        let style = line.style % STYLES;
        let place = |(x, y): &(f64, f64)| {
            let at = (self.x.scale.place(*x)?, self.y.scale.place(*y)?);
            Some((*x, *y, frame.x(at.0), frame.y(at.1)))
        };
        write!(f, "<g class=\"s{style}\">")?;
        let points = line.drawn();
        // A value without a place is a gap, and not a bridge.
        let mut pen = "M";
        f.write_str("<path class=\"line\" d=\"")?;
        for point in &points {
            match place(point) {
                Some((_, _, x, y)) => {
                    write!(f, "{pen}{x:.1} {y:.1}")?;
                    pen = "L";
                }
                None => pen = "M",
            }
        }
        f.write_str("\"/>")?;
        let every = points.len().div_ceil(MARKED).max(1);
        let told = points.len().div_ceil(TOLD).max(1);
        let placed = points.iter().filter_map(place).enumerate();
        for (index, (at, value, x, y)) in placed {
            if !index.is_multiple_of(every) && !index.is_multiple_of(told) {
                continue;
            }
            let (x_text, y_text) = (self.x_value(at), number(value));
            write!(
                f,
                "<g class=\"point\"><title>{}: {y_text} {} at {x_text}</title>",
                Escaped(&line.name),
                Escaped(self.y.unit)
            )?;
            write!(
                f,
                "<circle class=\"target\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>"
            )?;
            if index.is_multiple_of(every) {
                write!(f, "{}", Marker { style, x, y })?;
            }
            f.write_str("</g>")?;
        }
        f.write_str("</g>")
    }

    /// A value of the x axis in words.
    fn x_value(&self, value: f64) -> String {
        match self.x.scale {
            // Nines are not to be rounded away.
            Scale::Percentile(_) => format!("{} %", (value * 1e6).round() / 1e6),
            Scale::Linear(..) | Scale::Log(..) => {
                format!("{} {}", number(value), Escaped(self.x.unit))
            }
        }
    }

    fn mark(&self, f: &mut Formatter<'_>, frame: &Frame) -> fmt::Result {
        let Some((value, name)) = &self.mark else {
            return Ok(());
        };
        let Some(at) = self.x.scale.place(*value) else {
            return Ok(());
        };
        let (x, top, bottom) = (frame.x(at), frame.top, frame.bottom);
        let (text_x, anchor) = match at > 0.5 {
            true => (x - 5.0, "end"),
            false => (x + 5.0, "start"),
        };
        write!(
            f,
            "<g class=\"mark\"><path d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>\
             <text x=\"{text_x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text></g>",
            top + 12.0,
            Escaped(name)
        )
    }
}

impl Display for Plot<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let y_ticks = self.y_ticks();
        let frame = self.frame(&y_ticks);
        let (title, height) = (Escaped(self.title), self.height);
        write!(f, "<figure><figcaption>{title}</figcaption>")?;
        if self.lines.len() > 1 {
            f.write_str("<ul class=\"legend\">")?;
            for line in &self.lines {
                let (swatch, name) = (Swatch(line.style), Escaped(&line.name));
                write!(f, "<li>{swatch}{name}</li>")?;
            }
            f.write_str("</ul>")?;
        }
        write!(
            f,
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{title}. {}\">",
            Escaped(&self.description)
        )?;
        self.axes(f, &frame, &y_ticks)?;
        self.mark(f, &frame)?;
        for line in &self.lines {
            self.line(f, &frame, line)?;
        }
        f.write_str("</svg></figure>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot<'static> {
        let xs = points.iter().map(|point| point.0);
        let ys = points.iter().map(|point| point.1);
        let (x, y) = (Scale::linear(xs), Scale::log(ys));
        let axis = |scale| Axis {
            label: "s < \"t\"",
            scale,
            unit: "ms",
        };
        Plot {
            title: "<script>",
            description: "\"><script>".to_owned(),
            x: axis(x),
            y: axis(y),
            height: 300.0,
            lines: vec![Series::new("</svg>&", 7, points)],
            mark: Some((1.0, "<knee>".to_owned())),
        }
    }

    #[test]
    fn whatever_its_names_are_they_are_text() {
        let svg = plot(vec![(0.0, 1.0), (1.0, 20.0), (2.0, 3.0)]).to_string();
        for hostile in ["<script>", "</svg>&", "<knee>", "\"t\""] {
            assert!(!svg.contains(hostile), "{hostile} in {svg}");
        }
        assert_eq!(svg.matches("</svg>").count(), 1);
        assert!(svg.contains("&lt;knee&gt;") && svg.contains("&lt;/svg&gt;&amp;: 20 ms at 1 ms"));
    }

    #[test]
    fn a_value_without_a_place_leaves_a_gap() {
        let svg = plot(vec![(0.0, 1.0), (1.0, 0.0), (2.0, 3.0), (3.0, 4.0)]).to_string();
        let line = svg
            .split("class=\"line\" d=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let line = line.unwrap_or_default();
        assert_eq!(
            (line.matches('M').count(), line.matches('L').count()),
            (2, 1),
            "{line}"
        );
    }

    #[test]
    fn a_line_without_points_is_still_a_plot() {
        let svg = plot(Vec::new()).to_string();
        assert!(
            svg.contains("d=\"\"") && svg.ends_with("</svg></figure>"),
            "{svg}"
        );
    }

    #[test]
    fn labels_of_the_x_axis_do_not_touch() {
        let points = vec![(0.0, 1.0), (123_456_789.0, 2.0)];
        let plot = plot(points);
        let frame = plot.frame(&plot.y_ticks());
        let ticks = plot.x_ticks(&frame);
        assert!(ticks.len() >= 3, "{ticks:?}");
        for two in ticks.windows(2) {
            let apart = frame.x(two[1].at) - frame.x(two[0].at);
            assert!(apart > widest(&ticks), "{two:?}");
        }
    }
}
